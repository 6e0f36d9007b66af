"""The table, the figure and the verdict of `verifier_quality.py`, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from arm_runs import gigaflops
from paired import Difference, holm, interval, resampled, sign_test
from verifier_quality import QUALITIES, TREES, VOTED, N, auc, decided

FIGURE = Path(__file__).parents[2] / "docs" / "claims-verifier-quality.png"
BASELINE = "majority vote"
METHODS = (*TREES, "weighted vote", "best of n")
SEARCHES = ("beam search", "DVTS", "REBASE")
LEVEL, SURE = 0.05, 0.05  # of accuracy, within which methods are level; of p-values after Holm


def right(kept: dict[str, Any]) -> dict[tuple[str, float], np.ndarray]:
    """Return whether each method at each quality was right, by problem."""
    found = {}
    for quality in QUALITIES:
        rules = [decided(pool, quality) for pool in whole(kept)]
        rows = kept["trees"][str(quality)][: len(rules)]
        for method in (BASELINE, "weighted vote", "best of n"):
            found[method, quality] = np.array([rule[method] for rule in rules], bool)
        for method in TREES:
            found[method, quality] = np.array([row[method][0] for row in rows], bool)
    return found


def whole(kept: dict[str, Any]) -> list[Any]:
    """Return the pools of those problems that every method has been run on."""
    done = min(len(kept["trees"].get(str(quality), [])) for quality in QUALITIES)
    return kept["pool"][:done]


def tokens(kept: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the mean tokens of language model and reward model for a problem, by method."""
    pools = whole(kept)
    drawn = [np.sum(pool["tokens"][:N]) for pool in pools]
    judged = float(np.mean([pool["prm_tokens"] for pool in pools])) * N / VOTED
    spent = {
        BASELINE: (float(np.mean([np.sum(pool["tokens"]) for pool in pools])), 0.0),
        "weighted vote": (float(np.mean(drawn)), judged),
        "best of n": (float(np.mean(drawn)), judged),
    }
    for method in TREES:
        rows = [row[method] for quality in QUALITIES for row in kept["trees"][str(quality)]]
        # of the first block's runs nobody counted the reward model's tokens: they say None
        read = [row[2] for row in rows if row[2] is not None]
        spent[method] = float(np.mean([row[1] for row in rows])), float(np.mean(read))
    return spent


def differences(kept: dict[str, Any]) -> dict[tuple[str, float], Difference]:
    """Return accuracy minus the baseline's, for each method and quality."""
    found = right(kept)
    samples = resampled(len(whole(kept)))
    pairs = [(method, quality) for method in METHODS for quality in QUALITIES]
    corrected = holm([sign_test(found[pair], found[BASELINE, pair[1]]) for pair in pairs])
    rows = {}
    for pair, p in zip(pairs, corrected, strict=True):
        gain = found[pair].astype(float) - found[BASELINE, pair[1]]
        ends = interval(gain[samples].mean(axis=1))
        rows[pair] = Difference(float(gain.mean()), *ends, float(p), int(np.sum(gain != 0)))
    return rows


def verdict(rows: dict[tuple[str, float], Difference]) -> str:
    """Return what the protocol says of the claim."""
    best, worst = max(QUALITIES), min(QUALITIES)
    turned, held = [], []
    for method in SEARCHES:
        above, below = rows[method, best], rows[method, worst]
        sure_above = above.gain > 0 and above.p < SURE
        sure_below = below.gain < 0 and below.p < SURE
        turned.append(sure_above and sure_below)
        held.append(below.low > -LEVEL)
    if any(turned):
        return "supported"
    return "contradicted" if all(held) else "undecided at this size"


def turning(kept: dict[str, Any], method: str) -> tuple[float, float, float, float]:
    """Return the AUC at which a method is level with the baseline.

    With its interval, and the share of bootstrap samples in which it turns at all.
    Between neighbouring qualities the difference is taken to be straight. NaN where it never turns.
    """
    found = right(kept)
    aucs = np.array([auc(kept, quality) for quality in QUALITIES])
    gains = np.array([found[method, q].astype(float) - found[BASELINE, q] for q in QUALITIES])
    draws = gains[:, resampled(len(whole(kept)))].mean(axis=2)
    crossings = np.array([crossing(aucs, draw) for draw in draws.T])
    seen = crossings[~np.isnan(crossings)]
    low, high = interval(seen) if len(seen) else (np.nan, np.nan)
    return crossing(aucs, gains.mean(axis=1)), low, high, len(seen) / len(crossings)


