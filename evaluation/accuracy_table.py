"""Accuracy by method and budget, for terminals and notebooks.

Intervals are 95% credible, from Jeffreys' prior Beta(1/2, 1/2), and end at 0 or 1 where nothing, or everything, was right (Brown, Cai and
DasGupta 2001, doi:10.1214/ss/1009213286). They are of the accuracy on problems like these, of one arm by itself: arms that faced the same
problems can differ more clearly than their intervals do, which is what `Evaluation.fit` is for.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..diagnostics.formatting import printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from .results import Results

HEAD = ("sampler", "budget", "right", "accuracy", "95% interval", "tokens a problem", "dead")
NUMBERS = 2  # columns before those of numbers
CELL = "padding:1px 14px 1px 0;text-align:{}"
WIDTH = 120  # of the table as plain text


class Row(NamedTuple):
    """One arm.

    Attributes:
        sampler, budget: the method, and its budget in words.
        problems, right: how many, and how many of them it got right.
        accuracy, low, high: the share that was right, and its 95% credible interval.
        tokens: generated, mean over problems.
        dead: problems on which all particles died, which count as wrong.
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


@dataclass(frozen=True)
class Table:
    """Accuracy by method and budget.

    Attributes:
        rows: one an arm, in order.
        note: what a reader should know; "" for nothing.
    """

    rows: tuple[Row, ...]
    note: str

    def __rich__(self) -> RichTable:
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(
            box=None, pad_edge=False, header_style="bold", caption=Text(self.note) if self.note else None, caption_justify="left"
        )
        for place, name in enumerate(HEAD):
            table.add_column(name, justify="left" if place < NUMBERS else "right", no_wrap=place >= NUMBERS, overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, _cells(row)))
        return table

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            styles = (CELL.format("left" if place < NUMBERS else "right") for place in range(len(cells)))
            return (
                "<tr>"
                + "".join(f'<{tag} style="{style}">{escape(cell)}</{tag}>' for style, cell in zip(styles, cells, strict=True))
                + "</tr>"
            )

        body = "".join(line(_cells(row), "td") for row in self.rows)
        table = f'<table style="border-collapse:collapse">{line(HEAD, "th")}{body}</table>'
        note = f'<div style="margin-top:6px">{escape(self.note)}</div>' * bool(self.note)
        return f'<div class="tex2jax_ignore mathjax_ignore">{table}{note}</div>'

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=WIDTH, color_system=None).print(self)
        return out.getvalue().rstrip("\n")


def tabulated(evaluation: Results) -> Table:
    """The table of an evaluation, over the problems that all arms are done with."""
    right, problems = evaluation.right.sum(axis=0).tolist(), len(evaluation.whole)
    tokens, dead = evaluation.tokens, evaluation.dead.sum(axis=0).tolist()
    rows = []
    for k, arm in enumerate(evaluation.arms):
        low, high = jeffreys(right[k], problems)
        accuracy, mean = (right[k] / problems, float(tokens[:, k].mean())) if problems else (np.nan, np.nan)
        rows.append(Row(arm.name, arm.budget, problems, right[k], accuracy, low, high, mean, dead[k]))
    return Table(tuple(rows), _note(evaluation))


def jeffreys(right: int, count: int) -> tuple[float, float]:
    """The 95% credible interval of a share, from Jeffreys' prior."""
    from scipy.special import betaincinv

    low, high = (float(betaincinv(right + 0.5, count - right + 0.5, tail)) for tail in (0.025, 0.975))
    return (0.0 if right == 0 else low), (1.0 if right == count else high)


def _cells(row: Row) -> tuple[str, ...]:
    figures = f"{row.accuracy:.3f}", f"{row.low:.3f} to {row.high:.3f}", f"{row.tokens:,.0f}", str(row.dead)
    return printable(row.sampler), printable(row.budget), f"{row.right} of {row.problems}", *figures


def _note(evaluation: Results) -> str:
    done, problems = len(evaluation.whole), evaluation.problems
    unfinished = f"Unfinished: figures are of the {done} of {problems} problems that all samplers are done with."
    dead = "Runs all of whose particles died count as wrong."
    return " ".join([unfinished] * (done < problems) + [dead] * bool(evaluation.dead.any()))
