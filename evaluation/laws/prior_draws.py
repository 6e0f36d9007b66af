"""An arm's independent draws from the prior, as many runs of one draw each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import checks
from ...ppl.decisions import Pool, pool_of

if TYPE_CHECKING:
    from ..results import Results


def prior_draws(evaluation: Results, arm: int, law: str) -> tuple[list[Pool], np.ndarray]:
    """Return the draws of an arm's first run on each problem, and which are right.

    Args:
        evaluation: of a sampler of independent draws from the prior.
        arm: its place in `evaluation.arms`.
        law: that needs them, as errors call it.

    Returns:
        A pool of n draws for each problem that all arms are done with, and truths, shape
        (problems, n).

    Raises:
        TypeError, ValueError: `arm` is not an integer, or out of range; no problem is done; draws
            were not kept, are not independent ones of the prior, or are not equally many for all
            problems.
    """
    arm = checks.count("arm", arm, least=0, most=len(evaluation.arms) - 1)
    whole = set(evaluation.whole)
    pools, right = [], []
    for record in evaluation.records:
        if record.arm != arm or record.repeat or record.problem not in whole:
            continue
        pool = pool_of(record)
        if not pool.from_prior or not pool.independent:
            raise ValueError(f"{law} needs independent draws from the prior")
        answers = set(record.right_answers or ())
        pools.append(pool)
        right.append([answer in answers for answer in pool.answers])
    if len({len(row) for row in right}) != 1:
        raise ValueError(f"{law} needs at least one problem, and equally many draws for each")
    return pools, np.array(right, np.bool_)
