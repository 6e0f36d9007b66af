"""Power sampling raises the accuracy of a single answer and lowers that of a vote.

Karan and Du (2025), arXiv:2510.14901: draws from p(x)^alpha are right more often than draws from p.
Later work (arXiv:2608.14420) found that votes over such draws are right less often.

Protocol, fixed before the run.

    problems     those of `draws_pool.py`, each problem's 128 draws in two parts of 64
    laws         p(x)^alpha, alpha = 1, 2 and 4: no sampler is run. Each part's distinct paths are
                 weighed by p^alpha / (1 - (1 - p)^64), without bias for the unnormalised mass of
                 each answer (Horvitz and Thompson), and alpha = 1 in the same way
    single       the probability of the right answer: the accuracy of one draw
    vote         how often the majority of 16, or of 64, draws from that law is right; 4,000 votes a
                 part with the seed (31, problem, part), tied answers share the credit
    comparison   each minus the same at alpha = 1; 95% intervals by a bootstrap over problems, then
                 parts; paired permutation tests, Holm's correction over the six differences. The
                 effective sample size of 64 draws reweighed by p^(alpha - 1) is printed
    support      at alpha = 4: supported if single is surely higher and the vote of 64 surely lower;
                 contradicted if the interval of single lies below 0.02, or that of the vote of 64
                 above -0.02; else undecided

A draw counts as a draw: what it costs to draw from p(x)^alpha is not counted, so any advantage is
the greatest possible one.

Run: python benchmarks/claims/power_sampling.py

Time: a quarter of a minute after the pool, which takes about four on one free core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import draws_pool
import matplotlib
import numpy as np
from paired import flip_test, holm, interval, nested_means

from motes.ppl.decisions.consistency import inclusion_weights
from motes.smc import ess

FIGURE = Path(__file__).parents[2] / "docs" / "claims-power-sampling.png"
ALPHAS = (1.0, 2.0, 4.0)
VOTES = (16, 64)
MEASURES = ("single", *(f"vote of {size}" for size in VOTES))
PART, REPEATS = 64, 4000
CHANGE, SURE = 0.02, 0.05


def answer_law(
    paths: np.ndarray, logprobs: np.ndarray, answers: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers, and their probabilities under p^alpha, from draws of p.

    Args:
        paths: the path of each draw, shape (N,).
        logprobs: log p of each, nats.
        answers: of each.
        alpha: the power.

    Example:
        >>> paths, answers = np.array([0, 0, 1]), np.array(["7", "7", "9"])
        >>> answer_law(paths, np.log([0.5, 0.5, 0.25]), answers, 50.0)[1].round(3)
        array([1., 0.])
    """
    _, first = np.unique(paths, return_index=True)
    own = logprobs[first]
    log_weights = np.log(inclusion_weights(own, len(paths))) + (alpha - 1) * own
    weights = np.exp(log_weights - log_weights.max())
    distinct, place = np.unique(answers[first], return_inverse=True)
    mass = np.bincount(place, weights=weights)
    return distinct, mass / mass.sum()


def vote_accuracy(law: np.ndarray, right: np.ndarray, size: int, rng: np.random.Generator) -> float:
    """Return how often the majority of `size` draws from a law of answers is right.

    Args:
        law: probabilities of answers, shape (A,).
        right: which are right, shape (A,), bool.
        size: of a vote.
        rng: of REPEATS votes.
    """
    counts = rng.multinomial(size, law, size=REPEATS)
    ahead = counts == counts.max(axis=1, keepdims=True)
    return float(np.mean((ahead & right).sum(axis=1) / ahead.sum(axis=1)))


def measured(pools: Sequence[draws_pool.Drawn]) -> tuple[np.ndarray, np.ndarray]:
    """Return what every law reaches, and the effective sample sizes of reweighed draws.

    Returns:
        Shapes (problems, parts, alphas, measures) and (problems, parts, alphas).
    """
    parts = draws_pool.DRAWS // PART
    values = np.empty((len(pools), parts, len(ALPHAS), len(MEASURES)))
    sizes = np.empty(values.shape[:3])
    for i, drawn in enumerate(pools):
        answers = np.array([str(answer) for answer in drawn.pool.answers])
        true = set(answers[drawn.right].tolist())
        for part in range(parts):
            of_part = slice(part * PART, (part + 1) * PART)
            logprobs = drawn.pool.logprobs[of_part]
            for j, alpha in enumerate(ALPHAS):
                names, law = answer_law(
                    drawn.pool.paths[of_part], logprobs, answers[of_part], alpha
                )
                right = np.array([name in true for name in names])
                rng = np.random.default_rng((draws_pool.SEED, i, part))
                votes = [vote_accuracy(law, right, size, rng) for size in VOTES]
                values[i, part, j] = [float(law[right].sum()), *votes]
                log_weights = (alpha - 1) * logprobs
                sizes[i, part, j] = ess(log_weights - np.logaddexp.reduce(log_weights))
    return values, sizes


