"""Rules that say what a trajectory answers, and when it has answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ...models import Trajectory
from .claims import last_answer

Answer: TypeAlias = Callable[[Trajectory], "str | None"]
"""Maps a trajectory to what it answers; None for nothing."""


def stated(trajectory: Trajectory) -> str | None:
    r"""Return the answer that a trajectory states last, or None if it states none.

    Statements are `\boxed{17}`, `#### 17` and `The answer is 17.` Of a trajectory that is open,
    and whose last step was cut off (by a number of tokens, a cap or a predicate) instead of
    ending at a delimiter, those count that are complete in what is written; see
    `motes.ppl.answers.last_answer`, which reads them. So an answer does not depend on where steps
    end.

    Example:
        >>> from motes.models import Trajectory
        >>> root = Trajectory(question="?")
        >>> stated(root.child("The answer is 17.", (1,), logprob=0.0, proposal_logprob=0.0))
        '17'
    """
    return last_answer(trajectory.answer_text, ended=trajectory.delimited or not trajectory.open)


def read(rule: Answer, trajectory: Trajectory) -> str | None:
    """Return what a trajectory answers by this rule.

    Raises:
        TypeError: the rule gives something else than a text or None.

    Example:
        >>> from motes.models import Trajectory
        >>> law = {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> x = Trajectory(question="?").child("The answer is 4.", (1,), **law)
        >>> read(lambda x: x.text[-2], x)
        '4'
    """
    answer = rule(trajectory)
    if not (answer is None or isinstance(answer, str)):
        raise TypeError(f"answer must map a trajectory to a str or None, not to {answer!r}")
    return answer


def settled(trajectory: Trajectory, rule: Answer, stop_at_answer: bool) -> Trajectory:
    """Return the trajectory with its answer, if it is finished or is to finish where it states one.

    A step that was cut off may end within an answer. What is complete nevertheless, `stated` knows;
    any other rule is asked only once a step has ended at its delimiter, or the trajectory has.

    Args:
        trajectory: after its last step.
        rule: reads the answer.
        stop_at_answer: whether an open trajectory finishes when it states an answer.

    Raises:
        TypeError: as `read` does.

    Example:
        >>> from motes.models import Trajectory
        >>> law = {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> x = Trajectory(question="?").child("The answer is 4.", (1,), **law)
        >>> from motes.ppl import stated
        >>> settled(x.close(finished=True), stated, True).answer
        '4'
    """
    if trajectory.truncated or (trajectory.open and not stop_at_answer):
        return trajectory
    if trajectory.open and not trajectory.delimited and rule is not stated:
        return trajectory
    answer = read(rule, trajectory)
    return trajectory if answer is None else trajectory.close(finished=True, answer=answer)
