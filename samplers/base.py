"""What a sampler is: a frozen configuration, which is bound to what it samples and then run.

What it does is four functions of a state (see `motes.samplers.bound`); `run` takes care of
everything else, the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, cast, runtime_checkable

from .. import checks
from ..models import Mixture, Sampling, calls
from ..models.mixture import Law
from ..models.population_memory import check_population
from ..models.proposed_by_mixture import ProposedByMixture
from ..ppl.interfaces import Declared
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Evidence, Guarantee, Reason, Unit
from ..ppl.statespace import StateSpaceModel
from ..smc import RunKeys
from .bound import BoundSampler
from .run import run
from .run_facts import GENTLER, LIVELIER, Advice

Seed: TypeAlias = "int | tuple[int, int]"
"""In [0, 2**32), or such a seed and the number of one of several independent runs with it.

A run is a function of it.
"""


class AllParticlesDead(RuntimeError):
    """Every particle has weight zero: the estimate of Z is 0, and there is no posterior to return.

    Attributes:
        step: the step at which the last of them died; the first is 1.
        particles: how many there were.
        tries: populations drawn, this one included, all of which died.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
        >>> never = FunctionReward(lambda x: -float("inf"))
        >>> try:
        ...     motes.solve("?", lm=lm, prm=never, particles=4)
        ... except AllParticlesDead as error:
        ...     print("dead" in str(error))
        True
    """

    def __init__(self, step: int, particles: int, tries: int = 1) -> None:
        again = f", and of {tries - 1} populations before them" if tries > 1 else ""
        super().__init__(
            f"all {particles} particles are dead at step {step}: the target gives none of their "
            f"trajectories{again} any mass"
        )
        self.step, self.particles, self.tries = step, particles, tries

    def __reduce__(self) -> tuple[type[AllParticlesDead], tuple[int, int, int]]:
        return type(self), (self.step, self.particles, self.tries)


USUAL_STEPS = 32  # of a trajectory, by which the memory of a population is foreseen


@runtime_checkable
class Sampler(Protocol):
    """A frozen configuration that samples a declared posterior.

    Example:
        >>> from motes.samplers import MajorityVote, ParticleFilter
        >>> isinstance(ParticleFilter(), Sampler), isinstance(MajorityVote(), Sampler)
        (True, True)
    """

    def run(self, model: Declared, seed: Seed = 0, progress: bool = False) -> Posterior:
        """Sample the model's posterior."""
        ...


