"""The question that a request asks, and what it must not ask for."""

from __future__ import annotations

import re
from typing import Any

from ..models.conversation import as_question
from .bodies import ChatBody, CompletionBody, Message, SolveBody
from .refusals import Refusal

# what asks for nothing: these values stand for no such field
NOT_DONE: dict[str, tuple[Any, ...]] = {
    "logprobs": (False, 0),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "echo": (False,),
    "best_of": (1,),
}

TAG = re.compile(r"<optillm_approach>\s*([^<>\s]{1,256})\s*</optillm_approach>\s*")


def check_done(body: SolveBody) -> None:
    """Raise Refusal where a request asks for something that this server does not do."""
    for name, nothing in NOT_DONE.items():
        value = getattr(body, name, None)
        if value is not None and value not in nothing:
            raise Refusal(400, f"{name} is not done by this server", param=name)


def question_of(body: ChatBody | CompletionBody) -> str:
    """Return the question of a request.

    Raises:
        Refusal: it has none, or more than one.

    Example:
        >>> question_of(CompletionBody(model="pocket", prompt="How many?"))
        'How many?'
    """
    return _chat_question(body) if isinstance(body, ChatBody) else _prompt(body)


def _chat_question(body: ChatBody) -> str:
    """Return the question of a chat: its messages, as one text."""
    messages = [{"role": _role(each), "content": _untagged(each)} for each in body.messages]
    try:
        return as_question(messages)
    except (TypeError, ValueError) as error:
        raise Refusal(400, str(error), param="messages") from None


def tagged_approach(body: ChatBody | CompletionBody) -> str | None:
    """Return the approach that a chat names by optillm's tag, which is no part of its question.

    The last message that has one says it; None where none has.

    Example:
        >>> text = "<optillm_approach>bon</optillm_approach> How many?"
        >>> body = ChatBody(model="pocket", messages=[Message(role="user", content=text)])
        >>> tagged_approach(body), question_of(body)
        ('bon', 'How many?')
    """
    if not isinstance(body, ChatBody):
        return None
    spoken = (_content(each) for each in reversed(body.messages) if _may_name(each))
    found = (TAG.search(text) for text in spoken)
    return next((tag.group(1) for tag in found if tag), None)


def _may_name(message: Message) -> bool:
    """Return whether an approach may be named in a message: not by what a model has said."""
    return _role(message) in ("user", "system")


def _untagged(message: Message) -> str:
    """Return the text of a message, without tags that name an approach."""
    text = _content(message)
    return TAG.sub("", text) if _may_name(message) else text


def _role(message: Message) -> str:
    """Return the role of a message; "developer" is the newer name of the system's."""
    return "system" if message.role == "developer" else message.role


def _content(message: Message) -> str:
    """Return the text of a message."""
    if isinstance(message.content, list):
        return _valid("".join(part.text for part in message.content), "messages")
    return _valid(message.content or "", "messages")


def _prompt(body: CompletionBody) -> str:
    """Return the question of a completion: its prompt, or the one prompt of a list."""
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise Refusal(400, f"prompt must be one text, not {len(prompts)}", param="prompt")
    return _valid(prompts[0], "prompt")


def _valid(text: str, param: str) -> str:
    """Return a text that has characters, none of which is half of one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(400, f"{param} must be Unicode: it has a surrogate", param=param) from None
    return text
