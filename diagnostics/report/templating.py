"""Templates of reports: all text in them is made legible and escaped."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from .visible_text import coded, embedded, short, shown

PACKAGE = __package__ or ""


def environment(package: str) -> Environment:
    """Make the environment of a package's templates, and of those here.

    A name that is not there is an error.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in (package, PACKAGE)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"embedded": embedded, "short": short, "coded": coded}
    return made


def own_file(name: str) -> str:
    """Return the text of a file of these templates."""
    return files(PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")
