"""Names of variables for what a program calls its sites, so that no two become one.

A file has room for fewer names than a program: no slash, nothing that stands for a folder, no name
that a data tree has itself. A site keeps its name where it can; any other gets one like it, with an
underscore for each that was taken. The file keeps which variable is which site, so that what is
read again has the sites' own names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

LONGEST = 180  # bytes: a name of a file in a folder may have 255
NOT_ALLOWED = re.compile(r"[/\\]")
INVISIBLE = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")


def variable_names(sites: Mapping[str, int], taken: Iterable[str]) -> dict[str, str]:
    """Give each site a variable's name, different from all others.

    Args:
        sites: how many dimensions the site's values have, by its name.
        taken: names that no variable may have.

    Returns:
        By site, in the order of the sites.

    Example:
        >>> variable_names({"a/b": 0, "a.b": 0, "answer": 0}, taken=["answer"])
        {'a/b': 'a.b_', 'a.b': 'a.b', 'answer': 'answer_'}
    """
    used, found = set(taken), {}
    kept = {site: None for site in sites if allowed(site) == site and site not in used}
    changed = [site for site in sites if site not in kept]
    for site in [*kept, *changed]:
        name = allowed(site)
        while not used.isdisjoint([name, *dimension_names(name, sites[site])]):
            name += "_"
        used |= {name, *dimension_names(name, sites[site])}
        found[site] = name
    return {site: found[site] for site in sites}


def dimension_names(variable: str, count: int) -> list[str]:
    """Return the names of a variable's own dimensions, as ArviZ calls them."""
    return [f"{variable}_dim_{axis}" for axis in range(count)]


def allowed(site: str) -> str:
    """Return the site's name as files can hold it; others may become the same."""
    name = INVISIBLE.sub("_", NOT_ALLOWED.sub(".", site))
    name = unicodedata.normalize("NFC", name).strip()
    name = name.encode()[:LONGEST].decode(errors="ignore")
    return f"_{name}" if not name or name.startswith(".") else name
