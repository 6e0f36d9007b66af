"""Minimum Bayes risk: the answer of the largest expected utility under the posterior.

    h* = argmax_h U(h),    U(h) = sum_i W_i u(h, a_i)

over candidates h. With u = 1 where both are the same answer it is the posterior mode; with a
utility that gives part of the credit to what is close, it may be an answer that is not the most
probable one (Kumar and Byrne 2004; Bertsch et al. 2023, arXiv:2310.01387). The standard error of U
is the delta method's for self-normalised weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite, nan, sqrt

import numpy as np

from ... import checks
from ...smc import ess
from .answer_pool import Pool
from .decision import Decision, decide
from .votes import OF_RUN


def minimum_bayes_risk(
    pool: Pool,
    utility: Callable[[str, str], float],
    *,
    candidates: Iterable[str] | None = None,
    of_none: float = 0.0,
) -> Decision:
    """Return the candidate with the largest expected utility.

    Args:
        pool: of N weighted draws.
        utility: maps a candidate and what is true to a number, the larger the better.
        candidates: what may be answered; every stated answer of positive weight when None.
        of_none: the utility of anything where a draw states no answer.

    Returns:
        The decision; its shares are expected utilities.

    Raises:
        TypeError, ValueError: `utility` is no function or gives something else than a finite
            number, or there are no candidates.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import minimum_bayes_risk, pool_of
        >>> lm = TableLM(lambda prefix: [0.3, 0.3, 0.4] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=400)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> near = lambda said, true: -abs(float(said) - float(true))
        >>> motes.ppl.decisions.posterior_mode(pool).answer, minimum_bayes_risk(pool, near).answer
        ('2', '1')
    """
    utility = checks.function("utility", utility, "a candidate and an answer to a number")
    weights = pool.weights
    stated: dict[str, None] = {}
    for answer, weight in zip(pool.answers, weights.tolist(), strict=True):
        if answer is not None and weight > 0:
            stated.setdefault(answer)
    among = list(dict.fromkeys(stated if candidates is None else candidates))
    if not among:
        raise ValueError("minimum Bayes risk needs at least one candidate, and no draw states one")
    values: dict[str | None, float] = {}
    errors: dict[str | None, float] = {}
    for candidate in among:
        by_answer: dict[str | None, float] = {None: checks.number("of_none", of_none)}
        for answer in stated:
            by_answer[answer] = _utility(utility, candidate, answer)
        row = np.array([by_answer.get(answer, 0.0) for answer in pool.answers])
        values[candidate] = float(weights @ row)
        gaps = row - values[candidate]
        known = pool.independent and bool(gaps[weights > 0].any())
        errors[candidate] = sqrt(float((weights**2) @ gaps**2)) if known else nan
    law = f"the largest expected utility under {OF_RUN}"
    return decide(values, law=law, errors=errors, ess=float(ess(pool.log_weights)))


def _utility(utility: Callable[[str, str], float], candidate: str, answer: str) -> float:
    """Return a utility. Raises ValueError where it is no finite number."""
    value = float(utility(candidate, answer))
    if not isfinite(value):
        raise ValueError(
            f"utility must give finite numbers, and gave {value} for {candidate!r} and {answer!r}"
        )
    return value
