"""Compute-optimal choice is worth four times the budget over best-of-N.

Snell et al. (2024), arXiv:2408.03314: who chooses the method by how difficult a question is does as
well as best-of-N with a quarter of its solutions. What tells the difficulty there, 2,048 solutions
a question, is not counted.

Protocol, fixed before the run.

    problems     those of `draws_pool.py`
    methods      with 16 draws: majority vote; best of n and weighted vote, each by the product, the
                 least and the last of the step scores. Draws 1 to 64 are four groups of 16, over
                 which each method's credit is meant; tied answers share it
    baseline     best of n by products, n = 1, 2, 4, ..., 64, by groups of the same 64 draws
    difficulty   of draws 65 to 128: "oracle", the share of right ones; "predicted", the mean
                 product of step scores. Five bins of equal size, three with fewer than 50 problems
    choice       in each bin by two folds, each judged on the other (`two_fold`); means over 20
                 divisions into folds. "One for all" is chosen in the same way with one bin
    comparison   each choice with 16 draws minus best of 64, minus best of 16, and minus one for
                 all: 95% intervals by a bootstrap over problems, which does not choose again;
                 paired permutation tests, Holm's correction over all six. The budget ratio is how
                 many draws best of n needs for the choice's accuracy (straight over log n, made to
                 rise; 128 where 64 do not reach it), over 16, and over 16 + 64 with difficulty
    support      with predicted difficulty: supported if it is surely above best of 16 and the
                 interval against best of 64 lies above -0.02; contradicted if the interval against
                 best of 16 lies below 0.02, or that against best of 64 below 0; else undecided

No search is among the methods, as beam search is in the paper: all decide upon the same draws.

Run: python benchmarks/claims/compute_optimal_choice.py

Time: some seconds after the pool, which takes about four minutes on one free core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import draws_pool
import matplotlib
import numpy as np
from arm_runs import gigaflops
from half_the_samples import SIZES, needed
from paired import flip_test, holm, interval, resampled

from motes.evaluation.compute_optimal import quantiles, two_fold
from motes.ppl.decisions import Pool, best_of_n, majority_vote, weighted_vote

FIGURE = Path(__file__).parents[2] / "docs" / "claims-compute-optimal-choice.png"
SCORES = ("product", "min", "last")
VOTE = "majority vote"
METHODS = (
    VOTE,
    *(f"best of n, {score}" for score in SCORES),
    *(f"weighted vote, {score}" for score in SCORES),
)
BASELINE = "best of n, product"
DIFFICULTIES = ("oracle", "predicted")
OTHERS = ("best of 64", "best of 16", "one for all")
SIZE, PART, DIVISIONS = 16, 64, 20
LEVEL, GAIN, SURE = 0.02, 0.02, 0.05


def credit(pool: Pool, method: str, true: set[str]) -> float:
    """Return which part of the answers that a method gives is right, in [0, 1]."""
    if method == VOTE:
        return majority_vote(pool).credit(true)
    rule, _, score = method.partition(", ")
    decide = best_of_n if rule == "best of n" else weighted_vote
    return decide(pool, score=score).credit(true)


def credits(drawn: draws_pool.Drawn, method: str, size: int) -> float:
    """Return a method's mean credit over groups of so many of the first 64 draws."""
    answers = np.array(drawn.pool.answers, object)
    true = set(answers[drawn.right].tolist())
    groups = [drawn.pool.part(i, i + size) for i in range(0, PART, size)]
    return float(np.mean([credit(group, method, true) for group in groups]))


def easiness(drawn: draws_pool.Drawn, difficulty: str) -> float:
    """Return how easy a problem is by its last 64 draws, in [0, 1]."""
    if difficulty == "oracle":
        return float(drawn.right[PART:].mean())
    others = drawn.pool.part(PART, draws_pool.DRAWS)
    return float(np.exp(others.log_scores("product", "predicted difficulty")).mean())


