"""Every search on the pocket, at 64 leaves or as many tokens: accuracy, tokens, where time goes.

The first problems of the test split (2 to 8 steps), the prior at temperature 1. Searches that go
level by level have N = 64; the others get the tokens that 64 solutions take on average, and expand
so many nodes at a time that 64 steps are drawn in a batch (RAIN one node, whose simulations follow
one another). What a batch loses is in the rows with a batch of one node, which is the sequential
algorithm. The particle filter stands beside them. For each method

    accuracy      of the most probable answer, with its 95% credible interval (Jeffreys)
    tokens        generated for a problem
    PRM tokens    read by the reward model
    computed      tokens that the language model computed, prompt and rescored ones included, for
                  each token generated, and for each that ended in an answer
    overhead      the share of the time that was neither a forward pass nor spent on moving keys and
                  values

One thread, unless OMP_NUM_THREADS says otherwise.

Run: python benchmarks/search.py [--problems 40] [--rows a_star mcts]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from itertools import islice
from typing import Any

import numpy as np

import motes
from motes.frequencies import jeffreys
from motes.models import Cost
from motes.models.pocket import problems
from motes.ppl import Posterior
from motes.samplers import AllParticlesDead

N = 64
WARM = 5  # problems that are solved before anything is counted
TOKENS = 5_000  # of 64 solutions, about: for searches without N
LEVELS: dict[str, dict[str, Any]] = {
    "particle_filter": {},
    "best_of_n": {"score": "product"},
    "weighted_vote": {"score": "product"},
    "beam_search": {},
    "lookahead_search": {"look_ahead": 1},
    "dvts": {},
    "rebase": {},
    "ets": {},
    "self_evaluation_beam": {},
    "phi_decoding": {},
}
BY_NODE: dict[str, dict[str, Any]] = {
    "a_star": {"answers": 8, "batch": 16},
    "mcts": {"iterations": 400, "batch": 16},
    "ab_mcts": {"iterations": 400, "batch": 64},
    "rain": {"iterations": 20},
}


def rows() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the method and the settings of each row."""
    named = {name: (name, {**settings, "particles": N}) for name, settings in LEVELS.items()}
    for name, settings in BY_NODE.items():
        named[name] = name, {**settings, "budget": TOKENS}
    for name in ("a_star", "mcts", "ab_mcts"):
        named[f"{name}, one by one"] = name, {**BY_NODE[name], "batch": 1, "budget": TOKENS}
    return named


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--rows", nargs="*", default=list(rows()))
    given = parser.parse_args()
    count = given.problems
    asked = list(islice(problems("test", seed=0), count))
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    print(
        "| method | accuracy | tokens | PRM tokens | computed for one generated | for one kept "
        "| overhead |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for label in given.rows:
        name, settings = rows()[label]
        for problem in asked[:WARM]:  # every number of rows is compiled once
            motes.solve(problem.question, lm=lm, prm=prm, sampler=name, **settings)
        right, kept, total = 0, 0, Cost()
        for i, problem in enumerate(asked):
            try:
                posterior = motes.solve(
                    problem.question, lm=lm, prm=prm, sampler=name, seed=i, **settings
                )
            except AllParticlesDead:
                continue
            right += posterior.answer == str(problem.answer)
            kept += kept_tokens(posterior)
            total += posterior.cost
        print(row(label, right, count, kept, total), flush=True)


def kept_tokens(posterior: Posterior) -> int:
    """Count the generated tokens that are in trajectories of the posterior, each once."""
    if posterior.tree is not None:
        return int(posterior.tree.tokens[posterior.tree.kept].sum())
    nodes = {id(node): node for x in posterior.trajectories for node in x.path}
    return sum(len(node.step_token_ids) for node in nodes.values())


def row(label: str, right: int, count: int, kept: int, cost: Cost) -> str:
    """Write a line of the table."""
    low, high = np.asarray(jeffreys(right, count)).tolist()
    computed = cost.generated_tokens + cost.rescored_tokens + cost.prompt_tokens
    overhead = 1 - (cost.forward_seconds + cost.cache_seconds) / cost.seconds
    cells = (
        label,
        f"{right / count:.2f} ({low:.2f} to {high:.2f})",
        f"{cost.generated_tokens / count:,.0f}",
        f"{cost.prm_tokens / count:,.0f}",
        f"{computed / cost.generated_tokens:.2f}",
        f"{computed / max(kept, 1):.1f}",
        f"{overhead:.0%}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
