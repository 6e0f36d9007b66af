"""The options that several subcommands have: which models, and what is declared."""

from __future__ import annotations

import argparse
from typing import Any


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default in (None, False) or action.default == []
        return action.help if silent else super()._get_help_string(action)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the options of models: which there are, what they read, where their steps end."""
    models = parser.add_argument_group("models")
    add = models.add_argument
    add(
        "--lm",
        default="pocket",
        help="language model: pocket, a folder, a GGUF file or a Hugging Face id",
    )
    add(
        "--prm",
        default="auto",
        help="process reward model, as --lm; judge:SOURCE asks a language model whether a solution "
        "is right, votes:SOURCE counts verdicts that it writes, self-certainty, confidence, "
        "tail-entropy, agreement, self-judge and self-score ask the language model itself; none "
        "for no likelihood; auto: the pocket's own",
    )
    add(
        "--prm-family",
        metavar="NAME",
        help="family of the reward model, where its name does not say it (see motes models)",
    )
    add(
        "--prm-reference",
        metavar="SOURCE",
        help="language model that an implicit reward model (EurusPRM) was trained from",
    )
    add("--device", default="auto", help="auto (CUDA, then CPU), or a torch device")
    add(
        "--dtype",
        metavar="TYPE",
        help="type of the models' weights: float32, bfloat16, ...; auto: the checkpoint's on CUDA, "
        "float32 elsewhere",
    )
    add(
        "--decoding",
        metavar="KIND",
        help="how the language model decodes: plain; or in fixed shapes: static (as they are), "
        "compiled (by torch), graphs (of CUDA)",
    )

    prompt = parser.add_argument_group(
        "prompt", "Texts that begin with @ are read from the file behind it."
    )
    add = prompt.add_argument
    add("--system", metavar="TEXT", help="system prompt")
    add("--user", metavar="TEXT", help="what the user's turn says, with {question} in it")
    add("--prefill", metavar="TEXT", help=r"how the answer begins; \n for a line break")
    add(
        "--examples",
        metavar="FILE.jsonl",
        help="few-shot: an object with question and solution (or answer) a line",
    )
    add(
        "--template",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the chat template: enable_thinking=false; JSON, or a text",
    )
    add(
        "--prompt",
        metavar="TEXT",
        help="a prompt by name (motes prompts lists them), or, in place of the chat template, a "
        "text with {question} in it",
    )

    steps = parser.add_argument_group("steps")
    add = steps.add_argument
    add(
        "--delimiter",
        action="append",
        metavar="TEXT",
        help=r"what ends a step, \n for a line break; may be given several times; none: nothing; "
        "default: a blank line",
    )
    add(
        "--step-tokens",
        type=int,
        metavar="N",
        help="tokens of every step; without --delimiter, only these end a step",
    )
    add("--step-cap", type=int, metavar="N", help="the most tokens of a step (256 where left out)")
    add(
        "--thinking",
        action="store_true",
        help="the model thinks between <think> and </think>, and answers are read after that",
    )
    add(
        "--thinking-tokens",
        type=int,
        metavar="N",
        help="its budget of thinking: a solution that has not done thinking by then is truncated",
    )
    add("--answer-tokens", type=int, metavar="N", help="its budget of all the rest")
    add("--max-steps", type=int, default=32, metavar="T", help="longer reasoning is truncated")


def add_declaration(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is to be sampled."""
    declaration = parser.add_argument_group("declaration")
    add = declaration.add_argument
    add(
        "--target",
        default="product",
        help="the declared target: product, odds, final, final-min, ...",
    )
    add("--beta", type=float, default=1.0, help="power of the likelihood")
    add("--alpha", type=float, default=1.0, help="power of the prior")
    add(
        "--temperature", type=float, default=1.0, help="the prior's temperature, part of the target"
    )
    add(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="the prior keeps the likeliest tokens of this probability",
    )
    add("--top-k", type=int, metavar="K", help="the prior keeps the K likeliest tokens")
    add(
        "--answer",
        metavar="RULE",
        help="how answers are read: stated (the default), last_number, last_line, regex:PATTERN, "
        "or module:function",
    )
    add(
        "--constraint",
        metavar="PATTERN",
        help="only solutions count in which this regular expression is found",
    )


def stated_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_declaration` and --max-steps say, as `motes.solve` takes it.

    Raises:
        ValueError: a value is out of its range, or no rule.
    """
    from ..models import Sampling
    from .rules_by_name import answer_rule, constraint_rule

    return {
        "target": args.target,
        "beta": args.beta,
        "alpha": args.alpha,
        "prior": Sampling(temperature=args.temperature, top_p=args.top_p, top_k=args.top_k),
        "answer": None if args.answer is None else answer_rule(args.answer),
        "constraint": None if args.constraint is None else constraint_rule(args.constraint),
        "max_steps": args.max_steps,
    }


def setting(option: str, text: str) -> tuple[str, Any]:
    """Return the name and the value of a NAME=VALUE; the value is JSON, or a text.

    Raises:
        ValueError: it has no name, or no equals sign.
    """
    import json

    name, separator, value = text.partition("=")
    if not (separator and name):
        raise ValueError(f"{option} must be NAME=VALUE, not {text!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except json.JSONDecodeError:
        return name.replace("-", "_"), value


def parts_of(text: str) -> list[str]:
    """Split settings at commas; a comma in brackets or braces does not count.

    Example:
        >>> parts_of('a=[1,2],b={"c":1,"d":2}')
        ['a=[1,2]', 'b={"c":1,"d":2}']
        >>> parts_of("")
        []
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part]


def stop_rule(text: str) -> dict[str, Any]:
    """Return the stopping rule of NAME or NAME:SETTING=VALUE,..., as `motes.solve` takes it.

    Raises:
        ValueError: a setting has no name, or no equals sign.

    Example:
        >>> stop_rule("certificate:error=0.01")
        {'rule': 'certificate', 'error': 0.01}
    """
    name, _, rest = text.partition(":")
    return {"rule": name, **dict(setting("stop", part) for part in parts_of(rest))}
