"""Steps that somebody has judged, and the arrays that a reliability model is fitted to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...models import RewardModel, Trajectory, calls


class LabelledStep(NamedTuple):
    """One judged step.

    What *right* means is the labeller's to say, and the calibrated scores will mean the same. For
    the target `product`, whose factors multiply to the probability that every step is right, label
    the steps up to and including the first wrong one (Lightman et al. 2024, section 2.6): a factor
    is then the probability that a step is right given that the earlier ones are.

    Attributes:
        trajectory: its last step is what is judged; the problem that it belongs to is the
            trajectory's question.
        right: the judgement.

    Example:
        >>> from motes.models import Trajectory
        >>> root = Trajectory(question="2 + 2?")
        >>> step = root.child("It is 5.", (5,), logprob=-1.0, proposal_logprob=-1.0)
        >>> LabelledStep(step, right=False).trajectory.step_text
        'It is 5.'
    """

    trajectory: Trajectory
    right: bool


@dataclass(frozen=True, eq=False)
class Labels:
    """n judged steps of J problems, at D depths.

    Attributes:
        log_odds: of the reward model, shape (n,), float64; may be infinite.
        depth: position of the step's depth in `depths`, shape (n,).
        problem: position of its question in `questions`, shape (n,).
        right: the judgements, shape (n,), bool.
        depths: the depths that occur, ascending, shape (D,); the first step has depth 1.
        questions: the questions that occur, in the order of their first step; J of them.
    """

    log_odds: np.ndarray
    depth: np.ndarray
    problem: np.ndarray
    right: np.ndarray
    depths: np.ndarray
    questions: tuple[str, ...]


def check_labelled(labelled: object) -> list[LabelledStep]:
    """Check the judged steps and return them as a list.

    Raises:
        TypeError, ValueError: there is none, or one of them is not a judged step.
    """
    if isinstance(labelled, str) or not isinstance(labelled, Sequence):
        raise TypeError(
            f"labelled must be a sequence of LabelledStep(trajectory, right), not {labelled!r}"
        )
    if not labelled:
        raise ValueError("labelled must hold at least one step")
    for i, step in enumerate(labelled):
        if not isinstance(step, tuple) or len(step) != 2 or not isinstance(step[0], Trajectory):
            raise TypeError(
                f"labelled[{i}] must be a LabelledStep(trajectory, right), not {step!r}"
            )
        if step[0].parent is None:
            raise ValueError(
                f"labelled[{i}] must be of a trajectory with at least one step: its last step is "
                "what is judged"
            )
        if not isinstance(step[1], bool | np.bool_):
            raise TypeError(f"labelled[{i}].right must be True or False, not {step[1]!r}")
    return [LabelledStep(*step) for step in labelled]


def read(prm: RewardModel, labelled: Sequence[LabelledStep]) -> Labels:
    """Score the judged steps, in one batch.

    Raises:
        FloatingPointError: a score is NaN; the message names the reward model and the
            trajectory.
    """
    trajectories = [step.trajectory for step in labelled]
    depths, depth = np.unique(
        [trajectory.depth for trajectory in trajectories], return_inverse=True
    )
    questions = _places([trajectory.question for trajectory in trajectories])
    return Labels(
        log_odds=calls.score(prm, trajectories),
        depth=depth,
        problem=np.array([questions[trajectory.question] for trajectory in trajectories]),
        right=np.array([step.right for step in labelled], bool),
        depths=depths,
        questions=tuple(questions),
    )


def _places(values: Sequence[Hashable]) -> dict[Any, int]:
    """Give each different value a number, in the order of first occurrence."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}
