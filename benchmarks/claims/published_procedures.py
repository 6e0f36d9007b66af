"""Exact samplers agree with long references where published procedures do not; does it matter?

Puri et al. (2025), arXiv:2502.01618, and Giannone et al. (2025), arXiv:2510.05825, call their work
particle filtering. Their procedures select by odds and use the last score twice
(`samplers/search/published.py`). A filter for the declared target, p(x) times the product of step
scores, should agree with a reference for it; theirs need not.

Protocol, fixed before the run.

    problems     of `draws_pool.py` those of 4 and of 5 steps
    reference    the answers' posterior by the distinct paths x of the 128 draws, each weighed by
                 p(x) L(x) / (1 - (1 - p(x))^128), L being the product of step scores
    samplers     the particle filter, "puri2025" and "giannone2025", 32 particles, defaults else,
                 one run with the seed (31, number of the problem)
    comparison   total variation between a sampler's answers and the reference. Beside it that of
                 exact draws of the reference, as many as the sampler's effective sample size, mean
                 of 500. 95% intervals by a bootstrap over problems; paired permutation tests of:
                 each procedure's distance minus the filter's, the filter's minus exact draws', and
                 each procedure's accuracy minus the filter's; Holm's correction over all five
    support      supported if both procedures are surely farther than the filter, and the filter's
                 distance minus exact draws' has an interval below 0.05; contradicted if for both
                 procedures the difference has an interval below 0.02; else undecided. It matters
                 for accuracy if a difference of accuracy is sure

Run: python benchmarks/claims/published_procedures.py [--only-figure]

Time: about two minutes on one free core after the pool, which takes about four.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import draws_pool
import matplotlib
import numpy as np
from arm_runs import gigaflops
from kept_records import read, write
from paired import flip_test, holm, interval, resampled

import motes
from motes.log_odds import log_sigmoids
from motes.ppl.decisions.consistency import inclusion_weights
from motes.smc import ess

HERE = Path(__file__).parent
RECORDS = HERE / "records" / "published_procedures.json.gz"
FIGURE = HERE.parents[1] / "docs" / "claims-published-procedures.png"
FILTER, PUBLISHED = "particle_filter", ("puri2025", "giannone2025")
SAMPLERS = (FILTER, *PUBLISHED)
PARTICLES, STEPS = 32, (4, 5)
NEAR, FARTHER, SURE = 0.05, 0.02, 0.05
Law = dict[str, float]


def run() -> list[dict[str, Any]]:
    """Run what is missing on the problems of the pool; return all records."""
    numbers = [i for i, drawn in enumerate(draws_pool.make()) if drawn.steps in STEPS]
    rows: list[dict[str, Any]] = read(RECORDS)["problems"] if RECORDS.exists() else []
    if len(rows) == len(numbers):
        return rows
    lm, prm, asked = motes.load_lm("pocket"), motes.load_prm("pocket"), draws_pool.asked()
    for i in numbers[len(rows) :]:
        rows.append({"number": i} | {name: told(asked[i], i, name, lm, prm) for name in SAMPLERS})
        write(RECORDS, {"problems": rows})
        print(f"published procedures: {len(rows)} of {len(numbers)} problems", flush=True)
    return rows


def told(problem: Any, i: int, sampler: str, lm: Any, prm: Any) -> dict[str, Any]:
    """Return what is kept of one run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # heuristic procedures say that they are
        posterior = motes.solve(
            problem.question,
            lm=lm,
            prm=prm,
            sampler=sampler,
            particles=PARTICLES,
            seed=(draws_pool.SEED, i),
        )
    answers = {str(answer): round(p, 6) for answer, p in posterior.answers.items()}
    return {
        "answers": answers,
        "right": posterior.answer == str(problem.answer),
        "ess": round(float(ess(posterior.log_weights)), 3),
        "tokens": posterior.cost.generated_tokens,
        "read": posterior.cost.prm_tokens,
    }


def reference(drawn: draws_pool.Drawn) -> Law:
    """Return the posterior of answers by the distinct paths of a problem's draws."""
    _, first = np.unique(drawn.pool.paths, return_index=True)
    likelihoods = [float(log_sigmoids(drawn.pool.log_odds[place]).sum()) for place in first]
    weights = inclusion_weights(drawn.pool.logprobs[first], len(drawn.pool)) * np.exp(likelihoods)
    law: Law = {}
    for place, weight in zip(first, (weights / weights.sum()).tolist(), strict=True):
        answer = str(drawn.pool.answers[place])
        law[answer] = law.get(answer, 0.0) + weight
    return law


def total_variation(one: Law, other: Law) -> float:
    """Return half the sum of absolute differences.

    Example:
        >>> total_variation({"1": 0.5, "2": 0.5}, {"1": 1.0})
        0.5
    """
    return sum(abs(one.get(a, 0.0) - other.get(a, 0.0)) for a in {**one, **other}) / 2


def of_exact_draws(law: Law, size: float, seed: int) -> float:
    """Return the mean total variation between a law and frequencies in so many draws of it."""
    p, count = np.array(list(law.values())), max(1, round(size))
    drawn = np.random.default_rng(seed).multinomial(count, p / p.sum(), size=500) / count
    return float(np.abs(drawn - p).sum(axis=1).mean() / 2)


