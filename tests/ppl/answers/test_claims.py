"""What is read in a text, and when a statement is complete."""

from __future__ import annotations

import time

import pytest

from motes.ppl.answers import last_answer


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
        ("The answer is no. It cannot be.", "no"),
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
    assert last_answer(text) == answer


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
    assert last_answer(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 17\nThe answer is 18.", "18"),
        ("The answer is 18.\n#### 17", "17"),
        (r"The answer is 18. \boxed{17}", "17"),
        (r"\boxed{17} The answer is 18.", "18"),
        (
            "The answer is 5. I hope this answer is correct.",
            "5",
        ),  # what cannot be read does not count
        (r"\boxed{5} and \boxed{}", "5"),
    ],
)
def test_the_last_statement_counts(text: str, answer: str) -> None:
    assert last_answer(text) == answer


NUMBERS = [
    ("The answer is 2 1/2 hours.", r"2\frac{1}{2}"),
    ("The answer is 2½.", r"2\frac{1}{2}"),
    ("The answer is ½.", r"\frac{1}{2}"),
    ("The answer is ２５.", "25"),
    ("The answer is ٣٤.", "34"),
    ("The answer is \u22125.", "-5"),
    ("The answer is \u20135.", "-5"),
    ("The answer is 5².", "5^{2}"),
    ("The answer is √2.", r"\sqrt{2}"),
    ("The answer is 2√3 cm.", r"2\sqrt{3}"),
    ("The answer is 5 × 10³.", r"5 \times 10^{3}"),
    ("The answer is 1.5e3.", "1.5e3"),
    ("The answer is 2516_8.", "2516_8"),
    ("The answer is 2516₈.", "2516_{8}"),
    ("The answer is 2516 base 8.", "2516 base 8"),
    (r"The answer is $\log_2 8$.", r"\log_2 8"),
    ("The answer is $5!$.", "5!"),
    ("The answer is 45 degrees.", "45"),
    ("The answer is 50 percent.", "50"),
    ("The answer is 50%.", "50%"),
    ("The answer is €5.", "€5"),
    ("The answer is 12 km/h.", "12"),
    ("The answer is 42kg.", "42"),
    ("The answer is $1,234,567.89.", "$1,234,567.89"),
    ("The answer is 20, 300.", "20, 300"),
    ("The answer is $4$ apples.", "4"),
    ("The answer is **42** apples.", "42"),
    ("The answer is 42 apples because 40 + 2 = 42.", "42"),
    ("The answer is 12, because it is.", "12"),
    ("The answer is 100 - 20 = 80 apples.", "80"),
    ("The answer is 3 times a week.", "3"),
    ("The answer is\n$$\n\\frac{1}{2}\n$$\n", r"\frac{1}{2}"),
    ("The answer is \\[\nx = 5\n\\]", "x = 5"),
    (r"\boxed{14 apples}", "14"),
    (r"\boxed{14\text{ apples}}", "14"),
    (r"\boxed{10\text{ cm}^2}", "10"),
    (r"\boxed{\$18.90}", "$18.90"),
    (r"\boxed{4\text{ dozen}}", r"4\text{ dozen}"),
]


@pytest.mark.parametrize(("text", "answer"), NUMBERS)
def test_numbers(text: str, answer: str) -> None:
    assert last_answer(text) == answer


UNSURE = """
    4 dozen | 2 dozen eggs | 5 hundred | 3 thousand people | 5 million dollars | 1.5 billion
    | 7 tenths | 3 quarters | 4 and a half | 5 and three quarters | 37! | 9 plus 4 equals 13
    | 9 minus 4 | 3 times 4 | 3 times as many | 12 divided by 4 | 5 squared
    | 2 to the power of 5 | 3 more than 5 | 3 more than Ben | 5 less than 9
    | 3 fewer apples than Ann | 12 or 13 | 12 or so | 5 to 7 | 5-7 | 5\u20137 apples
    | 3 out of 4 | 1 in 4 | 7 r 3 | 7 remainder 3 | 3 p.m. today | 3pm | 3 o'clock | 3:30 | 3:4
    | 5 feet 3 inches | 5 ft. 3 in. | 4th | 3rd place | 5 below zero | 3 point 5 | 7/2, or 3.5
    | 42? | 1/2x | 2 over 3 | $4$ dozen | **4** dozen | 4 whole dozens | 12, or more
    | 3 hundredths | 5 choose 2 | 10 mod 3 | 8 AM | 15 percent less | 20 doubled | 12 (a dozen)
    | 10 (ten) | 0.5 (1/2) | 101 in binary | 2 fold | 20 more dollars | 3 groups of four
""".split("|")


@pytest.mark.parametrize("number", [text.strip() for text in UNSURE])
def test_what_cannot_be_read_surely_is_not_read(number: str) -> None:
    assert last_answer(f"The answer is {number}.") is None
    assert last_answer(f"#### {number}\n") is None
    # and what was stated before does not take its place
    assert last_answer(f"The answer is 6. No: the answer is {number}.") is None


COMPLETE = [
    (r"\boxed{128}", "128"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    ("The answer is 128.\n", "128"),
    ("The answer is 128. ", "128"),
    ("The answer is 128\n", "128"),
    ("The answer is 3.14. So", "3.14"),
    ("The answer is (B).\n", "B"),
    ("#### 128\n", "128"),
    ("The answer is\n\n$$\n7\n$$\n", "7"),
]


@pytest.mark.parametrize(("text", "answer"), COMPLETE)
def test_complete_statements(text: str, answer: str) -> None:
    assert last_answer(text, ended=False) == answer


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 1",
        "The answer is 128",
        "The answer is 3.",  # of 3.14
        "The answer is 12 ",  # of 12 dozen
        "The answer is -",
        "The answer is 5 ft. 3",
        "The answer is no. ",  # 5
        "The answer is no. 5. ",
        "The answer is\n\n7",
        "The answer is $$\n7\n",
        "#### 12",
        r"\boxed{12",
        r"\boxed{\text{the answer is 5." + "\n",  # within a box that is not closed
    ],
)
def test_incomplete_statements(text: str) -> None:
    assert last_answer(text, ended=False) is None


DEGENERATE = {
    "boxes in boxes": r"\boxed{" * 4000,
    "boxes": r"\boxed{1}" * 4000,
    "claims": "The answer is 5. " * 4000,
    "claims without an end": "answer is " * 10_000,
    "marks": "#### 1 " * 5000,
    "braces": "{" * 50_000,
    "stars": "**" * 20_000,
    "dollars": "The answer is " + "$" * 50_000,
    "brackets": "The answer is " + "(1," * 300,
    "a long box": r"\boxed{" + "x + " * 50_000 + "1}",
    "wrappers in wrappers": r"\boxed{" * 250 + "1" + "}" * 250,
    "units in units": r"\boxed{1" + r"\text{ cm}" * 180 + "}",
    "blanks": "The answer is" + " " * 100_000 + "7",
}


@pytest.mark.parametrize("text", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_texts_take_no_time(text: str) -> None:
    """A model that repeats itself writes such texts, and they are read after every step."""
    began = time.process_time()
    last_answer(text)
    last_answer(text, ended=False)
    assert time.process_time() - began < 3  # 0.2 as a rule


TEXTS = [
    *(text for text, _ in NUMBERS + COMPLETE),
    *(f"So it follows.\n\nThe answer is {number.strip()}.\n\nDone." for number in UNSURE),
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_read_early_is_what_is_read_at_the_end(text: str) -> None:
    whole = last_answer(text)
    for end in range(len(text) + 1):
        early = last_answer(text[:end], ended=False)
        assert early is None or early == whole, text[:end]
