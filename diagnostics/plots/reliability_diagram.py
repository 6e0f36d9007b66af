"""Reliability: whether what is predicted with probability p happens in a share p of the cases."""

from __future__ import annotations

import numpy as np

from ...aliases import Array, SeveralAxes
from ...frequencies import binned, jeffreys
from .canvas import BLUE, FAINT, INK, frame, several


def plot_reliability(
    probabilities: Array, outcomes: Array, *, bins: int = 10, axes: SeveralAxes | None = None
) -> np.ndarray:
    """Draw the predicted probability against the observed frequency, and the number of predictions.

    On the diagonal predictions are calibrated. Each dot is a bin, at the mean of its predictions;
    its bar is the 95% credible interval of the frequency, from Jeffreys' prior (ending at 0 or 1
    where nothing, or everything, came true), for independent outcomes. The legend has the expected
    calibration error, sum_b n_b |predicted_b - observed_b| / n, which is above zero even for
    calibrated predictions, the more so the fewer they are. For the steps of a reward model the
    probabilities are its r_t, and the outcomes whether the steps were right.

    Args:
        probabilities: in [0, 1], shape (n,).
        outcomes: whether each came true, bool or 0 and 1, shape (n,).
        bins: of equal width between 0 and 1.
        axes: two axes, for the frequencies and for the counts; of a new figure when None.

    Returns:
        The two axes, shape (2,).

    Raises:
        ValueError: the arrays are empty, differ in shape or hold something else; `bins` is not
            positive; `axes` are not two.

    Source: Guo, Pleiss, Sun and Weinberger (2017), arXiv:1706.04599; the intervals: Brown, Cai and
    DasGupta (2001), doi:10.1214/ss/1009213286.
    """
    found = binned(*_checked(probabilities, outcomes), bins)
    low, high = jeffreys(np.round(found.observed * found.size), found.size)
    panels = several(axes, 2, 4.8, 5.6, sharex=True, height_ratios=[3.4, 1.0])
    upper, lower = panels
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="calibrated")
    spread = np.stack([found.observed - low, high - found.observed])
    error = f"observed, 95% intervals\nexpected calibration error {found.error:.3f}"
    upper.errorbar(
        found.predicted,
        found.observed,
        spread,
        fmt="o",
        color=BLUE,
        markersize=6,
        linewidth=1.4,
        capsize=3,
        label=error,
    )
    lower.bar((found.number + 0.5) / bins, found.size, width=0.92 / bins, color=BLUE)
    for number, count in zip(found.number, found.size.astype(int), strict=True):
        lower.annotate(
            f"{count}",
            ((number + 0.5) / bins, count),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
            color=INK,
        )
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    lower.set(xlim=(-0.02, 1.02), ylim=(0, 1.25 * found.size.max()))
    frame(
        upper,
        title=f"Reliability of {found.size.sum():.0f} predictions",
        y="observed frequency",
        grid="both",
    )
    frame(lower, x="predicted probability", y="predictions")
    upper.legend(loc="best", frameon=False, fontsize="small")
    return panels


def _checked(probabilities: Array, outcomes: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64. Raises ValueError where they are not what they should be."""
    predicted = np.asarray(probabilities, np.float64)
    true = np.asarray(outcomes, np.float64)
    if predicted.ndim != 1 or predicted.shape != true.shape or not predicted.size:
        raise ValueError(
            f"probabilities and outcomes must be of one shape (n,), not {predicted.shape} and "
            f"{true.shape}"
        )
    if not np.all((predicted >= 0) & (predicted <= 1)):
        raise ValueError("probabilities must lie in [0, 1]")
    if not np.isin(true, (0.0, 1.0)).all():
        raise ValueError("outcomes must be true or false")
    return predicted, true
