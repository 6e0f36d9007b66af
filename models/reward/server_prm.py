"""Reward models behind a server: a head that vLLM pools, or a causal model that tells tokens' odds.

A head is asked at vLLM's /pooling (see `pooled_head`), of a server that was started with
`--runner pooling`. A causal model is asked for the log-probabilities of the tokens that its reader
compares, of any server that scores given tokens (vLLM, SGLang, llama.cpp).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ... import checks
from ...aliases import Config, Tokenizer
from ..engines.connection import KEY_VARIABLE, Connection
from ..engines.dialect import Dialect, Served
from ..engines.servers import checked_tokenizer, identified
from ..hosting.places import located
from ..hosting.pretrained import Place, load_tokenizer, read_config
from ..pairing import JUDGE
from ..pocket import LM_FOLDER, PRM_FOLDER
from ..sampling import Sampling
from ..trajectory import Trajectory
from .engine_prm import EnginePRM, Reply, compared_tokens
from .families import Family, Signs, recognised, unknown
from .heads import Head
from .hosted_prm import judging_family
from .pooled_head import pooled_head
from .readers import Reader

_PLAIN = Sampling()
_FIRST = Trajectory(question="1 + 1?").child("2.", (0,), logprob=0.0, proposal_logprob=0.0)


class _Files(NamedTuple):
    """What is known here of a served model.

    Attributes:
        tokenizer: the model's.
        place: where its checkpoint is; None where only a tokenizer was given.
        config: its configuration; None where only a tokenizer was given.
    """

    tokenizer: Tokenizer
    place: Place | None = None
    config: Config | None = None


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
    files = _files(tokenizer, served, LM_FOLDER if asked == "judge" else PRM_FOLDER)
    own = files.tokenizer
    dialect = kind(connection, served)
    checked_tokenizer(connection, dialect, own)
    known = None if reader is not None else _family(served, files.config, asked)
    if reader is not None:
        asks = reader(own)
    else:
        assert known is not None
        asks = known.reader(own, files.config)
    if known is None or not known.outputs:
        one = partial(_next_tokens, dialect, compared_tokens(asks))
    else:
        one = pooled_head(
            connection,
            served.name,
            known,
            place=files.place,
            config=files.config,
            first=asks.conversation(_FIRST),
        )
    pool = ThreadPoolExecutor(connection.at_once, thread_name_prefix="motes-server")
    room = served.context if context is None else checks.count("context", context)
    return EnginePRM(
        partial(_each, pool, connection, one, dialect.check_served),
        asks,
        causal=known is None or not known.outputs,
        name=name,
        weights=served.name,
        context=room,
    )


def _files(given: Any, served: Served, shipped: Path) -> _Files:
    source = served.source if given is None else given
    if source is not None and not isinstance(source, str | Path):
        return _Files(source)
    try:
        if source is None:
            raise FileNotFoundError("it does not say what it has loaded")
        place = located(source, shipped=shipped)
        return _Files(load_tokenizer(place), place, read_config(place))
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
    check: Callable[[], None],
    conversations: Sequence[tuple[int, ...]],
) -> list[Reply]:
    """Ask about each conversation, several at a time; the first error ends all.

    Behind them it is checked that the server has still the same model.
    """
    futures = []
    for ids in conversations:
        futures.append(pool.submit(connection.patiently, partial(ask, ids)))
    try:
        replies = [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
    connection.patiently(check)
    return replies


def _next_tokens(dialect: Dialect, tokens: tuple[int, ...], ids: tuple[int, ...]) -> Reply:
    """Return the log-probabilities of these tokens behind a conversation."""
    values = [dialect.score(ids, (token,), _PLAIN)[0] for token in tokens]
    return Reply(values, len(ids))
