"""The commands that list what there is: samplers, problems, prompts and models."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .option_groups import HelpFormatter

if TYPE_CHECKING:
    from ..models.pocket import Problem


WITHOUT_TRAINING = {
    "judge:SOURCE": "asks a language model whether the solution so far is right: Yes against No",
    "votes:SOURCE": "counts the verdicts of rationales that a language model writes",
    "self-judge": "asks the language model that writes the solution",
    "self-score": "asks it for a digit from 0 to 9, as SpecReason does",
    "self-certainty": "how sure the language model was of its step, against a pilot sample",
    "confidence": "the same, by the 20 likeliest tokens, which servers tell too",
    "tail-entropy": "the same, by the entropy of the step's last tokens",
    "agreement": "counts how many solutions of a pilot sample have the same answer",
}
PLACES = {
    "SOURCE": "transformers, in this process: language models and all families",
    "vllm:SOURCE": "vLLM, in this process: language models, all families, judges",
    "http://HOST:PORT": "a server: of vLLM (the same), of SGLang or llama.cpp (language models, "
    "causal families, judges), any other (language models whose weights need no probability)",
}
ASKED = (
    "same keys, same draws",
    "log-probabilities of",
    "scores a given text",
    "confidence of tokens",
    "steps end",
)  # of a host, as the table of docs/models.md calls it


def add_listings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands and their options."""
    text = "say which samplers there are, and what holds of each"
    parser = commands.add_parser("samplers", help=text, description=text.capitalize() + ".")
    parser.set_defaults(command=samplers_command)

    text = "print problems of the pocket reasoner's family, with their answers"
    parser = commands.add_parser(
        "problems", help=text, description=text.capitalize() + ".", formatter_class=HelpFormatter
    )
    parser.set_defaults(command=problems_command)
    parser.add_argument(
        "--steps", type=int, help="steps that the solution needs, 2 to 8; drawn where left out"
    )
    parser.add_argument("--count", type=int, default=5, metavar="K", help="number of problems")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same problems")
    parser.add_argument("--split", default="test", help="train, validation or test")
    formats = ("text", "question", "json")
    parser.add_argument(
        "--format", choices=formats, default="text", help="json prints one object a line"
    )

    text = "say which prompts of the field there are, and their sources"
    parser = commands.add_parser("prompts", help=text, description=text.capitalize() + ".")
    parser.set_defaults(command=prompts_command)

    text = "say which models ship with motes, and which others it loads"
    parser = commands.add_parser("models", help=text, description=text.capitalize() + ".")
    parser.set_defaults(command=models_command)
    plan = parser.add_argument_group(
        "memory plan", "What models take on one device, by their configurations alone."
    )
    plan.add_argument("--lm", metavar="SOURCE", help="plan for this language model")
    plan.add_argument("--prm", metavar="SOURCE", help="and this reward model beside it")
    plan.add_argument("--device", default="auto", help="auto (CUDA, then CPU), or a torch device")
    plan.add_argument("--dtype", default="auto", metavar="TYPE", help="type of the weights")
    plan.add_argument(
        "--decoding", default="plain", metavar="KIND", help="plain, static, compiled or graphs"
    )
    plan.add_argument(
        "--tokens", type=int, default=1024, help="tokens of a particle's own, besides the prompt"
    )
    plan.add_argument("--memory", type=float, metavar="GB", help="what the device has free")


def samplers_command(args: argparse.Namespace) -> int:
    """Print a table of the samplers."""
    from rich.console import Console
    from rich.table import Table

    from ..samplers import SAMPLERS
    from ..samplers.registry import BASELINES

    table = Table("name", "guarantee", "evidence", "what it is", box=None, pad_edge=False)
    for name, sampler in SAMPLERS.items():
        table.add_row(name, sampler.guarantee, sampler.evidence, _first_line(sampler))
    for name, sampler in BASELINES.items():
        table.add_row(name, "of the prior", "none", _first_line(sampler))
    Console(file=sys.stdout, highlight=False).print(table)
    return 0


