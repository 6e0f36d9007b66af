"""One pool of solutions a problem, many decisions: accuracy of each rule at equal tokens.

300 problems of the pocket's test split. Of each a pool of 128 draws from the prior, weighed for the
target `product`; 128 further draws, which say what the mode of the prior is; and particle filters.
`evaluate` keeps every draw in a file of results, so that a run that was stopped goes on, and what
is decided is computed from the file alone: with --decide no model is loaded.

Tokens are those that the language model writes and, where a rule uses scores, as many again, which
the reward model reads; what caches save is left out, and so are prompts. A budget of S is the
tokens of S plain solutions of each problem: S votes, S/2 draws that are scored, or a filter of S/2
particles. A stopping rule has the largest cap with which its mean is within the budget, up to the
pool; an allocation shares the same number of tokens among all problems.

An answer that ties with others gets its part of the credit; None counts as wrong. Intervals are
95%: of accuracies `evaluation`'s credible intervals, of differences from the vote that stops when
its answers agree a bootstrap over problems, since all rules answer the same problems.

Run: python benchmarks/deciding.py [--problems 300] [--draws 128] [--results FILE] [--decide]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import motes
from motes.evaluation import Evaluation
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
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter
from motes.samplers.allocation import KnowledgeGradient, Thompson, replayed
from motes.samplers.stopping import (
    Agreement,
    Certificate,
    Confidence,
    OptimalStopping,
    PublishedCertificate,
    Saturation,
    Solutions,
    StoppingRule,
    WindowedAgreement,
)

RESAMPLES = 10_000
BUDGETS = (16, 32, 64)
TO_BEAT = "vote, stopped by agreement"
Rule = Callable[[Pool], Decision]
PLAIN: Mapping[str, Rule] = {
    "majority vote": majority_vote,
    "perplexity consistency, repaired": perplexity_consistency,
    "perplexity consistency, sum": lambda pool: perplexity_consistency(pool, mode="sum"),
    "RPC as coded": lambda pool: perplexity_consistency(pool, mode="published"),
    "RPC as coded, pruned": lambda pool: perplexity_consistency(
        pool, mode="published", pruned=len(pool) >= 8
    ),
    "power 1.5": lambda pool: power_vote(pool, alpha=1.5),
    "power 4": lambda pool: power_vote(pool, alpha=4.0),
    "SoftSat": softsat_vote,
    "first finish": first_finish,
    "short-3@n": lambda pool: short_majority(pool, min(3, len(pool))),
}
SCORED: Mapping[str, Rule] = {
    "posterior mode, importance sampling": posterior_mode,
    "weighted vote, last": weighted_vote,
    "weighted vote, product": lambda pool: weighted_vote(pool, score="product"),
    "best of n, last": best_of_n,
    "best of n, product": lambda pool: best_of_n(pool, score="product"),
    "soft best of n, product, beta 5": lambda pool: soft_best_of_n(pool, beta=5, score="product"),
    "best of 4 as a target, product": lambda pool: best_of_n_target(
        pool, n=min(4, len(pool)), score="product"
    ),
    "pessimistic, product, beta 0.2": lambda pool: pessimistic(pool, beta=0.2, score="product"),
}
FIRST = {"first finish": 1, "short-3@n": 3}  # rules that stop at the m-th chain to finish
STOPPED: Mapping[str, tuple[StoppingRule, bool]] = {  # and whether solutions are scored
    TO_BEAT: (Agreement(), False),
    "vote, stopped by a window of 5": (WindowedAgreement(), False),
    "vote, stopped by the certificate": (Certificate(), False),
    "vote, stopped by the published certificate": (PublishedCertificate(), False),
    "vote, stopped by saturation": (Saturation(), False),
    "posterior mode, stopped by the certificate": (Certificate(), True),
    "posterior mode, stopped by agreement": (Agreement(), True),
    "best by optimal stopping": (OptimalStopping(), True),
    "first of confidence 0.8": (Confidence(), True),
}
ALLOCATED = {"knowledge gradient": KnowledgeGradient, "Thompson": Thompson}


class Problem(NamedTuple):
    """A problem's draws.

    Attributes:
        pool: 128 draws, weighed.
        reference: 128 further draws.
        right: the answers that are.
        filters: by their particles, the filter's draws and tokens.
    """

    pool: Pool
    reference: Pool
    right: Sequence[str]
    filters: Mapping[int, tuple[Pool | None, int, Sequence[str]]]


class Outcome(NamedTuple):
    """What a rule does on all problems: credit and tokens of each, shape (problems,)."""

    credit: np.ndarray
    tokens: np.ndarray

    def __str__(self) -> str:
        low, high = credible_mean(self.credit, 1)
        return f"{self.credit.mean():.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Do what runs are missing, decide by every rule, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--draws", type=int, default=128)
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
                "pool": ImportanceSampling(particles=asked.draws),
                "reference": MajorityVote(samples=asked.draws),
                "filter": [ParticleFilter(particles=budget // 2) for budget in BUDGETS],
            },
            results=asked.results,
            at_once=2,
        )
    found = read(evaluation)
    print(f"{len(found)} problems\n")
    ends = {}
    for name, (rule, scored) in STOPPED.items():
        ends[name] = [stops(rule, solutions(problem.pool, scored)) for problem in found]
    for budget in BUDGETS:
        print_table(outcomes(found, budget, ends), budget)
    print_certificates(found, ends)


def read(evaluation: Evaluation) -> list[Problem]:
    """Return the draws of the problems that were done wholly, and of which some are alive."""
    whole = set(evaluation.whole)
    by_problem: dict[int, list[motes.evaluation.Record]] = {number: [] for number in whole}
    for record in evaluation.records:
        if record.problem in whole:
            by_problem[record.problem].append(record)
    found = []
    for number in sorted(whole):
        kept = {record.sampler: record for record in by_problem[number]}
        if kept["pool"].draws is None:
            continue
        filters = {}
        for record in by_problem[number]:
            if record.sampler == "filter":
                pool = None if record.draws is None else pool_of(record)
                right = record.right_answers or []
                filters[record.settings["particles"]] = (pool, record.tokens, right)
        parts = pool_of(kept["pool"]), pool_of(kept["reference"])
        right = [*(kept["pool"].right_answers or []), *(kept["reference"].right_answers or [])]
        found.append(Problem(*parts, list(dict.fromkeys(right)), filters))
    return found


def outcomes(
    found: Sequence[Problem], budget: int, ends: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, Outcome]]:
    """Return what every rule does at a budget of so many plain solutions for each problem.

    By rule, and then by how solutions are shared among problems.
    """
    rules: dict[str, dict[str, Outcome]] = {}
    for scored, decisions in ((False, PLAIN), (True, SCORED)):
        shares = {"equal": [budget // (2 if scored else 1)] * len(found)}
        seen = [solutions(problem.pool, scored) for problem in found]
        for name, kind in ALLOCATED.items():
            shares[name] = within(found, seen, kind, shares["equal"])
        for name, rule in decisions.items():
            first = FIRST.get(name)
            rules[name] = {
                way: decided(found, rule, draws, scored, first) for way, draws in shares.items()
            }
    for name, (rule, scored) in STOPPED.items():
        rules[name] = {"equal": stopped(found, rule, scored, budget, ends[name])}
    rules["posterior mode, particle filter"] = {"equal": filtered(found, budget // 2)}
    return rules


def solutions(pool: Pool, scored: bool) -> Solutions:
    """Return a pool's draws as stopping rules and allocations see them."""
    odds = tuple(row.tolist() for row in pool.log_odds)
    if scored:
        return Solutions(pool.answers, pool.log_scores("product", "the benchmark"), 0.0, odds)
    return Solutions(pool.answers, np.zeros(len(pool)), 0.0)


