"""Compute-optimal choice: which method a question should get, by how difficult it is.

Questions are put into bins by difficulty. In each bin the method that does best is chosen, and what
is reported of it is measured on other questions (Snell et al. 2024, arXiv:2408.03314, section 3):
a bin's questions are split into two folds, the choice of each is judged on the other. To choose and
report on the same questions would be biased upwards by the luck of the chosen.

Difficulty is "oracle", the share of draws that are right, for which the right answers must be
known; or "predicted", the mean score of the draws, for which a reward model is enough. Either needs
draws, which cost tokens: the choice's cost is reported without them and with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from .. import checks
from ..ppl.decisions import pool_of
from .accuracy_table import credible
from .results import Results

Difficulty = Literal["oracle", "predicted"]
DIFFICULTIES = ("oracle", "predicted")


class TwoFold(NamedTuple):
    """What a choice by bin comes to.

    Attributes:
        held_out: of each question the outcome of the method that the other fold chose, shape (I,).
        tokens: of that method on it, shape (I,).
        choices: the method that each fold of each bin chose, shape (bins, 2).
    """

    held_out: np.ndarray
    tokens: np.ndarray
    choices: np.ndarray


@dataclass(frozen=True, eq=False)
class ComputeOptimal:
    """A choice of method by difficulty, judged on questions that had no part in it.

    Attributes:
        accuracy: of the chosen methods, on held-out questions.
        interval: its 95% credible interval.
        single: of the one method for all questions that is chosen in the same way.
        single_interval: its 95% credible interval.
        same_fold: where methods are chosen and reported on the same questions: biased upwards.
        tokens: generated for a question, mean, without what difficulty costs.
        tokens_in_all: with it.
        single_tokens: of the one method for all.
        choices: the arms that each bin's two folds chose, from the easiest bin to the hardest.
        by_bin: the held-out accuracy in each bin, shape (bins,).
        bins: the bin of each question, 0 the easiest, shape (I,).

    Example:
        >>> chosen = ComputeOptimal(
        ...     accuracy=0.8, interval=(0.7, 0.9), single=0.7, single_interval=(0.6, 0.8),
        ...     same_fold=0.85, tokens=900.0, tokens_in_all=5000.0, single_tokens=1000.0,
        ...     choices=((0, 0), (1, 0)), by_bin=np.array([1.0, 0.6]), bins=np.array([0, 1]),
        ... )
        >>> str(chosen).partition(" at ")[0]
        'by difficulty 0.800 (0.700 to 0.900)'
    """

    accuracy: float
    interval: tuple[float, float]
    single: float
    single_interval: tuple[float, float]
    same_fold: float
    tokens: float
    tokens_in_all: float
    single_tokens: float
    choices: tuple[tuple[int, int], ...]
    by_bin: np.ndarray
    bins: np.ndarray

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"by difficulty {self.accuracy:.3f} ({low:.3f} to {high:.3f}) at {self.tokens:,.0f} "
            f"tokens a question, {self.tokens_in_all:,.0f} with difficulty; one method for all "
            f"{self.single:.3f} at {self.single_tokens:,.0f}"
        )


def compute_optimal(
    evaluation: Results,
    *,
    draws_of: int,
    arms: Sequence[int] | None = None,
    difficulty: Difficulty = "oracle",
    bins: int = 5,
    seed: int = 0,
) -> ComputeOptimal:
    """Choose an arm for each bin of difficulty by two folds, and judge the choice.

    Args:
        evaluation: with draws in its records; the problems that all arms are done with count.
        draws_of: the arm whose draws tell difficulty, independent ones such as best-of-N's; its
            place in `evaluation.arms`.
        arms: the arms to choose among, of about one budget; all but `draws_of` where None.
        difficulty: "oracle", the share of draws that are right, or "predicted", the mean over draws
            of the reward model's probability of the last step.
        bins: quantiles of difficulty; each needs two questions at least.
        seed: of the folds.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; there are too
            few problems; a record has no draws, or no scores where they are asked for.

    Source: Snell et al. (2024), arXiv:2408.03314, section 3.2.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation import compute_optimal
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.samplers import BeamSearch, BestOfN
        >>> evaluation = motes.evaluate(
        ...     [(f"{i}?", i % 2) for i in range(8)],
        ...     samplers={"best": BestOfN(particles=4), "beam": BeamSearch(particles=4)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.4, 0.4, 0.2], eos=2), max_steps=3, progress=False,
        ...     prm=FunctionReward(lambda x: 1.0 - x.token_ids[-1]),
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> chosen = compute_optimal(evaluation, draws_of=0, arms=[0, 1], bins=2)
        >>> len(chosen.choices), 0 <= chosen.accuracy <= 1
        (2, True)
    """
    last = len(evaluation.arms) - 1
    draws_of = checks.count("draws_of", draws_of, least=0, most=last)
    bins = checks.count("bins", bins)
    checks.choice("difficulty", difficulty, DIFFICULTIES)
    others = [arm for arm in range(last + 1) if arm != draws_of]
    chosen = [
        checks.count("an arm to choose among", arm, least=0, most=last)
        for arm in (others if arms is None else arms)
    ]
    problems = len(evaluation.whole)
    if not chosen or problems < 2 * bins:
        raise ValueError(
            f"a choice needs an arm at least, and two problems a bin that all arms are done with: "
            f"{len(chosen)} arms and {problems} problems for {bins} bins are too few"
        )
    how_easy, spent = easiness(evaluation, draws_of, difficulty)
    numbers = quantiles(how_easy, bins)
    right = evaluation.right[:, chosen] / evaluation.repeats
    tokens = evaluation.tokens[:, chosen]
    by_bin = two_fold(right, tokens, numbers, seed)
    alone = two_fold(right, tokens, np.zeros(problems, np.int64), seed)
    same_fold = (
        sum(right[numbers == b].mean(axis=0).max() * (numbers == b).sum() for b in range(bins))
        / problems
    )
    runs, held_out = evaluation.repeats, by_bin.held_out
    mean = float(by_bin.tokens.mean())
    return ComputeOptimal(
        accuracy=float(held_out.mean()),
        interval=credible(held_out * runs, runs),
        single=float(alone.held_out.mean()),
        single_interval=credible(alone.held_out * runs, runs),
        same_fold=float(same_fold),
        tokens=mean,
        tokens_in_all=mean + float(spent.mean()),
        single_tokens=float(alone.tokens.mean()),
        choices=tuple((chosen[a], chosen[b]) for a, b in by_bin.choices.tolist()),
        by_bin=np.array([held_out[numbers == b].mean() for b in range(bins)]),
        bins=numbers,
    )


def easiness(
    evaluation: Results, arm: int, difficulty: Difficulty
) -> tuple[np.ndarray, np.ndarray]:
    """Tell how easy each problem is from an arm's draws, and what the draws cost in tokens.

    Returns:
        Two arrays of shape (I',), of the problems that all arms are done with; the first in [0, 1],
        the greater the easier.

    Raises:
        ValueError: a record has no draws, or a draw no scores where these are asked for.
    """
    rows = {number: row for row, number in enumerate(evaluation.whole)}
    easy, spent = np.zeros(len(rows)), np.zeros(len(rows))
    for record in evaluation.records:
        if record.arm != arm or record.problem not in rows:
            continue
        row = rows[record.problem]
        spent[row] += record.tokens
        if record.error is not None:  # all particles died: nothing is right, nothing scored
            continue
        pool = pool_of(record)
        if difficulty == "oracle":
            good = record.right_answers or ()
            easy[row] += float(np.mean([answer in good for answer in pool.answers]))
        else:
            easy[row] += float(np.exp(pool.log_scores("last", "predicted difficulty")).mean())
    return easy / evaluation.repeats, spent


def quantiles(easy: np.ndarray, bins: int) -> np.ndarray:
    """Put questions into bins of equal size, the easiest into bin 0; int64, shape (I,).

    Example:
        >>> quantiles(np.array([0.1, 0.9, 0.5, 0.7]), 2)
        array([1, 0, 1, 0])
    """
    numbers = np.zeros(len(easy), np.int64)
    order = np.argsort(-easy, kind="stable")
    for number, part in enumerate(np.array_split(order, bins)):
        numbers[part] = number
    return numbers


def two_fold(right: np.ndarray, tokens: np.ndarray, bins: np.ndarray, seed: int = 0) -> TwoFold:
    """Choose the best method of each bin on one fold, and judge it on the other, both ways.

    Of methods that do equally well the cheaper one is chosen, then the first.

    Args:
        right: share of each method's runs on each question that were right, shape (I, K).
        tokens: what they cost, shape (I, K).
        bins: the bin of each question, from 0, shape (I,); two questions each at least.
        seed: of the folds.

    Example:
        >>> right = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> found = two_fold(right, np.ones((4, 2)), np.array([0, 0, 1, 1]))
        >>> found.held_out.tolist(), found.choices.tolist()
        ([1.0, 1.0, 1.0, 1.0], [[0, 0], [1, 1]])
    """
    rng = np.random.default_rng(seed)
    held_out, spent = np.zeros(len(right)), np.zeros(len(right))
    choices = np.zeros((int(bins.max()) + 1, 2), np.int64)
    for number in range(len(choices)):
        members = rng.permutation(np.flatnonzero(bins == number))
        folds = np.array_split(members, 2)
        for fold, (own, other) in enumerate((folds, folds[::-1])):
            cost = tokens[own].mean(axis=0)
            # lexsort goes by its last key first
            best = np.lexsort((np.arange(right.shape[1]), cost, -right[own].mean(axis=0)))[0]
            choices[number, fold] = best
            held_out[other], spent[other] = right[other, best], tokens[other, best]
    return TwoFold(held_out, spent, choices)
