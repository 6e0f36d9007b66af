"""Rationales: what a language model writes about a solution before it judges it.

The random keys of a rationale come from a seed, the question and the solution's text. So what is
written about a prefix is a function of the prefix, in every run and whatever else is asked at the
same time (of a language model whose draws depend on their keys alone).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeAlias

import jax
import numpy as np

from ...aliases import PRNGKeys
from .. import calls
from ..protocols import LanguageModel
from ..sampling import Sampling
from ..trajectory import Trajectory

Content: TypeAlias = tuple[str, tuple[str, ...]]
"""A question, and the texts of a solution's steps."""


def content_of(trajectory: Trajectory) -> Content:
    """Return the question and the steps that a reader of the solution sees.

    Raises:
        ValueError: there is no step.
    """
    if trajectory.parent is None:
        raise ValueError("trajectories must have at least one step to be scored")
    return trajectory.asked, trajectory.solution_steps


def keys_of(seed: int, contents: Sequence[Content], numbers: Sequence[int], step: int) -> PRNGKeys:
    """Return the random keys of one step of rationales, each of its own solution and number.

    Example:
        >>> keys = keys_of(0, [("2 + 2?", ("4.",)), ("2 + 2?", ("5.",))], [0, 0], 0)
        >>> one, other = jax.random.key_data(keys).tolist()
        >>> one == other
        False
    """
    words = np.zeros((len(contents), 2), np.uint32)
    for row, (content, number) in enumerate(zip(contents, numbers, strict=True)):
        drawn = repr((seed, content, number, step)).encode()
        words[row] = np.frombuffer(blake2b(drawn, digest_size=8).digest(), "<u4")
    return jax.random.wrap_key_data(jax.numpy.asarray(words), impl="threefry2x32")


def written(
    lm: LanguageModel,
    contents: Sequence[Content],
    beginnings: Sequence[Trajectory],
    *,
    seed: int,
    count: int,
    max_steps: int,
    sampling: Sampling | None,
    complete: Callable[[Trajectory], bool] = lambda rationale: False,
) -> list[list[Trajectory]]:
    """Return the rationales of several solutions, each drawn with keys of its own.

    Args:
        lm: writes them.
        contents: the solutions.
        beginnings: where the rationales of each begin.
        seed: another seed gives other rationales.
        count: how many are written of each.
        max_steps: the most steps of one.
        sampling: how they are drawn; as the language model is where None.
        complete: whether a rationale needs no further step.

    Returns:
        For each solution, its `count` rationales.
    """
    rows = [beginning for beginning in beginnings for _ in range(count)]
    going = list(range(len(rows)))
    for step in range(max_steps):
        about, numbers = [contents[i // count] for i in going], [i % count for i in going]
        keys = keys_of(seed, about, numbers, step)
        heads = [rows[i] for i in going]
        children = calls.extend(lm, heads, keys, sampling=sampling, prior=sampling)
        for i, child in zip(going, children, strict=True):
            rows[i] = child
        going = [i for i in going if rows[i].open and not complete(rows[i])]
        if not going:
            break
    return [rows[first : first + count] for first in range(0, len(rows), count)]
