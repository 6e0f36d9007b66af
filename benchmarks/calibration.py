"""What calibration does to the pocket's step scores, and to the answers of a particle filter.

*Labels*: one solution to each of 300 validation problems, sampled from the prior,
its steps judged by the problem's exact checker up to and including the first wrong one. So *right*
means: states a true value, by the rule that defines it, all earlier steps being right. (The reward
model was trained on something else: whether any of four rollouts from there reaches the answer.)

*Steps*: log-loss (nats), Brier score and expected calibration error (ten bins) of the steps of
solutions to 300 test problems, judged likewise: of the reward model's own probabilities, of the
calibrated ones, and of the share of right steps at each depth among the labels, which looks at no
score. *Solutions*: the same of the probability that a whole solution is right (the product of its
steps'; for the reward model also its last step's).

*Answers*: a filter with 16 particles, target `product`, on 200 test problems: accuracy, and how far
the probability of its most probable answer can be believed. A probability is at least 1/(2 x 16)
and at most 1 less that, without which one certainty in error makes the log-loss infinite; a filter
without any answer counts as wrong, and as having given 0.

Intervals are 95%: of accuracy credible, from Jeffreys' prior, else by the bootstrap over problems,
paired where two are compared. The fit, the answers and the figures are kept in build/calibration/;
fit and answers are not computed again.

Run: python benchmarks/calibration.py [--problems 200] [--labelled 300] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
import xarray
from scipy.stats import beta

import motes
from motes.models import RewardModel, Sampling, Trajectory
from motes.models.pocket import Problem, problems
from motes.models.pocket.recipe.solutions import complete
from motes.ppl.calibration import (
    CalibratedReward,
    LabelledStep,
    bins,
    brier,
    calibrate,
    calibration_error,
    log_loss,
)
from motes.samplers import AllParticlesDead

KEPT = Path(__file__).parents[1] / "build" / "calibration"
PRIOR = Sampling()
PARTICLES = 16
RESAMPLES = 2000

Scorer = Callable[[Sequence[Trajectory]], np.ndarray]


class Column(NamedTuple):
    """Log-odds that somebody gave n events, whether they came true, and each event's problem."""

    log_odds: np.ndarray
    right: np.ndarray
    problem: np.ndarray


def main() -> None:
    """Print the tables, and keep the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--labelled", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    labelled = [
        step
        for problem, x in solutions(lm, "validation", args.labelled)
        for step in judged(problem, x)
    ]
    KEPT.mkdir(parents=True, exist_ok=True)
    reward = kept_fit(prm, labelled, KEPT / f"fit-{args.labelled}.nc")
    draws = reward.calibration.draws
    print("wrong with the fit:", reward.calibration.check() or "nothing")
    parameters = {
        name: [float(draws[name].mean()), float(draws[name].std())]
        for name in draws
        if draws[name].ndim == 2
    }
    print(", ".join(f"{name} {mean:.2f} ± {sd:.2f}" for name, (mean, sd) in parameters.items()))
    figures: dict[str, Any] = {"labelled": len(labelled), "parameters": parameters}
    held_out, by_depth = solutions(lm, "test", args.labelled), share_by_depth(labelled)
    scores = {
        "before": prm.score,
        "after": reward.score,
        "share at this depth": lambda path: np.array([by_depth(x) for x in path]),
    }
    figures["steps"] = table(
        "steps", {name: of_steps(score, held_out) for name, score in scores.items()}
    )
    whole = {
        name: of_solutions(lambda path, score=score: product(score(path)), held_out)
        for name, score in scores.items()
    }
    whole["before, last step alone"] = of_solutions(
        lambda path: float(prm.score(path)[-1]), held_out
    )
    figures["solutions"] = table("solutions", whole)
    asked, answers = list(islice(problems("test", seed=0), args.problems)), {}
    for name, model in {"before": prm, "after": reward, "no reward model": None}.items():
        path = KEPT / f"{name.replace(' ', '_')}-{args.labelled}-{args.problems}.json"
        answers[name] = of_answers(asked, kept_answers(lm, model, asked, path))
    figures["answers"] = table("answers", {name: column for name, (column, _) in answers.items()})
    figures["accuracy"] = accuracy(
        {name: (column.right, of_truth) for name, (column, of_truth) in answers.items()}
    )
    figures["diagrams"] = diagrams({name: column for name, (column, _) in answers.items()})
    (KEPT / "figures.json").write_text(json.dumps(figures, indent=1))


def solutions(lm: Any, split: str, count: int) -> list[tuple[Problem, Trajectory]]:
    """One sampled solution to each problem."""
    batch = list(islice(problems(split, seed=0), count))
    return list(
        zip(
            batch,
            complete(
                lm,
                [lm.start(problem.question) for problem in batch],
                jax.random.key(1),
                prior=PRIOR,
            ),
            strict=True,
        )
    )


def judged(problem: Problem, x: Trajectory) -> list[LabelledStep]:
    """The solution's steps up to and including the first wrong one."""
    right = problem.check(x.steps)
    upto = right.index(False) + 1 if False in right else len(right)
    return [
        LabelledStep(node, verdict)
        for node, verdict in zip(x.path[1 : upto + 1], right, strict=False)
    ]


