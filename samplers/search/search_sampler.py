"""What all searches share: nodes that are expanded in one batch, valued, and answered from.

A search writes a tree. Each of its rounds draws children of some nodes, all in one batch, and gives
each child a value. What is chosen next is the one thing in which searches differ. The rules that
hold for all:

Ties. The first slot wins.
Keys. Children take slots in the order of their parents' slots, and each draws with its own slot's
    key of this round. So searches that coincide in a limit coincide draw for draw.
Ends. A node that states its answer is finished, one that is out of steps or context truncated.
    Both are closed. A truncated one keeps its place and its weight, under no answer; it is the best
    only where nothing is finished.
Equals. Siblings with the same tokens are drawn, counted and valued as often as they come up, and
    share everything that is computed. (A*, whose nodes are states, goes on with one of them.)
Dead. A node of value zero is never gone on with and never an answer. A search whose nodes are all
    dead has failed (`AllParticlesDead`).

What comes back is the set of answers, with weights by the sampler's `choice`:

    "best"      all weight on the greatest value
    "weighted"  in proportion to the values: the probability of an answer is its share of them
    "vote"      equal weights
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ... import checks
from ...models import capabilities
from ...ppl.interfaces import Declared
from ...ppl.particle import Particle
from ...ppl.posterior.provenance import Reason
from ...ppl.statespace import StateSpaceModel
from ...ppl.stepwise import StepwiseModel
from ...smc import log_sum_exp
from ..base import AllParticlesDead, SteppedSampler
from ..bound import BoundSampler, Draws
from ..run_facts import Advice
from .growing_tree import GrowingTree, Node
from .value import SCORES, VALUES, UserValue, Valued, value_of

CHOICES = ("weighted", "best", "vote")
S = TypeVar("S")


class Drawn(NamedTuple):
    """The children of a round, before they are valued.

    Attributes:
        round: its number, from 1.
        slots: of the children.
        of: how many slots there are.
        tree: without the children.
        parents: the node that each was drawn from.
        children: K of them.
        completing: the round since which nodes are only completed; 0 where they are chosen.
    """

    round: int
    slots: Sequence[int]
    of: int
    tree: GrowingTree
    parents: Sequence[int]
    children: Sequence[Particle]
    completing: int = 0


@dataclass(frozen=True, kw_only=True)
class SearchSampler(SteppedSampler):
    """A search over steps of reasoning.

    Attributes:
        choice: how answers are weighed: "weighted", "best" or "vote".
    """

    choice: str = "weighted"

    guarantee = "heuristic"
    evidence = "none"
    bent_by_budget = False  # it follows no target that a budget could bend
    gentler = (Advice("use sampler='particle_filter', which weighs what it keeps"),)

    def __post_init__(self) -> None:
        checks.choice("choice", self.choice, CHOICES)
        super().__post_init__()

    @abstractmethod
    def valued(self, bound: BoundSearch[Any], drawn: Drawn) -> Valued:
        """Say what children are worth."""

    def log_weights(
        self, tree: GrowingTree, chosen: Sequence[int], completing: int = 0
    ) -> np.ndarray:
        """Weigh the answers by the sampler's choice; normalised, float64, shape (N,).

        Args:
            tree: what was written.
            chosen: N nodes.
            completing: see `Drawn`.
        """
        log_values = tree.log_values(chosen)
        if np.isnan(log_values).any():  # the root, of a search that was stopped at once
            return np.full(len(chosen), -log(len(chosen)))
        alive = log_values > -inf
        if not alive.any():
            raise AllParticlesDead(tree.depth, len(chosen))
        if self.choice == "best":
            finished = [tree.finished(node) for node in chosen]
            # finished ones go before others, then the greatest value, then the first slot
            best = max(
                range(len(chosen)),
                key=lambda i: (bool(alive[i]), finished[i], log_values[i], -i),
            )
            return np.where(np.arange(len(chosen)) == best, 0.0, -inf)
        plain = np.where(alive, 0.0, -inf) if self.choice == "vote" else log_values
        return plain - float(log_sum_exp(plain))

    def reasons(self) -> Iterator[Reason]:
        yield Reason(
            f"{self.name!r} is a search, which samples no declared target",
            "use sampler='particle_filter', whose weights follow one",
        )

    def check(self, model: Declared) -> None:
        if not isinstance(model, StateSpaceModel):
            raise ValueError(f"{self.name!r} searches a StateSpaceModel, not {model!r}")


@dataclass(frozen=True, kw_only=True)
class PrefixSearch(SearchSampler):
    """A search by what prefixes are worth in themselves; see `motes.samplers.search.value`.

    Attributes:
        value: "prm", "rollouts", "logprob", or a function of trajectories.
        score: how the reward model's scores of steps are put together: "last", "min", "product" or
            "mean".
        rollouts: K, completions of each node, where the value is "rollouts".
    """

    value: str | UserValue = "prm"
    score: str = "last"
    rollouts: int = 4

    def __post_init__(self) -> None:
        if not callable(self.value):
            checks.choice("value", self.value, VALUES)
        checks.choice("score", self.score, SCORES)
        checks.settle(self, rollouts=checks.count("rollouts", self.rollouts))
        super().__post_init__()

    @property
    def greedy_steps(self) -> int:
        """Steps of a greedy continuation by which a prefix is valued."""
        return 0

    def valued(self, bound: BoundSearch[Any], drawn: Drawn) -> Valued:
        keys = bound.keys.rejuvenation(drawn.round, drawn.of, drawn.slots)
        return value_of(bound.stepwise, self, keys, drawn.children, bound.proposed)

    def check(self, model: Declared) -> None:
        super().check(model)
        assert isinstance(model, StateSpaceModel)
        if self.value in ("prm", "rollouts") and model.prm is None:
            raise ValueError(
                f"{self.name!r} needs a value for its prefixes: a reward model (prm=), "
                "value='logprob', or a function of trajectories"
            )
        if self.value == "logprob" and not capabilities(model.lm).probabilities:
            raise model.unknown_logprob("value='logprob'")


@dataclass(frozen=True, eq=False)
class BoundSearch(BoundSampler[S]):
    """A search on a state-space model.

    Attributes:
        stepwise: the model, step by step.
    """

    stepwise: StepwiseModel

    @abstractmethod
    def answers(self, state: S) -> list[int]:
        """Give the nodes that are the answers so far, in order of their slots."""

    @abstractmethod
    def frontier(self, state: S) -> list[int]:
        """Give the nodes that would be gone on with."""

    @abstractmethod
    def tree(self, state: S) -> GrowingTree:
        """Give what has been written."""

    def completing(self, state: S) -> int:
        """Give the round since which nodes are only completed; 0 where they are chosen."""
        return 0

    def visits(self, state: S) -> np.ndarray | None:
        """Give how often each node was visited; None for the number of draws from it."""
        return None

    def expanded(
        self,
        tree: GrowingTree,
        t: int,
        parents: Sequence[int],
        slots: Sequence[int],
        of: int,
        completing: int = 0,
    ) -> tuple[GrowingTree, Valued]:
        """Draw a child of each parent, all in one batch, and value the children.

        Args:
            tree: what there is.
            t: the round, from 1.
            parents: nodes, open ones; one as often as children are drawn from it.
            slots: of the children, none of them twice.
            of: how many slots there are.
            completing: see `Drawn`.

        Returns:
            The tree with the children, which take the next numbers, and what they are worth.
        """
        before = [tree.node(parent).particle for parent in parents]
        children = self.stepwise.step(self.proposed, self.keys.moves(t, of, slots), before)
        drawn = Drawn(t, slots, of, tree, parents, children, completing)
        valued = self.sampler.valued(self, drawn)
        nodes = [
            Node(parent, t, child, value)
            for parent, child, value in zip(
                parents, children, valued.log_values.tolist(), strict=True
            )
        ]
        return tree.grown(nodes, valued.tokens_aside), valued

    def draws(self, state: S, complete: bool) -> Draws:
        tree = self.tree(state)
        # a search that was stopped before it had an answer returns what it was about to go on with
        chosen = self.answers(state) or self.frontier(state)
        log_weights = self.sampler.log_weights(tree, chosen, self.completing(state))
        return Draws(
            [tree.node(node).particle for node in chosen],
            log_weights,
            tree=tree.search_tree(chosen, self.visits(state)),
        )


def opened(sampler: Any, model: Declared) -> StepwiseModel:
    """Give the model as a search draws its steps."""
    return model.stepwise(sampler.proposed(model))
