"""Rewindable decoding: simulate, commit a step when one is good enough, and go on from there."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from ... import checks
from ...ppl.interfaces import Declared
from ...smc import RunKeys
from .growing_tree import GrowingTree
from .search_sampler import opened
from .simulations import BoundSimulations, SimulatingSearch
from .visited_tree import VisitedTree

LITTLE = 1e-5  # keeps the range of values of equal siblings from being zero


class Rewinding(NamedTuple):
    """A rewindable search between two rounds.

    Attributes:
        visited: the tree, with visits and values.
        root: the node that is committed to, at which simulations begin.
        since: its visits when it was committed to.
        steps: rounds so far.
    """

    visited: VisitedTree
    root: int
    since: int
    steps: int

    @property
    def tree(self) -> GrowingTree:
        """What has been written."""
        return self.visited.tree


@dataclass(frozen=True, kw_only=True)
class RAIN(SimulatingSearch):
    """RAIN: simulations from the committed prefix, until one next step is good enough to commit to.

    A simulation goes down from the committed node by the child of greatest

        (q - q_min) / (q_max - q_min + 10^-5) + c p sqrt(N) / (1 + n)

    with q the mean value that simulations brought back through it, over its visited siblings, n its
    visits, N its parent's, p its prior; the first term is 0 where n = 0. An open node at which it
    arrives is expanded by M children, and the value of the first choice among them is brought back
    to the committed node. When the most visited child has more than `least_visits` visits and q
    above `confidence`, or after S simulations, it is committed to, with all that was written below.
    Where all below a committed step turns out to be worth nothing, the step before it is gone back
    to. The answer is the one path that is committed to in the end.

    As published, nodes are sets of tokens that grow in size, a language model judges itself, visits
    are shared between siblings of similar embedding, and children are added where these are all
    alike. Here a node is a step, the value that of `value`, and equal siblings share nothing but
    what is computed.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step, which is a round of simulations: the tokens of M steps for each node that is
    expanded, and the reward model's pass over the new tokens of each distinct one. Source: Li et
    al. (2023), arXiv:2309.07124.

    Attributes:
        iterations: S, simulations after which a step is committed to whatever it is worth.
        least_visits: visits that a step needs to be committed to before that, and more.
        confidence: q that it needs.
        expansions: M, steps drawn from each node that is expanded.
        batch: B, simulations at once; 1 is the sequential algorithm. Those of a batch see one
            another as visits without a value.
        exploration: c, at least 0.
        backup: q is the "mean" of what was brought back, or the "max".
        prior: p: "draws", 1 / M each, or "probability", in proportion to the probabilities of the
            steps.
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: of one answer, so that it has no effect.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which nothing more is expanded; what is committed to by then
            is returned, open or not. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = RAIN(iterations=10).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('heuristic', 1)
    """

    iterations: int = 50
    exploration: float = 2.0
    least_visits: int = 6
    confidence: float = 0.8

    name = "rain"
    paper = "Li et al. (2023), arXiv:2309.07124"
    step_cost = (
        "the tokens of M steps for each node that a simulation expands; the reward model reads the "
        "new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self,
            least_visits=checks.count("least_visits", self.least_visits, least=0),
            confidence=checks.fraction("confidence", self.confidence),
        )
        super().__post_init__()

    def bind(self, model: Declared, keys: RunKeys) -> BoundRAIN:
        return BoundRAIN(self, model, keys, self.proposed(model), opened(self, model))


@dataclass(frozen=True, eq=False)
class BoundRAIN(BoundSimulations[Rewinding]):
    """A rewindable search on a state-space model."""

    def init(self) -> Rewinding:
        return Rewinding(VisitedTree.of(GrowingTree.of(self.model.root())), 0, 0, 0)

    def step(self, state: Rewinding) -> Rewinding:
        child = self._committed(state.visited, state)
        if child is not None:
            return Rewinding(state.visited, child, int(state.visited.counts[child]), state.steps)
        visited = state.visited.copied()
        parents = self._selected(visited, state)
        if not parents:
            return state._replace(visited=visited, steps=state.steps + 1)
        visited = self.expanded_all(visited, state.steps + 1, parents)
        for parent in parents:
            if visited.alive[parent]:
                nothing = np.zeros(len(visited.counts), np.int64)
                self._end(visited, self.best_child(visited, parent, nothing), state.root)
        root = self._rewound(visited, state.root)
        since = state.since if root == state.root else int(visited.counts[root])
        return Rewinding(visited, root, since, state.steps + 1)

    def done(self, state: Rewinding) -> bool:
        return not state.visited.open(state.root)

    def count(self, state: Rewinding) -> int:
        return state.steps

    def total(self) -> int | None:
        return None

    def answers(self, state: Rewinding) -> list[int]:
        return [] if state.visited.open(state.root) else [state.root]

    def frontier(self, state: Rewinding) -> list[int]:
        return [state.root]

    def visits(self, state: Rewinding) -> np.ndarray | None:
        return state.visited.counts

    def bounds(self, visited: VisitedTree, node: int, pending: np.ndarray) -> np.ndarray:
        children = visited.children(node, self.sampler.expansions)
        seen = visited.counts[children]
        above = visited.counts[node] + pending[node]
        bonus = visited.priors[children] * sqrt(above) / (1 + seen + pending[children])
        means = self._means(visited, children)
        q = means[seen > 0]
        if not len(q):
            return self.sampler.exploration * bonus
        scaled = (means - q.min()) / (q.max() - q.min() + LITTLE)
        return np.where(seen > 0, scaled, 0.0) + self.sampler.exploration * bonus

    def _means(self, visited: VisitedTree, children: np.ndarray) -> np.ndarray:
        """Give q of some nodes; 0 of those that nothing came back through."""
        divisors = np.maximum(visited.counts[children], 1) if self.sampler.backup == "mean" else 1
        return visited.totals[children] / divisors

    def _committed(self, visited: VisitedTree, state: Rewinding) -> int | None:
        """Give the child of the root to commit to; None where none is good enough yet."""
        root = state.root
        if visited.firsts[root] < 0:
            return None
        children = visited.children(root, self.sampler.expansions)
        best = int(children[np.argmax(visited.counts[children])])
        spent = visited.counts[root] - state.since >= self.sampler.iterations
        [q] = self._means(visited, np.array([best]))
        sure = visited.counts[best] > self.sampler.least_visits and q > self.sampler.confidence
        return best if spent or sure else None

    def _rewound(self, visited: VisitedTree, root: int) -> int:
        """Give the committed node, or the last above it below which anything is left."""
        return next(node for node in visited.above(root) if visited.alive[node])

    def _selected(self, visited: VisitedTree, state: Rewinding) -> list[int]:
        """Choose the nodes to expand; simulations that arrive at an end are done on the way."""
        pending = np.zeros(len(visited.counts), np.int64)
        parents: list[int] = []
        most = self.sampler.iterations + state.since
        while len(parents) < self.sampler.batch:
            if visited.counts[state.root] + len(parents) >= most:
                break
            node = state.root
            while visited.firsts[node] >= 0:
                node = self.best_child(visited, node, pending)
            if node in parents:  # what comes of it is not known yet
                break
            if visited.open(node):
                parents.append(node)
                pending[[*visited.above(node, state.root)]] += 1
            else:
                self._end(visited, node, state.root)
                if self._committed(visited, state) is not None:
                    break
        return parents

    def _end(self, visited: VisitedTree, node: int, root: int) -> None:
        """End a simulation: bring back what the node is worth."""
        visited.back_up(node, visited.value(node), self.sampler.backup == "max", root)
