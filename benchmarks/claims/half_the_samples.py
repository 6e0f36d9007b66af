"""RPC needs half of the samples that self-consistency needs, for the same accuracy.

Zhou et al. (2025), arXiv:2502.00511: answers are weighed by the probabilities of their distinct
paths, after pruning, and self-consistency's best accuracy is reached with half of its samples.

Protocol, fixed before the run.

    problems     those of `draws_pool.py`
    methods      self-consistency (the majority vote); RPC as its code has it (geometric means of
                 the tokens' probabilities, paths pruned by a mixture of two Weibull laws); the same
                 without pruning; the sum of the probabilities of distinct paths, as in the theory;
                 Horvitz and Thompson's estimate. Fewer than 8 draws are not pruned
    sizes        n = 1, 2, 4, ..., 64. Each problem's 128 draws are two parts of 64, and each part
                 64 / n groups of n, which all methods decide upon; tied answers share the credit
    comparison   accuracy is straight between sizes over log n, and made to rise. For the accuracy
                 that self-consistency has with 8, 16 and 32 draws, how many draws each of the two
                 needs; the ratio is the geometric mean of the three quotients. Where 64 draws do
                 not reach it, 128 are written. 95% intervals by a bootstrap over problems, then
                 parts. Beside it, accuracy with n / 2 draws minus the vote's with n, n = 16, 32 and
                 64, and with n minus the vote's with n, n = 64: paired permutation
                 tests over problems, Holm's correction over all of them
    support      RPC as coded: supported if the interval of the ratio lies above 1 and reaches 2;
                 contradicted if all of it lies below 2; else undecided

Methods draw equally many solutions of the same lengths, and no reward model reads them, so a ratio
of samples is one of tokens and of FLOPs.

Run: python benchmarks/claims/half_the_samples.py [--only-figure]

Time: about a minute on one free core after the pool, which takes about four.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import draws_pool
import matplotlib
import numpy as np
from kept_records import read, write
from paired import flip_test, holm, interval, nested_means

from motes.ppl.decisions import Pool, majority_vote, perplexity_consistency

HERE = Path(__file__).parent
RECORDS = HERE / "records" / "half_the_samples.json.gz"
FIGURE = HERE.parents[1] / "docs" / "claims-half-the-samples.png"
VOTE, RPC = "self-consistency", "RPC as coded"
METHODS = (VOTE, RPC, "without pruning", "sum of paths", "Horvitz-Thompson")
SIZES = (1, 2, 4, 8, 16, 32, 64)
PART = SIZES[-1]
TARGETS = (8, 16, 32)
FEWEST = 8  # draws that are pruned
MOST = 2 * PART  # what is written where even a part does not reach an accuracy
SURE = 0.05


def shares(pool: Pool, method: str) -> Any:
    """Return the decision of a method upon a pool."""
    if method == VOTE:
        return majority_vote(pool)
    if method == RPC:
        return perplexity_consistency(pool, mode="published", pruned=len(pool) >= FEWEST)
    if method == "without pruning":
        return perplexity_consistency(pool, mode="published")
    if method == "sum of paths":
        return perplexity_consistency(pool, mode="sum")
    return perplexity_consistency(pool)


def credits(drawn: draws_pool.Drawn) -> list[list[list[float]]]:
    """Return what the methods are right in, by part, method and size: means over groups."""
    answers = np.array(drawn.pool.answers, object)
    true = set(answers[drawn.right].tolist())
    rows = []
    for begin in range(0, len(answers), PART):
        part = drawn.pool.part(begin, begin + PART)
        row = []
        for method in METHODS:
            of_size = []
            for size in SIZES:
                groups = [part.part(i, i + size) for i in range(0, PART, size)]
                told = [shares(group, method).credit(true) for group in groups]
                of_size.append(round(float(np.mean(told)), 6))
            row.append(of_size)
        rows.append(row)
    return rows


def run() -> np.ndarray:
    """Decide what has not been decided; return all credits (problems, parts, methods, sizes)."""
    pools = draws_pool.make()
    rows = read(RECORDS)["credits"] if RECORDS.exists() else []
    for drawn in pools[len(rows) :]:
        rows.append(credits(drawn))
    write(RECORDS, {"credits": rows})
    return kept()


def kept() -> np.ndarray:
    """Return the credits that the records hold, (problems, parts, methods, sizes)."""
    return np.array(read(RECORDS)["credits"])


def needed(accuracy: np.ndarray, target: float) -> float:
    """Return how many draws a method needs for an accuracy, from those it has at SIZES.

    Example:
        >>> needed(np.array([0.2, 0.4, 0.4, 0.6, 0.7, 0.7, 0.8]), 0.5).__round__(3)
        5.657
    """
    rising = np.maximum.accumulate(accuracy)
    place = int(np.searchsorted(rising, target - 1e-12))
    if place == len(SIZES):
        return float(MOST)
    if place == 0:
        return float(SIZES[0])
    below, above = rising[place - 1], rising[place]
    share = (target - below) / (above - below)
    low, high = np.log2(SIZES[place - 1]), np.log2(SIZES[place])
    return float(2 ** (low + share * (high - low)))


def ratio(accuracy: np.ndarray, method: int) -> float:
    """Return self-consistency's draws over a method's, for the same accuracy.

    Args:
        accuracy: of all methods, shape (methods, sizes).
        method: its place.
    """
    vote = accuracy[0]
    logs = []
    for size in TARGETS:
        target = float(vote[SIZES.index(size)])
        logs.append(np.log(needed(vote, target) / needed(accuracy[method], target)))
    return float(np.exp(np.mean(logs)))


def ratios(values: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Return each method's ratio with its interval."""
    samples = nested_means(values)
    accuracy = values.mean(axis=(0, 1))
    found = {}
    for place, method in enumerate(METHODS[1:], 1):
        drawn = np.array([ratio(sample, place) for sample in samples])
        found[method] = ratio(accuracy, place), *interval(drawn)
    return found


