r"""Answers: what a trajectory states, and which answers mean the same.

`stated` reads the last statement of an answer in a trajectory's text, in any of the forms that language models are taught,

    \boxed{17}        #### 17        The answer is 17.

and `group` partitions answers by meaning. Numbers are compared by their exact value (1,000 = 1000.0 = $1000; 2/4 =
0.5; the percent sign is a unit), other mathematics by math-verify, and everything else as text, without regard to
case, spacing, markup and final punctuation. The partition is an equivalence and does not depend on the answers' order.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from ..models import Trajectory
from .equivalence import equivalence_classes

Meaning: TypeAlias = tuple[str, str | Fraction]  # ("number", value), ("mathematics", expression) or ("text", folded)

Answer: TypeAlias = Callable[[Trajectory], "str | None"]
"""Maps a trajectory to what it answers; None for nothing."""

LONGEST = 200  # characters of a number or of mathematics


def stated(trajectory: Trajectory) -> str | None:
    r"""The answer that a trajectory states last, or None if it states none.

    Read are the contents of `\boxed{...}` whatever they are, and after "####", "answer is", "answer:" or "answer =" a number
    (with or without a unit), a short piece of mathematics, a single letter, or yes, no, true or false.
    """
    text = trajectory.text
    boxes = [(start, end, _tidy(text[inside:end])) for start, inside, end in _boxes(text)]
    claims = [
        (match.start(), match.end(), _claimed(text[match.end() :]))
        for match in _CLAIM.finditer(text)
        if not any(start < match.start() < end for start, end, _ in boxes)
    ]
    found = [(start, answer) for start, _, answer in boxes + claims if answer]
    return max(found)[1] if found else None


def read(rule: Answer, trajectory: Trajectory) -> str | None:
    """What a trajectory answers by this rule.

    Raises:
        TypeError: the rule gives something else than a text or None.
    """
    answer = rule(trajectory)
    if not (answer is None or isinstance(answer, str)):
        raise TypeError(f"answer must map a trajectory to a str or None, not to {answer!r}")
    return answer


def settled(trajectory: Trajectory, rule: Answer, stop_at_answer: bool) -> Trajectory:
    """The trajectory with its answer, if it is finished; finished, if it states one and is to stop there. Raises as `read` does."""
    if trajectory.truncated or (trajectory.open and not stop_at_answer):
        return trajectory
    answer = read(rule, trajectory)
    return trajectory if answer is None else trajectory.close(finished=True, answer=answer)


def group(answers: Sequence[str | None]) -> list[str | None]:
    """Give answers that mean the same one label: the commonest spelling among them (then the shortest, then the first by alphabet).

    Args:
        answers: N answers; None, where there is none, is a class of its own.

    Returns:
        N labels.

    Example:
        >>> group(["1,000", "17", "$1000.00", None, "1,000"])
        ['1,000', '17', '1,000', None, '1,000']
    """
    spellings = Counter(answer for answer in answers if answer is not None)
    meanings = {spelling: _meaning(spelling) for spelling in sorted(spellings)}
    classes = _classes(set(meanings.values()))
    labels: dict[int, str] = {}
    for spelling in sorted(spellings, key=lambda spelling: (-spellings[spelling], len(spelling), spelling)):
        labels.setdefault(classes[meanings[spelling]], spelling)
    return [None if answer is None else labels[classes[meanings[answer]]] for answer in answers]


def _classes(meanings: set[Meaning]) -> dict[Meaning, int]:
    """Number the classes of distinct meanings; only mathematics can have two meanings in one class."""
    ordered = sorted(meanings, key=lambda meaning: (meaning[0], str(meaning[1])))
    comparable = [meaning for meaning in ordered if meaning[0] != "text"]
    classes = {meaning: i for i, meaning in enumerate(ordered)}
    if len(comparable) > 1 and any(kind == "mathematics" for kind, _ in comparable):
        for meaning, first in zip(comparable, equivalence_classes(tuple(_notation(value) for _, value in comparable)), strict=True):
            classes[meaning] = classes[comparable[first]]
    return classes


# Reading: where an answer is stated.

_CLAIM = re.compile(r"####|\banswer\b[\s*_]*(?:is\b|:|=)[\s*_:]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|[.;][*_`$]*(?=\s|$)")
_WORD = re.compile(r"[A-Z]|yes|no|true|false", re.IGNORECASE)
_QUANTITY = re.compile(r"(?P<number>[^\s\w]{0,3}\d[\d,./]*[%$]?)\s+[^\W\d](?!r\s+\S*\d|nd\s+\S*\d)")  # a unit follows, not another number


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """Start, start of the contents and end of the contents of every box whose braces balance."""
    boxes = []
    for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth, position = 1, match.end()
        for brace in re.finditer(r"\\.|[{}]", text[match.end() :], re.DOTALL):
            depth += {"{": 1, "}": -1}.get(brace.group(), 0)
            if depth == 0:
                boxes.append((match.start(), position, position + brace.start()))
                break
    return boxes


def _claimed(rest: str) -> str | None:
    """The answer at the beginning of what follows a claim; None where nothing there looks like one."""
    sentence = _tidy(_SENTENCE_END.split(rest.lstrip(), maxsplit=1)[0])
    if _WORD.fullmatch(sentence) or _number(sentence) is not None:
        return sentence
    if _is_mathematics(sentence):
        chain = sentence.split("=")  # of 3 + 4 = 7 the answer is 7
        return chain[-1].strip() if not re.search("[A-Za-z]", chain[0]) and chain[-1].strip() else sentence
    quantity = _QUANTITY.match(sentence)
    return _tidy(quantity["number"]) if quantity else None


# Meaning: what an answer amounts to.

_WRAPPERS = re.compile(
    r"\$\$(?P<a>[^$]*)\$\$|\$(?P<b>[^$]*)\$|\\\((?P<c>(?:(?!\\\)).)*)\\\)|\\\[(?P<d>(?:(?!\\\]).)*)\\\]"
    r"|\\(?:text|textbf|mathrm|mathbf|boxed)\s*\{(?P<e>[^{}]*)\}",
    re.DOTALL,
)
_REWRITES = (
    (re.compile(r"\\[,;:! ]|~|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle"), " "),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\{,\}"), ","),
    (re.compile("\u2212"), "-"),
    (re.compile(r"\s+"), " "),
)
_OPTION = re.compile(r"^\(([A-Za-z])\)$")  # (B), of several offered
_DECIMAL = r"(?:[0-9]{1,3}(?:, ?[0-9]{3})+|[0-9]+)?(?:\.[0-9]*)?"
_NUMBER = re.compile(
    rf"(?:[A-Za-z] ?= ?)?(?P<sign>[+-]?) ?(?:(?:\\?\$|€|£) ?)?"
    rf"(?:(?P<a>{_DECIMAL})(?:[eE](?P<exponent>[+-]?[0-9]{{1,2}}))?(?: ?/ ?(?P<b>{_DECIMAL}))?"
    rf"|\\frac ?(?:\{{ ?(?P<c>{_DECIMAL}) ?\}} ?\{{ ?(?P<d>{_DECIMAL}) ?\}}|(?P<e>[0-9]) ?(?P<f>[0-9])))"
    r"(?: ?\\?%| ?°| ?\^ ?\{? ?\\circ ?\}?| ?\\(?:text|mathrm) ?\{[^{}]*\})?"
)
_NAMES = re.compile(r"\\(?:text|mathrm|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+|(?<![A-Za-z])(?:sqrt|sin|cos|tan|log|exp)(?![A-Za-z])")
_PROSE = re.compile(r"[A-Za-z]{3}|(?<![A-Za-z])(?:[ai]s|at|by|i[fns]|no|o[fnr]|so|to)(?![A-Za-z])|[0-9] +[0-9]|[$:?\"\n]")


def _meaning(answer: str) -> Meaning:
    tidy = _tidy(answer)
    number = _number(tidy)
    if number is not None:
        return "number", number
    if _is_mathematics(tidy):
        return "mathematics", re.sub(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])", "", tidy)
    return "text", tidy.casefold()


def _tidy(answer: str) -> str:
    """The answer without wrappers, odd spaces and final punctuation."""
    text, before = unicodedata.normalize("NFC", answer), None
    while text != before:
        before = text
        for pattern, replacement in _REWRITES:
            text = pattern.sub(replacement, text)
        text = text.rstrip(" .,;:").strip(" *_`'\"")
        if wrapped := _WRAPPERS.fullmatch(text):
            text = next(inside for inside in wrapped.groups() if inside is not None)
    return _OPTION.sub(r"\1", text)


def _number(tidy: str) -> Fraction | None:
    """The value of a number in decimals or as a fraction, with or without a currency or a unit sign."""
    match = _NUMBER.fullmatch(tidy) if len(tidy) <= LONGEST else None
    if match is None:
        return None
    parts = match.groupdict()
    above, below = parts["a"] or parts["c"] or parts["e"] or "", parts["b"] or parts["d"] or parts["f"]
    try:
        value = _decimal(above) / (1 if below is None else _decimal(below)) * Fraction(10) ** int(parts["exponent"] or 0)
    except (ValueError, ZeroDivisionError):
        return None
    return -value if parts["sign"] == "-" else value


def _decimal(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").replace(" ", ""))


def _notation(value: str | Fraction) -> str:
    """An expression, or a number in decimals if they end, which math-verify compares with roots to six places."""
    if isinstance(value, str) or value.denominator == 1 or 10**LONGEST % value.denominator:
        return str(value)
    return f"{Decimal(value.numerator) / value.denominator:f}"


def _is_mathematics(tidy: str) -> bool:
    """Whether all of it is notation: no words but names of functions, something to compute or to read, and not long."""
    bare = _NAMES.sub("|", tidy)
    return (
        0 < len(tidy) <= LONGEST
        and not _PROSE.search(bare)
        and not re.search(r"[^\W\d_a-zA-Z]", bare.replace("π", ""))
        and bool(re.search(r"\\[A-Za-z]|[0-9^=+*/({\[]", tidy))
    )
