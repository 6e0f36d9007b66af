"""The report of an evaluation: figures by a second way, and a page that shows them safely."""

from __future__ import annotations

from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from motes.cli import main
from motes.evaluation import Evaluation, evaluate
from motes.evaluation.laws import ModelShape
from motes.evaluation.report import arm_figures, evaluation_page, paired_differences
from motes.models import FunctionReward, TableLM
from motes.samplers import ImportanceSampling, MajorityVote

HOSTILE = "<script>alert(1)</script>\u202e"
LM = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)


def first(x):
    return str(x.token_ids[0]) if x.finished else None


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation") / "results.jsonl"


@pytest.fixture(scope="module")
def evaluation(results):
    return evaluate(
        [(f"question {number}", number % 2) for number in range(12)],
        samplers={
            "vote": [MajorityVote(samples=2), MajorityVote(samples=9)],
            HOSTILE: ImportanceSampling(particles=5),
        },
        lm=LM,
        prm=FunctionReward(lambda x: 1.0 if x.token_ids[0] else -1.0),
        max_steps=4,
        answer=first,
        repeats=2,
        results=results,
        progress=False,
    )


def test_figures_by_a_second_way(evaluation):
    """Counted draw by draw in what the records say in plain values."""
    for k, figures in enumerate(arm_figures(evaluation)):
        records = [record for record in evaluation.records if record.arm == k]
        sums = np.zeros(4)
        for record in records:
            answers = [record.draws["answers"][place] for place in record.draws["answer"]]
            hits = [answer == record.right_answer for answer in answers]
            counts = {answer: answers.count(answer) for answer in answers if answer is not None}
            most = max(counts.values(), default=0)
            tied = [answer for answer, count in counts.items() if count == most]
            voted = tied.count(record.right_answer) / max(len(tied), 1)
            sums += len(hits), voted, np.mean(hits), any(hits)
        found = figures.draws, figures.majority, figures.average, figures.some
        assert found == pytest.approx(sums / len(records))
        assert figures.accuracy == pytest.approx(np.mean([record.right for record in records]))
        assert figures.gap == pytest.approx(figures.some - figures.accuracy)
        assert figures.prm_tokens == np.mean([record.cost["prm_tokens"] for record in records])
        assert figures.runs == 24 and figures.problems == 12


def differing(right, repeats=1):
    """An evaluation of which only these numbers of right runs are known, (problems, arms)."""
    return SimpleNamespace(right=np.array(right), repeats=repeats)


def test_one_repeat_is_a_dirichlet_on_wins_losses_and_ties():
    wins, losses, ties = 9, 3, 28
    right = [[0, 1]] * wins + [[1, 0]] * losses + [[1, 1]] * ties
    [found] = paired_differences(differing(right))
    shares = np.random.default_rng(1).dirichlet([wins + 0.5, losses + 0.5, ties + 0.5], 200_000)
    low, high = np.quantile(shares[:, 0] - shares[:, 1], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert found.better == pytest.approx((shares[:, 0] > shares[:, 1]).mean(), abs=0.01)
    assert found.estimate == pytest.approx((wins - losses) / 40)
    assert (found.one, found.other, found.wins, found.losses) == (1, 0, wins, losses)


def test_arms_that_agree_everywhere_are_not_known_to_be_equal():
    [found] = paired_differences(differing([[1, 1]] * 20))
    assert found.estimate == 0 and found.low < -0.01 and found.high > 0.01
    [more] = paired_differences(differing([[1, 1]] * 2000))
    assert more.high < found.high / 10


def test_pairing_and_repeats_make_intervals_narrower():
    random = np.random.default_rng(0)
    hard = random.random(400)[:, None]
    once = (random.random((400, 2)) < hard).astype(int)
    often = random.binomial(16, np.tile(hard, (1, 2)))
    [one], [many] = paired_differences(differing(once)), paired_differences(differing(often, 16))
    assert many.high - many.low < 0.5 * (one.high - one.low)
    mixed = np.stack([often[:, 0], random.permutation(often[:, 1])], axis=1)
    [unpaired] = paired_differences(differing(mixed, 16))
    assert many.high - many.low < 0.5 * (unpaired.high - unpaired.low)


class Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_page(evaluation):
    text = evaluation_page(evaluation)
    page = Reader(text)
    assert "script" not in page.tags and "img" not in page.tags and "\u202e" not in text
    assert any("<script>alert(1)</script>" in words for words in page.words)
    assert len(set(page.ids)) == len(page.ids)
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    [*_, isampling] = arm_figures(evaluation)
    assert f"{isampling.accuracy:.3f}" in page.words
    assert {"vote (samples 2)", "vote (samples 9)", "Few problems", "ARISE"} <= set(page.words)
    assert "Cut off" in page.words  # of four steps, one in eight goes on


def test_shapes_tell_flops(evaluation):
    shape = ModelShape(parameters=1e6, query_width=64, key_width=64)
    known, unknown = evaluation_page(evaluation, lm=shape), evaluation_page(evaluation)
    assert "eFLOPs need the shape" in unknown and "eFLOPs need the shape" not in known


@pytest.mark.slow
def test_products_are_two_for_each_weight_and_token(evaluation):
    """Counted from the records' costs; each run has its problem's prompt, as if it were alone."""
    lm, prm = ModelShape(3e9, 64, 64), ModelShape(7e9, 64, 64)
    prompts = np.zeros(12)
    for record in evaluation.records:
        prompts[record.problem] += record.cost["prompt_tokens"]
    figures = arm_figures(evaluation, lm=lm, prm=prm)
    for k, row in enumerate(figures):
        spent = []
        for record in evaluation.records:
            if record.arm == k:
                cost = record.cost
                written = cost["generated_tokens"] + cost["rescored_tokens"]
                tokens = prompts[record.problem] + written
                spent.append(2 * 3e9 * tokens + 2 * 7e9 * cost["prm_tokens"])
        assert row.tflops == pytest.approx(np.mean(spent) / 1e12)
    page = Reader(evaluation_page(evaluation, lm=lm, prm=prm))
    assert "TFLOPs" in page.words and f"{figures[0].tflops:.3g}" in page.words
    assert "TFLOPs" not in Reader(evaluation_page(evaluation)).words


def test_an_evaluation_of_which_nothing_is_done(results):
    whole = Evaluation.load(results)
    nothing = Evaluation(whole.arms, whole.problems, whole.records[:1], whole.repeats)
    assert "no problem that all arms are done with" in evaluation_page(nothing)
    assert all(np.isnan(figures.accuracy) for figures in arm_figures(nothing))


def test_silence_is_said(tmp_path):
    mute = evaluate(
        [("?", 1), ("!", 0)],
        samplers={"vote": MajorityVote(samples=2)},
        lm=LM,
        prm=None,
        max_steps=3,
        answer=lambda x: None,
        results=tmp_path / "results.jsonl",
        progress=False,
    )
    assert "No answer was ever read" in evaluation_page(mute)


@pytest.mark.slow
def test_the_command_line(results, evaluation, capsys, tmp_path):
    assert main(["report", str(results), "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.strip().endswith("page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == evaluation_page(evaluation)
    assert main(["report", str(tmp_path / "none.jsonl")]) == 2
    models = ["--lm", "pocket", "--prm", "pocket"]
    assert main(["report", str(results), "--out", str(tmp_path / "page.html"), *models]) == 0
    assert ">TFLOPs</th>" in (tmp_path / "page.html").read_text("utf-8")
    assert main(["report", str(results), *models[2:]]) == 2
    assert "prm must be left out where there is no lm" in capsys.readouterr().err
