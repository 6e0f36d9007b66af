"""Text is data: what a text mentions is never a control token, and harmless text is encoded as
published."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest
from tokenizer_families import FAMILIES
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from motes.models.hosting.text_encoder import MARKER, TextEncoder, control_tokens, encodable

HARMLESS = [
    "The answer is 128.",
    " So 7 + 3 = 10.\n\nThen  ",
    "café naïve 中文 ок руки 😀",
    "a < b > c | d [1] {2} <x> </ s> <|",
    "\n",
]


@pytest.fixture(params=[*FAMILIES, "smollm2"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param == "smollm2":
        return AutoTokenizer.from_pretrained(request.getfixturevalue("smollm_folder"))
    return FAMILIES[request.param]()


def hostile_texts(tokenizer: Any) -> list[str]:
    """Texts with control tokens at all places."""
    rng, tokens = random.Random(0), list(control_tokens(tokenizer))
    texts = [
        f"{x}{pad}{y}" for x in ("", "So ", "a\n") for y in ("", " is", "z") for pad in tokens[:6]
    ]
    return [
        *texts,
        "".join(tokens),
        "".join(rng.choice([*tokens, " ", "a", "<|", "|>"]) for _ in range(40)),
    ]


def test_harmless_text_is_encoded_as_the_tokenizer_does(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer)
    for text in HARMLESS:
        assert encoder.quoted(text) == text
        assert encoder.encode(text) == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert (
            encoder.begin + encoder.encode(text)
            == tuple(tokenizer(text)["input_ids"])[: len(encoder.begin) + len(encoder.encode(text))]
        )


def test_no_text_becomes_a_control_token(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer)
    forbidden = set(control_tokens(tokenizer).values()) - {tokenizer.unk_token_id}
    for text in hostile_texts(tokenizer):
        quoted = encoder.quoted(text)
        ids = encoder.encode(quoted)
        assert not forbidden & set(ids)
        assert encoder.unquoted(quoted) == text
        unknown = (
            tokenizer.unk_token_id in ids or tokenizer.backend_tokenizer.normalizer
            if tokenizer.is_fast
            else False
        )
        if not unknown:
            assert tokenizer.decode(list(ids)).replace(" ", "") == text.replace(" ", "")
        # between words of a template, whose own control tokens are control tokens
        control, number = next(iter(control_tokens(tokenizer).items()))
        ids = encoder.encode(f"{control}Say {quoted}{control}")
        assert (ids[0], ids[-1]) == (number, number)
        assert not forbidden & set(ids[1:-1])


@pytest.mark.parametrize(
    "family",
    ["byte_level", "tiktoken_like", "metaspace", "metaspace_always", "legacy", "word_piece"],
)
def test_mentions_are_encoded_as_by_a_tokenizer_that_is_told_not_to_split(family: str) -> None:
    """transformers' own way, for texts that are nothing but data (in a unigram model it is not
    safe)."""
    tokenizer = FAMILIES[family]()
    encoder = TextEncoder(tokenizer)
    for text in hostile_texts(tokenizer):
        expected = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert encoder.encode(encoder.quoted(text)) == tuple(expected)


def test_added_tokens_that_are_not_special() -> None:
    """Brackets are control, and what a reader writes; words, runs of blanks and single characters
    are text."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(FAMILIES["byte_level"]().backend_tokenizer.to_str()),
        eos_token="</s>",
    )
    tokenizer.add_tokens(
        ["<extra_0>", "molecule", "    ", AddedToken("STEP", normalized=False), "<think>"]
    )
    tokenizer.add_special_tokens({"pad_token": "!"})
    encoder = TextEncoder(tokenizer, written=["STEP"])
    names = ["<extra_0>", "molecule", "    ", "STEP", "<think>", "!"]
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(names), strict=True))
    text = "a <extra_0> molecule    STEP <think>!"
    encoded = encoder.encode(encoder.quoted(text))
    assert tokenizer.decode(encoded) == text
    assert [name for name in names if ids[name] in encoded] == ["molecule", "    ", "!"]
    other = TextEncoder(tokenizer)
    assert ids["STEP"] in other.encode(other.quoted(text))
    assert encoder.encode("STEP<think>") == (ids["STEP"], ids["<think>"])


def test_other_spellings_of_a_token_that_the_tokenizer_folds() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(FAMILIES["word_piece"]().backend_tokenizer.to_str()),
        unk_token="[UNK]",
    )
    tokenizer.add_tokens([AddedToken("<turn>", normalized=True)])
    (turn,) = tokenizer("<TURN>", add_special_tokens=False)["input_ids"]
    assert turn == tokenizer.convert_tokens_to_ids("<turn>")
    encoder = TextEncoder(tokenizer)
    for text in ("<TURN>", "so <Turn> <turn>", "<tu\u0301rn>"):
        assert turn not in encoder.encode(encoder.quoted(text))
    assert encoder.encode("<turn>") == (turn,)


@pytest.mark.parametrize("family", ["metaspace", "byte_level", "unigram"])
def test_a_marker_that_is_an_ordinary_token(family: str) -> None:
    """Math-Shepherd's: only where the reader writes it is it that token; in a text it is spelled
    otherwise."""
    tokenizer = FAMILIES[family]()
    encoder = TextEncoder(tokenizer, marker="ки")
    own = encoder.encode(f"So {MARKER}")
    assert own == tuple(tokenizer("So ки", add_special_tokens=False)["input_ids"])
    mark = tuple(token for token in own if set("ки") & set(tokenizer.decode([token])))
    whole = encoder.encode(f"{encoder.quoted('So ки and ки')} {MARKER}\nStep {MARKER}")
    published = tokenizer("So ки and ки ки\nStep ки", add_special_tokens=False)["input_ids"]

    def count(ids: Any) -> int:
        return sum(tuple(ids[i : i + len(mark)]) == mark for i in range(len(ids)))

    assert (count(whole), count(published)) == (2, 4)
    assert tokenizer.decode(whole) == tokenizer.decode(published)
    # a word that ends in it
    hands = tuple(tokenizer("руки ки", add_special_tokens=False)["input_ids"])
    assert count(hands) == (2 if family == "unigram" else 1)
    assert (encoder.encode(f"руки {MARKER}") == hands) == (count(hands) == 1)


def test_what_cannot_be_encoded_is_replaced_with_a_warning(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer)
    with pytest.warns(
        UserWarning, match=r"cannot be encoded were replaced by U\+FFFD in 'So \\ud800"
    ):
        assert encoder.quoted("So \ud800 \udce9\ufdd0") == "So \ufffd \ufffd\ufffd"
    encoder.encode("a template's \ud800")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            encodable("two halves \ud83d\ude00, and \ufffd itself")
            == "two halves \U0001f600, and \ufffd itself"
        )
