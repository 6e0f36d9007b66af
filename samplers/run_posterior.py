"""From what a run has come to, to the posterior that says where it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from ..models import Component, Cost, Mixture, capabilities
from ..ppl.posterior.errors import errors_of
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Drew, Provenance, Reason
from ..ppl.statespace import StateSpaceModel
from .bound import BoundSampler, Draws
from .run_facts import IN_WARMUP, INTERRUPTED, chosen_by_answers, missed, moves_of, remedies_of


def posterior_of(
    bound: BoundSampler[Any], draws: Draws, settings: Mapping[str, Any], cost: Cost
) -> Posterior:
    """Make the posterior of what a run has come to.

    Args:
        bound: the sampler that ran.
        draws: what it has come to.
        settings: everything that it was asked to do, in plain values, and how it ended.
        cost: what was computed.
    """
    sampler, model = bound.sampler, bound.model
    trajectories = tuple(particle.trajectory for particle in draws.particles)
    heuristic = "heuristic" in (draws.guarantee, sampler.guarantee) or not all(
        map(model.covers, sampler.proposals(model))
    )
    log_density = np.full(len(draws.particles), nan)  # of an open trajectory it is not known
    for i, particle in enumerate(draws.particles):
        if not particle.open:
            log_density[i] = model.log_density(particle)
    shares = _components(bound, draws)
    return Posterior(
        question=model.question,
        trajectories=trajectories,
        log_weights=draws.log_weights,
        log_odds=tuple(np.array(particle.log_odds, np.float64) for particle in draws.particles),
        extracted=tuple(map(model.answer_of, draws.particles)),
        latents=by_name([model.latents(x) for x in draws.particles]),
        log_density=log_density,
        log_evidence=draws.log_evidence,
        errors=errors_of(draws.history, draws.chains),
        provenance=_provenance(bound, draws, settings, heuristic, shares),
        tree=draws.tree,
        rates={**draws.rates, **({"components": shares} if shares else {})},
        settings=settings,
        cost=cost,
    )


def _components(bound: BoundSampler[Any], draws: Draws) -> list[float]:
    """Say what share of the result each component of a mixture drew, by weight.

    Nothing where steps are drawn from no mixture. Were all draws of equal weight, these would be
    the mixture's own weights, in the mean over runs. Of a declared mixture it is the posterior of
    who wrote.
    """
    mixture, model = bound.sampler.proposals(bound.model)[0], bound.model
    if not isinstance(mixture, Mixture) and isinstance(model, StateSpaceModel):
        mixture = capabilities(model.lm).law
    if not isinstance(mixture, Mixture):
        return []
    drew = np.array([mixture.drew(x.trajectory) for x in draws.particles])
    written, weights = np.isfinite(drew[:, 0]), np.exp(np.asarray(draws.log_weights))
    total = float(weights[written].sum())
    if not total:
        return []
    shares: list[float] = (weights[written] @ drew[written] / total).tolist()
    return shares


def _drew(bound: BoundSampler[Any], shares: Sequence[float]) -> Iterator[Drew]:
    """Say what each component of a mixture of proposals drew; of a declared one it is a result."""
    mixture = bound.sampler.proposals(bound.model)[0]
    if not isinstance(mixture, Mixture) or not shares:
        return
    rows = zip(mixture.components, mixture.weights or (), shares, strict=True)
    for number, (component, weight, share) in enumerate(rows, 1):
        model = f" ({component.lm.name})" if isinstance(component, Component) else ""
        yield Drew(f"component {number}{model}", weight, share)


def _provenance(
    bound: BoundSampler[Any],
    draws: Draws,
    settings: Mapping[str, Any],
    heuristic: bool,
    shares: Sequence[float],
) -> Provenance:
    """Say what made the posterior.

    `heuristic` where nothing is guaranteed; `shares` of the result by component of a mixture.
    """
    sampler, model = bound.sampler, bound.model
    plain = list(sampler.proposals(model)) == [model.prior]
    stopped: Any = settings["stopped"]
    judged = settings.get("prm") is not None
    program = "program" in settings
    slots = 0 if draws.history is None else draws.history.ancestors.shape[1]
    return Provenance(
        sampler=sampler.name,
        target=model.target_name,
        guarantee="heuristic" if heuristic else draws.guarantee or sampler.guarantee,
        evidence="none" if heuristic else draws.evidence or sampler.evidence,
        paper=sampler.paper,
        step_cost=sampler.step_cost,
        unit=sampler.unit,
        stopped=stopped,
        stopping=draws.stopping,
        reasons=tuple(_reasons(bound, draws, stopped)),
        independent=sampler.independent,
        from_prior=sampler.independent and plain and not stopped and not heuristic,
        plain_weights=sampler.weighs_by_score and plain and judged and not program,
        program=program,
        judged=judged,
        alpha=model.alpha,
        look_ahead=bool(settings.get("look_ahead")),
        ess_threshold=float(settings.get("ess_threshold") or 0.0),
        resampled_freely=settings.get("resampling") == "multinomial",
        suffix_moves=sampler.suffix_moves,
        moves=moves_of(draws.rates, settings, len(draws.particles), slots),
        drew=tuple(_drew(bound, shares)),
        ladder=tuple(draws.rates.get("powers", ())),
        betas=tuple(draws.rates.get("betas") or settings.get("betas") or ()),
        round_trips=int(draws.rates.get("round_trips", 0)),
        largest_log_weight=float(draws.rates.get("largest_log_weight", 0.0)),
        doubts=tuple(settings.get("doubts", ())),
        seed=(bound.keys.seed, bound.keys.run),
        identity=settings.get("identity", {}),
        remedies=remedies_of(settings, gentler=sampler.gentler, livelier=sampler.livelier),
    )


def _reasons(bound: BoundSampler[Any], draws: Draws, stopped: str) -> Iterator[Reason]:
    """Say what makes a run heuristic, and what to change."""
    sampler, model = bound.sampler, bound.model
    yield from sampler.reasons()
    if draws.stopping is not None and draws.guarantee == "heuristic":
        yield chosen_by_answers(draws.stopping)
    yield from missed(sampler.proposals(model), model.prior)
    if stopped == "interrupt":
        yield INTERRUPTED
    elif sampler.budget is not None and sampler.bent_by_budget:
        yield Reason(
            (
                f"it has a budget of {sampler.budget} tokens, and what that spares depends on what "
                "was written"
            ),
            (
                "bound the run by particles and max_steps instead, or use "
                "sampler='importance_sampling', which finishes what it began"
            ),
        )
    elif draws.chains and not draws.rates:
        yield IN_WARMUP


def by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the numbers of N particles by name, shape (N, ...).

    NaN where a particle has none of this name, or of another shape.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for row in rows:
        for name, value in row.items():
            shapes.setdefault(name, np.shape(value))  # the first row that has it says its shape
    table = {name: np.full((len(rows), *shapes[name]), nan) for name in sorted(shapes)}
    for i, row in enumerate(rows):
        for name, value in row.items():
            if np.shape(value) == shapes[name]:
                table[name][i] = value
    return table
