r"""What an answer amounts to, as a value that answers of the same meaning share.

An answer is read as a structure whose leaves are expressions:

    leaf          17, \frac{1}{2}, 2\sqrt{3}, x^2 - 1        with or without a unit
    set           \{1, 2\}, 1 or 2, x = 1, 2, \pm 1          order does not matter
    ordered       (1, 2), [0, 1), x < 3, x \in [0, 1)        inequalities of a letter are intervals
    union         [0, 1) \cup (2, \infty)
    matrix        \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
    assignments   x = 1, y = 2                               one alone is its value: x = 5 is 5
    equation      x^2 + y^2 = 1, 2x < 6                      up to a factor
    based         2516_8                                     its digits and its base
    text          everything else, without regard to case, spacing and markup

Every structure is a tuple that begins with its kind, so that equal meanings are equal values.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .arithmetic import TooLarge
from .expressions import Unread
from .leaves import Meaning
from .notation import tidy
from .structures import alone, structure_of

_UNSURE = re.compile(
    r"[A-Za-z]*"  # a letter of several offered
    r"|\d+-\d+(?:-\d+)*"  # a range, a score or a difference
    r"|\d+ ?- ?\d+/\d+"  # 3 1/2 or a difference
    r"|\d+/\d+/\d+"  # a date
    r"|[\d.,/]+ \([\d.,/ +*^-]+\)"  # what is said again in other words, or a product
)

LONGEST = 2000  # characters of an answer that is read; a longer one is text


class Understood(NamedTuple):
    """What an answer amounts to.

    Attributes:
        meaning: a structure.
        too_large: whether it is text only because computing it would take too long.
    """

    meaning: Meaning
    too_large: bool = False


@lru_cache(maxsize=2**16)
def understand(answer: str) -> Understood:
    r"""Return what an answer amounts to.

    Example:
        >>> understand("1,000").meaning == understand(r"x = \frac{2000}{2}").meaning
        True
    """
    if len(answer) > LONGEST:
        return Understood(("text", " ".join(answer.casefold().split())))
    plain = tidy(answer)
    text = Understood(("text", _folded(plain)))
    if _UNSURE.fullmatch(plain):
        return text
    try:
        return Understood(alone(structure_of(plain)))
    except TooLarge:
        return text._replace(too_large=True)
    except Unread:
        return text


def _folded(plain: str) -> str:
    """Return the text without case and markup; in notation without spaces too."""
    text = re.sub(r"\\text ?\{([^{}]*)\}", r" \1 ", plain)
    text = re.sub(r"(?<=[ap])\.(?=m)|(?<=[ap]\.m)\.|(?<=[ap]m)\.", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+", " ", text).strip(" .")
    if re.search(r"[\\^_=+*/<>(){}\[\]|:&,-]", text):
        text = re.sub(r"(?<![^\W_]) | (?![^\W_])", "", text)
    return text if "\\" in text else text.casefold()
