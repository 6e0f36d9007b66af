"""How each method of a model splits into rows and joins into a batch: one table.

Runs that share models ask one at a time, each about rows of its own. What several of them ask of
one method goes out as one batch if everything that holds for all rows of a call is equal. A method
that models get is a line here, and nothing else has to know of it:

    method      what a run brings by row          what all rows have in common
    extend      trajectories, random keys         proposal and prior
    logprob     trajectories, continuations       prior
    continued   trajectories                      the steps put after them, prior and proposal
    read_steps  trajectories, a step for each     prior and proposal
    score       trajectories                      nothing
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..aliases import PRNGKeys
from . import calls
from .mixture import Law
from .protocols import Capabilities, LanguageModel, RewardModel, capabilities
from .randomness import raw_keys
from .sampling import Sampling


class Across(NamedTuple):
    """What is checked of a question that goes out in one batch with those to other models.

    Attributes:
        before: called with the model and what holds for all rows, by name.
        after: called with the model, the trajectories, and what came back; returns it checked.
    """

    before: Callable[..., None]
    after: Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class BatchedMethod:
    """How calls of one method become one call, and its answer becomes theirs.

    Attributes:
        call: asks the model, and checks what comes back (see `calls`).
        of: what kind of model has it.
        there: whether a model of these capabilities has it.
        by_row: how many of its first arguments have a row for each answer; others hold for all.
        split: makes rows of those arguments.
        join: makes those arguments of the rows of several runs.
        tokens: how many tokens an answer generated, where a run pays for its own.
        order: of several methods that are asked at once, only those of the highest are answered.
        across: whether language models over one network answer it in one batch; what is checked of
            a question before, and of its answer.
    """

    call: Callable[..., Any]
    of: type = LanguageModel
    there: Callable[[Capabilities], bool] = lambda can: True
    by_row: int = 1
    split: Callable[..., tuple[Sequence[Any], ...]] = lambda *rows: rows
    join: Callable[..., tuple[Any, ...]] = lambda *columns: columns
    tokens: Callable[[Any], int] | None = None
    order: int = 0
    across: Across | None = None


def _split_keys(trajectories: Sequence[Any], keys: PRNGKeys) -> tuple[Sequence[Any], ...]:
    return trajectories, list(raw_keys(keys, len(trajectories)))


def _join_keys(trajectories: list[Any], words: list[np.ndarray]) -> tuple[Any, ...]:
    import jax

    raw = jax.numpy.asarray(np.array(words, np.uint32))
    return trajectories, jax.random.wrap_key_data(raw, impl="threefry2x32")


def _check_laws(lm: LanguageModel, *, sampling: Law, prior: Sampling) -> None:
    calls.check_sampling(lm, sampling, prior)


def _no_check(lm: LanguageModel, **named: Any) -> None:
    """Check nothing."""


METHODS: dict[str, BatchedMethod] = {
    "extend": BatchedMethod(
        call=calls.extend,
        by_row=2,
        split=_split_keys,
        join=_join_keys,
        tokens=lambda child: len(child.step_token_ids),
        across=Across(_check_laws, calls.checked_children),
    ),
    "logprob": BatchedMethod(
        call=calls.logprob,
        there=lambda can: can.scoring,
        by_row=2,
        across=Across(_no_check, calls.checked_logprobs),
    ),
    "continued": BatchedMethod(call=calls.continued, there=lambda can: can.continuation),
    "read_steps": BatchedMethod(
        call=calls.read_steps,
        there=lambda can: can.scoring and can.reading,
        by_row=2,
        across=Across(_no_check, calls.checked_readings),
    ),
    # steps wait until all others are scored, so that all runs draw their next ones together
    "score": BatchedMethod(call=calls.score, of=RewardModel, order=1),
}


def offered(model: object) -> list[str]:
    """Return which of these methods a model has, by its kind and its capabilities.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> offered(TableLM(lambda prefix: [1.0])), offered(FunctionReward(lambda x: 0.0))
        (['extend', 'logprob', 'continued', 'read_steps'], ['score'])
    """
    return [
        name
        for name, method in METHODS.items()
        if isinstance(model, method.of) and method.there(capabilities(model))
    ]
