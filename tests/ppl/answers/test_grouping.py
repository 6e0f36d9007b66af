"""Which answers count as one."""

from __future__ import annotations

import threading
import time
import warnings
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes.ppl.answers import group

SAME = [
    [
        "1,000",
        "1000.0",
        "$1000",
        r"\$1,000.",
        "1000",
        " 1000 ",
        "$1{,}000$",
        "+1000",
        "1e3",
        "x = 1000",
        r"1000\text{ cm}",
    ],
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


def test_forms_of_one_answer() -> None:
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
@given(
    st.lists(st.sampled_from([None, *(spelling for same in SAME for spelling in same)])),
    st.randoms(use_true_random=False),
)
def test_groups_do_not_depend_on_order(answers: list[str | None], random) -> None:
    order = random.sample(range(len(answers)), len(answers))
    labels = group(answers)
    assert group([answers[i] for i in order]) == [labels[i] for i in order]


@settings(deadline=None)
@given(st.lists(st.text(max_size=8)))
def test_any_text_is_an_answer(answers: list[str]) -> None:
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


def test_mathematics() -> None:
    labels = group([spelling for same in MATHEMATICS for spelling in same])
    expected = []
    for same in MATHEMATICS:
        expected += [min(same, key=lambda spelling: (len(spelling), spelling))] * len(same)
    assert labels == expected


def test_decimals_and_what_they_are_rounded_from() -> None:
    # each decimal is the root, to its places; but the decimals are different numbers
    spellings = [r"\sqrt{2}/2", "0.7071068", "0.70710678"]
    assert len(set(group(spellings[1:]))) == 2
    for order in permutations(spellings):
        assert set(group(order)) == {"0.7071068"}
    for decimal in ("0.7071069", "0.707107", "0.7071"):  # another number; too few places
        assert len(set(group([r"\sqrt{2}/2", decimal]))) == 2
    assert len(set(group(["1/3", "0.3333333"]))) == 1
    assert len(set(group(["1/3", "0.333333"]))) == 2
    # what may be rounded from either of two is neither
    assert len(set(group([r"\pi", "3.141593"]))) == 1
    assert len(set(group([r"\pi", "3.141593", r"\frac{355}{113}"]))) == 3


DIFFERENT = [
    [
        "10^{-9}",
        r"2 \cdot 10^{-9}",
        "0",
        r"\sqrt{2} \cdot 10^{-30}",
        r"\sqrt{3} \cdot 10^{-30}",
    ],  # tiny
    ["10^{40}", "10^{40}+1", r"\sqrt{2} \cdot 10^{40}", r"\sqrt{2} \cdot 10^{40}+1"],  # huge
    ["x + 10^{-40}", "x", "-x", "x^1+1"],
    ["20, 300", "20300", "20,300, 1", "(20, 300)", "(300, 20)"],
    ["2516_8", "2516", "2516_7", "1358"],
    [r"\log_2 8", "8", r"\log_8 2", r"\log 8", r"\ln 8", "2"],
    ["x < 3", "x > 3", r"x \le 3", "3", "x = 3 + 1"],
    ["x = 1, y = 2", "x = 2, y = 1", "1, 3"],
    [r"\sqrt{x^2} + 1", "x + 1", "1 - x"],
    [r"\ln x^2", r"2 \ln x"],  # x may be negative
    ["12 dozen", "12", "144"],
    ["37!", "37"],
    ["(1, 2)", "[1, 2]", "(1, 2]", "(2, 1)"],
    [
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}",
        "1, 2, 3, 4",
    ],
    ["3:30", "3:30 pm", "330", "3/30"],
    ["2^{10}", "2^1 0", "20"],
    [r"\log 100", "2"],  # its base is not known
    ["1/2x", r"\frac{x}{2}", r"\frac{1}{2x}"],  # it may be either
    ["50%", "0.5"],
    ["5-7", "-2"],
    ["1 000", "1000"],
    ["8^{1/3}", "-2"],
    [r"\$5", "-5"],
    ["3-1/2", r"3\frac{1}{2}", r"\frac{5}{2}", "3 and 1/2", r"3, \frac{1}{2}"],  # or 3 - 1/2
    ["0.333...", "0.333", r"0.\overline{3}"],
    ["1,00,000", "100000", "1, 0, 0"],
    ["12/25/2020", r"\frac{3}{12625}"],
    ["25 December", "25"],
    ["~5", "5"],
    ["2x + 3y = 6", "2x + 3y = 7", "3x + 2y = 6", "x^2 + y^2 = 6"],
    [r"\langle 1, 2 \rangle", "(1, 2)", "1, 2"],
    ["a = b", "a = 2b", "ab = 1"],
]


