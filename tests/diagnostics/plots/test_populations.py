from __future__ import annotations

from itertools import pairwise
from math import log
from re import escape

import numpy as np
import pytest
from matplotlib.colors import to_hex
from posteriors import changed

from motes.diagnostics import plots
from motes.diagnostics.plots.answer_bars import MOST
from motes.diagnostics.plots.effective_sample_size import lorenz
from motes.diagnostics.plots.shades import (
    LONGEST,
    NAMED,
    NO_ANSWER,
    OTHERS,
    WEIGHTLESS,
    readable,
    shades,
)
from motes.ppl.posterior.provenance import Move


def words_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_bars_are_the_answers(make_posterior):
    posterior = make_posterior()
    ax = plots.plot_answers(posterior)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.55, 0.2, 0.25])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["17", "18", "no answer"]
    assert [to_hex(bar.get_facecolor()).upper() for bar in ax.patches] == [
        NAMED[0],
        NAMED[1],
        NO_ANSWER,
    ]
    ends = [
        container.lines[2][0].get_segments()[0][:, 0]
        for container in ax.containers
        if hasattr(container, "lines")
    ]
    for (low, high), answer in zip(ends, ("17", "18", None), strict=True):
        probability, error = posterior.answers[answer], posterior.answer_mcse[answer]
        assert (low, high) == pytest.approx((probability - error, probability + error))
    assert ax.texts[0].get_text() == f"0.550 ± {posterior.answer_mcse['17']:.3f}"


def test_an_undefined_error_is_said_to_be(make_posterior, sampled):
    ax = plots.plot_answers(make_posterior(history=None))
    assert ax.get_xlabel() == "probability (its standard error is undefined)"
    assert [text.get_text() for text in ax.texts] == ["0.550 ± ?", "0.200 ± ?", "0.250 ± ?"]
    assert len(ax.containers) == 1  # the bars alone
    some = make_posterior(extracted=("17", "17", "17", None, "17", None))
    assert "?" not in plots.plot_answers(some).get_xlabel()


def test_many_answers_share_a_bar(forked):
    posterior = forked()
    ax = plots.plot_answers(posterior)
    stated = [
        probability for answer, probability in posterior.answers.items() if answer is not None
    ]
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == pytest.approx([*stated[:MOST], sum(stated[MOST:]), posterior.answers[None]])
    assert sum(widths) == pytest.approx(1)
    assert ax.get_yticklabels()[MOST].get_text() == f"{len(stated) - MOST} others"
    assert ax.texts[MOST].get_text() == f"{sum(stated[MOST:]):.3f}"
    assert [to_hex(bar.get_facecolor()).upper() for bar in ax.patches] == [
        *NAMED,
        *[OTHERS] * (MOST - len(NAMED) + 1),
        NO_ANSWER,
    ]


def test_shades_are_a_partition_with_colours_of_their_own(forked):
    for answers in (1, 2, 6, 7, 30):
        posterior = forked(answers=answers)
        groups = shades(posterior)
        assert sorted(map(str, posterior.answers)) == sorted(
            str(answer) for group in groups for answer in group.answers
        )
        assert sum(group.probability for group in groups) == pytest.approx(1)
        assert len({group.colour for group in groups}) == len(groups) and WEIGHTLESS not in {
            group.colour for group in groups
        }
        assert shades(posterior) == groups


def test_texts_are_printed_as_they_stand(forked):
    assert readable("$5 or $6") == r"\$5 or \$6"
    assert readable("_hidden") == " _hidden"
    assert (
        readable(" two\nlines ") == "two lines"
        and readable("") == "(empty)"
        and readable("\x1b") == "\ufffd"
    )
    assert readable("x" * 99) == "x" * (LONGEST - 1) + "…"
    posterior = forked(spelled="_${}_ of $\\frac{{1}}$ and much more than fits")
    for ax in (plots.plot_answers(posterior), plots.plot_scores(posterior)):
        ax.figure.canvas.draw()
    assert [
        ax.get_yticklabels()[0]._preprocess_math(r"\$5 or \$6")
        for ax in [plots.plot_answers(posterior)]
    ] == [("$5 or $6", False)]
    assert len(words_of(ax)) == len(shades(posterior)) + 3  # finished, cut off, weight zero


