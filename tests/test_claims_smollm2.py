"""SmolLM2 on GSM8K, without that model: what is kept of a run, and what the report says of it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import smollm2_gsm8k as claim
import smollm2_gsm8k_report as reporting
from kept_records import read

import motes
from motes.evaluation import Evaluation
from motes.models.pocket import problems
from motes.ppl.decisions import pool_of


def row(vote: list[bool], majority: bool, filtered: bool) -> dict[str, Any]:
    """Return what is kept of a problem."""
    kept = {"tokens": 400, "read": 0, "right": majority, "draws_right": vote}
    return {claim.VOTE: kept, claim.FILTER: {"tokens": 380, "read": 2500, "right": filtered}}


def test_what_is_kept_of_a_run_is_what_its_draws_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the pocket: which draws are right is asked of its exact checker's answer, as a number."""
    monkeypatch.setattr(claim, "SCRATCH", tmp_path)
    asked = list(islice(problems("test", seed=3, steps=5), 2))
    lm, prm = motes.load_lm("pocket", probe=False), motes.load_prm("pocket", probe=False)
    found = claim.evaluated(asked, lm, prm, 0)
    for record in Evaluation.load(tmp_path / "smollm2_gsm8k_1.jsonl").records:
        kept, answers = found[record.problem][record.sampler], pool_of(record).answers
        right = [answer == str(asked[record.problem].answer) for answer in answers]
        assert kept["draws_right"] == right
        assert kept["right"] == record.right
        assert kept["tokens"] == record.tokens > 0
        assert (kept["read"] > 0) == (record.sampler == claim.FILTER)
        numbers = dict(zip(answers, kept["answers"], strict=True))
        assert [numbers[answer] for answer in answers] == kept["answers"]
        assert len(set(kept["answers"])) == len(set(answers))


def test_the_single_sample_is_the_first_of_the_vote(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row([True, False, False, False], False, True)] * 3
    rows += [row([False, True, True, True], True, True)] * 5
    kept = {"problems": rows, "cpu_minutes": 1.0}
    reporting.report(kept)
    said = capsys.readouterr().out
    assert "| single sample | 100 | 0 | 0.03 | 3 of 8 | 0.38 (" in said
    assert "| vote of 4 | 400 | 0 | 0.11 | 5 of 8 | 0.62 (" in said
    assert "| filter of 4 | 380 | 2,500 | 0.77 | 8 of 8 | 1.00 (1.00 to 1.00) |" in said
    assert "minus single sample +0.62 (" in said
    assert "), 5 differ, minus vote of 4 +0.38 (" in said
    assert "), 3 differ; verdict: " in said
    assert "verdict: undecided at this size; 8 problems" in said


def test_the_verdict_follows_the_protocol() -> None:
    row = reporting.Difference
    sure, unsure = row(0.3, 0.1, 0.5, 0.01, 9), row(0.1, -0.1, 0.3, 0.7, 9)
    below, level = row(-0.3, -0.5, -0.1, 0.01, 9), row(0.0, -0.01, 0.01, 1.0, 2)

    def said(*rows: reporting.Difference) -> str:
        return reporting.verdict(dict(zip((reporting.SINGLE, claim.VOTE), rows, strict=True)))

    assert said(sure, sure) == "supported"
    assert said(sure, below) == said(level, unsure) == "contradicted"
    assert said(sure, unsure) == "undecided at this size"


def test_the_page_says_what_the_records_say(capsys: pytest.CaptureFixture[str]) -> None:
    reporting.report(read(claim.RECORDS))
    page = (Path(__file__).parents[1] / "docs" / "claims.md").read_text(encoding="utf-8")
    for line in filter(None, capsys.readouterr().out.splitlines()):
        assert line in page
