"""The samplers on the pocket: accuracy against generated tokens, and distance to a reference.

The reference is a long run's posterior over answers.

*Accuracy*: held-out problems of 2 to 8 steps, the prior at temperature 1, target
`product` (`alpha` = 2 times it for the power samplers), every sampler at three sizes whose tokens
are about those of 4, 16 and 64 independent solutions. Right is who gives the right answer the most
probability (no answer and all particles dead are wrong); "mean probability" is that of the right
answer. Intervals are 95%: credible, from Jeffreys' prior, for the share; by the normal law for the
mean.

*Agreement*: on `--agreement` problems of `--steps` steps, total variation between a sampler's
answer posterior at the largest size and a reference: self-normalised importance sampling,
`--references` runs of `--draws` trajectories pooled by evidence (tempered SMC with a fifth as many
for the power target). Beside it what it has more than exact draws would show, as many as the
sampler's effective sample size (final weights' for filters, the log-density's for chains), with a
95% interval by a bootstrap over problems; and that size for a CPU second. All problems go on
together and share forward passes, for filters and chains alike. ESS of final weights says nothing
of what a filter lost before it last resampled: it is the distance that does.

Results are kept as JSON lines in build/samplers/ and not computed again: the benchmark can be
stopped and started.

Run: python benchmarks/samplers.py [--problems 100] [--agreement 10] [--threads 2]
    [--only ROW ...] [--sizes 4 16 64]
     python benchmarks/samplers.py --problems 0 --agreement 8 --steps 4 --references 2 --draws 1500
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import beta

import motes
from motes.models import Mixture, Sampling
from motes.models.pocket import Problem, problems
from motes.ppl import Posterior
from motes.samplers import AllParticlesDead
from motes.smc import ess, log_sum_exp

KEPT = Path(__file__).parents[1] / "build" / "samplers"
PRIOR = Sampling()
SIZES = (4, 16, 64)
SOLUTION = 116  # tokens, on average
DEEP = 10_000_000  # iterations of chains that a budget ends
POWER = 2.0


def filters(name: str, share: float = 1.0, **settings: Any) -> Callable[[int], dict[str, Any]]:
    """Settings of a filter by size: `share` of as many particles as there are solutions."""
    return lambda size: {"sampler": name, "particles": max(2, round(size * share)), **settings}


def chains(name: str, **settings: Any) -> Callable[[int], dict[str, Any]]:
    """Settings of chains by size: two of them (one, if small), and a budget of as many tokens."""
    many = {"chains": 2, "starts": 2, "warmup": 0, "iterations": DEEP}
    few = many | {"chains": 1, "starts": 1}
    return lambda size: {
        "sampler": name,
        "budget": size * SOLUTION,
        **(few if size < 16 else many),
        **settings,
    }


def waste_free(size: int) -> dict[str, Any]:
    """Waste-free tempering; its particles are a multiple of four."""
    return {
        "sampler": "tempered_smc",
        "particles": max(4, size // 8 * 4),
        "moves": 3,
        "waste_free": True,
    }


ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "importance sampling": filters("importance_sampling"),
    "particle filter": filters("particle_filter"),
    "chopthin resampling": filters("particle_filter", resampling="chopthin"),
    "two temperatures": filters(
        "particle_filter", proposal=Mixture([Sampling(temperature=0.6), PRIOR])
    ),
    "adaptive number": filters("adaptive_particle_filter", 1.5),
    "persistent pool": filters("persistent_pool", 0.5),
    "resample-move": filters("resample_move", 0.7),
    "twisted, by reward": filters("twisted_smc"),
    "twisted, looking ahead": filters("twisted_smc", 0.4, twist="look_ahead", successors=2),
    "entropic filter": filters("entropic_particle_filter", diversity=0.9),
    "entropic, looking ahead": filters(
        "entropic_particle_filter", 0.5, look_ahead=2, diversity=0.9
    ),
    "auxiliary": filters("auxiliary_particle_filter", 0.35, rollouts=1),
    "rejection": filters("rejection_smc", 0.25),
    "tempered": filters("tempered_smc", 0.35, moves=2),
    "tempered, waste-free": waste_free,
    "particle Gibbs": chains("particle_gibbs", particles=4, ess_threshold=1.0),
    "suffix Metropolis": chains("suffix_metropolis"),
    "parallel tempering": chains("parallel_tempering", betas=(1.0, 0.4)),
    "replica exchange": chains("replica_exchange", betas=(1.0, 0.4), tuned=False),
    "replica exchange, horizon": chains(
        "replica_exchange", betas=(1.0, 0.4), tuned=False, cut="horizon", horizon=8
    ),
    "power exchange": chains(
        "replica_exchange", betas=(1.0, 0.0), tuned=False, starts=2, alpha=POWER
    ),
    "power SMC": filters("power_smc", alpha=POWER),
    "power Metropolis": chains("power_metropolis", alpha=POWER),
    "puri2025": filters("puri2025"),
    "giannone2025": filters("giannone2025", diversity=0.9),
}
HEURISTIC = ("puri2025", "giannone2025")


def main() -> None:
    """Compute what is missing, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--agreement", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2, help="of the problems of the agreement")
    parser.add_argument("--references", type=int, default=5, help="runs that a reference pools")
    parser.add_argument("--draws", type=int, default=2000, help="of each of them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), help="rows; all where left out")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, choices=SIZES)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    KEPT.mkdir(parents=True, exist_ok=True)
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    asked = list(islice(problems("test", seed=0), args.problems))
    names = args.only or list(ROWS)
    accuracy = {
        (name, size): _kept(f"{name}, {size}", asked, ROWS[name](size), lm, prm)
        for name in names
        for size in args.sizes
    }
    if asked:
        _print_accuracy(accuracy, names, args.sizes)
    if not args.agreement:
        return
    short = list(islice(problems("test", seed=1, steps=args.steps), args.agreement))
    _print_agreement(short, lm, prm, names, args.references, args.draws)


def _kept(
    name: str,
    asked: list[Problem],
    arguments: dict[str, Any],
    lm: Any,
    prm: Any,
    at_once: int = 0,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compute what came of each problem, where it is not there yet, a block at a time."""
    path = KEPT / f"{name.replace(', ', '-').replace(' ', '_')}.jsonl"
    found = (
        {row["question"]: row for row in map(json.loads, path.read_text().splitlines())}
        if path.exists()
        else {}
    )
    at_once = at_once or (50 if "budget" in arguments else 16)  # chains have few rows
    missing = [problem for problem in asked if problem.question not in found]
    for first in range(0, len(missing), at_once):
        block = missing[first : first + at_once]
        questions, began = [problem.question for problem in block], time.process_time()
        solved = motes.solve_many(
            questions,
            lm=lm,
            prm=prm,
            prior=PRIOR,
            seed=seed,
            at_once=at_once,
            dead="keep",
            **arguments,
        )
        seconds = (time.process_time() - began) / len(block)
        with path.open("a") as file:
            for problem, posterior in zip(block, solved, strict=True):
                found[problem.question] = _told(problem, posterior) | {"seconds": seconds}
                file.write(json.dumps(found[problem.question]) + "\n")
        print(f"{name}: {len(found)} problems", flush=True)
        lm.drop_cache()
    return [found[problem.question] for problem in asked]


def _told(problem: Problem, posterior: Posterior | AllParticlesDead) -> dict[str, Any]:
    """A posterior in a line."""
    if isinstance(posterior, AllParticlesDead):
        return {
            "question": problem.question,
            "right": False,
            "probability": 0.0,
            "tokens": 0,
            "answers": {},
            "ess": 0.0,
        }
    answers = {str(answer): probability for answer, probability in posterior.answers.items()}
    effective = ess(posterior.log_weights)
    if posterior.chains:  # one draw a chain where none moved
        mixed = posterior.mixing["log_density"].ess
        effective = np.nan_to_num(mixed, nan=posterior.chains)
    return {
        "question": problem.question,
        "right": posterior.answer == str(problem.answer),
        "probability": answers.get(str(problem.answer), 0.0),
        "tokens": posterior.cost.generated_tokens,
        "prm_tokens": posterior.cost.prm_tokens,
        "answers": answers,
        "ess": float(effective),
        "log_evidence": posterior.log_evidence,
    }


def _print_accuracy(
    accuracy: dict[tuple[str, int], list[dict[str, Any]]],
    names: Sequence[str],
    sizes: Sequence[int],
) -> None:
    for size in sizes:
        print(
            f"\n| tokens of about {size} solutions | accuracy | mean probability | tokens | PRM "
            "tokens |\n| --- | --- | --- | --- | --- |"
        )
        for name in names:
            rows = accuracy[name, size]
            probability = np.array([row["probability"] for row in rows])
            spread = 1.96 * probability.std(ddof=1) / np.sqrt(len(rows))
            tokens, judged = (
                np.mean([row.get(key, 0) for row in rows]) for key in ("tokens", "prm_tokens")
            )
            share = _interval([row["right"] for row in rows])
            print(
                f"| {name} | {share} | {probability.mean():.3f} ± {spread:.3f} | {tokens:,.0f} | "
                f"{judged:,.0f} |"
            )


def _print_agreement(
    short: list[Problem], lm: Any, prm: Any, names: Sequence[str], references: int, draws: int
) -> None:
    ask = {"sampler": "importance_sampling", "particles": draws}
    likely = _pooled("reference", short, ask, lm, prm, runs=references)
    ask = {"sampler": "tempered_smc", "particles": draws // 5, "alpha": POWER}
    sharp = _pooled("reference for the power", short, ask, lm, prm, runs=references)
    print(
        f"\nreference ESS: {_range(row['ess'] for row in likely)}; for the power target "
        f"{_range(row['ess'] for row in sharp)}"
    )
    print(
        "\n| at the largest size | total variation | more than exact draws of equal ESS | ESS | "
        "tokens | CPU seconds | ESS a CPU second |\n" + "| --- " * 7 + "|"
    )
    random = np.random.default_rng(0)
    for name in names:
        arguments = ROWS[name](SIZES[-1])
        rows = _kept(f"agreement, {name}", short, arguments, lm, prm)
        reference = sharp if "alpha" in arguments else likely
        distance = [
            _total_variation(row["answers"], other["answers"])
            for row, other in zip(rows, reference, strict=True)
        ]
        exact = [
            _exact(row["ess"], other["answers"], random)
            for row, other in zip(rows, reference, strict=True)
        ]
        mark = " (heuristic)" if name in HEURISTIC else ""
        more = np.array(distance) - exact
        drawn = more[random.integers(len(more), size=(4000, len(more)))].mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        effective, tokens, seconds = (
            np.mean([row[key] for row in rows]) for key in ("ess", "tokens", "seconds")
        )
        print(
            f"| {name}{mark} | {np.mean(distance):.3f} | {more.mean():+.3f} ({low:+.3f} to "
            f"{high:+.3f}) | {effective:.0f} | {tokens:,.0f} | {seconds:.1f} | "
            f"{effective / seconds:.1f} |"
        )


def _pooled(
    name: str, short: list[Problem], arguments: dict[str, Any], lm: Any, prm: Any, runs: int
) -> list[dict[str, Any]]:
    """Several independent runs on each problem, pooled by their evidence."""
    by_run = [
        _kept(f"{name}, run {run}", short, arguments, lm, prm, at_once=1, seed=99 + run)
        for run in range(runs)
    ]
    pooled = []
    for rows in zip(*by_run, strict=True):
        evidences = np.array([row["log_evidence"] for row in rows])
        shares = np.exp(evidences - log_sum_exp(evidences))
        answers = {answer for row in rows for answer in row["answers"]}
        law = {
            answer: sum(
                share * row["answers"].get(answer, 0.0)
                for share, row in zip(shares, rows, strict=True)
            )
            for answer in answers
        }
        effective = 1 / sum(share**2 / row["ess"] for share, row in zip(shares, rows, strict=True))
        pooled.append({"answers": law, "ess": effective})
    return pooled


def _total_variation(one: dict[str, float], other: dict[str, float]) -> float:
    return (
        sum(abs(one.get(answer, 0.0) - other.get(answer, 0.0)) for answer in {**one, **other}) / 2
    )


def _exact(size: float, answers: dict[str, float], random: np.random.Generator) -> float:
    """Estimate the total variation between a distribution and frequencies in `size` draws of it."""
    if not size >= 1:
        return float("nan")
    law = np.array(list(answers.values()))
    drawn = random.multinomial(round(size), law / law.sum(), size=500) / round(size)
    return float(np.abs(drawn - law).sum(axis=1).mean() / 2)


def _interval(outcomes: list[bool]) -> str:
    low, high = beta.ppf([0.025, 0.975], sum(outcomes) + 0.5, len(outcomes) - sum(outcomes) + 0.5)
    return f"{sum(outcomes) / len(outcomes):.2f} ({low:.2f} to {high:.2f})"


def _range(values: Iterable[float]) -> str:
    values = sorted(values)
    return f"{values[0]:.0f} to {values[-1]:.0f}, median {np.median(values):.0f}"


if __name__ == "__main__":
    main()
