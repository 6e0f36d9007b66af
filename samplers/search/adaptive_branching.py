"""Which node an iteration of AB-MCTS draws a child of.

Nodes are numbered, the root 0, parents before their children; every other one has a score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .mixed_model import next_scores
from .score_models import MEANS, Moments


class BackUp(NamedTuple):
    """The scores that each arm has seen, as rows of count, sum and sum of squares.

    With n the number of rows that went into one: n(generated) + n(continued) + 1 = n(subtree), of
    the root without the 1.

    Attributes:
        generated: of a node's arm GEN: the scores of its children, shape (A, 3).
        continued: of its arm CONT: those of everything below its children, shape (A, 3).
        subtree: of a node as an arm of its parent: its own and all below it, shape (A, 3).
    """

    generated: np.ndarray
    continued: np.ndarray
    subtree: np.ndarray


def backed_up(parents: np.ndarray, scores: np.ndarray) -> BackUp:
    """Return what the arms of all nodes have seen.

    Args:
        parents: of each node, -1 of the root, int64, shape (A,).
        scores: of each, in [0, 1]; that of the root is not read; float64, shape (A,).

    Example:
        >>> import numpy as np
        >>> seen = backed_up(np.array([-1, 0, 1, 1]), np.array([0.0, 0.5, 0.2, 0.4]))
        >>> seen.generated[0].tolist(), float(seen.continued[0, 0]), float(seen.subtree[1, 0])
        ([1.0, 0.5, 0.25], 2.0, 3.0)
    """
    own = np.stack([np.ones(len(parents)), scores, scores**2], axis=1)
    own[0] = 0.0
    generated, continued = np.zeros_like(own), np.zeros_like(own)
    for node in range(len(parents) - 1, 0, -1):
        parent = parents[node]
        generated[parent] += own[node]
        continued[parent] += generated[node] + continued[node]
    return BackUp(generated, continued, own + generated + continued)


def branching_node(
    parents: np.ndarray,
    seen: BackUp,
    extendable: np.ndarray,
    score_model: str,
    random: np.random.Generator,
) -> int:
    """Choose the node that draws a new child, by Thompson sampling from the root down.

    Args:
        parents: as of `backed_up`.
        seen: what `backed_up` gives.
        extendable: which nodes may be gone on with, bool, shape (A,).
        score_model: "gaussian", "beta" or "mixed".
        random: from which scores are drawn.
    """
    node = 0
    while True:
        children = np.flatnonzero(parents == node)
        below = children[extendable[children]]
        if not len(below):
            return node
        if score_model == "mixed":
            groups = [Moments(*seen.subtree[child]) for child in children]
            *drawn, new = next_scores(groups, random)
            scores = np.array(drawn)[extendable[children]]
            generates = new >= scores.max()
        else:
            mean = MEANS[score_model]
            new = mean(Moments(*seen.generated[node]), random)
            generates = new >= mean(Moments(*seen.continued[node]), random)
            scores = np.asarray(mean(Moments(*seen.subtree[below].T), random))
        if generates:
            return node
        node = int(below[np.argmax(scores)])
