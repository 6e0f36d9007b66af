"""AB-MCTS: a search that also chooses whether to branch or to go on, by Thompson sampling."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from ... import checks
from ...ppl.interfaces import Declared
from ...smc import RunKeys
from ..base import AllParticlesDead
from ..run_facts import Advice
from .adaptive_branching import BackUp, backed_up, branching_node
from .batch_search import BatchSearch, BoundBatches
from .growing_tree import GrowingTree
from .search_sampler import SearchSampler, opened

SCORE_MODELS = ("gaussian", "beta", "mixed")
NODES = ("step", "solution")


class Draft(NamedTuple):
    """A node of the search that is being written.

    Attributes:
        parent: the arm that it is a child of.
        slot: in which it is drawn.
        node: of the tree, where it has got to.
    """

    parent: int
    slot: int
    node: int


class Branching(NamedTuple):
    """AB-MCTS between two rounds.

    Attributes:
        tree: what has been written.
        parents: of each arm: the arm that it is a child of, -1 of the root; int64, shape (A,).
        ends: the node of the tree at which each arm ends, int64, shape (A,).
        drafts: being written.
        steps: rounds so far.
    """

    tree: GrowingTree
    parents: np.ndarray
    ends: np.ndarray
    drafts: tuple[Draft, ...]
    steps: int


@dataclass(frozen=True, kw_only=True)
class ABMCTS(BatchSearch):
    """Adaptive branching: at every node either a new child, or on to one of its children.

    What is searched is a tree of `nodes`, each with a score, its value: *steps* of reasoning, where
    closed nodes and those of value zero are never gone on with; or whole *solutions*, as published.
    There a child of the root is a fresh solution. As published a child of a solution is what the
    model makes of it when it is asked to refine it; here it keeps its parent's steps up to one
    drawn uniformly, and draws the rest again.

    An iteration goes down from the root. Each node has an arm GEN, which draws a new child.
    AB-MCTS-A draws by Thompson sampling the mean score of GEN, from the scores of the node's
    children, and of an arm CONT, from the scores of all below them. The larger wins, of equals GEN;
    after CONT each child's mean is drawn from the scores of its subtree, its own included, and the
    largest wins. The scores of an arm are "gaussian" or "beta"; see
    `motes.samplers.search.score_models`. AB-MCTS-M draws the next score of each child's subtree and
    of a new child from a "mixed" model of all scores below the node, and the largest wins; see
    `motes.samplers.search.mixed_model`, which sums the posterior over a grid where the published
    code runs MCMC, and draws the arms jointly where it draws them one by one.

    Answers are all closed nodes. If after S iterations nothing has ended, the path through the
    largest subtrees is gone on with until it does.

    A batch takes B iterations at once, each with Thompson draws of its own. What it loses is that
    none of them sees the scores of the others.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step, which is one iteration: the tokens of one step, or of a solution, and the reward
    model's pass over them. Source: Misaki et al. (2025), arXiv:2503.04412.

    Attributes:
        iterations: S, new nodes.
        batch: B, iterations at once; 1 is the sequential algorithm.
        nodes: "step" or "solution".
        score_model: "gaussian", "beta" or "mixed".
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how answers are weighed: "weighted", "best" or "vote".
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new step is drawn. Answers found by then are
            returned; where there are none, the nodes that would be gone on with. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = ABMCTS(iterations=8, nodes="solution").run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (8, 'heuristic')
    """

    iterations: int = 64
    nodes: str = "step"
    score_model: str = "gaussian"

    name = "ab_mcts"
    paper = "Misaki et al. (2025), arXiv:2503.04412"
    step_cost = "the tokens of one step, or of one solution; the reward model reads the new tokens"
    unit = "iteration"
    gentler = (Advice("raise {iterations}"), *SearchSampler.gentler)

    def __post_init__(self) -> None:
        checks.settle(self, iterations=checks.count("iterations", self.iterations))
        checks.choice("nodes", self.nodes, NODES)
        checks.choice("score_model", self.score_model, SCORE_MODELS)
        super().__post_init__()

    @property
    def children(self) -> int:
        return 1

    @property
    def least_tokens(self) -> int:
        return min(self.batch, self.iterations)

    def bind(self, model: Declared, keys: RunKeys) -> BoundABMCTS:
        return BoundABMCTS(self, model, keys, self.proposed(model), opened(self, model))


@dataclass(frozen=True, eq=False)
class BoundABMCTS(BoundBatches[Branching]):
    """AB-MCTS on a state-space model."""

    def init(self) -> Branching:
        tree = GrowingTree.of(self.model.root())
        return Branching(tree, np.full(1, -1, np.int64), np.zeros(1, np.int64), (), 0)

    def step(self, state: Branching) -> Branching:
        t, before = state.steps + 1, state.tree.length
        drafts = state.drafts or self._chosen(state, t)
        nodes = [draft.node for draft in drafts]
        slots = [draft.slot for draft in drafts]
        tree, _ = self.expanded(state.tree, t, nodes, slots, self.sampler.batch)
        written = [draft._replace(node=before + i) for i, draft in enumerate(drafts)]
        going = [draft for draft in written if self._goes_on(tree, draft.node)]
        ended = [draft for draft in written if draft not in going]
        return self._checked(
            Branching(
                tree,
                np.append(state.parents, [draft.parent for draft in ended]).astype(np.int64),
                np.append(state.ends, [draft.node for draft in ended]).astype(np.int64),
                tuple(going),
                t,
            )
        )

    def done(self, state: Branching) -> bool:
        return self._spent(state) and not state.drafts and bool(self.answers(state))

    def total(self) -> int | None:
        return self.sampler.iterations

    def count(self, state: Branching) -> int:
        return len(state.parents) - 1

    def answers(self, state: Branching) -> list[int]:
        ends = [(end, state.tree.node(end)) for end in state.ends[1:].tolist()]
        return [end for end, node in ends if node.log_value > -inf and not node.particle.open]

    def frontier(self, state: Branching) -> list[int]:
        drafts = [draft.node for draft in state.drafts]
        return drafts or [int(state.ends[self._largest(state)])]

    def visits(self, state: Branching) -> np.ndarray | None:
        if self.sampler.nodes == "solution":
            return None
        return self._seen(state).subtree[:, 0].astype(np.int64)

    def _chosen(self, state: Branching, t: int) -> list[Draft]:
        """Choose the nodes that a batch of iterations begins at."""
        if self._spent(state):
            arm = self._largest(state)
            return [Draft(arm, 0, int(state.ends[arm]))]
        random = np.random.default_rng(self.keys.choice(t))
        seen, extendable = self._seen(state), self._extendable(state)
        drafts = []
        for slot in range(min(self.sampler.batch, self.sampler.iterations - self.count(state))):
            arm = branching_node(state.parents, seen, extendable, self.sampler.score_model, random)
            node = int(state.ends[arm])
            if self.sampler.nodes == "solution" and arm:
                above = state.tree.path(node)[:-1]
                node = above[int(random.integers(len(above)))]
            drafts.append(Draft(arm, slot, node))
        return drafts

    def _goes_on(self, tree: GrowingTree, number: int) -> bool:
        """Say whether a solution that is being written goes on."""
        node = tree.node(number)
        return self.sampler.nodes == "solution" and node.particle.open and node.log_value > -inf

    def _seen(self, state: Branching) -> BackUp:
        scores = np.exp(state.tree.log_values(state.ends.tolist()))
        return backed_up(state.parents, scores)

    def _extendable(self, state: Branching) -> np.ndarray:
        """Say which arms may be gone on with: the living, and of steps those that are open."""
        nodes = [state.tree.node(int(end)) for end in state.ends]
        living = [node.log_value != -inf for node in nodes]
        if self.sampler.nodes == "solution":
            return np.array(living)
        return np.array(living) & [node.particle.open for node in nodes]

    def _spent(self, state: Branching) -> bool:
        return self.count(state) >= self.sampler.iterations

    def _largest(self, state: Branching) -> int:
        """Give the end of the path through the largest subtrees that can be gone on with."""
        sizes, extendable = self._seen(state).subtree[:, 0], self._extendable(state)
        arm = 0
        while True:
            below = np.flatnonzero((state.parents == arm) & extendable).tolist()
            if not below:
                return arm
            values = dict(
                zip(below, state.tree.log_values(state.ends[below].tolist()), strict=True)
            )
            arm = max(below, key=lambda x: (sizes[x], values[x], -x))

    def _checked(self, state: Branching) -> Branching:
        """Give a state as it is, unless nothing can come of it any more."""
        most = self.sampler.iterations
        if self.sampler.nodes == "step":
            most += self.model.max_steps  # for a path that is gone on with until it ends
        if self.count(state) >= most and not state.drafts and not self.answers(state):
            raise AllParticlesDead(state.tree.depth, self.count(state))
        return state
