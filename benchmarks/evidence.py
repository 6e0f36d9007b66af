"""What filters lose, and how chains mix: the spread of log Z-hat, and draws' worth, by their price.

Filters solve each question in `--runs` independent runs, sized to write about as many tokens as a
particle filter with `--particles`; the runs of a question go on together and share forward passes.
Said of each: the standard deviation of log Z-hat between the runs of a question, tokens of a run
written and read, CPU seconds of a run, and, as ratios to the plain filter, the variance of log
Z-hat times tokens and times seconds, less being better. So a row pays for itself if its ratio is
below 1.

Chains (two of them, 8 iterations of warm-up and `--iterations` kept) solve each question in
`--chain-runs` runs, one after the other: the effective sample size of the log-density (that of
chains that never moved is one a chain), how often a chain came to another solution, and, as ratios
to plain Metropolis, ESS and changes for tokens and for CPU seconds, more being better.

All intervals are 95%, by a bootstrap over runs within questions. The questions are those of
`drafts.py`: the pocket's, of four steps, or with `--lm smollm2` GSM8K's, with a formula of the text
as reward.

Run: python benchmarks/evidence.py --questions 3 --runs 40 --chain-runs 3
     python benchmarks/evidence.py --lm smollm2 --problems GSM8K_TEST.jsonl --questions 2 --runs 8 \
         --particles 8 --max-steps 3 --chain-runs 0 --only "two temperatures" "persistent pool"
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from delayed_acceptance import CHAINS, WARMUP, changes, ratios
from draft_proposals import ratios as prices
from drafts import Setting, add_options, setting

import motes
from motes.models import Mixture, Sampling
from motes.ppl import Posterior

PLAIN_FILTER, PLAIN_CHAINS = "plain filter", "plain Metropolis"
PLAIN_POWER = "power Metropolis, alpha 2"


def filters(n: int, prior: Sampling) -> dict[str, dict[str, Any]]:
    """Return the filters, of about as many tokens as a plain one with n particles."""
    colder = Sampling(temperature=0.6 * prior.temperature)
    plain = {"sampler": "particle_filter", "particles": n}
    return {
        PLAIN_FILTER: plain,
        "chopthin resampling": plain | {"resampling": "chopthin"},
        "two temperatures": plain | {"proposal": Mixture([colder, prior])},
        "persistent pool": {"sampler": "persistent_pool", "particles": n // 2},
        "adaptive number": {"sampler": "adaptive_particle_filter", "particles": n * 3 // 2},
        "auxiliary": {
            "sampler": "auxiliary_particle_filter",
            "particles": n // 2,
            "rollouts": 1,
            "ahead": 1,
        },
        "rejection": {"sampler": "rejection_smc", "particles": max(2, n // 4)},
        "resample-move": {"sampler": "resample_move", "particles": n * 2 // 3},
        "ladder of likelihoods": {
            "sampler": "tempered_smc",
            "particles": max(2, n // 2),
            "ladder": (0.0, 0.1, 0.4, 1.0),
            "moves": 1,
        },
    }


def chains(draft: Any) -> dict[str, dict[str, Any]]:
    """Return the chains."""
    replicas = {"sampler": "replica_exchange", "betas": (1.0, 0.4)}
    return {
        PLAIN_CHAINS: {"sampler": "suffix_metropolis"},
        "delayed acceptance": {"sampler": "delayed_acceptance", "draft": draft},
        "particle Gibbs": {"sampler": "particle_gibbs", "particles": 4, "ess_threshold": 1.0},
        "parallel tempering": {"sampler": "parallel_tempering", "betas": (1.0, 0.4)},
        "replica exchange": replicas,
        "replica exchange, horizon of 8": replicas | {"cut": "horizon", "horizon": 8},
        PLAIN_POWER: {"sampler": "power_metropolis", "alpha": 2.0},
        "replica exchange, alpha 2": replicas | {"betas": (1.0, 0.0), "alpha": 2.0},
    }


def main() -> None:
    """Run everything, and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--runs", type=int, default=12, help="of each filter; 0: no filters")
    parser.add_argument("--particles", type=int, default=16)
    parser.add_argument("--chain-runs", type=int, default=3, help="of chains; 0: no chains")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--only", nargs="+", help="rows beside the plain ones; all where left out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = setting(options)
    if options.runs:
        rows = filters(options.particles, asked.declared["prior"])
        show_filters(chosen(rows, options.only), asked, options.runs)
    if options.chain_runs:
        show_chains(chosen(chains(asked.draft), options.only), asked, options)


