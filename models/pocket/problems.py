"""Word problems whose quantities depend on one another: the pocket reasoner's world.

A problem is a random directed acyclic graph in the manner of iGSM (Ye et al. 2024, *Physics of
Language Models 2.1*). Its nodes are people, a node's value is how many things that person has, and
an edge says whose value a value is computed from::

    Some friends collect shells. Ana owns 7. Ben has 3 more than Ana. Dee has half as many as Ben.
    Cid has as many as Ana and Ben. How many shells does Cid have?

What is given stands first, any other sentence somewhere behind those it refers to, and some
sentences are beside the point. The solution computes the 2 to 8 quantities that the question needs,
one a step, in the order of the question. A step repeats the sentence that defines the quantity,
says what the people named there own, and computes::

    So Ben has 3 more than Ana. Ana owns 7: 7 + 3 = 10. Ben owns 10.

    So Cid has as many as Ana and Ben. Ana owns 7. Ben owns 10: 7 + 10 = 17. Cid owns 17.

    So the answer is 17.

(The checker accepts any order in which a quantity comes behind those that it is computed from.)

Splits hold out *structures*: two problems that differ only in names, numbers, wording and order
have the same `Problem.structure`, and a structure belongs to exactly one of the splits.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ... import checks
from .quantity_rules import (
    COMPUTED,
    JOINING,
    LARGEST_K,
    RULES,
    computed_value,
    definition,
    expression,
    statement,
)

SPLITS = ("train", "validation", "test")
MIN_STEPS, MAX_STEPS = 2, 8
LARGEST = 40  # every value lies in 1..LARGEST

NAMES = "Ana Ben Cid Dee Eli Fay Gus Hal Ida Jon Kim Leo".split()
THINGS = (
    "shells coins books pens stamps cards beads keys rings plums pears nuts eggs hats maps kites"
).split()


@dataclass(frozen=True)
class Quantity:
    """How many things one person has.

    Attributes:
        name: the person.
        rule: a key of `RULES`.
        k: the number that the rule mentions (0 where it mentions none).
        sources: indices, in `Problem.quantities`, of the quantities it is computed from.
        value: the exact value.
    """

    name: str
    rule: str
    k: int
    sources: tuple[int, ...]
    value: int


@dataclass(frozen=True)
class Problem:
    """One word problem, with its solution and an exact checker of solutions.

    Attributes:
        quantities: the nodes, sources before what depends on them; the question asks for `query`.
        query: index of the quantity asked for.
        things: what is counted.
        order: the order in which the sentences stand.
        solution_order: the needed, computed quantities in the order in which the solution computes
            them: that of their sentences.
    """

    quantities: tuple[Quantity, ...]
    query: int
    things: str
    order: tuple[int, ...]
    solution_order: tuple[int, ...]

    @property
    def question(self) -> str:
        """The problem in English."""
        sentences = [f"{self.quantities[i].name} {self._definition(i)}." for i in self.order]
        asked = self.quantities[self.query].name
        return " ".join(
            [
                f"Some friends collect {self.things}.",
                *sentences,
                f"How many {self.things} does {asked} have?",
            ]
        )

    @property
    def answer(self) -> int:
        """The value asked for."""
        return self.quantities[self.query].value

    @property
    def steps(self) -> int:
        """How many quantities must be computed (2 to 8); the answer's own line is not counted."""
        return len(self.solution_order)

    @property
    def solution(self) -> tuple[str, ...]:
        """The solution's steps, the line with the answer last."""
        return (
            *(self._statement(i, self._expression(i)) for i in self.solution_order),
            f"So the answer is {self.answer}.",
        )

    @property
    def structure(self) -> str:
        """A digest of the needed part of the graph, blind to names, numbers, wording and order.

        Isomorphic graphs always have equal digests (Weisfeiler-Lehman refinement, both ways along
        the edges), which is what keeps the splits apart.
        """
        return _structure(self.quantities, self.query)

    @property
    def split(self) -> str:
        """The split that this problem's structure belongs to."""
        return _split_of(self.structure)

    def check(self, steps: Sequence[str]) -> tuple[bool, ...]:
        """Say of each step of a solution whether it is right.

        A step is right if it states the true value of a quantity, computed by that quantity's rule
        from true values that are given or that earlier right steps have stated, or if it states the
        true answer after the quantity asked for has been computed. Anything else, text that cannot
        be read included, is wrong.

        Args:
            steps: the texts of a solution's steps; blank space around them does not matter.

        Returns:
            One boolean for each step.
        """
        known = {i for i, quantity in enumerate(self.quantities) if quantity.rule == "given"}
        names = {quantity.name: i for i, quantity in enumerate(self.quantities)}
        verdicts = []
        for step in steps:
            line = step.strip()
            if match := _COMPUTED.fullmatch(line):
                i = names.get(match["name"], -1)
                right = (
                    i >= 0
                    and known.issuperset(self.quantities[i].sources)
                    and line in self._statements(i)
                )
                known |= {i} if right else set()
            else:
                match = _ANSWER.fullmatch(line)
                right = bool(match) and int(match["value"]) == self.answer and self.query in known
            verdicts.append(right)
        return tuple(verdicts)

    def _statements(self, i: int) -> set[str]:
        """Return the right ways to state quantity i.

        Its expression, operands of a sum or product in either order.
        """
        expression = self._expression(i)
        statements = {self._statement(i, expression)}
        left, operator, right = expression.split(" ") if " " in expression else (expression, "", "")
        if operator in ("+", "*"):
            statements.add(self._statement(i, f"{right} {operator} {left}"))
        return statements

    def _statement(self, i: int, expression: str) -> str:
        quantity = self.quantities[i]
        owned = {self.quantities[s].name: self.quantities[s].value for s in quantity.sources}
        return statement(quantity.name, self._definition(i), owned, expression, quantity.value)

    def _definition(self, i: int) -> str:
        quantity = self.quantities[i]
        return definition(
            quantity.rule, quantity.k, [self.quantities[s].name for s in quantity.sources]
        )

    def _expression(self, i: int) -> str:
        quantity = self.quantities[i]
        return expression(
            quantity.rule, quantity.k, [self.quantities[s].value for s in quantity.sources]
        )


