"""A posterior on a terminal, drawn with rich.

`render` is a pure function from a posterior to something that rich can print.
"""

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
    stopping_in_words,
    tree_in_words,
)
from .formatting import plus_minus, printable

WIDTH = 24  # of the longest bar, in characters
MOST = 8  # answers shown by name
LEVELS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"


def render(posterior: Posterior) -> RenderableType:
    """Render the question, the best reasoning, the answers as bars, and the run's diagnostics."""
    values = facts(posterior)
    parts = [
        Text(printable(posterior.question.strip())),
        _titled(_heading(values), _steps(values)),
        _titled("Answers", _answers(values)),
        _titled("Run", _facts(posterior, values)),
    ]
    return Group(*parts, *(_finding(**finding) for finding in values["findings"]))


def bar(fraction: float, width: int = WIDTH) -> str:
    """Draw a horizontal bar, `fraction` of `width` characters long, to an eighth of a character."""
    full, eighths = divmod(round(fraction * width * 8), 8)
    return ("█" * full + EIGHTHS[eighths]).rstrip()


def sparkline(fractions: list[float]) -> str:
    """Draw a character for each number in [0, 1], the taller the larger."""
    highest = len(LEVELS) - 1
    levels = (min(int(fraction * len(LEVELS)), highest) for fraction in fractions)
    return "".join(LEVELS[level] for level in levels)


def _finding(name: str, seen: str, why: str, change: str) -> RenderableType:
    text = Text("\n" + printable(name).capitalize(), style="bold yellow")
    return text.append(printable(f": {seen}; {why}. To change: {change}."), style="not bold yellow")


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(""), Text(title, style="bold"), Padding(body, (0, 0, 0, 2)))


def _heading(values: dict[str, Any]) -> str:
    """Word the heading of the reasoning: to which answer it leads, and how it ended."""
    about = "no answer was stated"
    if values["answer"] is not None:
        about = f"the most probable to {printable(values['answer'])}"
    if values["reasoning"]["finished"]:
        return f"Reasoning: {about}"
    state = "truncated" if values["reasoning"]["truncated"] else "unfinished"
    return f"Reasoning: {about} ({state})"


def _steps(values: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim")
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for number, step in enumerate(values["reasoning"]["steps"], start=1):
        reward = Text("" if step["reward"] is None else f"r = {step['reward']:.3f}", style="cyan")
        table.add_row(str(number), Text(printable(step["text"].strip())), reward)
    return table


def _answers(values: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(max_width=40)
    table.add_column(no_wrap=True)
    pooled = any(row["interval"] for row in values["answers"])
    if pooled:  # a column for the interval over runs
        table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    for row in values["answers"][:MOST]:
        table.add_row(*_answer_cells(row, pooled))
    rest = values["answers"][MOST:]
    if rest:
        total = sum(row["probability"] for row in rest)
        cells = [Text(f"{len(rest)} others", style="dim"), Text(f"{total:.3f}")]
        if pooled:
            cells.append(Text(""))
        table.add_row(*cells, Text(bar(total), style="dim"))
    return table


def _answer_cells(row: dict[str, Any], pooled: bool) -> list[Text]:
    """Make an answer's cells: name, probability, interval if the runs are pooled, and bar."""
    label = Text("no answer", style="italic dim")
    colour = "dim"
    if row["answer"] is not None:
        label = Text(printable(row["answer"]), style="bold")
        colour = "green"
    cells = [label, Text(plus_minus(row["probability"], row["mcse"]))]
    if pooled:
        low, high = row["interval"]
        cells.append(Text(f"{low:.2f} to {high:.2f}"))
    return [*cells, Text(bar(row["probability"]), style=colour)]


def _facts(posterior: Posterior, values: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(ratio=1)
    lines = {
        "stopping": stopping_in_words(posterior),
        "log-evidence": evidence_in_words(posterior),
        "ESS by step": _ess(values),
        "tree": tree_in_words(posterior),
        "chains": mixing_in_words(posterior),
        "rates": rates_in_words(posterior),
        "population": population_in_words(posterior),
        "target": f"{posterior.target}, sampled by {posterior.sampler}: {posterior.guarantee}",
        "cost": cost_in_words(posterior.cost),
    }
    for name, line in lines.items():
        if line:
            table.add_row(name, Text(printable(line)))
    return table


def _ess(values: dict[str, Any]) -> str:
    """Word the ESS of each step, and when the population was resampled; "" without a history."""
    if not values["resampled"]:
        return ""
    size = values["trajectories"]
    ess = values["ess"]
    steps = [str(step) for step, resampled in enumerate(values["resampled"], start=1) if resampled]
    resampling = "never resampled"
    if steps:
        noun = "step" if len(steps) == 1 else "steps"
        resampling = f"resampled before {noun} {', '.join(steps)}"
    line = sparkline([value / size for value in ess])
    return f"{line} of {size}; least {min(ess):.1f}, last {ess[-1]:.1f}; {resampling}"
