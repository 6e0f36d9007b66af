"""What a trajectory answers, and that it does not depend on where its steps end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motes import solve
from motes.models import StepRule, Trajectory, load_lm
from motes.models.pocket import problems
from motes.ppl import stated
from motes.ppl.answers import settled
from motes.samplers import ImportanceSampling

PRIOR = ImportanceSampling(particles=24)
ROOT = Trajectory(question="?")


def written(parts: Sequence[str], *, delimited: bool = False, finished: bool = True) -> Trajectory:
    """A trajectory with these steps, of which the last may end the text."""
    node = ROOT
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        node = node.child(
            part,
            (number,),
            logprob=0.0,
            proposal_logprob=0.0,
            finished=finished and last,
            delimited=delimited,
        )
    return node


def followed(parts: Sequence[str]) -> Trajectory:
    """The trajectory as a run has it: step by step, until it closes."""
    node = ROOT
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        child = node.child(
            part,
            (number,),
            logprob=0.0,
            proposal_logprob=0.0,
            finished=last,
            delimited=part.endswith("\n\n"),
        )
        node = settled(child, stated, True)
        if not node.open:
            break
    return node


def cut(text: str, places: Sequence[int]) -> list[str]:
    ends = sorted({place for place in places if 0 < place < len(text)})
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def test_a_statement_may_span_steps() -> None:
    assert stated(written(["The answer", " is 17."])) == "17"


TEXTS = [
    ("2^7 is to be found.\n\nIt is 2 * 64.\n\nThe answer is 128.\n\nDone.", "128"),
    ("2^7 is to be found.\n\nThe answer is 128", "128"),
    ("So it is $\\boxed{128}$, as was to be shown.", "128"),
    ("So it is $\\boxed{\\frac{\\sqrt{128}}{3}}$.\n\n", r"\frac{\sqrt{128}}{3}"),
    ("The answer is 3.14159, rounded.\n", "3.14159"),
    ("The answer is $1,234,567.89.", "$1,234,567.89"),
    ("The answer is 12 apples, because 6 + 6 = 12. So", "12"),
    ("The answer is 3 + 4 = 7.\n\nGood.", "7"),
    ("#### 128\n", "128"),
    ("The answer is\n\n$$\n\\frac{1}{2}\n$$\n\nDone", r"\frac{1}{2}"),
    ("**Final answer:** -17.50 dollars.\nThanks", "-17.50"),
    ("The answer is 4 dozen.\n\nDone.", None),
    ("The answer is 5 ft. 3 in.\n", None),
    ("The answer is 37!\n\n", None),
    ("The answer is not known.\n\n", None),
    ("The answer is (1, 2).\n", "(1, 2)"),
    ("The answer is −5.\n", "-5"),
]


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(TEXTS), st.lists(st.integers(1, 70), max_size=30))
def test_the_same_text_gives_the_same_answer_however_it_is_cut(
    example: tuple[str, str | None],
    places: list[int],
) -> None:
    text, answer = example
    found = followed(cut(text, places))
    assert found.finished and found.answer == answer


@pytest.mark.parametrize(("text", "answer"), TEXTS)
def test_token_by_token(text: str, answer: str | None) -> None:
    assert followed(list(text)).answer == answer == followed([text]).answer


def test_half_an_answer_does_not_close() -> None:
    half = written(["The answer is 1"], finished=False)
    assert settled(half, stated, True) is half
    whole = written(["The answer is 1"], finished=False, delimited=True)
    assert settled(whole, stated, True).answer == "1"
    assert settled(whole, stated, False) is whole


def test_another_rule_is_asked_where_a_step_is_whole() -> None:
    def rule(trajectory: Trajectory) -> str | None:
        return trajectory.text[-1]

    half = written(["The answer is 1"], finished=False)
    assert settled(half, rule, True) is half
    whole = written(["The answer is 1"], finished=False, delimited=True)
    assert settled(whole, rule, True).answer == "1"
    ended = written(["The answer is 1"], finished=True)
    assert settled(ended, rule, True).answer == "1"


def test_a_truncated_trajectory_has_no_answer() -> None:
    step = {"logprob": 0.0, "proposal_logprob": 0.0}
    cut_off = ROOT.child("The answer is 1.", (1,), **step, truncated=True)
    assert settled(cut_off, stated, True) is cut_off


def test_answers_are_texts() -> None:
    with pytest.raises(TypeError, match="answer must map a trajectory to a str or None, not to 42"):
        settled(written(["?"]), lambda trajectory: 42, True)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("tokens", [1, 3])
def test_steps_of_fixed_length_do_not_halve_answers(tokens: int) -> None:
    """Under steps of a few tokens the pocket gives the answers that it gives under whole steps."""
    problem = next(x for x in problems("test") if x.answer > 9 and x.steps < 4)
    right = str(problem.answer)
    shares = []
    for rule in ({}, {"step": StepRule(tokens=tokens)}):
        lm = load_lm("pocket", **rule)
        run = solve(problem.question, lm=lm, prm=None, max_steps=200, sampler=PRIOR)
        shares.append(run.answers)
    whole, pieces = shares
    assert whole[right] > 0.2 and pieces[right] > 0.2  # 0.46 as a rule, give or take 0.1
    for half in (right[0], right[1:]):
        assert pieces.get(half, 0.0) <= whole.get(half, 0.0) + 0.1
