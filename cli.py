"""The command `motes`: a question in, an answer posterior out.

    motes solve "QUESTION"     samples the posterior over reasoning, and shows it
    motes report FILE.nc       writes a report of a saved posterior, to read in a browser
    motes samplers             says which samplers there are, and what holds of each
    motes problems             prints problems of the pocket reasoner's family, with their answers
    motes models               says which models ship with motes, and which others it loads

Results go to stdout, everything else to stderr. Exit status: 0; 1 where a run fails (all particles dead, a model that
gives something that is not a number, a file that cannot be written); 2 for bad input; 130 when interrupted.
Nothing heavy is imported before it is needed: `motes --help` is instant.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import TextIOWrapper
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .models.pocket import Problem
    from .ppl import Posterior


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, those of the process by default, and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows another
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"motes: warning: {_sentence(message)}", file=sys.stderr)
            status = args.command(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read stdout has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        return _failed(error, 2)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"motes: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    """The command's arguments; each command's function is their attribute `command`."""
    parser = _Parser(prog="motes", description="Reasoning as Bayesian inference: language models, reward models, sequential Monte Carlo.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    text = "sample the posterior over reasoning about a question, and show it"
    solve = commands.add_parser("solve", help=text, description=text.capitalize() + ".", formatter_class=_Formatter)
    solve.set_defaults(command=_solve)
    solve.add_argument("question", metavar="QUESTION", help="what is asked; - reads it from stdin")
    solve.add_argument("--lm", default="pocket", help="language model: pocket, a folder, a GGUF file or a Hugging Face id")
    solve.add_argument("--prm", default="auto", help="process reward model, likewise; none for no likelihood; auto is the pocket's own")
    solve.add_argument("--sampler", default="particle_filter", metavar="NAME", help="name of the sampler: see motes samplers")
    solve.add_argument("--particles", type=int, default=16, metavar="N", help="number of particles")
    solve.add_argument("--runs", type=int, default=1, metavar="R", help="independent runs, pooled by their evidence")
    solve.add_argument("--iterations", type=int, metavar="S", help="draws of each chain, of samplers that are chains")
    solve.add_argument("--chains", type=int, metavar="C", help="number of chains")
    solve.add_argument("--budget", type=int, metavar="TOKENS", help="generated tokens after which nothing new is begun")
    solve.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of the sampler; values are JSON, or texts"
    )
    solve.add_argument("--checkpoint", type=Path, metavar="FILE", help="keep the run's state there, and take it up again from there")
    solve.add_argument("--seed", type=int, default=0, help="the same seed gives the same draws")
    solve.add_argument("--target", default="product", help="the declared target: product, odds, final, final-min, ...")
    solve.add_argument("--beta", type=float, default=1.0, help="power of the likelihood")
    solve.add_argument("--alpha", type=float, default=1.0, help="power of the prior")
    solve.add_argument("--resampling", metavar="SCHEME", help="resampling scheme; the sampler's own where left out")
    solve.add_argument("--ess-threshold", type=float, default=0.5, metavar="KAPPA", help="resample when ESS < KAPPA N")
    solve.add_argument("--max-steps", type=int, default=32, metavar="T", help="longer reasoning is truncated")
    solve.add_argument("--temperature", type=float, default=1.0, help="the prior's temperature, part of the target")
    solve.add_argument("--device", default="auto", help="auto (CUDA, then CPU), or a torch device")
    solve.add_argument("--save", type=Path, metavar="FILE.nc", help="also write the posterior as an ArviZ data tree (netCDF)")
    solve.add_argument("--report", type=Path, metavar="FILE.html", help="also write a report to read in a browser")
    solve.add_argument("--json", action="store_true", help="print one JSON object")
    solve.add_argument("--quiet", action="store_true", help="show no progress bar")

    text = "write a report of a saved posterior, to read in a browser"
    report = commands.add_parser("report", help=text, description=text.capitalize() + ".", formatter_class=_Formatter)
    report.set_defaults(command=_report)
    report.add_argument("posterior", type=Path, metavar="FILE.nc", help="what --save wrote")
    report.add_argument("--out", type=Path, metavar="FILE.html", help="FILE.html beside it where left out")

    text = "say which samplers there are, and what holds of each"
    samplers = commands.add_parser("samplers", help=text, description=text.capitalize() + ".")
    samplers.set_defaults(command=_samplers)

    text = "print problems of the pocket reasoner's family, with their answers"
    problems = commands.add_parser("problems", help=text, description=text.capitalize() + ".", formatter_class=_Formatter)
    problems.set_defaults(command=_problems)
    problems.add_argument("--steps", type=int, help="steps that the solution needs, 2 to 8; drawn where left out")
    problems.add_argument("--count", type=int, default=5, metavar="K", help="number of problems")
    problems.add_argument("--seed", type=int, default=0, help="the same seed gives the same problems")
    problems.add_argument("--split", default="test", help="train, validation or test")
    problems.add_argument("--format", choices=("text", "question", "json"), default="text", help="json prints one object a line")

    text = "say which models ship with motes, and which others it loads"
    models = commands.add_parser("models", help=text, description=text.capitalize() + ".")
    models.set_defaults(command=_models)
    return parser


def _solve(args: argparse.Namespace) -> int:
    if args.save is not None:
        _check_destination("save", args.save)
    if args.report is not None:
        _check_destination("report", args.report)
    if args.checkpoint is not None:
        _check_destination("checkpoint", args.checkpoint)
    from .models import Sampling
    from .samplers import AllParticlesDead, solve

    try:
        with redirect_stdout(sys.stderr):  # whatever a model prints is not the result
            posterior = solve(
                sys.stdin.read().strip() if args.question == "-" else args.question,
                lm=args.lm,
                prm=None if args.prm == "none" else args.prm,
                sampler=args.sampler,
                particles=args.particles,
                runs=args.runs,
                seed=args.seed,
                target=args.target,
                beta=args.beta,
                prior=Sampling(temperature=args.temperature),
                max_steps=args.max_steps,
                resampling=args.resampling,
                ess_threshold=args.ess_threshold,
                device=args.device,
                progress=sys.stderr.isatty() and not (args.quiet or args.json),
                alpha=args.alpha,
                checkpoint=args.checkpoint,
                **_settings(args),
            )
    except (AllParticlesDead, FloatingPointError) as error:
        return _failed(error, 1)
    except TypeError as error:
        if not args.set:  # whose values may be of any kind
            raise
        return _failed(error, 2)
    status = 130 if posterior.settings.get("stopped") == "interrupt" else 0
    try:
        if args.save is not None:
            posterior.save(args.save)
        if args.report is not None:
            posterior.report(args.report)
    except OSError as error:
        status = _failed(error, 1)
    _show(posterior, as_json=args.json)
    return status


def _report(args: argparse.Namespace) -> int:
    from .ppl import Posterior

    out = args.out or args.posterior.with_suffix(".html")
    _check_destination("out", out)
    print(Posterior.load(args.posterior).report(out))
    return 0


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of the sampler that were given, those of `--set` among them."""
    settings = {name: value for name in ("iterations", "chains", "budget") if (value := getattr(args, name)) is not None}
    for text in args.set:
        name, separator, value = text.partition("=")
        if not (separator and name):
            raise ValueError(f"set must be NAME=VALUE, not {text!r}")
        if hasattr(args, name.replace("-", "_")):
            raise ValueError(f"set cannot give {name!r}, which has an option of its own: --{name.replace('_', '-')}")
        try:
            settings[name.replace("-", "_")] = json.loads(value)
        except json.JSONDecodeError:
            settings[name.replace("-", "_")] = value
    return settings


