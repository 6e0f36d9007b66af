"""A posterior as an `xarray.DataTree` in ArviZ's schema (https://python.arviz.org/en/stable/schema/schema.html).

One run of a filter is one chain, and each of its N particles is a draw; C chains of S draws are what they are. A filter's draws
are *weighted*: an average over the `draw` dimension is an average over the posterior only with `sample_stats.weight`. Ragged
things are padded: floats with not a number, texts with "".

Dimensions: chain, draw, step = the steps of the longest trajectory (numbered from 1), token = the tokens of the longest, smc_step =
the T steps of the filter, particle = its slots, answer = the K different answers.
`motes.ppl.saved` makes a posterior of it again.

    posterior        (chain, draw)                  answer: position in `answers.answer`, -1 for no answer
                                                    depth, tokens: number of steps, and of tokens
                                                    logprob: of the trajectory under the prior, nats
                 (chain, draw, ...)                 what a program has drawn beside its steps, by its sites' names
    sample_stats     (chain, draw)                  log_weight, weight: normalised; -inf and 0 for a dead particle
                                                    lp: log gamma(x) of the declared target, nats
                                                    eve: slot after the first step from which it descends (of a filter)
                                                    finished, truncated
                                                    proposal_logprob: under the proposals it was drawn from, nats
                     (chain, draw, step)            prefix_logprob, prefix_proposal_logprob: of the steps so far
                                                    log_odds: of the reward model (only where there is one)
    log_likelihood   (chain, draw, step)            step_is_right: log r_t, nats (only where there is a reward model)
    smc (of a filter) (chain, smc_step)             ess: after reweighing, before any resampling
                                                    resampled: whether the population was, just before the step
                                                    log_increment: of the evidence, nats
                     (chain, smc_step, particle)    ancestor: slot at the step before
                                                    log_weight: normalised
    answers          (answer)                       probability, mcse: its Monte Carlo standard error
    text             (chain, draw)                  stated: whether an answer was; answer: as it is spelled there, or ""
                     (chain, draw, step)            step_text; step_tokens: how many
                     (chain, draw, token)           token_id, -1 behind the last
    constant_data    ()                             question

Attributes of the root: what was run (sampler, target, guarantee, evidence, paper, step_cost), what came of it (log_evidence, not
a number for chains, which `chains` counts; no_answer_probability, no_answer_mcse), rates, settings and cost as JSON, and the
schema's own (created_at, ...).
netCDF has no room in its texts for the character NUL, which becomes U+2400, nor for unpaired surrogates, which become "?".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray import Dataset, DataTree

from ..smc import History

if TYPE_CHECKING:
    from .posterior import Posterior

SAMPLE = ("chain", "draw")
BY_STEP = (*SAMPLE, "step")
OWN = ("answer", "depth", "tokens", "logprob")  # variables of the posterior group that are not a program's


def to_datatree(posterior: Posterior) -> DataTree:
    """The posterior's data tree; see this module's description for what is in it."""
    stated = [answer for answer in posterior.answers if answer is not None]
    groups = {
        "posterior": _posterior(posterior, stated),
        "sample_stats": _sample_stats(posterior),
        "answers": _answers(posterior, stated),
        "text": _text(posterior),
        "constant_data": Dataset({"question": storable(posterior.question)}),
    }
    if posterior.history is not None:
        groups["smc"] = _smc(posterior.history)
    if any(map(len, posterior.log_odds)):
        log_odds = by_chain(posterior, padded(posterior.log_odds, groups["sample_stats"].sizes["step"]))
        groups["sample_stats"]["log_odds"] = (BY_STEP, log_odds)
        with np.errstate(invalid="ignore"):  # the padding
            groups["log_likelihood"] = Dataset({"step_is_right": (BY_STEP, -np.logaddexp(0.0, -log_odds))})
    tree = DataTree.from_dict({name: _counted(group) for name, group in groups.items()})
    tree.attrs.update(_attributes(posterior))
    return tree


def padded(rows: Sequence[Sequence[Any] | np.ndarray], width: int, fill: float | str = nan) -> np.ndarray:
    """Ragged rows filled up, shape (rows, width); float64, int64 or object, as `fill` is."""
    table = np.full((len(rows), width), fill, dtype=object if isinstance(fill, str) else None)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def by_chain(posterior: Posterior, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Values of all trajectories, shape (N, ...), by chain and draw: (C, S, ...)."""
    values = np.asarray(values)
    chains = posterior.chains or 1
    return values.reshape(chains, len(values) // chains, *values.shape[1:])


def storable(text: str) -> str:
    """The text without what netCDF cannot hold: NUL and unpaired surrogates."""
    return text.replace("\0", "\u2400").encode("utf-8", "replace").decode("utf-8")


def _posterior(posterior: Posterior, stated: list[str]) -> Dataset:
    index = {answer: i for i, answer in enumerate(stated)}
    trajectories = posterior.trajectories
    columns = {
        "answer": [-1 if label is None else index.get(label, -1) for label in posterior.labels],
        "depth": [x.depth for x in trajectories],
        "tokens": [len(x.token_ids) for x in trajectories],
        "logprob": [float(x.logprob) for x in trajectories],
    }
    own = {name: (SAMPLE, by_chain(posterior, column)) for name, column in columns.items()}
    latents = {_free(name, own): (_dims(name, column), by_chain(posterior, column)) for name, column in posterior.latents.items()}
    return Dataset(own | latents)


def _free(name: str, taken: Collection[str]) -> str:
    """A site's name as a variable's: with an underscore where that is taken; netCDF allows no slash."""
    name = name.replace("/", ".")
    return f"{name}_" if name in taken else name


def _dims(name: str, column: np.ndarray) -> tuple[str, ...]:
    return (*SAMPLE, *(f"{name.replace('/', '.')}_dim_{axis}" for axis in range(column.ndim - 1)))


def _sample_stats(posterior: Posterior) -> Dataset:
    trajectories = posterior.trajectories
    paths, longest = [x.path[1:] for x in trajectories], max(x.depth for x in trajectories)
    columns = {
        "log_weight": posterior.log_weights,
        "weight": np.exp(posterior.log_weights),
        "lp": posterior.log_density,
        "finished": [x.finished for x in trajectories],
        "truncated": [x.truncated for x in trajectories],
        "proposal_logprob": [float(x.proposal_logprob) for x in trajectories],
    }
    if posterior.eves is not None:
        columns["eve"] = posterior.eves
    by_step = {
        "prefix_logprob": padded([[node.logprob for node in path] for path in paths], longest),
        "prefix_proposal_logprob": padded([[node.proposal_logprob for node in path] for path in paths], longest),
    }
    of_draws = {name: (SAMPLE, by_chain(posterior, column)) for name, column in columns.items()}
    return Dataset(of_draws | {name: (BY_STEP, by_chain(posterior, column)) for name, column in by_step.items()})


def _smc(history: History) -> Dataset:
    by_step, by_slot = ("chain", "smc_step"), ("chain", "smc_step", "particle")
    return Dataset(
        {
            "ess": (by_step, history.ess[None]),
            "resampled": (by_step, history.resampled[None]),
            "log_increment": (by_step, history.log_increments[None]),
            "ancestor": (by_slot, history.ancestors[None]),
            "log_weight": (by_slot, history.log_weights[None]),
        }
    )


def _answers(posterior: Posterior, stated: list[str]) -> Dataset:
    probabilities, errors = posterior.answers, posterior.answer_mcse
    columns = {"probability": [probabilities[answer] for answer in stated], "mcse": [errors[answer] for answer in stated]}
    return Dataset({name: ("answer", column) for name, column in columns.items()}, coords={"answer": _texts(stated)})


def _text(posterior: Posterior) -> Dataset:
    paths, token_ids = [x.path[1:] for x in posterior.trajectories], [x.token_ids for x in posterior.trajectories]
    longest, most = max(map(len, paths)), max(map(len, token_ids))
    columns = {
        "stated": (SAMPLE, [answer is not None for answer in posterior.extracted]),
        "answer": (SAMPLE, _texts([answer or "" for answer in posterior.extracted])),
        "step_text": (BY_STEP, padded([_texts([node.step_text for node in path]) for path in paths], longest, "")),
        "step_tokens": (BY_STEP, padded([[len(node.step_token_ids) for node in path] for path in paths], longest, 0)),
        "token_id": ((*SAMPLE, "token"), padded(token_ids, most, -1)),
    }
    return Dataset({name: (dimensions, by_chain(posterior, column)) for name, (dimensions, column) in columns.items()})


def _texts(texts: Sequence[str]) -> np.ndarray:
    return np.array([storable(text) for text in texts], dtype=object)


def _counted(group: Dataset) -> Dataset:
    """With coordinates: steps are numbered from 1, everything else from 0."""
    numbers = {str(name): np.arange(size) + str(name).endswith("step") for name, size in group.sizes.items() if name not in group.coords}
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
        "latents": json.dumps({_free(name, OWN): name for name in posterior.latents}),
        "rates": json.dumps(dict(posterior.rates)),
        "log_evidence": nan if posterior.log_evidence is None else posterior.log_evidence,
        "no_answer_probability": posterior.answers.get(None, 0.0),
        "no_answer_mcse": posterior.answer_mcse.get(None, 0.0),
        "settings": json.dumps(dict(posterior.settings), default=str),
        "cost": json.dumps(posterior.cost.asdict()),
        "created_at": datetime.now(UTC).isoformat(),
        "creation_library": "motes",
        "creation_library_version": _version(),
        "creation_library_language": "Python",
        "inference_library": "motes",
        "inference_library_version": _version(),
        "sampling_time": posterior.cost.seconds,
    }


def _version() -> str:
    try:
        return version("motes")
    except PackageNotFoundError:
        return "unknown"
