"""One posterior of the votes of several language models, or ways to sample one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..models import Component, LanguageModel, Sampling
from ..ppl.posterior.errors import NoErrors
from ..ppl.posterior.pooling import pool
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Reason
from ..ppl.statespace import StateSpaceModel


def asked_otherwise(
    model: StateSpaceModel, way: LanguageModel | Component | Sampling
) -> StateSpaceModel:
    """Return a declaration with another language model, prior, or both."""
    if isinstance(way, Sampling):
        return replace(model, prior=way)
    if isinstance(way, Component):
        return replace(model, lm=way.lm, prior=way.sampling)
    return replace(model, lm=way)


def joined(
    votes: Sequence[Posterior], *, sampler: str, paper: str, step_cost: str, reason: Reason
) -> Posterior:
    """Return one posterior of all votes, of which each run has as many.

    Every run is of a declaration of its own, so that how they differ tells no error.
    """
    pooled = pool([replace(x, provenance=replace(x.provenance, identity={})) for x in votes])
    provenance = replace(
        pooled.provenance,
        sampler=sampler,
        guarantee="heuristic",
        evidence="none",
        paper=paper,
        step_cost=step_cost,
        from_prior=False,
        independent=False,
        reasons=(reason,),
    )
    settings = {
        **pooled.settings,
        "sampler": sampler,
        "lm": [x.settings["lm"] for x in votes],
        "prior": [x.settings["prior"] for x in votes],
        "identity": [x.settings["identity"] for x in votes],
    }
    return replace(
        pooled,
        log_evidence=None,
        errors=NoErrors(runs=pooled.runs),
        provenance=provenance,
        settings=settings,
    )


def shared_out(joint: Posterior, weights: np.ndarray) -> Posterior:
    """Return the same draws with other weights, float64 (N,), which sum to one."""
    with np.errstate(divide="ignore"):
        return replace(joint, log_weights=np.log(weights))