def test_scores_are_along_distinct_trajectories(make_posterior):
    posterior = make_posterior()
    ax = plots.plot_scores(posterior)
    groups = {answer: group.colour for group in shades(posterior) for answer in group.answers}
    label = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    drawn = {tuple(np.round(line.get_ydata(), 9)): line for line in ax.lines}
    right = lambda row: tuple(np.round(1 / (1 + np.exp(-np.array(row))), 9))
    assert len(ax.lines) == len(posterior.distinct) + 1
    for x, row in zip(posterior.trajectories, posterior.log_odds, strict=True):
        if x in posterior.distinct:
            line = drawn[right(row)]
            share = (posterior.distinct[x] / max(posterior.distinct.values())) ** 0.5
            assert line.get_color() == groups[label[x]] and line.get_linewidth() == pytest.approx(
                0.5 + 2.5 * share
            )
            assert line.get_alpha() == pytest.approx(0.2 + 0.8 * share)
            assert line.get_xdata().tolist() == [1, 2] and line.get_marker() == (
                "X" if x.truncated else "o"
            )
    assert ax.lines[0].get_color() == WEIGHTLESS and ax.lines[0].get_ydata().tolist() == [0.0]
    assert words_of(ax)[3:] == ["finished", "cut off", "weight zero"]
    with pytest.raises(
        ValueError,
        match=(
            "^a plot of scores needs a reward model's score of each step, and the posterior has "
            "none$"
        ),
    ):
        plots.plot_scores(make_posterior(log_odds=(np.zeros(0),) * 6))


def test_ess_and_entropy_by_step(make_posterior):
    posterior = make_posterior(ess_threshold=0.5)
    upper, lower = plots.plot_ess(posterior)
    assert upper.lines[0].get_xydata().tolist() == [[1, 5.2], [2, 4.2]]
    weights = np.array([0.3, 0.1, 0.2, 0.25, 0.15])
    assert lower.lines[0].get_ydata() == pytest.approx([log(6), -(weights * np.log(weights)).sum()])
    assert words_of(upper) == ["equal weights: 6", "resamples below 3", "resampled"]
    assert [line.get_ydata()[0] for line in upper.lines[1:3]] == [6, 3] and upper.lines[
        3
    ].get_xdata() == [1.5, 1.5]
    assert lower.lines[1].get_ydata()[0] == log(6) and lower.get_xlabel() == "step"
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("ESS (particles)", "entropy (nats)")


def test_ess_of_what_holds_several_trajectories_is_of_chains(sampled):
    upper, lower = plots.plot_ess(sampled("tempered_smc", waste_free=True, moves=1))
    assert (upper.get_ylabel(), lower.get_xlabel(), words_of(upper)[0]) == (
        "ESS (chains)",
        "rung",
        "equal weights: 4",
    )


def test_the_lorenz_curve_against_its_definition(forked):
    posterior = forked(8)
    weights = np.exp(posterior.log_weights)
    ax = plots.plot_lorenz(posterior)
    curve = ax.lines[1].get_xydata()
    assert curve[:, 0].tolist() == [k / 8 for k in range(9)]
    assert curve[:, 1] == pytest.approx([sum(sorted(weights)[:k]) for k in range(9)])
    # half the relative mean difference
    gini = np.abs(weights[:, None] - weights).sum() / (2 * 8 * weights.sum())
    assert words_of(ax) == ["equal weights", f"Gini coefficient {gini:.2f}"]