def chosen(right: np.ndarray, tokens: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return the held-out credit of each problem's choice, mean over divisions into folds."""
    outcomes = [two_fold(right, tokens, bins, seed).held_out for seed in range(DIVISIONS)]
    return np.mean(outcomes, axis=0)


def outcomes(pools: Sequence[draws_pool.Drawn]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return each choice's and each method's credit by problem, and the baseline's by size.

    Returns:
        By name, shape (problems,); and (problems, SIZES).
    """
    right = np.array([[credits(drawn, method, SIZE) for method in METHODS] for drawn in pools])
    curve = np.array([[credits(drawn, BASELINE, size) for size in SIZES] for drawn in pools])
    # costs only break ties: the vote reads no reward model
    costs = np.array([[gigaflops(*spent(drawn, method)) for method in METHODS] for drawn in pools])
    count = 5 if len(pools) >= 50 else 3
    found = {method: right[:, place] for place, method in enumerate(METHODS)}
    for difficulty in DIFFICULTIES:
        easy = np.array([easiness(drawn, difficulty) for drawn in pools])
        found[difficulty] = chosen(right, costs, quantiles(easy, count))
    found["one for all"] = chosen(right, costs, np.zeros(len(pools), np.int64))
    found["best of 16"] = curve[:, SIZES.index(SIZE)]
    found["best of 64"] = curve[:, SIZES.index(PART)]
    return found, curve


def spent(drawn: draws_pool.Drawn, method: str) -> tuple[float, float]:
    """Return the tokens of both models for 16 draws; prefixes are shared among all 128."""
    share = SIZE / draws_pool.DRAWS
    return drawn.pool.tokens.sum() * share, 0.0 if method == VOTE else drawn.read * share


Told = tuple[float, float, float, float, int]  # mean, interval, p after Holm, problems that differ


def differences(found: dict[str, np.ndarray]) -> dict[tuple[str, str], Told]:
    """Return each choice minus what it is compared with."""
    pairs = [(difficulty, other) for difficulty in DIFFICULTIES for other in OTHERS]
    gaps = [found[difficulty] - found[other] for difficulty, other in pairs]
    corrected = holm([flip_test(gap) for gap in gaps])
    samples = resampled(len(gaps[0]))
    return {
        pair: (
            float(gap.mean()),
            *interval(gap[samples].mean(axis=1)),
            float(p),
            int(np.sum(np.abs(gap) > 1e-9)),
        )
        for pair, gap, p in zip(pairs, gaps, corrected, strict=True)
    }


def ratios(choice: np.ndarray, curve: np.ndarray) -> tuple[float, float, float]:
    """Return the draws that the baseline needs for a choice's accuracy, over 16; with interval.

    Args:
        choice: credit by problem, shape (problems,).
        curve: the baseline's, shape (problems, SIZES).
    """
    samples = resampled(len(choice))[:2000]
    accuracies, curves = choice[samples].mean(axis=1), curve[samples].mean(axis=1)
    drawn = [needed(c, a) / SIZE for c, a in zip(curves, accuracies.tolist(), strict=True)]
    estimate = needed(curve.mean(axis=0), float(choice.mean())) / SIZE
    return estimate, *interval(np.array(drawn))


def verdict(rows: dict[tuple[str, str], Told]) -> str:
    """Return what the protocol says of the claim."""
    quarter, equal = rows["predicted", "best of 64"], rows["predicted", "best of 16"]
    if equal[0] > 0 and equal[3] < SURE and quarter[1] > -LEVEL:
        return "supported"
    if equal[2] < GAIN or quarter[2] < 0:
        return "contradicted"
    return "undecided at this size"


def report(pools: Sequence[draws_pool.Drawn]) -> None:
    """Print the tables and the claim's line, and draw the figure."""
    found, curve = outcomes(pools)
    rows, samples = differences(found), resampled(len(pools))
    print("| with 16 draws | accuracy | 95% interval |\n| --- | --- | --- |")
    for name in (*METHODS, "one for all", *DIFFICULTIES):
        low, high = interval(found[name][samples].mean(axis=1))
        print(f"| {name} | {found[name].mean():.3f} | {low:.3f} to {high:.3f} |")
    said = ", ".join(
        f"{share:.3f} with {size}"
        for size, share in zip(SIZES, curve.mean(axis=0).tolist(), strict=True)
    )
    print(f"\n{BASELINE}: {said}\n")
    print(f"| choice by difficulty | {' | '.join(f'minus {other}' for other in OTHERS)} ", end="")
    print("| budget ratio | with difficulty's cost |\n| --- |" + " --- |" * (len(OTHERS) + 2))
    for difficulty in DIFFICULTIES:
        cells = []
        for other in OTHERS:
            gap, low, high, p, differ = rows[difficulty, other]
            mark = "\\*" if p < SURE else ""
            cells.append(f"{gap:+.3f}{mark} ({low:+.3f} to {high:+.3f}), {differ} differ")
        ratio = np.array(ratios(found[difficulty], curve))
        for factor in (1.0, SIZE / (SIZE + PART)):
            cells.append("{:.2f} ({:.2f} to {:.2f})".format(*(ratio * factor)))
        print(f"| {difficulty} | {' | '.join(cells)} |")
    tokens = [float(np.mean(x)) for x in zip(*(spent(d, BASELINE) for d in pools), strict=True)]
    print(f"\n16 draws: {tokens[0]:,.0f} tokens, {tokens[1]:,.0f} PRM tokens, ", end="")
    print(f"{gigaflops(tokens[0], tokens[1]):.2f} GFLOPs; difficulty costs four times that")
    print(line(rows, ratios(found["predicted"], curve), len(pools)))
    draw(found, curve)


def line(rows: dict[tuple[str, str], Told], ratio: Sequence[float], problems: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    quarter, share = rows["predicted", "best of 64"], SIZE / (SIZE + PART)
    counted = [value * share for value in ratio]
    return (
        "claim: compute-optimal choice is worth four times the budget over best-of-N; estimate: "
        "{:.2f} ({:.2f} to {:.2f}) times the budget, ".format(*ratio)
        + "{:.2f} ({:.2f} to {:.2f}) with difficulty's cost; ".format(*counted)
        + f"minus best of 64 {quarter[0]:+.3f} ({quarter[1]:+.3f} to {quarter[2]:+.3f}); verdict: "
        f"{verdict(rows)}; {problems} problems, Holm over {len(rows)} tests; it cannot speak of "
        "other models, nor of a choice among searches"
    )


def draw(found: dict[str, np.ndarray], curve: np.ndarray) -> None:
    """Draw the baseline's accuracy against draws, and the choices, without and with their cost."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    samples = resampled(len(curve))
    low, high = np.quantile(curve[samples].mean(axis=1), (0.025, 0.975), axis=0)
    axes.fill_between(SIZES, low, high, alpha=0.15, linewidth=0)
    axes.plot(SIZES, curve.mean(axis=0), "o-", label=BASELINE)
    marks = {"one for all": "s", "oracle": "^", "predicted": "v"}
    for name, mark in marks.items():
        costs = (SIZE,) if name == "one for all" else (SIZE, SIZE + PART)
        ends = interval(found[name][samples].mean(axis=1))
        mean = found[name].mean()
        axes.plot(costs, [mean] * len(costs), mark, linestyle=":", label=f"chosen: {name}")
        if name == "predicted":
            axes.vlines(SIZE * 1.04, *ends, color="grey", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set(xlabel="draws (right marks: with those that tell difficulty)", ylabel="accuracy")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw what is missing of the pool, print the tables and the verdict, draw the figure."""
    report(draws_pool.make())


if __name__ == "__main__":
    main()