_COMPUTED = re.compile(
    r"So (?P<name>[A-Z][a-z]+) has [^:]+: [\d+*/ -]+ = \d+\. [A-Z][a-z]+ owns \d+\."
)
_ANSWER = re.compile(r"So the answer is (?P<value>\d+)\.")


def problems(split: str = "test", *, seed: int = 0, steps: int | None = None) -> Iterator[Problem]:
    """Generate problems without end.

    Args:
        split: "train", "validation" or "test"; no structure occurs in two of them.
        seed: the stream; equal arguments give equal problems on every machine.
        steps: how many quantities the question needs, 2 to 8; drawn uniformly when None.

    Yields:
        Problems of the split.

    Raises:
        ValueError: the split is unknown, or `steps` lies outside 2..8.
    """
    checks.choice("split", split, SPLITS)
    seed = checks.count("seed", seed, least=-checks.MOST)
    if steps is not None:
        steps = checks.count("steps", steps, least=-checks.MOST)
        if not MIN_STEPS <= steps <= MAX_STEPS:
            raise ValueError(f"steps must lie in {MIN_STEPS}..{MAX_STEPS}, not {steps}")
    return _stream(split, seed, steps)


def _stream(split: str, seed: int, steps: int | None) -> Iterator[Problem]:
    rng = random.Random(f"motes pocket problems {split} {seed} {steps}")
    while True:
        wanted = rng.randint(MIN_STEPS, MAX_STEPS) if steps is None else steps
        while (problem := _draw(rng, wanted)) is None or problem.split != split:
            pass
        yield problem


