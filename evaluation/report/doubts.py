"""What speaks against taking an evaluation's numbers at their word, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...ppl.decisions import pool_of
from ..results import Results
from .arm_figures import ArmFigures

FEW = 30  # problems below which an interval of accuracy is wide
CUT = 0.05  # share of draws cut off from which lengths are too short
UNREAD = 0.5  # share of draws without an answer from which the rule or the prompt is doubtful


class Doubt(NamedTuple):
    """One thing to know before believing the numbers.

    Attributes:
        name: in a few words.
        seen: what was seen.
        change: what to do about it.
    """

    name: str
    seen: str
    change: str


def doubts(evaluation: Results, figures: tuple[ArmFigures, ...]) -> tuple[Doubt, ...]:
    """Return what speaks against the numbers of an evaluation, the gravest first."""
    return tuple(_found(evaluation, figures))


def _found(evaluation: Results, figures: tuple[ArmFigures, ...]) -> Iterator[Doubt]:
    done = len(evaluation.whole)
    if not any(record.answer is not None for record in evaluation.records):
        yield Doubt(
            "No answer was ever read",
            f"None of {len(evaluation.records)} runs stated an answer that the rule reads.",
            "Look at what is written, give the model a prompt of the data set, or another rule.",
        )
    elif done and not any(row.accuracy for row in figures):
        yield Doubt(
            "Nothing was right",
            f"Answers were read, and none of {done} problems was solved by any arm.",
            "Compare some answers with the right ones by eye before believing it.",
        )
    if done < evaluation.problems:
        yield Doubt(
            "Unfinished",
            f"All arms are done with {done} of {evaluation.problems} problems.",
            "Run the same command again: it does what is missing.",
        )
    if 0 < done < FEW:
        yield Doubt(
            "Few problems",
            f"{done} problems say little: see how wide the intervals are.",
            f"Ask {FEW} problems or more; repeats make up for it only in part.",
        )
    yield from _of_draws(evaluation)
    dead = sum(row.dead for row in figures)
    if dead:
        yield Doubt(
            "Dead runs",
            f"In {dead} runs all particles died; they count as wrong.",
            "Raise `particles`, or lower `beta`.",
        )


def _of_draws(evaluation: Results) -> Iterator[Doubt]:
    """Give what the draws show: those cut off, those without an answer."""
    pools = [pool_of(record) for record in evaluation.records if record.draws is not None]
    count = sum(map(len, pools))
    if not count:
        return
    cut = sum(pool.ends.count("truncated") for pool in pools) / count
    unread = sum(pool.answers.count(None) for pool in pools) / count
    if cut > CUT:
        yield Doubt(
            "Cut off",
            f"{cut:.0%} of {count:,} solutions were cut off before their end.",
            "Raise `max_steps`, or the cap of a step.",
        )
    if unread > UNREAD:
        yield Doubt(
            "Few answers",
            f"{unread:.0%} of {count:,} solutions state no answer that the rule reads.",
            "See what is written there, and choose the prompt or the rule by it.",
        )
