"""Imperfect verifiers put a ceiling on resampling, and the formula finds it.

Stroebl, Kapoor and Narayanan (2024), arXiv:2411.17501: whoever draws until a verifier passes a
solution is right no more often than what passes is right, however many draws there are. For a
problem with success rate s, whose right draws pass at rate e1 and whose wrong ones at e0, so that
any draw passes at rate phi = s e1 + (1 - s) e0, k draws give a right answer with probability

    (1 - (1 - phi)^k) s e1 / phi,       the ceiling being s e1 / phi.

Protocol, fixed before the run.

    problems     those of `draws_pool.py`
    verifiers    a draw passes if the pocket's reward model gives every step log-odds of at least 0;
                 the same of the last step alone; and of every step at qualities 0.6, 0.3 and 0 as
                 in `worse_reward.py`, the noise of each path's steps being drawn independently
    found        by each problem's last 64 draws: how often the first that passes of k is right,
                 k = 1, 4, 16 and 32, and coverage, which a perfect verifier would reach, both
                 without bias (`motes.evaluation.laws.verifier_limit`)
    said         by the first 64 draws: the formula with each problem's own s, e1 and e0, its share
                 being 0 where nothing passes; and with its own s but one e1 and one e0 for all
    comparison   with 32 draws: coverage minus found, and what each formula says minus found. 95%
                 intervals by a bootstrap over problems; paired permutation tests, Holm's correction
                 over all verifiers and the three differences
    support      of the pocket's reward model, every step: supported if coverage is surely above
                 what is found and the formula's error with its interval lies within 0.05;
                 contradicted if coverage's lead with its interval lies below 0.02; else undecided

Run: python benchmarks/claims/verifier_ceiling.py

Time: some seconds after the pool, which takes about four minutes on one free core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import draws_pool
import matplotlib
import numpy as np
from arm_runs import gigaflops
from paired import flip_test, holm, interval, resampled
from verifier_quality import CENTRE, SPREAD

from motes.evaluation.laws import VerifierLimit, verifier_limit

FIGURE = Path(__file__).parents[2] / "docs" / "claims-verifier-ceiling.png"
OURS = "every step"
VERIFIERS = (OURS, "last step alone", "quality 0.6", "quality 0.3", "quality 0")
HALF = draws_pool.DRAWS // 2
K = (1, 4, 16, 32)
NEAR, LEAD, SURE = 0.05, 0.02, 0.05


def passed(drawn: draws_pool.Drawn, verifier: str, seed: int) -> np.ndarray:
    """Return which draws pass, shape (N,), bool. The seed is of the noise, the problem's own."""
    if verifier == "last step alone":
        return drawn.last >= 0
    if verifier == OURS:
        return np.array([bool(np.all(odds >= 0)) for odds in drawn.pool.log_odds])
    quality = float(verifier.removeprefix("quality "))
    rng = np.random.default_rng((draws_pool.SEED, seed, round(10 * quality)))
    verdicts: dict[int, bool] = {}
    for path, odds in zip(drawn.pool.paths.tolist(), drawn.pool.log_odds, strict=True):
        if path not in verdicts:
            noise = SPREAD * np.sqrt(1 - quality**2) * rng.standard_normal(len(odds))
            verdicts[path] = bool(np.all(CENTRE + quality * (odds - CENTRE) + noise >= 0))
    return np.array([verdicts[path] for path in drawn.pool.paths.tolist()])


def said(right: np.ndarray, passing: np.ndarray, k: int, shared: bool = False) -> np.ndarray:
    """Return what the formula says of k draws, for each problem.

    Args:
        right, passing: of each draw, shape (problems, draws), bool.
        k: how many are drawn.
        shared: whether one e1 and one e0 are taken for all problems.

    Example:
        >>> right, passing = np.array([[True, True, False, False]]), np.array([[True, False] * 2])
        >>> said(right, passing, 2).tolist()
        [0.375]
    """
    if shared:
        success = right.mean(axis=1)
        of_right, of_wrong = passing[right].mean(), passing[~right].mean()
        good, rate = success * of_right, success * of_right + (1 - success) * of_wrong
    else:
        good, rate = (right & passing).mean(axis=1), passing.mean(axis=1)
    share = np.divide(good, rate, out=np.zeros_like(good), where=rate > 0)
    return (1 - (1 - rate) ** k) * share


def found(right: np.ndarray, passing: np.ndarray, k: int) -> np.ndarray:
    """Return without bias how often each problem's first that passes of k draws is right."""
    return np.array(
        [
            verifier_limit(a[None], b[None], k=[k]).mean[0]
            for a, b in zip(right, passing, strict=True)
        ]
    )


Told = tuple[float, float, float, float, int]  # mean, interval, p after Holm, problems that differ


