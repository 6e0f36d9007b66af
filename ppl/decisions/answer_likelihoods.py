"""Answers judged by working backwards: FOBAR, and the likelihood that it is.

FOBAR (Jiang et al. 2023, arXiv:2308.07758) masks a number of the question, adds "if the answer is
a, what is the masked number?", draws M solutions and counts how many recover it, z_a. As published,

    P_f(a)^alpha P_b(a)^(1 - alpha),    P_b(a) prop. to z_a + 1e-8,

with P_f the share of the votes. Read as inference, "the answer a recovers the number" is an
observation: each draw is weighed by how probable it is, given its answer,

    v_i = W_i L(a_i)^lambda,

a declared target, whose L can be z_a / M or anything else that depends on the answer, such as the
result of `motes.ppl.infer` in a program.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ... import checks
from .answer_pool import Pool
from .decision import Decision, by_weight, decide, totals
from .votes import base_log_weights

SLIGHT = 1e-8  # added to counts, as published


def fobar(pool: Pool, recovered: Mapping[str, float], *, alpha: float = 0.5) -> Decision:
    """Return the answer by forward votes and backward counts, as published.

    Args:
        pool: of N draws.
        recovered: z_a, how many backward solutions recovered the masked number, by answer; an
            answer that is missing has none.
        alpha: the power of the forward votes, in [0, 1].

    Raises:
        ValueError: a count is negative, or alpha is out of its range.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import fobar, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> fobar(pool, {"0": 1, "1": 8}).answer
        '1'
    """
    alpha = checks.fraction("alpha", alpha)
    weights = np.exp(base_log_weights(pool))
    forward = totals(pool, weights / weights.sum())
    counts = {answer: _count(recovered.get(answer, 0.0)) for answer in forward if answer}
    whole = sum(count + SLIGHT for count in counts.values())
    shares: dict[str | None, float] = {}
    for answer, share in forward.items():
        if answer in counts:
            backward = (counts[answer] + SLIGHT) / whole
            shares[answer] = share**alpha * backward ** (1 - alpha)
    law = f"heuristic: votes^{alpha:g} times the share of backward solutions^{1 - alpha:g}"
    return decide(shares, law=law)


def answer_likelihood(
    pool: Pool, likelihood: Mapping[str, float], *, power: float = 1.0, of_none: float = 0.0
) -> Decision:
    """Return the most probable answer when each is weighed by a likelihood of its own.

    Args:
        pool: of N weighted draws.
        likelihood: L(a) of every answer that is stated, at least 0: how probable the observation
            is if a is the answer, such as the share of backward solutions that agree.
        power: of the likelihood, at least 0.
        of_none: the likelihood where no answer is stated.

    Returns:
        The decision under the run's target times L(answer)^power.

    Raises:
        ValueError: an answer has no likelihood, or one that is negative; or all weights are zero.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import answer_likelihood, pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=64)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> answer_likelihood(pool, {"0": 0.1, "1": 0.9, "2": 0.0}).answer
        '1'
    """
    power = checks.number("power", power, least=0)
    factors: dict[str | None, float] = {None: checks.number("of_none", of_none, least=0)}
    for answer in {answer for answer in pool.answers if answer is not None}:
        if answer not in likelihood:
            raise ValueError(f"likelihood must have every answer that is stated, {answer!r} too")
        name = f"the likelihood of {answer!r}"
        factors[answer] = checks.number(name, likelihood[answer], least=0)
    values = np.array([factors[answer] for answer in pool.answers])
    with np.errstate(divide="ignore"):
        log_factors = power * np.log(values) if power else np.zeros(len(pool))
    law = f"the mode of the run's target times the answer's likelihood to the power {power:g}"
    return by_weight(pool, pool.log_weights + log_factors, law=law)


def _count(value: float) -> float:
    """Return a number of recoveries. Raises where it is negative or no number."""
    return checks.number("a number of recoveries", value, least=0)
