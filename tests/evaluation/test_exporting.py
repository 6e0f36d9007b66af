"""Runs as rows of Parquet and of a Hugging Face data set, with the field's columns."""

from __future__ import annotations

from collections import Counter

import datasets
import numpy as np
import pyarrow.parquet
import pytest

from motes.cli import main
from motes.evaluation import Evaluation, evaluate
from motes.evaluation.data_sets import exported_rows
from motes.models import FunctionReward, TableLM
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter

PROBLEMS = [
    {"question": "one?", "answer": 0, "level": 3},
    {"question": "two?", "answer": 1, "level": 5},
]


def first(x):
    return str(x.token_ids[0]) if x.finished else None


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("exporting") / "results.jsonl"


@pytest.fixture(scope="module")
def evaluation(results):
    return evaluate(
        PROBLEMS,
        samplers={
            "vote": MajorityVote(samples=5),
            "weighted": ImportanceSampling(particles=4),
            "filter": ParticleFilter(particles=4, ess_threshold=1),
        },
        lm=TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2),
        prm=FunctionReward(lambda x: 1.0 - x.token_ids[-1]),
        max_steps=6,
        answer=first,
        repeats=2,
        texts=True,
        results=results,
        progress=False,
    )


def test_rows_say_what_the_runs_did(evaluation):
    rows = exported_rows(evaluation, PROBLEMS)
    assert len(rows) == 2 * 3 * 2
    for row, record in zip(rows, evaluation.records, strict=True):
        assert row["question"] == PROBLEMS[record.problem]["question"]
        assert row["level"] == PROBLEMS[record.problem]["level"]
        assert row["method"] == record.sampler and row["repeat"] == record.repeat
        assert row["right"] == record.right and row["completions"] == record.texts
        places = record.draws["answer"]
        assert len(row["completions"]) == len(row["weights"]) == len(places)
        assert sum(row["weights"]) == pytest.approx(1)


def test_predictions_by_a_second_way(evaluation):
    rows = exported_rows(evaluation)
    for row, record in zip(rows, evaluation.records, strict=True):
        answers = [record.draws["answers"][place] for place in record.draws["answer"]]
        names = {name.partition("@")[2] for name in row if name.startswith("pred_")}
        independent = row["method"] != "filter"
        assert names == ({"1", "2", "4", "5"} if row["method"] == "vote" else {"1", "2", "4"}) or (
            not independent and names == {"4"}
        )
        for n in map(int, names):
            counts = Counter(answer for answer in answers[:n] if answer is not None)
            most = [a for a, count in counts.items() if count == max(counts.values())]
            assert row[f"pred_maj@{n}"] == f"\\boxed{{{min(most, default='')}}}"
            if row["scores"] is None:
                continue
            scores = np.array([steps[-1] if steps else 0.0 for steps in row["scores"]][:n])
            best = answers[int(scores.argmax())]
            assert row[f"pred_naive@{n}"] == f"\\boxed{{{best or ''}}}"
            sums = {a: sum(scores[[b == a for b in answers[:n]]]) for a in counts}
            heaviest = min(
                sums, key=lambda a: (-round(sums[a], 9), a), default=""
            )  # ties: spelling
            assert row[f"pred_weighted@{n}"] == f"\\boxed{{{heaviest}}}"
    scored = [row for row in rows if row["method"] == "weighted"]
    for row in scored:
        assert row["agg_scores"] == [steps[-1] if steps else None for steps in row["scores"]]


def test_files_hold_the_rows(evaluation, tmp_path):
    rows = exported_rows(evaluation, PROBLEMS)
    evaluation.export(tmp_path / "runs.parquet", PROBLEMS)
    evaluation.export(tmp_path / "runs", PROBLEMS)
    read = pyarrow.parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    saved = list(datasets.load_from_disk(str(tmp_path / "runs")))
    predicted = [name for name in read[0] if name.startswith("pred_")]
    assert predicted == sorted(predicted, key=lambda name: int(name.split("@")[1]))
    for found in (read, saved):
        for row, expected in zip(found, rows, strict=True):
            assert {name: row[name] for name in expected} == expected


def test_texts_are_kept_when_asked_for(results, evaluation, tmp_path):
    assert all(record.texts for record in Evaluation.load(results).records)
    without = evaluate(
        PROBLEMS,
        samplers={"vote": MajorityVote(samples=2)},
        lm=TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2),
        prm=None,
        max_steps=6,
        answer=first,
        results=tmp_path / "results.jsonl",
        progress=False,
    )
    assert all(record.texts is None for record in without.records)
    assert all(row["completions"] is None for row in exported_rows(without))
    with pytest.warns(RuntimeWarning, match="2 of 2 runs keep no texts"):
        without.export(tmp_path / "without.parquet")
    with pytest.raises(ValueError, match="problems must be the 2 of the evaluation, not 1"):
        exported_rows(without, PROBLEMS[:1])
    nothing = Evaluation(without.arms, 2, ())
    with pytest.raises(ValueError, match="nothing to export"):
        nothing.export(tmp_path / "none.parquet")


@pytest.mark.slow
def test_the_command_line(tmp_path):
    (tmp_path / "rows.csv").write_text("question,answer\nWhat is 1 + 1?,2\n")
    place = tmp_path / "runs.parquet"
    ask = ["--prm", "none", "--sampler", "majority_vote:samples=2", "--quiet", "--max-steps", "2"]
    keep = ["--texts", "--export", str(place), "--results", str(tmp_path / "results.jsonl")]
    assert main(["evaluate", str(tmp_path / "rows.csv"), *ask, *keep]) == 0
    [row] = pyarrow.parquet.read_table(place).to_pylist()
    assert row["question"] == "What is 1 + 1?" and len(row["completions"]) == 2