def crossing(aucs: np.ndarray, gains: np.ndarray) -> float:
    """Return the AUC at which gains, from the best verifier down, first fall below 0; or NaN.

    Example:
        >>> round(crossing(np.array([0.9, 0.7, 0.5]), np.array([0.2, 0.1, -0.1])), 3)
        0.6
    """
    if gains[0] <= 0:
        return float("nan")
    below = np.flatnonzero(gains < 0)
    if not len(below):
        return float("nan")
    k = below[0]
    share = gains[k - 1] / (gains[k - 1] - gains[k])
    return float(aucs[k - 1] + share * (aucs[k] - aucs[k - 1]))


def report(kept: dict[str, Any]) -> None:
    """Print the table and the claim's line, and draw the figure."""
    rows, aucs = differences(kept), {quality: auc(kept, quality) for quality in QUALITIES}
    print("| method | tokens | PRM tokens | GFLOPs |", end="")
    print("".join(f" AUC {aucs[quality]:.2f} |" for quality in QUALITIES), "turns at AUC |")
    print("| --- | --- | --- | --- |" + " --- |" * (len(QUALITIES) + 1))
    spent = tokens(kept)
    for method in METHODS:
        cells = [f"{spent[method][0]:,.0f}", f"{spent[method][1]:,.0f}"]
        cells.append(f"{gigaflops(*spent[method]):.2f}")
        for quality in QUALITIES:
            cells.append(told(rows[method, quality]))
        at, low, high, share = turning(kept, method)
        turns = f"{at:.2f} ({low:.2f} to {high:.2f})" if share > 0.5 else "not seen"
        print(f"| {method} | {' | '.join([*cells, turns])} |")
    accuracy = right(kept)[BASELINE, 1.0].mean()
    vote = spent[BASELINE]
    cost = f"{vote[0]:,.0f} tokens, {gigaflops(*vote):.2f} GFLOPs"
    print(f"\nvote of {VOTED}: {accuracy:.2f}, {cost}")
    print(line(rows, aucs, len(whole(kept))))
    draw(rows, aucs, len(whole(kept)))


def told(row: Difference) -> str:
    """Write a difference; a star marks one that is sure."""
    mark = "\\*" if row.p < SURE else ""
    return f"{row.gain:+.2f}{mark} ({row.low:+.2f} to {row.high:+.2f}), {row.differ}"


def line(rows: dict[Any, Any], aucs: dict[float, float], problems: int) -> str:
    """Return the claim's line: estimate, interval, verdict, and what it cannot say."""
    best, worst = max(QUALITIES), min(QUALITIES)
    method = min(SEARCHES, key=lambda name: rows[name, worst].gain)
    above, below = rows[method, best], rows[method, worst]
    return (
        "claim: search falls below repeated sampling as the verifier worsens; estimate: "
        f"{method} {above.gain:+.2f} ({above.low:+.2f} to {above.high:+.2f}) at AUC "
        f"{aucs[best]:.2f}, {below.gain:+.2f} ({below.low:+.2f} to {below.high:+.2f}) at AUC "
        f"{aucs[worst]:.2f}; "
        f"verdict: {verdict(rows)}; {problems} problems, one run each, Holm over {len(rows)} "
        "tests; it cannot speak of other models, nor of verifiers with shared errors"
    )


def draw(rows: dict[Any, Any], aucs: dict[float, float], problems: int) -> None:
    """Draw each method's advantage against the verifier's AUC."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 3, figsize=(9, 5), sharex=True, sharey=True)
    x = [aucs[quality] for quality in QUALITIES]
    for panel, method in zip(panels.flat, METHODS, strict=True):
        gain, low, high = np.array([rows[method, quality][:3] for quality in QUALITIES]).T
        panel.fill_between(x, low, high, alpha=0.25, linewidth=0)
        panel.plot(x, gain, marker="o")
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set_title(method)
    figure.supxlabel("AUC of the reward model on prefixes")
    figure.supylabel(f"accuracy minus the vote of {VOTED}")
    figure.suptitle(f"{N} particles, {problems} problems, 95% intervals over problems")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(figure)
