"""Held-out figures of the pocket reasoner, by number of steps and by depth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import jax
import numpy as np
from scipy.stats import rankdata

from ...language.torch_lm import TorchLM
from ...reward.torch_prm import TorchPRM
from ...sampling import Sampling
from ...trajectory import Trajectory
from ..problems import MAX_STEPS, MIN_STEPS, problems
from .solutions import complete, solved


class Judged(NamedTuple):
    """One step of a sampled solution.

    Attributes:
        depth: 1 for the first step.
        right: whether the prefix that it ends is right, every step of it, by the checker.
        score: the reward model's probability.
    """

    depth: int
    right: bool
    score: float


class Figures(NamedTuple):
    """What was measured.

    Attributes:
        problems_each: problems for each number of steps.
        accuracy: by temperature, by the problem's number of steps: the share of single samples that
            reach the answer.
        judged: steps of solutions sampled at temperature 1.
    """

    problems_each: int
    accuracy: dict[float, dict[int, float]]
    judged: tuple[Judged, ...]


def evaluate(lm: TorchLM, prm: TorchPRM, *, split: str, each: int, seed: int) -> Figures:
    """Sample one solution to `each` problems of every length; judge those of temperature 1."""
    accuracy: dict[float, dict[int, float]] = {0.8: {}, 1.0: {}}
    judged: list[Judged] = []
    for steps in range(MIN_STEPS, MAX_STEPS + 1):
        batch = list(islice(problems(split, seed=seed, steps=steps), each))
        written: list[Trajectory] = []
        for temperature, by_steps in accuracy.items():
            key = jax.random.fold_in(jax.random.key(seed), int(1000 * temperature) + steps)
            written = complete(
                lm,
                [lm.start(problem.question) for problem in batch],
                key,
                prior=Sampling(temperature=temperature),
            )
            by_steps[steps] = float(
                np.mean(
                    [
                        solved(problem, trajectory)
                        for problem, trajectory in zip(batch, written, strict=True)
                    ]
                )
            )
        nodes = [node for trajectory in written for node in trajectory.path[1:]]
        scores = iter(1 / (1 + np.exp(-prm.score(nodes))))
        for problem, trajectory in zip(batch, written, strict=True):
            right = np.logical_and.accumulate(problem.check(trajectory.steps))
            judged += [
                Judged(depth, bool(verdict), float(next(scores)))
                for depth, verdict in enumerate(right, start=1)
            ]
    return Figures(each, accuracy, tuple(judged))


def auc(judged: Sequence[Judged]) -> float:
    """Area under the receiver operating characteristic.

    The chance that a right prefix outscores a wrong one.

    NaN where all prefixes are of one kind.
    """
    right = np.array([item.right for item in judged])
    ranks = rankdata([item.score for item in judged])
    positive, negative = right.sum(), (~right).sum()
    return (
        float((ranks[right].sum() - positive * (positive + 1) / 2) / (positive * negative))
        if positive and negative
        else float("nan")
    )


def calibration_error(judged: Sequence[Judged], bins: int = 10) -> float:
    """Expected calibration error.

    The mean gap between score and share of right prefixes over `bins` bins of equal width.
    """
    scores, right = (
        np.array([item.score for item in judged]),
        np.array([item.right for item in judged], dtype=float),
    )
    place = np.minimum((scores * bins).astype(int), bins - 1)
    return float(
        sum(abs((scores[place == b] - right[place == b]).sum()) for b in range(bins)) / len(judged)
    )


def card(figures: Figures, *, lm_parameters: int, prm_parameters: int, made: str) -> str:
    """The model card, in Markdown."""
    depths = sorted({item.depth for item in figures.judged})
    lines = [
        "# The pocket reasoner",
        "",
        (
            "A language model and a process reward model small enough to ship, for problems made "
            "by "
            "`problems.py`. They are for"
        ),
        (
            "learning, testing and experiments: they know nothing but these problems, and they "
            "err on "
            "purpose."
        ),
        "",
        (
            f"- `lm/`: a Llama with {lm_parameters:,} parameters. Training: "
            "`recipe/language_model.py`."
        ),
        (
            f"- `prm/`: a token classifier with {prm_parameters:,} parameters that started from "
            "the "
            "language model's weights and learnt"
        ),
        (
            "  whether any of four rollouts from a step's end reaches the answer. The checker of "
            "steps took no part in its"
        ),
        "  training. Training: `recipe/rollouts.py`, `recipe/reward_model.py`.",
        f"- Made by `make pocket`: {made}.",
        "",
        "## Held-out figures",
        "",
        (
            f"Test split (structures that training never saw), {figures.problems_each} problems "
            "for "
            "each number of steps, one sample"
        ),
        (
            "each; the standard error of a share is at most "
            f"{0.5 / figures.problems_each**0.5:.3f} "
            "in a column and"
        ),
        f"{0.5 / (7 * figures.problems_each) ** 0.5:.3f} overall.",
        "",
        "| computed quantities | "
        + " | ".join(map(str, range(MIN_STEPS, MAX_STEPS + 1)))
        + " | all |",
        "| --- |" + " --- |" * (MAX_STEPS - MIN_STEPS + 2),
    ]
    for temperature, by_steps in figures.accuracy.items():
        cells = [*by_steps.values(), float(np.mean(list(by_steps.values())))]
        lines.append(
            f"| right answers at temperature {temperature} | "
            + " | ".join(f"{cell:.2f}" for cell in cells)
            + " |"
        )
    lines += [
        "",
        (
            "The reward model against the checker's verdict on the prefix, on the samples at "
            "temperature 1. A right prefix from"
        ),
        (
            "which no rollout reached the answer was taught as wrong, so that on hard problems "
            "scores "
            "are too low: the calibration"
        ),
        "error says how far a score is from the probability that the prefix is right.",
        "",
        "| depth | steps | right | AUC | calibration error |",
        "| --- | --- | --- | --- | --- |",
    ]
    for label, chosen in [
        *((str(d), [item for item in figures.judged if item.depth == d]) for d in depths),
        ("all", list(figures.judged)),
    ]:
        share = np.mean([item.right for item in chosen])
        lines.append(
            f"| {label} | {len(chosen)} | {share:.2f} | {auc(chosen):.3f} | "
            f"{calibration_error(chosen):.3f} |"
        )
    return "\n".join([*lines, ""])
