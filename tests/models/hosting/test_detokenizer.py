"""Where steps end and what their texts are, against decoding all tokens from the beginning, in
every family of tokenizers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from tokenizer_families import FAMILIES
from transformers import AutoTokenizer

from motes.models import StepRule, Trajectory
from motes.models.hosting.decoding import StepEnding
from motes.models.hosting.detokenizer import Detokenizer

TEXTS = [
    (
        "The answer is 128. So 7 + 3 = 10.\n\nThen café naïve 中文 ок руки 😀😀 END it.  Two  "
        "blanks\n\n\nand end. ки\nStep "
    ),
    " leading END <|end|>x <|end|>",
    "ok. ки\nStep 2: END",
]
DELIMITERS = [
    "\n\n",
    "\n",
    " END",
    ". ",
    " ",
    "<|end|>",
    "[SEP]",
    "ки",
    "ки\n",
    "é",
    "中",
    "😀",
    "😀😀",
    " bl",
    "answer is",
]
# what a family cannot write: line breaks where they are blanks, capitals and accents where they are
# folded, and characters that it has not seen in training where there are no tokens of bytes
NEVER = {
    "word_piece": {"\n\n", "\n", " END", "ки\n", "é", "😀", "😀😀"},
    "suffixes": {"\n\n", "\n", " END", "ки\n", "😀", "😀😀", " bl"},
}


@pytest.fixture(scope="module", params=[*FAMILIES, "smollm2"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param == "smollm2":
        return AutoTokenizer.from_pretrained(request.getfixturevalue("smollm_folder"))
    return FAMILIES[request.param]()


def split(
    tokenizer: Any, rule: StepRule, ids: list[int], end_ids: frozenset[int] = frozenset()
) -> Trajectory:
    """The steps that these tokens make, as the decode loop makes them."""
    ending = StepEnding(Detokenizer(tokenizer, rule, len(tokenizer)), end_ids)
    node, step = Trajectory(question="?"), []
    for token in ids:
        step.append(token)
        child = None
        if ending.may_be(np.array(token), len(step)):
            child = ending.child(node, step, 0.0, 0.0, full=False)
        if child is not None:
            node, step = child, []
    return node


def decoded(tokenizer: Any, ids: list[int], delimiter: str = "") -> str:
    """All tokens decoded in one go, without the special tokens that the delimiter does not name."""
    added = tokenizer.added_tokens_decoder
    hidden = {
        token for token, kind in added.items() if kind.special and kind.content not in delimiter
    }
    return tokenizer.decode([token for token in ids if token not in hidden])


def steps_by_hand(tokenizer: Any, delimiter: str, ids: list[int]) -> list[int]:
    """How many tokens each step has: one ends when what the text has gained since the last holds
    the delimiter."""
    counts, first, before = [], 0, ""
    for end in range(1, len(ids) + 1):
        text = decoded(tokenizer, ids[:end], delimiter).rstrip("\ufffd")  # whole characters
        if delimiter in text[len(before) :]:
            counts.append(end - first)
            first, before = end, text
    return counts


@pytest.mark.long(quick=40)
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_a_step_ends_where_the_decoded_text_holds_the_delimiter(
    tokenizer: Any, delimiter: str, request: pytest.FixtureRequest
) -> None:
    family = request.node.callspec.params["tokenizer"]
    rule = StepRule(delimiter=delimiter, cap=200)
    if delimiter in NEVER.get(family, ()):
        with pytest.raises(
            ValueError, match="cannot occur: no tokens of this vocabulary make that text"
        ):
            Detokenizer(tokenizer, rule, len(tokenizer))
        return
    ended = 0
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        last = split(tokenizer, rule, ids)
        assert [len(node.step_token_ids) for node in last.path[1:]] == steps_by_hand(
            tokenizer, delimiter, ids
        )
        assert all(delimiter in step for step in last.steps)
        assert all(node.delimited for node in last.path[1:])
        ended += last.depth
    everything = tokenizer("".join(TEXTS), add_special_tokens=False)["input_ids"]
    assert ended or delimiter not in decoded(tokenizer, everything, delimiter)


@pytest.mark.long(quick=10)
@pytest.mark.parametrize("cap", [1, 2, 3, 5])
def test_steps_cut_anywhere_make_the_text_of_all_tokens(tokenizer: Any, cap: int) -> None:
    """Characters that are cut are whole in the step that completes them, blanks at cuts stay."""
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        last = split(tokenizer, StepRule(delimiter=None, cap=cap), ids)
        whole = decoded(tokenizer, list(last.token_ids))
        assert last.text == whole.rstrip("\ufffd")
        assert len(whole) - len(last.text) <= 3  # bytes of a character that the cut has left open
        assert not any(node.delimited for node in last.path[1:])


@pytest.mark.parametrize("family", ["byte_level", "tiktoken_like"])
def test_what_is_not_utf_8_is_replaced_as_in_the_whole(family: str) -> None:
    tokenizer, rng = FAMILIES[family](), random.Random(0)
    for _ in range(50):
        ids = [rng.randrange(len(tokenizer)) for _ in range(40)]
        last = split(tokenizer, StepRule(delimiter=None, cap=rng.randint(1, 6)), ids)
        assert last.text == decoded(tokenizer, list(last.token_ids)).rstrip("\ufffd")


@pytest.mark.parametrize("full", [False, True])
def test_nothing_is_waited_for_at_the_end(full: bool) -> None:
    """A text that ends, or fills the context, inside a character ends with its replacement."""
    tokenizer = FAMILIES["byte_level"]()
    ids = tokenizer("a😀", add_special_tokens=False)["input_ids"]
    assert len(ids) == 5
    ending = StepEnding(
        Detokenizer(tokenizer, StepRule(), len(tokenizer)), frozenset({tokenizer.eos_token_id})
    )
    tokens = ids[:-1] if full else [*ids[:-1], tokenizer.eos_token_id]
    child = ending.child(Trajectory(question="?"), tokens, 0.0, 0.0, full=full)
    assert child is not None and (child.text, child.delimited) == ("a\ufffd", False)


def test_a_delimiter_that_cannot_occur_is_an_error_at_construction() -> None:
    tokenizer = FAMILIES["metaspace"]()
    newline = tokenizer.convert_tokens_to_ids("<0x0A>")
    with pytest.raises(ValueError, match="delimiter '\\\\n' cannot occur"):
        # a model whose vocabulary ends before it
        Detokenizer(tokenizer, StepRule(delimiter="\n"), newline)
    Detokenizer(tokenizer, StepRule(delimiter="\n"), newline + 1)
    with pytest.raises(
        ValueError,
        match="cap must leave room for the delimiter '\\\\n\\\\n', which has 2 tokens, and is 1",
    ):
        Detokenizer(tokenizer, StepRule(delimiter="\n\n", cap=1), len(tokenizer))
    # it is the number of tokens that ends these steps
    Detokenizer(tokenizer, StepRule(tokens=1), len(tokenizer))
    for delimiter, error in (("", ValueError), ("a\ud800", ValueError), (3, TypeError)):
        with pytest.raises(error, match="delimiter must be a text"):
            StepRule(delimiter=delimiter)


def test_a_special_token_that_the_delimiter_does_not_name_is_no_text() -> None:
    tokenizer = FAMILIES["byte_level"]()
    ids = tokenizer("a<|user|>b<|end|>c", add_special_tokens=False)["input_ids"]
    assert split(tokenizer, StepRule(delimiter="<|end|>"), ids).steps == ("ab<|end|>",)
    assert split(tokenizer, StepRule(delimiter="<|user|>"), ids).steps == ("a<|user|>",)
    assert split(tokenizer, StepRule(delimiter="c"), ids).steps == ("abc",)
