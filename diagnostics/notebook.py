"""A posterior in a notebook: a short piece of HTML that needs nothing from outside and is legible on light and dark.

All text is escaped, dollar signs are prices and not formulas, and colours are the page's own but
for the bars, whose blue stands out on white and on black.
"""

from __future__ import annotations

from html import escape
from typing import Any

from ..ppl.posterior.posterior import Posterior
from .facts import (
    cost_in_words,
    evidence_in_words,
    facts,
    mixing_in_words,
    population_in_words,
    rates_in_words,
)
from .formatting import plus_minus, printable

MOST = 8  # answers shown by name
LONGEST = 400  # characters of the question
BLUE, AMBER, TRACK = "#4a86e8", "#e69138", "rgba(128,128,128,.18)"
TABLE = "border:none;border-collapse:collapse;font-size:inherit;color:inherit"
LABEL = "opacity:.65;padding:1px 12px 1px 0;text-align:left;vertical-align:top;white-space:nowrap"
NOTE = f"border-left:3px solid {AMBER};padding-left:8px;margin-top:6px"
CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top"


def html(posterior: Posterior) -> str:
    """The question, the answers as bars, the log-evidence, the ESS by step, the cost and the guarantee."""
    known = facts(posterior)
    question = printable(posterior.question.strip())
    shown = question if len(question) <= LONGEST else question[:LONGEST] + " ..."
    lines = {
        "log-evidence": escape(evidence_in_words(posterior)),
        "ESS by step": _ess(known),
        "chains": escape(mixing_in_words(posterior)),
        "rates": escape(rates_in_words(posterior)),
        "population": escape(population_in_words(posterior)),
        "target": escape(
            f"{posterior.target}, sampled by {posterior.sampler}: {posterior.guarantee}"
        ),
        "cost": escape(cost_in_words(posterior.cost)),
    }
    rows = "".join(
        _row(f'<td style="{LABEL}">{name}</td><td style="{CELL}">{line}</td>')
        for name, line in lines.items()
        if line
    )
    notes = "".join(_finding(**finding) for finding in known["findings"])
    return (
        f'<div class="tex2jax_ignore mathjax_ignore" style="font-size:13px;line-height:1.45;max-width:760px">'
        f'<div style="white-space:pre-wrap;margin-bottom:8px">{escape(shown)}</div>'
        f'<table style="{TABLE};margin:0 0 8px 0">{_answers(known)}</table>'
        f'<table style="{TABLE};margin:0">{rows}</table>{notes}</div>'
    )


def _finding(name: str, seen: str, why: str, change: str) -> str:
    said = escape(printable(f"{seen}; {why}. To change: {change}."))
    return f'<div style="{NOTE}"><b>{escape(printable(name)).capitalize()}</b>: {said}</div>'


def _answers(known: dict[str, Any]) -> str:
    lines = []
    for row in known["answers"][:MOST]:
        label = (
            "<i>no answer</i>"
            if row["answer"] is None
            else f"<b>{escape(printable(row['answer']))}</b>"
        )
        lines.append(
            _answer(label, plus_minus(row["probability"], row["mcse"]), row["probability"])
        )
    if rest := known["answers"][MOST:]:
        total = sum(row["probability"] for row in rest)
        lines.append(_answer(f"<i>{len(rest)} others</i>", f"{total:.3f}", total))
    return "".join(lines)


def _answer(label: str, numbers: str, probability: float) -> str:
    track = f'<div style="width:200px;height:10px;background:{TRACK};border-radius:2px">{_filled(probability)}</div>'
    return _row(
        f'<td style="{CELL};max-width:260px;overflow-wrap:anywhere">{label}</td>'
        f'<td style="{CELL};white-space:nowrap;font-variant-numeric:tabular-nums">{numbers}</td>'
        f'<td style="{CELL};vertical-align:middle">{track}</td>'
    )


def _row(cells: str) -> str:
    return f'<tr style="background:none">{cells}</tr>'  # notebooks stripe their tables


def _filled(fraction: float) -> str:
    return f'<div style="width:{100 * fraction:.1f}%;height:10px;background:{BLUE};border-radius:2px"></div>'


def _ess(known: dict[str, Any]) -> str:
    """Bars, amber where the population was resampled just before the step."""
    ess, size, height = known["ess"], known["trajectories"], 28
    if not known["resampled"]:
        return ""
    bars = "".join(
        f'<rect x="{8 * i}" y="{height * (1 - value / size):.1f}" width="6" height="{height * value / size:.1f}" '
        f'fill="{AMBER if resampled else BLUE}"><title>step {i + 1}: {value:.1f}{", after resampling" * resampled}</title></rect>'
        for i, (value, resampled) in enumerate(zip(ess, known["resampled"], strict=True))
    )
    words = (
        f"of {size}; least {min(ess):.1f}, last {ess[-1]:.1f}"
        + "; amber: resampled just before" * any(known["resampled"])
    )
    return (
        f'<svg role="img" aria-label="effective sample size by step" width="{8 * len(ess)}" height="{height}" '
        f'style="background:{TRACK};vertical-align:bottom;margin-right:8px">{bars}</svg>{words}'
    )
