"""The page of a report, put together from its parts by a template."""

from __future__ import annotations

from base64 import b64encode
from datetime import date
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...ppl.posterior.posterior import Posterior
from ..plots.shades import shades
from . import tables as told
from .ancestry_drawing import ancestry
from .colours import declared, variable
from .figures import pictures
from .finding_sentences import findings
from .latents import latents
from .shown_trajectories import chosen
from .visible_text import coded, embedded, short, shown


def page(posterior: Posterior) -> str:
    """The report as the text of an HTML file that needs nothing from outside."""
    drawn = ancestry(posterior)
    seen = pictures(posterior, every=drawn is not None and drawn.shown < drawn.slots)
    groups = shades(posterior)
    script = _file("page.js")
    colours = [variable(group.colour) for group in groups]
    keyed = [key for picture in seen for keys in picture.keys for key in keys.entries]
    used = [
        *colours,
        *(picture.svg for picture in seen),
        *(f"{key.line}{key.fill}{key.edge}" for key in keyed),
    ]
    numbers, more = latents(posterior)
    return (
        _environment()
        .get_template("page.html")
        .render(
            posterior=posterior,
            title=_title(posterior),
            style=Markup(_file("page.css")),
            declared=declared(used),
            colours=colours,
            script=Markup(script),
            digest=b64encode(sha256(script.encode()).digest()).decode(),
            answers=told.answers(posterior),
            findings=findings(posterior),
            pictures=seen,
            latents=numbers,
            more_latents=more,
            chosen=chosen(posterior),
            answer_shade={
                answer: number for number, group in enumerate(groups) for answer in group.answers
            },
            ancestry=drawn,
            groups=groups,
            facts=told.facts(posterior),
            settings=told.settings(posterior),
            costs=told.costs(posterior),
            versions=told.versions(),
            today=date.today().isoformat(),
        )
    )


def _environment() -> Environment:
    """Everything that is printed is made legible and escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"embedded": embedded, "short": short, "coded": coded}
    return environment


def _file(name: str) -> str:
    return files(__package__ or "").joinpath("templates", name).read_text(encoding="utf-8")


def _title(posterior: Posterior) -> str:
    answer = posterior.answer
    said = (
        "no answer" if answer is None else f"{short(answer, 40)} ({posterior.answers[answer]:.2f})"
    )
    return f"{said}: {short(posterior.question, 60)}"
