"""Steps of a model that thinks before it answers, against a second reading of the whole text."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest
from tokenizer_families import FAMILIES
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from motes.models import Opening, StepRule, Thinking, Trajectory
from motes.models.hosting.decoding import StepEnding
from motes.models.hosting.detokenizer import Detokenizer
from motes.models.identity import identify
from motes.models.recording.recording_file import rule_from, rule_record
from motes.ppl import stated
from motes.ppl.answers import settled

BEGIN, END = "<think>", "</think>"
INSIDE = StepRule(delimiter=["\n", ". "], cap=7)
THINKING = Thinking(step=INSIDE)
RULE = StepRule(delimiter="\n\n", cap=11, thinking=THINKING)
PIECES = [BEGIN, END, "\n\n", "\n", ". ", " ", "answer is", "The", " blanks", "7 + 3", "Then"]
LAW = {"logprob": 0.0, "proposal_logprob": 0.0}


@pytest.fixture(scope="module", params=["one token", "several tokens", "special"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """Markers as Qwen3 and DeepSeek-R1 have them, as plain text, and as special tokens."""
    state = Tokenizer.from_str(FAMILIES["byte_level"]().backend_tokenizer.to_str())
    made = PreTrainedTokenizerFast(tokenizer_object=state, eos_token="</s>", unk_token="<unk>")
    if request.param != "several tokens":
        special = request.param == "special"
        tokens = [AddedToken(text, normalized=False, special=special) for text in (BEGIN, END)]
        made.add_tokens(tokens)
    return made


def split(tokenizer: Any, rule: StepRule, ids: list[int], *, thinks: bool) -> Trajectory:
    """The steps that these tokens make, as the decode loop makes them, until they are truncated."""
    ending = StepEnding(Detokenizer(tokenizer, rule, len(tokenizer)), frozenset())
    node = Trajectory(question="?", opening=Opening("", BEGIN, END, thinks))
    step: list[int] = []
    for token in ids:
        step.append(token)
        child = None
        if node.open and ending.may_be(np.array(token), len(step)):
            child = ending.child(node, step, 0.0, 0.0, full=False)
        if child is not None:
            node, step = child, []
    return node


def by_hand(tokenizer: Any, ids: list[int], thinks: bool) -> list[tuple[int, bool]]:
    """How many tokens each step has, and whether it is thinking, read from runs between markers."""
    steps, first, begun = [], 0, BEGIN if thinks else ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[first:end])
        kind, content, marked = thinks, "", False
        for run in re.split(f"({BEGIN}|{END})", text):
            if run == (END if kind else BEGIN):
                marked = bool(content.strip())
                if marked:
                    break
                kind = not kind
            else:
                content += run
        content = content.lstrip()
        marks = ("\n", ". ") if kind else ("\n\n",)
        if marked or any(mark in content for mark in marks) or end - first >= (7 if kind else 11):
            steps.append((end - first, kind))
            # the next step begins as the whole text so far says
            whole = begun + tokenizer.decode(ids[:end])
            thinks, first = whole.rfind(BEGIN) > whole.rfind(END), end
    return steps


def texts(seed: int) -> list[str]:
    """Texts of pieces in random order, in which the markers alternate."""
    rng = random.Random(seed)
    made = []
    for _ in range(12):
        pieces, inside = [], seed % 2 == 1
        for piece in rng.choices(PIECES, weights=[2, 2, *[3] * (len(PIECES) - 2)], k=40):
            if piece in (BEGIN, END):
                pieces.append(END if inside else BEGIN)
                inside = not inside
            else:
                pieces.append(piece)
        made.append("".join(pieces))
    return made


@pytest.mark.parametrize("thinks", [False, True])
def test_steps_are_under_the_rule_of_their_kind(tokenizer: Any, thinks: bool) -> None:
    kinds: list[bool] = []
    for text in texts(int(thinks)):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        node = split(tokenizer, RULE, ids, thinks=thinks)
        lengths = [len(each.step_token_ids) for each in node.path[1:]]
        expected = by_hand(tokenizer, ids, thinks)
        assert lengths == [length for length, _ in expected]
        kinds += [kind for _, kind in expected]
        assert node.text == tokenizer.decode(ids[: sum(lengths)])
        # the answer's text, by regular expressions from the whole text
        whole = (BEGIN if thinks else "") + node.text
        outside = re.sub(f"{BEGIN}.*?({END}|\\Z)", "", whole, flags=re.DOTALL)
        assert node.answer_text == outside
        assert BEGIN not in "".join(node.solution_steps) or tokenizer.vocab.get(BEGIN) is None
        assert len(node.solution_steps) == node.depth
    assert 20 < sum(kinds) < len(kinds) - 20  # both kinds were seen


@pytest.mark.parametrize("budget", [1, 8, 20])
def test_budgets_of_thinking_and_of_the_answer(tokenizer: Any, budget: int) -> None:
    for name, kind in {"max_tokens": True, "max_answer_tokens": False}.items():
        rule = StepRule(delimiter="\n\n", cap=11, thinking=Thinking(step=INSIDE, **{name: budget}))
        truncated = 0
        for text in texts(0):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            node = split(tokenizer, rule, ids, thinks=False)
            spent = used = 0
            for length, step_kind in by_hand(tokenizer, ids, False):
                spent, used = spent + length * (step_kind == kind), used + length
                before = tokenizer.decode(ids[:used])
                if spent >= budget and (before.rfind(BEGIN) > before.rfind(END)) == kind:
                    assert node.truncated and len(node.token_ids) == used
                    truncated += 1
                    break
            else:
                assert node.open
        assert truncated > 5


def test_answers_are_read_outside_of_thinking() -> None:
    root = Trajectory(question="?", opening=Opening("", BEGIN, END, thinks=True))
    wondering = root.child("Is the answer 3? The answer is 3.\n", (1,), **LAW)
    assert stated(wondering) is None and settled(wondering, stated, True).open
    decided = wondering.child("No, it is \\boxed{4}.</think>", (2,), **LAW)
    assert stated(decided) is None
    said = decided.child("\n\nThe answer is 5.", (3,), **LAW)
    assert stated(said) == settled(said, stated, True).answer == "5"
    # thinking that never ended says nothing, even at the end of the text
    assert settled(wondering.close(finished=True), stated, True).answer is None
    assert said.solution_steps == (
        "Is the answer 3? The answer is 3.\n",
        "No, it is \\boxed{4}.",
        "\n\nThe answer is 5.",
    )
    # without a word on thinking it is text like any other
    plain = Trajectory(question="?").child("<think>The answer is 3.", (1,), **LAW)
    assert stated(plain) == "3" and plain.solution_steps == ("<think>The answer is 3.",)


def test_several_delimiters_each_end_a_step() -> None:
    tokenizer = FAMILIES["byte_level"]()
    ids = tokenizer("The answer is 7. Then END it.\n\nThe", add_special_tokens=False)["input_ids"]
    rule = StepRule(delimiter=["\n\n", " END", ". "])
    ending = StepEnding(Detokenizer(tokenizer, rule, len(tokenizer)), frozenset())
    node, step = Trajectory(question="?"), []
    for token in ids:
        step.append(token)
        if child := ending.child(node, step, 0.0, 0.0, full=False):
            node, step = child, []
    assert [text.strip() for text in node.steps] == ["The answer is 7.", "Then END", "it."]
    assert all(each.delimited for each in node.path)
    assert StepRule(delimiter=["\n"]) == StepRule(delimiter="\n")


def test_each_setting_of_thinking_is_another_rule_and_is_written_down() -> None:
    rules = [
        StepRule(),
        StepRule(delimiter=["\n\n", "\n"]),
        StepRule(thinking=Thinking()),
        StepRule(thinking=Thinking(begin="<thought>")),
        StepRule(thinking=Thinking(end="</thought>")),
        StepRule(thinking=Thinking(step=INSIDE)),
        StepRule(thinking=Thinking(max_tokens=9)),
        StepRule(thinking=Thinking(max_answer_tokens=9)),
    ]
    assert len({identify(rule).text for rule in rules}) == len(rules)
    assert [rule_from(rule_record(rule)) for rule in rules] == rules
    inside = Thinking(step=StepRule(predicate=lambda text: "!" in text))
    with pytest.raises(ValueError, match="a file holds no function"):
        rule_record(StepRule(thinking=inside))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"begin": ""}, ValueError, "begin must be a text that marks thinking, not the empty"),
        ({"end": 3}, TypeError, "end must be a text that marks thinking, not 3"),
        ({"begin": "x", "end": "x"}, ValueError, "begin and end must be two texts"),
        ({"step": "x"}, TypeError, "step must be a StepRule or None"),
        ({"step": RULE}, ValueError, "step must be a rule without thinking"),
        ({"max_tokens": 0}, ValueError, "max_tokens must be"),
        ({"max_answer_tokens": 0}, ValueError, "max_answer_tokens must be"),
    ],
)
def test_what_is_no_rule_for_thinking(options: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Thinking(**options)


def test_what_is_no_rule_for_steps() -> None:
    with pytest.raises(TypeError, match="thinking must be a Thinking or None, not True"):
        StepRule(thinking=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"delimiter must be a text that ends a step, several"):
        StepRule(delimiter=[])
    tokenizer = FAMILIES["byte_level"]()
    some = tokenizer.convert_tokens_to_ids(">")
    with pytest.raises(ValueError, match="the marker of thinking '<think>' cannot occur"):
        Detokenizer(tokenizer, RULE, some)
