"""Confidence of a language model in its own tokens: how sharp its next-token law was at each.

For the law p of the next token, among V tokens of positive probability,

    top k    C = -(1/k) sum of log p over the k likeliest tokens    (Fu et al. 2025,
             arXiv:2508.15260)
    all      C = -(1/V) sum_j log(V p_j) = KL(uniform || p), self-certainty    (Kang et al. 2025,
             arXiv:2502.18581)
    entropy  C = sum_j p_j log p_j, minus the entropy    (Giannone et al. 2026, arXiv:2606.08850)

in nats, under the model's own law at temperature 1. The larger, the surer: a sure model leaves the
other tokens little. The first two ask how little, the entropy counts a token by its probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from .. import checks
from .protocols import LanguageModel, capabilities
from .trajectory import Trajectory

Top: TypeAlias = int | Literal["entropy"] | None
"""Which tokens of a law count: k likeliest, all by their probability, or (None) all alike."""
USUAL = 20  # of Fu et al. (2025), and what servers tell


def token_confidences(
    lm: LanguageModel, trajectories: Sequence[Trajectory], *, top: Top = USUAL
) -> list[np.ndarray]:
    """Return the confidence at every generated token of each trajectory.

    It is computed anew from the trajectories' tokens, in one forward pass over each.

    Args:
        lm: the model that wrote them, whose capabilities have `confidences`. A server tells some
            of the likeliest tokens alone (its `top_confidences`), so that `top` must be a number.
        trajectories: N of them.
        top: k, how many of the likeliest tokens count (all that are possible where these are
            fewer); None for self-certainty; "entropy" for minus the entropy.

    Returns:
        N arrays of nats, float64, each of as many tokens as the trajectory has.

    Raises:
        TypeError: the model cannot tell its confidence.
        ValueError: `top` is below 1, another word, or more than the model tells.

    Example:
        >>> import jax
        >>> from motes.models import TableLM, token_confidences
        >>> lm = TableLM(lambda prefix: [0.25, 0.75], eos=1)
        >>> [x] = lm.extend([lm.start("?")], jax.random.split(jax.random.key(0), 1))
        >>> token_confidences(lm, [x], top=2)[0].round(3)
        array([0.837])
    """
    top = checked_top_of(lm, top)
    answer = cast("Any", lm).token_confidences(trajectories, top=top)
    return [np.asarray(row, np.float64) for row in answer]


def checked_top_of(lm: LanguageModel, top: Top) -> Top:
    """Return `top` once checked against what a language model can tell; see `token_confidences`.

    Raises:
        TypeError, ValueError: it is no such thing, or the model cannot tell it.

    Example:
        >>> from motes.models import TableLM
        >>> checked_top_of(TableLM(lambda prefix: [1.0]), 20)
        20
    """
    top, can = checked_top(top), capabilities(lm)
    if not can.confidences:
        raise TypeError(
            f"the language model {lm.name!r} cannot tell its confidence: it has no method "
            "token_confidences, or a server that does not tell the likeliest tokens"
        )
    most = can.top_confidences
    if most is not None and (not isinstance(top, int) or top > most):
        raise ValueError(
            f"top must be a number of tokens, at most {most}, for the language model {lm.name!r}, "
            f"not {top!r}: it tells no more of each law; top={min(most, USUAL)} would do"
        )
    return top


def checked_top(top: Top) -> Top:
    """Return it once checked; see `token_confidences`.

    Raises:
        TypeError, ValueError: it is no such thing.

    Example:
        >>> checked_top("entropy"), checked_top(20)
        ('entropy', 20)
    """
    if isinstance(top, str):
        checks.choice("top", top, ["entropy"])
        return "entropy"
    return None if top is None else checks.count("top", top)


def confidence(log_probs: np.ndarray, top: Top) -> float:
    """Return the confidence of one next-token law, nats.

    Args:
        log_probs: of all tokens, minus infinity for impossible ones, shape (V,).
        top: as `token_confidences` takes it.

    Example:
        >>> round(confidence(np.log([0.5, 0.25, 0.25]), None), 4)
        0.0566
    """
    possible = np.sort(log_probs[log_probs > -np.inf])
    if top == "entropy":
        return float(np.exp(possible) @ possible)
    if top is None:
        return float(-possible.mean() - np.log(len(possible)))
    return float(-possible[-top:].mean())
