"""The colour and the name that an answer has in all pictures of a posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ..formatting import printable

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
    """The most probable answers by name, the others together, and no answer; of these, those that there are."""
    probabilities = posterior.answers
    stated = [answer for answer in probabilities if answer is not None]
    named, others = stated[: len(NAMED)], tuple(stated[len(NAMED) :])
    found = [
        Shade(readable(answer), colour, (answer,), probabilities[answer])
        for answer, colour in zip(named, NAMED, strict=False)
    ]
    if others:
        found.append(
            Shade(
                other(len(others)), OTHERS, others, sum(probabilities[answer] for answer in others)
            )
        )
    if None in probabilities:
        found.append(Shade("no answer", NO_ANSWER, (None,), probabilities[None]))
    return found


def shade_numbers(posterior: Posterior, groups: list[Shade]) -> np.ndarray:
    """For each trajectory its shade's number; -1 where its weight is zero; int64, shape (N,)."""
    number = {answer: i for i, shade in enumerate(groups) for answer in shade.answers}
    living = (posterior.log_weights > -np.inf).tolist()
    return np.array(
        [
            number[label] if alive else -1
            for label, alive in zip(posterior.labels, living, strict=True)
        ],
        np.int64,
    )


def readable(answer: str | None) -> str:
    """An answer in one short line, which matplotlib prints as it stands: dollar signs are prices, not mathematics."""
    if answer is None:
        return "no answer"
    line = " ".join(printable(answer).split()) or "(empty)"
    short = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    # legends leave out what begins with an underscore
    spaced = f" {short}" if short.startswith("_") else short
    return spaced.replace("$", r"\$")


def other(count: int) -> str:
    """What some answers that are not named are called together."""
    return f"{count} other{'s' * (count != 1)}"


def keys(groups: list[Shade]) -> list[Line2D]:
    """An entry of a legend for each shade, with its probability."""
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
