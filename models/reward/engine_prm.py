"""Reward models that run in an engine or behind a server, as a `RewardModel`.

A reader gives the ids of a whole conversation; whoever runs the model answers with its outputs at
the last of them, and the reader makes log-odds of these, as for `TorchPRM`. What a conversation has
in common with others is in the engine's prefix cache, by whole blocks of tokens. Of a causal
language model the log-probabilities of the tokens that its verdict compares are enough, since their
normaliser falls out of a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ..cost import Cost
from ..identity import identify
from ..protocols import Capabilities, nan_score
from ..trajectory import Trajectory
from .readers import Reader
from .verdicts import Labels


class Reply(NamedTuple):
    """What a model says at the end of one conversation.

    Attributes:
        outputs: of its head; or the log-probabilities of the tokens that were asked about, nats.
        computed: how many tokens of the conversation were computed for it.
    """

    outputs: Sequence[float]
    computed: int


class EnginePRM:
    """A process reward model that is run by somebody else; see `motes.load_prm`.

    Args:
        ask: gives the replies to conversations, in order.
        reader: how the model is asked.
        causal: whether it answers with log-probabilities of tokens, those of `compared_tokens`.
        name: what reports call it.
        weights: what tells its files from others.
        context: how many tokens it can read; None where that is not known.

    Attributes:
        cost: of it, `prm_forward_passes` counts conversations, since engines show no passes.

    Raises:
        TypeError: a causal model's reader does not say which tokens it compares.

    Example:
        >>> from motes.models import load_lm
        >>> from motes.models.reward.judge_reader import JudgeReader
        >>> lm = load_lm("pocket", probe=False)
        >>> reader = JudgeReader(lm.tokenizer)
        >>> ask = lambda asked: [Reply([-0.1, -2.0], len(ids)) for ids in asked]
        >>> prm = EnginePRM(ask, reader, causal=True, name="judge", weights="", context=None)
        >>> step = lm.start("How many?").child("4.", (5,), logprob=0.0, proposal_logprob=0.0)
        >>> prm.score([step])
        array([1.9])
    """

    capabilities = Capabilities(limited=True)

    def __init__(
        self,
        ask: Callable[[Sequence[tuple[int, ...]]], Sequence[Reply]],
        reader: Reader,
        *,
        causal: bool,
        name: str,
        weights: str,
        context: int | None,
    ) -> None:
        self.reader, self.name, self.weights, self.context = reader, name, weights, context
        self.cost = Cost()
        self._ask = ask
        self._log_odds = _of_pair(reader) if causal else reader.log_odds
        self._scores: WeakKeyDictionary[Trajectory, float] = WeakKeyDictionary()

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        return repr([self.name, self.weights, identify(self.reader).text])

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the model's context holds a trajectory.

        Of one without steps, with room for one.
        """
        if self.context is None:
            return True
        length = len(self.reader.conversation(trajectory))
        return length < self.context if trajectory.parent is None else length <= self.context

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`.

        Raises:
            ValueError: a trajectory has no step.
            FloatingPointError: a score is NaN.
            ServerError: the server failed for good.
        """
        new = [x for x in dict.fromkeys(trajectories) if x not in self._scores]
        for trajectory in new:
            if trajectory.parent is None:
                raise ValueError("trajectories must have at least one step to be scored")
        if new:
            replies = self._ask([self.reader.conversation(trajectory) for trajectory in new])
            outputs = torch.tensor([list(reply.outputs) for reply in replies], dtype=torch.float64)
            values = self._log_odds(outputs).tolist()
            for trajectory, value in zip(new, values, strict=True):
                if value != value:
                    raise nan_score(self.name, trajectory)
                self._scores[trajectory] = value
            computed = sum(reply.computed for reply in replies)
            self.cost += Cost(prm_tokens=computed, prm_forward_passes=len(new))
        return np.array([self._scores[trajectory] for trajectory in trajectories], np.float64)


def compared_tokens(reader: Reader) -> tuple[int, ...]:
    """Return the tokens that a causal model's reader compares: those for right, then for wrong.

    Raises:
        TypeError: it does not say which.
    """
    verdict = _verdict(reader)
    return (*verdict.right, *verdict.wrong)


def _of_pair(reader: Reader) -> Callable[[torch.Tensor], torch.Tensor]:
    verdict = _verdict(reader)
    count = len(verdict.right)
    among = Labels(right=tuple(range(count)), wrong=tuple(range(count, count + len(verdict.wrong))))
    return among.log_odds


def _verdict(reader: Reader) -> Labels:
    verdict = getattr(reader, "verdict", None)
    if not isinstance(verdict, Labels):
        raise TypeError(
            f"reader must have an attribute verdict, the Labels that it compares, for a causal "
            f"model in an engine, and {reader!r} has none"
        )
    return verdict
