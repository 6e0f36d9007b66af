"""Monte Carlo tree search over steps: UCT and PUCT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np

from ... import checks
from ...ppl.interfaces import Declared
from ...smc import RunKeys
from .growing_tree import GrowingTree
from .search_sampler import opened
from .simulations import BoundSimulations, SimulatingSearch, Simulations
from .visited_tree import VisitedTree

RULES = ("uct", "puct")
LEAVES = ("prefix", "solution")
UNVISITED = ("first", "value")


@dataclass(frozen=True, kw_only=True)
class MCTS(SimulatingSearch):
    """Monte Carlo tree search: simulations that go down by an upper confidence bound.

    A node that a simulation goes on from for the first time is expanded by M children. With N the
    visits of a node, S the sum of the values that were brought back through it and Q = S / N (or
    the greatest of them), a simulation at a node goes on to the child of greatest

        "uct"   Q + c sqrt(ln N_parent / N)            (N at least 1 in either place)
        "puct"  Q + c p sqrt(N_parent) / (1 + N)       p: the prior of a child among its siblings

    Where it ends is its `leaf`: at the first node that was not visited before ("prefix"), or at the
    end of a solution ("solution"), so that only values of solutions are brought back. The value of
    the leaf is added to it and to all nodes above it. So N = 1 + the children's N of an inner node
    (without the 1 where leaves are solutions), and N of the root is the number of simulations.

    Answers are all closed nodes. A simulation that finds nothing but steps worth nothing is not
    counted, and no other goes there. If after S simulations nothing has ended, the most visited
    path is gone on with by the best of M steps until it does.

    A batch takes B simulations that must expand something, each of which sees those before it as
    visits without a value (Liu et al. 2020, arXiv:1810.11755); what a batch loses is that it does
    not see their values, and that it is cut short where two of them meet.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step, which is one simulation: the tokens of M steps where it expands a node, and the
    reward model's pass over the new tokens of each distinct one. Source: Kocsis and Szepesvari
    (2006) for UCT; Silver et al. (2017) for PUCT; over steps with a reward model, Guan et al.
    (2025), arXiv:2501.04519, and Wang et al. (2024), arXiv:2410.09671.

    Attributes:
        iterations: S, simulations.
        expansions: M, steps drawn from each node that is expanded.
        batch: B, simulations whose nodes are expanded at once; 1 is the sequential algorithm.
        rule: "uct" or "puct".
        exploration: c, at least 0.
        leaf: where a simulation ends: "prefix" or "solution".
        unvisited: a child that was not visited comes "first", or has its own "value" as Q.
        backup: Q is the "mean" of what was brought back, or the "max".
        prior: p of "puct": "draws", 1 / M each, or "probability", in proportion to the
            probabilities of the steps; equal siblings share theirs.
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how answers are weighed: "weighted", "best" or "vote".
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which nothing more is expanded. Answers found by then are
            returned; where there are none, the nodes that would be gone on with. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = MCTS(iterations=20).run(model, seed=0)
        >>> int(posterior.tree.visits[0]), posterior.guarantee
        (20, 'heuristic')
    """

    rule: str = "uct"
    leaf: str = "prefix"
    unvisited: str = "first"

    name = "mcts"
    paper = "Kocsis and Szepesvari (2006), Bandit based Monte-Carlo planning"
    step_cost = (
        "the tokens of M steps for each node that a simulation expands; the reward model reads the "
        "new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        checks.choice("rule", self.rule, RULES)
        checks.choice("leaf", self.leaf, LEAVES)
        checks.choice("unvisited", self.unvisited, UNVISITED)
        super().__post_init__()

    def bind(self, model: Declared, keys: RunKeys) -> BoundMCTS:
        return BoundMCTS(self, model, keys, self.proposed(model), opened(self, model))


@dataclass(frozen=True, eq=False)
class BoundMCTS(BoundSimulations[Simulations]):
    """Monte Carlo tree search on a state-space model."""

    def init(self) -> Simulations:
        return Simulations(VisitedTree.of(GrowingTree.of(self.model.root())), (), 0)

    def step(self, state: Simulations) -> Simulations:
        visited = state.visited.copied()
        completing = self._without_answer(state)
        if completing:
            parents = [self._most_visited(visited)]
        else:
            parents = self._selected(visited, state.going)
        if not parents:
            return state._replace(visited=visited)
        visited = self.expanded_all(visited, state.steps + 1, parents)
        going = []
        for parent in parents:
            if not visited.alive[parent]:  # all that was found there is worth nothing
                continue
            child = self._first_choice(visited, parent, completing)
            if self.sampler.leaf == "solution" and visited.open(child):
                going.append(child)
            else:
                self._end(visited, child)
        return Simulations(visited, tuple(going), state.steps + 1)

    def done(self, state: Simulations) -> bool:
        enough = state.visited.counts[0] >= self.sampler.iterations
        return bool(enough) and not state.going and bool(self.answers(state))

    def total(self) -> int | None:
        return self.sampler.iterations

    def count(self, state: Simulations) -> int:
        return int(state.visited.counts[0])

    def answers(self, state: Simulations) -> list[int]:
        return state.visited.answers()

    def visits(self, state: Simulations) -> np.ndarray | None:
        return state.visited.counts

    def frontier(self, state: Simulations) -> list[int]:
        return [*state.going] or [self._most_visited(state.visited)]

    def bounds(self, visited: VisitedTree, node: int, pending: np.ndarray) -> np.ndarray:
        children = visited.children(node, self.sampler.expansions)
        seen = visited.counts[children]
        n = seen + pending[children]
        above = visited.counts[node] + pending[node]
        c = self.sampler.exploration
        if self.sampler.rule == "puct":
            bonus = c * visited.priors[children] * sqrt(above) / (1 + n)
        else:
            bonus = c * np.sqrt(log(max(above, 1)) / np.maximum(n, 1))
        bounds = self._means(visited, children) + bonus
        return np.where(n == 0, inf, bounds) if self.sampler.unvisited == "first" else bounds

    def _means(self, visited: VisitedTree, children: np.ndarray) -> np.ndarray:
        """Give Q of some nodes; of those that nothing came back through, their own values."""
        seen = visited.counts[children]
        divisors = np.maximum(seen, 1) if self.sampler.backup == "mean" else 1
        own = np.exp(visited.tree.log_values(children.tolist()))
        return np.where(seen > 0, visited.totals[children] / divisors, own)

    def _selected(self, visited: VisitedTree, going: Sequence[int]) -> list[int]:
        """Choose the nodes to expand; simulations that expand nothing are done on the way."""
        pending = np.zeros(len(visited.counts), np.int64)
        parents = []
        for node in going:
            self._put_off(visited, node, pending, parents)
        most, wanted = self.sampler.batch, self.sampler.iterations
        while len(parents) < most and visited.counts[0] + len(parents) < wanted:
            node = self._descended(visited, pending)
            if node in parents:  # what comes of it is not known yet
                break
            if self._expands(visited, node):
                self._put_off(visited, node, pending, parents)
            else:
                self._end(visited, node)
        return parents

    def _descended(self, visited: VisitedTree, pending: np.ndarray) -> int:
        """Give the node at which a simulation ends or expands."""
        node = 0
        while visited.firsts[node] >= 0:
            node = self.best_child(visited, node, pending)
            if self.sampler.leaf == "prefix" and not visited.counts[node]:
                return node
        return node

    def _expands(self, visited: VisitedTree, node: int) -> bool:
        """Say whether a simulation goes on from the node at which it has arrived."""
        if not visited.open(node):
            return False
        return node == 0 or self.sampler.leaf == "solution" or bool(visited.counts[node])

    def _put_off(
        self, visited: VisitedTree, node: int, pending: np.ndarray, parents: list[int]
    ) -> None:
        """Take a simulation as under way until its node is expanded."""
        parents.append(node)
        pending[[*visited.above(node)]] += 1

    def _first_choice(self, visited: VisitedTree, parent: int, completing: bool) -> int:
        """Choose among children that have just been drawn."""
        if not completing:
            return self.best_child(visited, parent, np.zeros(len(visited.counts), np.int64))
        children = visited.children(parent, self.sampler.expansions).tolist()
        return children[int(np.argmax(visited.tree.log_values(children)))]

    def _end(self, visited: VisitedTree, node: int) -> None:
        """End a simulation: bring back what the node is worth."""
        visited.back_up(node, visited.value(node), self.sampler.backup == "max")

    def _without_answer(self, state: Simulations) -> bool:
        """Say whether all simulations are done and none has met an end."""
        return not state.going and bool(state.visited.counts[0] >= self.sampler.iterations)

    def _most_visited(self, visited: VisitedTree) -> int:
        """Give the end of the most visited path; of equals the one of greater value."""
        node = 0
        while visited.firsts[node] >= 0:
            children = visited.children(node, self.sampler.expansions).tolist()
            node = max(
                children,
                key=lambda x: (visited.counts[x], visited.tree.node(x).log_value, -x),
            )
        return node
