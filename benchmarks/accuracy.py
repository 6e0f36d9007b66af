"""Held-out accuracy of the pocket against the number of generated solutions.

500 problems of the test split (2 to 8 steps, uniformly), the prior at temperature 1, as the card
declares it. For n solutions: one sample; the majority of n independent samples (the first n of 64);
the best of the same n by the reward model, by its score of the last step and by the product over
all steps; a particle filter with n
particles over the reward model, target `product`, whose answer is the most probable one. Votes and
posteriors under None (no readable answer) count as wrong. Intervals are 95%: of accuracies from
Jeffreys' prior, of differences by a bootstrap over problems, since all methods answer the same.

Run: python benchmarks/accuracy.py [--problems 500]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np

import motes
from motes.frequencies import jeffreys
from motes.log_odds import log_sigmoids
from motes.models import RewardModel, Trajectory
from motes.models.pocket import problems
from motes.samplers import AllParticlesDead

SIZES = (1, 4, 16, 64)
METHODS = ("majority vote", "best of n, last", "best of n, product", "particle filter")
RESAMPLES = 10_000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=500)
    count = parser.parse_args().problems
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    right = {name: {n: np.zeros(count, bool) for n in SIZES} for name in METHODS}
    tokens = {name: {n: np.zeros(count, int) for n in SIZES} for name in METHODS}
    began = time.perf_counter()
    for i, problem in enumerate(islice(problems("test", seed=0), count)):
        answer = str(problem.answer)
        draws = motes.solve(problem.question, lm=lm, prm=None, particles=max(SIZES), seed=i)
        scores = _scores(prm, draws.trajectories)
        for n in SIZES:  # independent draws, so that the first n are n draws
            right["majority vote"][n][i] = _vote(draws.labels[:n]) == answer
            for name, score in scores.items():
                right[name][n][i] = draws.labels[int(np.argmax(score[:n]))] == answer
            generated = sum(len(trajectory.token_ids) for trajectory in draws.trajectories[:n])
            tokens["majority vote"][n][i] = generated
            try:
                posterior = motes.solve(problem.question, lm=lm, prm=prm, particles=n, seed=i)
            except AllParticlesDead:
                continue
            right["particle filter"][n][i] = posterior.answer == answer
            tokens["particle filter"][n][i] = posterior.cost.generated_tokens
        if (i + 1) % 20 == 0:
            print(f"{i + 1} problems, {time.perf_counter() - began:.0f} s", flush=True)
    print("\n| solutions | " + " | ".join(map(str, SIZES)) + " |\n| --- |" + " --- |" * len(SIZES))
    for name, by_size in right.items():
        print(f"| {name} | " + " | ".join(_interval(by_size[n]) for n in SIZES) + " |")
    for name in ("majority vote", "particle filter"):
        cells = " | ".join(f"{tokens[name][n].mean():.0f}" for n in SIZES)
        print(f"| tokens a problem, {name} | {cells} |")
    most = max(SIZES)
    for other in METHODS[:-1]:
        difference = right["particle filter"][most] - right[other][most].astype(float)
        print(f"particle filter minus {other} at {most}: {_difference(difference)}")


def _scores(prm: RewardModel, trajectories: Sequence[Trajectory]) -> dict[str, np.ndarray]:
    """The score of each trajectory's last step, and the sum over its steps of log r."""
    sums = [log_sigmoids(prm.score(trajectory.path[1:])).sum() for trajectory in trajectories]
    return {"best of n, last": prm.score(trajectories), "best of n, product": np.array(sums)}


def _difference(values: np.ndarray) -> str:
    """A mean over problems with its 95% bootstrap interval."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def _vote(labels: Sequence[str | None]) -> str | None:
    """The commonest answer, the earlier of equals."""
    counts = Counter(label for label in labels if label is not None)
    return counts.most_common(1)[0][0] if counts else None


def _interval(right: np.ndarray) -> str:
    """An accuracy with its credible interval."""
    low, high = jeffreys(right.sum(), len(right))
    return f"{right.mean():.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
