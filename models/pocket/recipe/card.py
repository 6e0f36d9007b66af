"""The pocket's card: held-out figures, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...protocols import RewardModel
from ..problems import MAX_STEPS, MIN_STEPS
from .measuring import Judged, Written, auc, calibration_error, interval, measure, siblings
from .trees import Forest

TEMPERATURES = (0.8, 1.0, 1.2)
FEWEST = 30  # pairs of siblings that a depth must have to be shown
LENGTHS = range(MIN_STEPS, MAX_STEPS + 1)

MakeForest = Callable[..., Forest]


class Figures(NamedTuple):
    """What was measured.

    Attributes:
        each: problems of each number of steps.
        samples: solutions of each problem at temperature 1.
        written: what the writer does, by temperature.
        judged: the prefixes of the solutions at temperature 1.
        writer_curve: updates of the writer's training, and how well its log-probability ranks
            siblings.
        labels_curve: labels that the judge has learnt from, and how well it ranks siblings.
    """

    each: int
    samples: int
    written: dict[float, Written]
    judged: Judged
    writer_curve: dict[int, float]
    labels_curve: dict[int, float]


def figures(
    forest: MakeForest, prm: RewardModel, work: Path, *, each: int, samples: int, seed: int
) -> Figures:
    """Measure on the test split; the learning curves, on the validation split.

    Args:
        forest: makes what grows trees, of a seed, a temperature and a checkpoint's folder (see
            `Making.forest`).
        prm: the judge.
        work: where the trainings left checkpoints and the judge's learning curve.
        each: problems of each number of steps.
        samples: solutions of each at temperature 1; an eighth of it at others and for the curve.
        seed: of problems and samples.
    """
    fewer = max(2, samples // 8)
    written: dict[float, Written] = {}
    grower, options = forest(seed=seed, temperature=1.0), {"split": "test", "each": each}
    plain, judged = measure(grower, prm, **options, samples=samples, seed=seed)
    for temperature in TEMPERATURES:
        grower = forest(seed=seed, temperature=temperature)
        if temperature == 1.0:
            written[temperature] = plain
        else:
            written[temperature], _ = measure(grower, None, **options, samples=fewer, seed=seed)
    writer_curve: dict[int, float] = {}
    for folder in sorted(work.glob("writer-*"), key=_updates):
        grower = forest(seed=seed, weights=folder)
        options = {"split": "validation", "each": max(2, each // 4), "samples": fewer, "seed": seed}
        _, seen = measure(grower, None, **options)
        writer_curve[_updates(folder)] = float(siblings(seen, seen.writer)[2].mean())
    points = [json.loads(line) for line in (work / "labels-curve.jsonl").read_text().splitlines()]
    labels_curve = {point["steps"]: point["siblings_auc"] for point in points}
    return Figures(each, samples, written, judged, writer_curve, labels_curve)


def _updates(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def text(figures: Figures, *, parameters: Sequence[int], made: str) -> str:
    """Return the card.

    Args:
        figures: what was measured.
        parameters: of the language model and of the reward model.
        made: how long the stages took, and on what.
    """
    parts = [
        HEAD.format(writer=parameters[0], judge=parameters[1], made=made),
        "\n".join(_ranking(figures)),
        "\n".join(_prefixes(figures)),
        "\n".join(_writing(figures)),
        "\n".join(_curves(figures)),
    ]
    return "\n\n".join(parts) + "\n"


HEAD = """# The pocket reasoner

A language model and a process reward model small enough to ship, for problems made by
`problems.py`. They are for learning, testing and experiments: they know nothing but these problems,
and they err on purpose.

- `lm/`: a Llama with {writer:,} parameters. It has read the solutions of careless writers
  (`recipe/careless.py`), who now and then skip a step, misread a relation, look up a wrong number
  or forget a carry, and who get a subtraction with borrowing wrong as often as right. So its errors
  are of several kinds, and some of them win votes. Declare it at temperature 1 (the default).
  Training: `recipe/language_model.py`.
- `prm/`: a token classifier with {judge:,} parameters that started from the language model's
  weights. Its labels are Monte Carlo rollouts of the language model, contrasted between the next
  steps of one prefix; the checker of steps took no part. Training: `recipe/rollouts.py`,
  `recipe/reward_model.py`.
