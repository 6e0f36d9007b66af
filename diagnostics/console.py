"""A posterior on a terminal, drawn with rich: a pure function from a posterior to something rich can print."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

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

WIDTH = 24  # of the longest bar, in characters
MOST = 8  # answers shown by name
LEVELS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"


def render(posterior: Posterior) -> RenderableType:
    """The question, the reasoning behind the most probable answer, the answers as bars, and the run's diagnostics."""
    known = facts(posterior)
    parts = [
        Text(printable(posterior.question.strip())),
        _titled(_heading(known), _steps(known)),
        _titled("Answers", _answers(known)),
        _titled("Run", _facts(posterior, known)),
    ]
    return Group(*parts, *(_finding(**finding) for finding in known["findings"]))


def bar(fraction: float, width: int = WIDTH) -> str:
    """A horizontal bar, `fraction` of `width` characters long, to an eighth of a character."""
    full, eighths = divmod(round(fraction * width * 8), 8)
    return ("█" * full + EIGHTHS[eighths]).rstrip()


def sparkline(fractions: list[float]) -> str:
    """A character for each number in [0, 1], the taller the larger."""
    return "".join(
        LEVELS[min(int(fraction * len(LEVELS)), len(LEVELS) - 1)] for fraction in fractions
    )


def _finding(name: str, seen: str, why: str, change: str) -> RenderableType:
    text = Text("\n" + printable(name).capitalize(), style="bold yellow")
    return text.append(printable(f": {seen}; {why}. To change: {change}."), style="not bold yellow")


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(""), Text(title, style="bold"), Padding(body, (0, 0, 0, 2)))


def _heading(known: dict[str, Any]) -> str:
    state = (
        ""
        if known["reasoning"]["finished"]
        else " (truncated)"
        if known["reasoning"]["truncated"]
        else " (unfinished)"
    )
    about = (
        "no answer was stated"
        if known["answer"] is None
        else f"the most probable to {printable(known['answer'])}"
    )
    return f"Reasoning: {about}{state}"


def _steps(known: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim")
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for number, step in enumerate(known["reasoning"]["steps"], start=1):
        reward = Text("" if step["reward"] is None else f"r = {step['reward']:.3f}", style="cyan")
        table.add_row(str(number), Text(printable(step["text"].strip())), reward)
    return table


def _answers(known: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=40)
    table.add_column(no_wrap=True)
    if intervals := any(row["interval"] for row in known["answers"]):
        table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    for row in known["answers"][:MOST]:
        label = (
            Text("no answer", style="italic dim")
            if row["answer"] is None
            else Text(printable(row["answer"]), style="bold")
        )
        probability = Text(plus_minus(row["probability"], row["mcse"]))
        over_runs = [Text("{:.2f} to {:.2f}".format(*row["interval"]))] if intervals else []
        table.add_row(
            label,
            probability,
            *over_runs,
            Text(bar(row["probability"]), style="dim" if row["answer"] is None else "green"),
        )
    if rest := known["answers"][MOST:]:
        total = sum(row["probability"] for row in rest)
        blank = [""] if intervals else []
        table.add_row(
            Text(f"{len(rest)} others", style="dim"),
            Text(f"{total:.3f}"),
            *blank,
            Text(bar(total), style="dim"),
        )
    return table


def _facts(posterior: Posterior, known: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(ratio=1)
    facts = {
        "log-evidence": evidence_in_words(posterior),
        "ESS by step": _ess(known),
        "chains": mixing_in_words(posterior),
        "rates": rates_in_words(posterior),
        "population": population_in_words(posterior),
        "target": f"{posterior.target}, sampled by {posterior.sampler}: {posterior.guarantee}",
        "cost": cost_in_words(posterior.cost),
    }
    for name, fact in facts.items():
        if fact:
            table.add_row(name, Text(printable(fact)))
    return table


def _ess(known: dict[str, Any]) -> str:
    if not known["resampled"]:
        return ""
    size, ess = known["trajectories"], known["ess"]
    steps = [str(step) for step, resampled in enumerate(known["resampled"], start=1) if resampled]
    resampled = (
        f"resampled before step{'s' * (len(steps) > 1)} {', '.join(steps)}"
        if steps
        else "never resampled"
    )
    return (
        f"{sparkline([value / size for value in ess])} of {size}; least {min(ess):.1f}, last "
        f"{ess[-1]:.1f}; {resampled}"
    )
