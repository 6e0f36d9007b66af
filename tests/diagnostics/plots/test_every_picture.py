"""What all pictures keep to, for every sampler: drawn on the axes given, or refused in one
sentence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from motes.diagnostics import plots
from motes.diagnostics.plots.shades import shades
from motes.samplers import SAMPLERS
from motes.samplers.search.search_sampler import SearchSampler
from motes.samplers.search.step_drafts import StepDrafts

CHAINS = {
    "particle_gibbs",
    "suffix_metropolis",
    "power_metropolis",
    "delayed_acceptance",
    "parallel_tempering",
    "replica_exchange",
}
SEARCHES = {name for name, kind in SAMPLERS.items() if issubclass(kind, SearchSampler)}
WEIGHTED = set(SAMPLERS) - CHAINS
DRAFTED = {name for name, kind in SAMPLERS.items() if issubclass(kind, StepDrafts)}
POOLED = {"persistent_pool"}  # its particles are of all generations, which make no history
FILTERS = WEIGHTED - SEARCHES - DRAFTED - POOLED
EVIDENT = (FILTERS | POOLED) - {"puri2025", "giannone2025"}
# which samplers each picture is of, what it says to others, and how many axes it takes (0: one, not
# in an array; -1: by its answers)
PICTURES = {
    "plot_answers": (set(SAMPLERS), "", 0),
    "plot_scores": (set(SAMPLERS), "", 0),
    "plot_ancestry": (
        FILTERS,
        "an ancestry needs the history of a filter's steps, and this posterior of '{}' has none",
        0,
    ),
    "plot_ess": (
        FILTERS,
        (
            "a plot of the ESS by step needs the history of a filter's steps, "
            "and this posterior of '{}' has none"
        ),
        2,
    ),
    "plot_tree": (
        SEARCHES,
        "a picture of a tree needs the tree of a search, and this posterior of '{}' has none",
        0,
    ),
    "plot_lorenz": (
        WEIGHTED,
        "a Lorenz curve is for weighted particles, and the draws of '{}' all weigh the same",
        0,
    ),
    "plot_swaps": (
        {"parallel_tempering", "replica_exchange"},
        "a plot of swaps needs the swap rates of parallel tempering, which '{}' does not have",
        0,
    ),
    "plot_trace": (
        CHAINS,
        "a trace plot is for chains, and the draws of '{}' are weighted particles",
        3,
    ),
    "plot_rank": (
        CHAINS,
        "a rank plot is for chains, and the draws of '{}' are weighted particles",
        -1,
    ),
}
VARIANTS = {
    "tempered_smc": {"waste_free": True, "moves": 1},
    "entropic_particle_filter": {"look_ahead": 2},
    "giannone2025": {"look_ahead": 2},
    "twisted_smc": {"twist": "look_ahead", "successors": 2},
}
CASES = [(name, {}) for name in SAMPLERS] + list(VARIANTS.items())


def draw(picture, posterior, panels: int):
    """The picture on axes of a figure that pyplot does not know; the axes given and those
    returned."""
    figure = Figure()
    panels = 2 + len(shades(posterior)) if panels < 0 else panels
    axes = figure.subplots(1, panels or 1, squeeze=False).ravel()
    return axes, getattr(plots, picture)(
        posterior, **({"axes": axes} if panels else {"ax": axes[0]})
    )


@pytest.mark.long(quick=12)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_drawn_or_refused(name, settings, sampled, open_figures):
    posterior = sampled(name, **settings)
    for picture, (drawn_of, sentence, panels) in PICTURES.items():
        if picture == "plot_ancestry" and settings.get("waste_free"):
            with pytest.raises(
                ValueError,
                match="^an ancestry needs one trajectory for each slot, "
                "and those of this 'tempered_smc' hold several",
            ):
                draw(picture, posterior, panels)
        elif name in drawn_of:
            given, returned = draw(picture, posterior, panels)
            assert returned is given[0] if not panels else list(returned) == list(given)
            assert all(ax.has_data() for ax in given) and given[0].get_title(loc="left")
        else:
            with pytest.raises(ValueError, match=f"^{sentence.format(name)}$"):
                draw(picture, posterior, panels)
    assert open_figures() == 0


@pytest.mark.parametrize("name", SAMPLERS)
def test_log_evidence_drawn_or_refused(name, sampled, open_figures):
    runs = [sampled(name), sampled(name, seed=3)]
    ax = Figure().subplots()
    if name in EVIDENT:
        assert plots.plot_log_evidence(runs, ax=ax) is ax
    else:
        with pytest.raises(
            ValueError, match=f"pooled by their evidence, and one of '{name}' has none$"
        ):
            plots.plot_log_evidence(runs, ax=ax)
    assert open_figures() == 0


@pytest.mark.parametrize("picture", PICTURES)
def test_a_refusal_leaves_no_figure(picture, sampled, open_figures):
    drawn_of, sentence, _ = PICTURES[picture]
    for name in {"particle_filter", "suffix_metropolis"} - drawn_of:
        with pytest.raises(ValueError, match=f"^{sentence.format(name)}$"):
            getattr(plots, picture)(sampled(name))
    assert open_figures() == 0


@pytest.mark.parametrize(
    "picture", [*PICTURES, "plot_log_evidence", "plot_powers", "plot_reliability"]
)
def test_a_figure_of_its_own_can_be_printed(picture, sampled, open_figures):
    kind = {
        "plot_swaps": "parallel_tempering",
        "plot_trace": "suffix_metropolis",
        "plot_rank": "suffix_metropolis",
    }
    kind["plot_tree"] = "beam_search"
    posterior = sampled(
        kind.get(picture, "tempered_smc" if picture == "plot_powers" else "particle_filter")
    )
    arguments = {
        "plot_log_evidence": ([posterior],),
        "plot_reliability": ([0.2, 0.9], [False, True]),
    }
    returned = getattr(plots, picture)(*arguments.get(picture, (posterior,)))
    axes = np.atleast_1d(returned)
    assert all(isinstance(ax, Axes) for ax in axes) and open_figures() == 1
    axes[0].figure.canvas.draw()
    assert (
        all(ax.get_ylabel() for ax in axes if picture != "plot_answers") and axes[-1].get_xlabel()
    )


def test_the_wrong_number_of_axes_is_refused(sampled):
    axes = Figure().subplots(1, 3)
    with pytest.raises(ValueError, match="^axes must be 2 axes, one for each panel, not 3$"):
        plots.plot_ess(sampled("particle_filter"), axes=axes)


@pytest.mark.parametrize(
    ("slots", "steps", "answers"), [(1, 1, 1), (8, 1, 2), (8, 6, 2), (256, 9, 30)]
)
def test_small_and_large(slots, steps, answers, forked):
    posterior = forked(slots, steps, answers)
    for picture in ("plot_answers", "plot_scores", "plot_ancestry", "plot_ess", "plot_lorenz"):
        np.atleast_1d(getattr(plots, picture)(posterior))[0].figure.canvas.draw()


def test_scores_of_zero_and_one_and_before_a_death(forked):
    posterior = forked(8)
    ends = tuple(
        np.full(x.depth, -np.inf if slot % 2 else np.inf)
        for slot, x in enumerate(posterior.trajectories)
    )
    for log_odds in (
        ends,
        tuple(np.full(len(row), -np.inf) for row in ends),
        (*ends[:-2], ends[-2][:0], ends[-1]),
    ):
        plots.plot_scores(replace(posterior, log_odds=log_odds)).figure.canvas.draw()
        plots.plot_ancestry(replace(posterior, log_odds=log_odds)).figure.canvas.draw()


def test_matplotlib_is_not_imported_until_something_is_drawn():
    program = """
import sys
from motes.diagnostics import plots
from motes.diagnostics.plots.shades import shades
assert set(dir(plots)) >= {"plot_ancestry", "plot_rank"}
assert all(callable(getattr(plots, name)) for name in plots.__all__)
print("matplotlib" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False"]
