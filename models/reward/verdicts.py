"""How a reward model's outputs at one token become log-odds.

Always as a difference of logits and never through a probability, in float32 or wider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Verdict(Protocol):
    """What the outputs at the last token of a conversation say of its last step."""

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log-odds (N,), float32 or wider, from outputs (N, outputs)."""
        ...


@dataclass(frozen=True)
class Labels:
    """Labels, or tokens of a vocabulary, that mean right, against those that mean wrong.

    The log-odds are logsumexp(right) - logsumexp(wrong); what is neither does not count.

    Attributes:
        right: the indices of outputs that mean right.
        wrong: of those that mean wrong.

    Example:
        >>> import torch
        >>> Labels(right=(1,), wrong=(0,)).log_odds(torch.tensor([[0.5, 2.0]]))
        tensor([1.5000])
    """

    right: tuple[int, ...]
    wrong: tuple[int, ...]

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the log-odds of right against wrong."""
        wide = _wide(outputs)
        right, wrong = wide[:, list(self.right)], wide[:, list(self.wrong)]
        return right.logsumexp(dim=1) - wrong.logsumexp(dim=1)


@dataclass(frozen=True)
class Logit:
    """One output, which is the log-odds: its sigmoid is the published score.

    Example:
        >>> import torch
        >>> Logit().log_odds(torch.tensor([[0.5], [-1.0]]))
        tensor([ 0.5000, -1.0000])
    """

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the output."""
        return _wide(outputs)[:, 0]


TWO_LABELS = Labels(right=(1,), wrong=(0,))


def _wide(outputs: torch.Tensor) -> torch.Tensor:
    return outputs if outputs.dtype == torch.float64 else outputs.float()
