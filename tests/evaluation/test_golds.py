"""Right answers as data sets give them."""

from __future__ import annotations

from collections import namedtuple
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import motes.models
from motes.evaluation.golds import read_gold
from motes.evaluation.questions import read_problems, verdicts
from motes.models import TableLM

GSM8K = "She has 3 * 4 = <<3*4=12>>12 eggs.\nShe sells 2, and has 12 - 2 = <<12-2=10>>10.\n#### {}"
MATH = r"We have $x^2 = \boxed{4}$ or so, hence $x = \boxed{\frac{1}{2}}$."

Row = namedtuple("Row", "question answer")


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (GSM8K.format("18"), "18"),
        (GSM8K.format("1,200"), "1,200"),
        (GSM8K.format("-5"), "-5"),
        (GSM8K.format("$7.50"), "$7.50"),
        (GSM8K.format("14 apples"), "14"),
        ("#### Paris", "Paris"),
        (MATH, r"\frac{1}{2}"),
        ("A long solution.\nIn two lines.\nThe answer is 5.", "5"),
        ("18", "18"),
        (r"\text{(C)}", r"\text{(C)}"),
        ("Paris", "Paris"),
        ("none", "none"),
        (
            "\\begin{pmatrix} 1 \\\\\n 2 \\end{pmatrix}",
            "\\begin{pmatrix} 1 \\\\\n 2 \\end{pmatrix}",
        ),
        (18, "18"),
        (18.5, "18.5"),
        (np.float64(0.5), "0.5"),
        (np.int64(7), "7"),
        (Fraction(1, 2), "1/2"),
        (Decimal("2.50"), "2.50"),
    ],
)
def test_golds(answer: object, gold: str) -> None:
    assert read_gold("problems[0]", answer) == gold


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            float("nan"),
            ValueError,
            r"problems\[3\] must have an answer that is a finite number, not nan",
        ),
        (np.nan, ValueError, "finite number"),
        (np.float32("nan"), ValueError, "finite number"),
        (float("inf"), ValueError, "finite number"),
        (Decimal("NaN"), ValueError, "finite number"),
        (
            "NaN",
            ValueError,
            r"problems\[3\] must have an answer, not 'NaN', which stands for a missing one",
        ),
        ("", TypeError, "an answer that is a text or a number, not ''"),
        (" \n", TypeError, "an answer that is a text or a number"),
        (None, TypeError, "an answer that is a text or a number, not None"),
        (True, TypeError, "an answer that is a text or a number, not True"),
        (["5"], TypeError, "an answer that is a text or a number"),
        (
            "Some work.\n####",
            ValueError,
            r"problems\[3\] must have an answer that states what can be read, .* not 'Some work",
        ),
        ("#### 4 dozen", ValueError, "states what can be read"),
        (r"It is \boxed{}.", ValueError, "states what can be read"),
        (r"It is \boxed{4", ValueError, "states what can be read"),
        ("Some work, and more of it.\nNo answer.", ValueError, "states what can be read"),
        ("No answer " * 30, ValueError, "states what can be read"),
    ],
)
def test_golds_that_cannot_be_read(answer: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_gold("problems[3]", answer)


def test_a_solution_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a solution that states what can be read"):
        read_gold("problems[0]", None, "It is five.")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "?", "answer": "18"},
        {"problem": "?", "answer": "18"},
        {"problem": "?", "solution": r"So $\boxed{18}$.", "answer": "18", "level": 5},
        {"problem": "?", "solution": r"First $\boxed{5}$, then $\boxed{18}$."},
        {"question": "?", "answer": GSM8K.format("18")},
        {"question": None, "problem": "?", "answer": None, "solution": GSM8K.format("18")},
        SimpleNamespace(question="?", answer=18),
        SimpleNamespace(problem="?", solution="#### 18"),
        Row("?", "18"),
        ("?", "18"),
        ["?", 18],
    ],
)
def test_rows(row: object) -> None:
    [problem] = read_problems([row], None)
    assert (problem.number, problem.question, problem.answer, problem.given) == (0, "?", "18", row)
    right = ["18", "18.0", "\\boxed{18}", "18 eggs"]
    assert verdicts([*right, "17", "4 dozen"], problem, None) == [True] * 4 + [False] * 2


def test_a_gold_that_cannot_be_read_stops_before_a_model_is_loaded(run, monkeypatch) -> None:
    monkeypatch.setattr(motes.models, "load_lm", lambda *_, **__: pytest.fail("a model was loaded"))
    message = r"problems\[1\] must have an answer that is a finite number, not nan"
    with pytest.raises(ValueError, match=message):
        run([("?", 1), ("?", float("nan"))], lm="pocket")


def test_a_users_word_needs_no_gold_that_can_be_read(run) -> None:
    tests = "assert f(2) == 4\nassert f(3) == 9"
    evaluation = run(
        [{"question": "?", "answer": tests}],
        correct=lambda answer, problem: problem["answer"] == tests,
    )
    assert all(record.right_answer == tests for record in evaluation.records)


def test_silence_is_reported(run) -> None:
    lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
    with pytest.warns(RuntimeWarning, match="no answer was read in the first 20 runs"):
        run(lm=lm, answer=lambda trajectory: None)


def test_one_answer_in_twenty_is_no_silence(run, tmp_path) -> None:
    lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
    run(
        lm=lm,
        answer=lambda x: "1" if x.question == "question 4?" and not x.open else None,
    )
    run(
        [("question?", 1)] * 4,
        lm=lm,
        answer=lambda trajectory: None,
        results=tmp_path / "few.jsonl",
    )  # 16 runs
