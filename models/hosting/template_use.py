"""Whether a chat template heeds what a prompt gives it.

A template that leaves something out says nothing: a model whose template knows no system turn
simply never reads the system prompt. So a prompt is tried before it is used: what makes no
difference to the rendered text is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...aliases import Tokenizer
from ..prompt_forms import ChatPrompt
from .chat_template import rendered

QUESTION, PROBE = "How many?", "1234321"  # figures: what changes letters leaves them as they are


def check_use(tokenizer: Tokenizer, chat: ChatPrompt) -> None:
    """Raise ValueError where the tokenizer's chat template leaves out a part of this prompt.

    Args:
        tokenizer: a transformers tokenizer that has a chat template.
        chat: the prompt.
    """
    _check_arguments(tokenizer, chat.template_arguments)
    if chat.system is not None:
        _check_system(tokenizer, chat)
    if chat.examples:
        without = _shown(tokenizer, replace(chat, examples=()))
        if _shown(tokenizer, chat) == without:
            raise ValueError(
                "the chat template leaves out the examples: put them into the text of "
                "user= or give prompt as a text with {question} in it"
            )
    if chat.prefill:
        _check_prefill(tokenizer, chat)


def _shown(tokenizer: Tokenizer, chat: ChatPrompt, begins: bool = True) -> str:
    turns = chat.messages(QUESTION)
    return rendered(tokenizer, turns, chat.template_arguments, begins=begins)


def _check_arguments(tokenizer: Tokenizer, arguments: Mapping[str, Any]) -> None:
    from jinja2 import Environment

    template = tokenizer.get_chat_template()
    read = {value for _, kind, value in Environment().lex(template) if kind == "name"}
    unread = [name for name in arguments if name not in read]
    if unread:
        raise ValueError(
            f"template_arguments has {unread[0]!r}, which the tokenizer's chat template never reads"
        )


def _check_system(tokenizer: Tokenizer, chat: ChatPrompt) -> None:
    without = _shown(tokenizer, replace(chat, system=None))
    instead = "put its text into user= of the ChatPrompt, beside {question}"
    try:
        shown = _shown(tokenizer, replace(chat, system=PROBE))
    except ValueError as error:
        reason = str(error).rpartition("rendered: ")[2]
        raise ValueError(
            f"system cannot be given: the chat template takes no system turn ({reason}); {instead}"
        ) from None
    if PROBE not in shown or shown == without:
        raise ValueError(
            f"system cannot be given: the chat template leaves the system turn out; {instead}"
        )


def _check_prefill(tokenizer: Tokenizer, chat: ChatPrompt) -> None:
    """Refuse a prefill that would stand behind the user's turn, in no turn of the assistant."""
    begun, ended = _shown(tokenizer, chat), _shown(tokenizer, chat, begins=False)
    if begun != ended:  # the template begins a turn
        return
    turns = [*chat.messages(QUESTION), {"role": "assistant", "content": PROBE}]
    try:
        answered = rendered(tokenizer, turns, chat.template_arguments, begins=False)
    except ValueError:  # a template that only asks: what follows its question is the answer
        return
    before, found, _ = answered.partition(PROBE)
    if found and before.rstrip() != begun.rstrip():
        raise ValueError(
            "prefill cannot be given: the chat template ends the user's turn and begins none of "
            "the assistant, so that it would stand in no turn"
        )
