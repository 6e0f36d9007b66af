"""What delayed acceptance saves beside plain Metropolis: effective draws for the target's work.

Both are chains that cut a solution and write its remainder anew. In the plain one the target
writes; in delayed acceptance a draft writes and screens with the same reward model, and the target
reads what is promoted, after one such move or three. On the pocket the draft is a quarter of a
pocket, on SmolLM2 it is SmolLM2 without its last four layers (see `drafts.py`).

Said of each: the effective sample size of the log-density of the draws (that of a run whose chains
never moved is one a chain), how often a chain came to another solution, the target's tokens written
and read, its passes, the draft's tokens, what was promoted and accepted, the largest log pi / pi~,
and, on the pocket, the total variation of the answers to a long filter's. As ratios to plain
Metropolis, more being better: ESS and changes of the solution for the target's tokens, its passes
and CPU seconds, summed over questions, with 95% intervals by a bootstrap over runs within
questions. So few draws tell an ESS badly, and changes well: both kernels try the same kind of move.

Run: python benchmarks/delayed_acceptance.py --questions 3 --runs 5
     python benchmarks/delayed_acceptance.py --lm smollm2 --problems GSM8K_TEST.jsonl \
         --questions 1 --runs 3 --iterations 16 --max-steps 3 --reference 0
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from drafts import add_options, setting

import motes
from motes.ppl import Posterior
from motes.samplers import DelayedAcceptance, SuffixMetropolis

MEASURES = ("tokens", "passes", "seconds")
CHAINS, WARMUP = 2, 8


def main() -> None:
    """Print the lines of each sampler."""
    parser = argparse.ArgumentParser(description="Delayed acceptance beside plain Metropolis.")
    add_options(parser)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--reference", type=int, default=512, help="particles of it; 0: none")
    options = parser.parse_args()
    settings, questions, _, draft = setting(options)
    print(f"{len(questions)} questions, {options.runs} runs, {options.iterations} iterations kept")
    given: dict[str, Any] = {"chains": CHAINS, "iterations": options.iterations, "warmup": WARMUP}
    samplers = {
        "plain Metropolis": SuffixMetropolis(**given),
        "delayed acceptance": DelayedAcceptance(draft=draft, **given),
        "delayed, 3 draft moves": DelayedAcceptance(draft=draft, draft_moves=3, **given),
    }
    references: list[Posterior | None] = [None] * len(questions)
    if options.reference:
        references = [
            motes.solve(x, particles=options.reference, seed=1000, **settings) for x in questions
        ]
    plain: np.ndarray | None = None
    for name, sampler in samplers.items():
        found = show(name, sampler, questions, settings, options.runs, references)
        plain = found if plain is None else plain
        for place, what in enumerate(("ESS", "changes")):
            told = zip(MEASURES, ratios(found, plain, place), strict=True)
            words = "; ".join(f"for {measure} x {ratio}" for measure, ratio in told)
            print(f"    {what} {words}", flush=True)


def show(
    name: str,
    sampler: Any,
    questions: list[str],
    settings: dict[str, Any],
    runs: int,
    references: list[Posterior | None],
) -> np.ndarray:
    """Run one sampler, and print its line.

    Returns:
        ESS, changes and what `MEASURES` says, of each run, shape (questions, runs, 5).
    """
    rows, rates, apart, drafted = [], [], [], []
    for question, reference in zip(questions, references, strict=True):
        for seed in range(runs):
            began = time.process_time()
            posterior = motes.solve(question, sampler=sampler, seed=seed, **settings)
            seconds, cost = time.process_time() - began, posterior.cost
            ess = np.nan_to_num(posterior.mixing["log_density"].ess, nan=CHAINS)
            read = cost.generated_tokens + cost.rescored_tokens
            rows.append([ess, changes(posterior), read, cost.forward_passes, seconds])
            drafted.append(cost.draft_tokens)
            promoted = np.mean(posterior.rates.get("promoted", np.nan))
            heaviest = posterior.rates.get("largest_log_weight", np.nan)
            rates.append([np.mean(posterior.rates["acceptance"]), promoted, heaviest])
            if reference is not None:
                apart.append(total_variation(posterior.answers, reference.answers))
    found = np.array(rows, np.float64).reshape(len(questions), runs, -1)
    ess, changed, tokens, passes, seconds = found.mean((0, 1))
    accepted, promoted, heaviest = np.array(rates).mean(0)
    print(
        f"  {name:24} ESS {ess:.1f}, {changed:.1f} changes; {tokens:.0f} tokens, {passes:.0f} "
        f"passes, draft's tokens {np.mean(drafted):.0f}, {seconds:.1f} s of CPU; accepted "
        f"{accepted:.2f}, promoted {promoted:.2f}, largest log weight {heaviest:.1f}",
        flush=True,
    )
    if apart:
        print(f"    answers apart {np.mean(apart):.3f} +- {np.std(apart) / len(apart) ** 0.5:.3f}")
    return found


def changes(posterior: Posterior) -> int:
    """Count how often chains came to another solution; draws are chain by chain."""
    ids = [x.token_ids for x in posterior.trajectories]
    length = len(ids) // CHAINS
    return sum(ids[i] != ids[i - 1] for i in range(len(ids)) if i % length)


def total_variation(one: dict[Any, float], other: dict[Any, float]) -> float:
    """Return the total variation between two laws of answers."""
    return sum(abs(one.get(x, 0.0) - other.get(x, 0.0)) for x in {**one, **other}) / 2


def ratios(found: np.ndarray, plain: np.ndarray, place: int) -> list[str]:
    """Return a column for each measure as ratios to the plain sampler's, with their intervals."""
    random, (questions, runs, _) = np.random.default_rng(0), found.shape

    def worth(rows: np.ndarray) -> np.ndarray:
        sums = rows.sum((-3, -2))
        return sums[..., place : place + 1] / sums[..., 2:]

    def again(rows: np.ndarray) -> np.ndarray:
        picked = random.integers(runs, size=(2000, questions, runs))
        return worth(rows[np.arange(questions)[None, :, None], picked])

    mean, drawn = worth(found) / worth(plain), again(found) / again(plain)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in zip(mean, low, high, strict=True)]


if __name__ == "__main__":
    main()
