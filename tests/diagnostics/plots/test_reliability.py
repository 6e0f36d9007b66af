from __future__ import annotations

from re import escape

import numpy as np
import pytest
from scipy.stats import beta

from motes.diagnostics import plots
from motes.frequencies import binned, jeffreys

P = [0.05, 0.08, 0.1, 0.35, 0.31, 0.31, 0.95, 1.0]
CAME = [False, False, True, True, False, True, True, True]


def test_by_hand():
    found = binned(np.array(P), np.array(CAME, np.float64), 10)
    assert found.number.tolist() == [0, 1, 3, 9] and found.size.tolist() == [2, 1, 3, 2]
    assert found.predicted == pytest.approx([0.065, 0.1, 0.97 / 3, 0.975])
    assert found.observed == pytest.approx([0, 1, 2 / 3, 1])
    low, high = jeffreys(np.round(found.observed * found.size), found.size)
    assert (low[0], high[1], high[3]) == (0, 1, 1)
    assert (low[2], high[2]) == pytest.approx(beta.ppf([0.025, 0.975], 2.5, 1.5))
    assert high[0] == pytest.approx(beta.ppf(0.975, 0.5, 2.5))
    assert found.error == pytest.approx((2 * 0.065 + 0.9 + 3 * (2 / 3 - 0.97 / 3) + 2 * 0.025) / 8)


def test_what_is_drawn():
    upper, lower = plots.plot_reliability(P, CAME)
    found = binned(np.array(P), np.array(CAME, np.float64), 10)
    [container] = upper.containers
    points, _, (bars,) = container.lines
    assert points.get_xydata() == pytest.approx(np.column_stack([found.predicted, found.observed]))
    assert np.array(bars.get_segments())[:, :, 1] == pytest.approx(
        np.column_stack(jeffreys(np.round(found.observed * found.size), found.size))
    )
    assert [bar.get_height() for bar in lower.patches] == [2, 1, 3, 2]
    assert [bar.get_x() + bar.get_width() / 2 for bar in lower.patches] == pytest.approx(
        [0.05, 0.15, 0.35, 0.95]
    )
    assert [text.get_text() for text in lower.texts] == ["2", "1", "3", "2"]
    words = upper.get_legend().get_texts()[1].get_text()
    assert (
        words.endswith(f"expected calibration error {found.error:.3f}")
        and upper.get_title(loc="left") == "Reliability of 8 predictions"
    )


def test_calibrated_predictions_have_a_small_error():
    generator = np.random.default_rng(0)
    p = generator.random(20_000)
    found = binned(p, (generator.random(20_000) < p).astype(float), 10)
    # each of ten distances is of the order of (1/4 / 2000)**0.5 = 0.011
    assert found.error < 0.02
    assert binned(p, (generator.random(20_000) < p**2).astype(float), 10).error > 0.1


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "bins", "sentence"),
    [
        ([], [], 10, "probabilities and outcomes must be of one shape (n,), not (0,) and (0,)"),
        (
            [0.1],
            [True, False],
            10,
            "probabilities and outcomes must be of one shape (n,), not (1,) and (2,)",
        ),
        ([1.2], [True], 10, "probabilities must lie in [0, 1]"),
        ([np.nan], [True], 10, "probabilities must lie in [0, 1]"),
        ([0.5], [0.5], 10, "outcomes must be true or false"),
        ([0.5], [True], 0, "bins must be at least 1, not 0"),
    ],
)
def test_bad_arrays(probabilities, outcomes, bins, sentence, open_figures):
    with pytest.raises(ValueError, match=f"^{escape(sentence)}$"):
        plots.plot_reliability(probabilities, outcomes, bins=bins)
    assert open_figures() == 0
