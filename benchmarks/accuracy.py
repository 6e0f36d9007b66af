"""Held-out accuracy of the pocket against the number of generated solutions.

200 problems of the test split (2 to 8 steps, uniformly), the prior declared at temperature 0.8. For
n solutions: one sample; the majority of n independent samples (the first n of 64); a particle
filter with n particles over the reward model, target `product`, whose answer is the most probable
one. Votes and posteriors under None (no readable answer) count as wrong. Intervals are 95%
credible, from Jeffreys' prior.

Run: python benchmarks/accuracy.py [--problems 200]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from scipy.stats import beta

import motes
from motes.models import Sampling
from motes.models.pocket import problems
from motes.samplers import AllParticlesDead

PRIOR = Sampling(temperature=0.8)
SIZES = (1, 4, 16, 64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=200)
    count = parser.parse_args().problems
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    right: dict[str, dict[int, list[bool]]] = {
        "majority vote": {n: [] for n in SIZES},
        "particle filter": {n: [] for n in SIZES},
    }
    tokens = {name: dict.fromkeys(SIZES, 0) for name in right}
    began = time.perf_counter()
    for i, problem in enumerate(islice(problems("test", seed=0), count)):
        draws = motes.solve(
            problem.question, lm=lm, prm=None, particles=max(SIZES), seed=i, prior=PRIOR
        )
        for n in SIZES:  # independent draws, so that the first n are n draws
            right["majority vote"][n].append(_vote(draws.labels[:n]) == str(problem.answer))
            tokens["majority vote"][n] += sum(
                len(trajectory.token_ids) for trajectory in draws.trajectories[:n]
            )
            try:
                posterior = motes.solve(
                    problem.question, lm=lm, prm=prm, particles=n, seed=i, prior=PRIOR
                )
            except AllParticlesDead:
                right["particle filter"][n].append(False)
                continue
            right["particle filter"][n].append(posterior.answer == str(problem.answer))
            tokens["particle filter"][n] += posterior.cost.generated_tokens
        if (i + 1) % 20 == 0:
            print(f"{i + 1} problems, {time.perf_counter() - began:.0f} s", flush=True)
    print("\n| solutions | " + " | ".join(map(str, SIZES)) + " |\n| --- |" + " --- |" * len(SIZES))
    single = right["majority vote"][1]
    print(f"| single sample | {_interval(single)} |" + " |" * (len(SIZES) - 1))
    for name, by_size in right.items():
        print(f"| {name} | " + " | ".join(_interval(by_size[n]) for n in SIZES) + " |")
    for name, by_size in tokens.items():
        print(
            f"| tokens a problem, {name} | "
            + " | ".join(f"{by_size[n] / count:.0f}" for n in SIZES)
            + " |"
        )


def _vote(labels: Sequence[str | None]) -> str | None:
    """The commonest answer, the earlier of equals."""
    counts = Counter(label for label in labels if label is not None)
    return counts.most_common(1)[0][0] if counts else None


def _interval(outcomes: list[bool]) -> str:
    low, high = beta.ppf([0.025, 0.975], sum(outcomes) + 0.5, len(outcomes) - sum(outcomes) + 0.5)
    return f"{sum(outcomes) / len(outcomes):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
