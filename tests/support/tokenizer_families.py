"""A tiny trained tokenizer of each family, made here without network."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

CORPUS = [
    "The answer is 128. So 7 + 3 = 10.\n\nThen we add.",
    "Step 1: Ben has 10 apples. ки\nStep 2: So he has 3.",
    "user assistant system end",
    "café naïve 中文 ок руки",
    "<|user|> <s> </s> <unk> [SEP]",
] * 20
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TIKTOKEN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _wrapped(backend: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|user|>", "<|end|>"],
    )


def _of_bytes(backend: Tokenizer) -> Any:
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return _wrapped(backend)


def byte_level() -> Any:
    """As GPT-2 and Qwen: byte-pair encoding of bytes."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _of_bytes(backend)


def tiktoken_like() -> Any:
    """As Llama 3: bytes, split by a pattern; words of the vocabulary are taken whole."""
    backend = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(TIKTOKEN), "isolated")
    of_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, of_bytes])
    return _of_bytes(backend)


def _without_added_bytes(backend: Tokenizer) -> Tokenizer:
    state = json.loads(backend.to_str())
    state["added_tokens"] = [
        token for token in state["added_tokens"] if token["content"] not in BYTES
    ]
    return Tokenizer.from_str(json.dumps(state))


def metaspace(scheme: str = "first") -> Any:
    """As sentencepiece's byte-pair encoding, with byte fallback and a beginning of text."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    replace, strip = decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)
    backend.decoder = decoders.Sequence([replace, decoders.ByteFallback(), decoders.Fuse(), strip])
    texts = [text.replace("中文", "").replace("\n", " ") for text in CORPUS]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIAL + BYTES, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    backend = _without_added_bytes(backend)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return _wrapped(backend)


def metaspace_always() -> Any:
    """The same with a blank before every piece that stands behind a control token."""
    return metaspace("always")


def legacy() -> Any:
    """The same as older Llama files write it: the blank is put by the normaliser; end of text is
    added as well."""
    backend = Tokenizer.from_str(metaspace().backend_tokenizer.to_str())
    backend.pre_tokenizer = None
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    special = [("<s>", 1), ("</s>", 2)]
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=special
    )
    return _wrapped(backend)


def unigram() -> Any:
    """As T5: a unigram model with byte fallback, whose own vocabulary holds the control tokens as
    well."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    state = json.loads(backend.to_str())
    state["model"]["vocab"] += [[name, -20.0] for name in BYTES]
    state["model"]["byte_fallback"] = True
    return _wrapped(Tokenizer.from_str(json.dumps(state)))


def word_piece() -> Any:
    """As BERT: lower case, no line breaks, a separator behind every text."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = (
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
    )
    backend.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    around = [("[CLS]", 1), ("[SEP]", 2)]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=around
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
    )


def suffixes() -> Any:
    """As GPT-1: a suffix ends a word, and the blank is shown when the next one follows."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer, backend.decoder = (
        pre_tokenizers.Whitespace(),
        decoders.BPEDecoder(suffix="</w>"),
    )
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return _wrapped(backend)


def python_bytes() -> Any:
    """As ByT5: bytes, without a fast backend."""
    return ByT5Tokenizer(extra_ids=3)


FAMILIES: dict[str, Callable[[], Any]] = {
    maker.__name__: cache(maker)
    for maker in (
        byte_level,
        tiktoken_like,
        metaspace,
        metaspace_always,
        legacy,
        unigram,
        word_piece,
        suffixes,
        python_bytes,
    )
}
