"""Finding out what a server is, and the language model behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import checks
from ...aliases import Tokenizer
from ..hosting.places import located
from ..language.tokenized_lm import end_ids
from ..pocket import LM_FOLDER
from ..prompt_forms import PromptForm
from ..step_rule import StepRule
from .connection import KEY_VARIABLE, Connection
from .dialect import Dialect, Served
from .likeliest import most_told
from .llamacpp_server import LlamaCppServer
from .server_lm import ServerLM, tried_seeds
from .sglang_server import RESERVED, SGLangServer, said_by
from .text_server_lm import TextServerLM
from .tokenizers import tokenizer_at
from .vllm_server import VllmServer

PROBE = "Let us think step by step. First, 2 + 3 ="
SPARE = 4096  # ids beyond the tokenizer's own that a model may have rows for


def load_server(
    url: str,
    *,
    step: StepRule | None = None,
    prompt: PromptForm | None = None,
    model: str | None = None,
    tokenizer: str | Path | Any = None,
    context: int | None = None,
    probabilities: bool = True,
    timeout: float = 600.0,
    retries: int = 4,
    at_once: int = 32,
    key_variable: str = KEY_VARIABLE,
) -> ServerLM | TextServerLM:
    """Return the language model behind a server, whose kind is found out by asking it.

    A server of vLLM, of SGLang or of llama.cpp is asked in token ids, and tells
    log-probabilities. Any other that has an OpenAI-compatible /v1/completions is asked in text: it
    has one law, that of its model as it is, and tells no log-probability (see `TextServerLM`).

    Args:
        url: "http://HOST:PORT".
        step: when a step ends; at a blank line by default.
        prompt: what the model reads before it writes; see `motes.load_lm`.
        model: the server's name of the model, where it serves several.
        tokenizer: where the served model's tokenizer is, a folder, a GGUF file or a Hugging Face
            id, or a tokenizer; what the server says it has loaded, where None.
        context: how many tokens a prompt and a trajectory may have together, where the server does
            not say.
        probabilities: whether log-probabilities are wanted. Without them a server of vLLM draws
            from any law, and serves where no weight depends on them.
        timeout: seconds that a server may be silent.
        retries: how often a request is tried again after a failed connection or an answer 5xx.
        at_once: the most requests under way at a time.
        key_variable: the environment variable that holds the key, where the server wants one.

    Raises:
        ServerError: it cannot be reached, or is none that is known; one sentence.
        ValueError: the tokenizer is another model's, or an argument is out of its range.

    Example:
        >>> from motes.models import load_lm
        >>> try:
        ...     load_lm("http://127.0.0.1:9", retries=0)
        ... except RuntimeError as error:
        ...     print(error)
        the server at http://127.0.0.1:9 cannot be reached
    """
    checks.flag("probabilities", probabilities)
    connection = Connection(
        url, timeout=timeout, retries=retries, at_once=at_once, key_variable=key_variable
    )
    kind, served = connection.patiently(lambda: identified(connection, model))
    if kind is None:
        return TextServerLM(connection, served, step=step, prompt=prompt)
    own, ends, size = _tokenizer(tokenizer, served)
    probe = tuple(own(PROBE)["input_ids"])
    dialect = kind(connection, served)
    checked_tokenizer(connection, dialect, own)
    dialect.learn(probe)
    room = context if context is not None else served.context
    if room is None:
        raise connection.wrong("does not say how long a context may be: give context=...")
    return ServerLM(
        connection,
        dialect,
        own,
        step=step,
        prompt=prompt,
        end_ids=ends,
        vocabulary=size,
        context=checks.count("context", room),
        probabilities=probabilities,
        seeds=tried_seeds(connection, dialect, probe),
        likeliest=most_told(connection, dialect, probe),
    )


def identified(connection: Connection, model: str | None) -> tuple[Any, Served]:
    """Return what kind of server this is, by what it shows, and what it serves."""
    properties = connection.find("/props")
    if isinstance(properties, dict) and "default_generation_settings" in properties:
        return LlamaCppServer, _of_llamacpp(properties, model)
    listed = connection.find("/v1/models")
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or not entries:
        raise connection.wrong(
            "is none that is known: neither a server of vLLM, of SGLang or of llama.cpp, nor any "
            "other with an OpenAI-compatible /v1/models"
        )
    names = [str(entry.get("id")) for entry in entries]
    if model is None and len(entries) > 1:
        raise connection.wrong(f"serves several models, choose one by model=...: {names}")
    if model is not None and model not in names:
        raise connection.wrong(f"does not serve the model {model!r}, but {', '.join(names)}")
    entry = entries[0 if model is None else names.index(model)]
    served = Served(
        name=str(entry.get("id")), context=entry.get("max_model_len"), source=entry.get("root")
    )
    if entry.get("owned_by") == "sglang":
        return SGLangServer, _of_sglang(connection, served)
    return (VllmServer if entry.get("owned_by") == "vllm" else None), served


def _of_sglang(connection: Connection, served: Served) -> Served:
    """Return what a server of SGLang says of itself, with where its tokenizer is."""
    properties = said_by(connection)
    source = properties.get("tokenizer_path") or properties.get("model_path") or served.source
    context = None if served.context is None else served.context - RESERVED
    return replace(served, source=source, context=context)


def _of_llamacpp(properties: dict[str, Any], model: str | None) -> Served:
    path = str(properties.get("model_path") or "")
    context = properties["default_generation_settings"].get("n_ctx")
    name = Path(model or properties.get("model_alias") or path).name or "llama.cpp"
    return Served(name=name, context=context, source=path or None)


def _tokenizer(given: Any, served: Served) -> tuple[Any, frozenset[int], int]:
    """Return the tokenizer, the ids that end a text, and more than any id."""
    source = served.source if given is None else given
    if source is not None and not isinstance(source, str | Path):
        return source, end_ids(source), _size(source)
    try:
        if source is None:
            raise FileNotFoundError("it does not say what it has loaded")
        own, ends = tokenizer_at(located(source, shipped=LM_FOLDER))
    except (OSError, ValueError) as error:
        if given is not None:
            raise
        raise ValueError(
            f"tokenizer must be given for the server of {served.name!r}, a folder, a GGUF file or "
            f"a Hugging Face id: {error}"
        ) from error
    return own, ends, _size(own)


def _size(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab().values()) + 1 + SPARE


def checked_tokenizer(connection: Connection, dialect: Dialect, tokenizer: Tokenizer) -> None:
    """Raise ValueError where a text has other tokens for the server."""
    theirs = connection.patiently(lambda: dialect.tokenized(PROBE))
    own = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if theirs is not None and list(theirs) != list(own):
        raise ValueError(
            f"the tokenizer is not that of {dialect.served.name!r}: the server at "
            f"{connection.url} makes other tokens of a text; give the served model's as "
            "tokenizer=..."
        )