def _samplers(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from .samplers import SAMPLERS

    table = Table("name", "guarantee", "evidence", "what it is", box=None, pad_edge=False)
    for name, sampler in SAMPLERS.items():
        table.add_row(name, sampler.guarantee, sampler.evidence, (sampler.__doc__ or "").partition("\n")[0].rstrip("."))
    Console(file=sys.stdout, highlight=False).print(table)
    return 0


def _show(posterior: Posterior, *, as_json: bool) -> None:
    if as_json:
        from .diagnostics.summary import summary

        print(json.dumps(summary(posterior), allow_nan=False, default=str))
    else:
        from rich.console import Console

        from .diagnostics.console import render

        Console(file=sys.stdout, highlight=False).print(render(posterior))


def _problems(args: argparse.Namespace) -> int:
    from .models.pocket import problems

    if args.count < 1:
        raise ValueError(f"count must be at least 1, not {args.count}")
    shown = {"text": _as_text, "question": lambda problem: problem.question, "json": _as_json}[args.format]
    for problem in islice(problems(args.split, seed=args.seed, steps=args.steps), args.count):
        print(shown(problem))
    return 0


def _as_text(problem: Problem) -> str:
    return f"{problem.question}\n    {problem.steps} steps; the answer is {problem.answer}\n"


def _as_json(problem: Problem) -> str:
    return json.dumps({name: getattr(problem, name) for name in ("question", "answer", "steps", "solution", "split")})


def _models(args: argparse.Namespace) -> int:
    from .models.pocket import LM_FOLDER, PRM_FOLDER

    print("shipped with motes:")
    for kind, folder in (("language model", LM_FOLDER), ("process reward model", PRM_FOLDER)):
        print(f"    pocket  {kind}: {_describe(folder)}\n            {folder}")
    print("also loaded: a folder with a model in Hugging Face format, a GGUF file, a Hugging Face id (owner/name)")
    return 0


def _describe(folder: Path) -> str:
    """Parameters, context and size of a model in Hugging Face format, read without loading it."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        return "its weights are missing (`make pocket` makes them)"
    context = json.loads((folder / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"]
    parameters = sum(_parameters(path) for path in weights)
    return f"{parameters / 1e6:.2f} M parameters, context of {context} tokens, {sum(path.stat().st_size for path in weights) / 1e6:.1f} MB"


def _parameters(weights: Path) -> int:
    """The numbers in a safetensors file, by its header: 8 bytes of length, then JSON."""
    with weights.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _check_destination(name: str, path: Path) -> None:
    """Raise OSError where a file cannot be written there, before there is something to lose."""
    if path.is_dir():
        raise IsADirectoryError(f"{name} must be a file, and {str(path)!r} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name} needs a folder that exists, and {str(path.parent)!r} does not")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{name} needs a folder that can be written to, and {str(path.parent)!r} cannot")


def _failed(error: Exception, status: int) -> int:
    print(f"motes: error: {_sentence(error)}", file=sys.stderr)
    return status


def _sentence(message: object) -> str:
    return " ".join(str(message).split())


if __name__ == "__main__":
    sys.exit(main())