@pytest.mark.parametrize("answers", DIFFERENT)
def test_different_answers(answers: list[str]) -> None:
    assert group(answers) == answers
    for first in answers:
        for second in answers:
            assert len(set(group([first, second]))) == len({first, second})


SAME_MATHEMATICS = [
    [
        "20, 300",
        "300, 20",
        r"\{20, 300\}",
        r"20 \text{ and } 300",
        "x = 20 or x = 300",
        "20 and 300",
    ],
    [
        "x = 5",
        "5",
        "5 = x",
        "x=5.0",
        r"\boxed{5}",
        "5 apples",
        "y = 5",
        r"\text{Area} = 5",
        "f(x) = 5",
    ],
    [r"x \in [-2, 7)", "[-2, 7)", r"-2 \le x < 7", r"7 > x \geq -2", r"\left[-2, 7\right)"],
    [
        r"(-\infty, 2) \cup (3, \infty)",
        r"x < 2 \text{ or } x > 3",
        r"(3, \infty) \cup (-\infty, 2)",
    ],
    [r"\pm 3", "3, -3", r"x = \pm 3", r"\{-3, 3\}"],
    [r"1 \pm \sqrt{2}", r"1 + \sqrt{2}, 1 - \sqrt{2}"],
    ["2516_8", "2516_{8}", r"2516_{\text{eight}}", "2516 (base 8)", "2516₈", "2516 base 8"],
    [r"\log_2 8", "3", r"\log_{2}{8}", r"\frac{\ln 8}{\ln 2}", r"\frac{\log 8}{\log 2}"],
    [r"\sin 30^\circ", "0.5", r"\sin \frac{\pi}{6}", r"\cos(60^{\circ})"],
    ["x^2 + y^2 = 25", "y^2 + x^2 = 25", "25 - x^2 = y^2", "2x^2 + 2y^2 - 50 = 0"],
    ["x = 1, y = 2", "y = 2, x = 1", r"x = 1 \text{ and } y = 2"],
    [
        r"\begin{pmatrix} 1/2 \\ -3 \end{pmatrix}",
        r"\begin{bmatrix}0.5\\-3\end{bmatrix}",
        r"\left(\begin{array}{c} \frac12 \\ -3 \end{array}\right)",
    ],
    ["14 apples", "14", r"14\text{ apples}", "14 oranges", "14."],
    ["2 1/2", "2½", r"2\frac12", "5/2", "2.5 hours"],
    ["5²", "25", "5^2", "5**2"],
    ["1.5 × 10³", "1500", "1.5e3", r"1.5 \cdot 10^{3}"],
    ["90°", "90", "90 degrees", r"90^{\circ}", r"\frac{180}{2}^\circ"],
    ["3:30 PM", "3:30 p.m.", "3:30 pm"],
    ["25°C", "25"],
    ["5!", "120"],
    [r"\binom{5}{2}", "10"],
    ["e^{i\\pi}", "-1"],
    [r"\sqrt{x^2} + 1", "|x| + 1"],
    ["p - q", "p-q", "-q + p"],
    [r"864 \mbox{ inches}^2", "864"],
    ["y = 2x + 3", "2x - y + 3 = 0", "4x + 6 = 2y", r"x = \frac{y - 3}{2}", "2x + 3"],
    ["f(x) = 2x + 3", "2x + 3"],
    ["a = b", "b = a", "2a - 2b = 0"],
    [r"0.\overline{3}", "1/3", r"\frac13"],
    [r"0.1\overline{6}", r"\frac{1}{6}"],
    ["{1, 2}", r"\{2, 1\}"],
    ["n!", r"\frac{(n+1)!}{n+1}"],
    [r"\binom{n}{2}", r"\frac{n(n-1)}{2}", r"{n \choose 2}"],
    ["3 x 10^8", "300,000,000", r"3 \times 10^8"],
    ["10,\\!236", "10236", "10,236", "10{,}236", r"10\,236"],
]