@pytest.mark.parametrize(
    ("weights", "gini"),
    [([1.0], 0.0), ([2.0, 2.0, 2.0], 0.0), ([0.0, 0.0, 0.0, 5.0], 0.75), ([1.0, 3.0], 0.25)],
)
def test_gini_of_extremes(weights, gini):
    shares, held = lorenz(np.array(weights))
    assert 1 - sum((held[1:] + held[:-1]) * np.diff(shares)) == pytest.approx(gini, abs=1e-15)
    assert all(b >= a for a, b in pairwise(held))


def test_log_evidence_is_pooled_on_the_natural_scale(make_posterior):
    values = [-1.0, -2.0, -1.5]
    runs = [make_posterior(log_evidence=value, seed=(seed, 0)) for seed, value in enumerate(values)]
    for died in (0, 2):
        ax = plots.plot_log_evidence(runs, died=died)
        z = np.array([*np.exp(values), *[0.0] * died])
        error = z.std(ddof=1) / len(z) ** 0.5 / z.mean()
        assert ax.lines[0].get_ydata().tolist() == values
        line = next(line for line in ax.lines if line.get_label().startswith("pooled"))
        assert line.get_ydata()[0] == pytest.approx(np.log(z.mean()))
        assert line.get_label() == f"pooled {np.log(z.mean()):.2f} ± {error:.2f}"
        [band] = ax.patches
        assert (band.get_y(), band.get_height()) == pytest.approx(
            (np.log(z.mean()) - error, 2 * error)
        )
        assert [len(line.get_xdata()) for line in ax.lines if line.get_marker() == "v"] == [2] * (
            died > 0
        )
    alone = plots.plot_log_evidence(runs[:1])
    assert words_of(alone) == ["one run", "pooled -1.00 ± ?"] and not alone.patches


def test_what_cannot_be_pooled_is_refused(make_posterior, open_figures):
    one = make_posterior(seed=(1, 0))
    for runs, died, sentence in (
        ([], 0, "posteriors must hold at least one run"),
        ([one], -1, "died must be a number of runs, not -1"),
        (
            [one, make_posterior(seed=(1, 0))],
            0,
            "posteriors must be of independent runs, and several have the seed (1, 0)",
        ),
        (
            [one, changed(one, target="odds", seed=None)],
            0,
            (
                "posteriors must be of one question and one target: their evidence is not of the "
                "same "
                "thing"
            ),
        ),
    ):
        with pytest.raises(ValueError, match=f"^{escape(sentence)}$"):
            plots.plot_log_evidence(runs, died=died)
    assert open_figures() == 0


def test_powers_by_rung(sampled):
    posterior = sampled("tempered_smc", ladder=(0.0, 0.25, 1.0))
    ax = plots.plot_powers(posterior)
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 0.25], [2, 1]]
    assert [text.get_text() for text in ax.texts] == [f"ESS {ess:.3g}" for ess in posterior.ess]
    unknown = changed(posterior, ladder=())
    with pytest.raises(
        ValueError,
        match="^a tempering path needs the powers of its rungs, which 'tempered_smc' does not give",
    ):
        plots.plot_powers(unknown)


def test_swaps_by_pair(sampled):
    posterior = sampled("parallel_tempering")
    ax = plots.plot_swaps(posterior)
    assert [bar.get_height() for bar in ax.patches] == posterior.rates["swap"]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "1 ↔ 0.6",
        "0.6 ↔ 0.3",
        "0.3 ↔ 0",
    ]
    swaps = [Move("swap", "", rate, 30) for rate in (0.5, np.nan, 0.25)]
    untried = changed(posterior, moves=tuple(swaps), round_trips=1)
    ax = plots.plot_swaps(untried)
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == pytest.approx([0, 2])
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.25]
    assert [text.get_text() for text in ax.texts] == ["0.50", "not tried", "0.25"] and ax.get_title(
        loc="left"
    ).endswith("; 1 round trip")
