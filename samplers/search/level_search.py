"""Searches that go level by level: all open nodes grow by one step, then some are chosen.

A frontier holds places in the order of their slots. A place is a node and its width: how many
children are drawn from it in the next round, in as many slots. A closed node that competes holds
its slots without drawing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from ... import checks
from ...ppl.interfaces import Declared
from ...smc import RunKeys
from ..base import AllParticlesDead, PopulationSampler
from ..run_facts import Advice
from .growing_tree import GrowingTree
from .search_sampler import BoundSearch, SearchSampler, opened
from .value import Valued


class Place(NamedTuple):
    """A node of the frontier.

    Attributes:
        node: its number.
        width: slots that it holds: children to be drawn from it, where it is open.
        settled: whether it is an answer for good, which no longer competes.
    """

    node: int
    width: int
    settled: bool = False


class Level(NamedTuple):
    """A search between two rounds.

    Attributes:
        tree: what has been written.
        frontier: places, in the order of their slots.
        answers: nodes that have left the frontier as answers, in the order in which they did.
        steps: rounds so far.
        completing: the round since which nothing is chosen any more, and what there is only
            completed; 0 before it.
    """

    tree: GrowingTree
    frontier: tuple[Place, ...]
    answers: tuple[int, ...]
    steps: int
    completing: int = 0


class Candidate(NamedTuple):
    """A node that a round may keep.

    Attributes:
        node: its number.
        slot: the slot in which it was drawn, or the first of those that it holds.
        log_value: what it is worth.
        open: whether another step may follow.
    """

    node: int
    slot: int
    log_value: float
    open: bool

    def keep(self, width: int, settled: bool = False) -> Kept:
        """Give it a place in the next round."""
        return Kept(self.slot, Place(self.node, width, settled))


class Kept(NamedTuple):
    """A place of the next round.

    Attributes:
        slot: by which places are ordered.
        place: the place.
    """

    slot: int
    place: Place


class Chosen(NamedTuple):
    """What a round keeps.

    Attributes:
        kept: places of the next round, in any order.
        answers: closed nodes that leave the frontier as answers.
        completing: whether later rounds only complete what is kept.
    """

    kept: Sequence[Kept]
    answers: Sequence[int] = ()
    completing: bool = False


class Round(NamedTuple):
    """A round after its children were drawn, before it is decided which nodes are kept.

    Attributes:
        bound: the search on its model.
        state: before this round.
        tree: with this round's children.
        found: candidates that are worth something, in the order of their slots.
        valued: the children of this round, in the order of their numbers.
    """

    bound: BoundLevels
    state: Level
    tree: GrowingTree
    found: Sequence[Candidate]
    valued: Valued

    @property
    def number(self) -> int:
        """Which round this is, from 1."""
        return self.state.steps + 1

    @property
    def settled(self) -> int:
        """How many places are held by answers."""
        return sum(place.settled for place in self.state.frontier)


@dataclass(frozen=True, kw_only=True)
class LevelSearch(SearchSampler, PopulationSampler):
    """A search that goes level by level; which nodes it keeps is its `select`."""

    gentler = (Advice("raise {particles}"), *SearchSampler.gentler)

    @abstractmethod
    def select(self, round: Round) -> Chosen:
        """Choose what the next round goes on with."""

    def bind(self, model: Declared, keys: RunKeys) -> BoundLevels:
        return BoundLevels(self, model, keys, self.proposed(model), opened(self, model))


@dataclass(frozen=True, kw_only=True)
class Expanding(LevelSearch):
    """A search that draws M children of each node that it keeps, N in all.

    Attributes:
        expansions: M, children of each kept node; it divides N.
    """

    expansions: int = 4

    def __post_init__(self) -> None:
        checks.settle(self, expansions=checks.count("expansions", self.expansions))
        super().__post_init__()
        if self.particles % self.expansions:
            raise ValueError(
                f"particles must be a multiple of expansions, which is {self.expansions}, not "
                f"{self.particles}"
            )

    @property
    def survivors(self) -> int:
        """N / M, nodes that are kept."""
        return self.particles // self.expansions


@dataclass(frozen=True, eq=False)
class BoundLevels(BoundSearch[Level]):
    """A search that goes level by level, on a state-space model."""

    def init(self) -> Level:
        first = Place(0, self.sampler.particles)
        return Level(GrowingTree.of(self.model.root()), (first,), (), 0)

    def step(self, state: Level) -> Level:
        t, tree = state.steps + 1, state.tree
        slot = 0
        parents: list[int] = []
        slots: list[int] = []
        held: list[tuple[int, int]] = []  # closed nodes that compete, each after its slot
        settled: list[Kept] = []
        for place in state.frontier:
            if tree.node(place.node).particle.open:
                parents += [place.node] * place.width
                slots += range(slot, slot + place.width)
            elif place.settled:
                settled.append(Kept(slot, place))
            else:
                held.append((slot, place.node))
            slot += place.width
        grown, valued = self.expanded(tree, t, parents, slots, self.slots(slot), state.completing)
        drawn = [(own, tree.length + i) for i, own in enumerate(slots)]
        found = [_candidate(grown, own, node) for own, node in sorted([*drawn, *held])]
        living = [candidate for candidate in found if candidate.log_value > -inf]
        if not living and not self.answers(state):
            raise AllParticlesDead(t, len(found))
        if state.completing or not living:  # there is nothing to choose among
            chosen = Chosen([each.keep(1, settled=not each.open) for each in living])
        else:
            chosen = self.sampler.select(Round(self, state, grown, living, valued))
        kept = sorted([*settled, *chosen.kept])
        answers = (*state.answers, *chosen.answers)
        since = state.completing or (t if chosen.completing else 0)
        return Level(grown, tuple(each.place for each in kept), answers, t, since)

    def slots(self, used: int) -> int:
        """Give how many slots keys are made for: the same in all rounds, where that is enough."""
        return max(used, self.sampler.particles)

    def done(self, state: Level) -> bool:
        return not any(state.tree.node(place.node).particle.open for place in state.frontier)

    def count(self, state: Level) -> int:
        return state.steps

    def vitals(self, state: Level) -> Mapping[str, Any]:
        return {"answers": len(self.answers(state)), "nodes": state.tree.length}

    def answers(self, state: Level) -> list[int]:
        closed = [
            place.node for place in state.frontier if not state.tree.node(place.node).particle.open
        ]
        return [*state.answers, *closed]

    def frontier(self, state: Level) -> list[int]:
        return [place.node for place in state.frontier]

    def tree(self, state: Level) -> GrowingTree:
        return state.tree

    def completing(self, state: Level) -> int:
        return state.completing


def _candidate(tree: GrowingTree, slot: int, number: int) -> Candidate:
    """Give a node as a candidate of its slot."""
    node = tree.node(number)
    return Candidate(number, slot, node.log_value, node.particle.open)


def best(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """Give the `count` best candidates in the order of their slots; of equals the first slots."""
    ranked = sorted(found, key=lambda candidate: (-candidate.log_value, candidate.slot))
    return sorted(ranked[:count], key=lambda candidate: candidate.slot)
