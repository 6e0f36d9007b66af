"""The entropic particle filter: against giving up too early what a reward model does not like yet.

*Entropic annealing*: in the first half of a run, a population that has lost its diversity is
resampled in proportion to W^b with b < 1 instead of W. *Look-ahead modulation*: a particle is
resampled by what its possible next steps are worth. Both are due to Giannone et al. (2025,
arXiv:2510.05825); here the weights that annealing leaves are carried, so that the declared target
is sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from ...models.mixture import Law
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, entropy, ess, log_sum_exp, subkeys
from ...smc.resampling import pick_at
from ..base import PopulationSampler
from ..run_facts import Advice
from .bound_filter import BoundFilter

SCHEDULES = ("ess", "entropy", "linear")


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """How an entropic filter selects, exact or as published.

    Attributes:
        schedule: "ess", "entropy", "linear", or None for no annealing.
        diversity: in [0, 1], below which selection is annealed.
        look_ahead: K, steps drawn ahead; 0 for none.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    schedule: str | None = "ess"
    diversity: float = 0.5
    look_ahead: int = 0

    def __post_init__(self) -> None:
        if self.schedule is not None and self.schedule not in SCHEDULES:
            raise ValueError(
                f"schedule must be one of {', '.join(SCHEDULES)}, or None, not "
                f"{checks.shown(self.schedule)}"
            )
        checks.settle(
            self,
            diversity=checks.fraction("diversity", self.diversity),
            look_ahead=checks.count("look_ahead", self.look_ahead, least=0),
        )

    @property
    def successors(self) -> int:
        """Steps that are drawn for each particle at a time."""
        return max(1, self.look_ahead)


