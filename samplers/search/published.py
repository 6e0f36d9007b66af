"""Two procedures as they were published: presets to compare with.

Neither samples the target it speaks of.

Both score every trajectory by its reward model's odds r / (1 - r) on the present prefix, select all
N in proportion to that after every step, and forget the weights. What follows from it, for
trajectories that take part in all T selections, is the law

    p(x) prod_t odds_t(x_1:t) odds_T(x_1:T)

with closed trajectories scored again at every later step, and the last score used twice: for the
last selection, and for the answer. (As N grows; the law at any N can be enumerated, and the tests
do.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, log
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Stepwise
from ...ppl.particle import Particle
from ...ppl.posterior.provenance import Reason
from ...ppl.statespace import StateSpaceModel
from ...smc import (
    GrowingHistory,
    RunKeys,
    entropy,
    ess,
    log_mean_exp,
    normalise,
    subkeys,
)
from ...smc.arrays import objects
from ...smc.resampling import SCHEMES, draw_ancestors, pick_at
from ..base import AllParticlesDead, PopulationSampler
from ..bound import BoundSampler, Draws
from ..filters.entropic import Foresight, temperature
from ..run_facts import Advice


class Scored(NamedTuple):
    """A population under way.

    Attributes:
        particles: N, after the last selection, object array.
        steps: taken.
        ancestors: of the last selection, shape (N,).
        history: of the steps, each with the selection before it.
    """

    particles: Any
    steps: int
    ancestors: np.ndarray
    history: GrowingHistory


@dataclass(frozen=True, eq=False)
class BoundPublished(BoundSampler[Scored]):
    """A published procedure on a state-space model.

    Attributes:
        stepwise: the model, step by step.
        successors: K, steps drawn for each particle, of which its copies go on with one each.
        selection: (t, normalised log-scores after step t, shape (N,)) -> log-probabilities of
            selection, up to a constant.
    """

    stepwise: Stepwise
    successors: int
    selection: Callable[[int, np.ndarray], np.ndarray]

    def init(self) -> Scored:
        root = self.model.root()
        n = self.sampler.particles
        return Scored(objects([root] * n), 0, np.arange(n), GrowingHistory.empty(n))

    def step(self, state: Scored) -> Scored:
        t, n, k = state.steps + 1, self.sampler.particles, self.successors
        known = [[particle] * k for particle in state.particles]
        going = [i for i, particle in enumerate(state.particles) if particle.open]
        slots = self.keys.moves(t, n, range(n))
        for i, after in zip(
            going,
            self.stepwise.successors(self.proposed, slots, state.particles, k, going),
            strict=True,
        ):
            known[i] = after
        scores = np.array([last_scores(successors) for successors in known])
        log_weights, total = normalise(
            np.array([log_mean_exp(row) for row in scores]), source="the reward model's log-odds"
        )
        if total == -inf:
            raise AllParticlesDead(t, n)
        probabilities, _ = normalise(self.selection(t, log_weights))
        ancestors = draw_ancestors(
            self.sampler.resampling, self.keys.resampling(t), np.exp(probabilities)
        )
        uniforms = SlotUniforms(subkeys(slots, k), n).at(0)
        particles: Any = objects(
            known[i][pick_at(u, scores[i])] for i, u in zip(ancestors, uniforms, strict=True)
        )
        history = state.history.appended(
            ess(log_weights), t > 1, total - log(n), state.ancestors, log_weights
        )
        return Scored(particles, t, ancestors, history)

    def done(self, state: Scored) -> bool:
        return state.steps > 0 and not any(x.open for x in state.particles)

    def count(self, state: Scored) -> int:
        return state.steps

    def draws(self, state: Scored, complete: bool) -> Draws:
        log_weights, _ = normalise(last_scores(state.particles))
        # the last selection
        history = state.history.appended(ess(log_weights), True, 0.0, state.ancestors, log_weights)
        return Draws(list(state.particles), log_weights, None, history.history())


def last_scores(particles: Sequence[Particle]) -> np.ndarray:
    """Return the log-odds of each particle's last step.

    Minus infinity outside the prior's support; shape (N,).
    """
    return np.array(
        [x.log_odds[-1] if len(x.log_odds) == x.trajectory.depth > 0 else -inf for x in particles]
    )


def check_scored(name: str, model: Declared) -> None:
    """Raise ValueError where the procedure of this name has no scores to select by."""
    if not isinstance(model, StateSpaceModel):
        raise ValueError(f"{name!r} is a procedure for a StateSpaceModel, not for {model!r}")
    if model.prm is None:
        raise ValueError(f"{name!r} selects by a reward model's scores, and the model has none")


def no_target(name: str, instead: str) -> Reason:
    """Say that a procedure is heuristic, and which sampler of a declared target to use instead."""
    return Reason(
        f"{name!r} is a procedure as published, which samples no declared target",
        f"use sampler={instead!r}",
    )


@dataclass(frozen=True, kw_only=True)
class Puri2025(PopulationSampler):
    """Particle filtering as published for inference-time scaling: the preset "puri2025".

    After every step all N trajectories are selected in proportion to the reward model's odds on
    their present prefix, closed ones by their last score again; the answer is then chosen by the
    weights that the last selection has spent. On two steps that samples p(x) odds_1 odds_2^2.

    Target: none that it would declare; what the model declares is not sampled, only compared with.
    Guarantee: heuristic. Evidence: none. Cost of a step: the tokens of one step for each open
    particle, and the reward model's pass over the new tokens of each distinct one. Source: Puri et
    al. (2025), arXiv:2502.01618. The unbiased filter is `motes.samplers.ParticleFilter`.

    Attributes:
        particles: N, at least 1.
        resampling: one of `motes.smc.SCHEMES`.
        proposal: what steps are drawn from; the model's prior when None.
        budget: as of `ParticleFilter`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = Puri2025(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('heuristic', 8)
    """

    resampling: str = "multinomial"

    name = "puri2025"
    gentler = (
        Advice("use sampler='particle_filter', which resamples only where its weights ask for it"),
    )
    guarantee = "heuristic"
    evidence = "none"
    paper = "Puri et al. (2025), arXiv:2502.01618"
    step_cost = (
        "one step's tokens for each open particle; the reward model reads the new tokens of each "
        "distinct one"
    )

    def __post_init__(self) -> None:
        checks.choice("resampling", self.resampling, SCHEMES)
        super().__post_init__()

    def check(self, model: Declared) -> None:
        check_scored(self.name, model)

    def reasons(self) -> Iterator[Reason]:
        yield no_target(self.name, "particle_filter")

    def bind(self, model: Declared, keys: RunKeys) -> BoundPublished:
        proposed = self.proposed(model)
        return BoundPublished(
            self,
            model,
            keys,
            proposed,
            model.stepwise(proposed),
            successors=1,
            selection=lambda t, log_weights: log_weights,
        )


@dataclass(frozen=True, kw_only=True)
class Giannone2025(PopulationSampler):
    """Entropic particle filtering as published: the preset "giannone2025".

    As "puri2025", but where the diversity of the scores is low in the first half of the run, they
    are flattened for the selection (see `EntropicParticleFilter`), and nothing of what that leaves
    is carried. With `look_ahead` = K a particle that is open is selected by the mean odds of K next
    steps, and each of its copies goes on with one of these, drawn in proportion to its odds.

    Target: none that it would declare; what the model declares is not sampled, only compared with.
    Guarantee: heuristic. Evidence: none. Cost of a step: the tokens of one step (of K, looking
    ahead) for each open particle, and the reward model's pass over the new tokens of each distinct
    one. Source: Giannone et al. (2025), arXiv:2510.05825. The unbiased filter is
    `motes.samplers.EntropicParticleFilter`.

    Attributes:
        particles: N, at least 1.
        schedule, diversity: see `EntropicParticleFilter`.
        look_ahead: K; 0 for none.
        resampling: one of `motes.smc.SCHEMES`.
        proposal: what steps are drawn from; the model's prior when None.
        budget: as of `ParticleFilter`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = Giannone2025(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('heuristic', 8)
    """

    resampling: str = "multinomial"
    schedule: str | None = "ess"
    diversity: float = 0.5
    look_ahead: int = 0

    name = "giannone2025"
    gentler = (
        Advice(
            "use sampler='entropic_particle_filter', which carries the weights that annealing "
            "leaves"
        ),
    )
    guarantee = "heuristic"
    evidence = "none"
    paper = "Giannone et al. (2025), arXiv:2510.05825"
    step_cost = (
        "one step's tokens for each open particle, looking ahead one for each of K successors; "
        "the reward model reads the new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        foresight = self.foresight
        checks.settle(self, diversity=foresight.diversity, look_ahead=foresight.look_ahead)
        checks.choice("resampling", self.resampling, SCHEMES)
        super().__post_init__()

    @property
    def foresight(self) -> Foresight:
        """How it selects."""
        return Foresight(
            schedule=self.schedule, diversity=self.diversity, look_ahead=self.look_ahead
        )

    @property
    def least_tokens(self) -> int:
        return self.particles * self.foresight.successors

    def check(self, model: Declared) -> None:
        check_scored(self.name, model)

    def reasons(self) -> Iterator[Reason]:
        yield no_target(self.name, "entropic_particle_filter")

    def bind(self, model: Declared, keys: RunKeys) -> BoundPublished:
        proposed = self.proposed(model)
        return BoundPublished(
            self,
            model,
            keys,
            proposed,
            model.stepwise(proposed),
            successors=self.foresight.successors,
            selection=partial(self.flattened, model.max_steps),
        )

    def flattened(self, max_steps: int, t: int, log_weights: np.ndarray) -> np.ndarray:
        """Flatten the scores after step t, where they are to be and their diversity is low.

        Args:
            max_steps: T, of the model.
            t: the step that they were given to.
            log_weights: normalised log-scores, shape (N,).
        """
        share = t / max_steps
        if self.schedule is None or share >= 0.5:
            return log_weights
        n = len(log_weights)
        evenness = ess(log_weights) / n
        if self.schedule == "entropy" and n > 1:
            evenness = entropy(log_weights) / log(n)
        if evenness >= self.diversity:
            return log_weights
        return log_weights / temperature(self.schedule, share, log_weights)
