"""Posteriors made and changed by hand: facts and errors by the names that a posterior shows."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from motes.ppl import Posterior
from motes.ppl.posterior.errors import errors_of
from motes.ppl.posterior.provenance import Provenance

FACTS = {field.name for field in fields(Provenance)}
PARTS = ("history", "chains", "runs")


def sorted_out(changes: dict[str, Any], before: Posterior | None = None) -> dict[str, Any]:
    """The arguments of a posterior: history, chains and runs make its errors, facts its
    provenance."""
    own = dict(changes)
    facts = {name: own.pop(name) for name in FACTS & own.keys()}
    died = facts.get("died", 0 if before is None else before.provenance.died)
    known = {} if before is None else {name: getattr(before, name) for name in PARTS}
    given = {name: own.pop(name) for name in PARTS if name in own}
    if given:
        own["errors"] = errors_of(**{**known, **given}, died=died)
    if facts:
        own["provenance"] = (
            Provenance(**facts) if before is None else replace(before.provenance, **facts)
        )
    return own


def posterior_of(**attributes: Any) -> Posterior:
    """A posterior of these attributes."""
    return Posterior(**sorted_out(attributes))


def changed(posterior: Posterior, **changes: Any) -> Posterior:
    """The posterior with these attributes instead of its own."""
    return replace(posterior, **sorted_out(changes, posterior))
