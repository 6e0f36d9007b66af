"""Reliability: whether what is predicted with probability p happens in a share p of the cases."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .canvas import BLUE, FAINT, INK, frame, several


class Bins(NamedTuple):
    """Predictions by probability, in bins of equal width without the empty ones; shape (bins,).

    Attributes:
        predicted: mean predicted probability.
        observed: frequency of what was predicted.
        low, high: 95% credible interval of the frequency, from Jeffreys' prior.
        size: predictions.
        number: of the bin, from 0.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray
    number: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, by count."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.size))


def plot_reliability(
    probabilities: Any, outcomes: Any, *, bins: int = 10, axes: Any = None
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
    binned = reliability(*_checked(probabilities, outcomes), bins)
    panels = several(axes, 2, 4.8, 5.6, sharex=True, height_ratios=[3.4, 1.0])
    upper, lower = panels
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="calibrated")
    spread = np.stack([binned.observed - binned.low, binned.high - binned.observed])
    error = f"observed, 95% intervals\nexpected calibration error {binned.error:.3f}"
    upper.errorbar(
        binned.predicted,
        binned.observed,
        spread,
        fmt="o",
        color=BLUE,
        markersize=6,
        linewidth=1.4,
        capsize=3,
        label=error,
    )
    lower.bar((binned.number + 0.5) / bins, binned.size, width=0.92 / bins, color=BLUE)
    for number, count in zip(binned.number, binned.size, strict=True):
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
    lower.set(xlim=(-0.02, 1.02), ylim=(0, 1.25 * binned.size.max()))
    frame(
        upper,
        title=f"Reliability of {binned.size.sum()} predictions",
        y="observed frequency",
        grid="both",
    )
    frame(lower, x="predicted probability", y="predictions")
    upper.legend(loc="best", frameon=False, fontsize="small")
    return panels


def reliability(probabilities: np.ndarray, outcomes: np.ndarray, bins: int) -> Bins:
    """Put predictions into `bins` bins.

    Bin b holds the probabilities from b / bins to below (b + 1) / bins, the last one 1 as well.
    """
    from scipy.special import betaincinv

    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    number = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    count = np.bincount(number, minlength=bins)
    present = count > 0
    true = np.bincount(number, outcomes, bins)[present]
    total = np.bincount(number, probabilities, bins)[present]
    count = count[present]
    low = betaincinv(true + 0.5, count - true + 0.5, 0.025)
    high = betaincinv(true + 0.5, count - true + 0.5, 0.975)
    return Bins(
        predicted=total / count,
        observed=true / count,
        low=np.where(true == 0, 0.0, low),
        high=np.where(true == count, 1.0, high),
        size=count,
        number=np.nonzero(present)[0],
    )


def _checked(probabilities: Any, outcomes: Any) -> tuple[np.ndarray, np.ndarray]:
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
