"""How the next token is drawn.

Temperature, top-k and top-p, declared once and normalised exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import checks

COLD = 1e-4  # temperature below which logits are shifted before they are divided


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """A next-token distribution made from a language model's logits.

    Applied in this order: logits are divided by the temperature; only the `top_k` likeliest tokens
    stay; of these, only the smallest set of likeliest tokens whose probability reaches `top_p`; the
    rest is normalised. Ties go to the smaller token id. The default leaves the model as it is.

    Attributes:
        temperature: above 0.
        top_p: in (0, 1].
        top_k: at least 1, or None for the whole vocabulary.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> import numpy as np
        >>> sampling = Sampling(temperature=0.5, top_k=2)
        >>> np.exp(sampling.log_probs(np.log([0.5, 0.25, 0.25]))).round(2)
        array([0.8, 0.2, 0. ])
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        checks.settle(
            self,
            temperature=checks.positive("temperature", self.temperature),
            top_p=checks.number("top_p", self.top_p, most=1, above=0),
            top_k=None if self.top_k is None else checks.count("top_k", self.top_k),
        )

    @property
    def truncates(self) -> bool:
        """Whether tokens that the model gives mass may have probability zero."""
        return self.top_p < 1 or self.top_k is not None

    def covers(self, prior: Sampling) -> bool:
        """Say whether this can draw every token that `prior` can, whatever the logits."""
        if self == prior or not self.truncates:
            return True
        # the k likeliest tokens are the same at every temperature, and top-p may only remove from
        # them
        return (
            self.top_p == 1
            and prior.top_k is not None
            and self.top_k is not None
            and prior.top_k <= self.top_k
        )

    def log_probs(self, logits: np.ndarray) -> np.ndarray:
        """Return normalised log-probabilities.

        Args:
            logits: shape (..., vocabulary); minus infinity is allowed.

        Returns:
            float64, the same shape; minus infinity where the token cannot be drawn.
        """
        scaled = np.asarray(logits, dtype=np.float64)
        # where a quotient may overflow, only differences from the likeliest token count
        if self.temperature < COLD:
            scaled = scaled - scaled.max(axis=-1, keepdims=True)
        with np.errstate(over="ignore"):
            scaled = scaled / self.temperature
        if self.truncates:
            order = np.argsort(-scaled, axis=-1, kind="stable")
            ranked = np.take_along_axis(scaled, order, axis=-1)
            if self.top_k is not None:
                ranked[..., self.top_k :] = -np.inf
            if self.top_p < 1:
                probs = np.exp(_normalised(ranked))
                ranked[np.cumsum(probs, axis=-1) - probs >= self.top_p] = -np.inf
            np.put_along_axis(scaled, order, ranked, axis=-1)
        return _normalised(scaled)


def _normalised(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
