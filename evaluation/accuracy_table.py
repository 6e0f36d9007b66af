"""Accuracy by method and budget, for terminals and notebooks.

Intervals are 95% credible, from Jeffreys' prior Beta(1/2, 1/2), and end at 0 or 1 where nothing, or
everything, was right (Brown, Cai and DasGupta 2001, doi:10.1214/ss/1009213286). Several runs on one
problem are not independent trials: they count as many trials as an independent sample of the same
variance would have (Korn and Graubard 1998), between the number of problems and that of runs.
Intervals are of the accuracy on problems like these, of one arm by itself: arms that faced the same
problems can differ more clearly than their intervals do, which is what `Evaluation.fit` is for.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import inf, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..diagnostics.formatting import counted, printable
from ..frequencies import jeffreys

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from .results import Results

HEAD = ("sampler", "budget", "right", "accuracy", "95% interval", "tokens a problem", "dead")
# numbers on the right, and groups of problems behind them
SIDES = ("left", "left", "right", "right", "right", "right", "right", "left")
CELL = "padding:1px 14px 1px 0;text-align:{}"
WIDTH = 120  # of the table as plain text


class Row(NamedTuple):
    """One arm.

    Attributes:
        sampler, budget: the method, and its budget in words.
        problems: how many.
        right: how many of its runs were right.
        accuracy, low, high: the share that was right, and its 95% credible interval.
        tokens: generated, mean over problems.
        dead: runs in which all particles died, which count as wrong.
        runs: how many it had, on all problems together.
        group: which problems these are; "" for all.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.samplers import MajorityVote
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = {"vote": MajorityVote(samples=3)}
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> [row] = evaluation.table().rows
        >>> row.sampler, row.right, row.problems
        ('vote', 0, 2)
    """

    sampler: str
    budget: str
    problems: int
    right: int
    accuracy: float
    low: float
    high: float
    tokens: float
    dead: int
    runs: int
    group: str = ""


@dataclass(frozen=True)
class Table:
    """Accuracy by method and budget.

    Attributes:
        rows: one an arm, in order; of each group of problems, where there are groups.
        note: what a reader should know; "" for nothing.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> vote = {"vote": motes.samplers.MajorityVote(samples=3)}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> [row.problems for row in evaluation.table().rows]
        [2]
    """

    rows: tuple[Row, ...]
    note: str

    def __rich__(self) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(
            box=None,
            pad_edge=False,
            header_style="bold",
            caption=Text(self.note) if self.note else None,
            caption_justify="left",
        )
        for name, side in zip(HEAD, SIDES, strict=False):
            table.add_column(name, justify=side, no_wrap=side == "right", overflow="fold")
        if self._grouped:
            table.add_column("problems")
        for row in self.rows:
            table.add_row(*map(Text, self._cells(row)))
        return table

    def _repr_html_(self) -> str:
        lines = [_html_line((*HEAD, "problems") if self._grouped else HEAD, "th")]
        for row in self.rows:
            lines.append(_html_line(self._cells(row), "td"))
        table = f'<table style="border-collapse:collapse">{"".join(lines)}</table>'
        note = ""
        if self.note:
            note = f'<div style="margin-top:6px">{escape(self.note)}</div>'
        return f'<div class="tex2jax_ignore mathjax_ignore">{table}{note}</div>'

    @property
    def _grouped(self) -> bool:
        return any(row.group for row in self.rows)

    def _cells(self, row: Row) -> tuple[str, ...]:
        """Return the cells of a row: the group of problems last, where there are groups."""
        return (*_cells(row), printable(row.group)) if self._grouped else _cells(row)

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=WIDTH, color_system=None).print(self)
        return out.getvalue().rstrip("\n")


def tabulated(evaluation: Results, by: Sequence[Any] | None = None) -> Table:
    """Return the table of an evaluation, over the problems that all arms are done with.

    Args:
        evaluation: I problems, K arms.
        by: to which group each problem belongs, I labels; None for no groups.

    Raises:
        ValueError: there is another number of labels.
    """
    whole = np.array(evaluation.whole, np.intp)
    if by is None:
        rows = _rows(evaluation, np.arange(len(whole)), "")
        return Table(tuple(rows), _note(evaluation))
    if len(by) != evaluation.problems:
        raise ValueError(
            f"by must have a label for each of the {evaluation.problems} problems, not {len(by)}"
        )
    labels = [str(by[number]) for number in whole]
    rows = []
    for label in sorted(set(labels), key=_in_order):
        of_group = [row for row, other in enumerate(labels) if other == label]
        rows += _rows(evaluation, np.array(of_group, np.intp), label)
    return Table(tuple(rows), _note(evaluation))


def _in_order(label: str) -> tuple[float, str]:
    """Put labels in the order of their numbers, and what is no number behind, by the alphabet."""
    try:
        return float(label), label
    except ValueError:
        return inf, label


def _rows(evaluation: Results, of_group: np.ndarray, group: str) -> list[Row]:
    """Return a row for each arm, over some of the problems that are done."""
    problems, repeats = len(of_group), evaluation.repeats
    rows = []
    for k, arm in enumerate(evaluation.arms):
        right = evaluation.right[of_group, k]
        low, high = credible(right, repeats)
        row = Row(
            sampler=arm.name,
            budget=arm.budget,
            problems=problems,
            right=int(right.sum()),
            accuracy=float(right.mean()) / repeats if problems else nan,
            low=low,
            high=high,
            tokens=float(evaluation.tokens[of_group, k].mean()) if problems else nan,
            dead=int(evaluation.dead[of_group, k].sum()),
            runs=problems * repeats,
            group=group,
        )
        rows.append(row)
    return rows


def credible(right: np.ndarray, repeats: int = 1) -> tuple[float, float]:
    """Return the 95% credible interval of a method's accuracy.

    Args:
        right: how many of its runs on each problem were right, shape (problems,).
        repeats: how many runs there were on each.
    """
    problems, total = len(right), int(right.sum())
    if repeats == 1 or total in (0, problems * repeats):
        return _interval(total / repeats, problems)
    return credible_mean(right / repeats, repeats)


def credible_mean(shares: np.ndarray, repeats: int) -> tuple[float, float]:
    """Return the 95% credible interval of the mean of a share over problems.

    Args:
        shares: of each problem, between 0 and 1, shape (problems,).
        repeats: how many runs on each problem they come from.
    """
    problems, mean = len(shares), float(shares.mean())
    if mean in (0, 1):
        return _interval(mean * problems, problems)
    variance = shares.var(ddof=1) / problems if problems > 1 else 0.0
    # an independent sample of this many trials would have the same variance
    trials = mean * (1 - mean) / variance if variance else inf
    trials = float(np.clip(trials, problems, problems * repeats))
    return _interval(mean * trials, trials)


def _interval(right: float, count: float) -> tuple[float, float]:
    low, high = jeffreys(right, count)
    return float(low), float(high)


def _html_line(cells: tuple[str, ...], tag: str) -> str:
    """Return a line of the table in HTML, of cells "th" or "td"."""
    parts = []
    for cell, side in zip(cells, SIDES, strict=False):
        parts.append(f'<{tag} style="{CELL.format(side)}">{escape(cell)}</{tag}>')
    return f"<tr>{''.join(parts)}</tr>"


def _cells(row: Row) -> tuple[str, ...]:
    figures = (
        f"{row.accuracy:.3f}",
        f"{row.low:.3f} to {row.high:.3f}",
        f"{row.tokens:,.0f}",
        str(row.dead),
    )
    return printable(row.sampler), printable(row.budget), f"{row.right} of {row.runs}", *figures


def _note(evaluation: Results) -> str:
    """Return what a reader should know besides the figures, in sentences."""
    done, problems = len(evaluation.whole), evaluation.problems
    sentences = []
    if done < problems:
        sentences.append(
            f"Unfinished: figures are of the {done} of {problems} problems that all samplers are "
            "done with."
        )
    alive = [record for record in evaluation.records if record.error is None]
    if alive and all(record.answer is None for record in alive):
        sentences.append(
            f"No answer was read in {counted(len(alive), 'run')}: see what is written there, and "
            "`answer`, which reads it."
        )
    if evaluation.dead.any():
        sentences.append("Runs all of whose particles died count as wrong.")
    return " ".join(sentences)