def judged(right: np.ndarray, passing: dict[str, np.ndarray]) -> dict[tuple[str, str], Told]:
    """Return the three differences of every verifier with 32 draws."""
    first, last = slice(None, HALF), slice(HALF, None)
    samples = resampled(len(right))
    gaps, k = {}, K[-1]
    for name, verdicts in passing.items():
        reached = found(right[:, last], verdicts[:, last], k)
        perfect = found(right[:, last], right[:, last], k)
        gaps[name, "coverage"] = perfect - reached
        for key, shared in (("formula", False), ("one e1, one e0", True)):
            told = said(right[:, first], verdicts[:, first], k, shared)
            gaps[name, key] = told - reached
    corrected = holm([flip_test(gap) for gap in gaps.values()])
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
    lead, _, above, p, _ = rows[OURS, "coverage"]
    _, low, high, _, _ = rows[OURS, "formula"]
    if lead > 0 and p < SURE and low > -NEAR and high < NEAR:
        return "supported"
    return "contradicted" if above < LEAD else "undecided at this size"


def report(pools: Sequence[draws_pool.Drawn]) -> None:
    """Print the tables and the claim's line, and draw the figure."""
    right = np.stack([drawn.right for drawn in pools])
    passing = {
        name: np.stack([passed(drawn, name, i) for i, drawn in enumerate(pools)])
        for name in VERIFIERS
    }
    rows = judged(right, passing)
    limits = {
        name: verifier_limit(right[:, HALF:], verdicts[:, HALF:], K)
        for name, verdicts in passing.items()
    }
    print("| verifier | e1 | e0 |", " | ".join(f"{k} draws" for k in K), "| ceiling said |")
    print("| --- | --- | --- |" + " --- |" * (len(K) + 1))
    for name, verdicts in passing.items():
        cells = [f"{verdicts[right].mean():.2f}", f"{verdicts[~right].mean():.2f}"]
        cells += [f"{mean:.3f}" for mean in limits[name].mean]
        ceiling = said(right[:, :HALF], verdicts[:, :HALF], 10**9)
        low, high = interval(ceiling[resampled(len(right))].mean(axis=1))
        cells.append(f"{ceiling.mean():.3f} ({low:.3f} to {high:.3f})")
        print(f"| {name} | {' | '.join(cells)} |")
    perfect = [f"{mean:.3f}" for mean in limits[OURS].coverage]
    print(f"| perfect | 1.00 | 0.00 | {' | '.join(perfect)} | |\n")
    keys = ("coverage", "formula", "one e1, one e0")
    print("| with 32 draws |", " | ".join(f"{key} minus found" for key in keys), "|")
    print("| --- |" + " --- |" * len(keys))
    for name in VERIFIERS:
        cells = []
        for key in keys:
            gap, low, high, p, differ = rows[name, key]
            mark = "\\*" if p < SURE else ""
            cells.append(f"{gap:+.3f}{mark} ({low:+.3f} to {high:+.3f}), {differ} differ")
        print(f"| {name} | {' | '.join(cells)} |")
    tokens = float(np.mean([drawn.pool.tokens.sum() for drawn in pools])) / draws_pool.DRAWS
    read = float(np.mean([drawn.read for drawn in pools])) / draws_pool.DRAWS
    print(
        f"\na draw costs {tokens:.0f} tokens, and {read:.0f} of the reward model when 128 share "
        f"their prefixes: {gigaflops(tokens, read):.2f} GFLOPs"
    )
    print(line(rows, len(pools)))
    draw(limits, right, passing)


def line(rows: dict[tuple[str, str], Told], problems: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    lead, error = rows[OURS, "coverage"], rows[OURS, "formula"]
    return (
        "claim: imperfect verifiers put a ceiling on resampling, and the formula finds it; "
        f"estimate: with {K[-1]} draws coverage is {lead[0]:+.3f} ({lead[1]:+.3f} to "
        f"{lead[2]:+.3f}) above what the reward model finds, and the formula errs by "
        f"{error[0]:+.3f} ({error[1]:+.3f} to {error[2]:+.3f}); verdict: {verdict(rows)}; "
        f"{problems} problems, {HALF} draws each for the formula and {HALF} to check it, Holm over "
        f"{len(rows)} tests; it cannot speak of other models, nor of verifiers that share the "
        "errors of the language model"
    )


def draw(
    limits: dict[str, VerifierLimit], right: np.ndarray, passing: dict[str, np.ndarray]
) -> None:
    """Draw what is found against draws, with what the formula says."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4))
    fine = range(1, K[-1] + 1)
    for name, limit in limits.items():
        lines = axes.plot(K, limit.mean, "o", label=name)
        told = [said(right[:, :HALF], passing[name][:, :HALF], k).mean() for k in fine]
        axes.plot(fine, told, color=lines[0].get_color())
    axes.plot(K, limits[OURS].coverage, "k--", label="a perfect verifier")
    axes.set_xscale("log", base=2)
    axes.set_xticks(K, [str(k) for k in K])
    axes.set(xlabel="draws, until one passes", ylabel="answered rightly")
    axes.set_title("dots: found; lines: the formula, from other draws", fontsize=10)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw what is missing of the pool, print the tables and the verdict, draw the figure."""
    report(draws_pool.make())


if __name__ == "__main__":
    main()
