"""Efficient tree search: reward balanced search over a set of leaves that share their prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import checks
from .clusters import CLUSTERS, Embedding, cluster_labels
from .growing_tree import GrowingTree
from .level_search import Candidate, Round
from .rebase import Rebase, sequential_widths


def best_leaves(
    gains: Sequence[float],
    paths: Sequence[Sequence[int]],
    labels: np.ndarray | None,
    branch_cost: float,
    coverage: float,
) -> list[int]:
    """Choose the leaves to keep, by an integer program.

    It maximises over sets S of leaves, not empty,

        sum_{i in S} gain_i - branch_cost |S and its ancestors| / |all leaves and their ancestors|
            + coverage |clusters hit by S| / |clusters|

    Args:
        gains: of K leaves: their shares of the children.
        paths: the ancestors of each leaf, the root among them, itself not.
        labels: the cluster of each leaf, from 0; None where clusters do not count.
        branch_cost: lambda_b, at least 0.
        coverage: lambda_d, at least 0.

    Returns:
        Positions, ascending.

    Example:
        >>> best_leaves([0.6, 0.3, 0.1], [[0], [0], [0]], None, 0.8, 0.0)
        [0, 1]
    """
    # not at start-up: every user of samplers would wait for it
    from scipy.optimize import Bounds, milp
    from scipy.sparse import lil_array

    inner = {node: place for place, node in enumerate(sorted({n for path in paths for n in path}))}
    clusters = 0 if labels is None else int(labels.max()) + 1
    leaves = len(gains)
    # variables: leaves, then inner nodes, then clusters; each 0 or 1
    size = leaves + len(inner) + clusters
    cost = branch_cost / (leaves + len(inner))
    worth = np.concatenate(
        [
            np.asarray(gains, np.float64) - cost,
            np.full(len(inner), -cost),
            np.full(clusters, coverage / clusters if clusters else 0.0),
        ]
    )
    rows: list[dict[int, float]] = []
    for leaf, path in enumerate(paths):  # a leaf needs all its ancestors
        rows += [{leaf: 1.0, leaves + inner[node]: -1.0} for node in path]
    for cluster in range(clusters):  # a cluster counts where one of its leaves is kept
        assert labels is not None
        members = np.flatnonzero(labels == cluster).tolist()
        rows.append({leaves + len(inner) + cluster: 1.0, **dict.fromkeys(members, -1.0)})
    rows.append(dict.fromkeys(range(leaves), -1.0))
    upper = np.zeros(len(rows))
    upper[-1] = -1.0  # one leaf at least
    matrix = lil_array((len(rows), size))
    for number, row in enumerate(rows):
        for column, value in row.items():
            matrix[number, column] = value
    solved = milp(
        -worth,
        constraints=(matrix.tocsr(), np.full(len(rows), -np.inf), upper),
        integrality=np.ones(size),
        bounds=Bounds(0, 1),
    )
    return np.flatnonzero(solved.x[:leaves] > 0.5).tolist()


@dataclass(frozen=True, kw_only=True)
class ETS(Rebase):
    """ETS: REBASE over a set of leaves that is worth its nodes, and says different things.

    Before children are shared out, the open leaves S are chosen that maximise

        sum_{i in S} O_i - lambda_b |V_S| / |V| + lambda_d |C_S| / K

    O_i is a leaf's share of the children by REBASE, V_S are the leaves kept and all their ancestors
    (a stand-in for the cache that they take), V those of all leaves, C_S the clusters of last steps
    that S hits, out of K. An integer program finds S. The whole budget then goes to S by REBASE.

    With `branch_cost` 0 all leaves are kept, and this is REBASE. Clusters count only where the last
    steps differ.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of as many steps as there are answers missing, the reward model's pass
    over the new tokens of each distinct one, and an integer program. Source: Hooper et al. (2025),
    arXiv:2502.13575.

    Attributes:
        particles: N, answers to be found, and children of the root.
        branch_cost: lambda_b, at least 0.
        coverage: lambda_d, at least 0.
        clusters: "text", steps that are equal; "tfidf", by words (scikit-learn); or a function from
            texts to vectors or labels.
        balance_temperature, allocation: as of `Rebase`.
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how answers are weighed: "weighted", "best" or "vote".
        proposal: what steps are drawn from; the model's prior when None.
        budget: as of `Rebase`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = ETS(particles=8).run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (8, 'heuristic')
    """

    branch_cost: float = 1.0
    coverage: float = 1.5
    clusters: str | Embedding = "text"

    name = "ets"
    paper = "Hooper et al. (2025), arXiv:2502.13575"
    step_cost = (
        "the tokens of as many steps as there are answers missing; the reward model reads the new "
        "tokens of each distinct one; one integer program"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self,
            branch_cost=checks.number("branch_cost", self.branch_cost, least=0),
            coverage=checks.number("coverage", self.coverage, least=0),
        )
        if not callable(self.clusters):
            checks.choice("clusters", self.clusters, CLUSTERS)
        super().__post_init__()

    def widths(self, round: Round, going: Sequence[Candidate], budget: int) -> np.ndarray:
        if not going or budget <= 0 or self.branch_cost == 0:
            return super().widths(round, going, budget)
        log_values = np.array([each.log_value for each in going])
        shares = sequential_widths(log_values, budget, self.balance_temperature) / budget
        kept = best_leaves(
            shares.tolist(),
            [ancestors(round.tree, each.node) for each in going],
            self._labels(round.tree, going),
            self.branch_cost,
            self.coverage,
        )
        widths = np.zeros(len(going), np.int64)
        widths[kept] = super().widths(round, [going[i] for i in kept], budget)
        return widths

    def _labels(self, tree: GrowingTree, going: Sequence[Candidate]) -> np.ndarray | None:
        """Give the cluster of each leaf's last step; None where clusters do not count."""
        texts = [tree.node(each.node).particle.trajectory.step_text for each in going]
        if self.coverage == 0 or len(set(texts)) < 2:
            return None
        return cluster_labels(self.clusters, texts)


def ancestors(tree: GrowingTree, node: int) -> list[int]:
    """Give the nodes above a node, the nearest first."""
    found, parent = [], tree.node(node).parent
    while parent >= 0:
        found.append(parent)
        parent = tree.node(parent).parent
    return found
