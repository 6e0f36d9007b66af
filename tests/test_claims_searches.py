"""Claims that need searches run: their arithmetic, and that the page says what records say."""

from __future__ import annotations

from pathlib import Path

import a_star
import a_star_report
import annealing
import annealing_report
import numpy as np
import pytest
import scaling_rate
import scaling_rate_model
import scaling_rate_report
from arm_runs import Counted, arm_rows, problems_by_steps, run_blocks
from equal_accuracy import Ratio, ratio, reached, signs, table_of
from kept_records import read

import motes
from motes.models import FunctionReward, TableLM
from motes.samplers import ParticleFilter

ROOT = Path(__file__).parents[1]


def drawn(*draws):
    return Ratio(float(np.median(draws)), min(draws), max(draws), 0.5, np.array(draws))


def test_more_problems_begin_with_the_same_ones_and_take_the_steps_in_turn():
    few, more = problems_by_steps(5, (4, 8), 3), problems_by_steps(8, (4, 8), 3)
    assert [problem.question for problem in few] == [problem.question for problem in more[:5]]
    assert len({problem.question for problem in more}) == 8


def test_prefixes_are_counted_once_for_each_question():
    lm = TableLM(lambda prefix: [0.5, 0.5])
    judge = Counted(FunctionReward(lambda node: float(node.token_ids[-1])))
    for question in ("?", "!"):
        root = lm.start(question)
        nodes = [root.child(str(i), (i,), logprob=-1.0, proposal_logprob=-1.0) for i in (0, 1, 1)]
        assert judge.score(nodes).tolist() == [0.0, 1.0, 1.0]
        judge.score(nodes[:1])
    assert {asked: len(found) for asked, found in judge.prefixes.items()} == {"?": 2, "!": 2}


@pytest.mark.slow
def test_a_block_costs_what_its_runs_cost_alone():
    # within a block tokens of a pass may be charged to another problem; their sum is right.
    # Planted: with the same question twice in a batch the reward model reads fewer tokens
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    asked, sampler = problems_by_steps(2, (4, 5), 3), ParticleFilter(particles=4)
    together = np.array(arm_rows(asked, sampler, lm, prm, 0))
    alone = np.array([arm_rows([problem], sampler, lm, prm, 0)[0] for problem in asked])
    assert together[:, [0, 1, 3]].tolist() == alone[:, [0, 1, 3]].tolist()
    assert together[:, 2].sum() == alone[:, 2].sum()
    assert np.all(alone[:, 2] > alone[:, 3])
    with pytest.raises(ValueError, match="different"):
        arm_rows([asked[0]] * 2, sampler, lm, prm, 0)


def test_blocks_go_on_where_they_were_stopped(tmp_path):
    ran = []

    def rows_of(arm, asked):
        ran.append((arm, tuple(asked)))
        if len(ran) == 3:
            raise KeyboardInterrupt
        return {arm: [[problem] for problem in asked]}

    arguments = tmp_path / "records.json.gz", [0, 1, 2, 3], 2, ["a", "b"], rows_of
    with pytest.raises(KeyboardInterrupt):
        run_blocks(*arguments)
    rows = run_blocks(*arguments)
    assert rows == {"a": [[0], [1], [2], [3]], "b": [[0], [1], [2], [3]]}
    assert ran == [("a", (0, 1)), ("b", (0, 1)), ("a", (2, 3)), ("a", (2, 3)), ("b", (2, 3))]


def test_a_table_has_the_problems_that_all_have_been_run_on():
    rows = {"a 1": [[1, 2, 3, 4], [0, 2, 3, 4]], "b 1": [[0, 5, 6, 7]], "c 1": []}
    found = table_of(rows, [("a", 1), ("b", 1)])
    assert {arm: column.tolist() for arm, column in found.items()} == {
        ("a", 1): [[1, 2, 3, 4]],
        ("b", 1): [[0, 5, 6, 7]],
    }
    assert table_of(rows, [("a", 1), ("c", 1)])["a", 1].shape == (0, 4)


def test_tails_and_shares_of_a_ratio():
    found = drawn(0.5, 2.0, 3.0, 8.0)
    assert found.tail() == 0.5  # one of four is below 1, doubled
    assert found.share(3.0) == 0.5
    assert str(drawn(0.0, 2.0, np.inf)) == "2 (0 to infinite)"


