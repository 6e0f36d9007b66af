"""Coverage is an exponentiated power law of the number of draws.

Brown et al. (2024), arXiv:2407.21787: the share of problems that at least one of k draws solves is
exp(a k^b). Schaeffer et al. (2025), arXiv:2502.17578: that comes of the tail of the problems' rates
of success near 0, whose exponent is -b.

Protocol, fixed before the run.

    problems     those of `draws_pool.py`; a draw is right if its answer is
    law          log(-log coverage) is a line over log k: least squares over k = 1, 2, 4, ..., 16,
                 from unbiased estimates of coverage by each problem's first 32 draws
    comparison   what the line says of k = 24, 32 and 48 minus the unbiased estimates by the other
                 96 draws; and whether the line is bent: the coefficient of (log k)^2 of a parabola
                 over k = 1, 2, 4, ..., 64, by all 128 draws. 95% intervals by a bootstrap over
                 problems, which holds the draws' chance too: draws are not resampled within a
                 problem, for a problem solved once would often become one never solved. p-values
                 are of the same bootstrap, Holm's correction over the four tests. Beside it, not
                 tested, the errors of the scaled beta law of rates (`fit_coverage_law`), fitted to
                 the first 32 draws, by 100 bootstrap samples
    support      supported if all three errors of the line and their intervals lie within 0.02;
                 contradicted if, after Holm, an error is surely not 0 and is more than 0.02; else
                 undecided. A bend alone, however sure, contradicts nothing that anyone would notice
    tail         the exponent of the beta law's tail beside -b from k = 16 to 64: does it explain
                 the slope? And the Bayes factor for problems that can never be solved

Costs: k draws of a problem, in tokens and FLOPs, as the page's other claims count them.

Run: python benchmarks/claims/coverage_law.py

Time: about half a minute on one free core after the pool, which takes about four.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import draws_pool
import matplotlib
import numpy as np
from arm_runs import gigaflops
from paired import RESAMPLES, holm, interval, resampled

from motes.evaluation import pass_at_k
from motes.evaluation.laws import CoverageLaw, fit_coverage_law, never_solved

FIGURE = Path(__file__).parents[2] / "docs" / "claims-coverage-law.png"
FITTED, LEARNT = (1, 2, 4, 8, 16), 32
TOLD = (24, 32, 48)
ALL = (1, 2, 4, 8, 16, 32, 64)
SLOPE = (16, 32, 64)
NEAR, SURE = 0.02, 0.05
LAWS = 100  # bootstrap samples of which the beta law is fitted


def coverages(right: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return each problem's unbiased coverage by so many draws, shape (problems, sizes).

    Args:
        right: whether each draw is, shape (problems, draws), bool.
        sizes: numbers of draws.
    """
    found, draws = right.sum(axis=1), right.shape[1]
    return np.stack([pass_at_k(found, draws, size) for size in sizes], axis=1)


def fitted(coverage: np.ndarray, sizes: Sequence[int], degree: int = 1) -> np.ndarray:
    """Return the coefficients of log(-log coverage) over log k, the highest power first.

    Example:
        >>> sizes = (1, 2, 4)
        >>> fitted(np.exp(-2.0 * np.array(sizes) ** -0.5), sizes).round(3)
        array([-0.5  ,  0.693])
    """
    below_one = np.minimum(coverage, 1 - 1e-6)
    return np.polyfit(np.log(sizes), np.log(-np.log(below_one)), degree)


