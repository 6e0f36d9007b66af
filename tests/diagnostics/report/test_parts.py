"""The parts of a report: what is chosen, counted and drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest

from motes.diagnostics.report.ancestry_drawing import ancestry
from motes.diagnostics.report.colours import dark, declarations, themed
from motes.diagnostics.report.latents import latent, latents
from motes.diagnostics.report.shown_trajectories import shown_trajectories, token_distance
from motes.diagnostics.report.tables import answers
from motes.models import Trajectory


def test_the_best_the_other_and_the_farthest(make_posterior):
    best, other, farthest = shown_trajectories(make_posterior())
    assert (best.title, best.answer, best.ended) == ("The best", "17", "finished")
    assert best.probability == pytest.approx(0.45)  # of both with these tokens
    assert [step.text for step in best.steps] == ["Ben has 7 + 3 = 10.", "The answer is 17."]
    assert best.steps[0].score == pytest.approx(1 / (1 + np.exp(-3.0))) and not best.steps[0].shared
    assert (other.title, other.answer, other.probability) == (
        "The best with another answer",
        "18",
        pytest.approx(0.2),
    )
    assert (farthest.title, farthest.answer, farthest.ended) == (
        "The farthest from the best",
        None,
        "truncated",
    )
    # start-1 and 1-2 of the best's six pairs
    assert "fewest pairs" in farthest.why and "33%" in farthest.why
    assert not any(step.shared for line in (other, farthest) for step in line.steps)


def test_steps_that_are_shared_with_the_best(make_posterior):
    best, other, _ = shown_trajectories(
        make_posterior(extracted=("17", "16", "17", None, "17", None))
    )
    assert other.answer == "16" and [step.shared for step in other.steps] == [True, False]
    assert not any(step.shared for step in best.steps)


def test_one_of_a_kind_is_shown_alone(make_posterior):
    with np.errstate(divide="ignore"):
        alone = make_posterior(log_weights=np.log([0.5, 0, 0, 0, 0.5, 0]))
    assert [line.title for line in shown_trajectories(alone)] == ["The best"]


def test_distance():
    def said(*token_ids):
        return Trajectory(question="?").child("", token_ids, logprob=0.0, proposal_logprob=0.0)

    assert (
        token_distance(said(1, 2, 3), said(1, 2, 3)) == 0
        and token_distance(said(1, 2), said(3, 4)) == 1
    )
    # start-1, 1-2 of four pairs
    assert token_distance(said(1, 2, 3), said(1, 2, 4)) == pytest.approx(1 - 2 / 4)
    assert token_distance(said(), said()) == 0


@pytest.mark.parametrize(("slots", "steps"), [(1, 1), (24, 6), (200, 6), (30, 130)])
def test_who_descends_from_whom(slots, steps, forked):
    posterior = forked(slots, steps)
    drawn = ancestry(posterior)
    numbers = drawn.data
    place = {
        (t - 1, slot): i
        for i, (t, slot) in enumerate(zip(numbers["step"], numbers["slot"], strict=True))
    }
    first = min(numbers["step"]) - 1
    assert first == max(steps - 120, 0)
    for (t, slot), i in place.items():
        assert numbers["parent"][i] == (
            place[t - 1, posterior.history.ancestors[t, slot]] if t > first else -1
        )
        assert bool(drawn.dots[i].line) == (t > first)
    kept = [slot for t, slot in place if t == steps - 1]
    assert len(kept) == min(slots, 64, max(2400 // min(steps, 120), 8))
    assert drawn.whole == (len(kept) == slots)
    assert posterior.log_weights[kept].min() >= np.delete(posterior.log_weights, kept).max(
        initial=-np.inf
    )
    held = f"Together they hold {np.exp(posterior.log_weights[kept]).sum():.0%} of the weight."
    assert drawn.words.left_out.endswith("" if drawn.whole else held)


def test_lines_do_not_cross(forked):
    for drawn in (ancestry(forked(24)), ancestry(forked(200))):
        numbers = drawn.data
        for step in range(2, 7):
            pairs = sorted(
                (drawn.dots[parent].y, dot.y)
                for dot, parent, t in zip(
                    drawn.dots, numbers["parent"], numbers["step"], strict=True
                )
                if t == step
            )
            assert [y for _, y in pairs] == sorted(y for _, y in pairs)


def test_what_is_said_of_a_particle(make_posterior):
    numbers = ancestry(make_posterior()).data
    at = {
        (t, slot): i
        for i, (t, slot) in enumerate(zip(numbers["step"], numbers["slot"], strict=True))
    }
    text = lambda i: numbers["texts"][numbers["text"][i]]
    assert text(at[1, 0]) == "Ben has 7 + 3 = 10." and text(at[2, 2]) == "The answer is 18."
    assert (
        numbers["final"][at[1, 0]] == pytest.approx(0.3 + 0.1) and numbers["final"][at[1, 1]] == 0
    )
    # it has no descendants
    assert numbers["text"][at[1, 1]] == -1 and numbers["answer"][at[1, 1]] == -1
    assert numbers["weight"][at[2, 3]] == 0.25 and numbers["weight"][at[2, 5]] == 0
    assert numbers["ended"][at[2, 5]] == 1 and numbers["ended"][at[2, 0]] == 0


def test_answers_beyond_the_twelfth_are_together(forked):
    posterior = forked(100)
    rows = answers(posterior)
    assert len(rows) == 14 and rows[12].answer.endswith("others") and rows[13].answer is None
    assert sum(row.probability for row in rows) == pytest.approx(1)


def test_latents_by_weight():
    weights = np.array([0.5, 0.25, 0.25, 0.0])
    found = latent("k", np.array([1.0, 3.0, np.nan, 9.0]), weights)
    assert (
        found.mean == pytest.approx(5 / 3)
        and found.drawn == 0.75
        and (found.low, found.high) == (1, 3)
    )
    assert [round(height, 3) for _, _, height in found.bars] == [1.0, 0.5]
    assert latent("k", np.full(4, np.nan), weights).bars == []
    assert latent("k", np.full(4, 0.3), weights).bars == [(0.0, 1.0, 1.0)]


def test_latents_of_arrays_are_told_one_by_one(make_posterior):
    posterior = make_posterior(latents={"a": np.arange(180.0).reshape(6, 5, 6), "b": np.ones(6)})
    found, more = latents(posterior)
    assert (
        [of.name for of in found[:2]] == ["a[0, 0]", "a[0, 1]"] and len(found) == 24 and more == 7
    )


def contrast(one: str, other: str) -> float:
    """Of two colours "#rrggbb" (WCAG 2.2)."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    light, deep = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (deep + 0.05)


@pytest.mark.parametrize(
    "colour",
    [
        "#0072b2",
        "#e69f00",
        "#5d4037",
        "#8f8f8f",
        "#333333",
        "#440154",
        "#3b528b",
        "#00008b",
        "#7f0000",
    ],
)
def test_lines_stand_out_on_a_dark_page(colour):
    assert contrast(dark(colour), "#1b1f24") >= 3  # WCAG's for graphics


def test_colours_become_variables():
    style = themed("#0072b2")
    assert style == "var(--c-0072b2)"
    sheet = str(declarations([f"stroke:{style}"]))
    assert "--c-0072b2:#0072b2" in sheet and f"--c-0072b2:{dark('#0072b2')}" in sheet
    assert re.search(r"@media screen and \(prefers-color-scheme: dark\)", sheet)
