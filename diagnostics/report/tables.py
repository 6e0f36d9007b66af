"""The tables of a report: the answers, the facts of the run, its settings, cost and versions."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from typing import NamedTuple

from ...ppl.posterior.posterior import Posterior
from ..facts import (
    cost_in_words,
    evidence_in_words,
    mixing_in_words,
    population_in_words,
    rates_in_words,
    stopping_in_words,
    tree_in_words,
)
from ..formatting import counted, plus_minus
from ..plots.shades import shades
from .visible_text import short

MOST = 12  # answers by name
LONGEST = 160  # characters of an answer
PACKAGES = ("motes", "numpy", "jax", "torch", "transformers", "numpyro", "matplotlib")

GUARANTEES = {
    "invariant": (
        "The chains leave the declared target as it is: run for long enough, their draws are from "
        "it."
    ),
    "consistent": "With more and more particles the weighted sample becomes the declared target.",
    "heuristic": (
        "Nothing is promised: the weights do not converge to the declared target, however many "
        "particles there are."
    ),
}
EVIDENCES = {
    "unbiased": (
        "On average over seeds the estimate of the evidence is right, with any number of particles."
    ),
    "consistent": (
        "The estimate of the evidence becomes right with many particles; with few it is biased."
    ),
    "none": "There is no estimate of the evidence, or none that anything is known of.",
}


class Row(NamedTuple):
    """A bar of the table of answers.

    Attributes:
        answer: the answer, or the name of several; None for no answer.
        single: whether it is one answer.
        shade: its number.
        probability: in [0, 1].
        error: the Monte Carlo standard error; None where it is undefined.
        words: both.
    """

    answer: str | None
    single: bool
    shade: int
    probability: float
    error: float | None
    words: str


def answers(posterior: Posterior) -> list[Row]:
    """List the most probable answers, the others together, and last no answer."""
    shade: dict[str | None, int] = {}
    for number, group in enumerate(shades(posterior)):
        shade |= dict.fromkeys(group.answers, number)
    errors = posterior.answer_mcse
    stated = [answer for answer in posterior.answers if answer is not None]
    named, others = stated[:MOST], stated[MOST:]

    def row(answer: str | None) -> Row:
        name = None
        if answer is not None:
            name = short(answer, LONGEST) or "(empty)"
        probability = posterior.answers[answer]
        error = None if isnan(errors[answer]) else errors[answer]
        words = plus_minus(probability, error)
        return Row(name, answer is not None, shade[answer], probability, error, words)

    rows = [row(answer) for answer in named]
    if others:
        total = sum(posterior.answers[answer] for answer in others)
        name = counted(len(others), "other")
        rows.append(Row(name, False, shade[others[0]], total, None, f"{total:.3f}"))
    if None in posterior.answers:
        rows.append(row(None))
    return rows


def facts(posterior: Posterior) -> dict[str, str]:
    """Collect the facts of the run, by name; those that there are."""
    lines = {
        "Sampler": posterior.sampler,
        "Target": posterior.target,
        "Guarantee": f"{posterior.guarantee.capitalize()}. {GUARANTEES[posterior.guarantee]}",
        "Stopping": stopping_in_words(posterior),
        "Log-evidence": evidence_in_words(posterior),
        "Evidence": f"{posterior.evidence.capitalize()}. {EVIDENCES[posterior.evidence]}",
        "Population": population_in_words(posterior),
        "Tree": tree_in_words(posterior),
        "Chains": mixing_in_words(posterior),
        "Rates": rates_in_words(posterior),
        "Cost": cost_in_words(posterior.cost),
        "Cost of a step": posterior.step_cost,
        "Paper": posterior.paper,
    }
    return {name: line for name, line in lines.items() if line}


def settings(posterior: Posterior) -> dict[str, str]:
    """Word all settings of the run; the prompt as a text, not as ids."""
    lines = {}
    for name, value in posterior.settings.items():
        if name != "prompt_token_ids":
            lines[name.replace("_", " ")] = _value(value)
    return lines


def costs(posterior: Posterior) -> dict[str, str]:
    """Write the cost of the run: what was computed, counted."""
    lines = {}
    for name, value in posterior.cost.asdict().items():
        form = ",.2f" if isinstance(value, float) else ","
        lines[name.replace("_", " ")] = format(value, form)
    return lines


def versions() -> dict[str, str]:
    """Look up the versions of Python and of the packages that matter for the numbers.

    They are those of the machine that writes the report.
    """
    return {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(of)}" for name, of in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