def test_signs_count_where_two_differ():
    truth = {"a": [1, 1, 1, 1, 1, 1, 0], "b": [0, 0, 0, 0, 0, 0, 0], "c": [1, 1, 1, 1, 1, 0, 0]}
    table = {(name, 1): np.array([[x, 0, 0, 0] for x in column]) for name, column in truth.items()}
    found = signs(table, ("a", 1), [("b", 1), ("c", 1)])
    assert found == [(6, pytest.approx(2 * 2 / 2**6)), (1, 1.0)]


@pytest.mark.parametrize(
    ("accuracy", "at"), [(0.1, 10.0), (0.2, 10.0), (0.4, 20.0), (0.6, 40.0), (0.61, np.inf)]
)
def test_where_a_curve_reaches_an_accuracy(accuracy, at):
    assert reached(accuracy, np.array([10.0, 40.0]), np.array([0.2, 0.6])) == pytest.approx(at)


def test_a_ratio_that_was_planted_is_found_in_the_costs_it_was_planted_in():
    # "dear" is right where "cheap" is, at 4 times the tokens, half of them the reward model's.
    # Planted: with the reward model's tokens left out the first ratio is 2
    rng, table = np.random.default_rng(5), {}
    hard = rng.normal(0, 1, 200)
    for n in (1, 4, 16, 64):
        right = rng.random(200) < 1 / (1 + np.exp(-(0.6 * np.log2(n) - 1.5 - hard)))
        for name, generated, judged in (("cheap", 100, 0), ("dear", 200, 200)):
            spent = np.full(200, float(n))
            table[name, n] = np.stack([right, generated * spent, judged * spent, spent], axis=1)
    both, generated = (ratio(table, "cheap", "dear", (1, price, 0)) for price in (1, 0))
    assert both[:3] == pytest.approx((4, 4, 4))  # the same problems are right: nothing is random
    assert generated[:3] == pytest.approx((2, 2, 2))
    assert ratio(table, "dear", "cheap", (1, 1, 0)).estimate == pytest.approx(1 / 4)


def test_a_method_that_is_not_as_right_at_its_most_as_another_at_its_least():
    # the accuracy is 0.5, the worse one's best: on the whole it is there with 400 tokens. It
    # reaches 0.5 in about half of the samples, so that the upper end is infinite
    right = {"good": [np.ones(10), np.ones(10)], "bad": [np.zeros(10), np.arange(10) < 5]}
    table = {
        (name, n): np.stack([truth, np.full(10, 100.0 * n), np.zeros(10), np.zeros(10)], axis=1)
        for name, columns in right.items()
        for n, truth in zip((1, 4), columns, strict=True)
    }
    found = ratio(table, "good", "bad", (1, 0, 0))
    assert found.accuracy == 0.5
    assert found.estimate == pytest.approx(4)
    assert str(found).endswith("to infinite)")


def test_a_quarter_of_the_particles_is_compared_with_all_of_the_others():
    right = {("particle filter", 4): [1, 1, 0, 0], ("DVTS", 16): [1, 0, 0, 0]}
    table = {arm: np.array([[x, 0, 0, 0] for x in column]) for arm, column in right.items()}
    gain, low, high = scaling_rate_report.quarter(table, "DVTS")
    assert (gain, low, high) == (0.25, 0.0, 0.75)