@dataclass(frozen=True, kw_only=True)
class SteppedSampler(ABC):
    """A sampler that goes step by step.

    Attributes:
        proposal: what steps are drawn from, a `Sampling` or a `Mixture`; the model's prior when
            None.
        budget: tokens generated after which no new step is begun (of a run that finishes what it
            began: no new whole); None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.samplers import MajorityVote, ParticleFilter
        >>> isinstance(ParticleFilter(), SteppedSampler), isinstance(MajorityVote(), SteppedSampler)
        (True, False)
    """

    proposal: Law | None = None
    budget: int | None = None

    name: ClassVar[str]
    guarantee: ClassVar[Guarantee]
    evidence: ClassVar[Evidence]
    paper: ClassVar[str]
    step_cost: ClassVar[str]
    unit: ClassVar[Unit] = "step"

    # What whoever reads a posterior may want to know of its sampler; see `Provenance`.
    independent: ClassVar[bool] = False
    bent_by_budget: ClassVar[bool] = True  # which draws a budget spares depends on what they wrote
    # nothing but the score enters the weight of a prior's step
    weighs_by_score: ClassVar[bool] = False
    gentler: ClassVar[tuple[Advice, ...]] = GENTLER
    livelier: ClassVar[tuple[Advice, ...]] = LIVELIER

    def __post_init__(self) -> None:
        if not isinstance(self.proposal, Sampling | Mixture | None):
            raise TypeError(
                f"proposal must be a Sampling, a Mixture or None, not {self.proposal!r}"
            )
        if self.budget is not None:
            checks.settle(self, budget=checks.count("budget", self.budget))
            if self.budget < self.least_tokens:
                raise ValueError(
                    f"budget must be at least the {self.least_tokens} tokens of one step of all, "
                    f"not {self.budget}"
                )

    @property
    @abstractmethod
    def least_tokens(self) -> int:
        """The fewest tokens that a first step can cost."""

    @abstractmethod
    def bind(self, model: Declared, keys: RunKeys) -> BoundSampler[Any]:
        """Bind the sampler to what it samples.

        The object's init, step, done and draws make a run.
        """

    def proposed(self, model: Declared) -> Law | None:
        """Return what steps are drawn from; None for what each is declared to be."""
        return self.proposal or model.prior

    def proposals(self, model: Declared) -> Sequence[Law | None]:
        """Return all that steps are drawn from, where that changes on the way."""
        return [self.proposed(model)]

    def over(self, model: Declared) -> Declared:
        """Return what is sampled, with the models of a mixture beside its own where it has some.

        Raises:
            ValueError: the mixture cannot be drawn from, or does not cover the prior.
        """
        mixture = self.proposal
        if not isinstance(mixture, Mixture):
            return model
        if not isinstance(model, StateSpaceModel):
            if mixture.has_models:
                raise ValueError(
                    f"proposal cannot be a Mixture of several models for {model!r}: they stand "
                    "beside the language model of a StateSpaceModel"
                )
            return model
        if mixture.has_models:
            model = replace(model, lm=ProposedByMixture(model.lm, mixture))
        calls.check_sampling(model.lm, mixture, model.prior)
        return model

    def check(self, model: Declared) -> None:  # noqa: B027 (most samplers sample anything)
        """Raise what is wrong with this sampler for this model."""

    def reasons(self) -> Iterator[Reason]:
        """Give why this sampler is heuristic whatever it samples, and what to use instead."""
        yield from ()

    @property
    def suffix_moves(self) -> bool:
        """Whether moves draw the remainder of a trajectory from the prior."""
        return False

    def run(
        self,
        model: Declared,
        seed: Seed = 0,
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Posterior:
        """Sample the model's posterior.

        An interrupt (Ctrl-C) after the first step ends the run early instead of losing it: a
        RuntimeWarning says so, and what there is comes back. Of a filter that is a population with
        open particles, under no answer, heuristic and without evidence; of chains the iterations
        done.

        Args:
            model: the declared posterior.
            seed: the same seed gives the same draws; see `Seed`.
            progress: show a progress bar, in steps.
            checkpoint: a file in which the state is kept while the run goes on and when it ends,
                and from which the same run is taken up again if it is there. More iterations, or a
                larger budget, continue a run that was done. What a step cost that was not finished
                is not counted when the run is taken up.

        Raises:
            AllParticlesDead: no particle has any weight left; the message names the step.
            FloatingPointError: a model gave NaN where there must be a number; the message names
                model and trajectory.
            ValueError: the model is not one that this sampler can sample, or that can draw from a
                mixture, or no component of the mixture covers its prior; or the checkpoint is
                another run's.
            OSError: the checkpoint cannot be read or written.
        """
        if not isinstance(model, Declared):
            raise TypeError(f"model must be a StateSpaceModel or a Program, not {model!r}")
        if checkpoint is not None and not isinstance(model, StateSpaceModel):
            raise ValueError(
                f"checkpoint is for runs of a StateSpaceModel: the state of {model!r} is not kept"
            )
        self.check(model)
        model = self.over(model)
        # a cap far beyond every trajectory takes no memory
        check_population(self.least_tokens, min(model.max_steps, USUAL_STEPS))
        return run(self.bind(model, run_keys(seed)), seed, progress, checkpoint)


@dataclass(frozen=True, kw_only=True)
class PopulationSampler(SteppedSampler):
    """A sampler whose steps are taken by N trajectories at a time.

    Attributes:
        particles: N, at least 1.
    """

    particles: int = 64

    def __post_init__(self) -> None:
        checks.settle(self, particles=checks.count("particles", self.particles))
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return self.particles


def run_keys(seed: object) -> RunKeys:
    """Return the keys of a run.

    Raises:
        TypeError, ValueError: it is not a seed.
    """
    number, run = cast(
        "tuple[int, int]", seed if isinstance(seed, tuple) and len(seed) == 2 else (seed, 0)
    )
    return RunKeys(number, run=checks.count("the number of a run", run, least=0, most=2**32 - 1))
