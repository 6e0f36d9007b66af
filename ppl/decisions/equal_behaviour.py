"""Answers that behave alike: functions and formulas that agree on random inputs are one answer.

Two functions that give equal outputs on K random inputs are merged; two that differ on a share d of
the inputs are merged by mistake with probability (1 - d)^K, which falls geometrically. It is the
equivalence that MathPrompter (Imani et al. 2023, arXiv:2303.05398) asks of formulas and code before
numbers are put in, as a relation between answers, so that every rule can follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from ... import checks
from .answer_pool import Pool

DIGITS = 9  # significant, to which numbers must agree


def same_behaviour(
    functions: Sequence[Callable[..., object] | None],
    inputs: Callable[[np.random.Generator], tuple[Any, ...]],
    *,
    probes: int = 5,
    seed: int = 0,
) -> list[int | None]:
    """Return for each function the place of the first one that behaves as it does.

    Numbers are equal where nine significant digits are; anything else by its repr. A function that
    raises behaves as those that raise the same kind of error on the same inputs.

    Args:
        functions: N of them; None where there is none.
        inputs: maps a random generator to the arguments of a call.
        probes: K, how many inputs are tried, at least 1.
        seed: of the inputs, in [0, 2**32).

    Returns:
        N places; None where there is no function.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> one, other, third = (lambda x: 2 * x + 2), (lambda x: 2 * (x + 1)), (lambda x: 3 * x)
        >>> same_behaviour([one, other, None, third], lambda rng: (rng.integers(1, 100),))
        [0, 0, None, 3]
    """
    inputs = checks.function("inputs", inputs, "a random generator to the arguments of a call")
    probes, rng = checks.count("probes", probes), np.random.default_rng(checks.seed(seed))
    arguments = [inputs(rng) for _ in range(probes)]
    firsts: dict[tuple[str, ...], int] = {}
    places: list[int | None] = []
    for place, function in enumerate(functions):
        if function is None:
            places.append(None)
            continue
        outputs = tuple(_output(function, values) for values in arguments)
        places.append(firsts.setdefault(outputs, place))
    return places


def regrouped(pool: Pool, places: Sequence[int | None]) -> Pool:
    """Return the pool with the answers of draws that belong together made one.

    Args:
        pool: of N draws.
        places: for each draw the place of the one whose answer it takes; None for no answer.

    Returns:
        A pool without the errors of the old answers.

    Raises:
        ValueError: there are not N places, or one is out of range.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import majority_vote, pool_of, regrouped
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "sampler": motes.samplers.MajorityVote(samples=3)}
        >>> pool = pool_of(motes.solve("?", answer=lambda x: x.text or None, **ask))
        >>> majority_vote(regrouped(pool, [0, 0, 0])).value
        1.0
    """
    if len(places) != len(pool):
        raise ValueError(f"places must be {len(pool)}, one for each draw, not {len(places)}")
    wrong = [place for place in places if place is not None and not 0 <= place < len(pool)]
    if wrong:
        raise ValueError(f"places must lie in [0, {len(pool)}), not {wrong[0]}")
    answers = tuple(None if place is None else pool.answers[place] for place in places)
    return replace(pool, answers=answers, errors={})


def _output(function: Callable[..., object], values: tuple[Any, ...]) -> str:
    """Return what a function gives, as a text that is equal where outputs are."""
    try:
        output = function(*values)
    except Exception as error:  # whatever the model has written may fail in any way
        return f"raises {type(error).__name__}"
    if isinstance(output, bool | np.bool_ | str):
        return repr(output)
    try:
        number: Any = output
        value = float(number)
    except (TypeError, ValueError, OverflowError):
        return repr(output)
    return f"{value:.{DIGITS}g}" if isfinite(value) else str(value)