PAIRS = ((8, 16), (16, 32), (32, 64), (64, 64))


def differences(values: np.ndarray) -> dict[tuple[str, int, int], tuple[float, ...]]:
    """Return accuracy with the first number of draws minus the vote's with the second.

    With its interval, the p-value after Holm, and how many problems show any difference.
    """
    samples, of_problem = nested_means(values), values.mean(axis=1)
    rows, p_values = {}, []
    for place, method in enumerate(METHODS[1:], 1):
        for own, other in PAIRS:
            a, b = SIZES.index(own), SIZES.index(other)
            gain = of_problem[:, place, a] - of_problem[:, 0, b]
            ends = interval(samples[:, place, a] - samples[:, 0, b])
            rows[method, own, other] = float(gain.mean()), *ends, int(np.sum(gain != 0))
            p_values.append(flip_test(gain))
    corrected = holm(p_values)
    return {
        key: (*row[:3], float(p), row[3])
        for (key, row), p in zip(rows.items(), corrected, strict=True)
    }


def verdict(found: Sequence[float]) -> str:
    """Return what the protocol says of a ratio and its interval."""
    _, low, high = found
    if high < 2:
        return "contradicted"
    return "supported" if low > 1 else "undecided at this size"


def report(values: np.ndarray) -> None:
    """Print the tables and the claim's line, and draw the figure."""
    accuracy, found = values.mean(axis=(0, 1)), ratios(values)
    print("| method |", " | ".join(f"n = {size}" for size in SIZES), "| draws saved |")
    print("| --- |" + " --- |" * (len(SIZES) + 1))
    for place, method in enumerate(METHODS):
        cells = [f"{share:.3f}" for share in accuracy[place]]
        saved = "{:.2f} ({:.2f} to {:.2f})".format(*found[method]) if place else ""
        print(f"| {method} | {' | '.join([*cells, saved])} |")
    print()
    rows = differences(values)
    columns = [f"{own} against {other}" for own, other in PAIRS]
    print(f"| method | {' | '.join(columns)} | problems that differ |")
    print("| --- |" + " --- |" * (len(PAIRS) + 1))
    for method in METHODS[1:]:
        cells = []
        for own, other in PAIRS:
            gain, low, high, p, _ = rows[method, own, other]
            mark = "\\*" if p < SURE else ""
            cells.append(f"{gain:+.3f}{mark} ({low:+.3f} to {high:+.3f})")
        differ = ", ".join(str(rows[method, own, other][4]) for own, other in PAIRS)
        print(f"| {method} | {' | '.join([*cells, differ])} |")
    print()
    print(line(found[RPC], len(values), len(rows)))
    draw(accuracy, nested_means(values))


def line(found: Sequence[float], problems: int, tests: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    return (
        "claim: RPC needs half of self-consistency's samples; estimate: self-consistency needs "
        "{:.2f} ({:.2f} to {:.2f}) times RPC's samples for equal accuracy; ".format(*found)
        + f"verdict: {verdict(found)}; {problems} problems, two parts of 64 draws each, Holm over "
        f"{tests} tests; it cannot speak of other models, nor of long solutions, whose paths "
        "hardly ever come twice"
    )


def draw(accuracy: np.ndarray, samples: np.ndarray) -> None:
    """Draw every method's accuracy against the number of draws."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    for place, method in enumerate(METHODS):
        drawn = axes.plot(SIZES, accuracy[place], marker="o", markersize=3, label=method)
        if method in (VOTE, RPC):
            low, high = np.quantile(samples[:, place], (0.025, 0.975), axis=0)
            axes.fill_between(SIZES, low, high, color=drawn[0].get_color(), alpha=0.15)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set(xlabel="draws", ylabel="accuracy", title="bands: 95% intervals")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Decide what is missing, then print the tables and the verdict, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-figure", action="store_true")
    report(kept() if parser.parse_args().only_figure else run())


if __name__ == "__main__":
    main()
