"""The table and the verdict of `smollm2_gsm8k.py`, from its records alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from paired import Difference, holm, interval, resampled, sign_test
from smollm2_gsm8k import FILTER, PARTICLES, SAMPLES, VOTE

SURE, LEVEL = 0.05, 0.02  # of p-values after Holm; of accuracy, below which nothing is gained
SINGLE = "single sample"
PARAMETERS = 134_515_008  # of SmolLM2-135M


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


def differences(kept: dict[str, Any]) -> dict[str, Difference]:
    """Return the filter's accuracy minus each other's."""
    found, samples = right(kept), resampled(len(kept["problems"]))
    others = (SINGLE, VOTE)
    corrected = holm([sign_test(found[FILTER], found[other]) for other in others])
    rows = {}
    for other, p in zip(others, corrected, strict=True):
        gain = found[FILTER].astype(float) - found[other]
        ends = interval(gain[samples].mean(axis=1))
        rows[other] = Difference(float(gain.mean()), *ends, float(p), int(np.sum(gain != 0)))
    return rows


def verdict(rows: dict[str, Difference]) -> str:
    """Return what the protocol says of the claim."""
    if all(row.p < SURE and row.gain > 0 for row in rows.values()):
        return "supported"
    below = any(row.p < SURE and row.gain < 0 for row in rows.values())
    if below or any(row.high < LEVEL for row in rows.values()):
        return "contradicted"
    return "undecided at this size"


def report(kept: dict[str, Any]) -> None:
    """Print the table and the claim's line."""
    found, spent, rows = right(kept), tokens(kept), differences(kept)
    samples = resampled(len(kept["problems"]))
    names = {SINGLE: SINGLE, VOTE: f"vote of {SAMPLES}", FILTER: f"filter of {PARTICLES}"}
    print("| method | tokens | tokens read as a judge | TFLOPs | right | accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for method, name in names.items():
        low, high = interval(found[method][samples].mean(axis=1))
        cells = [name, *(f"{count:,.0f}" for count in spent[method])]
        cells.append(f"{2e-12 * PARAMETERS * sum(spent[method]):.2f}")
        cells.append(f"{found[method].sum()} of {len(found[method])}")
        cells.append(f"{found[method].mean():.2f} ({low:.2f} to {high:.2f})")
        print(f"| {' | '.join(cells)} |")
    parts = [
        f"minus {names[other]} {row.gain:+.2f} ({row.low:+.2f} to {row.high:+.2f}), "
        f"{row.differ} differ"
        for other, row in rows.items()
    ]
    print(
        f"claim: a particle filter is more accurate than sampling, SmolLM2-135M on GSM8K, its own "
        f"verdict for a likelihood; estimate: filter {', '.join(parts)}; verdict: {verdict(rows)}; "
        f"{len(kept['problems'])} problems, one run each, Holm over {len(rows)} tests, "
        f"{kept['cpu_minutes']:.0f} minutes of one core; it cannot speak of other models, nor of "
        "trained reward models"
    )
