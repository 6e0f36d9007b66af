"""Questions of several turns.

A question is a text, and so is a conversation: its turns one behind the other, each after a mark
that no eye sees and its role. So it goes wherever a question goes, into files and across processes,
and is read as what it is. The mark is taken out of texts that come from outside, so that none of
them forges a turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "\u2063"  # the invisible separator
ROLES = ("system", "user", "assistant")
NAMED = {"user": "User", "assistant": "Assistant"}
_TURN = re.compile(rf"(?:\A|\n\n){MARK}({'|'.join(ROLES)}): ")

Message = Mapping[str, Any]


class Conversation(str):
    """The turns of a chat as one text, as `as_question` makes it.

    Example:
        >>> question = as_question(
        ...     [
        ...         {"role": "user", "content": "2 + 3?"},
        ...         {"role": "assistant", "content": "5."},
        ...         {"role": "user", "content": "And times 2?"},
        ...     ]
        ... )
        >>> type(question).__name__, [turn["role"] for turn in turns_of(question)]
        ('Conversation', ['user', 'assistant', 'user'])
    """

    __slots__ = ()


def as_question(question: object) -> str:
    """Return a question as a text.

    Args:
        question: a text, or a list of messages, each a mapping with "role" (system, user or
            assistant) and "content", a text: a system message first, if any, and the user's last.

    Raises:
        TypeError: it is neither, or a message is no such mapping.
        ValueError: it is blank, a role is unknown, or the messages are in another order.

    Example:
        >>> as_question([{"role": "user", "content": "2 + 3?"}])
        '2 + 3?'
    """
    if isinstance(question, Conversation):
        return question
    if isinstance(question, str):
        if not question.strip():
            raise ValueError("question must not be empty")
        return question.replace(MARK, "")
    if not isinstance(question, Sequence) or not question:
        raise TypeError(f"question must be a str or a list of messages, not {question!r:.100}")
    turns = [_turn(number, message) for number, message in enumerate(question)]
    roles = [role for role, _ in turns]
    if roles[-1] != "user":
        raise ValueError(f"the last message must be the user's, and is the {roles[-1]}'s")
    if not turns[-1][1].strip():
        raise ValueError("question must not be empty")
    if "system" in roles[1:]:
        raise ValueError("a system message must be the first message")
    if len(turns) == 1:
        return turns[0][1]
    return Conversation("\n\n".join(f"{MARK}{role}: {content}" for role, content in turns))


def turns_of(question: str) -> list[dict[str, str]]:
    """Return the turns of a question as chat templates take them; one of the user for a plain text.

    Example:
        >>> turns_of("2 + 3?")
        [{'role': 'user', 'content': '2 + 3?'}]
    """
    if not question.startswith(MARK):
        return [{"role": "user", "content": question}]
    _, *parts = _TURN.split(question)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": role, "content": content} for role, content in pairs]


def without_system(question: str) -> str:
    """Return a question as a reader of its solution sees it: what was asked, and said before it.

    Example:
        >>> system = {"role": "system", "content": "Be brief."}
        >>> without_system(as_question([system, {"role": "user", "content": "2 + 3?"}]))
        '2 + 3?'
    """
    turns = [turn for turn in turns_of(question) if turn["role"] != "system"]
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{NAMED[turn['role']]}: {turn['content']}" for turn in turns)


def _turn(number: int, message: object) -> tuple[str, str]:
    """Return the role and the text of a message."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
        raise TypeError(
            "question must be a str or a list of messages with the texts role and content, and "
            f"message {number} is {message!r:.100}"
        )
    role = message.get("role")
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}, not {role!r:.100}")
    return role, message["content"].replace(MARK, "")
