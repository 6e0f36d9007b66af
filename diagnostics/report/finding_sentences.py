"""What speaks against believing the run: `motes.diagnostics.findings`, as sentences."""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior
from ..findings import Finding, check


def findings(posterior: Posterior) -> list[Finding]:
    """List the findings on the run, and on the independent runs that it may pool."""
    return [Finding(*map(_sentence, finding)) for finding in check(posterior)]


def _sentence(clause: str) -> str:
    sentence = clause[:1].upper() + clause[1:]
    if sentence.endswith((".", "!", "?")):
        return sentence
    return f"{sentence}."
