"""A* over steps: the open node of least cost first, wherever in the tree it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf
from typing import NamedTuple

import numpy as np

from ... import checks
from ...ppl.interfaces import Declared
from ...smc import RunKeys
from ..base import AllParticlesDead
from ..run_facts import Advice
from .batch_search import BoundBatches, ExpandingBatchSearch
from .growing_tree import GrowingTree
from .search_sampler import SearchSampler, opened

COSTS = ("consistent", "increase")


class OpenList(NamedTuple):
    """A* between two rounds.

    Attributes:
        tree: what has been written.
        costs: f of every node, float64, shape (V,).
        waiting: nodes that were neither expanded nor taken as answers, least cost first.
        answers: closed nodes, in the order in which they were taken.
        steps: rounds so far.
    """

    tree: GrowingTree
    costs: np.ndarray
    waiting: tuple[int, ...]
    answers: tuple[int, ...]
    steps: int


@dataclass(frozen=True, kw_only=True)
class AStar(ExpandingBatchSearch):
    """A*: expand the open node of least cost f = g + h, until K closed ones come up as the least.

    h(s) = 1 - R(s) is what the value leaves to be wished for; of the question h = 0. What a step
    from s to s' costs is a *reconstruction*, since the published text says only that g accumulates
    changes of h:

        "consistent"  max(0, h(s) - h(s')), so that h is consistent: f(s') = f(s) +
                      max(0, h(s') - h(s)), the total loss of value on the way. f never falls, and
                      the first answer has the least f of all solutions that could be written with
                      the steps drawn
        "increase"    max(0, h(s') - h(s)): losses count twice and gains are taken back. f may fall,
                      and the first answer need not have the least f

    Siblings with the same tokens are one state: the first stands for all, and the others are
    counted, not gone on with. Of equal costs the deeper node comes first, then the one drawn first.
    A batch takes the B open nodes of least cost. A closed one is taken only when nothing of the
    batch precedes it, so the first answer keeps its property; what a batch loses is that nodes are
    expanded which a child of the same batch would have made needless. With M = 1 this is one draw
    from the prior.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of M steps for each node of the batch, and the reward model's pass over
    the new tokens of each distinct one. Source: Chatziveroglou (2025), arXiv:2505.13672; Hart,
    Nilsson and Raphael (1968) for the algorithm.

    Attributes:
        answers: K, closed nodes at which it ends.
        expansions: M, steps drawn from each node that is expanded.
        batch: B, nodes that are expanded at once; 1 is the sequential algorithm.
        step_costs: "consistent" or "increase".
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how the answers are weighed: "weighted", "vote", or "best", the first of them.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new round is begun. Answers found by then are
            returned; where there are none, closed nodes that wait, or the open ones of least cost.
            None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = AStar(answers=2).run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (2, 'heuristic')
    """

    answers: int = 8
    step_costs: str = "consistent"

    name = "a_star"
    paper = "Chatziveroglou (2025), arXiv:2505.13672"
    step_cost = (
        "the tokens of M steps for each node of the batch; the reward model reads the new tokens "
        "of each distinct one"
    )
    gentler = (Advice("raise {expansions}"), *SearchSampler.gentler)

    def __post_init__(self) -> None:
        checks.settle(self, answers=checks.count("answers", self.answers))
        checks.choice("step_costs", self.step_costs, COSTS)
        super().__post_init__()

    def log_weights(
        self, tree: GrowingTree, chosen: Sequence[int], completing: int = 0
    ) -> np.ndarray:
        if self.choice == "best":  # they come in the order of their costs
            return np.where(np.arange(len(chosen)) == 0, 0.0, -inf)
        return super().log_weights(tree, chosen, completing)

    def bind(self, model: Declared, keys: RunKeys) -> BoundAStar:
        return BoundAStar(self, model, keys, self.proposed(model), opened(self, model))


@dataclass(frozen=True, eq=False)
class BoundAStar(BoundBatches[OpenList]):
    """A* on a state-space model."""

    def init(self) -> OpenList:
        return OpenList(GrowingTree.of(self.model.root()), np.zeros(1), (0,), (), 0)

    def step(self, state: OpenList) -> OpenList:
        waiting, answers = [*state.waiting], [*state.answers]
        parents: list[int] = []
        most, wanted = self.sampler.batch, self.sampler.answers
        while waiting and len(parents) < most and len(answers) < wanted:
            if state.tree.node(waiting[0]).particle.open:
                parents.append(waiting.pop(0))
            elif parents:  # a child of theirs may cost less
                break
            else:
                answers.append(waiting.pop(0))
        if not parents:
            return state._replace(waiting=tuple(waiting), answers=tuple(answers))
        t = state.steps + 1
        tree = self.with_children(state.tree, t, parents)
        drawn = range(state.tree.length, tree.length)
        costs = np.append(state.costs, [self._cost(tree, state.costs, node) for node in drawn])
        waiting += [node for node in first_of_equals(tree, drawn) if costs[node] < inf]
        if not waiting and not answers:
            raise AllParticlesDead(t, len(drawn))
        waiting.sort(key=lambda node: (costs[node], -tree.node(node).particle.length, node))
        return OpenList(tree, costs, tuple(waiting), tuple(answers), t)

    def _cost(self, tree: GrowingTree, costs: np.ndarray, number: int) -> float:
        """Give f of a node from f of its parent; infinite where it is ruled out."""
        node = tree.node(number)
        if node.log_value == -inf:
            return inf
        before, here = _left(tree, node.parent), _left(tree, number)
        increase = max(0.0, here - before)
        if self.sampler.step_costs == "consistent":
            return float(costs[node.parent]) + increase
        return float(costs[node.parent]) + increase + here - before

    def done(self, state: OpenList) -> bool:
        return len(state.answers) == self.sampler.answers or not state.waiting

    def answers(self, state: OpenList) -> list[int]:
        return [*state.answers]

    def frontier(self, state: OpenList) -> list[int]:
        closed = [node for node in state.waiting if not state.tree.node(node).particle.open]
        return closed or [*state.waiting[: self.sampler.batch]]


def _left(tree: GrowingTree, number: int) -> float:
    """Give h, what a node's value leaves to be wished for."""
    return 1 - exp(tree.node(number).log_value) if number else 0.0


def first_of_equals(tree: GrowingTree, nodes: Sequence[int]) -> list[int]:
    """Give of each group of equal siblings, which share their trajectory, the first."""
    firsts: dict[int, int] = {}
    for node in nodes:
        firsts.setdefault(id(tree.node(node).particle.trajectory), node)
    return [*firsts.values()]
