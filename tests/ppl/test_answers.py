from __future__ import annotations

import threading
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes.models import Trajectory
from motes.ppl import equivalence
from motes.ppl.answers import group, stated


def read(text: str) -> str | None:
    return stated(Trajectory(question="?").child(text, (1,), logprob=0.0, proposal_logprob=0.0))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So it is \boxed{17}.", "17"),
        (r"\boxed{1} no, \boxed{\frac{1}{2}} then", r"\frac{1}{2}"),
        (r"\boxed{\{1, \{2\}\}}", r"\{1, \{2\}\}"),
        (r"\boxed{\text{Paris}}", "Paris"),
        (r"\boxed{\text{the answer is 5}}", "the answer is 5"),
        ("7 + 10 = 17\n#### 17", "17"),
        ("#### 1,234", "1,234"),
        ("Cid has 7 + 10 = 17.\n\nThe answer is 17.", "17"),
        ("So the answer is 17.\n\nBen has", "17"),
        ("The answer is $1,000.50.", "$1,000.50"),
        ("The answer is -5.", "-5"),
        ("The answer is 3.5 because it is.", "3.5"),
        ("the answer is 42 apples.", "42"),
        ("The answer is $5.00 per day.", "$5.00"),
        ("The final answer is: **42**.", "42"),
        ("**Answer:** 42", "42"),
        ("**Final Answer**: $\\frac{3}{4}$", r"\frac{3}{4}"),
        ("answer = 7", "7"),
        ("The answer is\n\n7", "7"),
        ("The answer is 3 + 4 = 7.", "7"),
        ("The answer is x = 5.", "x = 5"),
        ("The answer is x + 1.", "x + 1"),
        (r"The answer is \(\sqrt{2}\).", r"\sqrt{2}"),
        (r"The answer is $\boxed{5}$, and so on", "5"),
        ("The answer is (B).", "B"),
        ("The answer is yes", "yes"),
        ("The answer is 10^5.", "10^5"),
        ("The answer is 2/3 of a mile.", "2/3"),
    ],
)
def test_stated(text: str, answer: str) -> None:
    assert read(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ben has 7 + 3 = 10.",
        r"\boxed{",
        r"\boxed{\frac{1}{2}",
        r"\boxed{}",
        "The answer is not known.",
        "The answer is wrong.",
        "#### Step 2: add them",
        "The answer is 12 or 13.",
        "The answer is 1, 2 and 3.",
        "The answer is",
        "The answer is 3:30.",
    ],
)
def test_nothing_stated(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 17\nThe answer is 18.", "18"),
        ("The answer is 18.\n#### 17", "17"),
        (r"The answer is 18. \boxed{17}", "17"),
        (r"\boxed{17} The answer is 18.", "18"),
        ("The answer is 5. I hope this answer is correct.", "5"),  # what cannot be read does not count
        (r"\boxed{5} and \boxed{}", "5"),
    ],
)
def test_the_last_statement_counts(text: str, answer: str) -> None:
    assert read(text) == answer


def test_a_statement_may_span_steps() -> None:
    root = Trajectory(question="?").child("The answer", (1,), logprob=0.0, proposal_logprob=0.0)
    assert stated(root.child(" is 17.", (2,), logprob=0.0, proposal_logprob=0.0)) == "17"


SAME = [
    ["1,000", "1000.0", "$1000", r"\$1,000.", "1000", " 1000 ", "$1{,}000$", "+1000", "1e3", "x = 1000", r"1000\text{ cm}"],
    ["2/4", "0.5", r"\frac{1}{2}", r"\dfrac12", ".5", "0.50", "1/2"],
    ["-7", "\u22127", "-$7.00", "-14/2"],
    ["50%", r"50\%", "50"],
    ["90°", r"90^\circ", r"90^{\circ}"],
    ["Paris", "paris.", r"\text{Paris}", "**Paris**", " Paris  "],
    ["(B)", "b", "B."],
    [""],
    ["12 apples"],
    ["3:30"],
    ["1 000"],
]


def test_cheap_forms_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motes.ppl.answers.equivalence_classes", None)  # calling it would raise
    labels = group([spelling for same in SAME for spelling in same])
    position = 0
    for same in SAME:
        assert set(labels[position : position + len(same)]) <= set(same)
        assert len(set(labels[position : position + len(same)])) == 1, same
        position += len(same)
    assert len(set(labels)) == len(SAME)


def test_the_label_is_the_commonest_spelling() -> None:
    assert group(["17.0", "17", None, "17.0"]) == ["17.0", "17.0", None, "17.0"]
    assert group(["17.0", "17"]) == ["17", "17"]  # then the shortest
    assert group(["b", "B"]) == ["B", "B"]  # then the first by alphabet


def test_no_answer_is_not_the_text_none() -> None:
    assert group([None, "None", "", None]) == [None, "None", "", None]
    assert group([]) == []


@settings(deadline=None)
@given(st.lists(st.sampled_from([None, *(spelling for same in SAME for spelling in same)])), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_order(answers: list[str | None], random) -> None:
    order = random.sample(range(len(answers)), len(answers))
    labels = group(answers)
    assert group([answers[i] for i in order]) == [labels[i] for i in order]


@settings(deadline=None)
@given(st.lists(st.text(max_size=8)))
def test_any_text_is_an_answer(answers: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:  # math-verify's part is tested below
        patch.setattr("motes.ppl.answers.equivalence_classes", lambda expressions: tuple(range(len(expressions))))
        labels = group(answers)
        assert group(labels) == labels
    assert set(labels) <= set(answers)


MATHEMATICS = [
    [r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt2}", r"\sqrt{2}/2", "sqrt(2)/2", "0.7071068"],
    ["x + 1", "1+x", "$x+1$"],
    ["x^2-1", "(x-1)(x+1)"],
    ["10^5", "100,000"],
    ["(1,2)"],
    ["(2,1)", r"\left(2, 1\right)"],
    [r"\{1,2\}", r"\{2,1\}"],
    ["[0,1)"],
    ["5"],
    [r"5 \text{ or } 6"],
]


def test_math_verify_decides_mathematics() -> None:
    labels = group([spelling for same in MATHEMATICS for spelling in same])
    expected = [min(same, key=lambda spelling: (len(spelling), spelling)) for same in MATHEMATICS for _ in same]
    assert labels == expected


def test_classes_are_transitive_and_blind_to_order() -> None:
    # math-verify calls each decimal equal to the root (they agree to six places), and the decimals different
    spellings = [r"\sqrt{2}/2", "0.7071068", "0.70710678"]
    assert len(set(group(spellings[1:]))) == 2
    for order in permutations(spellings):
        assert set(group(order)) == {"0.7071068"}


def test_mathematics_off_the_main_thread(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    found: list[list[str | None]] = []
    thread = threading.Thread(target=lambda: found.append(group(["y+2", "2+y"])))
    thread.start()
    thread.join()
    assert found == [["2+y", "2+y"]]
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_what_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "ALL", 2)
    with pytest.warns(RuntimeWarning, match="took more than 2 s: 2 answers count as different"):
        labels = group(["9^{9^{9^9}}", "9^{9^{9^9}} + 1"])
    assert labels == ["9^{9^{9^9}}", "9^{9^{9^9}} + 1"]