- Made by `make pocket`: {made}."""


def _ranking(figures: Figures) -> Iterator[str]:
    judged = figures.judged
    yield "## How well the reward model ranks next steps"
    yield ""
    yield f"Test split (structures that training never saw), {figures.each} problems of each number"
    yield f"of steps, {figures.samples} solutions of each. Of one *right* prefix, every distinct"
    yield "right next step is compared with every wrong one: the chance that the right one has the"
    yield "higher score (AUC), with 95% intervals from resampled problems. Beside it, the same for"
    yield "the language model's mean log-probability of a token."
    yield ""
    yield "| depth | pairs | reward model | language model |"
    yield "| --- | --- | --- | --- |"
    problem, depth, won = siblings(judged, judged.score)
    _, _, won_by_writer = siblings(judged, judged.writer)
    for label, chosen in _by_depth(depth):
        if chosen.sum() >= FEWEST:
            low, high = interval(problem[chosen], won[chosen])
            judge = f"{won[chosen].mean():.3f} ({low:.3f} to {high:.3f})"
            writer = f"{won_by_writer[chosen].mean():.3f}"
            yield f"| {label} | {chosen.sum()} | {judge} | {writer} |"


def _prefixes(figures: Figures) -> Iterator[str]:
    judged = figures.judged
    yield "## How far the reward model's probabilities can be believed"
    yield ""
    yield "The score against the checker's verdict on the prefix (every step right), prefixes"
    yield "counted as often as they were sampled at temperature 1: AUC over problems and prefixes"
    yield "together, and expected calibration error."
    yield ""
    yield "| depth | prefixes | right | AUC | calibration error |"
    yield "| --- | --- | --- | --- | --- |"
    for label, chosen in _by_depth(judged.depth):
        part = judged.where(chosen)
        if part.sampled.sum() >= FEWEST:
            share = np.average(part.right, weights=part.sampled)
            cells = f"{share:.2f} | {auc(part):.3f} | {calibration_error(part):.3f}"
            yield f"| {label} | {part.sampled.sum()} | {cells} |"


def _by_depth(depth: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "all", np.ones(len(depth), dtype=bool)
    for each in np.unique(depth):
        yield str(each), depth == each


def _writing(figures: Figures) -> Iterator[str]:
    yield "## What the language model writes"
    yield ""
    fewer = max(2, figures.samples // 8)
    yield f"The same problems: {figures.samples} solutions of each at temperature 1, {fewer} at"
    yield "others."
    yield ""
    yield "| computed quantities | " + " | ".join(map(str, LENGTHS)) + " | all |"
    yield "| --- |" + " --- |" * (len(LENGTHS) + 1)
    for temperature, written in figures.written.items():
        yield _row(f"right answers at temperature {temperature}", written.right)
    plain = figures.written[1.0]
    yield _row(f"some right answer among {figures.samples}", plain.any_right)
    yield _row(f"majority vote of {figures.samples}", plain.voted)
    yield ""
    total = sum(plain.slips.values())
    shares = [
        f"{kind} {count / total:.2f}"
        for kind, count in sorted(plain.slips.items(), key=lambda item: -item[1])
    ]
    yield f"The first error of a solution is: {', '.join(shares)}."


def _row(label: str, shares: Sequence[float]) -> str:
    return (
        f"| {label} | "
        + " | ".join(f"{share:.2f}" for share in [*shares, float(np.mean(shares))])
        + " |"
    )


def _curves(figures: Figures) -> Iterator[str]:
    yield "## Learning curves"
    yield ""
    yield "How well siblings are ranked (AUC, validation split): by the language model's mean"
    yield "log-probability of a token, after so many updates of its training; and by the reward"
    yield "model, after so many labels (against rollout labels, not the checker)."
    yield ""
    for label, curve in (("updates", figures.writer_curve), ("labels", figures.labels_curve)):
        yield f"| {label} | " + " | ".join(f"{x:,}" for x in curve) + " |"
        yield "| --- |" + " --- |" * len(curve)
        yield "| AUC | " + " | ".join(f"{y:.3f}" for y in curve.values()) + " |"
        yield ""