def decided(
    found: Sequence[Problem], rule: Rule, draws: Sequence[int], scored: bool, first: int | None
) -> Outcome:
    """Return what a rule does with the first draws of each pool."""
    credit, tokens = [], []
    for problem, count in zip(found, draws, strict=True):
        pool = problem.pool.first(count)
        alive = bool((pool.log_weights > -np.inf).any())
        credit.append(rule(pool).credit(problem.right) if alive else 0.0)
        tokens.append(spent(pool, first) * (2 if scored else 1))
    return Outcome(np.array(credit), np.array(tokens))


def spent(pool: Pool, first: int | None) -> int:
    """Return the tokens that a rule needs: all, or those written until the m-th chain finished."""
    lengths = np.sort(pool.tokens[[end == "finished" for end in pool.ends]])
    if first is None or len(lengths) < first:
        return int(pool.tokens.sum())
    return int(np.minimum(pool.tokens, lengths[first - 1]).sum())


def within(
    found: Sequence[Problem],
    seen: Sequence[Solutions],
    kind: type[KnowledgeGradient] | type[Thompson],
    equal: Sequence[int],
) -> list[int]:
    """Return shares that take no more tokens than equal ones: the largest budget that does."""
    most = sum(written(found, equal))
    for percent in range(100, 50, -2):
        rule = kind(budget=sum(equal) * percent // 100, least=2, batch=2, width=4)
        draws = replayed(rule, seen)
        if sum(written(found, draws)) <= most:
            return draws
    raise ValueError("an allocation takes twice the tokens of equal shares")


def written(found: Sequence[Problem], draws: Sequence[int]) -> list[int]:
    """Return the tokens of the first draws of each pool."""
    return [
        int(problem.pool.tokens[:count].sum()) for problem, count in zip(found, draws, strict=True)
    ]


def stops(rule: StoppingRule, seen: Solutions) -> int:
    """Return after how many solutions the rule stops; one more than there are where it does not."""
    counts = range(1, len(seen) + 1)
    return next((n for n in counts if rule.stop(seen.first(n)) is not None), len(seen) + 1)


def stopped(
    found: Sequence[Problem],
    rule: StoppingRule,
    scored: bool,
    budget: int,
    ends: Sequence[int],
) -> Outcome:
    """Return what a stopping rule does with the largest cap that keeps its mean in the budget."""
    seen = [solutions(problem.pool, scored) for problem in found]
    most = sum(written(found, [budget] * len(found))) / (2 if scored else 1)
    draws = capped(found, ends, most)
    credit = []
    for problem, each, end, count in zip(found, seen, ends, draws, strict=True):
        part = each.first(count)
        verdict = rule.stop(part) if end <= count else rule.exhausted(part)
        assert verdict is not None
        if verdict.voters is None:
            credit.append(shared(part, problem.right))
        else:
            credit.append(float(verdict.answer in problem.right))
    return Outcome(np.array(credit), np.array(written(found, draws)) * (2 if scored else 1))


def capped(found: Sequence[Problem], ends: Sequence[int], most: float) -> list[int]:
    """Return how many are drawn under the largest cap that writes no more tokens than these."""
    for cap in range(len(found[0].pool), 1, -1):
        draws = np.minimum(ends, cap).tolist()
        if sum(written(found, draws)) <= most:
            return draws
    return [1] * len(found)


def shared(seen: Solutions, right: Sequence[str]) -> float:
    """Return the credit of a vote, equals sharing."""
    if not seen.tallies:
        return 0.0
    most = seen.tallies[0].worth * (1 - 1e-9)
    tied = [tally.answer for tally in seen.tallies if tally.worth >= most]
    return sum(answer in right for answer in tied) / len(tied)


def filtered(found: Sequence[Problem], particles: int) -> Outcome:
    """Return what the filter's posterior mode does."""
    credit, tokens = [], []
    for problem in found:
        pool, written, right = problem.filters[particles]
        credit.append(0.0 if pool is None else posterior_mode(pool).credit(right))
        tokens.append(2 * written)
    return Outcome(np.array(credit), np.array(tokens))


def print_table(rules: Mapping[str, Mapping[str, Outcome]], budget: int) -> None:
    """Print every rule, the most accurate first."""
    ways = ("equal", *ALLOCATED)
    heads = [f"rule, tokens of {budget} solutions", "equal shares", "minus agreement"]
    print(f"| {' | '.join([*heads, *ALLOCATED, 'tokens, equal shares'])} |\n{'| --- ' * 6}|")
    to_beat = rules[TO_BEAT]["equal"].credit
    for name, found in sorted(rules.items(), key=lambda item: -item[1]["equal"].credit.mean()):
        accuracy, *others = [str(found[way]) if way in found else "" for way in ways]
        gap = difference(found["equal"].credit - to_beat)
        tokens = f"{found['equal'].tokens.mean():,.0f}"
        print(f"| {' | '.join([name, accuracy, gap, *others, tokens])} |")
    print()


def difference(values: np.ndarray) -> str:
    """Return a mean over problems with its 95% bootstrap interval, in words."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def print_certificates(found: Sequence[Problem], ends: Mapping[str, Sequence[int]]) -> None:
    """Print how often rules that stop are right about the mode, and the mode about the truth.

    The mode is that of the further draws: known where a certificate at error 0.001 names it.
    """
    strict, most = Certificate(error=0.001), len(found[0].pool)
    modes: list[str | None] = []
    known: list[bool] = []
    for problem in found:
        seen = solutions(problem.reference, False)
        modes.append(seen.tallies[0].answer if seen.tallies else None)
        known.append(stops(strict, seen) <= len(seen))
    right = np.array([mode in problem.right for mode, problem in zip(modes, found, strict=True)])
    print(f"the first answer of the further draws is right on {rate(right)} of the problems,")
    print(f"and on {rate(right[known])} of those where it is known to be the mode\n")
    heads = "rule | stops | draws | is the mode, where known | is the first answer | is right"
    print(f"| {heads} |\n{'| --- ' * 6}|")
    for name, (rule, scored) in STOPPED.items():
        if scored:
            continue
        same, true, sure = [], [], []
        for problem, mode, certain, end in zip(found, modes, known, ends[name], strict=True):
            if end > most:
                continue
            verdict = rule.stop(solutions(problem.pool, False).first(end))
            assert verdict is not None
            true.append(verdict.answer in problem.right)
            same.append(verdict.answer == mode)
            if certain:
                sure.append(verdict.answer == mode)
        share = np.mean(np.array(ends[name]) <= most)
        mean = np.minimum(ends[name], most).mean()
        cells = [f"{share:.3f}", f"{mean:.1f}", rate(sure), rate(same), rate(true)]
        print(f"| {' | '.join([name, *cells])} |")


def rate(values: Sequence[bool] | np.ndarray) -> str:
    """Return a share with its credible interval and its count, in words."""
    shares = np.array(values, np.float64)
    low, high = credible_mean(shares, 1)
    return f"{shares.mean():.3f} ({low:.3f} to {high:.3f}; {shares.sum():.0f} of {len(shares)})"


if __name__ == "__main__":
    main()
