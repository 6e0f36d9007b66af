"""A sampler bound to what it samples: the four functions of a run, over what they need, made once.

    init     the state before the first step
    step     the state one step later: a generation of a filter, a rung, an iteration of chains
    done     whether there is nothing left to do
    draws    what the state amounts to

None of them changes the state that it is given. `motes.samplers.run` puts them together, the same
for all samplers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..models import Cost
from ..models.mixture import Law
from ..ppl.interfaces import Declared, Reasoning
from ..ppl.posterior.provenance import Evidence, Guarantee, Stopping
from ..ppl.posterior.search_tree import SearchTree
from ..smc import History, RunKeys

S = TypeVar("S")


class Draws(NamedTuple):
    """What a run has come to.

    Attributes:
        particles: N of them.
        log_weights: normalised, shape (N,).
        log_evidence: log Z-hat, in nats; None where there is none.
        history: of a filter.
        chains: how many chains of one length the particles are; 0 for what is not chains.
        rates: how it moved, by name, in plain values.
        tree: of a search.
        stopping: how a stopping rule ended it.
        guarantee, evidence: where they are not the sampler's own.
    """

    particles: Sequence[Reasoning]
    log_weights: np.ndarray
    log_evidence: float | None = None
    history: History | None = None
    chains: int = 0
    rates: Mapping[str, Any] = MappingProxyType({})
    tree: SearchTree | None = None
    stopping: Stopping | None = None
    guarantee: Guarantee | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, eq=False)
class BoundSampler(ABC, Generic[S]):
    """A sampler with the declared posterior that it samples and the keys of the run.

    Its states are of type S.

    Attributes:
        sampler: the configuration.
        model: the declared posterior.
        keys: of the run.
        proposed: what steps are drawn from; None for what each is declared to be.
    """

    sampler: Any
    model: Declared
    keys: RunKeys
    proposed: Law | None

    @property
    def cost(self) -> Cost:
        """What its models have computed."""
        return self.model.cost

    @abstractmethod
    def init(self) -> S:
        """Return the state before the first step."""

    @abstractmethod
    def step(self, state: S) -> S:
        """Return the state one step on."""

    @abstractmethod
    def done(self, state: S) -> bool:
        """Say whether there is nothing left to do."""

    @abstractmethod
    def draws(self, state: S, complete: bool) -> Draws:
        """Give what the state amounts to; not `complete` where the run was stopped early."""

    @abstractmethod
    def count(self, state: S) -> int:
        """Count the steps taken."""

    def total(self) -> int | None:
        """Return how many steps there will be, at most; None where that is unknown."""
        return self.model.max_steps

    def spent(self, cost: Cost) -> int:
        """Count the tokens that a budget bounds, of what was computed."""
        return cost.generated_tokens

    def whole(self, state: S) -> bool:
        """Say whether a budget may end the run here."""
        return True

    def vitals(self, state: S) -> Mapping[str, Any]:
        """Return a few figures to watch."""
        return {}
