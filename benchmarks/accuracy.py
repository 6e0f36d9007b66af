"""Held-out accuracy of the pocket against the number of generated solutions.

200 problems of the test split (2 to 8 steps, uniformly), the prior declared at temperature 0.8. For n solutions: one
sample; the majority of n independent samples; a particle filter with n particles over the reward model, target
`product`, whose answer is the most probable one. Votes and posteriors under None (no readable answer) count as wrong.
Intervals are 95% credible, from Jeffreys' prior.

Run: python benchmarks/accuracy.py [--problems 200]
"""

from __future__ import annotations

import argparse
import time
from itertools import islice

from scipy.stats import beta

import motes
from motes.models import Sampling
from motes.models.pocket import Problem, problems
from motes.samplers import AllParticlesDead

PRIOR = Sampling(temperature=0.8)
SIZES = (1, 4, 16, 64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=200)
    count = parser.parse_args().problems
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    right: dict[str, dict[int, list[bool]]] = {"majority vote": {n: [] for n in SIZES}, "particle filter": {n: [] for n in SIZES}}
    tokens = {name: dict.fromkeys(SIZES, 0) for name in right}
    began = time.perf_counter()
    for i, problem in enumerate(islice(problems("test", seed=0), count)):
        for name, judge in (("majority vote", None), ("particle filter", prm)):
            for n in SIZES:
                try:
                    posterior = motes.solve(problem.question, lm=lm, prm=judge, particles=n, seed=i, prior=PRIOR)
                except AllParticlesDead:
                    right[name][n].append(False)
                    continue
                right[name][n].append(_right(problem, posterior.answer))
                tokens[name][n] += posterior.cost.generated_tokens
        if (i + 1) % 20 == 0:
            print(f"{i + 1} problems, {time.perf_counter() - began:.0f} s", flush=True)
    print("\n| solutions | " + " | ".join(map(str, SIZES)) + " |\n| --- |" + " --- |" * len(SIZES))
    single = right["majority vote"][1]
    print(f"| single sample | {_interval(single)} |" + " |" * (len(SIZES) - 1))
    for name, by_size in right.items():
        print(f"| {name} | " + " | ".join(_interval(by_size[n]) for n in SIZES) + " |")
    for name, by_size in tokens.items():
        print(f"| tokens a problem, {name} | " + " | ".join(f"{by_size[n] / count:.0f}" for n in SIZES) + " |")


def _right(problem: Problem, answer: str | None) -> bool:
    return answer is not None and answer == str(problem.answer)


def _interval(outcomes: list[bool]) -> str:
    low, high = beta.ppf([0.025, 0.975], sum(outcomes) + 0.5, len(outcomes) - sum(outcomes) + 0.5)
    return f"{sum(outcomes) / len(outcomes):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
