"""Trajectories: immutable nodes of the tree that a run's particles form.

A node holds one step of reasoning and points at its parent. Forks share their parent, so everything
that is expensive to know about a prefix (keys and values, scores) can hang on the node that ends it
and serve all that descend from it. Nodes are compared by identity; compare `token_ids` to compare
what was said.

A copy of a node is the node itself, since nothing can change it. Pickled nodes keep sharing their
parents, and chains of any length can be pickled: pickle descends from a node into what it refers
to, so each node refers to a few ancestors beside its parent, the farthest first. Node number d
refers to d - 2^j, ..., d - 2, d - 1, where 2^j is the largest power of two that divides d. Whatever
node pickle begins with, it then descends through 2 log2(d) nodes at most before it meets one that
it has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from .conversation import without_system
from .opening import Opening


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True, kw_only=True)
class Trajectory:
    """A question and the reasoning steps generated for it so far.

    Attributes:
        question: the question as the user wrote it; a conversation as one text (see
            `motes.models.conversation`).
        parent: the trajectory one step shorter; None at the root, which has no steps.
        depth: the number of steps.
        step_text: the last step's text, delimiter included ("" at the root).
        step_token_ids: the last step's token ids, end-of-text included (empty at the root).
        logprob: log-probability of all steps under the prior, in nats, given the question.
        proposal_logprob: the same under the proposals the steps were drawn from.
        finished: the reasoning has ended, by end of text or by stating its answer.
        truncated: it was cut off, out of steps or out of the model's context.
        delimited: the last step ended where its rule's delimiter does, so that its text is whole;
            False where it was cut at a cap, at a number of tokens or by a predicate. True of models
            whose steps are whole.
        answer: what it answers, where somebody has read that; only of a finished one.
        opening: what the model's turn began with, before the first step.
        component_logprobs: log-probability of the last step under each component of the `Mixture`
            that it was drawn from, in nats; empty where it was drawn from no mixture.

    Example:
        >>> law = {"logprob": -0.7, "proposal_logprob": -0.7}
        >>> x = Trajectory(question="2 + 2?").child("It is 4.", (5, 6), finished=True, **law)
        >>> x.depth, x.text, x.token_ids, x.open
        (1, 'It is 4.', (5, 6), False)
    """

    question: str
    parent: Trajectory | None = None
    depth: int = 0
    step_text: str = ""
    step_token_ids: tuple[int, ...] = ()
    logprob: float = 0.0
    proposal_logprob: float = 0.0
    finished: bool = False
    truncated: bool = False
    delimited: bool = True
    answer: str | None = None
    opening: Opening = Opening()
    component_logprobs: tuple[float, ...] = ()

    def child(
        self,
        text: str,
        token_ids: tuple[int, ...],
        *,
        logprob: float,
        proposal_logprob: float,
        finished: bool = False,
        truncated: bool = False,
        delimited: bool = True,
        component_logprobs: tuple[float, ...] = (),
    ) -> Trajectory:
        """Return this trajectory and one more step.

        Its log-probabilities are that step's own, in nats.
        """
        return Trajectory(
            question=self.question,
            parent=self,
            depth=self.depth + 1,
            step_text=text,
            step_token_ids=token_ids,
            logprob=self.logprob + logprob,
            proposal_logprob=self.proposal_logprob + proposal_logprob,
            finished=finished,
            truncated=truncated,
            delimited=delimited,
            opening=self.opening,
            component_logprobs=component_logprobs,
        )

    def close(
        self, *, finished: bool = False, truncated: bool = False, answer: str | None = None
    ) -> Trajectory:
        """Return a copy of this node that is finished, with this answer, or truncated."""
        return replace(
            self,
            finished=self.finished or finished,
            truncated=self.truncated or truncated,
            answer=answer,
        )

    @property
    def open(self) -> bool:
        """Whether another step may follow."""
        return not (self.finished or self.truncated)

    @property
    def shape(self) -> tuple[()]:
        """As the value of a random variable a trajectory is a scalar."""
        return ()

    @property
    def ndim(self) -> int:
        """As an array it would have no dimensions."""
        return 0

    @property
    def path(self) -> tuple[Trajectory, ...]:
        """The nodes from the root to this one, both included."""
        nodes, node = [], self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return tuple(reversed(nodes))

    @property
    def steps(self) -> tuple[str, ...]:
        """The texts of the steps."""
        return tuple(node.step_text for node in self.path[1:])

    @property
    def text(self) -> str:
        """All that was generated, the steps one behind the other."""
        return "".join(self.steps)

    @property
    def asked(self) -> str:
        """The question as a reader of the solution, such as a reward model, sees it.

        Of a conversation the turns of user and assistant, with their names where there are several.
        """
        return without_system(self.question)

    @property
    def solution_steps(self) -> tuple[str, ...]:
        """The texts of the steps as a reader of the solution, such as a reward model, sees them.

        The first one follows the prefill. Markers of thinking are left out.

        Example:
            >>> root = Trajectory(question="2 + 2?", opening=Opening(prefill="The sum is "))
            >>> root.child("4.", (5,), logprob=0.0, proposal_logprob=0.0).solution_steps
            ('The sum is 4.',)
        """
        steps = self.steps
        if steps:
            steps = self.opening.prefill + steps[0], *steps[1:]
        return tuple(map(self.opening.unmarked, steps))

    @property
    def answer_text(self) -> str:
        """The text of which an answer is read: prefill and steps, without what is thinking."""
        return self.opening.outside(self.text)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The ids of all that was generated."""
        return tuple(token for node in self.path for token in node.step_token_ids)

    @property
    def step_logprob(self) -> float:
        """The last step's log-probability under the prior, in nats."""
        return self.logprob - self.parent.logprob if self.parent else 0.0

    @property
    def step_proposal_logprob(self) -> float:
        """The last step's log-probability under the proposal it was drawn from, in nats."""
        return self.proposal_logprob - self.parent.proposal_logprob if self.parent else 0.0

    def __copy__(self) -> Trajectory:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Trajectory:
        return self

    def __reduce__(self) -> tuple[Callable[..., Trajectory], tuple[Any, ...]]:
        own = [getattr(self, field.name) for field in fields(self) if field.name != "parent"]
        return _restored, (self._near_ancestors(), *own)

    def _near_ancestors(self) -> tuple[Trajectory, ...]:
        """Return a few ancestors, the farthest first and the parent last; none at the root.

        See the module.
        """
        gap, distance, node = self.depth & -self.depth, 0, self
        found = []
        while node.parent is not None and distance < gap:
            node, distance = node.parent, distance + 1
            if distance & (distance - 1) == 0:  # a power of two
                found.append(node)
        return tuple(reversed(found))

    def __repr__(self) -> str:
        state = "open"
        if self.finished or self.truncated:
            state = "finished" if self.finished else "truncated"
        return (
            f"<Trajectory {state}, {self.depth} steps, logprob {self.logprob:.2f}: "
            f"{self.text[-60:]!r}>"
        )


def _restored(near_ancestors: tuple[Trajectory, ...], *own: Any) -> Trajectory:
    """Return the node that was pickled."""
    names = [field.name for field in fields(Trajectory) if field.name != "parent"]
    parent = near_ancestors[-1] if near_ancestors else None
    return Trajectory(parent=parent, **dict(zip(names, own, strict=True)))
