"""The ratios of `scaling_rate.py` by a hierarchical model, beside those by lines.

The protocol of `scaling_rate.py` had wanted them and given them up. They were added after all
accuracies and the ratios by lines had been seen, and are in no verdict: they say whether that hangs
on the lines between budgets.

The model is that of `motes.evaluation.scaling`, fitted once to all methods, with its default
priors; tokens are those of both models. It knows that problems differ, and that one run is not
another, which the bootstrap over problems does not. Ratios are at the middle of the accuracies that
both curves take within what was measured.

Run: python benchmarks/claims/scaling_rate_model.py
It fits again where `scaling_rate.py` has more problems than were fitted.
Time: about a minute on one free core; a second where the records are whole.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import numpy as np
from equal_accuracy import GENERATED, READ, RIGHT, Table, shown, table_of
from kept_records import read, write
from scaling_rate import FILTER, SEED
from scaling_rate import RECORDS as ROWS
from scaling_rate_report import ARMS, LEAST, OTHERS

from motes.evaluation.fit import fit_scaling
from motes.evaluation.scaling_fit import ScalingFit

RECORDS = Path(__file__).parent / "records" / "scaling_rate_model.json.gz"


def fitted(table: Table) -> ScalingFit:
    """Fit the model to all methods and budgets."""
    right = np.stack([table[arm][:, RIGHT] for arm in ARMS], axis=1).astype(np.int64)
    tokens = np.array([table[arm][:, [GENERATED, READ]].sum(axis=1).mean() for arm in ARMS])
    return fit_scaling(right, tokens, [method for method, _ in ARMS], seed=SEED)


def kept_of(fit: ScalingFit) -> dict[str, Any]:
    """Return what is kept of a fit: for each method the ratio, and what is wrong with the fit."""
    rows = {}
    for other in OTHERS:
        found = fit.ratio(FILTER, other)
        told = found.draws[~np.isnan(found.draws)]
        rows[other] = {
            "ratio": [min(float(end), 1e12) for end in (found.median, *found.interval())],
            "accuracy": found.accuracy,
            "above 1": float(np.mean(told > 1)),
            "at least 4": float(np.mean(told >= LEAST)),
        }
    return {"problems": len(fit.right), "rows": rows, "complaints": fit.check()}


def report(kept: dict[str, Any]) -> None:
    """Print the table, and what is wrong with the fit."""
    print("| by the model, against | times fewer tokens | at accuracy |", end="")
    print(f" probability of more than 1 | of {LEAST:g} or more |")
    print("| --- |" + " --- |" * 4)
    for other in OTHERS:
        row = kept["rows"][other]
        median, low, high = (shown(end) for end in row["ratio"])
        cells = [f"{median} ({low} to {high})", f"{row['accuracy']:.2f}"]
        cells += [f"{row[share]:.3f}" for share in ("above 1", "at least 4")]
        print(f"| {other} | {' | '.join(cells)} |")
    wrong = "; ".join(kept["complaints"]) or "nothing that is known"
    print(f"\n{kept['problems']} problems; wrong with the fit: {wrong}")


def main() -> None:
    """Fit what has not been fitted, then print the table."""
    table = table_of(read(ROWS)["rows"], ARMS)
    problems = len(table[ARMS[0]])
    if not RECORDS.exists() or read(RECORDS)["problems"] < problems:
        write(RECORDS, kept_of(fitted(table)))
    report(read(RECORDS))


if __name__ == "__main__":
    main()
