"""One pool of solutions a problem, many decisions: accuracy of each rule, from the same records.

300 problems of the pocket's test split. One run of importance sampling a problem (target `product`)
is at once 16 independent draws from the prior and a weighted sample of the posterior; a particle
filter of as many particles stands beside it. `evaluate` keeps every draw in a file of results, so
that a run that was stopped goes on, and what is decided is computed from the file alone: with
--decide no model is loaded. An answer that ties with others gets its part of the credit; None
counts as wrong. Tokens are generated ones; what the reward model reads is said beside the table.
Intervals are 95%: of accuracies `evaluation`'s credible intervals, of differences from the majority
vote a bootstrap over problems, since all rules answer the same problems.

Run: python benchmarks/deciding.py [--problems 300] [--solutions 16] [--results FILE] [--decide]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import motes
from motes.evaluation import Evaluation, Record
from motes.evaluation.accuracy_table import credible_mean
from motes.models.pocket import problems
from motes.ppl.decisions import (
    Decision,
    Pool,
    best_of_n,
    best_of_n_target,
    first_finish,
    majority_vote,
    perplexity_consistency,
    pessimistic,
    pool_of,
    posterior_mode,
    power_vote,
    short_majority,
    soft_best_of_n,
    softsat_vote,
    weighted_vote,
)
from motes.samplers import ImportanceSampling, ParticleFilter

RESAMPLES = 10_000
RULES: Mapping[str, Callable[[Pool], Decision]] = {
    "majority vote": majority_vote,
    "posterior mode, importance sampling": posterior_mode,
    "weighted vote, last": weighted_vote,
    "weighted vote, product": lambda pool: weighted_vote(pool, score="product"),
    "best of n, last": best_of_n,
    "best of n, product": lambda pool: best_of_n(pool, score="product"),
    "soft best of n, product, beta 5": lambda pool: soft_best_of_n(pool, beta=5, score="product"),
    "best of 4 as a target, product": lambda pool: best_of_n_target(pool, n=4, score="product"),
    "pessimistic, product, beta 0.2": lambda pool: pessimistic(pool, beta=0.2, score="product"),
    "perplexity consistency, repaired": perplexity_consistency,
    "perplexity consistency, sum": lambda pool: perplexity_consistency(pool, mode="sum"),
    "RPC as coded": lambda pool: perplexity_consistency(pool, mode="published"),
    "RPC as coded, pruned": lambda pool: perplexity_consistency(
        pool, mode="published", pruned=True
    ),
    "power 1.5": lambda pool: power_vote(pool, alpha=1.5),
    "power 4": lambda pool: power_vote(pool, alpha=4.0),
    "SoftSat": softsat_vote,
    "first finish": first_finish,
    "short-3@n": short_majority,
}
FIRST = {"first finish": 1, "short-3@n": 3}  # rules that stop at the m-th chain to finish


def main() -> None:
    """Do what runs are missing, decide by every rule, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--solutions", type=int, default=16)
    parser.add_argument("--results", type=Path, default=Path("deciding.jsonl"))
    parser.add_argument("--decide", action="store_true", help="decide upon what the file holds")
    asked = parser.parse_args()
    if asked.decide:
        evaluation = Evaluation.load(asked.results)
    else:
        evaluation = motes.evaluate(
            problems("test", seed=0),
            count=asked.problems,
            samplers={
                "pool": ImportanceSampling(particles=asked.solutions),
                "filter": ParticleFilter(particles=asked.solutions),
            },
            results=asked.results,
        )
    whole = set(evaluation.whole)
    records = [record for record in evaluation.records if record.problem in whole]
    drawn = [record for record in records if record.sampler == "pool"]
    credit = {
        name: np.array([credited(record, rule) for record in drawn]) for name, rule in RULES.items()
    }
    tokens = {
        name: np.array([spent(record, FIRST.get(name)) for record in drawn]) for name in RULES
    }
    filtered = [record for record in records if record.sampler == "filter"]
    name = "posterior mode, particle filter"
    credit[name] = np.array([credited(record, posterior_mode) for record in filtered])
    tokens[name] = np.array([spent(record, None) for record in filtered])
    read = np.mean([record.cost["prm_tokens"] for record in drawn])
    print(f"{len(whole)} problems; the reward model read {read:,.0f} tokens a problem\n")
    print("| rule | accuracy | minus majority vote | tokens |\n| --- | --- | --- | --- |")
    for name, values in sorted(credit.items(), key=lambda item: -item[1].mean()):
        low, high = credible_mean(values, 1)
        gap = difference(values - credit["majority vote"])
        print(
            f"| {name} | {values.mean():.3f} ({low:.3f} to {high:.3f}) | {gap} | "
            f"{tokens[name].mean():,.0f} |"
        )


def credited(record: Record, rule: Callable[[Pool], Decision]) -> float:
    """Return the credit of a rule on a record; 0 where all particles died."""
    if record.draws is None or record.right_answers is None:
        return 0.0
    return rule(pool_of(record)).credit(record.right_answers)


def spent(record: Record, first: int | None) -> int:
    """Return the tokens that a rule needs: all, or those written until the m-th chain finished."""
    if first is None or record.draws is None:
        return record.tokens
    pool = pool_of(record)
    finished = np.array([end == "finished" for end in pool.ends])
    lengths = np.sort(pool.tokens[finished])
    if len(lengths) < first:
        return record.tokens
    return int(np.minimum(pool.tokens, lengths[first - 1]).sum())


def difference(values: np.ndarray) -> str:
    """Return a mean over problems with its 95% bootstrap interval, in words."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
