"""Reward models behind a server: a head that vLLM pools, or a causal model that tells tokens' odds.

A head is asked at vLLM's /pooling, of a server that was started with
`--runner pooling --pooler-config '{"task": "classify"}'`: conversations in token ids, its outputs
at the last token back. A causal model is asked for the log-probabilities of the tokens that its
reader compares, of any server that scores given tokens (vLLM, SGLang, llama.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ... import checks
from ...aliases import Config, Tokenizer
from ..engines.connection import KEY_VARIABLE, Connection
from ..engines.dialect import Dialect, Served
from ..engines.servers import checked_tokenizer, identified
from ..hosting.places import located
from ..hosting.pretrained import load_tokenizer, read_config
from ..pairing import JUDGE
from ..pocket import LM_FOLDER, PRM_FOLDER
from ..sampling import Sampling
from .engine_prm import EnginePRM, Reply, compared_tokens
from .families import Family, Signs, recognised, unknown
from .heads import Head
from .hosted_prm import judging_family
from .readers import Reader

POOLING = "/pooling"
_PLAIN = Sampling()


def load_served_prm(
    name: str,
    *,
    family: str | None = None,
    reader: Callable[[Any], Reader] | None = None,
    model: str | None = None,
    tokenizer: str | Path | Any = None,
    context: int | None = None,
    timeout: float = 600.0,
    retries: int = 4,
    at_once: int = 32,
    key_variable: str = KEY_VARIABLE,
) -> EnginePRM:
    """Return the reward model behind a server.

    Args:
        name: "http://HOST:PORT"; "judge:" before it for a judge.
        family: as `motes.load_prm` takes it; known by the served model's name where None.
        reader: as `motes.load_prm` takes it, for a causal model.
        model: the server's name of the model, where it serves several.
        tokenizer: where the served model's tokenizer and configuration are, or a tokenizer; what
            the server says it has loaded, where None.
        context: how many tokens it can read, where the server does not say.
        timeout: seconds that a server may be silent.
        retries: how often a request is tried again after a failed connection or an answer 5xx.
        at_once: the most requests under way at a time.
        key_variable: the environment variable that holds the key, where the server wants one.

    Raises:
        ServerError: it cannot be reached, or is none that is known; one sentence.
        ValueError: the family is not known, or the tokenizer is another model's.
    """
    asked = judging_family(name, family)
    connection = Connection(
        name.removeprefix(JUDGE),
        timeout=timeout,
        retries=retries,
        at_once=at_once,
        key_variable=key_variable,
    )
    kind, served = connection.patiently(lambda: identified(connection, model))
    if kind is None:
        raise connection.wrong(
            "tells nothing of tokens, which a reward model is read by; load_prm('votes:ADDRESS') "
            "asks for verdicts in words"
        )
    own, config = _files(tokenizer, served, LM_FOLDER if asked == "judge" else PRM_FOLDER)
    dialect = kind(connection, served)
    checked_tokenizer(connection, dialect, own)
    if reader is not None:
        asks, outputs = reader(own), 0
    else:
        known = _family(served, config, asked)
        asks, outputs = known.reader(own, config), known.outputs
    one = partial(_pooled, connection, served, outputs)
    if not outputs:
        one = partial(_next_tokens, dialect, compared_tokens(asks))
    pool = ThreadPoolExecutor(connection.at_once, thread_name_prefix="motes-server")
    room = served.context if context is None else checks.count("context", context)
    return EnginePRM(
        partial(_each, pool, connection, one),
        asks,
        causal=not outputs,
        name=name,
        weights=served.name,
        context=room,
    )


def _files(given: Any, served: Served, shipped: Path) -> tuple[Tokenizer, Config | None]:
    """Return the served model's tokenizer and configuration.

    The latter is None where only a tokenizer was given.
    """
    source = served.source if given is None else given
    if source is not None and not isinstance(source, str | Path):
        return source, None
    try:
        if source is None:
            raise FileNotFoundError("it does not say what it has loaded")
        place = located(source, shipped=shipped)
        return load_tokenizer(place), read_config(place)
    except (OSError, ValueError) as error:
        if given is not None:
            raise
        raise ValueError(
            f"tokenizer must be given for the server of {served.name!r}, a folder or a Hugging "
            f"Face id: {error}"
        ) from error


def _family(served: Served, config: Config | None, asked: str | None) -> Family:
    architectures = tuple(getattr(config, "architectures", None) or ())
    names = [served.name, served.source or ""]
    found = recognised(names, architectures, getattr(config, "num_labels", 0), asked)
    if found is None:
        raise unknown(Signs(served.name, architectures, Head()))
    return found


def _each(
    pool: ThreadPoolExecutor,
    connection: Connection,
    ask: Callable[[tuple[int, ...]], Reply],
    conversations: Sequence[tuple[int, ...]],
) -> list[Reply]:
    """Ask about each conversation, several at a time; the first error ends all."""
    futures = []
    for ids in conversations:
        futures.append(pool.submit(connection.patiently, partial(ask, ids)))
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


def _next_tokens(dialect: Dialect, tokens: tuple[int, ...], ids: tuple[int, ...]) -> Reply:
    """Return the log-probabilities of these tokens behind a conversation."""
    values = [dialect.score(ids, (token,), _PLAIN)[0] for token in tokens]
    return Reply(values, len(ids))


def _pooled(connection: Connection, served: Served, outputs: int, ids: tuple[int, ...]) -> Reply:
    """Return the head's outputs at the last token of a conversation."""
    body = {"model": served.name, "input": list(ids), "use_activation": False}
    body["encoding_format"] = "float"
    answer = connection.post(POOLING, body)
    if answer.get("model") != served.name:
        raise connection.wrong(
            f"answers with the model {answer.get('model')!r}, and {served.name!r} was asked"
        )
    rows = answer.get("data")
    if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
        raise connection.wrong("sent no outputs for a conversation")
    values = rows[0].get("data")
    if isinstance(values, list) and values and isinstance(values[-1], list):
        values = values[-1]  # a row for each token
    numbers = values if isinstance(values, list) else []
    plain = all(type(value) in (int, float) for value in numbers)
    if not plain or len(numbers) != outputs:
        raise connection.wrong(
            f"sent {values!r:.60} where {outputs} outputs of the head of {served.name!r} were "
            "expected"
        )
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
