"""A posterior as an `xarray.DataTree` in ArviZ's schema.

The schema: https://python.arviz.org/en/stable/schema/schema.html.

A chain is an MCMC chain, a draw one of its iterations. A filter's trajectories are *weighted*, and
most readers of a tree know nothing of weights. So the group `posterior` holds draws that may be
taken at face value: of weighted trajectories, copies drawn by weight, as many as they are worth
(see `motes.ppl.posterior.equal_draws`). The weighted population itself stands in the group
`population`, where a chain is one of the independent runs that were pooled, or the one run. Ragged
things are padded: floats with NaN, texts with "".

Dimensions: chain, draw, particle = the trajectories of a population (or the slots of a filter),
step = the steps of the longest trajectory (numbered from 1), token = the tokens of the longest,
smc_step = the T steps of the filter, answer = the K different answers.
`motes.ppl.posterior.reading` makes a posterior of it again.

    posterior        (chain, draw)              answer: position in `answers.answer`, -1 for none
                                                depth, tokens: number of steps, and of tokens
                                                logprob: of the trajectory under the prior, nats
                     (chain, draw, ...)         what a program has drawn besides its steps, by its
                                                    sites' names
                                                of weighted trajectories each has an attribute mcse
    sample_stats     (chain, draw)              lp: log gamma(x) of the declared target, nats
                                                finished, truncated
                                                proposal_logprob: under its proposals, nats
                                                log_weight, weight (of chains: all the same)
                                                particle: of which it is a copy (of a population)
                     (chain, draw, step)        prefix_logprob, prefix_proposal_logprob: so far
                                                log_odds: of the reward model, where there is one
    population       (chain, particle)          all of the above, of weighted trajectories; and
    (if weighted)                               log_weight, weight: normalised over all; -inf and 0
                                                    for a dead particle; of pooled runs they
                                                    contain each run's Z-hat
                                                eve: slot after the first step from which it
                                                    descends (of a filter)
    log_likelihood   (chain, draw, step)        prm: log r_t, nats (with a reward model)
    observed_data    (step)                     prm: 1, that step t is right (with a reward model)
    prior            (chain, draw)              answer, depth, tokens, logprob: of draws from the
                                                    prior, equally weighted, where there are any:
                                                    given, or its own where these are independent
    smc (of filters) (chain, smc_step)          ess; entropy, nats: of the new weights
                                                resampled: whether, just before the step
                                                log_increment: of the evidence, nats
                                                distinct_ancestors: how many particles
                                                    of the step have descendants
                     (chain, smc_step, particle) ancestor: slot at the step before
                                                log_weight: normalised
    runs (if pooled) (chain)                    log_evidence, nats; steps: T of the run,
                                                    -1 if it is no filter; settings, cost
                                                    and provenance, JSON
    tree (of search) (node)                     parent, round, log_value, visits, status, tokens,
                                                first, draw, text; see
                                                    `motes.ppl.SearchTree`
    answers          (answer)                   probability, mcse: its Monte Carlo standard error
    text             (chain, draw or particle)  stated: whether an answer was; answer:
                                                    as it is spelled there, or ""
                     (chain, ..., step)         step_text; step_tokens: how many;
                                                    step_delimited: whether the step
                                                    ended at its rule's delimiter
                     (chain, ..., token)        token_id, -1 after the last
    constant_data    ()                         question; settings, cost, rates, provenance and
                                                    versions, JSON; sites: the
                                                    names of latents by variable, JSON

Attributes of the root: what was run (sampler, target, guarantee, evidence, paper, step_cost), what
came of it (log_evidence and its mcse, NaN for chains, which `chains` counts; no_answer_probability,
no_answer_mcse), and the schema's own (created_at, ...). netCDF has no room in its texts for the
character NUL, which becomes U+2400, nor for unpaired surrogates, which become "?".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray
from xarray import Dataset, DataTree

from ...log_odds import log_sigmoids
from ...smc import History, distinct_ancestors, entropy
from .draw_groups import (
    BY_STEP,
    SAMPLE,
    posterior_group,
    prior_group,
    sample_stats,
    site_variables,
    text_group,
)
from .equal_draws import effective_draws, equal_draws
from .tree_arrays import padded, storable, text_array

if TYPE_CHECKING:
    from .posterior import Posterior
    from .search_tree import SearchTree

OF_WEIGHTED = ("log_weight", "weight", "eve")  # statistics that copies do not have
# variables of the group `tree`, and the attributes of a `SearchTree` that they are
TREE_COLUMNS = {
    "parent": "parents",
    "round": "rounds",
    "log_value": "log_values",
    "visits": "visits",
    "status": "statuses",
    "tokens": "tokens",
    "first": "firsts",
    "draw": "draws",
}
ROUNDING = 1e-6  # of an effective sample size that is a whole number
PACKAGES = ("motes", "jax", "numpy", "numpyro", "torch", "transformers", "xarray")


def to_datatree(posterior: Posterior, prior: Posterior | None = None) -> DataTree:
    """Give the posterior's data tree; this module's description says what is in it.

    Args:
        posterior: the posterior.
        prior: draws from the prior, for its group.

    Raises:
        ValueError: `prior` is weighted, or of another question.
    """
    answers = [answer for answer in posterior.answers if answer is not None]
    numbers = posterior_group(posterior, answers)
    stats = sample_stats(posterior)
    text = text_group(posterior)
    groups = {"answers": _answers(posterior, answers), "constant_data": _constant(posterior)}
    if posterior.chains:
        groups |= {"posterior": numbers, "sample_stats": stats, "text": text}
    else:
        chosen = _chosen(posterior)
        groups["posterior"] = _stated_errors(posterior, _taken(numbers, chosen))
        groups["sample_stats"] = _taken(stats.drop_vars(OF_WEIGHTED, errors="ignore"), chosen)
        groups["sample_stats"]["particle"] = (SAMPLE, chosen[None])
        groups["population"] = xarray.merge([numbers, stats]).rename(draw="particle")
        groups["text"] = text.rename(draw="particle")
    if "log_odds" in stats:
        log_odds = groups["sample_stats"]["log_odds"]
        with np.errstate(invalid="ignore"):  # the padding
            log_likelihood = log_sigmoids(log_odds.values)
        steps = stats.sizes["step"]
        groups["log_likelihood"] = Dataset({"prm": (BY_STEP, log_likelihood)})
        groups["observed_data"] = Dataset({"prm": ("step", np.ones(steps, np.int64))})
    drawn = prior_group(posterior, prior)
    if drawn is not None:
        groups["prior"] = drawn
    histories = [run.history for run in posterior.runs or (posterior,) if run.history is not None]
    if histories:
        groups["smc"] = _smc(histories)
    if posterior.tree is not None:
        groups["tree"] = _search_tree(posterior.tree)
    if posterior.runs:
        groups["runs"] = _runs(posterior)
    tree = DataTree.from_dict({name: _counted(group) for name, group in groups.items()})
    tree.attrs.update(_attributes(posterior))
    return tree


def _chosen(posterior: Posterior) -> np.ndarray:
    """Choose as many draws as the population is worth, in random order: positions, shape (M,)."""
    if posterior.provenance.copies:  # worth no more than what they are copies of
        shares = np.array(list(posterior.distinct.values()))
        worth = float(1 / (shares @ shares))
    else:
        worth = effective_draws(posterior.log_weights, posterior.errors)
    chosen = equal_draws(posterior.log_weights, max(1, int(worth + ROUNDING)))
    # neighbours share ancestors: in order they would look like a chain that mixes slowly
    return np.random.default_rng(0).permutation(chosen)


def _taken(group: Dataset, chosen: np.ndarray) -> Dataset:
    """Return the draws at these positions of all chains together, as one chain."""
    taken = {}
    for name, column in group.data_vars.items():
        chains, draws = column.shape[:2]
        flat = column.values.reshape(chains * draws, *column.shape[2:])
        taken[name] = (column.dims, flat[chosen][None])
    return Dataset(taken)


def _stated_errors(posterior: Posterior, draws: Dataset) -> Dataset:
    """Return the draws, and the Monte Carlo error of the weighted mean of each number."""
    columns = {
        "depth": np.array([x.depth for x in posterior.trajectories], np.float64),
        "tokens": posterior.lengths,
        "logprob": np.array([x.logprob for x in posterior.trajectories], np.float64),
    }
    for site, name in site_variables(posterior).items():
        if posterior.latents[site].ndim == 1:
            columns[name] = posterior.latents[site]
    for name, values in columns.items():
        draws[name].attrs["mcse"] = posterior.errors.mean(values, posterior.log_weights)
    return draws.assign_attrs(
        draws=f"{draws.sizes['draw']} of {len(posterior.trajectories)} weighted trajectories, "
        "drawn by weight, as many as these are worth",
        mcse="of a variable: the standard error of its mean over the weighted population",
    )


def _smc(histories: Sequence[History]) -> Dataset:
    """Return what is known of each step of the filters, one row a run; shorter runs are padded."""
    by_step = ("chain", "smc_step")
    by_slot = ("chain", "smc_step", "particle")
    steps = max(len(history.ess) for history in histories)
    columns: dict[str, list[Any]] = {
        "ess": [],
        "entropy": [],
        "resampled": [],
        "log_increment": [],
        "distinct_ancestors": [],
        "ancestor": [],
        "log_weight": [],
    }
    for history in histories:
        columns["ess"].append(history.ess)
        columns["entropy"].append(np.array([entropy(row) for row in history.log_weights]))
        columns["resampled"].append(history.resampled)
        columns["log_increment"].append(history.log_increments)
        columns["distinct_ancestors"].append(_distinct(history))
        columns["ancestor"].append(_stretched(history.ancestors, steps, -1))
        columns["log_weight"].append(_stretched(history.log_weights, steps, nan))
    resampled = padded(columns["resampled"], steps, fill=0).astype(bool)
    return Dataset(
        {
            "ess": (by_step, padded(columns["ess"], steps)),
            "entropy": (by_step, padded(columns["entropy"], steps)),
            "resampled": (by_step, resampled),
            "log_increment": (by_step, padded(columns["log_increment"], steps)),
            "distinct_ancestors": (
                by_step,
                padded(columns["distinct_ancestors"], steps, fill=-1),
            ),
            "ancestor": (by_slot, np.stack(columns["ancestor"])),
            "log_weight": (by_slot, np.stack(columns["log_weight"])),
        }
    )


def _distinct(history: History) -> Any:
    """Return how many particles of each step have descendants at the end."""
    if not len(history.ess):
        return []
    return distinct_ancestors(history.ancestors, history.log_weights[-1])[1:]


def _stretched(table: np.ndarray, rows: int, fill: float) -> np.ndarray:
    """Return a table with rows of `fill` added at its end."""
    return np.concatenate([table, np.full((rows - len(table), table.shape[1]), fill, table.dtype)])


def _search_tree(tree: SearchTree) -> Dataset:
    columns = {name: ("node", getattr(tree, field)) for name, field in TREE_COLUMNS.items()}
    columns["text"] = ("node", text_array(tree.texts))
    return Dataset(columns).assign_attrs(tokens_aside=tree.tokens_aside)


def _runs(posterior: Posterior) -> Dataset:
    log_evidences, steps, settings, costs, provenances = [], [], [], [], []
    for run in posterior.runs:
        log_evidences.append(run.log_evidence)
        steps.append(-1 if run.history is None else len(run.history.ess))
        settings.append(json.dumps(dict(run.settings), default=str))
        costs.append(json.dumps(run.cost.asdict()))
        provenances.append(_provenance(run))
    return Dataset(
        {
            "log_evidence": ("chain", log_evidences),
            "steps": ("chain", steps),
            "settings": ("chain", text_array(settings)),
            "cost": ("chain", text_array(costs)),
            "provenance": ("chain", text_array(provenances)),
        }
    )


def _constant(posterior: Posterior) -> Dataset:
    versions = {}
    for package in PACKAGES:
        version_here = _version(package)
        if version_here:
            versions[package] = version_here
    texts = {
        "question": posterior.question,
        "settings": json.dumps(dict(posterior.settings), default=str),
        "cost": json.dumps(posterior.cost.asdict()),
        "rates": json.dumps(dict(posterior.rates)),
        "provenance": _provenance(posterior),
        "sites": json.dumps({name: site for site, name in site_variables(posterior).items()}),
        "versions": json.dumps(versions),
    }
    return Dataset({name: storable(text) for name, text in texts.items()})


def _provenance(posterior: Posterior) -> str:
    return json.dumps(posterior.provenance.asdict(), default=str)


def _answers(posterior: Posterior, stated: list[str]) -> Dataset:
    probabilities, errors = posterior.answers, posterior.answer_mcse
    columns = {
        "probability": [probabilities[answer] for answer in stated],
        "mcse": [errors[answer] for answer in stated],
    }
    return Dataset(
        {name: ("answer", column) for name, column in columns.items()},
        coords={"answer": text_array(stated)},
    )


def _counted(group: Dataset) -> Dataset:
    """Add coordinates: steps are numbered from 1, everything else from 0."""
    numbers = {
        str(name): np.arange(size) + str(name).endswith("step")
        for name, size in group.sizes.items()
        if name not in group.coords
    }
    return group.assign_coords(numbers)


def _attributes(posterior: Posterior) -> dict[str, Any]:
    return {
        "sampler": storable(posterior.sampler),
        "target": storable(posterior.target),
        "guarantee": posterior.guarantee,
        "evidence": posterior.evidence,
        "paper": storable(posterior.paper),
        "step_cost": storable(posterior.step_cost),
        "chains": posterior.chains,
        "log_evidence": nan if posterior.log_evidence is None else posterior.log_evidence,
        "log_evidence_mcse": posterior.log_evidence_mcse,
        "no_answer_probability": posterior.answers.get(None, 0.0),
        "no_answer_mcse": posterior.answer_mcse.get(None, 0.0),
        "created_at": datetime.now(UTC).isoformat(),
        "creation_library": "motes",
        "creation_library_version": _version("motes") or "unknown",
        "creation_library_language": "Python",
        "inference_library": "motes",
        "inference_library_version": _version("motes") or "unknown",
        "sampling_time": posterior.cost.seconds,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