def of_steps(score: Scorer, held_out: Sequence[tuple[Problem, Trajectory]]) -> Column:
    """What is told of held-out steps, those that are judged."""
    steps = [judged(problem, x) for problem, x in held_out]
    told = [
        score(x.path[1:])[: len(of_one)] for (_, x), of_one in zip(held_out, steps, strict=True)
    ]
    right = [step.right for of_one in steps for step in of_one]
    return Column(
        np.concatenate(told),
        np.array(right),
        np.repeat(np.arange(len(steps)), [len(of_one) for of_one in steps]),
    )


def of_solutions(
    log_odds: Callable[[Sequence[Trajectory]], float],
    held_out: Sequence[tuple[Problem, Trajectory]],
) -> Column:
    """What is told of whole solutions."""
    right = [all(problem.check(x.steps)) and x.finished for problem, x in held_out]
    return Column(
        np.array([log_odds(x.path[1:]) for _, x in held_out]),
        np.array(right),
        np.arange(len(held_out)),
    )


def kept_fit(prm: RewardModel, labelled: Sequence[LabelledStep], path: Path) -> CalibratedReward:
    """The calibrated reward model, fitted if it is not there yet."""
    if not path.exists():
        began = time.perf_counter()
        calibrate(prm, labelled, draws=2000).calibration.to_datatree().to_netcdf(
            path, engine="h5netcdf"
        )
        print(f"fitted to {len(labelled)} steps in {time.perf_counter() - began:.0f} s", flush=True)
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        return CalibratedReward.from_datatree(prm, tree.load())


def kept_answers(
    lm: Any, prm: RewardModel | None, asked: Sequence[Problem], path: Path
) -> list[dict[str, float]]:
    """Give the answers' probabilities in each problem, computed if they are not there yet.

    No answer is called "None".
    """
    if not path.exists():
        questions = [problem.question for problem in asked]
        solved = motes.solve_many(
            questions,
            lm=lm,
            prm=prm,
            prior=PRIOR,
            particles=PARTICLES,
            seed=0,
            at_once=40,
            dead="keep",
        )
        lm.drop_cache()
        answers = [
            {} if isinstance(one, AllParticlesDead) else {str(a): p for a, p in one.answers.items()}
            for one in solved
        ]
        path.write_text(json.dumps(answers))
    return json.loads(path.read_text())


def of_answers(
    asked: Sequence[Problem], answers: Sequence[dict[str, float]]
) -> tuple[Column, np.ndarray]:
    """Give what a filter says of its most probable answers, and the probability of the right."""
    best = [
        max(((p, a) for a, p in one.items() if a != "None"), default=(0.0, None)) for one in answers
    ]
    right = np.array(
        [answer == str(problem.answer) for (_, answer), problem in zip(best, asked, strict=True)]
    )
    p = np.clip([p for p, _ in best], 1 / (2 * PARTICLES), 1 - 1 / (2 * PARTICLES))
    of_truth = np.array(
        [one.get(str(problem.answer), 0.0) for one, problem in zip(answers, asked, strict=True)]
    )
    return Column(np.log(p / (1 - p)), right, np.arange(len(asked))), of_truth


