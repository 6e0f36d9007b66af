"""The tables, the figure and the verdict of `a_star.py`, from records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from a_star import ANSWERS, CONSISTENT, INCREASE, OTHERS
from arm_runs import gigaflops
from equal_accuracy import (
    GENERATED,
    READ,
    RIGHT,
    SCORED,
    Ratio,
    Table,
    ratio,
    signs,
    table_of,
)
from paired import holm
from scaling_rate import budgets

FIGURE = Path(__file__).parents[2] / "docs" / "claims-a-star.png"
ARMS = [
    *((method, n) for method in (CONSISTENT, INCREASE) for n in ANSWERS),
    *((method, n) for method in OTHERS for n in budgets(method)),
]
COMPARED = (CONSISTENT, 4), 16  # answers of A*, particles of the others
NAMED = ("best of n", "particle filter")  # by the claim
COSTS: Mapping[str, tuple[float, float, float]] = {
    "generated tokens": (1, 0, 0),
    "tokens of both models": (1, 1, 0),
    "reward-model passes": (0, 0, 1),
}
CLAIMED = {"generated tokens": 3.0, "reward-model passes": 1 / 0.7}
SURE = 0.05


class Compared(NamedTuple):
    """How many times less A* needs than another method.

    Attributes:
        ratios: by cost.
        p: by cost, two-sided, of a ratio of 1, after Holm.
        differ: problems on which one is right and the other is not.
        sign: p-value of the sign test, after Holm.
    """

    ratios: dict[str, Ratio]
    p: dict[str, float]
    differ: int
    sign: float


def comparisons(table: Table) -> dict[str, Compared]:
    """Compare A* with every other method."""
    pairs = [(other, cost) for other in OTHERS for cost in COSTS]
    ratios = {pair: ratio(table, CONSISTENT, pair[0], COSTS[pair[1]]) for pair in pairs}
    sure = dict(zip(pairs, holm([ratios[pair].tail() for pair in pairs]).tolist(), strict=True))
    arm, particles = COMPARED
    counted = signs(table, arm, [(other, particles) for other in OTHERS])
    return {
        other: Compared(
            {cost: ratios[other, cost] for cost in COSTS},
            {cost: sure[other, cost] for cost in COSTS},
            *counted[place],
        )
        for place, other in enumerate(OTHERS)
    }


def verdict(found: dict[str, Compared]) -> str:
    """Return what the protocol says of the claim."""
    named = [found[other] for other in NAMED]
    for each in named:
        reached = [each.ratios[cost].estimate >= least for cost, least in CLAIMED.items()]
        if all(reached) and all(each.p[cost] < SURE for cost in CLAIMED):
            return "supported"
    short = [each.ratios[cost].share(least) for each in named for cost, least in CLAIMED.items()]
    surely = (holm(short) < SURE / 2).reshape(len(named), len(CLAIMED))
    return "contradicted" if surely.any(axis=1).all() else "undecided at this size"


def report(rows: Mapping[str, Sequence[Any]]) -> None:
    """Print the tables and the claim's line, and draw the figure."""
    table = table_of(rows, ARMS)
    found, size = comparisons(table), len(table[ARMS[0]])
    print("| method | answers or particles | right | tokens | PRM tokens | passes | GFLOPs |")
    print("| --- |" + " --- |" * 6)
    for (method, n), column in table.items():
        right, generated, judged, scored = column.mean(axis=0)[[RIGHT, GENERATED, READ, SCORED]]
        flops = gigaflops(generated, judged)
        cells = [method, str(n), f"{right:.2f}", f"{generated:,.0f}", f"{judged:,.0f}"]
        print(f"| {' | '.join([*cells, f'{scored:,.0f}', f'{flops:.2f}'])} |")
    print("\n| A\\* against |", *(f"times fewer {cost} | p |" for cost in COSTS), end="")
    print(" at accuracy | differ | p of signs |")
    print("| --- |" + " --- |" * (2 * len(COSTS) + 3))
    for other, each in found.items():
        cells = [cell for cost in COSTS for cell in (str(each.ratios[cost]), f"{each.p[cost]:.2g}")]
        at = each.ratios["generated tokens"].accuracy
        cells += [f"{at:.2f}", str(each.differ), f"{each.sign:.2g}"]
        print(f"| {other} | {' | '.join(cells)} |")
    print()
    print(line(found, size))
    draw(found, size)


def line(found: dict[str, Compared], problems: int) -> str:
    """Return the claim's line: estimates, intervals, verdict, and what it cannot say."""
    said = "; ".join(
        f"against {other} {found[other].ratios['generated tokens']} times fewer tokens and "
        f"{found[other].ratios['reward-model passes']} times fewer passes"
        for other in NAMED
    )
    return (
        "claim: A\\* needs 3 times fewer tokens and 30% fewer (1.43 times fewer) reward-model "
        f"passes; estimate at equal accuracy: {said}; verdict: {verdict(found)}; {problems} "
        f"problems, one run each, Holm over {len(OTHERS) * len(COSTS)} comparisons; it cannot "
        "speak of other models, nor of the author's code"
    )


def draw(found: dict[str, Compared], problems: int) -> None:
    """Draw the ratios of tokens and passes as a forest plot."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.4))
    ends = 2.0**-6, 2.0**6
    places = np.arange(len(found))[::-1]
    shifts = np.linspace(0.2, -0.2, len(COSTS))
    for k, (cost, shift) in enumerate(zip(COSTS, shifts, strict=True)):
        axes.plot([], [], "o-", color=f"C{k}", label=cost)
        for place, each in zip(places, found.values(), strict=True):
            drawn = each.ratios[cost]
            span = np.clip((drawn.low, drawn.high), *ends)
            axes.plot(span, [place + shift] * 2, color=f"C{k}", linewidth=1.6)
            if ends[0] <= drawn.estimate <= ends[1]:
                axes.plot([drawn.estimate], [place + shift], "o", color=f"C{k}", markersize=5)
        if cost in CLAIMED:
            axes.axvline(CLAIMED[cost], color=f"C{k}", linestyle=":", linewidth=1)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlim(*ends)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(places, list(found))
    axes.set_xlabel("how many times fewer A* needs at equal accuracy")
    axes.set_title(f"{problems} problems, 95% intervals; dotted: the claim", fontsize=10)
    axes.legend(fontsize=8, ncol=3, loc="upper left", bbox_to_anchor=(0, -0.22))
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(figure)
