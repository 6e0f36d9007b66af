"""The rules by which quantities of the pocket's problems follow from one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

# How a quantity is computed from its sources: the arity, the sentence that defines it (behind the
# name) and the expression of the step that computes it.
RULES: Mapping[str, tuple[int, str, str]] = {
    "given": (0, "owns {k}", "{k}"),
    "more": (1, "has {k} more than {a}", "{x} + {k}"),
    "fewer": (1, "has {k} fewer than {a}", "{x} - {k}"),
    "times": (1, "has {k} times as many as {a}", "{x} * {k}"),
    "half": (1, "has half as many as {a}", "{x} / 2"),
    "sum": (2, "has as many as {a} and {b}", "{x} + {y}"),
    "difference": (2, "has as many as {a} beyond {b}", "{x} - {y}"),
}
JOINING = ("sum", "difference")
LARGEST_K = {"given": 20, "more": 9, "fewer": 9, "times": 4}  # the numbers in the text: 2 and up
# as often as they are drawn
COMPUTED = ("more", "more", "fewer", "fewer", "times", "half", *JOINING)


def statement(name: str, defined: str, owned: Mapping[str, int], computed: str, value: int) -> str:
    """Return the text of one step: what defines a person's number, what is looked up, what follows.

    Args:
        name: whose number is computed.
        defined: what the question says of it (see `definition`).
        owned: what the people named there own.
        computed: the expression (see `expression`).
        value: its value.

    Example:
        >>> statement("Ben", "has 3 more than Ana", {"Ana": 7}, "7 + 3", 10)
        'So Ben has 3 more than Ana. Ana owns 7: 7 + 3 = 10. Ben owns 10.'
    """
    looked_up = " ".join(f"{source} owns {number}." for source, number in owned.items())
    return f"So {name} {defined}. {looked_up[:-1]}: {computed} = {value}. {name} owns {value}."


def definition(rule: str, k: int, names: Sequence[str]) -> str:
    """Return what the question says of a person whose number follows a rule of `RULES`."""
    a, b = [*names, "", ""][:2]
    return RULES[rule][1].format(k=k, a=a, b=b)


def expression(rule: str, k: int, values: Sequence[int]) -> str:
    """Return the expression that computes a rule's number from those of its sources."""
    x, y = [*values, 0, 0][:2]
    return RULES[rule][2].format(k=k, x=x, y=y)


def computed_value(rule: str, k: int, values: Sequence[int]) -> Fraction:
    """Return the number that a rule of `RULES` gives; it need not be whole, or positive."""
    x, y = [*map(Fraction, values), Fraction(0), Fraction(0)][:2]
    return {
        "given": Fraction(k),
        "more": x + k,
        "fewer": x - k,
        "times": x * k,
        "half": x / 2,
        "sum": x + y,
        "difference": x - y,
    }[rule]
