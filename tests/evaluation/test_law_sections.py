"""Every law of an evaluation has a section: rows with figures and a picture, or a reason."""

from __future__ import annotations

from math import inf, nan

import pytest
from matplotlib.figure import Figure

from motes.evaluation import Evaluation, LawRow, coverage, risk_of_arm
from motes.evaluation.abstention import calibrate_selective_risk, calibration_set
from motes.evaluation.laws import (
    ModelShape,
    arise_of_methods,
    crossing_of_methods,
    law_sections,
)
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter

DRAWS = "Coverage of more draws than there were"
CROSSING = "Where search loses to sampling"
SHAPE = ModelShape(parameters=1e6, query_width=512, key_width=512)
EVERYTHING = {
    "draws": [ImportanceSampling(particles=2), ImportanceSampling(particles=4)],
}


@pytest.fixture
def sections(run):
    evaluation = run(samplers=EVERYTHING, repeats=2)
    return evaluation, {section.title: section for section in law_sections(evaluation, lm=SHAPE)}


def test_all_laws_can_be_told_of_draws_that_were_repeated(sections):
    evaluation, found = sections
    titles = {arm.title for arm in evaluation.arms}
    assert len(titles) == 2
    for section in found.values():
        if section.title == CROSSING:
            assert "one that samples from the prior" in section.missing
            continue
        assert section.missing == ""
        ax = Figure().subplots()
        assert section.plot is None or section.plot(ax) is ax
        assert section.plot is not None or section.title.startswith("Answering")
        if section.title == DRAWS:
            assert {row.arm for row in section.rows} == {"draws (particles 4)"}
        elif section.title not in ("ARISE", CROSSING):
            assert {row.arm for row in section.rows} == titles
        for row in section.rows:
            assert row.words.endswith(".")
            assert row.low != row.low or row.low <= row.estimate <= row.high


def test_rows_are_those_of_the_laws(sections):
    evaluation, found = sections
    law = coverage(evaluation)[1]
    row = found["Coverage of repeated runs"].rows[3]
    assert row[:4] == ("coverage of 2 runs", law.mean[1], law.low[1], law.high[1])
    [score] = arise_of_methods(evaluation)
    assert found["ARISE"].rows == score.rows()
    assert found["Risk against coverage"].rows[3].estimate == risk_of_arm(evaluation, 1).aurc


def test_searches_and_sampling_are_told_apart_by_their_draws(run):
    evaluation = run(
        samplers={
            "one": MajorityVote(samples=2),
            "vote": [MajorityVote(samples=n) for n in (1, 8)],
            "filter": [ParticleFilter(particles=n) for n in (2, 3)],
        }
    )
    found = {section.title: section for section in law_sections(evaluation)}[CROSSING]
    assert found.rows == crossing_of_methods(evaluation, "filter", "vote").rows()
    ax = Figure().subplots()
    assert found.plot(ax) is ax


def test_a_law_that_cannot_be_told_says_why(run):
    found = {section.title: section for section in law_sections(run())}
    reasons = {title: section.missing for title, section in found.items() if section.missing}
    assert "one that samples" in reasons.pop(CROSSING)
    assert "shape of the language model" in reasons.pop("Equivalent FLOPs")
    assert reasons == {
        "Coverage of repeated runs": (
            "coverage of several runs needs an evaluation of two repeats or more"
        ),
        "Coverage of more runs than there were": (
            "a law of coverage needs an evaluation of two repeats or more"
        ),
    }
    # a filter's particles are no independent draws, and a vote's are not scored
    assert {row.arm for row in found["The reward model as a verifier"].rows} == {"weights"}
    assert all(section.plot is None for section in found.values() if section.missing)


def test_one_arm_has_the_picture_of_its_rule(run):
    evaluation = run(samplers={"vote": MajorityVote(samples=3)})
    found = {section.title: section for section in law_sections(evaluation)}
    section = found["Answering so that at most 10% of the answers are wrong"]
    rule = calibrate_selective_risk(calibration_set(evaluation.records), 0.1)
    assert section.rows[0].estimate == rule.threshold
    ax = Figure().subplots()
    assert section.plot(ax) is ax


def test_nothing_done_is_said_of_all_laws(run):
    whole = run()
    sections = law_sections(Evaluation(whole.arms, 5, whole.records[:1]), lm=SHAPE)
    assert [section.rows for section in sections] == [()] * len(sections)
    assert all("at least one problem" in section.missing for section in sections)


def test_figures_show_what_there_is():
    assert LawRow("", 0.25, 0.2, inf, "").figures == "0.250 (0.200 to inf)"
    assert LawRow("", 12345.6, nan, nan, "").figures == "12,346"
    assert LawRow("", 1.986e11, 1.84e11, inf, "").figures == "1.99e+11 (1.84e+11 to inf)"
