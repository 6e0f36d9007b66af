"""Differences in accuracy between arms that faced the same problems.

Problems are the clusters, and repeats are nested in them: d_i is the mean over the repeats of arm a
right less arm b right on problem i. The law of d over problems like these has a Dirichlet process
for its prior, whose base measure puts mass 1/2 on each of -1, 0 and 1: with one repeat that is
Jeffreys' prior on the shares of problems that only a, only b, and both or neither got right. Its
posterior draws of the mean of d give the interval (Rubin 1981, *The Bayesian bootstrap*, is the
same without a base measure, and would be certain where all problems agree).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..results import Results

DRAWS = 4_000
BASE = 0.5  # prior mass of each of -1, 0 and 1


class Difference(NamedTuple):
    """How much more accurate one arm is than another.

    Attributes:
        one, other: numbers of the arms.
        estimate: the mean difference of the problems that were asked.
        low, high: ends of the 95% credible interval, for problems like these.
        better: the posterior probability that `one` is the more accurate.
        wins, losses: problems on which `one` was right more often, and less often.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> vote = motes.samplers.MajorityVote
        >>> evaluation = motes.evaluate(
        ...     [("?", 0), ("!", 0)],
        ...     samplers={"few": vote(samples=2), "many": vote(samples=9)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> [difference] = paired_differences(evaluation)
        >>> difference.one, difference.other, difference.low < difference.estimate
        (1, 0, True)
    """

    one: int
    other: int
    estimate: float
    low: float
    high: float
    better: float
    wins: int
    losses: int


def paired_differences(evaluation: Results, *, against: int = 0) -> tuple[Difference, ...]:
    """Compare every arm with one of them, over the problems that all arms are done with.

    Args:
        evaluation: its records.
        against: the number of the arm that the others are compared with.

    Returns:
        One for each other arm; none where no problem is done.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> vote = motes.samplers.MajorityVote
        >>> evaluation = motes.evaluate(
        ...     [("?", 0), ("!", 0)],
        ...     samplers={"few": vote(samples=2), "many": vote(samples=9)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> [(difference.one, difference.other) for difference in paired_differences(evaluation)]
        [(1, 0)]
    """
    shares = evaluation.right / evaluation.repeats
    if not len(shares):
        return ()
    others = [arm for arm in range(shares.shape[1]) if arm != against]
    return tuple(_difference(arm, against, shares[:, arm] - shares[:, against]) for arm in others)


def _difference(one: int, other: int, by_problem: np.ndarray) -> Difference:
    random = np.random.default_rng(0)
    values = np.concatenate([by_problem, [-1.0, 0.0, 1.0]])
    masses = np.concatenate([np.ones(len(by_problem)), np.full(3, BASE)])
    draws = random.dirichlet(masses, DRAWS) @ values
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Difference(
        one,
        other,
        float(by_problem.mean()),
        low,
        high,
        float((draws > 0).mean()),
        int((by_problem > 0).sum()),
        int((by_problem < 0).sum()),
    )
