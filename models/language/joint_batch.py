"""Rows of several language models over one network, which it reads in one batch.

Prompts differ, and laws may; weights, steps and contexts are the same. One language model alone is
the usual case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..asking import Question
from ..cost import Cost
from ..hosting.row_laws import RowLaw
from ..mixture import Mixture, components
from ..protocols import Reading
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
        owners: each row's language model.
        heads: each row's trajectory.
        given: what else is given of each row: a key, a step, or tokens.
        laws: each row's proposal and prior.
    """

    owners: Sequence[Owner]
    heads: Sequence[Trajectory]
    given: Sequence[Any]
    laws: Sequence[RowLaw]

    def of(self, rows: Sequence[int]) -> JointBatch:
        """Return some of the rows."""
        return JointBatch(
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
    return JointBatch(owners, heads, given, laws)


def readings(batch: JointBatch, sums: Mapping[Sampling, Sequence[float]]) -> list[Reading | None]:
    """Return what each row's language model makes of the step that it is given.

    Args:
        batch: rows that are given steps.
        sums: for each law that a row asks about, the log-probability of every row's step, nats.
    """
    found: list[Reading | None] = []
    for row, (owner, head, step, law) in enumerate(
        zip(batch.owners, batch.heads, batch.given, batch.laws, strict=True)
    ):
        terms = tuple(sums[each][row] for each in components(law.proposal))
        own = terms if isinstance(law.proposal, Mixture) else ()
        given = {"logprob": 0.0, "proposal_logprob": 0.0, "component_logprobs": own}
        node = owner.step_said(head, step.step_token_ids, **given)
        found.append(None if node is None else Reading(node, sums[law.prior][row], terms))
    return found


def asked_laws(batch: JointBatch) -> list[Sampling]:
    """Return the laws that rows ask about, their priors and components of their proposals."""
    laws = [each for law in batch.laws for each in (law.prior, *components(law.proposal))]
    return [*dict.fromkeys(laws)]


def fitting(batch: JointBatch) -> list[int]:
    """Return the rows whose step has a token, and a place in the context."""
    rooms = [owner.room(head) for owner, head in zip(batch.owners, batch.heads, strict=True)]
    lengths = [len(step.step_token_ids) for step in batch.given]
    return [i for i, room in enumerate(rooms) if 0 < lengths[i] <= room]


def answered_jointly(
    questions: Sequence[Question], answer: Callable[[JointBatch], Sequence[Any]]
) -> list[list[Any]]:
    """Answer questions to language models over one network, in as few batches as can be.

    Args:
        questions: of one method.
        answer: gives an answer to each row of a batch.
    """
    answers: list[list[Any]] = [[] for _ in questions]
    for places in in_joint_batches(questions):
        batch = joint_batch([questions[i] for i in places])
        found = iter(answer(batch) if batch.heads else ())
        for i in places:
            answers[i] = [next(found) for _ in questions[i].rows[0]]
    return answers


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
