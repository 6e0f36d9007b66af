"""Particle filtering has a 4 to 16 times better scaling rate than search and best of n: has it?

Puri et al. (2025), arXiv:2502.01618: "a 4-16x better scaling rate over our deterministic search
counterparts". A rate is read as a ratio of tokens at equal accuracy.

Protocol, fixed before the run.

    problems     50 of the pocket's test split, seed 21: ten each of 4, 5, 6, 7 and 8 steps, in
                 blocks of 10, two of each. If time is short, whole blocks are left out from the
                 end; nothing else may stop a run.
    methods      particle filter (which samples the declared target); particle filter as published
                 ("puri2025"); beam search, DVTS and REBASE at their defaults; best of n, weighted
                 best of n, both by products of step scores, and the majority vote, all three from
                 one set of independent draws for each n, which no other n shares
    budgets      1, 4 and 16 particles; beam search and DVTS, whose width is 4, begin at 4. (There
                 were to be 64 too; they were given up while the first block ran, since they took
                 most of the time, when its accuracies at fewer particles had been seen)
    cost         tokens that the language model generated plus tokens that the reward model read
                 (questions and markers included), each run counted as if alone; the vote uses no
                 reward model. Beside it FLOPs: two for each parameter and token
    comparison   how many times fewer tokens the particle filter needs than each other method, at
                 the middle of the accuracies that both reach: lines between budgets, over the
                 logarithm of tokens, and 95% intervals by a bootstrap over problems
                 (`equal_accuracy.py`). The share of bootstrap samples beyond a ratio of 1, doubled,
                 is corrected by Holm over the seven comparisons. Beside it sign tests of who is
                 right at 16 particles, by Holm too. (The ratio was to be that of the hierarchical
                 model of `motes.evaluation.scaling`. Its fit to 30 problems was given up, since it
                 was not done after half an hour on a crowded machine; accuracies had been seen
                 then, and a fit to the first block. It was had later: `scaling_rate_model.py`.)
    support      named by the claim: best of n, weighted best of n, beam search, DVTS. Supported if
                 for all four the estimate is at least 4 and the ratio is surely above 1, after
                 Holm; contradicted if for at least one of them the ratio is surely below 4 (the
                 share of samples of 4 or more, by Holm over the four, below 0.025); else undecided
    seeds        one run of each method on each problem: the seed is 21 and what `evaluate` adds

It cannot speak of other models, nor of more than 16 particles, where methods level off.

Run: python benchmarks/claims/scaling_rate.py [--blocks 5] [--only-figure]
It goes on where it was stopped.
Time: a block takes about a minute on one free core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arm_runs import Problem, Row, arm_rows, evaluated, problems_by_steps, run_blocks
from command_line import run_missing
from kept_records import read

import motes
from motes.ppl.decisions import best_of_n, majority_vote, pool_of, weighted_vote
from motes.samplers import (
    DVTS,
    BeamSearch,
    ImportanceSampling,
    ParticleFilter,
    Puri2025,
    Rebase,
    Sampler,
)

RECORDS = Path(__file__).parent / "records" / "scaling_rate.json.gz"
SEED, BLOCK, BLOCKS = 21, 10, 5
STEPS, BUDGETS, WIDTH = (4, 5, 6, 7, 8), (1, 4, 16), 4
FILTER, PUBLISHED = "particle filter", "particle filter as published"
POOLED = ("best of n", "weighted best of n", "majority vote")
METHODS = (FILTER, PUBLISHED, "beam search", "DVTS", "REBASE", *POOLED)
DRAWS = "independent draws"


def samplers() -> dict[str, Sampler]:
    """Return what is run, by the method's name and its budget."""
    found: dict[str, Sampler] = {}
    for n in BUDGETS:
        found[f"{FILTER} {n}"] = ParticleFilter(particles=n)
        found[f"{PUBLISHED} {n}"] = Puri2025(particles=n)
        found[f"REBASE {n}"] = Rebase(particles=n)
        found[f"{DRAWS} {n}"] = ImportanceSampling(particles=n)
        if n >= WIDTH:
            found[f"beam search {n}"] = BeamSearch(particles=n, expansions=WIDTH)
            found[f"DVTS {n}"] = DVTS(particles=n, expansions=WIDTH)
    return found


def budgets(method: str) -> tuple[int, ...]:
    """Return the budgets that a method is run at."""
    return BUDGETS[1:] if method in ("beam search", "DVTS") else BUDGETS


def run(blocks: int) -> None:
    """Run what is missing of the protocol."""
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    arms = samplers()

    def rows_of(arm: str, asked: Sequence[Problem]) -> dict[str, list[Row]]:
        if arm.startswith(DRAWS):
            return pooled(asked, arm, arms[arm], lm, prm)
        return {arm: arm_rows(asked, arms[arm], lm, prm, SEED)}

    asked = problems_by_steps(blocks * BLOCK, STEPS, SEED)
    run_blocks(RECORDS, asked, BLOCK, list(arms), rows_of)


def pooled(
    asked: Sequence[Problem], arm: str, sampler: Sampler, lm: Any, prm: Any
) -> dict[str, list[Row]]:
    """Return the rows of all rules over independent draws."""
    n = arm.removeprefix(f"{DRAWS} ")
    evaluation, prefixes = evaluated(asked, sampler, lm, prm, SEED)
    rows: dict[str, list[Row]] = {f"{rule} {n}": [] for rule in POOLED}
    for record, scored in zip(evaluation.records, prefixes, strict=True):
        pool, true = pool_of(record), record.right_answers or []
        read_by_prm = record.cost["prm_tokens"], scored
        decided = {
            "best of n": (best_of_n(pool, score="product").answer, *read_by_prm),
            "weighted best of n": (weighted_vote(pool, score="product").answer, *read_by_prm),
            "majority vote": (majority_vote(pool).answer, 0, 0),
        }
        for rule, (answer, *judged) in decided.items():
            rows[f"{rule} {n}"].append([int(answer in true), record.tokens, *judged])
    return rows


def main() -> None:
    """Run what is missing, then print the table and the verdict, and draw the figure."""
    run_missing(__doc__, BLOCKS, run)
    from scaling_rate_report import report

    report(read(RECORDS))


if __name__ == "__main__":
    main()
