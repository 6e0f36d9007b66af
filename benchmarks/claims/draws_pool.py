"""One pool of independent draws, from which several claims are judged.

Fixed before the run: 60 problems of the pocket's test split, seed 31, in 12 blocks of five that
need 4, 5, 6, 7 and 8 steps; 128 independent solutions to each from the prior at temperature 1, with
the seed (31, number of the problem). If time is short, whole blocks are left out from the end;
nothing else may stop the run.

Kept of each draw: its path, and of each distinct path the answer, log p(x) under the prior, its
tokens, and the reward model's log-odds of all steps, rounded to a hundredth. A claim that needs
draws which know nothing of each other takes disjoint parts of the 128.

The file is written after every block, so the run goes on where it was stopped. A block takes about
20 seconds on one free core.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from kept_records import read, write

import motes
from motes.models.pocket import problems
from motes.ppl.decisions import Pool, pool_of
from motes.samplers import ImportanceSampling

RECORDS = Path(__file__).parent / "records" / "draws_pool.json.gz"
SEED, DRAWS, BLOCKS = 31, 128, 12
STEPS = (4, 5, 6, 7, 8)


@dataclass(frozen=True, eq=False)
class Drawn:
    """The draws of one problem.

    Attributes:
        steps: that the problem needs.
        pool: the draws in order, N of them.
        right: whether each draw's answer is, shape (N,), bool.
        prompt: tokens of the question.
        read: tokens that the reward model read, all draws together.
    """

    steps: int
    pool: Pool
    right: np.ndarray
    prompt: int
    read: int

    @cached_property
    def last(self) -> np.ndarray:
        """The reward model's log-odds of each draw's last step, shape (N,)."""
        return np.array([odds[-1] for odds in self.pool.log_odds])


def asked() -> list[Any]:
    """Return all problems of the protocol, in order."""
    streams = {steps: problems("test", seed=SEED, steps=steps) for steps in STEPS}
    return [next(streams[steps]) for _ in range(BLOCKS) for steps in STEPS]


def make(blocks: int = BLOCKS) -> list[Drawn]:
    """Draw what is missing; return the draws of all problems so far."""
    rows: list[dict[str, Any]] = read(RECORDS)["problems"] if RECORDS.exists() else []
    if len(rows) >= blocks * len(STEPS):
        return kept()
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    waiting = asked()
    for block in range(len(rows) // len(STEPS), blocks):
        for i in range(len(rows), (block + 1) * len(STEPS)):
            rows.append(row(waiting[i], i, lm, prm))
        write(RECORDS, {"problems": rows})
        print(f"pool of draws: block {block + 1} of {blocks}", flush=True)
    return kept()


def row(problem: Any, i: int, lm: Any, prm: Any) -> dict[str, Any]:
    """Draw the solutions of one problem; return what is kept of them."""
    posterior = motes.solve(
        problem.question,
        lm=lm,
        prm=prm,
        sampler=ImportanceSampling(particles=DRAWS),
        seed=(SEED, i),
    )
    pool = pool_of(posterior)
    _, first = np.unique(pool.paths, return_index=True)
    return {
        "steps": problem.steps,
        "answer": str(problem.answer),
        "path": pool.paths.tolist(),
        "answers": [pool.answers[place] for place in first],
        "ends": "".join(pool.ends[place][0] for place in first),
        "logprobs": pool.logprobs[first].round(4).tolist(),
        "tokens": pool.tokens[first].tolist(),
        "log_odds": [pool.log_odds[place].round(2).tolist() for place in first],
        "prompt": posterior.cost.prompt_tokens,
        "read": posterior.cost.prm_tokens,
    }


def kept() -> list[Drawn]:
    """Return the draws that the records hold."""
    return [drawn(said) for said in read(RECORDS)["problems"]]


def drawn(said: dict[str, Any]) -> Drawn:
    """Return the draws of one problem, from what was kept of them."""
    paths = np.array(said["path"], np.int64)
    names = {"f": "finished", "t": "truncated", "o": "open"}
    answers = tuple(said["answers"][path] for path in paths)
    pool = Pool(
        answers=answers,
        log_weights=np.full(len(paths), -np.log(len(paths))),
        logprobs=np.array(said["logprobs"])[paths],
        log_odds=tuple(np.array(said["log_odds"][path]) for path in paths),
        tokens=np.array(said["tokens"], np.int64)[paths],
        ends=tuple(names[said["ends"][path]] for path in paths),  # type: ignore[misc]
        paths=paths,
        independent=True,
        from_prior=True,
    )
    right = np.array([answer == said["answer"] for answer in answers])
    return Drawn(said["steps"], pool, right, said["prompt"], said["read"])
