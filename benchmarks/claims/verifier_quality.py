"""Search falls below repeated sampling as the verifier worsens: where does each method turn?

Protocol, fixed before the run.

    problems     the first 48 of the pocket's test split, seed 20, in blocks of 8. If time is
                 short, whole blocks are left out from the end; nothing else may stop a run.
    verifiers    the pocket's reward model at qualities 1, 0.6, 0.3 and 0
                 (`worse_reward.py`); a verifier's AUC is that of its scores against the exact
                 checker's verdicts on the prefixes of the pool, each as often as it was sampled
    methods      16 particles, defaults else: particle filter, beam search, DVTS, REBASE; from one
                 pool of independent draws, the first 16: best of n and the weighted vote, both by
                 products of step scores
    baseline     the majority vote of 20 draws of the same pool: the reward model is paid for with
                 4 more draws, which is about what the others spend on it
    comparison   accuracy minus the baseline's, paired over problems; 95% intervals by a bootstrap
                 over problems; sign tests, Holm's correction over all methods and qualities
    support      the claim is supported if a search (beam search, DVTS, REBASE) is surely above the
                 baseline at quality 1 and surely below it at quality 0, after Holm; contradicted if
                 all searches stay surely above or level within 0.05 at quality 0; else undecided
    seeds        one run of each method on each problem: the seed is 20 and what `evaluate` adds

It cannot speak of other models, nor of verifiers whose errors are not independent of one another:
here every prefix has an error of its own.

Run: python benchmarks/claims/verifier_quality.py [--blocks 6] [--only-figure]
It goes on where it was stopped.

Time: about a minute a block on one free core; a second where the records are whole.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from command_line import run_missing
from kept_records import read, write
from scipy.stats import rankdata
from worse_reward import worse

import motes
from motes.evaluation import Evaluation
from motes.log_odds import log_sigmoids
from motes.models import FunctionReward, RewardModel
from motes.models.pocket import problems
from motes.samplers import DVTS, BeamSearch, ParticleFilter, Rebase

HERE = Path(__file__).parent
RECORDS = HERE / "records" / "verifier_quality.json.gz"
SCRATCH = HERE.parents[1] / "build" / "claims"
SEED, BLOCK, BLOCKS = 20, 8, 6
N, VOTED = 16, 20
QUALITIES = (1.0, 0.6, 0.3, 0.0)
CENTRE, SPREAD = 1.0, 2.4  # of the log-odds, in nats: mean and deviation on validation problems
TREES = {
    "particle filter": ParticleFilter(particles=N),
    "beam search": BeamSearch(particles=N),
    "DVTS": DVTS(particles=N),
    "REBASE": Rebase(particles=N),
}
Problem = Any


def run(blocks: int) -> dict[str, Any]:
    """Run what is missing of the protocol; return the records of all blocks so far."""
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    asked = list(islice(problems("test", seed=SEED), blocks * BLOCK))
    kept: dict[str, Any] = read(RECORDS) if RECORDS.exists() else {"pool": [], "trees": {}}
    for block in range(1, blocks + 1):
        for i in range(len(kept["pool"]), block * BLOCK):
            kept["pool"].append(pooled(asked[i], i, lm, prm))
        write(RECORDS, kept)
        for quality in QUALITIES:
            rows = kept["trees"].setdefault(str(quality), [])
            if len(rows) < block * BLOCK:
                rows += searched(asked[len(rows) : block * BLOCK], quality, lm, prm, block)
                write(RECORDS, kept)
        print(f"block {block} of {blocks}", flush=True)
    return kept


def pooled(problem: Problem, i: int, lm: Any, prm: RewardModel) -> dict[str, Any]:
    """Return a pool of independent draws, scored by every verifier."""
    posterior = motes.solve(problem.question, lm=lm, prm=None, particles=VOTED, seed=(SEED, i))
    draws = posterior.trajectories
    nodes = {node.token_ids: node for draw in draws for node in draw.path[1:]}
    before = prm.cost.prm_tokens
    clean = dict(zip(nodes, prm.score(list(nodes.values())), strict=True))
    stored = FunctionReward(lambda node: float(clean[node.token_ids]))
    verdicts = [right_prefixes(problem, draw) for draw in draws]
    of_quality = {}
    for quality in QUALITIES:
        judge = worse(stored, quality, CENTRE, SPREAD)
        of_quality[str(quality)] = [
            np.round(judge.score(list(draw.path[1:])), 2).tolist() for draw in draws
        ]
    return {
        "right": [label == str(problem.answer) for label in posterior.labels],
        "labels": list(posterior.labels),
        "verdicts": verdicts,
        "scores": of_quality,
        "tokens": [len(draw.token_ids) for draw in draws],
        "prm_tokens": prm.cost.prm_tokens - before,
    }


def right_prefixes(problem: Problem, draw: Any) -> list[bool]:
    """Return for every step whether it and all before it are right."""
    verdicts = problem.check(draw.steps)
    return np.logical_and.accumulate(verdicts).tolist()


def searched(
    asked: list[Problem], quality: float, lm: Any, prm: RewardModel, block: int
) -> list[Any]:
    """Return what every search made of every problem: for each problem, by method."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # models of our own are taken on trust
        evaluation: Evaluation = motes.evaluate(
            asked,
            samplers=TREES,
            lm=lm,
            prm=worse(prm, quality, CENTRE, SPREAD),
            seed=SEED,
            results=SCRATCH / f"verifier_quality_{quality:g}_{block}.jsonl",
            progress=False,
            at_once=32,
        )
    rows: list[dict[str, Any]] = [{} for _ in asked]
    for record in evaluation.records:
        cost = record.cost
        rows[record.problem][record.sampler] = [
            bool(record.right),
            int(record.tokens),
            int(cost["prm_tokens"]),
        ]
    return rows


def voted(labels: list[Any], weights: np.ndarray) -> Any:
    """Return the label of most weight; of equals the first."""
    totals: dict[Any, float] = {}
    for label, weight in zip(labels, weights, strict=True):
        totals[label] = totals.get(label, 0.0) + float(weight)
    return max(totals, key=lambda label: totals[label])


def decided(pool: dict[str, Any], quality: float) -> dict[str, bool]:
    """Return whether each rule over the pool is right."""
    labels = pool["labels"]
    true = {label for label, right in zip(labels, pool["right"], strict=True) if right}
    scores = [log_sigmoids(np.array(s)).sum() for s in pool["scores"][str(quality)][:N]]
    product = np.exp(np.array(scores))
    return {
        "majority vote": voted(labels[:VOTED], np.ones(VOTED)) in true,
        "best of n": labels[int(np.argmax(product))] in true,
        "weighted vote": voted(labels[:N], product) in true,
    }


def auc(kept: dict[str, Any], quality: float) -> float:
    """Return the AUC of a verifier's scores against the checker, over the pool's prefixes."""
    scores, verdicts = [], []
    for pool in kept["pool"]:
        scores += [s for draw in pool["scores"][str(quality)] for s in draw]
        verdicts += [v for draw in pool["verdicts"] for v in draw]
    ranks = rankdata(scores)
    right = np.array(verdicts)
    positive = int(right.sum())
    below = ranks[right].sum() - positive * (positive + 1) / 2
    return float(below / (positive * (len(right) - positive)))


def main() -> None:
    """Run what is missing, then print the table and the verdict, and draw the figure."""
    run_missing(__doc__, BLOCKS, run)
    from verifier_quality_report import report

    report(read(RECORDS))


if __name__ == "__main__":
    main()
