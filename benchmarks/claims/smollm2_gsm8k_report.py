"""The table and the verdict of `smollm2_gsm8k.py`, from its records alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from paired import holm, interval, resampled, sign_test
from smollm2_gsm8k import FILTER, PARTICLES, SAMPLES, VOTE

SURE, LEVEL = 0.05, 0.02  # of p-values after Holm; of accuracy, below which nothing is gained
SINGLE = "single sample"


def right(kept: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return whether each method was right, by problem."""
    rows = kept["problems"]
    return {
        SINGLE: np.array([row[VOTE]["draws_right"][0] for row in rows], bool),
        VOTE: np.array([row[VOTE]["right"] for row in rows], bool),
        FILTER: np.array([row[FILTER]["right"] for row in rows], bool),
    }


def tokens(kept: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the mean tokens written and read as a judge for a problem, by method."""
    rows = kept["problems"]
    spent = {}
    for method in (VOTE, FILTER):
        written = float(np.mean([row[method]["tokens"] for row in rows]))
        spent[method] = written, float(np.mean([row[method]["read"] for row in rows]))
    return {SINGLE: (spent[VOTE][0] / SAMPLES, 0.0), **spent}


def differences(kept: dict[str, Any]) -> dict[str, tuple[float, float, float, float]]:
    """Return the filter's accuracy minus each other's, its interval, the p-value after Holm."""
    found, samples = right(kept), resampled(len(kept["problems"]))
    others = (SINGLE, VOTE)
    corrected = holm([sign_test(found[FILTER], found[other]) for other in others])
    rows = {}
    for other, p in zip(others, corrected, strict=True):
        gain = found[FILTER].astype(float) - found[other]
        rows[other] = float(gain.mean()), *interval(gain[samples].mean(axis=1)), float(p)
    return rows


def verdict(rows: dict[str, tuple[float, float, float, float]]) -> str:
    """Return what the protocol says of the claim."""
    sure = [p < SURE for _, _, _, p in rows.values()]
    gains = [gain for gain, _, _, _ in rows.values()]
    if all(sure) and min(gains) > 0:
        return "supported"
    below = any(each and gain < 0 for each, gain in zip(sure, gains, strict=True))
    if below or any(high < LEVEL for _, _, high, _ in rows.values()):
        return "contradicted"
    return "undecided at this size"


def report(kept: dict[str, Any]) -> None:
    """Print the table and the claim's line."""
    found, spent, rows = right(kept), tokens(kept), differences(kept)
    samples = resampled(len(kept["problems"]))
    names = {SINGLE: SINGLE, VOTE: f"vote of {SAMPLES}", FILTER: f"filter of {PARTICLES}"}
    print("| method | tokens | tokens read as a judge | right | accuracy |")
    print("| --- | --- | --- | --- | --- |")
    for method, name in names.items():
        low, high = interval(found[method][samples].mean(axis=1))
        cells = [name, f"{spent[method][0]:,.0f}", f"{spent[method][1]:,.0f}"]
        cells.append(f"{found[method].sum()} of {len(found[method])}")
        cells.append(f"{found[method].mean():.2f} ({low:.2f} to {high:.2f})")
        print(f"| {' | '.join(cells)} |")
    parts = [
        f"minus {names[other]} {gain:+.2f} ({low:+.2f} to {high:+.2f})"
        for other, (gain, low, high, _) in rows.items()
    ]
    print(
        f"claim: a particle filter is more accurate than sampling, SmolLM2-135M on GSM8K, its own "
        f"verdict for a likelihood; estimate: filter {', '.join(parts)}; verdict: {verdict(rows)}; "
        f"{len(kept['problems'])} problems, one run each, Holm over {len(rows)} tests, "
        f"{kept['cpu_minutes']:.0f} minutes of one core; it cannot speak of other models, nor of "
        "trained reward models"
    )
