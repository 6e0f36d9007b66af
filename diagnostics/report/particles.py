"""The numbers and texts of each particle of an ancestry, for the page's script.

A list for each of these, with an entry for each particle that is drawn:

    parent     number of the one that it descends from; -1 in the first column
    step       of the filter, from 1
    slot       in the population, from 0
    text       number, in `texts`, of the step's text; -1 where it is not known
    ended      the step after which it had ended, where that was before; else 0
    score      the mean r of its step; None without
    weight     normalised, after this step
    final      of its descendants, in the end
    answer     number of the shade to which most of that belongs; -1 where there is none

A particle without descendants has left no text: of a run only what survived is kept, and a step
that was rewritten later is given as it stands in the end.
"""

from __future__ import annotations

from math import exp
from typing import Any, NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ..plots.canvas import generation
from ..plots.forest import Forest
from .visible_text import legible

LONGEST = 500  # characters of a step's text


class Particle(NamedTuple):
    """A slot of the population after step t (from 0)."""

    t: int
    slot: int


def particle_numbers(
    posterior: Posterior, shown: list[Particle], lineage: np.ndarray, grown: Forest
) -> dict[str, Any]:
    """Make the lists above, with `texts` and with `kind`, what one step is called.

    Args:
        posterior: with a genealogy.
        shown: the particles, and with each its parent, but for the first step among them.
        lineage: for each step the slot from which each final one descends, shape (T, N).
        grown: their forest.
    """
    history = posterior.genealogy
    assert history is not None
    number = {particle: i for i, particle in enumerate(shown)}
    final = np.zeros(lineage.shape)
    for t, row in enumerate(lineage):
        np.add.at(final[t], row, np.exp(posterior.log_weights))
    heirs = _heirs(posterior, lineage)
    written = [_written(posterior, t, heirs[t].get(slot), len(lineage)) for t, slot in shown]
    texts: dict[str, int] = {}  # with their numbers
    for text, _ in written:
        if text is not None:
            texts.setdefault(text, len(texts))
    parents = [Particle(t - 1, int(history.ancestors[t, slot])) for t, slot in shown]
    return {
        "kind": generation(posterior),
        "parent": [number.get(parent, -1) for parent in parents],
        "step": [t + 1 for t, _ in shown],
        "slot": [slot for _, slot in shown],
        "text": [-1 if text is None else texts[text] for text, _ in written],
        "ended": [ended for _, ended in written],
        "score": [rounded(grown.score[particle]) for particle in shown],
        "weight": [rounded(exp(history.log_weights[particle])) for particle in shown],
        "final": [rounded(final[particle]) for particle in shown],
        "answer": [int(grown.shade[particle]) for particle in shown],
        "texts": list(texts),
    }


def visible(text: str) -> str:
    """Make a text fit for the page: legible, and cut where it is long."""
    text = legible(text.strip()).replace(r"\$", "$")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _heirs(posterior: Posterior, lineage: np.ndarray) -> list[dict[int, int]]:
    """Find each particle's descendant of the greatest final weight, by step and slot.

    Particles without descendants are left out.
    """
    # later entries of a dict replace earlier ones: the heaviest stays
    lightest_first = np.argsort(posterior.log_weights, kind="stable").tolist()
    return [{int(row[i]): i for i in lightest_first} for row in lineage]


def _written(posterior: Posterior, t: int, heir: int | None, steps: int) -> tuple[str | None, int]:
    """Return the step that the ancestor of this final particle wrote, and when it had ended.

    The step is None where there is none or it is not known; the end is 0 where it had not ended.
    Which step that was is known where a generation writes one: see
    `motes.diagnostics.plots.forest`, whose scores go by the same rule.
    """
    delay = int(posterior.provenance.look_ahead)
    if heir is None or posterior.provenance.generations_apart or t < delay:
        return None, 0
    if max(x.depth for x in posterior.trajectories) > steps - delay:
        return None, 0
    x = posterior.trajectories[heir]
    if t - delay >= x.depth:
        return None, x.depth + delay
    return visible(x.path[t - delay + 1].step_text), 0


def rounded(value: float) -> float | None:
    """Round a value to four digits; None for what is not finite."""
    return float(f"{float(value):.4g}") if np.isfinite(value) else None
