"""What is known of trajectories already, so that nothing is asked of a model twice.

It is kept as long as the trajectory lives, together with the model that it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ...models import LanguageModel, RewardModel, Sampling, Trajectory, calls


class KnownLogprob(NamedTuple):
    """A step's log-probability, in nats, by a language model under a prior."""

    lm: Any
    prior: Sampling
    logprob: float


_KNOWN: WeakKeyDictionary[Trajectory, KnownLogprob] = WeakKeyDictionary()
_JUDGED: WeakKeyDictionary[Trajectory, dict[int, tuple[Any, float]]] = WeakKeyDictionary()


def remember_logprob(
    trajectory: Trajectory, lm: LanguageModel, prior: Sampling, logprob: float
) -> None:
    """Remember the log-probability of a trajectory's last step."""
    _KNOWN[trajectory] = KnownLogprob(lm, prior, logprob)


def known_logprob(trajectory: Trajectory, lm: LanguageModel, prior: Sampling) -> float | None:
    """Look up the log-probability of a trajectory's last step.

    None where it is not known of this model under this prior.
    """
    known = _KNOWN.get(trajectory)
    return known.logprob if known is not None and known.lm is lm and known.prior == prior else None


def judge(prm: RewardModel, trajectories: Sequence[Trajectory], asked: Any = None) -> None:
    """Have a reward model score those trajectories that it has not scored yet, in one batch.

    Args:
        prm: the reward model.
        trajectories: to be scored.
        asked: what is asked in its place; see `motes.models.batching`.

    Raises:
        TypeError, ValueError, FloatingPointError: they are not one log-odds for each; see
            `motes.models.calls.score`.
    """
    unknown = list(dict.fromkeys(x for x in trajectories if judged(prm, x) is None))
    if not unknown:
        return
    scores = calls.score(asked or prm, unknown).tolist()
    for trajectory, score in zip(unknown, scores, strict=True):
        _JUDGED.setdefault(trajectory, {})[id(prm)] = prm, score


def judged(prm: RewardModel, trajectory: Trajectory) -> float | None:
    """Look up the log-odds that a reward model gave a trajectory; None where it gave none."""
    known = _JUDGED.get(trajectory, {}).get(id(prm))
    return None if known is None else known[1]