@pytest.mark.parametrize("answers", SAME_MATHEMATICS, ids=lambda answers: answers[0])
def test_same_answers(answers: list[str]) -> None:
    assert len(set(group(answers))) == 1


def test_classes_of_a_crowd() -> None:
    """A partition: every answer is where it is alone with another of its class."""
    crowd = [answer for answers in SAME_MATHEMATICS for answer in answers[:2]]
    labels = group(crowd)
    for first, first_label in zip(crowd, labels, strict=True):
        for second, second_label in zip(crowd, labels, strict=True):
            assert (len(set(group([first, second]))) == 1) == (first_label == second_label), (
                first,
                second,
            )


HOSTILE = [
    "9^{9^{9^9}}",
    "9^{9^{9^9}} + 1",
    "(" * 150 + "x" + ")" * 150,
    "-" * 199 + "1",
    "2^{" * 45 + "2" + "}" * 45,
    "1000000000!",
    r"\binom{10^{9}}{5}",
    "e^{e^{e^{e^{10}}}}",
    r"\sin(10^{4000})",
    "(x+1)^{99999999}",
    "1.5^{100000.5}",
    "1e999999999999",
    r"\frac{" * 60 + "1" + "}{2}" * 60,
    "+".join(["x^{39}"] * 60),
    r"\sqrt[100]{" * 12 + "2" + "}" * 12,
    "9" * 399,
    "!" * 300,
    "|" * 300,
    "1/" * 190 + "1",
    r"\{" * 150 + r"\}" * 150,
    "5 " * 150,
]


def test_a_hostile_answer_costs_itself_alone() -> None:
    others = ["x+1", "1+x", "0.5", r"\frac12", r"\sqrt{8}", r"2\sqrt2"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.process_time()
        labels = group([*HOSTILE, *others])
        seconds = time.process_time() - began
    assert labels[len(HOSTILE) :] == ["1+x", "1+x", "0.5", "0.5", r"2\sqrt2", r"2\sqrt2"]
    assert len(set(labels)) == len(HOSTILE) + 3
    assert seconds < 5  # 0.05 as a rule
    assert {str(warning.message)[:40] for warning in caught} == {str(caught[0].message)[:40]}


def test_what_is_too_large_is_said() -> None:
    message = r"2 answers are too large to be computed, .* '9\^\{9\^\{9\^9\}\}'"
    with pytest.warns(RuntimeWarning, match=message):
        labels = group(["9^{9^{9^9}}", "9^{9^{9^9}} + 1", "9^{9^{9^9}}"])
    assert labels == ["9^{9^{9^9}}", "9^{9^{9^9}} + 1", "9^{9^{9^9}}"]


def test_thousands_of_answers_are_grouped_in_a_moment() -> None:
    began = time.process_time()
    crowd = [rf"\frac{{{n % 7}}}{{7}} + \sqrt{{{n % 3}}}" for n in range(20_000)]
    assert len(set(group(crowd))) == 21
    assert len(set(group([f"{n}x + {n}" for n in range(1_000)]))) == 999 + 1
    assert time.process_time() - began < 10  # 1.5 as a rule


def test_in_any_thread(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    found: list[list[str | None]] = []

    def grouped() -> None:
        found.append(group(["y+2", "2+y", r"\sqrt{5}\sqrt{5}", "5"]))

    threads = [threading.Thread(target=grouped) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["2+y", "2+y", "5", "5"]] * 4
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
