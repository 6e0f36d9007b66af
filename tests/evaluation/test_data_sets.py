"""Problems from files, folders and names, and right answers that nothing could read."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from motes.cli import main
from motes.commands.rules_by_name import last_number
from motes.evaluation import DATA_SETS, evaluate, load_problems
from motes.evaluation.golds import warn_of_unread
from motes.evaluation.questions import read_problems
from motes.models import TableLM, prompts
from motes.models.prompts import PRESETS
from motes.ppl.answers import stated
from motes.samplers import MajorityVote

ROWS = [
    {"question": "How many, 1 or 2?", "answer": "She has two.\n#### 2", "level": 1},
    {"question": "And\nthen?", "answer": "3", "level": 5},
    {"question": "Ünd?", "answer": r"\frac{1}{2}", "level": 5},
]


def as_text(rows):
    """The rows with every value as CSV gives it."""
    return [{name: str(value) for name, value in row.items()} for row in rows]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def write_csv(path, delimiter=","):
    quoted = [[f'"{value}"' for value in row.values()] for row in ROWS]
    lines = [delimiter.join(ROWS[0]), *(delimiter.join(row) for row in quoted)]
    path.write_text("\n".join(lines), encoding="utf-8")


WRITERS = {
    "rows.jsonl": lambda path: path.write_text("\n\n".join(map(json.dumps, ROWS))),
    "rows.txt": lambda path: path.write_text("\n".join(map(json.dumps, ROWS))),
    "rows.json": lambda path: path.write_text(json.dumps(ROWS)),
    "rows.csv": write_csv,
    "rows.tsv": lambda path: write_csv(path, "\t"),
    "rows.parquet": lambda path: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_every_format_hold_the_same_problems(tmp_path, name):
    WRITERS[name](tmp_path / name)
    expected = as_text(ROWS) if Path(name).suffix in (".csv", ".tsv") else ROWS
    assert load_problems(tmp_path / name) == expected
    assert load_problems(str(tmp_path / name), count=2) == expected[:2]
    golds = [problem.answer for problem in read_problems(load_problems(tmp_path / name), None)]
    assert golds == ["2", "3", r"\frac{1}{2}"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "from-a-spreadsheet.csv").write_text("question,answer\na,1\n", "utf-8-sig")
    assert load_problems(tmp_path / "from-a-spreadsheet.csv") == [{"question": "a", "answer": "1"}]


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ROWS[0]) + "\n"))
    assert load_problems("-") == ROWS[:1]


def test_folders_of_the_datasets_library(tmp_path):
    whole, others = datasets.Dataset.from_list(ROWS), datasets.Dataset.from_list(ROWS[:1])
    whole.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=others, test=whole).save_to_disk(tmp_path / "two")
    files = tmp_path / "files"
    files.mkdir()
    whole.to_json(files / "test.jsonl")
    assert load_problems(tmp_path / "one") == ROWS
    assert load_problems(tmp_path / "two") == ROWS  # test comes before train
    assert load_problems(tmp_path / "two", split="train") == ROWS[:1]
    assert load_problems(files, split="test") == ROWS
    with pytest.raises(ValueError, match="split must be one of train, test of .*'validation'"):
        load_problems(tmp_path / "two", split="validation")
    with pytest.raises(ValueError, match="split must be left out"):
        load_problems(tmp_path / "one", split="test")


def test_names_of_the_field_and_ids(monkeypatch):
    asked = []

    def load_dataset(repository, subset):
        asked.append((repository, subset))
        return datasets.DatasetDict(
            train=datasets.Dataset.from_list(ROWS[:1]), test=datasets.Dataset.from_list(ROWS)
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_problems("gsm8k") == ROWS and load_problems("aime24") == ROWS[:1]
    assert load_problems("somebody/sums", subset="hard", split="train") == ROWS[:1]
    assert asked == [
        ("openai/gsm8k", "main"),
        ("HuggingFaceH4/aime_2024", None),
        ("somebody/sums", "hard"),
    ]
    assert all(known.name == name for name, known in DATA_SETS.items())
    assert {known.prompt for known in DATA_SETS.values()} <= set(PRESETS)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", "{}\n[1]\n", "line 2 of .* is not a JSON object"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"question": 1}', "is not a list of JSON objects"),
        ("a.csv", "question,answer\na,1,2\n", "row 1 of .* does not have the 2 columns"),
        ("a.csv", "question,answer\na\n", "row 1 of .* does not have the 2 columns"),
        ("a.csv", "question,answer\n", "has no row"),
        ("a.parquet", "question", "is not Parquet"),
    ],
)
def test_what_is_no_such_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"problems: .*{message}"):
        load_problems(tmp_path / name)


def test_what_is_not_there():
    for source in ("gsm9k", "folder/rows.csv", "a/b/c"):
        with pytest.raises(FileNotFoundError, match="there is no file .*gsm8k, math500"):
            load_problems(source)
    with pytest.raises(Exception, match="Hub"):
        load_problems("somebody/sums")


def test_right_answers_that_the_rule_could_not_read():
    golds = ["2", "3", r"\frac{1}{2}", "Paris"]
    with pytest.warns(RuntimeWarning, match=r"2 of 4 right answers cannot be read back .*frac"):
        warn_of_unread(golds, last_number)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unread(golds, stated)


def test_they_are_read_back_before_a_model_is_loaded(tmp_path):
    missing = {"lm": str(tmp_path / "no-such-model"), "prm": None, "progress": False}
    arm = {"vote": MajorityVote(samples=2)}
    place = tmp_path / "results.jsonl"
    odd = [("Which?", "x = \\")]
    with (
        pytest.warns(RuntimeWarning, match="1 of 1 right answers cannot be read back"),
        pytest.raises(Exception, match="no-such-model"),
    ):
        evaluate(odd, samplers=arm, results=place, **missing)


def test_a_table_by_level(tmp_path):
    lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
    found = evaluate(
        [("a", 0), ("b", 1), ("c", 0)],
        samplers={"vote": MajorityVote(samples=3), "other": MajorityVote(samples=5)},
        lm=lm,
        prm=None,
        max_steps=3,
        answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        results=tmp_path / "results.jsonl",
        progress=False,
    )
    whole, table = found.table(), found.table(by=[10, 9, 10])
    assert [row.group for row in table.rows] == ["9", "9", "10", "10"]  # by number, not by letter
    assert [row.problems for row in table.rows] == [1, 1, 2, 2]
    for row in whole.rows:
        parts = [part for part in table.rows if part.sampler == row.sampler]
        assert sum(part.right for part in parts) == row.right and row.group == ""
    assert "problems" in str(table) and "problems" not in str(whole).splitlines()[0].split()[-1]
    assert "<td" in table._repr_html_() and ">10</td>" in table._repr_html_()
    with pytest.raises(ValueError, match="by must have a label for each of the 3 problems, not 2"):
        found.table(by=[1, 2])


def test_the_command_line(tmp_path, capsys):
    write_csv(tmp_path / "rows.csv")
    results = ["--results", str(tmp_path / "results.jsonl")]
    ask = ["--prm", "none", "--sampler", "majority_vote:samples=2", "--quiet", "--max-steps", "2"]
    problems = [str(tmp_path / "rows.csv"), "--count", "2"]
    assert main(["evaluate", *problems, *ask, *results, "--by", "level"]) == 0
    first, second = capsys.readouterr().out.split("sampler ")[1:]
    assert "0 of 2" in first and "0 of 1" in second
    assert main(["evaluate", *problems, *ask, *results, "--by", "level", "--by", "level"]) == 0
    assert capsys.readouterr().out.split("sampler ")[1:] == [first, second, second]
    assert main(["evaluate", *problems, *ask, *results, "--by", "topic"]) == 2
    assert "by must be a column that every problem has, not 'topic'" in capsys.readouterr().err
    assert main(["evaluate", *problems, *ask, *results, "--split", "test"]) == 2


def test_the_usual_prompt_of_a_data_set(tmp_path, capsys, monkeypatch):
    rows = datasets.DatasetDict(test=datasets.Dataset.from_list(ROWS[:1]))
    monkeypatch.setattr(datasets, "load_dataset", lambda repository, subset: rows)
    asked = []
    monkeypatch.setattr(prompts, "chosen_form", lambda text: asked.append(text))
    write_csv(tmp_path / "rows.csv")
    ask = [
        "--prompt",
        "data-set",
        "--prm",
        "none",
        "--quiet",
        "--results",
        str(tmp_path / "r.jsonl"),
    ]
    assert main(["evaluate", str(tmp_path / "rows.csv"), *ask]) == 2
    assert "prompt can be data-set for gsm8k, math500" in capsys.readouterr().err
    sampler = ["--sampler", "majority_vote:samples=1", "--max-steps", "1"]
    assert main(["evaluate", "gsm8k", *ask, *sampler]) == 0
    assert asked == ["gsm8k-chat"]
