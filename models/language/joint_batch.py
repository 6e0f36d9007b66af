"""Rows of several language models over one network, which it reads in one batch.

Prompts differ, and laws may; weights, steps and contexts are the same. One language model alone is
the usual case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..asking import Question
from ..cost import Cost
from ..hosting.row_laws import RowLaw
from ..hosting.tree_cache import TreeCache
from ..sampling import Sampling
from ..trajectory import Trajectory


class Owner(Protocol):
    """A language model that has rows in a batch.

    Attributes:
        name: what reports call it.
        context: how many tokens a prompt and a trajectory may have together.
        cost: what it has computed.
    """

    name: str
    context: int
    cost: Cost

    @property
    def tree(self) -> TreeCache:
        """What was read of its trees."""
        ...

    def room(self, trajectory: Trajectory) -> int:
        """Count how many more tokens fit into its context."""
        ...

    def step_said(self, head: Trajectory, tokens: tuple[int, ...], **law: Any) -> Trajectory | None:
        """Give the child of a trajectory that these tokens make; None if they make none."""
        ...


@dataclass(frozen=True)
class JointBatch:
    """Rows that one batch reads.

    Attributes:
        tree: the cache of all their trees.
        owners: each row's language model.
        heads: each row's trajectory.
        given: what else is given of each row: a key, a step, or tokens.
        laws: each row's proposal and prior.
    """

    tree: TreeCache
    owners: Sequence[Owner]
    heads: Sequence[Trajectory]
    given: Sequence[Any]
    laws: Sequence[RowLaw]

    def of(self, rows: Sequence[int]) -> JointBatch:
        """Return some of the rows."""
        return JointBatch(
            self.tree,
            [self.owners[i] for i in rows],
            [self.heads[i] for i in rows],
            [self.given[i] for i in rows],
            [self.laws[i] for i in rows],
        )


def joint_batch(questions: Sequence[Question]) -> JointBatch:
    """Return the rows of these questions, in order, which may stand in one batch."""
    owners, heads, given, laws = [], [], [], []
    for question in questions:
        named = dict(question.named)
        prior = named.get("prior") or Sampling()
        proposal = named.get("sampling") or named.get("proposal") or prior
        first, second = question.rows
        owners += [question.model] * len(first)
        heads += first
        given += second
        laws += [RowLaw(proposal, prior)] * len(first)
    lead: Owner = questions[0].model
    tree = lead.tree
    if len({id(owner) for owner in owners}) > 1:
        trees = {x.path[0]: owner.tree for owner, x in zip(owners, heads, strict=True)}
        tree = lead.tree.together(trees)
    return JointBatch(tree, owners, heads, given, laws)


def in_joint_batches(questions: Sequence[Question]) -> list[list[int]]:
    """Return the places of questions that may stand in one batch.

    Only those of one language model may ask about the same tree.
    """
    batches: list[tuple[dict[Trajectory, Any], list[int]]] = []
    for place, question in enumerate(questions):
        own = {x.path[0]: question.model for x in question.rows[0]}
        for roots, places in batches:
            if all(roots.get(root, model) is model for root, model in own.items()):
                roots.update(own)
                places.append(place)
                break
        else:
            batches.append((own, [place]))
    return [places for _, places in batches]
