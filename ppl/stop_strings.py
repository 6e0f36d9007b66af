"""Texts at which a solution ends, as chat servers and Hugging Face's `generate` have them.

A step that holds one is the last, and its text is cut there. Which tokens follow it within the step
is drawn all the same, and changes nothing that is read afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..models import Trajectory


def settled_stop_strings(value: object) -> tuple[str, ...]:
    """Return texts at which a solution ends; one alone may be given as it is.

    Raises:
        TypeError: they are not texts.
        ValueError: one is empty, or holds characters that no tokenizer can write.

    Example:
        >>> settled_stop_strings("Question:"), settled_stop_strings(None)
        (('Question:',), ())
    """
    if value is None:
        return ()
    given = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    texts: list[str] = []
    for text in given:
        if not isinstance(text, str):
            raise TypeError(f"stop_strings must be texts that end a solution, not {text!r}")
        if not text:
            raise ValueError("stop_strings must be texts that end a solution, not the empty text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError(
                f"stop_strings must be texts that can be encoded, and {text!a} holds lone "
                "surrogates"
            )
        texts.append(text)
    return tuple(texts)


def stopped(trajectory: Trajectory, stop_strings: Sequence[str]) -> Trajectory:
    r"""Return a trajectory, finished and cut off where one of these texts begins, if one does.

    A text may begin in an earlier step, which stays as it is: nothing is then left of the last.

    Args:
        trajectory: after its last step.
        stop_strings: what ends a solution; the one that begins first does.

    Example:
        >>> law = {"logprob": -1.0, "proposal_logprob": -1.0}
        >>> x = Trajectory(question="?").child("It is 4. Question: what", (5, 6), **law)
        >>> stopped(x, ["Question:"]).text, stopped(x, ["Question:"]).finished
        ('It is 4. ', True)
        >>> stopped(x, ["Answer:"]) is x
        True
    """
    if not stop_strings or trajectory.parent is None:
        return trajectory
    earlier = trajectory.parent.text[-max(map(len, stop_strings)) :]
    text = earlier + trajectory.step_text
    places = [text.find(stop) for stop in stop_strings if stop in text]
    if not places:
        return trajectory
    kept = max(0, min(places) - len(earlier))
    return replace(
        trajectory, step_text=trajectory.step_text[:kept], finished=True, truncated=False
    )
