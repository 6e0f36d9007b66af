"""Power targets at equal tokens: replica exchange beside power SMC and power Metropolis.

The target is p(x)^alpha, without a reward model, as those who published power sampling have it
(Karan and Du 2025, arXiv:2510.14901; Azizi et al. 2026, arXiv:2602.10273). Parallel power tempering
(arXiv:2609.38104), here `ReplicaExchange` over powers of the prior from alpha to 1, is claimed to
be better than both. All three may generate as many tokens: what power SMC with `--particles` takes
on the question; chains end at the first iteration that reaches it, one chain each, no warm-up.

Said of each, in the mean over questions and runs: tokens, the total variation of its answers to a
reference's, by how much the mean of log p is off in nats, and the probability of the right answer
(on the pocket); then what replica exchange has more of each error than the others, with 95%
intervals by a bootstrap over questions, then runs. The reference pools `--references` runs of power
SMC by their evidence, eight times as large each; the total variation between two halves of them
says how well it is known.

Run: python benchmarks/power_targets.py --questions 8 --runs 6 --particles 32
     python benchmarks/power_targets.py --lm smollm2 --problems GSM8K_TEST.jsonl --questions 3 \
         --runs 4 --particles 8 --max-steps 3
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from delayed_acceptance import total_variation
from drafts import add_options, setting

import motes
from motes.ppl import Posterior, pool
from motes.samplers import PowerMetropolis, PowerSMC, ReplicaExchange

MEASURES = ("total variation", "error of the mean of log p", "probability of the right answer")
DEEP = 10_000  # iterations, which a budget ends


def main() -> None:
    """Print a line for each sampler, and the differences."""
    parser = argparse.ArgumentParser(description="Power targets at equal tokens.")
    add_options(parser)
    parser.add_argument("--alpha", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--particles", type=int, default=32)
    parser.add_argument("--references", type=int, default=4)
    options = parser.parse_args()
    models, questions, right, _ = setting(options)
    declared = models | {"prm": None, "alpha": options.alpha}
    references, halves = [], []
    for question in questions:
        ask = {"sampler": PowerSMC(particles=8 * options.particles), **declared}
        runs = [motes.solve(question, seed=1000 + i, **ask) for i in range(options.references)]
        parts = [pool(runs[::2]), pool(runs[1::2])]
        halves.append(total_variation(parts[0].answers, parts[1].answers))
        references.append(pool(runs))
    print(f"{len(questions)} questions, {options.runs} runs; halves apart {np.mean(halves):.3f}")
    chain: dict[str, Any] = {"chains": 1, "starts": 2, "warmup": 0, "iterations": DEEP}
    budgets: list[int] = []
    found: dict[str, np.ndarray] = {}
    for name in ("power SMC", "power Metropolis", "replica exchange"):
        rows = []
        for i, question in enumerate(questions):
            sampler: Any = PowerSMC(particles=options.particles)
            if name == "power Metropolis":
                sampler = PowerMetropolis(**chain, budget=budgets[i])
            elif name == "replica exchange":
                sampler = ReplicaExchange(
                    betas=(1.0, 0.5, 0.0), tuned=False, **chain, budget=budgets[i]
                )
            drawn: Sequence[Any] = motes.solve_many(
                [question] * options.runs, sampler=sampler, seed=i, **declared
            )
            if name == "power SMC":
                budgets.append(round(np.mean([x.cost.generated_tokens for x in drawn])))
            rows.append([errors(x, references[i], right[i]) for x in drawn])
        found[name] = np.array(rows)
        tokens, *means = found[name].mean((0, 1))
        told = ", ".join(f"{m} {x:.3f}" for m, x in zip(MEASURES, means, strict=True))
        print(f"  {name:18} {tokens:.0f} tokens, {told}", flush=True)
    for name in ("power SMC", "power Metropolis"):
        more = (found["replica exchange"] - found[name])[..., 1:]
        low, high = np.quantile(resampled(more), [0.025, 0.975], axis=0)
        told = zip(MEASURES, more.mean((0, 1)), low, high, strict=True)
        words = "; ".join(f"{m} {x:+.3f} ({a:+.3f} to {b:+.3f})" for m, x, a, b in told)
        print(f"  replica exchange minus {name}: {words}")


def resampled(values: np.ndarray, resamples: int = 2000) -> np.ndarray:
    """Return means over questions and runs, both drawn again, shape (resamples, measures)."""
    random, (questions, runs, _) = np.random.default_rng(0), values.shape
    rows = random.integers(questions, size=(resamples, questions, 1))
    picked = random.integers(runs, size=(resamples, questions, runs))
    return values[rows, picked].mean((1, 2))


def errors(posterior: Posterior, reference: Posterior, right: str) -> list[float]:
    """Return a run's tokens, how far it is from the reference, and what the right answer has."""
    return [
        posterior.cost.generated_tokens,
        total_variation(posterior.answers, reference.answers),
        abs(mean_log_p(posterior) - mean_log_p(reference)),
        posterior.answers.get(right, 0.0),
    ]


def mean_log_p(posterior: Posterior) -> float:
    """Return the mean of log p over a posterior, in nats."""
    logs = np.array([x.logprob for x in posterior.trajectories])
    weights = np.exp(posterior.log_weights)
    return float(weights[weights > 0] @ logs[weights > 0])


if __name__ == "__main__":
    main()
