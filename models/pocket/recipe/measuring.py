"""Held-out figures of the pocket reasoner: what its writer does, and how well its judge ranks.

The checker of steps comes in here and nowhere else: it says which prefixes are right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ...protocols import RewardModel
from ..problems import MAX_STEPS, MIN_STEPS, Problem, problems
from .trees import Forest, Node

RESAMPLES = 2000


class Judged(NamedTuple):
    """Distinct prefixes of sampled solutions; all arrays of shape (N,).

    Attributes:
        problem: the number of the problem.
        depth: steps in the prefix.
        parent: a number that next steps of one prefix share.
        right: whether every step is right, by the checker.
        before: whether the prefix without its last step is right.
        sampled: in how many sampled solutions the prefix stood.
        score: the judge's log-odds.
        writer: the writer's mean log-probability of a token of the last step, nats.
    """

    problem: np.ndarray
    depth: np.ndarray
    parent: np.ndarray
    right: np.ndarray
    before: np.ndarray
    sampled: np.ndarray
    score: np.ndarray
    writer: np.ndarray

    def where(self, chosen: np.ndarray) -> Judged:
        """Return some of the prefixes, chosen by a mask or by indices."""
        return Judged(*(column[chosen] for column in self))


class Written(NamedTuple):
    """What the writer does at one temperature, by the problem's number of steps (2 to 8).

    Attributes:
        right: the share of sampled solutions that reach the answer.
        any_right: the share of problems of which some sampled solution does.
        voted: the share of problems whose commonest answer is right.
        slips: how often each kind of slip was the first of a solution.
    """

    right: tuple[float, ...]
    any_right: tuple[float, ...]
    voted: tuple[float, ...]
    slips: dict[str, int]


def measure(
    forest: Forest, prm: RewardModel | None, *, split: str, each: int, samples: int, seed: int
) -> tuple[Written, Judged]:
    """Sample solutions of `each` problems of every length, and judge all their prefixes.

    Args:
        forest: grows the trees.
        prm: the judge; scores are NaN without one.
        split: of the problems.
        each: problems of each number of steps.
        samples: solutions of each problem.
        seed: of the problems.
    """
    shares: list[tuple[float, float, float]] = []
    slips: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    nodes: list[Node] = []
    for steps in range(MIN_STEPS, MAX_STEPS + 1):
        drawn = list(islice(problems(split, seed=seed, steps=steps), each))
        roots = forest.grow(drawn, samples)
        ends = [[node for node in root.nodes() if not node.children] for root in roots]
        right = [root.arrived / root.sampled for root in roots]
        voted = [
            _elected(leaves) == problem.solution[-1]
            for problem, leaves in zip(drawn, ends, strict=True)
        ]
        shares.append(
            (float(np.mean(right)), float(np.mean(np.array(right) > 0)), float(np.mean(voted)))
        )
        for i, (problem, root) in enumerate(zip(drawn, roots, strict=True)):
            verdicts = {id(root): True}
            for node in root.nodes():
                if node.parent is None:
                    continue
                before, steps_said = verdicts[id(node.parent)], node.trajectory.steps
                verdicts[id(node)] = verdict = before and problem.check(steps_said)[-1]
                if before and not verdict:
                    kind = slip(problem, steps_said)
                    slips[kind] = slips.get(kind, 0) + node.sampled
                mean = node.trajectory.step_logprob / len(node.trajectory.step_token_ids)
                place = (1000 * steps + i, node.trajectory.depth, id(node.parent))
                rows.append((*place, verdict, before, node.sampled, mean))
                nodes.append(node)
    trajectories = [node.trajectory for node in nodes]
    scores = np.full(len(nodes), np.nan) if prm is None else _scores(prm, trajectories)
    problem_, depth, parent, right_, before_, sampled, writer = map(
        np.array, zip(*rows, strict=True)
    )
    judged = Judged(problem_, depth, parent, right_, before_, sampled, scores, writer)
    return Written(*(tuple(column) for column in zip(*shares, strict=True)), slips=slips), judged


def _scores(prm: RewardModel, trajectories: Sequence[Any], rows: int = 512) -> np.ndarray:
    parts = [prm.score(trajectories[i : i + rows]) for i in range(0, len(trajectories), rows)]
    return np.concatenate(parts)


def _elected(leaves: Sequence[Node]) -> str:
    """Return the last line that most solutions end with."""
    votes: dict[str, int] = {}
    for leaf in leaves:
        line = leaf.trajectory.step_text.strip()
        votes[line] = votes.get(line, 0) + leaf.sampled
    return max(votes, key=lambda line: votes[line])


_STEP = re.compile(
    r"So (\w+) (has [^.]+)\. (.+): (\d+) ([-+*/]) (\d+) = (\d+)\. (\w+) owns (\d+)\."
)


def slip(problem: Problem, steps: Sequence[str]) -> str:
    """Name what is wrong with the last step behind a right prefix.

    Returns:
        "skipped step", "misread relation", "wrong lookup", "wrong arithmetic" or "other".
    """
    match = _STEP.fullmatch(steps[-1].strip())
    if match is None:
        return "skipped step" if steps[-1].strip().startswith("So the answer is") else "other"
    name, defined, looked_up, x, operator, y, result, again, owned = match.groups()
    places = {quantity.name: i for i, quantity in enumerate(problem.quantities)}
    if name not in places or name != again or result != owned:
        return "other"
    quantity = problem.quantities[places[name]]
    if f" {name} {defined}." not in problem.question:
        return "misread relation"
    said = " ".join(steps[:-1])
    for source in (problem.quantities[s] for s in quantity.sources):
        if source.rule != "given" and f"So {source.name} " not in said:
            return "skipped step"
        if f"{source.name} owns {source.value}." not in f"{looked_up}.":
            return "wrong lookup"
    values = {
        "+": int(x) + int(y),
        "-": int(x) - int(y),
        "*": int(x) * int(y),
        "/": int(x) / int(y),
    }
    return "wrong arithmetic" if values[operator] != int(result) else "other"


def siblings(judged: Judged, by: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare every right next step of a right prefix with every wrong one.

    Args:
        judged: the prefixes.
        by: what ranks them, shape (N,).

    Returns:
        For each pair its problem, its depth, and 1 where the right step is ranked higher (a half
        for ties).
    """
    problem, depth, won = [], [], []
    for parent in np.unique(judged.parent[judged.before]):
        family = judged.parent == parent
        right, wrong = by[family & judged.right], by[family & ~judged.right]
        wins = (right[:, None] > wrong[None]) + 0.5 * (right[:, None] == wrong[None])
        won.append(wins.ravel())
        first = int(np.flatnonzero(family)[0])
        problem.append(np.full(wins.size, judged.problem[first]))
        depth.append(np.full(wins.size, judged.depth[first]))
    return np.concatenate(problem), np.concatenate(depth), np.concatenate(won)


def interval(problem: np.ndarray, won: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the mean of `won`, whole problems being drawn."""
    _, place = np.unique(problem, return_inverse=True)
    sums, counts = np.bincount(place, won), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def auc(judged: Judged) -> float:
    """Return the chance that a sampled right prefix outscores a sampled wrong one.

    NaN where there is one kind.
    """
    _, place = np.unique(judged.score, return_inverse=True)
    right = np.bincount(place, judged.sampled * judged.right)
    wrong = np.bincount(place, judged.sampled * ~judged.right)
    if not right.sum() or not wrong.sum():
        return float("nan")
    return float((right * (wrong.cumsum() - wrong / 2)).sum() / (right.sum() * wrong.sum()))


def calibration_error(judged: Judged, bins: int = 10) -> float:
    """Return the expected calibration error.

    That is the gap between the score, as a probability, and the share of right prefixes in its bin.
    """
    scores = 1 / (1 + np.exp(-judged.score))
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.bincount(place, judged.sampled * (scores - judged.right), minlength=bins)
    return float(np.abs(gaps).sum() / judged.sampled.sum())
