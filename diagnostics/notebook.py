"""A posterior in a notebook: a short piece of HTML.

It needs nothing from outside, and is legible on light and on dark pages. All text is escaped,
dollar signs are prices and not formulas, and colours are the page's own but for the bars, whose
blue stands out on white and on black.
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
    stopping_in_words,
    tree_in_words,
)
from .formatting import plus_minus, printable

MOST = 8  # answers shown by name
LONGEST = 400  # characters of the question
HEIGHT = 28  # of the bars for the ESS, in pixels
BLUE, AMBER, TRACK = "#4a86e8", "#e69138", "rgba(128,128,128,.18)"
PAGE = "font-size:13px;line-height:1.45;max-width:760px"
TABLE = "border:none;border-collapse:collapse;font-size:inherit;color:inherit"
LABEL = "opacity:.65;padding:1px 12px 1px 0;text-align:left;vertical-align:top;white-space:nowrap"
NOTE = f"border-left:3px solid {AMBER};padding-left:8px;margin-top:6px"
CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top"


def html(posterior: Posterior) -> str:
    """Write the question, the answers as bars, the facts of the run, and the findings as HTML."""
    values = facts(posterior)
    question = printable(posterior.question.strip())
    if len(question) > LONGEST:
        question = question[:LONGEST] + " ..."
    lines = {
        "stopping": escape(printable(stopping_in_words(posterior))),
        "log-evidence": escape(evidence_in_words(posterior)),
        "ESS by step": _ess(values),
        "tree": escape(tree_in_words(posterior)),
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
    notes = "".join(_finding(**finding) for finding in values["findings"])
    return (
        f'<div class="tex2jax_ignore mathjax_ignore" style="{PAGE}">'
        f'<div style="white-space:pre-wrap;margin-bottom:8px">{escape(question)}</div>'
        f'<table style="{TABLE};margin:0 0 8px 0">{_answers(values)}</table>'
        f'<table style="{TABLE};margin:0">{rows}</table>{notes}</div>'
    )


def _finding(name: str, seen: str, why: str, change: str) -> str:
    said = escape(printable(f"{seen}; {why}. To change: {change}."))
    return f'<div style="{NOTE}"><b>{escape(printable(name)).capitalize()}</b>: {said}</div>'


def _answers(values: dict[str, Any]) -> str:
    lines = []
    for row in values["answers"][:MOST]:
        label = "<i>no answer</i>"
        if row["answer"] is not None:
            label = f"<b>{escape(printable(row['answer']))}</b>"
        numbers = plus_minus(row["probability"], row["mcse"])
        lines.append(_answer(label, numbers, row["probability"]))
    rest = values["answers"][MOST:]
    if rest:
        total = sum(row["probability"] for row in rest)
        lines.append(_answer(f"<i>{len(rest)} others</i>", f"{total:.3f}", total))
    return "".join(lines)


def _answer(label: str, numbers: str, probability: float) -> str:
    bar = _bar(f"{100 * probability:.1f}%", BLUE)
    track = _bar("200px", TRACK, bar)
    return _row(
        f'<td style="{CELL};max-width:260px;overflow-wrap:anywhere">{label}</td>'
        f'<td style="{CELL};white-space:nowrap;font-variant-numeric:tabular-nums">{numbers}</td>'
        f'<td style="{CELL};vertical-align:middle">{track}</td>'
    )


def _row(cells: str) -> str:
    return f'<tr style="background:none">{cells}</tr>'  # notebooks stripe their tables


def _bar(width: str, colour: str, content: str = "") -> str:
    style = f"width:{width};height:10px;background:{colour};border-radius:2px"
    return f'<div style="{style}">{content}</div>'


def _ess(values: dict[str, Any]) -> str:
    """Draw the ESS of each step as a bar, amber where the population was resampled just before."""
    if not values["resampled"]:
        return ""
    ess = values["ess"]
    size = values["trajectories"]
    bars = []
    for i, (value, resampled) in enumerate(zip(ess, values["resampled"], strict=True)):
        title = f"step {i + 1}: {value:.1f}"
        if resampled:
            title += ", after resampling"
        top = HEIGHT * (1 - value / size)
        bars.append(
            f'<rect x="{8 * i}" y="{top:.1f}" width="6" height="{HEIGHT * value / size:.1f}" '
            f'fill="{AMBER if resampled else BLUE}"><title>{title}</title></rect>'
        )
    words = f"of {size}; least {min(ess):.1f}, last {ess[-1]:.1f}"
    if any(values["resampled"]):
        words += "; amber: resampled just before"
    return (
        '<svg role="img" aria-label="effective sample size by step" '
        f'width="{8 * len(ess)}" height="{HEIGHT}" '
        f'style="background:{TRACK};vertical-align:bottom;margin-right:8px">{"".join(bars)}</svg>'
        f"{words}"
    )
