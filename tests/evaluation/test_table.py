"""The table and the picture say what the records say, whatever things are called."""

from __future__ import annotations

import numpy as np
import pytest
import rich
from scipy.stats import beta

from motes.evaluation import Evaluation
from motes.frequencies import jeffreys
from motes.samplers import MajorityVote, ParticleFilter

NASTY = "<b>[red]$x$</b>\x1b[0m"


@pytest.mark.parametrize(("right", "count"), [(0, 7), (3, 7), (7, 7), (60, 200)])
def test_intervals_are_jeffreys(right, count):
    low, high = beta.ppf([0.025, 0.975], right + 0.5, count - right + 0.5)
    assert jeffreys(right, count) == (
        0.0 if right == 0 else pytest.approx(low),
        1.0 if right == count else pytest.approx(high),
    )


def test_rows_count_the_records(run):
    evaluation = run()
    for k, row in enumerate(evaluation.table().rows):
        own = [record for record in evaluation.records if record.arm == k]
        assert row.problems == len(own) == 5 and row.right == sum(record.right for record in own)
        assert row.accuracy == row.right / 5 and row.tokens == pytest.approx(
            np.mean([record.tokens for record in own])
        )
    names = [(row.sampler, row.budget) for row in evaluation.table().rows]
    assert names == [
        ("filter", "particles 1"),
        ("filter", "particles 3"),
        ("weights", ""),
        ("vote", ""),
    ]
    assert (
        evaluation.table().note == "" and len({row.tokens for row in evaluation.table().rows}) == 4
    )


def test_a_table_of_zeros_says_that_nothing_was_read(run):
    """Few runs get no warning, since one silent run is no wonder: then the table says it."""
    problems = [("one?", 0), ("two?", 1)]
    mute = run(problems, answer=lambda x: None)
    assert {row.accuracy for row in mute.table().rows} == {0.0}
    assert mute.table().note.startswith("No answer was read in 8 runs: see what is written there")


def test_unfinished_problems_are_left_out_for_all(run):
    whole = run()
    part = Evaluation(
        whole.arms,
        5,
        tuple(record for record in whole.records if record.place not in ((1, 3), (4, 0))),
    )
    assert part.whole == (0, 2, 3) and not part.complete
    np.testing.assert_array_equal(part.right, whole.right[[0, 2, 3]])
    np.testing.assert_array_equal(part.tokens, whole.tokens[[0, 2, 3]])
    assert (
        part.table().note
        == "Unfinished: figures are of the 3 of 5 problems that all samplers are done with."
    )
    nothing = Evaluation(whole.arms, 5, whole.records[:1])
    assert "nan" in str(nothing.table())
    for refused in (nothing.fit, nothing.plot):
        with pytest.raises(
            ValueError, match="needs at least one problem that all samplers are done with"
        ):
            refused()


def test_names_are_text_and_nothing_else(run, capsys):
    evaluation = run(
        samplers={NASTY: ParticleFilter(particles=2), "plain": MajorityVote(samples=2)}
    )
    shown = "<b>[red]$x$</b>\N{REPLACEMENT CHARACTER}[0m"
    rich.print(evaluation.table())
    assert shown in str(evaluation.table()) and "[red]" in capsys.readouterr().out
    html = evaluation._repr_html_()
    assert (
        "&lt;b&gt;[red]$x$&lt;/b&gt;" in html
        and "<b>" not in html
        and "\x1b" not in html
        and "mathjax_ignore" in html
    )
    ax = evaluation.plot()
    ax.figure.canvas.draw()  # no formula is looked for in a name


def test_the_picture_shows_what_was_measured(run):
    import matplotlib.pyplot as plt

    evaluation = run()
    figure, given = plt.subplots()
    ax = evaluation.plot(ax=given)
    assert ax is given
    for name, drawn in zip(evaluation.methods, ax.containers, strict=True):
        rows = [row for row in evaluation.table().rows if row.sampler == name]
        dots, _, [bars] = drawn.lines
        np.testing.assert_allclose(dots.get_xydata(), [(row.tokens, row.accuracy) for row in rows])
        np.testing.assert_allclose(
            [segment[:, 1] for segment in bars.get_segments()],
            [(row.low, row.high) for row in rows],
        )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == evaluation.methods
    assert len({tuple(drawn.lines[0].get_color()) for drawn in ax.containers}) == 3
    plt.close(figure)