def chosen(
    rows: dict[str, dict[str, Any]], names: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Return the rows of these names, and the first, beside which others are told."""
    first = next(iter(rows))
    return {name: row for name, row in rows.items() if names is None or name in (first, *names)}


def show_filters(rows: dict[str, dict[str, Any]], asked: Setting, runs: int) -> None:
    """Print the table of filters."""
    print("| filter | sd of log Z-hat | tokens | CPU seconds | x tokens | x seconds |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    spread({"sampler": "particle_filter", "particles": 2}, asked, 2)  # what is compiled once
    plain: np.ndarray | None = None
    for name, settings in rows.items():
        found, died = spread(settings, asked, runs)
        plain = found if plain is None else plain
        deviation = found[..., 0].var(1, ddof=1).mean() ** 0.5
        _, tokens, seconds = found.mean((0, 1))
        besides = f" ({died} runs died)" if died else ""
        cells = " | ".join(prices(found, plain))
        print(
            f"| {name} | {deviation:.2f}{besides} | {tokens:,.0f} | {seconds:.2f} | {cells} |",
            flush=True,
        )


def spread(settings: dict[str, Any], asked: Setting, runs: int) -> tuple[np.ndarray, int]:
    """Run a filter.

    The log-evidence of a run whose particles all died is minus infinity: such runs are counted,
    and others of the question drawn in their place.

    Returns:
        log Z-hat, tokens and CPU seconds of each run, shape (questions, runs, 3); and how many
        runs died.
    """
    rows, died = [], 0
    for number, question in enumerate(asked.questions):
        began, alive, tried = time.process_time(), [], 0
        while len(alive) < runs:
            many, seed = runs - len(alive), 1000 * number + tried
            kept = motes.solve_many(
                [question] * many,
                dead="keep",
                at_once=many,
                seed=seed,
                **asked.declared,
                **settings,
            )
            alive += [x for x in kept if isinstance(x, Posterior)]
            tried += many
        died += tried - runs
        seconds = (time.process_time() - began) / runs
        read = [x.cost.generated_tokens + x.cost.rescored_tokens for x in alive]
        rows.append([(x.log_evidence, n, seconds) for x, n in zip(alive, read, strict=True)])
    return np.array(rows, np.float64), died


def show_chains(
    rows: dict[str, dict[str, Any]], asked: Setting, options: argparse.Namespace
) -> None:
    """Print the table of chains."""
    print("\n| chains | ESS | changes | tokens | CPU seconds | ESS a second |", end="")
    print(" ESS, x tokens, passes, seconds | changes, x tokens, passes, seconds | swaps |")
    print("| --- " * 9 + "|", flush=True)
    plain: np.ndarray | None = None
    for name, settings in rows.items():
        found, swaps = mixing(settings, asked, options.chain_runs, options.iterations)
        plain = found if plain is None or name == PLAIN_POWER else plain
        ess, changed, tokens, _, seconds = found.mean((0, 1))
        worth = found[..., 0].sum() / found[..., 4].sum()
        cells = [ratios(found, plain, place) for place in (0, 1)]
        print(
            f"| {name} | {ess:.1f} | {changed:.1f} | {tokens:,.0f} | {seconds:.1f} | {worth:.2f} | "
            f"{'; '.join(cells[0])} | {'; '.join(cells[1])} | {swaps} |",
            flush=True,
        )


def mixing(
    settings: dict[str, Any], asked: Setting, runs: int, iterations: int
) -> tuple[np.ndarray, str]:
    """Run chains.

    Returns:
        ESS, changes, tokens, passes and CPU seconds of each run, shape (questions, runs, 5); and
        how often neighbours changed places.
    """
    rows, swaps = [], []
    given = {"chains": CHAINS, "warmup": WARMUP, "iterations": iterations}
    for question in asked.questions:
        for seed in range(runs):
            began = time.process_time()
            posterior = motes.solve(question, seed=seed, **given, **asked.declared, **settings)
            seconds, cost = time.process_time() - began, posterior.cost
            ess = np.nan_to_num(posterior.mixing["log_density"].ess, nan=CHAINS)
            read = cost.generated_tokens + cost.rescored_tokens
            rows.append([ess, changes(posterior), read, cost.forward_passes, seconds])
            swaps += [rate for rate in posterior.rates.get("swap", ()) if rate is not None]
    found = np.array(rows, np.float64).reshape(len(asked.questions), runs, -1)
    return found, f"{np.mean(swaps):.2f}" if swaps else "-"


if __name__ == "__main__":
    main()
