"""The page of an evaluation, put together from its parts by a template."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from ...diagnostics.report.colours import declarations
from ...diagnostics.report.svg import drawing, inline
from ...diagnostics.report.tables import versions
from ...diagnostics.report.templating import environment, own_file
from ...diagnostics.report.writing import written
from ..accuracy_plot import plot_accuracy
from ..law_rows import LawSection
from ..laws import ModelShape, law_sections
from ..results import Results
from .arm_figures import arm_figures
from .doubts import doubts
from .paired_differences import Difference, paired_differences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_KNOWN = "\u2013"  # a dash
SIZE = 6.4, 4.2  # inches of a picture


class LawShown(NamedTuple):
    """A law as the page shows it.

    Attributes:
        section: its rows, or why there are none.
        svg: its picture; "" where it has none.
    """

    section: LawSection
    svg: Markup


def write_report(
    evaluation: Results,
    path: str | os.PathLike[str],
    *,
    lm: ModelShape | None = None,
    prm: ModelShape | None = None,
) -> Path:
    """Write the report of an evaluation to an HTML file, all of it or nothing.

    Args:
        evaluation: finished or not; figures are of the problems that all arms are done with.
        path: of the file, which is replaced where it is there.
        lm, prm: shapes of the models, without which there are no FLOPs.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> folder = Path(tempfile.mkdtemp())
        >>> evaluation = motes.evaluate(
        ...     [("?", 0), ("!", 0)],
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=3)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False, results=folder / "results.jsonl",
        ... )
        >>> write_report(evaluation, folder / "results.html").name
        'results.html'
    """
    return written(partial(evaluation_page, lm=lm, prm=prm), evaluation, path)


def evaluation_page(
    evaluation: Results, *, lm: ModelShape | None = None, prm: ModelShape | None = None
) -> str:
    """Write the report as the text of an HTML file that needs nothing from outside.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> vote = motes.samplers.MajorityVote
        >>> evaluation = motes.evaluate(
        ...     [("?", 0), ("!", 0)],
        ...     samplers={"few": vote(samples=2), "many": vote(samples=9)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> evaluation_page(evaluation)[:15]
        '<!DOCTYPE html>'
    """
    figures = arm_figures(evaluation, lm=lm, prm=prm)
    laws = [
        LawShown(section, _picture(f"law-{number}", section.title, section.plot))
        for number, section in enumerate(law_sections(evaluation, lm=lm, prm=prm))
    ]
    accuracy = Markup()
    if any(row.tokens > 0 for row in figures):
        accuracy = _picture("accuracy", "Accuracy against tokens", _accuracy(evaluation))
    names = [arm.title for arm in evaluation.arms]
    return (
        environment(__package__ or "")
        .get_template("evaluation.html")
        .render(
            evaluation=evaluation,
            title=f"Evaluation of {', '.join(evaluation.methods)}",
            style=Markup(own_file("page.css")),
            declared=declarations([accuracy, *(law.svg for law in laws)]),
            figures=figures,
            names=names,
            flops=any(not isnan(row.tflops) for row in figures),
            doubts=doubts(evaluation, figures),
            differences=list(_differences(evaluation, names)),
            against=names[0],
            accuracy=accuracy,
            laws=laws,
            number=_number,
            versions=versions(),
            today=date.today().isoformat(),
        )
    )


def _accuracy(evaluation: Results) -> Callable[[Axes | None], Axes]:
    return lambda ax: plot_accuracy(evaluation, ax=ax)


def _differences(evaluation: Results, names: list[str]) -> Iterator[tuple[str, Difference]]:
    for difference in paired_differences(evaluation):
        yield names[difference.one], difference


def _picture(name: str, title: str, draw: Callable[[Axes | None], Axes] | None) -> Markup:
    """Draw a picture for the page; nothing where there is none."""
    if draw is None:
        return Markup()
    from matplotlib.figure import Figure

    with drawing():
        figure = Figure(figsize=SIZE, layout="constrained")
        ax = figure.subplots()
        draw(ax)
        ax.set_title("", loc="left")
        svg, _ = inline(figure, name, title)
    return svg


def _number(value: float, form: str = "{:.3f}") -> str:
    """Write a number; a dash where it is not known."""
    return NOT_KNOWN if isnan(value) else form.format(value)
