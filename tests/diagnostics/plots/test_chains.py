from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from scipy.stats import rankdata

from motes.diagnostics import plots
from motes.diagnostics.plots.chain_quantities import indicators, measures
from motes.diagnostics.plots.rank import rank_counts
from motes.diagnostics.plots.shades import shades


@pytest.mark.parametrize(("chains", "draws", "bins"), [(4, 50, 10), (3, 20, 4), (1, 8, 2)])
def test_rank_counts_against_ranks(chains, draws, bins):
    values = np.random.default_rng(chains).normal(size=(chains, draws)) + np.arange(chains)[:, None]
    ranks = rankdata(values).reshape(values.shape) - 0.5  # the middle of each draw's share
    expected = [np.histogram(row, bins, (0, chains * draws))[0] for row in ranks]
    assert rank_counts(values, bins) == pytest.approx(np.array(expected))


def test_ties_share_their_ranks_evenly():
    generator = np.random.default_rng(0)
    values = generator.integers(0, 3, (3, 8)).astype(float)
    counts = rank_counts(values, 4)
    assert counts.sum(axis=1) == pytest.approx([8] * 3) and counts.sum(axis=0) == pytest.approx(
        [6] * 4
    )
    orders = 4000
    broken = np.zeros_like(counts)
    for _ in range(orders):
        ranks = np.empty(24)
        ranks[np.lexsort((generator.random(24), values.ravel()))] = np.arange(24) + 0.5
        broken += [np.histogram(row, 4, (0, 24))[0] for row in ranks.reshape(3, 8)]
    # each entry is a mean over orders of a count whose variance is at most 8 / 4: five standard
    # errors
    assert counts == pytest.approx(broken / orders, abs=5 * (2 / orders) ** 0.5)


def test_rank_bars_are_the_counts(sampled):
    posterior = sampled("suffix_metropolis", iterations=24)
    axes = plots.plot_rank(posterior)
    quantities = [*measures(posterior), *indicators(posterior)]
    assert len(axes) == len(quantities) == 2 + len(shades(posterior))
    for ax, quantity in zip(axes, quantities, strict=True):
        counts = rank_counts(quantity.values, 24 // 5)
        heights = np.array([bar.get_height() for bar in ax.patches]).reshape(counts.shape)
        assert heights / heights.sum() == pytest.approx(counts / counts.sum())
        bases = [bar.get_y() for bar in ax.patches[:: counts.shape[1]]]
        assert bases == [2, 1, 0] and heights.max() < 1  # the rows of chains do not overlap
        even = [line.get_ydata()[0] for line in ax.lines]
        assert even == pytest.approx(np.array(bases) + heights[0].sum() / counts.shape[1])


def test_headings_are_the_mixing(sampled):
    posterior = sampled("suffix_metropolis", iterations=24)
    titles = [ax.get_title(loc="left") for ax in plots.plot_rank(posterior)]
    expected = []
    # as probable as may be: no answer is the last
    stated = sorted(posterior.answers, key=lambda answer: answer is None)
    for name in (
        "log_density",
        "length",
        *("no answer" if answer is None else f"answer {answer}" for answer in stated),
    ):
        found = posterior.mixing[name]
        expected.append(f"{name.replace('_', '-')}: R-hat {found.r_hat:.2f}, ESS {found.ess:.0f}")
    assert titles == expected
    short = sampled("suffix_metropolis", iterations=2)
    assert all(ax.get_title(loc="left").endswith("R-hat ?, ESS ?") for ax in plots.plot_rank(short))


def test_traces_are_the_draws(sampled):
    posterior = sampled("suffix_metropolis", iterations=24)
    density, length, answer = plots.plot_trace(posterior)
    for ax, values in (
        (density, posterior.log_density),
        (length, np.array([len(x.token_ids) for x in posterior.trajectories])),
    ):
        assert np.array([line.get_ydata() for line in ax.lines]) == pytest.approx(
            values.reshape(3, 24)
        )
        assert ax.lines[0].get_xdata().tolist() == list(range(1, 25))
    [cells] = [found for found in answer.collections if isinstance(found, QuadMesh)]
    cells.update_scalarmappable()
    colours = [to_hex(colour).upper() for colour in cells.get_facecolors()]
    colour = {answer: group.colour for group in shades(posterior) for answer in group.answers}
    assert colours == [colour[label] for label in posterior.labels]
    assert answer.get_ylim() == (3.5, 0.5) and [
        text.get_text() for text in density.get_legend().get_texts()
    ] == [
        "chain 1",
        "chain 2",
        "chain 3",
    ]


def test_copies_of_a_trajectory_have_one_density(sampled):
    posterior = sampled("suffix_metropolis", iterations=24)
    rounded = posterior.log_density + 1e-13 * np.arange(len(posterior.log_density))
    exact, noisy = (
        measures(p)[0].values for p in (posterior, replace(posterior, log_density=rounded))
    )
    for tokens in {x.token_ids for x in posterior.trajectories}:
        same = [x.token_ids == tokens for x in posterior.trajectories]
        assert len(set(noisy.ravel()[same])) == 1
    assert noisy == pytest.approx(exact)


def test_a_density_that_is_not_known_is_said_not_to_be(sampled):
    posterior = sampled("suffix_metropolis")
    unknown = replace(posterior, log_density=np.full(len(posterior.log_density), np.nan))
    axes = plots.plot_rank(unknown)
    assert (
        not axes[0].patches
        and axes[0].texts[0].get_text() == "not known of every draw"
        and axes[1].patches
    )
    plots.plot_trace(unknown)[0].figure.canvas.draw()