Told = tuple[float, float, float, float, int]  # mean, interval, p after Holm, problems that differ


def differences(values: np.ndarray) -> dict[tuple[float, str], Told]:
    """Return each measure at each power minus the same of the prior."""
    gains = values[:, :, 1:] - values[:, :, :1]
    samples, of_problem = nested_means(gains), gains.mean(axis=1)
    places = {
        (alpha, measure): (j, k)
        for j, alpha in enumerate(ALPHAS[1:])
        for k, measure in enumerate(MEASURES)
    }
    corrected = holm([flip_test(of_problem[:, j, k]) for j, k in places.values()])
    return {
        key: (
            float(of_problem[:, j, k].mean()),
            *interval(samples[:, j, k]),
            float(p),
            int(np.sum(np.abs(of_problem[:, j, k]) > 0.005)),
        )
        for (key, (j, k)), p in zip(places.items(), corrected, strict=True)
    }


def verdict(rows: dict[tuple[float, str], Told]) -> str:
    """Return what the protocol says of the claim."""
    single, vote = rows[ALPHAS[-1], "single"], rows[ALPHAS[-1], f"vote of {VOTES[-1]}"]
    if single[0] > 0 and single[3] < SURE and vote[0] < 0 and vote[3] < SURE:
        return "supported"
    if single[2] < CHANGE or vote[1] > -CHANGE:
        return "contradicted"
    return "undecided at this size"


def report(pools: Sequence[draws_pool.Drawn]) -> None:
    """Print the table and the claim's line, and draw the figure."""
    values, sizes = measured(pools)
    rows, means = differences(values), values.mean(axis=(0, 1))
    columns = " | ".join(MEASURES)
    print(f"| alpha | {columns} | ESS of 64 reweighed, median and least |")
    print("| --- |" + " --- |" * (len(MEASURES) + 1))
    for j, alpha in enumerate(ALPHAS):
        cells = [f"{mean:.3f}" for mean in means[j]]
        for k, measure in enumerate(MEASURES if j else ()):
            gain, low, high, p, differ = rows[alpha, measure]
            mark = "\\*" if p < SURE else ""
            cells[k] += f": {gain:+.3f}{mark} ({low:+.3f} to {high:+.3f}), {differ} differ"
        of_alpha = sizes[:, :, j]
        cells.append(f"{np.median(of_alpha):.0f}, {of_alpha.min():.1f}")
        print(f"| {alpha:g} | {' | '.join(cells)} |")
    print()
    print(line(rows, len(pools)))
    draw(values)


def line(rows: dict[tuple[float, str], Told], problems: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    single, vote = rows[ALPHAS[-1], "single"], rows[ALPHAS[-1], f"vote of {VOTES[-1]}"]
    return (
        "claim: power sampling raises single-answer accuracy and lowers vote accuracy; estimate at "
        f"alpha = 4: single {single[0]:+.3f} ({single[1]:+.3f} to {single[2]:+.3f}), vote of "
        f"{VOTES[-1]} {vote[0]:+.3f} ({vote[1]:+.3f} to {vote[2]:+.3f}); verdict: "
        f"{verdict(rows)}; {problems} problems, two parts of {PART} draws each, Holm over "
        f"{len(rows)} tests; it cannot speak of other models, nor of samplers of the power law, "
        "none of which was run"
    )


def draw(values: np.ndarray) -> None:
    """Draw each problem's accuracy under p^4 against that under p: single, and by vote."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    of_problem = values.mean(axis=1)
    figure, panels = plt.subplots(1, 2, figsize=(7.4, 3.8), sharex=True, sharey=True)
    for panel, k in zip(panels, (0, len(MEASURES) - 1), strict=True):
        panel.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        panel.plot(of_problem[:, 0, k], of_problem[:, -1, k], "o", alpha=0.5)
        panel.set_title(MEASURES[k])
        panel.set_xlabel("right under p")
    panels[0].set_ylabel("right under p^4")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw what is missing of the pool, print the table and the verdict, draw the figure."""
    report(draws_pool.make())


if __name__ == "__main__":
    main()
