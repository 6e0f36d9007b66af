"""What was found that speaks against believing the run: the findings of `motes.diagnostics.findings`, as sentences."""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior
from ..findings import Finding, check


def findings(posterior: Posterior) -> list[Finding]:
    """Of the run, and of the independent runs that it may pool."""
    return [Finding(*map(_sentence, finding)) for finding in check(posterior)]


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:] + "." * (not clause.endswith((".", "!", "?")))
