r"""Where a text states an answer, and whether the statement is complete.

Answers are stated in the forms that language models are taught,

    \boxed{17}        #### 17        The answer is 17.

A text that is still being written may end within an answer: "The answer is 1" of "The answer is
128." So a statement counts when something ends it (the brace of a box; after a claim a line's
end, or a full stop and a space), or when the text has ended. What is read does not depend on how
much follows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .expressions import Unread
from .meaning import understand
from .notation import tidy
from .units import check_unit, split_unit

LONGEST = 400  # characters of a claim
WINDOW = LONGEST + 20  # characters in which its end is looked for


class Statement(NamedTuple):
    """What is stated in one place.

    Attributes:
        answer: what is stated; None where it is a number, or mathematics, that can't be read
            surely.
    """

    answer: str | None


def last_answer(text: str, ended: bool = True) -> str | None:
    r"""Return the answer that a text states last, or None.

    Read are the contents of `\boxed{...}` whatever they are, and after "####", "answer is",
    "answer:" or "answer =" a number (with or without a unit), a short piece of mathematics, a
    single letter, or yes, no, true or false. A unit in words is left out. A last statement that
    cannot be read surely ("4 dozen") leaves the text without an answer; what begins with a word
    that is none of these ("the answer is wrong") is no statement.

    Args:
        text: what was written.
        ended: whether it is complete. If not, an answer counts only if what is written shows that
            it is complete.

    Example:
        >>> last_answer("The answer is 12"), last_answer("The answer is 12", ended=False)
        ('12', None)
        >>> last_answer("The answer is 12.\n", ended=False)
        '12'
    """
    boxes, unclosed = _boxes(text)
    places: list[tuple[int, int, int | None]] = []
    for box in boxes:
        places.append((box.start, box.inside, box.end))
    # what stands in a box that is not closed yet may turn out to be in a box
    limit = len(text) if ended or unclosed is None else unclosed
    for claim in _CLAIM.finditer(text, 0, limit):
        if not any(box.start < claim.start() < box.end for box in boxes):
            places.append((claim.start(), claim.end(), None))
    for _, start, end in sorted(places, key=lambda place: -place[0]):
        if end is None:
            start = _behind_blanks(text, start)
            following = text[start : start + WINDOW]
            statement = _claimed(following, ended and start + WINDOW >= len(text))
        else:
            statement = _boxed(text[start:end])
        if statement is not None:
            return statement.answer
    return None


# Boxes.

_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)
LONGEST_BOX = 2000  # characters that are looked at


class _Box(NamedTuple):
    start: int
    inside: int
    end: int


def _boxes(text: str) -> tuple[list[_Box], int | None]:
    """Return every box whose braces balance, and where the first begins whose do not."""
    boxes: list[_Box] = []
    opened: list[tuple[int, int] | None] = []
    for brace in _BRACE.finditer(text):
        if brace["box"]:
            opened.append((brace.start(), brace.end()))
        elif brace["open"]:
            opened.append(None)
        elif brace["close"] and opened:
            box = opened.pop()
            if box is not None:
                boxes.append(_Box(*box, brace.start()))
    unclosed = (box[0] for box in opened if box is not None)
    return boxes, next(unclosed, None)


def _boxed(contents: str) -> Statement | None:
    """Return what stands in a box, without a unit in words; None where that is nothing."""
    if len(contents) > LONGEST_BOX:
        return Statement(contents.strip())
    answer = _without_unit(tidy(contents))
    return Statement(answer) if answer else None


def _without_unit(plain: str) -> str:
    """Return a number without the words after it; anything else as it is."""
    quantity = _quantity(plain)
    if quantity is not None:
        return quantity
    try:
        value, unit = split_unit(plain)
    except Unread:
        return plain
    return tidy(value) if unit and _is_number(value) else plain


# Claims.

_CLAIM = re.compile(r"####|\banswer\b[\s*_]*(?:is\b|:|=)[\s*_:]*", re.IGNORECASE)
_BLANKS = re.compile(r"\s*")
_DISPLAYS = {"$$": "$$", r"\[": r"\]"}
_ABBREVIATED = (
    r"\b(?:in|ft|yds?|mi|cm|mm|km|kg|lbs?|oz|min|hrs?|secs?"  # units
    r"|approx|[ap]\.m|[ap]|vs|e\.g|i\.e)$"
)
_END = re.compile(r"(?P<line>\n)|[.;]\)?[*_`$]*(?P<space>\s)|[.;]\)?[*_`$]*(?P<last>$)")
_WORD = re.compile(r"[A-Z]|yes|no|true|false", re.IGNORECASE)
_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?: ?/ ?\d[\d,]*(?:\.\d+)?)?"
_FRACTION = r"-?(?:\d+ ?)?\\frac ?\{\d+\} ?\{\d+\}"
_VALUE = rf"(?:US)?[$€£¥₹]? ?{_NUMBER} ?(?:%|[€£¢]|\^\\circ)?|-[$€£]{_NUMBER}|{_FRACTION}"
_QUANTITY = re.compile(rf"(?P<value>{_VALUE}),?\s+(?P<words>[^\W\d].*)")
_EXCLAMATION, _FORMULA = re.compile(r"!\W*$"), re.compile(r"[$\\]")
_MARKUP = re.compile(r"(?<!\S)(?:\*\*|__)|(?:\*\*|__)(?=[\s.,;:!?)]|$)")
_ATTEMPT = re.compile(r"[^\w\s]{0,5}\s*\d|[^\w\s]{0,3}\\[A-Za-z]|[$]")


def _behind_blanks(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    assert blanks is not None
    return blanks.end()


def _claimed(rest: str, ended: bool) -> Statement | None:
    """Return what follows a claim; None where that is nothing, or not complete."""
    sentence = _sentence(rest, ended)
    if sentence is None or len(sentence) > LONGEST:
        return None
    plain = tidy(_MARKUP.sub("", sentence))
    if not plain:
        return None
    if _WORD.fullmatch(plain.rstrip("!")):
        return Statement(plain.rstrip("!"))
    # a question; a factorial, or an exclamation
    exclaims = _EXCLAMATION.search(sentence) and not _FORMULA.search(sentence)
    answer = None if exclaims or "?" in sentence else _quantity(plain) or _notation(plain)
    if answer is None and not _ATTEMPT.match(sentence):
        return None
    return Statement(answer)


def _sentence(rest: str, ended: bool) -> str | None:
    """Return the first sentence, or formula in display; None where its end is not to be seen."""
    start = 0
    for opener, closer in _DISPLAYS.items():
        if rest.startswith(opener):
            closing = rest.find(closer, len(opener))
            if closing < 0:
                return rest if ended else None
            start = closing + len(closer)
    for match in _END.finditer(rest, start):
        abbreviated = re.search(_ABBREVIATED, rest[: match.start()])
        is_last = match["last"] is not None
        is_stop = match["space"] and not abbreviated and not _is_numbered(rest, match, ended)
        if match["line"] or (is_last and ended) or is_stop:
            return rest[: match.start()]
    return rest if ended else None


def _is_numbered(rest: str, stop: re.Match[str], ended: bool) -> bool:
    """Return whether a full stop belongs to "no. 5", or may once more is written."""
    if not re.search(r"\bno$", rest[: stop.start()], re.IGNORECASE):
        return False
    following = rest[stop.end() : stop.end() + 1]
    return following.isdigit() or not (following or ended)


def _notation(plain: str) -> str | None:
    """Return a sentence that is all number or notation; of 3 + 4 = 7 the answer is 7."""
    if re.search(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])", plain):
        return None
    if not re.search(r"\\[A-Za-z]|[0-9^=+*/({\[-]", plain):
        return None
    if understand(plain).meaning[0] == "text":
        return None
    chain = plain.split("=")
    last = chain[-1].strip()
    if len(chain) > 1 and not re.search("[A-Za-z]", chain[0]) and last:
        return _without_unit(last)
    return _without_unit(plain)


def _quantity(plain: str) -> str | None:
    """Return the number that a sentence begins with, if its other words do not change it."""
    quantity = _QUANTITY.fullmatch(plain)
    if quantity is None:
        return None
    try:
        check_unit(("," if plain[quantity.end("value")] == "," else "") + quantity["words"])
    except Unread:
        return None
    return tidy(quantity["value"])


def _is_number(value: str) -> bool:
    meaning = understand(value).meaning
    return meaning[0] == "leaf" and meaning[1][0] in ("exact", "constant")
