"""The table and the claim's line of `real.py`, from an evaluation alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from paired import holm, interval, resampled, sign_test
from real_setups import DRAWS, PUBLISHED_BUDGET, PUBLISHED_FILTER, TREES, Setup

from motes.evaluation import Evaluation
from motes.ppl.decisions import Pool, best_of_n, majority_vote, pool_of, weighted_vote
from motes.samplers.allocation import solutions_of
from motes.samplers.stopping import Agreement

SURE = 0.05  # of p-values after Holm
RIVALS = ("best of n", "weighted vote", TREES)
SINGLE = "one sample", 1  # method and budget
STOPPED = "vote, stopped by agreement"
RULES = {"majority vote": majority_vote, "best of n": best_of_n, "weighted vote": weighted_vote}


class Row(NamedTuple):
    """What a method made of every problem at one budget.

    Attributes:
        right: the credit, between 0 and 1 where a decision was tied, shape (I,).
        written: tokens of the language model, shape (I,).
        read: tokens of the reward model, shape (I,).
    """

    right: np.ndarray
    written: np.ndarray
    read: np.ndarray


def report(evaluation: Evaluation, budgets: list[int], setup: Setup, data: str) -> None:
    """Print the table and the claim's line, over the problems that every arm is done with."""
    if not evaluation.whole:
        print("no problem is done by all methods yet: the same command goes on")
        return
    rows, samples = table(evaluation, budgets), resampled(len(evaluation.whole))
    published = setup.published[data]
    print("| method | budget | tokens | PRM tokens | accuracy | published |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (method, budget), row in rows.items():
        low, high = interval(row.right[samples].mean(axis=1))
        cells = [method, str(budget), f"{row.written.mean():,.0f}", f"{row.read.mean():,.0f}"]
        cells.append(f"{row.right.mean():.3f} ({low:.3f} to {high:.3f})")
        known = method in published and budget in (SINGLE[1], PUBLISHED_BUDGET)
        cells.append(f"{published[method] / 100:.3f}" if known else "")
        print(f"| {' | '.join(cells)} |")
    print(f"published: {setup.source}")
    print(line(rows, max(budgets), setup, data, samples))


def table(evaluation: Evaluation, budgets: list[int]) -> dict[tuple[str, int], Row]:
    """Return the row of each method and budget: decisions about the draws first."""
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    whole = set(evaluation.whole)
    records = [record for record in evaluation.records if record.problem in whole]
    for record in sorted(records, key=lambda record: (record.sampler != DRAWS, record.problem)):
        if record.sampler == DRAWS:
            decided = decisions(record, budgets)
        else:
            read = float(record.cost["prm_tokens"])
            key = record.sampler, int(record.settings["particles"])
            decided = {key: (float(record.right), float(record.tokens), read)}
        for key, row in decided.items():
            found.setdefault(key, []).append(row)
    return {key: Row(*np.array(rows, np.float64).T) for key, rows in found.items()}


def decisions(record: Any, budgets: list[int]) -> dict[tuple[str, int], tuple[float, float, float]]:
    """Return credit and tokens of each rule about the first draws of a pool, by rule and budget."""
    largest = max(budgets)
    rules = {SINGLE: (0.0, record.tokens / largest, 0.0)}
    rules |= {(rule, n): (0.0, 0.0, 0.0) for rule in (*RULES, STOPPED) for n in budgets}
    if record.draws is None:  # all draws died: no rule has an answer, and all was paid for
        return {key: (0.0, float(record.tokens), float(record.cost["prm_tokens"])) for key in rules}
    whole, right = pool_of(record), record.right_answers or ()
    credit = float(np.mean([answer in right for answer in whole.answers]))
    rules[SINGLE] = credit, float(whole.tokens.mean()), 0.0
    for n in budgets:
        pool = whole.first(n)
        written = float(pool.tokens.sum())
        read = float(record.cost["prm_tokens"]) * n / largest
        for name, rule in RULES.items():
            scored = 0.0 if name == "majority vote" else read
            rules[name, n] = rule(pool).credit(right), written, scored
        rules[STOPPED, n] = stopped(pool, right)
    return rules


def stopped(pool: Pool, right: Any) -> tuple[float, float, float]:
    """Return credit and tokens of the vote that stops when its answers agree."""
    seen, rule = solutions_of(pool), Agreement()
    for n in range(1, len(pool) + 1):
        verdict = rule.stop(seen.first(n))
        if verdict is not None:
            return float(verdict.answer in right), float(pool.tokens[:n].sum()), 0.0
    return majority_vote(pool).credit(right), float(pool.tokens.sum()), 0.0


def line(
    rows: dict[tuple[str, int], Row], budget: int, setup: Setup, data: str, samples: np.ndarray
) -> str:
    """Return the claim's line: published numbers, estimate, verdict, and what it cannot say."""
    ours, published = rows[PUBLISHED_FILTER, budget].right, setup.published[data]
    others = {name: rows[name, budget].right for name in RIVALS}
    corrected = holm([sign_test(ours > other, ours < other) for other in others.values()])
    low, high = interval(ours[samples].mean(axis=1))
    differences, signs = [], []
    for (name, other), p in zip(others.items(), corrected, strict=True):
        gain = ours - other
        ends = interval(gain[samples].mean(axis=1))
        said = (published[PUBLISHED_FILTER] - published[name]) / 100
        differences.append(
            f"minus {name} {gain.mean():+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f}; published "
            f"{said:+.3f})"
        )
        signs.append(float(np.sign(gain.mean())) if p < SURE else 0.0)
    return (
        f"claim: particle filtering is more accurate than best of n, weighted vote and DVTS "
        f"({data}, {setup.lm} with {setup.prm}); estimate: {ours.mean():.3f} ({low:.3f} to "
        f"{high:.3f}; published {published[PUBLISHED_FILTER] / 100:.3f} at {PUBLISHED_BUDGET}) "
        f"with {budget} particles, {', '.join(differences)}; verdict: {verdict(signs)}; "
        f"{len(ours)} problems, one run each, Holm over {len(others)} tests; it cannot speak of "
        "other models"
    )


def verdict(signs: list[float]) -> str:
    """Return what the protocol says, of the signs of those differences that are sure.

    Example:
        >>> verdict([1.0, 1.0, 0.0]), verdict([0.0, -1.0, 1.0]), verdict([1.0, 1.0, 1.0])
        ('undecided at this size', 'contradicted', 'supported')
    """
    if all(sign > 0 for sign in signs):
        return "supported"
    return "contradicted" if any(sign < 0 for sign in signs) else "undecided at this size"