def test_the_model_is_given_every_method_at_its_tokens_of_both_models(monkeypatch):
    given = {}

    def fit(right, tokens, methods, seed):
        given.update(right=right, tokens=tokens, methods=methods)

    monkeypatch.setattr(scaling_rate_model, "fit_scaling", fit)
    table = table_of(made_up(scaling_rate_report.ARMS), scaling_rate_report.ARMS)
    scaling_rate_model.fitted(table)
    assert given["right"].shape == (12, len(scaling_rate_report.ARMS))
    for (method, n), rights, tokens, name in zip(
        table, given["right"].T, given["tokens"], given["methods"], strict=True
    ):
        assert (rights.sum(), tokens, name) == (4 + n // 4, 130 * n, method)


def test_the_verdict_on_the_scaling_rate_follows_the_protocol():
    def said(ratio, p):
        each = scaling_rate_report.Compared(ratio, ratio, p, 9, 0.5, (0.0, -0.1, 0.1))
        return scaling_rate_report.verdict(dict.fromkeys(scaling_rate_report.OTHERS, each))

    assert said(drawn(*[5.0] * 99, 3.0), 0.01) == "supported"
    assert said(drawn(*[5.0] * 99, 3.0), 0.2) == "undecided at this size"
    assert said(drawn(*[2.0] * 999, 5.0), 0.01) == "contradicted"
    assert said(drawn(*[2.0] * 9, 5.0), 0.01) == "undecided at this size"


def test_the_verdict_on_a_star_follows_the_protocol():
    def said(tokens, passes, p):
        ratios = {"generated tokens": drawn(*tokens), "reward-model passes": drawn(*passes)}
        each = a_star_report.Compared(ratios, dict.fromkeys(ratios, p), 9, 0.5)
        return a_star_report.verdict(dict.fromkeys(a_star_report.OTHERS, each))

    assert said([3.5], [1.6], 0.01) == "supported"
    assert said([3.5], [1.6], 0.1) == said([2.0, 4.0], [1.2, 1.6], 0.01)
    assert said([3.5], [1.6], 0.1) == "undecided at this size"
    assert said([1.0], [1.6], 0.01) == said([3.5], [1.0], 0.01) == "contradicted"


def test_relative_gains_where_nothing_is_right():
    none, all_right = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    assert annealing_report.relative(none, none).tolist() == [0, 0]
    assert annealing_report.relative(all_right, none).tolist() == [np.inf] * 2
    assert annealing_report.relative(none, all_right).tolist() == [-1, -1]


def test_gains_are_of_the_same_family_at_the_same_tokens():
    for (helped, n), (plain, of_plain) in annealing_report.PAIRS:
        assert helped.startswith(plain)
        assert n == of_plain
    assert {f"{name} {n}" for name, n in annealing_report.ARMS} == set(annealing.samplers())


def test_the_verdict_on_annealing_follows_the_protocol():
    def said(relative, high, most, p):
        gain = annealing_report.Gain(0.1, relative, 0.0, high, most, 9, p)
        return annealing_report.verdict({("annealed", 4): gain})

    assert said(0.4, 0.6, 0.7, 0.01) == "supported"
    assert said(0.4, 0.6, 0.7, 0.2) == said(-0.4, 0.6, 0.7, 0.01) == "undecided at this size"
    assert said(0.1, 0.3, 0.45, 0.01) == "contradicted"


def made_up(arms, size=12):
    """Return rows in which all arms are right on the first problems, more of them as n grows."""
    return {
        f"{name} {n}": [[int(i < 4 + n // 4), 100 * n, 30 * n, n] for i in range(size)]
        for name, n in arms
    }


def test_reports_of_annealing_and_a_star_are_written(capsys, tmp_path, monkeypatch):
    for reporting in (annealing_report, a_star_report):
        monkeypatch.setattr(reporting, "FIGURE", tmp_path / f"{reporting.__name__}.png")
        rows = made_up(reporting.ARMS)
        reporting.report({"rows": rows} if reporting is annealing_report else rows)
        said = capsys.readouterr().out.strip().splitlines()
        widths = [line.count("|") for line in said if line.startswith("|")]
        assert len(set(widths)) == (1 if reporting is annealing_report else 2)
        assert said[-1].startswith("claim: ")
        assert "verdict: undecided" in said[-1] or "verdict: contradicted" in said[-1]
        assert reporting.FIGURE.stat().st_size > 10_000
    assert {f"{name} {n}" for name, n in a_star_report.ARMS} >= set(a_star.samplers())


RECORDED = {
    "scaling_rate": (scaling_rate_report, lambda: read(scaling_rate.RECORDS)),
    "scaling_rate_model": (scaling_rate_model, lambda: read(scaling_rate_model.RECORDS)),
    "annealing": (annealing_report, lambda: read(annealing.RECORDS)),
    "a_star": (a_star_report, a_star.rows),
}


@pytest.mark.parametrize("claim", RECORDED)
def test_the_page_says_what_the_records_say(claim, capsys, tmp_path, monkeypatch):
    reporting, records = RECORDED[claim]
    monkeypatch.setattr(reporting, "FIGURE", tmp_path / "figure.png", raising=False)
    reporting.report(records())
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for line in filter(None, capsys.readouterr().out.splitlines()):
        assert line in page
    if reporting is not scaling_rate_model:  # whose table has no figure
        assert (tmp_path / "figure.png").stat().st_size > 10_000
