"""What each arm of an evaluation reached, and what it cost."""

from __future__ import annotations

from math import nan
from typing import NamedTuple

import numpy as np

from ...ppl.decisions import pool_of
from ...ppl.decisions.decision import leaders, totals
from ..accuracy_table import tabulated
from ..laws import ModelShape, equivalent_flops_of_arms
from ..records import Record
from ..results import Results


class ArmFigures(NamedTuple):
    """Figures of one arm, over the problems that all arms are done with.

    With n draws in a run, `majority`, `average` and `some` are what the field calls maj@n, avg@n
    and pass@n; they are NaN where the records hold no draws.

    Attributes:
        sampler, budget: the method, and its budget in words.
        problems, runs: how many.
        accuracy, low, high: the share of runs whose most probable answer is right, and its 95%
            credible interval. For weighted draws this is weighted@n.
        draws: n, mean over runs.
        majority: the share of runs the majority of whose draws is right, each draw counted once,
            and ties broken at random.
        average: the share of draws that are right.
        some: the share of runs some draw of which is right: what a perfect judge would reach.
        gap: `some` less `accuracy`.
        tokens, prm_tokens: that the language model generated and the reward model read, mean over
            runs.
        seconds: mean over runs, of what falls to a run in the batches it shared.
        dead: runs in which all particles died, which count as wrong.
        tflops: 10^12 products with the weights of both models, twice their number for each token
            of prompt, solutions and reward model, mean over runs: what the field calls TFLOPs. NaN
            where the models' shapes are not known.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> evaluation = motes.evaluate(
        ...     [("?", 0), ("!", 0)],
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=3)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False, results=file,
        ... )
        >>> [figures] = arm_figures(evaluation)
        >>> figures.draws, figures.some >= figures.accuracy, figures.some >= figures.majority
        (3.0, True, True)
    """

    sampler: str
    budget: str
    problems: int
    runs: int
    accuracy: float
    low: float
    high: float
    draws: float
    majority: float
    average: float
    some: float
    gap: float
    tokens: float
    prm_tokens: float
    seconds: float
    dead: int
    tflops: float


def arm_figures(
    evaluation: Results, *, lm: ModelShape | None = None, prm: ModelShape | None = None
) -> tuple[ArmFigures, ...]:
    """Return the figures of each arm, in order; NaN where no problem is done.

    Args:
        evaluation: finished or not; figures are of the problems that all arms are done with.
        lm, prm: shapes of the models, without which there are no FLOPs.

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
        >>> [figures.draws for figures in arm_figures(evaluation)]
        [2.0, 9.0]
    """
    done = set(evaluation.whole)
    by_arm: list[list[Record]] = [[] for _ in evaluation.arms]
    for record in evaluation.records:
        if record.problem in done:
            by_arm[record.arm].append(record)
    rows = tabulated(evaluation).rows
    flops = _tflops(evaluation, lm, prm)
    figures = []
    for row, records, spent in zip(rows, by_arm, flops, strict=True):
        kept = [_of_draws(record) for record in records if record.draws is not None]
        whole = len(kept) == sum(record.error is None for record in records)
        # a run whose particles all died has no draw, and counts as wrong
        sums = np.sum(kept, axis=0) if kept and whole else np.full(4, nan)
        draws, majority, average, some = (sums / max(len(records), 1)).tolist()
        figures.append(
            ArmFigures(
                sampler=row.sampler,
                budget=row.budget,
                problems=row.problems,
                runs=row.runs,
                accuracy=row.accuracy,
                low=row.low,
                high=row.high,
                draws=draws,
                majority=majority,
                average=average,
                some=some,
                gap=some - row.accuracy,
                tokens=row.tokens,
                prm_tokens=_mean([record.cost.get("prm_tokens", nan) for record in records]),
                seconds=_mean([record.seconds for record in records]),
                dead=row.dead,
                tflops=spent,
            )
        )
    return tuple(figures)


def _tflops(evaluation: Results, lm: ModelShape | None, prm: ModelShape | None) -> list[float]:
    """Return what each arm multiplies a run, in 10^12; NaN where that is not known."""
    kept = all(record.draws is not None or record.error for record in evaluation.records)
    if lm is None or not evaluation.whole or not kept:
        return [nan] * len(evaluation.arms)
    return [arm.mean.linear / 1e12 for arm in equivalent_flops_of_arms(evaluation, lm, prm)]


def _of_draws(record: Record) -> tuple[float, float, float, float]:
    """Return the number of draws, how right their majority is, their share, whether any is."""
    pool, right = pool_of(record), set(record.right_answers or ())
    hits = [answer in right for answer in pool.answers]
    tied = leaders(totals(pool, np.ones(len(pool))))
    return (
        float(len(hits)),
        float(np.mean([answer in right for answer in tied])) if tied else 0.0,
        float(np.mean(hits)),
        float(any(hits)),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else nan
