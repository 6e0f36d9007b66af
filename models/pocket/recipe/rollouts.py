"""Step labels from Monte Carlo rollouts: contrasts between the next steps of one prefix.

Math-Shepherd (Wang et al. 2024) calls a step right if any of several rollouts from the prefix that
it ends reaches the problem's answer. Here many solutions of a problem are sampled and put together
into a tree, so that every solution is a rollout from each of its prefixes; the next steps of
prefixes that have led to the answer are then rolled out until each has been tried as often as the
others.

A right step whose completions arrive at rate v arrives c times in n rollouts with probability
proportional to v^c (1 - v)^(n - c); a wrong one arrives by accident, at rate `ACCIDENT`. v is taken
from the best of the step's siblings. The label is the posterior probability that the step is right,
from even odds. The checker of steps plays no part.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..problems import Problem, problems
from .trees import Forest, Node

PROBLEMS_A_ROUND = 48
ACCIDENT = (
    0.03  # how often a wrong line of reasoning arrives at the answer: about one number in LARGEST
)


class Labelled(NamedTuple):
    """A beginning of a solution.

    Attributes:
        problem: the number of its problem; equal numbers share a question.
        question: of the problem.
        steps: the solution's steps, as the language model wrote them.
        labels: for each step, the probability that the prefix it ends is right.
        parents: for each step, a number that siblings (next steps of one prefix) share.
        shares: for each step, 1 over the number of beginnings that its prefix stands in.
        sampled: for each step, in how many of the sampled solutions its prefix stood.
    """

    problem: int
    question: str
    steps: tuple[str, ...]
    labels: tuple[float, ...]
    parents: tuple[int, ...]
    shares: tuple[float, ...]
    sampled: tuple[int, ...]


def label(
    forest: Forest, *, split: str, first: int, last: int, samples: int, rollouts: int, seed: int
) -> Iterator[Labelled]:
    """Sample solutions, roll out from their prefixes, and label the steps.

    Args:
        forest: grows the trees, from the pocket's language model.
        split: of the problems.
        first, last: which problems of the split's stream: from this one, up to before that one.
        samples: solutions to sample of each problem.
        rollouts: how often, at least, each next step of a promising prefix is tried.
        seed: of the problems.

    Yields:
        Beginnings of solutions that together hold every next step of a promising prefix (one that
        has led to the answer), each going on to a solution's end.
    """
    drawn = list(islice(problems(split, seed=seed), first, last))
    roots = forest.grow(drawn, samples)
    _try_again(forest, drawn, roots, rollouts)
    for i, (problem, root) in enumerate(zip(drawn, roots, strict=True)):
        _judge(root)
        yield from _beginnings(first + i, problem, root)


def read(file: Path) -> list[Labelled]:
    """Read what was written with one JSON object a line."""
    return [_labelled(json.loads(line)) for line in file.read_text().splitlines()]


def _labelled(record: dict[str, Any]) -> Labelled:
    values = dict(record)
    for name, value in record.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return Labelled(**values)


def _try_again(
    forest: Forest, batch: Sequence[Problem], roots: Sequence[Node], rollouts: int
) -> None:
    """Roll out from the next steps of promising prefixes until each has been tried often enough."""
    wanted: list[tuple[Problem, Node]] = []
    for problem, root in zip(batch, roots, strict=True):
        for node in root.nodes():
            if node.parent is not None and node.parent.promising and node.trajectory.open:
                wanted += [(problem, node)] * max(0, rollouts - node.tried)
    forest.roll_out(wanted)


def _judge(node: Node) -> None:
    """Label the node's children, and all below them."""
    rates = [(child.arrived + 0.5) / (child.tried + 1) for child in node.children.values()]
    for child in node.children.values():
        child.label = node.label
        if node.promising:
            child.label *= _posterior(max(*rates, 2 * ACCIDENT), child)
        _judge(child)


def _posterior(rate: float, node: Node) -> float:
    """Return how probably a step is right whose siblings, where right, arrive at this rate."""
    if not node.trajectory.open:  # nothing was rolled out: the answer itself is right or wrong
        return float(node.arrived > 0)
    missed = node.tried - node.arrived
    right = node.arrived * np.log(rate) + missed * np.log1p(-rate)
    wrong = node.arrived * np.log(ACCIDENT) + missed * np.log1p(-ACCIDENT)
    return float(1 / (1 + np.exp(wrong - right)))


def _beginnings(number: int, problem: Problem, root: Node) -> Iterator[Labelled]:
    """Return paths to an end that together hold every next step of a promising prefix."""
    names = {id(node): number * 10_000 + i for i, node in enumerate(root.nodes())}
    paths: list[list[Node]] = []
    stands_in: Counter[int] = Counter()
    for node in reversed(list(root.nodes())):  # the deepest first: they cover their ancestors
        if node.parent is not None and node.parent.promising and id(node) not in stands_in:
            paths.append(_through(node))
            stands_in.update(map(id, paths[-1]))
    for path in paths:
        yield Labelled(
            number,
            problem.question,
            tuple(node.trajectory.step_text for node in path),
            tuple(node.label for node in path),
            tuple(names[id(node.parent)] for node in path),
            tuple(1 / stands_in[id(node)] for node in path),
            tuple(node.sampled for node in path),
        )


def _through(node: Node) -> list[Node]:
    """Return the path through a node down to an end, by the steps sampled most often."""
    path = [node]
    while path[-1].children:
        path.append(max(path[-1].children.values(), key=lambda child: child.sampled))
    while path[0].parent is not None and path[0].parent.parent is not None:
        path.insert(0, path[0].parent)
    return path
