"""The page of a report, put together from its parts by a template."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import date
from hashlib import sha256

from markupsafe import Markup

from ...ppl.posterior.posterior import Posterior
from ..plots.shades import shades
from . import tables
from .ancestry_drawing import ancestry
from .colours import declarations, variable
from .figures import Picture, pictures
from .finding_sentences import findings
from .latents import latents
from .shown_trajectories import shown_trajectories
from .templating import PACKAGE, environment, own_file
from .tree_drawing import drawn_tree
from .visible_text import short


def page(posterior: Posterior) -> str:
    """Write the report as the text of an HTML file that needs nothing from outside.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=4, max_steps=4)
        >>> page(posterior)[:15]
        '<!DOCTYPE html>'
    """
    drawing = ancestry(posterior) or drawn_tree(posterior)
    # a drawing that leaves something out is joined by the picture of all
    partial = drawing is not None and not drawing.whole
    figures = pictures(posterior, every=partial)
    groups = shades(posterior)
    answer_shade = {}
    for number, group in enumerate(groups):
        answer_shade |= dict.fromkeys(group.answers, number)
    script = own_file("page.js")
    colours = [variable(group.colour) for group in groups]
    used = [*colours, *_styles(figures)]
    numbers, more = latents(posterior)
    return (
        environment(PACKAGE)
        .get_template("page.html")
        .render(
            posterior=posterior,
            title=_title(posterior),
            style=Markup(own_file("page.css")),
            declared=declarations(used),
            colours=colours,
            script=Markup(script),
            digest=b64encode(sha256(script.encode()).digest()).decode(),
            answers=tables.answers(posterior),
            findings=findings(posterior),
            pictures=figures,
            latents=numbers,
            more_latents=more,
            chosen=shown_trajectories(posterior),
            answer_shade=answer_shade,
            ancestry=drawing,
            groups=groups,
            facts=tables.facts(posterior),
            settings=tables.settings(posterior),
            costs=tables.costs(posterior),
            versions=tables.versions(),
            today=date.today().isoformat(),
        )
    )


def _styles(figures: list[Picture]) -> Iterator[str]:
    """Yield all markup of these pictures in which colours may occur."""
    for picture in figures:
        yield picture.svg
        for legend in picture.legends:
            for entry in legend.entries:
                yield f"{entry.line}{entry.fill}{entry.edge}"


def _title(posterior: Posterior) -> str:
    answer = posterior.answer
    result = "no answer"
    if answer is not None:
        result = f"{short(answer, 40)} ({posterior.answers[answer]:.2f})"
    return f"{result}: {short(posterior.question, 60)}"
