"""The colour and the name that an answer has in all pictures of a posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ..formatting import counted, printable

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

NAMED = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
)  # Okabe and Ito's, but for black and yellow
OTHERS, NO_ANSWER, WEIGHTLESS = "#5D4037", "#8F8F8F", "#D9D9D9"
LONGEST = 28  # characters of an answer


class Shade(NamedTuple):
    """A group of answers with one colour.

    Attributes:
        name: of the group, as it is printed.
        colour: as "#rrggbb".
        answers: keys of `Posterior.answers`.
        probability: of all of them.
    """

    name: str
    colour: str
    answers: tuple[str | None, ...]
    probability: float


def shades(posterior: Posterior) -> list[Shade]:
    """Group the answers: the most probable ones by name, the others together, and no answer.

    Groups without an answer are left out.
    """
    probabilities = posterior.answers
    stated = [answer for answer in probabilities if answer is not None]
    named, others = stated[: len(NAMED)], tuple(stated[len(NAMED) :])
    groups = [
        Shade(readable(answer), colour, (answer,), probabilities[answer])
        for answer, colour in zip(named, NAMED, strict=False)
    ]
    if others:
        groups.append(
            Shade(
                other(len(others)), OTHERS, others, sum(probabilities[answer] for answer in others)
            )
        )
    if None in probabilities:
        groups.append(Shade("no answer", NO_ANSWER, (None,), probabilities[None]))
    return groups


def shade_numbers(posterior: Posterior, groups: list[Shade]) -> np.ndarray:
    """Give each trajectory its shade's number; -1 where its weight is zero; int64, shape (N,)."""
    number = {answer: i for i, shade in enumerate(groups) for answer in shade.answers}
    living = (posterior.log_weights > -np.inf).tolist()
    numbers = np.full(len(living), -1, np.int64)
    for i, label in enumerate(posterior.labels):
        if living[i]:
            numbers[i] = number[label]
    return numbers


def readable(answer: str | None) -> str:
    """Shorten an answer to one line, which matplotlib prints as it stands.

    Dollar signs are prices, not mathematics.
    """
    if answer is None:
        return "no answer"
    line = " ".join(printable(answer).split()) or "(empty)"
    short = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    # legends leave out what begins with an underscore
    spaced = f" {short}" if short.startswith("_") else short
    return spaced.replace("$", r"\$")


def other(count: int) -> str:
    """Name a group of so many other answers."""
    return counted(count, "other")


def keys(groups: list[Shade]) -> list[Line2D]:
    """Make an entry of a legend for each shade, with its probability."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            color=shade.colour,
            linewidth=3,
            label=f"{shade.name}  ({shade.probability:.2f})",
        )
        for shade in groups
    ]
