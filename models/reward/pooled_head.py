"""A trained head behind vLLM's /pooling: its outputs, or the hidden state that it is applied to.

Where vLLM has a class for the head, the outputs at a conversation's last token come back: logits,
since no activation is asked for. A server that was started with motes' load format (see
`vllm_backbone`) gives the backbone's hidden state there, and the head is applied here. Which of the
two, the answer to a first conversation shows by its length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ...aliases import Config
from ..engines.connection import Connection
from ..hosting.pretrained import Place
from .engine_prm import Reply
from .families import Family, Signs, family_of
from .heads import loaded_head, read_head

POOLING = "/pooling"


def pooled_head(
    connection: Connection,
    name: str,
    family: Family,
    *,
    place: Place | None,
    config: Config | None,
    first: tuple[int, ...],
) -> Callable[[tuple[int, ...]], Reply]:
    """Return what asks a server about a conversation.

    Args:
        connection: to the server.
        name: what the server calls the model.
        family: of the model.
        place: where its checkpoint is; None where that is not known.
        config: its configuration; None where that is not known.
        first: a conversation, about which the server is asked at once.

    Raises:
        ServerError: it gives neither the head's outputs nor hidden states.
        ValueError: the checkpoint holds no such head.
    """
    found = len(connection.patiently(lambda: _last(connection, name, first)).outputs)
    if found == family.outputs:
        what = f"{found} outputs of the head of {name!r}"
        return partial(_last, connection, name, count=found, what=what)
    hidden = getattr(config, "hidden_size", None)
    if place is None or found != hidden:
        expected = f"{family.outputs} outputs of the head of {name!r}"
        if hidden is not None:
            expected += f", or {hidden} numbers of the hidden state before it,"
        raise connection.wrong(f"sent {found} numbers where {expected} were expected")
    head = read_head(place)
    family_of(Signs(place.source, (), head), family.name)  # raises where it cannot be the family's
    what = f"{found} numbers of a hidden state of {name!r}"
    return partial(
        _applied,
        loaded_head(place, head, found),
        partial(_last, connection, name, count=found, what=what),
    )


@torch.inference_mode()
def _applied(
    head: torch.nn.Module, ask: Callable[[tuple[int, ...]], Reply], ids: tuple[int, ...]
) -> Reply:
    reply = ask(ids)
    return reply._replace(outputs=head(torch.tensor(reply.outputs)).tolist())


def _last(
    connection: Connection,
    name: str,
    ids: tuple[int, ...],
    *,
    count: int | None = None,
    what: str = "outputs",
) -> Reply:
    """Return what the server gives for the last token of a conversation.

    Args:
        connection: to the server.
        name: what the server calls the model.
        ids: the conversation.
        count: how many numbers that must be; any where None.
        what: they are.
    """
    body = {"model": name, "input": list(ids), "use_activation": False, "encoding_format": "float"}
    answer = connection.post(POOLING, body)
    if answer.get("model") != name:
        raise connection.wrong(
            f"answers with the model {answer.get('model')!r}, and {name!r} was asked"
        )
    rows = answer.get("data")
    if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
        raise connection.wrong("sent no outputs for a conversation")
    values = rows[0].get("data")
    if isinstance(values, list) and values and isinstance(values[-1], list):
        values = values[-1]  # a row for each token, or for each step
    numbers = values if isinstance(values, list) else []
    plain = all(type(value) in (int, float) for value in numbers)
    if not numbers or not plain or count not in (None, len(numbers)):
        raise connection.wrong(f"sent {values!r:.60} where {what} were expected")
    return Reply(numbers, _read(connection, answer, len(ids)))


def _read(connection: Connection, answer: dict[str, Any], length: int) -> int:
    """Return how many tokens the server computed.

    Raises:
        ServerError: it read another number of tokens than were sent.
    """
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    read = usage.get("prompt_tokens", length)
    if read != length:
        raise connection.wrong(f"read {read!r:.20} tokens of a conversation of {length}")
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return length - (cached if isinstance(cached, int) else 0)
