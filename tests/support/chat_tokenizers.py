"""Small tokenizers with chat templates, and writers of prompts for them."""

from __future__ import annotations

from typing import Any

from tokenizer_families import FAMILIES
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from motes.models.language.prompt_writer import PromptWriter

CHAT = "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"


def chatty(template: str, family: str = "byte_level") -> Any:
    """A tokenizer of a family with this chat template and the tokens of turns."""
    made = FAMILIES[family]()
    state = Tokenizer.from_str(made.backend_tokenizer.to_str())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=state,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|user|>", "<|end|>"],
    )
    tokenizer.chat_template = template
    return tokenizer


def writer(tokenizer: Any, form: Any = None) -> PromptWriter:
    """A writer of prompts for a tokenizer."""
    return PromptWriter(tokenizer, {tokenizer.eos_token_id}, form)