@dataclass(frozen=True, kw_only=True)
class EntropicParticleFilter(PopulationSampler):
    """A particle filter with entropic annealing and look-ahead modulation.

    When the population's diversity, ESS / N (or the entropy of its weights over log N, under the
    schedule "entropy"), is below `diversity`, it is resampled: after step t < T / 2 in proportion
    to W^(1 / temp), T being max_steps, with temp

        ess        max(1, (1 - t/T) N / ESS)
        entropy    max(1, 1 / (H + (1 - H) t/T)), H the entropy over log N
        linear     max(1, 2 - t/T)

    and later to W. Slot i is left with the weight W^(1 - 1/temp) of its ancestor, up to what makes
    the mean 1. With `look_ahead` = K every particle draws K next steps, is weighed by their mean
    increment, and each of its children goes on with one of them, drawn in proportion to their
    increments: their mean is used as it was realised, so that nothing is estimated twice.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, and when cut off. Evidence: unbiased for Z. Cost of
    a step: the tokens of one step (of K, looking ahead) for each open living particle, and the
    reward model's pass over the new tokens of each distinct one. Source: Giannone et al. (2025),
    arXiv:2510.05825; the published procedure, which carries no weights, is
    `motes.samplers.Giannone2025`.

    Attributes:
        particles: N, at least 1.
        schedule: "ess", "entropy", "linear", or None for no annealing.
        diversity: in [0, 1], below which the population is resampled; at 1 before every step but
            the first.
        look_ahead: K, steps drawn ahead; 0 for none.
        resampling: one of `motes.smc.SCHEMES`, or "chopthin".
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
        >>> posterior = EntropicParticleFilter(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    schedule: str | None = "ess"
    diversity: float = 0.5
    look_ahead: int = 0
    resampling: str = "systematic"

    name = "entropic_particle_filter"
    gentler = (
        Advice("resample less often (lower {diversity})", only_if="diversity"),
        Advice("look further (raise {look_ahead})"),
    )
    guarantee = "consistent"
    evidence = "unbiased"
    paper = "Giannone et al. (2025), arXiv:2510.05825"
    step_cost = (
        "one step's tokens for each open living particle, looking ahead one for each of K "
        "successors; "
        "the reward model reads the new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        Resampling(self.resampling)
        foresight = self.foresight
        checks.settle(self, diversity=foresight.diversity, look_ahead=foresight.look_ahead)
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

    def feynman_kac(self, model: Declared) -> Stepwise | LookAhead:
        if self.look_ahead:
            return LookAhead(model, self.proposed(model), self.look_ahead)
        return model.stepwise(self.proposed(model))

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(
            self.resampling,
            ess_threshold=self.diversity,
            entropy_threshold=self.diversity if self.schedule == "entropy" else None,
            annealing=annealing(self.schedule, model.max_steps),
        )

    def bind(self, model: Declared, keys: RunKeys) -> BoundEntropic:
        return BoundEntropic.of(self, model, keys)


class BoundEntropic(BoundFilter):
    """An entropic filter of a declared posterior."""

    def held(self, particle: Reasoning | Scout) -> Reasoning:
        return particle.particle if isinstance(particle, Scout) else particle

    def total(self) -> int:
        return self.model.max_steps + bool(self.sampler.look_ahead)


class Scout(NamedTuple):
    """A particle and its possible next steps.

    Attributes:
        particle: where it is.
        successors: K particles one step further; none where it is closed.
        log_potentials: of the successors.
    """

    particle: Reasoning
    successors: tuple[Reasoning, ...] = ()
    log_potentials: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class LookAhead:
    """The state-space model as a Feynman-Kac model whose particles know K possible next steps.

        M_t   one of the K steps known, drawn in proportion to their potentials g(y_k);
              then K steps from there
        G_t   their mean potential, 1 where the particle is closed

    At t = 1 there is nothing to choose from yet, and particles stay at the root. So generation t
    holds t - 1 steps, and a run has one step more.

    Attributes:
        model: the declared posterior.
        proposal: what steps are drawn from.
        successors: K.
    """

    model: Declared
    proposal: Law | None
    successors: int

    def initial(self, keys: PRNGKeys, slots: int) -> list[Scout]:
        return [Scout(self.model.root())] * slots

    def open(self, particle: Scout) -> bool:
        return particle.particle.open

    def move(self, t: int, keys: PRNGKeys, particles: Sequence[Scout]) -> list[Scout]:
        uniforms = SlotUniforms(subkeys(keys, 0), len(particles)).at(0)
        here = [_followed(scout, u) for scout, u in zip(particles, uniforms, strict=True)]
        scouts = [Scout(particle) for particle in here]
        going = [i for i, particle in enumerate(here) if particle.open]
        if not going:
            return scouts
        stepwise = self.model.stepwise(self.proposal)
        drawn = stepwise.successors(self.proposal, keys, here, self.successors, going, part=1)
        for i, after in zip(going, drawn, strict=True):
            log_potentials = stepwise.log_potential(t, [here[i]] * self.successors, after)
            scouts[i] = Scout(here[i], tuple(after), tuple(log_potentials.tolist()))
        return scouts

    def log_potential(self, t: int, before: Sequence[Scout], after: Sequence[Scout]) -> np.ndarray:
        means = np.zeros(len(after))
        for i, scout in enumerate(after):
            if scout.successors:
                total = log_sum_exp(np.array(scout.log_potentials))
                means[i] = total - log(self.successors)
        return means


def _followed(scout: Scout, uniform: float) -> Reasoning:
    """Draw one of the known next steps in proportion to its potential.

    It is not zero for all of a living particle.
    """
    if scout.successors:
        return scout.successors[pick_at(uniform, np.array(scout.log_potentials))]
    return scout.particle


def annealing(schedule: str | None, steps: int) -> Callable[[int, np.ndarray], float] | None:
    """Make (t, log-weights) -> b for the resampling that precedes step t.

    See `motes.smc.Resampling`.

    Args:
        schedule: see `EntropicParticleFilter`.
        steps: T.
    """
    if schedule is None:
        return None

    def power(t: int, log_weights: np.ndarray) -> float:
        share = (t - 1) / steps  # of the steps taken
        return 1.0 if share >= 0.5 else 1 / temperature(schedule, share, log_weights)

    return power


def temperature(schedule: str, share: float, log_weights: np.ndarray) -> float:
    """Return temp, of weights after this share of all steps."""
    if schedule == "ess":
        return max(1.0, (1 - share) * len(log_weights) / ess(log_weights))
    if schedule == "entropy":
        evenness = entropy(log_weights) / log(len(log_weights)) if len(log_weights) > 1 else 1.0
        return max(1.0, 1 / max(evenness + (1 - evenness) * share, 1e-6))
    return max(1.0, 2 - share)
