"""From options to models: which are meant, what they read, and where their steps end."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import models
from ..evaluation.data_sets.row_files import read_rows
from ..models import ChatPrompt, LanguageModel, StepRule, Thinking, prompts
from ..models.pairing import OF_THE_LM, paired
from ..models.progress import TellsProgress
from ..samplers.forecast import Forecast
from .option_groups import setting


def models_of(args: argparse.Namespace, by_name: bool = False) -> dict[str, Any]:
    """Return the models that the options mean, as `motes.solve` takes them.

    Models are functions that load them, so that everything else is checked first.

    Args:
        args: the options.
        by_name: whether the language model is to be its name, where options say no more of it, and
            a function that can be sent to another process, where they do.

    Raises:
        TypeError, ValueError, OSError: an option is not of its kind, or the models are none.
    """
    given = None if args.prm == "none" else args.prm
    models.check_source(args.lm)
    prm = paired(args.lm, given)
    prm = _asked_as(prm, args)
    options = {"device": args.device, **_lm_options(args)}
    forecast = not (_shows_bars(args) or getattr(args, "quiet", False))

    def load() -> LanguageModel:
        lm: LanguageModel = models.load_lm(args.lm, **options)
        if forecast and isinstance(lm, TellsProgress):
            lm.tell(
                Forecast(
                    args.max_steps, lambda sentence: print(f"motes: {sentence}", file=sys.stderr)
                )
            )
        return lm

    lm: Any = load
    if by_name:
        lm = partial(models.load_lm, args.lm, **options) if len(options) > 1 else args.lm
    return {"lm": lm, "prm": prm, "device": args.device, "progress": _shows_bars(args)}


def _asked_as(prm: str | None, args: argparse.Namespace) -> Any:
    """Return the reward model: a function that loads it where options say more than its name."""
    for option in ("prm_family", "prm_reference"):
        if getattr(args, option) is not None and prm is None:
            name = option.replace("_", "-")
            raise ValueError(f"{name} must be left out where there is no reward model")
    if prm is None:
        return None
    placed = {"device": args.device, "dtype": args.dtype or "auto"}
    if args.prm_reference is not None:
        if args.prm_family is not None:
            raise ValueError("prm-family must be left out beside prm-reference")
        return partial(models.load_implicit_prm, prm, args.prm_reference, **placed)
    if args.prm_family is not None:
        return partial(models.load_prm, prm, family=args.prm_family, **placed)
    if args.dtype is None or prm in OF_THE_LM:
        return prm
    return partial(models.load_prm, prm, **placed)


def _shows_bars(args: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not (args.quiet or args.json)


def _lm_options(args: argparse.Namespace) -> dict[str, Any]:
    """Collect what `motes.load_lm` is given besides name and device: only what was asked for."""
    options = {
        "dtype": args.dtype,
        "decoding": args.decoding,
        "step": _step_rule(args),
        "prompt": _prompt(args),
    }
    return {name: value for name, value in options.items() if value is not None}


def _step_rule(args: argparse.Namespace) -> StepRule | None:
    rule: dict[str, Any] = {}
    if args.step_tokens is not None:
        rule |= {"tokens": args.step_tokens, "delimiter": None}
    if args.delimiter is not None:
        texts = [_unescaped(text) for text in args.delimiter]
        rule["delimiter"] = None if texts == ["none"] else texts
    if args.step_cap is not None:
        rule["cap"] = args.step_cap
    if args.thinking or args.thinking_tokens is not None or args.answer_tokens is not None:
        budgets = {"max_tokens": args.thinking_tokens, "max_answer_tokens": args.answer_tokens}
        rule["thinking"] = Thinking(**budgets)
    return StepRule(**rule) if rule else None


def _prompt(args: argparse.Namespace) -> prompts.PromptForm:
    chat: dict[str, Any] = {}
    if args.system is not None:
        chat["system"] = text_of("system", args.system)
    if args.examples is not None:
        chat["examples"] = _examples(Path(args.examples))
    if args.template:
        chat["template_arguments"] = dict(setting("template", text) for text in args.template)
    if args.user is not None:
        chat["user"] = text_of("user", args.user)
    if args.prefill is not None:
        chat["prefill"] = _unescaped(text_of("prefill", args.prefill))
    if args.prompt is None:
        return ChatPrompt(**chat) if chat else None
    form = prompts.chosen_form(text_of("prompt", args.prompt))
    if chat and not isinstance(form, ChatPrompt):
        option = {"template_arguments": "template"}.get(name := next(iter(chat)), name)
        raise ValueError(
            f"prompt must be left out beside --{option}, which the chat template takes, or name a "
            "prompt for chats"
        )
    return replace(form, **chat) if isinstance(form, ChatPrompt) else form


def _examples(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, row in enumerate(read_rows(path, "examples"), start=1):
        question = row.get("question", row.get("problem"))
        answer = row.get("solution", row.get("answer"))
        answer = "".join(answer) if isinstance(answer, list) else answer
        if not (isinstance(question, str) and isinstance(answer, str)):
            raise ValueError(
                f"examples: line {number} of {str(path)!r} needs the texts question and solution "
                "(or answer)"
            )
        pairs.append((question, answer))
    return pairs


def text_of(option: str, text: str) -> str:
    """Return a text as it is given, or, behind @, that of a file.

    Raises:
        ValueError: the file is not UTF-8.
        OSError: it cannot be read.
    """
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{option}: {str(path)!r} is not a text in UTF-8") from None
    except OSError as error:
        raise type(error)(f"{option}: {str(path)!r} cannot be read: {error.strerror}") from None


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")