def distances(
    rows: Sequence[dict[str, Any]], pools: Sequence[draws_pool.Drawn]
) -> dict[str, np.ndarray]:
    """Return each sampler's distance by problem, and that of exact draws beside the filter."""
    found: dict[str, list[float]] = {name: [] for name in (*SAMPLERS, "exact draws")}
    for row in rows:
        law = reference(pools[row["number"]])
        for name in SAMPLERS:
            found[name].append(total_variation(row[name]["answers"], law))
        found["exact draws"].append(of_exact_draws(law, row[FILTER]["ess"], row["number"]))
    return {name: np.array(values) for name, values in found.items()}


Told = tuple[float, float, float, float, int]  # mean, interval, p after Holm, problems that differ


def differences(
    rows: Sequence[dict[str, Any]], found: dict[str, np.ndarray]
) -> dict[tuple[str, str], Told]:
    """Return the five differences of the protocol."""
    right = {name: np.array([float(row[name]["right"]) for row in rows]) for name in SAMPLERS}
    gaps = {(name, "distance"): found[name] - found[FILTER] for name in PUBLISHED}
    gaps[FILTER, "distance"] = found[FILTER] - found["exact draws"]
    gaps |= {(name, "accuracy"): right[name] - right[FILTER] for name in PUBLISHED}
    corrected = holm([flip_test(gap) for gap in gaps.values()])
    samples = resampled(len(rows))
    return {
        key: (
            float(gap.mean()),
            *interval(gap[samples].mean(axis=1)),
            float(p),
            int(np.sum(np.abs(gap) > 1e-9)),
        )
        for (key, gap), p in zip(gaps.items(), corrected, strict=True)
    }


def verdict(rows: dict[tuple[str, str], Told]) -> str:
    """Return what the protocol says of the claim."""
    procedures = [rows[name, "distance"] for name in PUBLISHED]
    if all(gap > 0 and p < SURE for gap, _, _, p, _ in procedures):
        if rows[FILTER, "distance"][2] < NEAR:
            return "supported"
    elif all(high < FARTHER for _, _, high, _, _ in procedures):
        return "contradicted"
    return "undecided at this size"


def report(rows: Sequence[dict[str, Any]], pools: Sequence[draws_pool.Drawn]) -> None:
    """Print the table and the claim's line, and draw the figure."""
    found = distances(rows, pools)
    gaps, samples = differences(rows, found), resampled(len(rows))
    print("| sampler | total variation | minus | accuracy | minus the filter's ", end="")
    print("| tokens | PRM tokens | GFLOPs |\n| --- |" + " --- |" * 7)
    for name in SAMPLERS:
        low, high = interval(found[name][samples].mean(axis=1))
        cells = [f"{found[name].mean():.3f} ({low:.3f} to {high:.3f})"]
        cells.append(said(gaps[name, "distance"]))
        cells.append(f"{np.mean([row[name]['right'] for row in rows]):.2f}")
        cells.append(said(gaps[name, "accuracy"]) if name in PUBLISHED else "")
        tokens = float(np.mean([row[name]["tokens"] for row in rows]))
        judged = float(np.mean([row[name]["read"] for row in rows]))
        cells += [f"{tokens:,.0f}", f"{judged:,.0f}", f"{gigaflops(tokens, judged):.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    exact = found["exact draws"]
    print(f"\nexact draws, as many as the filter's effective sample size: {exact.mean():.3f}")
    print(line(gaps, len(rows)))
    draw(found)


def said(gap: Told) -> str:
    """Return a difference with its interval, and how many problems show it."""
    mean, low, high, p, differ = gap
    mark = "\\*" if p < SURE else ""
    return f"{mean:+.3f}{mark} ({low:+.3f} to {high:+.3f}), {differ} differ"


def line(gaps: dict[tuple[str, str], Told], problems: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    puri, own = gaps[PUBLISHED[0], "distance"], gaps[FILTER, "distance"]
    sure = any(gaps[name, "accuracy"][3] < SURE for name in PUBLISHED)
    matters = "matters" if sure else "is not sure to matter"
    return (
        "claim: exact samplers agree with long references where published procedures do not; "
        f"estimate: total variation of the filter minus exact draws' {own[0]:+.3f} ({own[1]:+.3f} "
        f"to {own[2]:+.3f}), of puri2025 minus the filter's {puri[0]:+.3f} ({puri[1]:+.3f} to "
        f"{puri[2]:+.3f}); verdict: {verdict(gaps)}; it {matters} for "
        f"accuracy; {problems} problems, one run each, Holm over {len(gaps)} tests; it cannot "
        "speak of other models, nor of more than five steps"
    )


def draw(found: dict[str, np.ndarray]) -> None:
    """Draw each problem's distances, and their means."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    names = ("exact draws", *SAMPLERS)
    for row in zip(*(found[name] for name in names), strict=True):
        axes.plot(range(len(names)), row, color="grey", alpha=0.4, linewidth=0.8)
    means = [found[name].mean() for name in names]
    ends = [interval(found[name][resampled(len(found[name]))].mean(axis=1)) for name in names]
    errors = np.abs(np.array(ends).T - means)
    axes.errorbar(range(len(names)), means, errors, fmt="o", color="black", capsize=4)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("total variation to the reference")
    axes.set_title("grey: problems; black: means with 95% intervals", fontsize=10)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Run what is missing, then print the table and the verdict, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-figure", action="store_true")
    rows = read(RECORDS)["problems"] if parser.parse_args().only_figure else run()
    report(rows, draws_pool.kept())


if __name__ == "__main__":
    main()
