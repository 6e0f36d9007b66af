"""Run one sampler on a block of problems, with what both models did for each counted alone.

Runs that share a batch share the reward model's passes over prefixes that they have in common, and
then each is charged a part. A claim about costs must not profit from that: here only runs on
different problems, which have nothing in common, are in one batch. Tokens of a pass may still be
charged to another problem of the block, so that only means over blocks are to be read.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from kept_records import read, write

import motes
from motes.evaluation import Evaluation
from motes.models import Cost, LanguageModel, RewardModel, Trajectory
from motes.models.pocket import problems
from motes.samplers import Sampler

PARAMETERS = 851_712, 1_253_890  # of the pocket's language model and reward model
Row = list[Any]
Problem = Any


def gigaflops(generated: float, judged: float) -> float:
    """Return what tokens cost in 10^9 FLOPs: two for each of the pocket's parameters and token.

    Args:
        generated: tokens of the language model.
        judged: tokens that the reward model read.

    Example:
        >>> round(gigaflops(1000, 0), 2), round(gigaflops(1000, 1000), 2)
        (1.7, 4.21)
    """
    return 2e-9 * (generated * PARAMETERS[0] + judged * PARAMETERS[1])


class Counted:
    """A reward model that counts, by question, the different prefixes that it was asked about.

    Args:
        prm: the reward model.
    """

    def __init__(self, prm: RewardModel) -> None:
        self.prm, self.name = prm, prm.name
        self.prefixes: dict[str, set[tuple[int, ...]]] = {}

    @property
    def cost(self) -> Cost:
        """What the reward model has computed since it was made."""
        return self.prm.cost

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step."""
        for asked in trajectories:
            self.prefixes.setdefault(asked.question, set()).add(tuple(asked.token_ids))
        return np.asarray(self.prm.score(trajectories))


def problems_by_steps(count: int, steps: Sequence[int], seed: int) -> list[Problem]:
    """Return problems of the pocket's test split, each number of steps in turn."""
    each = -(-count // len(steps))
    streams = [list(islice(problems("test", seed=seed, steps=s), each)) for s in steps]
    return [streams[i % len(steps)][i // len(steps)] for i in range(count)]


def evaluated(
    asked: Sequence[Problem], sampler: Sampler, lm: LanguageModel, prm: RewardModel, seed: int
) -> tuple[Evaluation, list[int]]:
    """Run a sampler once on each problem; return that, and the prefixes scored for each."""
    if len({problem.question for problem in asked}) < len(asked):
        raise ValueError("problems of one block must be different")
    counted = Counted(prm)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", RuntimeWarning)  # models of our own are taken on trust
        evaluation: Evaluation = motes.evaluate(
            asked,
            samplers={"the sampler": sampler},
            lm=lm,
            prm=counted,
            seed=seed,
            results=Path(folder) / "results.jsonl",
            progress=False,
            at_once=len(asked),
        )
    return evaluation, [len(counted.prefixes.get(problem.question, ())) for problem in asked]


def arm_rows(
    asked: Sequence[Problem], sampler: Sampler, lm: LanguageModel, prm: RewardModel, seed: int
) -> list[Row]:
    """Return for each problem: right, tokens, reward model's tokens, prefixes that it scored."""
    evaluation, prefixes = evaluated(asked, sampler, lm, prm, seed)
    return [
        [int(record.right), record.tokens, record.cost["prm_tokens"], scored]
        for record, scored in zip(evaluation.records, prefixes, strict=True)
    ]


def run_blocks(
    path: Path,
    asked: Sequence[Problem],
    block: int,
    arms: Sequence[str],
    rows_of: Callable[[str, Sequence[Problem]], dict[str, list[Row]]],
) -> dict[str, list[Row]]:
    """Run what is missing of all arms, a block of problems at a time; return rows by method.

    Args:
        path: of the records, which are written after every arm of a block.
        asked: all problems.
        block: how many are run at a time.
        arms: names of what is run.
        rows_of: runs an arm on problems and returns the rows of the methods that it tells of.
    """
    kept: dict[str, Any] = read(path) if path.exists() else {"done": {}, "rows": {}}
    for end in range(block, len(asked) + 1, block):
        for arm in arms:
            begin = kept["done"].get(arm, 0)
            if begin >= end:
                continue
            for method, rows in rows_of(arm, asked[begin:end]).items():
                kept["rows"].setdefault(method, []).extend(rows)
            kept["done"][arm] = end
            write(path, kept)
        print(f"{end} of {len(asked)} problems", flush=True)
    return kept["rows"]


def run_samplers(
    path: Path,
    asked: Sequence[Problem],
    block: int,
    samplers: Mapping[str, Sampler],
    seed: int,
) -> None:
    """Run what is missing of samplers, by name, with the pocket's models; see `run_blocks`."""
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")

    def rows_of(arm: str, few: Sequence[Problem]) -> dict[str, list[Row]]:
        return {arm: arm_rows(few, samplers[arm], lm, prm, seed)}

    run_blocks(path, asked, block, list(samplers), rows_of)