def _draw(rng: random.Random, steps: int) -> Problem | None:
    """Draw a problem with the wanted number of steps, or None where its numbers do not work out."""
    names = rng.sample(NAMES, len(NAMES))
    nodes = []
    for i in range(rng.randint(1, 2)):
        number = rng.randint(2, LARGEST_K["given"])
        nodes.append(Quantity(names[i], "given", number, (), number))
    unused = set(range(len(nodes)))
    for left in reversed(range(steps)):  # computed quantities still to come after this one
        # each binary rule joins at most two loose ends: stay able to end with a single one
        must_join = len(unused) - 1 >= left + 1
        node = _compute(rng, names[len(nodes)], nodes, unused, must_join)
        if node is None:
            return None
        unused = (unused - set(node.sources)) | {len(nodes)}
        nodes.append(node)
    query = len(nodes) - 1
    if unused != {query}:
        return None
    needed = {i for i, node in enumerate(nodes) if node.rule != "given"}
    if rng.random() < 0.5:  # beside the point
        rule = rng.choice(("given", "more", "fewer", "times", "sum"))
        source = _compute(rng, names[len(nodes)], nodes, set(), False, rule=rule)
        if source is not None:
            nodes.append(source)
    given = [i for i, node in enumerate(nodes) if node.rule == "given"]
    others = [i for i, node in enumerate(nodes) if node.rule != "given"]
    order = (*rng.sample(given, len(given)), *_topological(rng, nodes, others))
    solution_order = tuple(i for i in order if i in needed)
    return Problem(tuple(nodes), query, rng.choice(THINGS), order, solution_order)


def _compute(
    rng: random.Random,
    name: str,
    nodes: Sequence[Quantity],
    unused: set[int],
    must_join: bool,
    rule: str | None = None,
) -> Quantity | None:
    """Define one more quantity from the earlier ones, loose ends first.

    None where no number fits.
    """
    for _ in range(20):
        drawn = rule or rng.choice(JOINING if must_join else COMPUTED)
        arity = RULES[drawn][0]
        if arity > len(nodes):
            continue
        loose = sorted(unused)
        sources: list[int] = []
        while len(sources) < arity:
            pool = loose if loose and (must_join or rng.random() < 0.7) else range(len(nodes))
            source = rng.choice(
                [i for i in pool if i not in sources]
                or [i for i in range(len(nodes)) if i not in sources]
            )
            sources.append(source)
        k = rng.randint(2, LARGEST_K[drawn]) if drawn in LARGEST_K else 0
        value = computed_value(drawn, k, [nodes[i].value for i in sources])
        if value.denominator == 1 and 1 <= value <= LARGEST:
            return Quantity(name, drawn, k, tuple(sources), int(value))
    return None


def _topological(
    rng: random.Random, nodes: Sequence[Quantity], wanted: Sequence[int]
) -> tuple[int, ...]:
    """Draw a random order of the wanted quantities in which sources come first."""
    waiting, done = list(wanted), []
    while waiting:
        ready = [i for i in waiting if not set(nodes[i].sources) & set(waiting)]
        done.append(rng.choice(ready))
        waiting.remove(done[-1])
    return tuple(done)


def _structure(nodes: Sequence[Quantity], query: int) -> str:
    needed, stack = {query}, [query]
    while stack:
        further = set(nodes[stack.pop()].sources) - needed
        needed |= further
        stack.extend(further)
    colours = {i: nodes[i].rule for i in needed}
    colours[query] += "?"
    for _ in range(len(needed)):
        refined = {}
        for i in needed:
            up = [colours[s] for s in nodes[i].sources]
            if nodes[i].rule != "difference":  # of a sum or a product no source comes first
                up.sort()
            users = (j for j in needed if i in nodes[j].sources)
            down = sorted(f"{_place(nodes[j], i)}{colours[j]}" for j in users)
            refined[i] = _digest([colours[i], *up, "|", *down])
        colours = refined
    return _digest(sorted(colours.values()))


def _place(node: Quantity, source: int) -> int:
    """Return the place of a source in a difference; 0 in what has no order."""
    return node.sources.index(source) if node.rule == "difference" else 0


def _split_of(structure: str) -> str:
    bucket = int(structure[:8], 16) % 10
    return "train" if bucket < 8 else SPLITS[bucket - 7]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()
