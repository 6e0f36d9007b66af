from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from motes.diagnostics import plots
from motes.diagnostics.plots.forest import forest
from motes.diagnostics.plots.shades import NAMED, NO_ANSWER, WEIGHTLESS, shades
from motes.smc import lineages


def lines_of(ax):
    """{(t, from, to): colour} of the lines that lead from step t - 1 to t."""
    [lines] = [found for found in ax.collections if isinstance(found, LineCollection)]
    colours = [to_hex(colour).upper() for colour in lines.get_colors()]
    found = {}
    for ((left, start), (right, end)), colour in zip(lines.get_segments(), colours, strict=True):
        assert right == left + 1
        found[int(right), int(start), int(end)] = colour
    assert len(found) == len(lines.get_segments())
    return found


def dots_of(ax):
    """{(t, row): score} of the dots that have one."""
    dots = [
        found
        for found in ax.collections
        if isinstance(found, PathCollection) and found.get_array() is not None
    ]
    return {
        (int(t), int(row)): score
        for group in dots
        for (t, row), score in zip(group.get_offsets(), group.get_array(), strict=True)
    }


def test_by_hand(make_posterior):
    ax = plots.plot_ancestry(make_posterior())
    # at step 2 slots 0 and 1 descend from slot 0, slots 2 and 3 from slot 2, 5 is dead: 17 is 0, 1,
    # 4; 18 is 2; 3 has no answer rows: at step 1 those of 17 (0, 4), of nothing answered (2: 0.25
    # of 0.45), then 1, 3, 5, which lead nowhere
    blue, grey = NAMED[0], NO_ANSWER
    assert lines_of(ax) == {
        (2, 0, 0): blue,
        (2, 0, 1): blue,
        (2, 1, 2): blue,
        (2, 2, 3): NAMED[1],
        (2, 2, 4): grey,
        (2, 5, 5): WEIGHTLESS,
    }
    right = lambda x: 1 / (1 + np.exp(-x))
    expected = {
        (1, 0): right(3),
        (1, 1): right(3),
        (1, 2): right(-1),
        (2, 0): right(2),
        (2, 1): right(-1),
        (2, 2): right(2),
    }
    assert dots_of(ax) == pytest.approx(expected | {(2, 3): 1.0, (2, 4): 0.5})
    assert [line.get_xdata()[0] for line in ax.lines] == [1.5]  # resampled before step 2
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[:3] == ["17  (0.55)", "18  (0.20)", "no answer  (0.25)"] and words[3:] == [
        "no living descendant",
        "PRM score 0",
        "PRM score 0.5",
        "PRM score 1",
        "resampled",
    ]


@pytest.mark.parametrize(("slots", "steps"), [(8, 6), (48, 6), (256, 9)])
def test_lines_are_the_history(slots, steps, forked):
    posterior = forked(slots, steps)
    ancestors, rows = posterior.history.ancestors, forest(posterior, shades(posterior)).rows
    assert all(sorted(row) == list(range(slots)) for row in rows.tolist())
    lines = lines_of(plots.plot_ancestry(posterior))
    assert set(lines) == {
        (t + 1, rows[t - 1, ancestors[t, i]], rows[t, i])
        for t in range(1, steps)
        for i in range(slots)
    }
    for t in range(2, steps + 1):  # no two cross
        ends = [end for _, end in sorted((start, end) for step, start, end in lines if step == t)]
        assert ends == sorted(ends)
    survivors = lineages(ancestors)[1:, posterior.log_weights > -np.inf]
    living = {(t + 1, rows[t, slot]) for t in range(1, steps) for slot in survivors[t]}
    assert {(t, end) for (t, _, end), colour in lines.items() if colour != WEIGHTLESS} == living


def test_a_line_has_the_colour_of_most_of_the_weight(forked):
    posterior = forked()
    groups = shades(posterior)
    grown = forest(posterior, groups)
    weights, lineage = np.exp(posterior.log_weights), lineages(posterior.history.ancestors)[1:]
    for t, slot in np.ndindex(grown.shade.shape):
        after = [i for i in np.flatnonzero(lineage[t] == slot) if weights[i] > 0]
        of = [
            sum(weights[i] for i in after if posterior.labels[i] in group.answers)
            for group in groups
        ]
        assert grown.shade[t, slot] == (int(np.argmax(of)) if after else -1)
        scored = [i for i in after if len(posterior.log_odds[i]) > t]
        if scored:
            r = [1 / (1 + np.exp(-posterior.log_odds[i][t])) for i in scored]
            assert grown.score[t, slot] == pytest.approx(np.average(r, weights=weights[scored]))
        else:
            assert np.isnan(grown.score[t, slot])


def test_without_resampling_every_line_is_straight(sampled):
    posterior = sampled("importance_sampling")
    ax = plots.plot_ancestry(posterior)
    assert all(start == end for _, start, end in lines_of(ax)) and not ax.lines
    assert len(dots_of(ax)) == sum(x.depth for x in posterior.trajectories)


def test_looking_ahead_a_step_shows_one_generation_later(sampled):
    posterior = sampled("entropic_particle_filter", look_ahead=2)
    assert min(t for t, _ in dots_of(plots.plot_ancestry(posterior))) == 2
    plain = sampled("entropic_particle_filter")
    assert min(t for t, _ in dots_of(plots.plot_ancestry(plain))) == 1


@pytest.mark.parametrize(
    ("name", "settings"), [("tempered_smc", {}), ("particle_filter", {"prm": None})]
)
def test_dots_are_plain_where_there_are_no_scores(name, settings, sampled):
    posterior = sampled(name, **settings)
    ax = plots.plot_ancestry(posterior)
    assert not dots_of(ax) and ax.get_xlabel() == ("rung" if name == "tempered_smc" else "step")
    assert not any("PRM" in text.get_text() for text in ax.get_legend().get_texts())
    colours = {group.colour for group in shades(posterior)}
    assert {to_hex(colour).upper() for colour in ax.collections[-1].get_facecolors()} <= colours


def test_no_scores_where_steps_and_generations_are_apart(forked):
    assert dots_of(plots.plot_ancestry(forked(8)))
    assert not dots_of(plots.plot_ancestry(forked(8, program=True)))
    posterior = forked(8)
    longer = replace(posterior, log_odds=tuple(np.zeros(9) for _ in range(8)))
    assert not dots_of(plots.plot_ancestry(longer))
