"""A* needs 3 times fewer tokens and 30% fewer reward-model passes: does it?

Chatziveroglou (2025), arXiv:2505.13672: A*-decoding is said to do as well as best of n and particle
filtering with up to 3 times fewer tokens and 30% fewer passes of the reward model.

Protocol, fixed before the run.

    problems     those of `scaling_rate.py`, as many of them as that has been run on, in blocks of
                 10: 50 of the pocket's test split, seed 21, of 4 to 8 steps
    methods      A* with consistent step costs, one node expanded at a time by 4 steps, until 1, 4
                 and 16 answers have come up; the same with the costs of the other reading of the
                 paper ("increase"). No run begins an expansion after 5000 generated tokens. Beside
                 them the particle filter, best of n, weighted best of n and beam search at their
                 budgets, as `scaling_rate.py` has recorded them
    cost         tokens that the language model generated; tokens of both models; passes of the
                 reward model: the different prefixes that it scored, whatever the batches
    comparison   how many times fewer of each A* (consistent) needs than each other method at an
                 accuracy that both reach: lines between budgets and 95% intervals by a bootstrap
                 over problems (`equal_accuracy.py`). The share of samples beyond 1, doubled, is
                 corrected by Holm over all methods and costs. Beside it sign tests of who is right,
                 4 answers against 16 particles, by Holm
    support      named by the claim: best of n and particle filter. Supported if against one of
                 them ("up to") the estimate is at least 3 for generated tokens and at least 1/0.7
                 for passes, both surely above 1 after Holm; contradicted if against each of them
                 one of the two is surely less (share of samples of as much below 0.025, by
                 Holm over the four); else undecided
    seeds        one run of each method on each problem: the seed is 21 and what `evaluate` adds

It cannot speak of other models, nor of the author's code, which could not be read: how step costs
accumulate is a reconstruction.

Run: python benchmarks/claims/a_star.py [--blocks 5] [--only-figure]
It goes on where it was stopped.
Time: a block takes about a minute on one free core.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import scaling_rate as others
from arm_runs import problems_by_steps, run_samplers
from command_line import run_missing
from kept_records import read

from motes.samplers import AStar, Sampler

RECORDS = Path(__file__).parent / "records" / "a_star.json.gz"
CONSISTENT, INCREASE = "A*", "A*, costs that increase"
ANSWERS, TOKENS = (1, 4, 16), 5_000
OTHERS = ("best of n", "particle filter", "weighted best of n", "beam search")


def samplers() -> dict[str, Sampler]:
    """Return what is run, by name and answers."""
    found: dict[str, Sampler] = {}
    for answers in ANSWERS:
        for name, costs in ((CONSISTENT, "consistent"), (INCREASE, "increase")):
            found[f"{name} {answers}"] = AStar(
                answers=answers, step_costs=costs, batch=1, expansions=4, budget=TOKENS
            )
    return found


def run(blocks: int) -> None:
    """Run what is missing of the protocol."""
    asked = problems_by_steps(blocks * others.BLOCK, others.STEPS, others.SEED)
    run_samplers(RECORDS, asked, others.BLOCK, samplers(), others.SEED)


def rows() -> dict[str, list[Any]]:
    """Return the rows of A* and of the methods that it is compared with."""
    return read(others.RECORDS)["rows"] | read(RECORDS)["rows"]


def main() -> None:
    """Run what is missing, then print the table and the verdict, and draw the figure."""
    run_missing(__doc__, others.BLOCKS, run)
    from a_star_report import report

    report(rows())


if __name__ == "__main__":
    main()
