"""What a law says of an evaluation, in a form that tables and reports can show.

An object that says something of an evaluation has `rows()`, a tuple of `LawRow`. A `LawSection`
holds the rows of one law for all arms, with its picture, or the reason why the law cannot be told
from this evaluation. `motes.evaluation.laws.law_sections` makes all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan
from typing import TYPE_CHECKING, NamedTuple

from ..frequencies import jeffreys

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LawRow(NamedTuple):
    """One number that a law gives, with its interval.

    Attributes:
        name: of the number.
        estimate: the number; infinite where it lies beyond what was measured.
        low, high: ends of its 95% interval; NaN where there is none.
        words: what the number means and what it assumes, in a sentence.
        arm: the method, and its budget in brackets where it has several; "" where the number is of
            no single arm.

    Example:
        >>> from motes.evaluation import LawRow
        >>> row = LawRow("AURC", 0.25, 0.2, 0.3, "The area under the curve of risk.", "vote")
        >>> row.figures
        '0.250 (0.200 to 0.300)'
    """

    name: str
    estimate: float
    low: float
    high: float
    words: str
    arm: str = ""

    @property
    def figures(self) -> str:
        """The estimate and its interval as a table shows them."""
        number = _shown(self.estimate)
        if isnan(self.low) or isnan(self.high):
            return number
        return f"{number} ({_shown(self.low)} to {_shown(self.high)})"


@dataclass(frozen=True, eq=False)
class LawSection:
    """What one law says of all arms of an evaluation.

    Attributes:
        title: of the law.
        rows: by arm; empty where the law cannot be told.
        plot: draws the law for all arms on these axes, or on a new figure where it gets None, and
            returns the axes; None where there is no picture.
        missing: why there are no rows, in a sentence; "" where there are.

    Example:
        >>> from motes.evaluation import LawSection
        >>> section = LawSection("ARISE", missing="ARISE needs a method with two budgets or more")
        >>> section.rows, section.plot is None
        ((), True)
    """

    title: str
    rows: tuple[LawRow, ...] = ()
    plot: Callable[[Axes | None], Axes] | None = None
    missing: str = ""


def frequency_row(name: str, count: int, trials: int, words: str) -> LawRow:
    """Return the row of a frequency, with Jeffreys' interval.

    Args:
        name, words: of the row.
        count: how often, from 0 to `trials`.
        trials: of how many, at least 1.

    Example:
        >>> frequency_row("right", 3, 4, "Of four.").figures
        '0.750 (0.284 to 0.972)'
    """
    low, high = jeffreys(count, trials)
    return LawRow(name, count / trials, float(low), float(high), words)


def sentence(promise: str) -> str:
    """Return a promise as a sentence of its own.

    Example:
        >>> sentence("it holds")
        'It holds.'
    """
    return f"{promise[:1].upper()}{promise[1:]}."


def _shown(value: float) -> str:
    """Return a number with three decimals, as a whole number, or as a power of ten."""
    if 1e7 <= abs(value) < inf:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
