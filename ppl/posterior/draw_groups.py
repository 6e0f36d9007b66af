"""The groups of a data tree that hold draws; `posterior_tree` says what is in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray import Dataset

from .tree_arrays import by_chain, padded, text_array
from .variable_names import dimension_names, variable_names

if TYPE_CHECKING:
    from .posterior import Posterior

SAMPLE = ("chain", "draw")
BY_STEP = (*SAMPLE, "step")
# variables of the posterior group that are not a program's
OWN = ("answer", "depth", "tokens", "logprob")
DIMENSIONS = ("chain", "draw", "particle", "step", "token")
STATISTICS = (
    "log_weight",
    "weight",
    "lp",
    "finished",
    "truncated",
    "proposal_logprob",
    "eve",
    "particle",
    "prefix_logprob",
    "prefix_proposal_logprob",
    "log_odds",
)


def posterior_group(posterior: Posterior, answers: list[str]) -> Dataset:
    """Return the draws: what summarises them, and what a program has drawn besides its steps.

    Args:
        posterior: the posterior.
        answers: the different answers, in order.
    """
    own = _numbers(posterior, answers)
    latents = {}
    for site, name in site_variables(posterior).items():
        column = posterior.latents[site]
        dimensions = (*SAMPLE, *dimension_names(name, column.ndim - 1))
        latents[name] = (dimensions, by_chain(posterior, column))
    return Dataset(own | latents)


def _numbers(posterior: Posterior, answers: list[str]) -> dict[str, Any]:
    """Return what trajectories are summarised by, those of `OWN`."""
    # no answer is none of these, and has the number -1
    index: dict[str | None, int] = {answer: i for i, answer in enumerate(answers)}
    columns = (
        [index.get(label, -1) for label in posterior.labels],
        [x.depth for x in posterior.trajectories],
        [len(x.token_ids) for x in posterior.trajectories],
        [float(x.logprob) for x in posterior.trajectories],
    )
    return {
        name: (SAMPLE, by_chain(posterior, column))
        for name, column in zip(OWN, columns, strict=True)
    }


def prior_group(posterior: Posterior, prior: Posterior | None) -> Dataset | None:
    """Return draws from the prior: those given, or the posterior's own.

    The posterior's own are taken where they are independent draws from the prior.
    """
    if prior is None:
        if not posterior.provenance.from_prior or posterior.runs:
            return None
        prior = posterior
    elif prior.question != posterior.question or np.ptp(prior.log_weights) > 1e-9:
        raise ValueError(
            "prior must be equally weighted draws for the same question, as of a run without a "
            "reward model"
        )
    # the posterior's answers keep their positions; those of the prior alone come after them
    spelled = dict.fromkeys([*posterior.answers, *prior.labels])
    answers = [answer for answer in spelled if answer is not None]
    return Dataset(_numbers(prior, answers)).assign_attrs(answers=json.dumps(answers))


def site_variables(posterior: Posterior) -> dict[str, str]:
    """Return the variable of each site that a program has drawn numbers at."""
    sites = {name: column.ndim - 1 for name, column in posterior.latents.items()}
    return variable_names(sites, taken=(*OWN, *STATISTICS, *DIMENSIONS))


def sample_stats(posterior: Posterior) -> Dataset:
    """Return the weights and densities of the draws, at their ends and step by step."""
    trajectories = posterior.trajectories
    paths = [x.path[1:] for x in trajectories]
    longest = max(x.depth for x in trajectories)
    columns = {
        "log_weight": posterior.log_weights,
        "weight": np.exp(posterior.log_weights),
        "lp": posterior.log_density,
        "finished": [x.finished for x in trajectories],
        "truncated": [x.truncated for x in trajectories],
        "proposal_logprob": [float(x.proposal_logprob) for x in trajectories],
    }
    runs = posterior.runs or (posterior,)
    eves = [run.eves for run in runs if run.eves is not None]
    if len(eves) == len(runs):
        columns["eve"] = np.concatenate(eves)
    logprobs = [[node.logprob for node in path] for path in paths]
    proposal_logprobs = [[node.proposal_logprob for node in path] for path in paths]
    by_step = {
        "prefix_logprob": padded(logprobs, longest),
        "prefix_proposal_logprob": padded(proposal_logprobs, longest),
    }
    if any(map(len, posterior.log_odds)):
        by_step["log_odds"] = padded(posterior.log_odds, longest)
    variables = {}
    for name, column in columns.items():
        variables[name] = (SAMPLE, by_chain(posterior, column))
    for name, column in by_step.items():
        variables[name] = (BY_STEP, by_chain(posterior, column))
    return Dataset(variables)


def text_group(posterior: Posterior) -> Dataset:
    """Return the answers, steps and tokens of the draws as they were written."""
    paths = [x.path[1:] for x in posterior.trajectories]
    token_ids = [x.token_ids for x in posterior.trajectories]
    longest = max(map(len, paths))
    most = max(map(len, token_ids))
    texts = [text_array([node.step_text for node in path]) for path in paths]
    sizes = [[len(node.step_token_ids) for node in path] for path in paths]
    delimited = [[node.delimited for node in path] for path in paths]
    columns = {
        "stated": (SAMPLE, [answer is not None for answer in posterior.extracted]),
        "answer": (SAMPLE, text_array([answer or "" for answer in posterior.extracted])),
        "step_text": (BY_STEP, padded(texts, longest, "")),
        "step_tokens": (BY_STEP, padded(sizes, longest, 0)),
        "step_delimited": (BY_STEP, padded(delimited, longest, False)),
        "token_id": ((*SAMPLE, "token"), padded(token_ids, most, -1)),
    }
    return Dataset(
        {
            name: (dimensions, by_chain(posterior, column))
            for name, (dimensions, column) in columns.items()
        }
    )