def prompts_command(args: argparse.Namespace) -> int:
    """Print what each preset is and where it comes from."""
    from ..models.prompts import PRESETS

    for name, preset in PRESETS.items():
        print(f"{name}\n    {preset.about}\n    {preset.source}")
    return 0


def _first_line(sampler: type) -> str:
    return (sampler.__doc__ or "").partition("\n")[0].rstrip(".")


def problems_command(args: argparse.Namespace) -> int:
    """Print problems in the form that was asked for."""
    from ..models.pocket import problems

    if args.count < 1:
        raise ValueError(f"count must be at least 1, not {args.count}")
    shown = {"text": _as_text, "question": lambda problem: problem.question, "json": _as_json}[
        args.format
    ]
    for problem in islice(problems(args.split, seed=args.seed, steps=args.steps), args.count):
        print(shown(problem))
    return 0


def _as_text(problem: Problem) -> str:
    return f"{problem.question}\n    {problem.steps} steps; the answer is {problem.answer}\n"


def _as_json(problem: Problem) -> str:
    return json.dumps(
        {
            name: getattr(problem, name)
            for name in ("question", "answer", "steps", "solution", "split")
        }
    )


def models_command(args: argparse.Namespace) -> int:
    """Print what ships, and what else can be loaded; or the memory plan of given models."""
    if args.lm is not None:
        print(_plan(args))
        return 0
    if args.prm is not None:
        raise ValueError("prm must be left out where there is no --lm to plan for")
    from ..models.host_facts import HOSTS
    from ..models.pocket import LM_FOLDER, PRM_FOLDER
    from ..models.reward.families import FAMILIES
    from ..models.reward.verifier_forms import FORMS

    print("shipped with motes:")
    for kind, folder in (("language model", LM_FOLDER), ("process reward model", PRM_FOLDER)):
        print(f"    pocket  {kind}: {_describe(folder)}\n            {folder}")
    print(
        "also loaded: a folder with a model in Hugging Face format, a GGUF file, "
        "a Hugging Face id (owner/name)"
    )
    print("process reward models are asked as they were published to be, by family:")
    for family in FAMILIES:
        print(f"    {family.name:<21}{family.models}")
    print(f"    {'implicit':<21}EurusPRM and others that have a reference model: --prm-reference")
    for form in FORMS:
        print(f"    {form.name:<21}{form.models}, which write a rationale before their verdict")
    print("without a reward model of one's own:")
    for name, text in WITHOUT_TRAINING.items():
        print(f"    {name:<21}{text}")
    print("where models run:")
    for name, text in PLACES.items():
        print(f"    {name:<21}{text}")
    print("what can be asked of a language model there:")
    for host in HOSTS:
        print(f"    {host.name}")
        for name, fact in zip(ASKED, host[1:], strict=True):
            print(f"        {name:<29}{fact}")
    return 0


def _plan(args: argparse.Namespace) -> str:
    from ..checks import count
    from ..models import memory_plan

    memory = None if args.memory is None else int(args.memory * 1e9)
    tokens = count("tokens", args.tokens)
    options = {"device": args.device, "dtype": args.dtype, "tokens": tokens, "free": memory}
    return memory_plan(args.lm, args.prm, decoding=args.decoding, **options).text


def _describe(folder: Path) -> str:
    """Read parameters, context and size of a model in Hugging Face format, without loading it."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        return "its weights are missing (`make pocket` makes them)"
    context = json.loads((folder / "config.json").read_text(encoding="utf-8"))[
        "max_position_embeddings"
    ]
    parameters = sum(_parameters(path) for path in weights) / 1e6
    size = sum(path.stat().st_size for path in weights) / 1e6
    return f"{parameters:.2f} M parameters, context of {context} tokens, {size:.1f} MB"


def _parameters(weights: Path) -> int:
    """Count the numbers in a safetensors file by its header: 8 bytes of length, then JSON."""
    with weights.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
