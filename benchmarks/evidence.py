"""What filters lose, and how chains mix: the spread of log Z-hat, and draws' worth, per token.

Each problem of the pocket is solved by every filter in `--runs` independent runs, sized so that
they write about as many tokens, and by chains of as many tokens. Printed are the standard deviation
of log Z-hat between the runs, averaged over problems, tokens of a run, and their product's
*tokens for a variance of one* (variance times tokens: less is better); for chains the effective
sample size of the log-density in 1,000 tokens.

Run: python benchmarks/evidence.py [--problems 2] [--runs 12] [--threads 1]
"""

from __future__ import annotations

import argparse
from itertools import islice
from typing import Any

import numpy as np
import torch

import motes
from motes.models.pocket import problems
from motes.ppl import Posterior

FILTERS: dict[str, dict[str, Any]] = {
    "particle filter": {"sampler": "particle_filter", "particles": 16},
    "adaptive number": {"sampler": "adaptive_particle_filter", "particles": 24},
    "auxiliary": {
        "sampler": "auxiliary_particle_filter",
        "particles": 8,
        "rollouts": 1,
        "ahead": 1,
    },
    "rejection": {"sampler": "rejection_smc", "particles": 4},
}
CHAINS: dict[str, dict[str, Any]] = {
    "parallel tempering": {"sampler": "parallel_tempering", "betas": (1.0, 0.4)},
    "replica exchange": {"sampler": "replica_exchange", "betas": (1.0, 0.4)},
    "replica exchange, horizon of 8": {
        "sampler": "replica_exchange",
        "betas": (1.0, 0.4),
        "cut": "horizon",
        "horizon": 8,
    },
    "power Metropolis, alpha 2": {"sampler": "power_metropolis", "alpha": 2.0},
    "replica exchange, alpha 2": {
        "sampler": "replica_exchange",
        "betas": (1.0, 0.0),
        "alpha": 2.0,
    },
}


def main() -> None:
    """Run everything, and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=2)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    models = {"lm": motes.load_lm("pocket"), "prm": motes.load_prm("pocket")}
    questions = [problem.question for problem in islice(problems("test", seed=0), args.problems)]
    print("| filter | sd of log Z-hat | tokens of a run | variance times tokens |")
    print("| --- | --- | --- | --- |", flush=True)
    for name, settings in FILTERS.items():
        print(f"| {name} | {spread(questions, args.runs, settings | models)} |", flush=True)
    print("\n| chains | ESS of the log-density in 1,000 tokens | swaps | round trips |")
    print("| --- | --- | --- | --- |", flush=True)
    for name, settings in CHAINS.items():
        print(f"| {name} | {mixing(questions, args.runs, settings | models)} |", flush=True)


def spread(questions: list[str], runs: int, settings: dict[str, Any]) -> str:
    """Return the cells of a filter's row.

    The log-evidence of a run whose particles all died is minus infinity: such runs are left out of
    the spread, and are counted beside it.
    """
    deviations, tokens, died = [], [], 0
    for question in questions:
        kept = motes.solve_many([question] * runs, dead="keep", at_once=runs, **settings)
        alive = [posterior for posterior in kept if isinstance(posterior, Posterior)]
        died += len(kept) - len(alive)
        evidences = [p.log_evidence for p in alive if p.log_evidence is not None]
        deviations.append(np.std(evidences, ddof=1))
        tokens.append(np.mean([p.cost.generated_tokens for p in alive]))
    variance = np.mean(np.square(deviations))
    besides = f" ({died} runs died)" if died else ""
    cells = f"{np.mean(tokens):,.0f} | {variance * np.mean(tokens):,.0f}"
    return f"{variance**0.5:.2f}{besides} | {cells}"


def mixing(questions: list[str], chains: int, settings: dict[str, Any]) -> str:
    """Return the cells of a row of chains."""
    worth, rates, trips = [], [], 0
    for question in questions:
        posterior = motes.solve(
            question, chains=chains, warmup=8, iterations=20, seed=0, **settings
        )
        effective = posterior.mixing["log_density"].ess
        worth.append(1000 * effective / posterior.cost.generated_tokens)
        rates += [rate for rate in posterior.rates.get("swap", ()) if rate is not None]
        trips += posterior.rates.get("round_trips", 0)
    swaps = f"{np.mean(rates):.2f} | {trips}" if rates else "- | -"
    return f"{np.mean(worth):.2f} | {swaps}"


if __name__ == "__main__":
    main()
