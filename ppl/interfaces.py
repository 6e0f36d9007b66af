"""What samplers ask of a declared posterior, be it the state-space model or a program.

A declaration says what is sampled; its `stepwise` form is the Feynman-Kac model that a filter
samples, whose particles hold pieces of reasoning, `Reasoning`, that grow from one weighing to the
next and close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from ..aliases import Particles, PRNGKeys, Time
from ..models import Cost, LanguageModel, RewardModel, Sampling, Trajectory
from ..models.mixture import Law
from .particle import Particle
from .targets import Target

Shared: TypeAlias = Callable[[Any], Any]
"""Maps a language model or a reward model to what stands for it; see `motes.models.batching`."""


Piece: TypeAlias = Any
"""A `Reasoning` of the type that the declaration itself makes, and that it alone can read."""


class Reasoning(Protocol):
    """A piece of reasoning, as a particle holds it.

    Attributes:
        trajectory: what has been written.
        log_odds: of the reward model, one for each step of the trajectory, in order; empty without
            a reward model.
        log_twist: what its weight contains beyond its likelihood so far, in nats; 0 where nothing
            twists it, and once it is closed.
        open: whether it goes on.
        length: how many times it has been weighed.
        impossible: whether it has left the prior's support, so that it is not worth going on.
        path: what it was when it had been weighed 0, 1, ..., `length` times.
    """

    @property
    def trajectory(self) -> Trajectory: ...

    @property
    def log_odds(self) -> tuple[float, ...]: ...

    @property
    def log_twist(self) -> float: ...

    @property
    def open(self) -> bool: ...

    @property
    def length(self) -> int: ...

    @property
    def impossible(self) -> bool: ...

    @property
    def path(self) -> Sequence[Any]: ...

    def twisted(self, log_twist: float) -> Any:
        """Return the same with this twist."""
        ...


Proposal: TypeAlias = "Law | Callable[[int], Law | None] | None"
"""What steps are drawn from: None for the declared prior; a function of their number t >= 1."""


class Stepwise(Protocol):
    """A declared posterior as a hosted Feynman-Kac model (`motes.smc.FeynmanKac`).

    It also has what moves of whole trajectories need.

    Attributes:
        model: the declared posterior.
    """

    @property
    def model(self) -> Declared: ...

    def initial(self, keys: PRNGKeys, slots: int, /) -> Sequence[Any]: ...

    def open(self, particle: Piece, /) -> bool: ...

    def move(self, t: Time, keys: PRNGKeys, particles: Particles, /) -> Any: ...

    def log_potential(self, t: Time, before: Particles, after: Particles, /) -> np.ndarray: ...

    def step(self, proposal: Law | None, keys: PRNGKeys, particles: Sequence[Any]) -> list[Any]:
        """Return each particle one weighing further, untwisted."""
        ...

    def successors(
        self,
        proposal: Law | None,
        keys: PRNGKeys,
        particles: Sequence[Any],
        count: int,
        chosen: Sequence[int],
        part: int = 0,
    ) -> list[list[Any]]:
        """Draw `count` next steps of each chosen particle, in one batch."""
        ...

    def log_potentials(self, particle: Piece) -> list[float]:
        """Return log G_1, log G_2, ... of a particle in nats, up to the first minus infinity."""
        ...


@runtime_checkable
class Declared(Protocol):
    """A declared posterior over reasoning.

    Attributes:
        question: what is asked.
        max_steps: how often a piece of reasoning is weighed, at most.
        alpha: the power of the prior.
        cost: what its models have computed.
        prior: how steps are sampled by declaration; None where each step says so itself.
        target_name: the declared target in words.
    """

    @property
    def question(self) -> str: ...

    @property
    def max_steps(self) -> int: ...

    @property
    def alpha(self) -> float: ...

    @property
    def prior(self) -> Sampling | None: ...

    @property
    def cost(self) -> Cost: ...

    @property
    def target_name(self) -> str: ...

    def root(self) -> Any:
        """Return a piece of reasoning before its first step."""
        ...

    def stepwise(self, proposal: Proposal, twist: Any = None, root: Any = None) -> Any:
        """Return the declaration as a filter samples it; see `Stepwise`."""
        ...

    def tempered(self, power: float, alpha: float | None = None) -> Any:
        """Return the declaration on the way from the prior, at power 0, to itself, at 1.

        The power of the prior is `alpha` there; None where it goes the same way.
        """
        ...

    def log_density(self, particle: Piece) -> float:
        """Return log gamma(x) of complete reasoning, in nats; NaN where it is not known."""
        ...

    def log_excess(self, particle: Piece) -> float:
        """Return the log of gamma over the prior, of complete reasoning, in nats."""
        ...

    def answer_of(self, particle: Piece) -> str | None:
        """Return what a piece of reasoning answers."""
        ...

    def latents(self, particle: Piece) -> Mapping[str, Any]:
        """Return the numbers that it has drawn besides its steps, by name."""
        ...

    def covers(self, proposal: Law | None) -> bool:
        """Return whether the proposal can draw all that the prior can."""
        ...

    def via(self, shared: Shared) -> Any:
        """Return the declaration over models that stand for its own."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return everything that is declared, in plain values."""
        ...

    def doubts(self, proposals: Sequence[Law | None]) -> list[str]:
        """Return what is doubtful about how its language models draw, as clauses."""
        ...

    def functions(self) -> dict[str, Any]:
        """Return the user's functions in it, by name.

        What else tells one declaration from another that its settings do not.
        """
        ...


class StateSpace(Declared, Protocol):
    """What the stepwise form of a state-space model asks of its declaration.

    Attributes:
        lm: the language model, which writes steps.
        prm: the reward model, which judges them; None for no likelihood.
        likelihood: the declared likelihood; None without a reward model.
        stop_at_answer: whether a trajectory finishes when it states an answer.
    """

    @property
    def lm(self) -> LanguageModel: ...

    @property
    def prm(self) -> RewardModel | None: ...

    @property
    def prior(self) -> Sampling: ...

    @property
    def likelihood(self) -> Target | None: ...

    @property
    def stop_at_answer(self) -> bool: ...

    def close(self, trajectory: Trajectory) -> Trajectory:
        """Close a trajectory that has stated its answer, or is out of steps."""
        ...

    def states(self, trajectory: Trajectory) -> bool:
        """Say whether an answer can be read in the trajectory."""
        ...

    def score(self, trajectories: Sequence[Trajectory]) -> list[float]:
        """Score the last step of each trajectory by the reward model."""
        ...

    def allows(self, trajectory: Trajectory) -> bool:
        """Say whether a closed trajectory satisfies the constraint."""
        ...

    def blamed(self, error: FloatingPointError, trajectory: Trajectory) -> FloatingPointError:
        """Name the reward model and the trajectory that an error comes from."""
        ...

    def unknown_logprob(self, what: str = "") -> ValueError:
        """Make the error for a probability that is needed and that the language model hides."""
        ...


Twist: TypeAlias = "Callable[[Any, int, Any, Sequence[Particle]], Sequence[float]]"
"""(model, t, keys, particles open after t steps) -> log psi_t of each, in nats.

The model is the declaration; there is a JAX random key for each particle.
"""
