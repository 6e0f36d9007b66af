"""The table, the figure and the verdict of `annealing.py`, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from annealing import ANNEALED, BEAM, BEAMS, EXACT, LOOKING, PUBLISHED, SIZES
from arm_runs import gigaflops
from equal_accuracy import GENERATED, READ, RIGHT, Table, table_of
from paired import holm, interval, resampled, sign_test

FIGURE = Path(__file__).parents[2] / "docs" / "claims-annealing.png"
CLAIMED, SURE = 0.5, 0.05  # relative gain; of p-values after Holm
PAIRS = [
    *(
        ((f"{family}, {aid}", n), (family, n))
        for n in SIZES
        for family in (EXACT, PUBLISHED)
        for aid in (ANNEALED, LOOKING)
    ),
    ((f"{BEAM}, looking ahead", BEAMS), (BEAM, BEAMS)),
]
ARMS = list(dict.fromkeys(arm for pair in PAIRS for arm in reversed(pair)))


class Gain(NamedTuple):
    """What a method gains over its plain one.

    Attributes:
        difference: of accuracy.
        relative: accuracy over the plain method's, minus 1.
        low, high: the 95% interval of `relative`.
        most: its upper end at the level of all comparisons together.
        differ: problems on which one is right and the other is not.
        p: of the sign test, after Holm.
    """

    difference: float
    relative: float
    low: float
    high: float
    most: float
    differ: int
    p: float


def gains(table: Table) -> dict[tuple[str, int], Gain]:
    """Compare each method with the plain one of its family."""
    truth = {arm: column[:, RIGHT].astype(bool) for arm, column in table.items()}
    samples = resampled(len(table[ARMS[0]]))
    corrected = holm([sign_test(truth[helped], truth[plain]) for helped, plain in PAIRS])
    found = {}
    for (helped, plain), p in zip(PAIRS, corrected, strict=True):
        draws = relative(truth[helped][samples], truth[plain][samples])
        found[helped] = Gain(
            difference=float(truth[helped].mean() - truth[plain].mean()),
            relative=float(relative(truth[helped], truth[plain])),
            low=interval(draws)[0],
            high=interval(draws)[1],
            most=float(np.quantile(draws, 1 - SURE / len(PAIRS) / 2)),
            differ=int(np.sum(truth[helped] != truth[plain])),
            p=float(p),
        )
    return found


def relative(helped: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Return the gain of accuracy over the plain one's, over the last axis.

    Infinite where the plain one is never right and the other is; 0 where neither is.

    Example:
        >>> float(relative(np.array([True, True, True]), np.array([True, True, False])))
        0.5
    """
    more, base = helped.mean(axis=-1), plain.mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(more == base, 0.0, more / base - 1)


def verdict(found: dict[tuple[str, int], Gain]) -> str:
    """Return what the protocol says of the claim."""
    if any(each.relative > 0 and each.p < SURE and each.high >= CLAIMED for each in found.values()):
        return "supported"
    if all(each.most < CLAIMED for each in found.values()):
        return "contradicted"
    return "undecided at this size"


def report(kept: dict[str, Any]) -> None:
    """Print the table and the claim's line, and draw the figure."""
    table = table_of(kept["rows"], ARMS)
    found, size = gains(table), len(table[ARMS[0]])
    print("| method | tokens of a filter of | right | tokens | PRM tokens | GFLOPs |", end="")
    print(" relative gain | differ | p of signs |")
    print("| --- |" + " --- |" * 8)
    for arm in ARMS:
        generated, judged = table[arm][:, [GENERATED, READ]].mean(axis=0)
        flops = gigaflops(generated, judged)
        cells = [arm[0], f"{arm[1]} particles", f"{table[arm][:, RIGHT].mean():.2f}"]
        cells += [f"{generated:,.0f}", f"{judged:,.0f}", f"{flops:.2f}"]
        cells += told(found[arm]) if arm in found else ["", "", ""]
        print(f"| {' | '.join(cells)} |")
    print()
    print(line(found, size))
    draw(found, size)


def told(gain: Gain) -> list[str]:
    """Return the cells of a gain."""
    size = f"{gain.relative:+.0%} ({gain.low:+.0%} to {gain.high:+.0%})"
    return [size, str(gain.differ), f"{gain.p:.2g}"]


def line(found: dict[tuple[str, int], Gain], problems: int) -> str:
    """Return the claim's line: the largest gain, its interval, verdict, what it cannot say."""
    (name, n), best = max(found.items(), key=lambda item: item[1].relative)
    return (
        "claim: entropic annealing and look-ahead help by up to 50% on hard problems; estimate, "
        f"the largest of {len(found)} relative gains: {name}, {n} particles' tokens, "
        f"{best.relative:+.0%} ({best.low:+.0%} to {best.high:+.0%}); verdict: {verdict(found)}; "
        f"{problems} problems, one run each, Holm over {len(found)} comparisons; it cannot speak "
        "of other models, schedules and depths"
    )


def draw(found: dict[tuple[str, int], Gain], problems: int) -> None:
    """Draw the relative gains."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.8))
    places = np.arange(len(found))[::-1]
    for place, each in zip(places, found.values(), strict=True):
        axes.plot([100 * each.low, 100 * each.high], [place, place], color="C0")
        axes.plot([100 * each.relative], [place], "o", color="C0")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(100 * CLAIMED, color="0.5", linestyle=":")
    axes.set_yticks(places, [f"{name}, {n}" for name, n in found])
    axes.set_xlabel("gain of accuracy over the plain method, %, at the same tokens")
    title = f"{problems} problems of 7 and 8 steps, 95% intervals; dotted: the claim"
    axes.set_title(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(figure)