def share_by_depth(labelled: Sequence[LabelledStep]) -> Callable[[Trajectory], float]:
    """Log-odds of the share of right steps at a trajectory's depth, one of either kind added."""
    counts: dict[int, list[int]] = {}
    for step in labelled:
        counts.setdefault(step.trajectory.depth, [1, 1])[step.right] += 1
    return lambda x: float(np.log(counts.get(x.depth, [1, 1])[1] / counts.get(x.depth, [1, 1])[0]))


def product(log_odds: np.ndarray) -> float:
    """Log-odds of the product of probabilities."""
    log_p = -np.logaddexp(0.0, -log_odds).sum()
    return float(log_p - np.log(-np.expm1(log_p)))


def table(name: str, columns: dict[str, Column]) -> dict[str, Any]:
    """Print and return the measures of each column, and of the difference by calibration.

    With bootstrap intervals.
    """
    random = np.random.default_rng(0)
    problem = next(iter(columns.values())).problem
    members = [np.flatnonzero(problem == i) for i in range(problem.max() + 1)]
    rows = [
        np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
        for _ in range(RESAMPLES)
    ]
    found = {
        label: [measures(column)] + [measures(column, some) for some in rows]
        for label, column in columns.items()
    }
    found["after - before"] = list(np.subtract(found["after"], found["before"]))
    print(
        f"\n| {name} ({len(problem)}) | right | log-loss | Brier | ECE |\n| --- | --- | --- | --- "
        "| --- |"
    )
    kept = {}
    for label, (values, *resampled) in found.items():
        ends = np.quantile(resampled, [0.025, 0.975], axis=0).T.tolist()
        print(
            f"| {label} | "
            + " | ".join(
                f"{value:.3f} ({low:.3f} to {high:.3f})"
                for value, (low, high) in zip(values, ends, strict=True)
            )
            + " |"
        )
        kept[label] = {"values": list(map(float, values)), "95%": ends}
    return kept


def measures(column: Column, rows: Any = slice(None)) -> list[float]:
    """Share of what came true, log-loss, Brier score and calibration error of some rows."""
    log_odds, right = column.log_odds[rows], column.right[rows]
    p = 1 / (1 + np.exp(-log_odds))
    return [
        float(right.mean()),
        log_loss(log_odds, right),
        brier(p, right),
        calibration_error(p, right),
    ]


def accuracy(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Print and return how often the most probable answer is right.

    And the mean probability of the right one.
    """
    print("\n| answers | accuracy | mean probability of the right answer |\n| --- | --- | --- |")
    kept = {}
    for name, (right, of_truth) in found.items():
        low, high = beta.ppf([0.025, 0.975], right.sum() + 0.5, (~right).sum() + 0.5)
        half = 1.96 * of_truth.std() / len(of_truth) ** 0.5
        print(
            f"| {name} | {right.mean():.2f} ({low:.2f} to {high:.2f}) | {of_truth.mean():.3f} ± "
            f"{half:.3f} |"
        )
        kept[name] = {"accuracy": [right.mean(), low, high], "probability": [of_truth.mean(), half]}
    (before, p), (after, q) = found["before"], found["after"]
    print(
        f"\nmean probability of the right answer, after - before: {(q - p).mean():+.3f} ± "
        f"{1.96 * (q - p).std() / len(p) ** 0.5:.3f}"
    )
    print(
        f"right after and not before: {np.sum(after & ~before)}; before and not after: "
        f"{np.sum(before & ~after)}"
    )
    return kept


def diagrams(columns: dict[str, Column]) -> dict[str, Any]:
    """Print and return reliability diagrams of the most probable answers, in five bins."""
    found = {
        name: bins(1 / (1 + np.exp(-column.log_odds)), column.right, 5)
        for name, column in columns.items()
    }
    print("\nprobability of the most probable answer -> share right (problems)")
    for name, diagram in found.items():
        print(
            f"{name}: "
            + ", ".join(f"{one.probability:.2f} -> {one.share:.2f} ({one.size})" for one in diagram)
        )
    return {name: [one._asdict() for one in diagram] for name, diagram in found.items()}


if __name__ == "__main__":
    main()
