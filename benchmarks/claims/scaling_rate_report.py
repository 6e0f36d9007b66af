"""The tables, the forest plot and the verdict of `scaling_rate.py`, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from arm_runs import PARAMETERS, gigaflops
from equal_accuracy import GENERATED, READ, RIGHT, Ratio, Table, ratio, signs, table_of
from paired import holm, interval, resampled
from scaling_rate import BUDGETS, FILTER, METHODS, budgets

FIGURE = Path(__file__).parents[2] / "docs" / "claims-scaling-rate.png"
ARMS = [(method, n) for method in METHODS for n in budgets(method)]
NAMED = ("best of n", "weighted best of n", "beam search", "DVTS")  # by the claim
OTHERS = tuple(method for method in METHODS if method != FILTER)
COMPARED = 16  # particles of the sign tests
LEAST, MOST, SURE = 4.0, 16.0, 0.05


class Compared(NamedTuple):
    """How many times less the particle filter needs than another method.

    Attributes:
        tokens, flops: of both models.
        p: two-sided, of a ratio of tokens of 1, after Holm.
        differ: problems on which one is right and the other is not, at equal particles.
        sign: p-value of the sign test at equal particles, after Holm.
        quarter: accuracy with 4 particles minus the other's with 16, and its 95% interval.
    """

    tokens: Ratio
    flops: Ratio
    p: float
    differ: int
    sign: float
    quarter: tuple[float, float, float]


def quarter(table: Table, other: str) -> tuple[float, float, float]:
    """Return what the filter gains with a quarter of another's particles, with its interval.

    If it needs 4 times fewer tokens, that is 0 or more.
    """
    few, many = COMPARED // int(LEAST), COMPARED
    gain = table[FILTER, few][:, RIGHT] - table[other, many][:, RIGHT]
    return float(gain.mean()), *interval(gain[resampled(len(gain))].mean(axis=1))


def comparisons(table: Table) -> dict[str, Compared]:
    """Compare the particle filter with every other method."""
    tokens = [ratio(table, FILTER, other, (1, 1, 0)) for other in OTHERS]
    sure = holm([each.tail() for each in tokens])
    counted = signs(table, (FILTER, COMPARED), [(other, COMPARED) for other in OTHERS])
    found = {}
    for place, other in enumerate(OTHERS):
        flops = ratio(table, FILTER, other, (*PARAMETERS, 0))
        p, less = float(sure[place]), quarter(table, other)
        found[other] = Compared(tokens[place], flops, p, *counted[place], less)
    return found


def verdict(found: dict[str, Compared]) -> str:
    """Return what the protocol says of the claim."""
    named = [found[other] for other in NAMED]
    if all(each.tokens.estimate >= LEAST and each.p < SURE for each in named):
        return "supported"
    short = holm([each.tokens.share(LEAST) for each in named])
    return "contradicted" if np.any(short < SURE / 2) else "undecided at this size"


def report(kept: dict[str, Any]) -> None:
    """Print the tables and the claim's line, and draw the figure."""
    table = table_of(kept["rows"], ARMS)
    found, size = comparisons(table), len(table[ARMS[0]])
    print("| method |", *(f"right, n = {n} |" for n in BUDGETS), end="")
    print(f" tokens, n = {COMPARED} | PRM tokens | GFLOPs |")
    print("| --- |" + " --- |" * (len(BUDGETS) + 3))
    for method in METHODS:
        cells = [
            f"{table[method, n][:, RIGHT].mean():.2f}" if n in budgets(method) else ""
            for n in BUDGETS
        ]
        generated, judged = table[method, COMPARED][:, [GENERATED, READ]].mean(axis=0)
        flops = gigaflops(generated, judged)
        cells += [f"{generated:,.0f}", f"{judged:,.0f}", f"{flops:.2f}"]
        print(f"| {method} | {' | '.join(cells)} |")
    print("\n| the particle filter against | times fewer tokens | p | at accuracy |", end="")
    print(f" times fewer FLOPs | differ, n = {COMPARED} | p of signs |", end="")
    print(f" gain of 4 particles over {COMPARED} |")
    print("| --- |" + " --- |" * 7)
    for other, each in found.items():
        cells = [str(each.tokens), f"{each.p:.2g}", f"{each.tokens.accuracy:.2f}"]
        gain, low, high = each.quarter
        cells += [str(each.flops), str(each.differ), f"{each.sign:.2g}"]
        cells.append(f"{gain:+.2f} ({low:+.2f} to {high:+.2f})")
        print(f"| {other} | {' | '.join(cells)} |")
    print()
    print(line(found, size))
    draw(found, size)


def line(found: dict[str, Compared], problems: int) -> str:
    """Return the claim's line: estimates, intervals, verdict, and what it cannot say."""
    said = ", ".join(f"{other} {found[other].tokens}" for other in NAMED)
    return (
        "claim: particle filtering has a 4 to 16 times better scaling rate than deterministic "
        f"search and best of n; estimate, times fewer tokens at equal accuracy: {said}; verdict: "
        f"{verdict(found)}; {problems} problems, one run each, Holm over {len(OTHERS)} "
        "comparisons; it cannot speak of other models"
    )


def draw(found: dict[str, Compared], problems: int) -> None:
    """Draw the ratios as a forest plot."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.8))
    ends = 2.0**-6, 2.0**8
    places = np.arange(len(found))[::-1]
    for place, each in zip(places, found.values(), strict=True):
        for shift, colour, drawn in ((0.12, "C0", each.tokens), (-0.12, "C1", each.flops)):
            span = np.clip((drawn.low, drawn.high), *ends)
            axes.plot(span, [place + shift] * 2, color=colour, linewidth=1.6)
            if ends[0] <= drawn.estimate <= ends[1]:
                axes.plot([drawn.estimate], [place + shift], "o", color=colour, markersize=5)
    axes.axvspan(LEAST, MOST, color="0.9", zorder=0)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlim(*ends)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(places, list(found))
    axes.set_xlabel("how many times fewer the particle filter needs at equal accuracy")
    axes.set_title(f"{problems} problems, 95% intervals; grey: the claim", fontsize=10)
    axes.plot([], [], "o-", color="C0", label="tokens of both models")
    axes.plot([], [], "o-", color="C1", label="FLOPs")
    axes.legend(fontsize=8, ncol=3, loc="upper left", bbox_to_anchor=(0, -0.16))
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(figure)
