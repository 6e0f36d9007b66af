"""The claims on trial: their arithmetic, and that the page says what the shipped records say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import verifier_quality as sweep
import verifier_quality_report as reporting
from command_line import run_missing
from kept_records import read, write
from paired import holm, sign_test
from worse_reward import worse

from motes.models import FunctionReward, TableLM

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def kept():
    return read(sweep.RECORDS)


def nodes(count):
    root = TableLM(lambda prefix: [0.5, 0.5]).start("?")
    return [root.child(str(i), (i,), logprob=-1.0, proposal_logprob=-1.0) for i in range(count)]


@pytest.mark.parametrize("quality", [1.0, 0.6, 0.3, 0.0])
def test_a_worse_reward_model_keeps_mean_and_spread_and_loses_correlation(quality):
    # 4,000 normal scores: standard errors are 0.04 of the mean, 0.03 of the spread and at most
    # 0.016 of the correlation; five of each, with fixed seeds
    asked = nodes(4000)
    scores = np.random.default_rng(1).normal(1.0, 2.4, len(asked))
    clean = FunctionReward(lambda node: float(scores[node.token_ids[0]]))
    spoiled = worse(clean, quality, 1.0, 2.4).score(asked)
    assert spoiled.mean() == pytest.approx(1.0, abs=0.2)
    assert spoiled.std() == pytest.approx(2.4, abs=0.15)
    assert np.corrcoef(scores, spoiled)[0, 1] == pytest.approx(quality, abs=0.08)


def test_holms_correction_is_that_of_the_definition():
    p = [0.02, 0.001, 0.3, 0.04, 0.04]
    for level in np.linspace(0.005, 0.999, 200):
        rejected = np.zeros(len(p), bool)
        for k, i in enumerate(np.argsort(p, kind="stable")):  # step down until one is kept
            if p[i] > level / (len(p) - k):
                break
            rejected[i] = True
        assert (holm(p) <= level).tolist() == rejected.tolist()


def test_the_sign_test_counts_discordant_problems_alone():
    a, b = np.array([True] * 5 + [False] + [True] * 20), np.array([False] * 5 + [True] * 21)
    assert sign_test(a, b) == pytest.approx(2 * 7 / 64)  # 5 of 6: (6 + 1) / 2^6 on either side
    assert sign_test(a, a) == 1.0


def test_only_a_figure_runs_nothing_and_else_as_many_blocks_as_are_asked_for(monkeypatch):
    ran = []
    for arguments in ([], ["--blocks", "2"], ["--only-figure"]):
        monkeypatch.setattr("sys.argv", ["claim.py", *arguments])
        run_missing("The protocol.", 6, ran.append)
    assert ran == [6, 2]


def test_records_come_back_and_equal_ones_are_equal_bytes(tmp_path):
    write(tmp_path / "a.json.gz", {"b": [1.5, None], "a": "x"})
    write(tmp_path / "b.json.gz", {"a": "x", "b": [1.5, None]})
    assert read(tmp_path / "a.json.gz") == {"a": "x", "b": [1.5, None]}
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_the_auc_is_the_share_of_pairs_in_order(kept):
    few = {"pool": kept["pool"][:2]}
    scores = np.array([s for p in few["pool"] for draw in p["scores"]["0.3"] for s in draw])
    right = np.array([v for p in few["pool"] for draw in p["verdicts"] for v in draw])
    gaps = scores[right][:, None] - scores[~right]
    assert sweep.auc(few, 0.3) == pytest.approx(np.mean((gaps > 0) + 0.5 * (gaps == 0)))


def test_verifiers_of_the_records_worsen_smoothly_to_chance(kept):
    aucs = [sweep.auc(kept, quality) for quality in sweep.QUALITIES]
    assert aucs == sorted(aucs, reverse=True)
    assert aucs[0] > 0.9
    assert aucs[-1] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("gains", "at"),
    [((0.2, 0.1, -0.1), 0.6), ((0.2, -0.2, 0.1), 0.8), ((-0.1, -0.2, -0.3), np.nan)],
)
def test_where_an_advantage_turns(gains, at):
    found = reporting.crossing(np.array([0.9, 0.7, 0.5]), np.array(gains))
    assert found == pytest.approx(at, nan_ok=True)


def test_the_verdict_follows_the_protocol():
    row = reporting.Difference
    sure, unsure = row(0.3, 0.1, 0.5, 0.01, 9), row(0.1, -0.1, 0.3, 0.7, 9)
    below, level = row(-0.3, -0.5, -0.1, 0.01, 9), row(0.1, -0.04, 0.2, 0.4, 9)

    def said(best, worst):
        rows = dict.fromkeys(((m, 1.0) for m in reporting.SEARCHES), best)
        return reporting.verdict(
            rows | dict.fromkeys(((m, 0.0) for m in reporting.SEARCHES), worst)
        )

    assert said(sure, below) == "supported"
    assert said(sure, level) == "contradicted"
    assert said(unsure, below) == said(sure, unsure) == "undecided at this size"


def test_the_page_says_what_the_records_say(kept, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "FIGURE", tmp_path / "figure.png")
    reporting.report(kept)
    said = capsys.readouterr().out
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for line in filter(None, said.splitlines()):
        assert line in page
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_list_of_verdicts_is_that_of_the_lines_that_claims_print():
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    line = r"^claim: (.+?); estimate.*? verdict: ([^;]+);.* (\d+) problems"
    said = {(claim[0].upper() + claim[1:], *rest) for claim, *rest in re.findall(line, page, re.M)}
    row = r"^\| (.+) \| (supported|contradicted|undecided at this size) \| (\d+) \|$"
    assert set(re.findall(row, page, re.M)) == said


def test_the_records_are_small_enough_to_ship():
    files = (ROOT / "benchmarks" / "claims" / "records").iterdir()
    assert sum(file.stat().st_size for file in files) < 5_000_000