def predicted(coefficients: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return the coverage that the line says."""
    return np.exp(-np.exp(np.polyval(coefficients, np.log(sizes))))


def errors(learnt: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the line's coverage minus the estimated one, shape (TOLD,).

    Args:
        learnt: coverage of problems at FITTED by the first draws, (problems, FITTED).
        others: at TOLD by the other draws, (problems, TOLD).
    """
    return predicted(fitted(learnt.mean(axis=0), FITTED), TOLD) - others.mean(axis=0)


def beta_errors(counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the beta law's coverage minus the estimated one, shape (TOLD,)."""
    law = fit_coverage_law(counts, LEARNT)
    return np.array([law.coverage(size).median for size in TOLD]) - others.mean(axis=0)


def bootstrapped(
    statistic: Callable[..., np.ndarray], *values: np.ndarray, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Return a statistic of the problems, and of bootstrap samples of them, (resamples, ...)."""
    samples = resampled(len(values[0]))[:resamples]
    drawn = np.array([statistic(*(value[rows] for value in values)) for rows in samples])
    return statistic(*values), drawn


def p_value(draws: np.ndarray) -> float:
    """Return twice the share of a bootstrap on the rarer side of 0, at least 2 / (its size + 1).

    Example:
        >>> p_value(np.array([0.1] * 98 + [-0.1])).__round__(3)
        0.04
    """
    rarer = min(int(np.sum(draws <= 0)), int(np.sum(draws >= 0)))
    return min(1.0, 2 * (rarer + 1) / (len(draws) + 1))


Told = tuple[float, float, float, float]  # estimate, ends of its interval, p-value after Holm


def judged(right: np.ndarray) -> dict[str, Told]:
    """Return the errors of both laws and the bend, with intervals and p-values after Holm.

    The beta law's errors are not tested: their p-value is NaN.
    """
    learnt, others = coverages(right[:, :LEARNT], FITTED), coverages(right[:, LEARNT:], TOLD)
    counts = right[:, :LEARNT].sum(axis=1)
    line, of_line = bootstrapped(errors, learnt, others)
    beta, of_beta = bootstrapped(beta_errors, counts, others, resamples=LAWS)
    bend, of_bend = bootstrapped(
        lambda rows: fitted(rows.mean(axis=0), ALL, 2)[:1], coverages(right, ALL)
    )
    names = [*(f"power law, {size} draws" for size in TOLD), "bend"]
    draws = [*of_line.T, *of_bend.T]
    p_values = [*holm([p_value(column) for column in draws]), *[np.nan] * len(TOLD)]
    names += [f"beta law, {size} draws" for size in TOLD]
    estimates, draws = [*line, *bend, *beta], [*draws, *of_beta.T]
    return {
        name: (float(estimate), *interval(column), float(p))
        for name, estimate, column, p in zip(names, estimates, draws, p_values, strict=True)
    }


def verdict(rows: dict[str, Told]) -> str:
    """Return what the protocol says of the claim."""
    line = [rows[f"power law, {size} draws"] for size in TOLD]
    if any(p < SURE and abs(error) > NEAR for error, _, _, p in line):
        return "contradicted"
    within = all(low > -NEAR and high < NEAR for _, low, high, _ in line)
    return "supported" if within else "undecided at this size"


def slope(rows: np.ndarray) -> np.ndarray:
    """Return -b from coverage at SLOPE, (problems, SLOPE)."""
    return -fitted(rows.mean(axis=0), SLOPE)[:1]


def report(pools: list[draws_pool.Drawn]) -> None:
    """Print the tables and the claim's line, and draw the figure."""
    right = np.stack([drawn.right for drawn in pools])
    rows = judged(right)
    print("| said minus found | 95% interval | p after Holm |\n| --- | --- | --- |")
    for name, (error, low, high, p) in rows.items():
        said = "not tested" if np.isnan(p) else f"{p:.3f}"
        print(f"| {name}: {error:+.3f} | {low:+.3f} to {high:+.3f} | {said} |")
    print()
    law = fit_coverage_law(right.sum(axis=1), right.shape[1])
    steep, draws = bootstrapped(slope, coverages(right, SLOPE))
    low, high = interval(draws)
    rival = never_solved(law)
    print(
        f"exponent of the tail of rates {law.exponent.median:.2f} ({law.exponent.low:.2f} to "
        f"{law.exponent.high:.2f}); slope -b from 16 to 64 draws {steep[0]:.2f} ({low:.2f} to "
        f"{high:.2f}); Bayes factor for problems never solved {rival.bayes_factor:.2f}, their "
        f"share {rival.share.median:.2f} ({rival.share.low:.2f} to {rival.share.high:.2f})"
    )
    tokens = float(np.mean([drawn.pool.tokens.sum() for drawn in pools])) / right.shape[1]
    found = right.sum(axis=1)
    print(
        f"solved by no draw: {int(np.sum(found == 0))} of {len(right)} problems; by all: "
        f"{int(np.sum(found == right.shape[1]))}; a draw costs {tokens:.0f} tokens, "
        f"{gigaflops(tokens, 0.0):.2f} GFLOPs"
    )
    print(line(rows, len(right)))
    draw(right, law)


def line(rows: dict[str, Told], problems: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    error, low, high, _ = rows[f"power law, {TOLD[-1]} draws"]
    bend, below, above, p = rows["bend"]
    return (
        "claim: coverage is an exponentiated power law; estimate: fitted up to 16 draws it says "
        f"{error:+.3f} ({low:+.3f} to {high:+.3f}) too much for {TOLD[-1]}, bend "
        f"{bend:+.3f} ({below:+.3f} to {above:+.3f}, p {p:.3f}); verdict: {verdict(rows)}; "
        f"{problems} problems, {draws_pool.DRAWS} draws each, Holm over {len(TOLD) + 1} tests; it "
        "cannot speak of other models, of coverage that is not near 1, nor of thousands of draws"
    )


def draw(right: np.ndarray, law: CoverageLaw) -> None:
    """Draw -log coverage against draws, both logarithmic, and the problems' rates of success."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, tail) = plt.subplots(1, 2, figsize=(8.4, 3.6))
    rows = coverages(right, ALL)
    line = fitted(coverages(right[:, :LEARNT], FITTED).mean(axis=0), FITTED)
    samples = rows[resampled(len(rows))].mean(axis=1)
    low, high = np.quantile(samples, (0.025, 0.975), axis=0)
    left.fill_between(ALL, -np.log(high), -np.log(low), alpha=0.2, linewidth=0)
    left.plot(ALL, -np.log(rows.mean(axis=0)), "o", label="found")
    left.plot(ALL, -np.log(predicted(line, ALL)), "--", label="power law, fitted up to 16")
    said = [-np.log(law.coverage(size).median) for size in ALL]
    left.plot(ALL, said, ":", color="black", label="beta law of rates")
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    left.set(xlabel="draws", ylabel="-log coverage")
    left.legend(fontsize=8)
    tail.hist(right.mean(axis=1), bins=np.linspace(0, 1, 21).tolist())
    tail.set(xlabel="rate of right draws", ylabel="problems")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw what is missing of the pool, print the tables and the verdict, draw the figure."""
    report(draws_pool.make())


if __name__ == "__main__":
    main()
