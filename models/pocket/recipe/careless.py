"""Solutions as careless writers write them: what the pocket's language model learns from.

A model that has only read right solutions errs where it has not learnt enough, and no judge of its
size can then tell its errors. So the pocket reads writers who slip, at rates that are known, as the
text that large models read was written by people who slip. Some slips are chances, some are habits:
in a subtraction that must borrow, most take the smaller digit from the larger (the commonest "bug"
of children's subtraction: Brown and Burton 1978, *Diagnostic models for procedural bugs*), and a
vote among many such writers elects the error.

======== ===================================================================================
slip     what is written
======== ===================================================================================
skip     a needed quantity is passed over; where its value is looked up, the latest stands
relation "fewer" of the question is read as "more"
lookup   of somebody's value the latest one is written instead
carry    in an addition the carry is forgotten (17 + 5 = 12)
borrow   in a subtraction the smaller digit is taken from the larger (23 - 8 = 25)
======== ===================================================================================

A writer who has slipped goes on from what stands there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType

from ..problems import LARGEST, NAMES, Problem
from ..quantity_rules import (
    COMPUTED,
    LARGEST_K,
    RULES,
    computed_value,
    definition,
    expression,
    statement,
)

CHANCES: Mapping[str, float] = MappingProxyType(
    {"skip": 0.02, "relation": 0.06, "lookup": 0.03, "carry": 0.06, "borrow": 0.5}
)


def careless_solution(
    problem: Problem, rng: Random, chances: Mapping[str, float] = CHANCES
) -> tuple[str, ...]:
    """Write a solution, slips included.

    Args:
        problem: what to solve.
        rng: decides on the slips.
        chances: how probable each kind of slip is where it can happen.

    Returns:
        The steps, the line with the answer last.
    """
    return Writer(problem, rng, chances).solution()


class Writer:
    """One careless writer at one problem: what has been stated so far, and the latest number."""

    def __init__(self, problem: Problem, rng: Random, chances: Mapping[str, float]) -> None:
        self.problem, self.rng, self.chances = problem, rng, chances
        given = [i for i in problem.order if problem.quantities[i].rule == "given"]
        self.stated = {i: problem.quantities[i].value for i in given}
        self.latest = self.stated[given[-1]]

    def solution(self) -> tuple[str, ...]:
        """Write all steps."""
        steps = []
        for i in self.problem.solution_order:
            if not self._slips("skip"):
                step = self._step(i)
                if step is None:  # the numbers that stand there do not allow it
                    break
                steps.append(step)
        answer = self.stated.get(self.problem.query, self.latest)
        return (*steps, f"So the answer is {answer}.")

    def _step(self, i: int) -> str | None:
        """Write the step of quantity i; None where no whole number in range comes out."""
        quantity, names = self.problem.quantities[i], self.problem.quantities
        rule = "more" if quantity.rule == "fewer" and self._slips("relation") else quantity.rule
        values = [self._look_up(s) for s in quantity.sources]
        value = computed_value(rule, quantity.k, values)
        if value.denominator != 1 or not 1 <= value <= LARGEST:
            return None
        result = reckoned(rule, quantity.k, values, self.rng, self.chances)
        self.stated[i] = self.latest = result
        sources = [names[s].name for s in quantity.sources]
        return statement(
            quantity.name,
            definition(rule, quantity.k, sources),
            dict(zip(sources, values, strict=True)),
            expression(rule, quantity.k, values),
            result,
        )

    def _look_up(self, source: int) -> int:
        if source not in self.stated or self._slips("lookup"):
            return self.latest
        return self.stated[source]

    def _slips(self, kind: str) -> bool:
        return self.rng.random() < self.chances[kind]


def reckoned(
    rule: str, k: int, values: Sequence[int], rng: Random, chances: Mapping[str, float] = CHANCES
) -> int:
    """Return what a careless writer makes of an expression whose value is a positive whole number.

    Args:
        rule: a key of `quantity_rules.RULES`.
        k: the number that the rule mentions.
        values: those of its sources.
        rng: decides on the slips.
        chances: of "carry" and "borrow", where there is something to carry or to borrow.

    Example:
        >>> reckoned("fewer", 8, [23], Random(0), {"borrow": 1.0})
        25
    """
    value = int(computed_value(rule, k, values))
    (tens, units), second = divmod(values[0], 10), [*values, k][1]
    if rule in ("more", "sum") and units + second % 10 >= 10 and value > 10:
        return value - 10 if rng.random() < chances["carry"] else value
    if rule in ("fewer", "difference") and units < second % 10:
        wrong = 10 * (tens - second // 10) + second % 10 - units
        return wrong if rng.random() < chances["borrow"] else value
    return value


def sums(count: int, rng: Random, chances: Mapping[str, float] = CHANCES) -> tuple[str, ...]:
    """Write sums as they stand in solutions, with results as careless writers make them.

    Args:
        count: how many.
        rng: draws the sums and decides on the slips.
        chances: as for `reckoned`.

    Returns:
        Texts such as " 17 + 5 = 22.".
    """
    drawn: list[str] = []
    while len(drawn) < count:
        rule = rng.choice(COMPUTED)
        k = rng.randint(2, LARGEST_K[rule]) if rule in LARGEST_K else 0
        values = [rng.randint(1, LARGEST) for _ in range(RULES[rule][0])]
        value = computed_value(rule, k, values)
        if value.denominator == 1 and 1 <= value <= LARGEST:
            result = reckoned(rule, k, values, rng, chances)
            drawn.append(f" {expression(rule, k, values)} = {result}.")
    return tuple(drawn)


def plan(problem: Problem) -> str:
    """Write what is left of the solution when only the subjects of its steps are named.

    Returns:
        A text such as "So Ben has. Ben owns 10.", a blank line, "So the answer is 10.".
    """
    needed = [problem.quantities[i] for i in problem.solution_order]
    steps = [
        f"So {quantity.name} has. {quantity.name} owns {quantity.value}." for quantity in needed
    ]
    return "\n\n".join([*steps, problem.solution[-1]])


def recital(people: int, rng: Random) -> tuple[str, str]:
    """Write what some people have and own, and some of it once more, in another order.

    Args:
        people: how many, 3 or more.
        rng: draws all of it.

    Returns:
        The text to be read, and the text that repeats sentences of it.
    """
    names = rng.sample(NAMES, people)
    sentences = [f" {name} owns {rng.randint(1, LARGEST)}." for name in names]
    for i, name in enumerate(names[2:], start=2):
        rule = rng.choice(COMPUTED)
        k = rng.randint(2, LARGEST_K[rule]) if rule in LARGEST_K else 0
        sources = rng.sample(names[:i], RULES[rule][0])
        sentences.append(f" {name} {definition(rule, k, sources)}.")
    rng.shuffle(sentences)
    return "".join(sentences), "".join(rng.sample(sentences, len(sentences)))
