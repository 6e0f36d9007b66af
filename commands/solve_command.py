"""`motes solve`: the posterior over reasoning about one question."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .option_groups import (
    HelpFormatter,
    add_declaration,
    add_models,
    setting,
    stated_options,
    stop_rule,
)
from .saying import check_destination, failed

if TYPE_CHECKING:
    from ..ppl import Posterior


def add_solve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    text = "sample the posterior over reasoning about a question, and show it"
    parser = commands.add_parser(
        "solve", help=text, description=text.capitalize() + ".", formatter_class=HelpFormatter
    )
    parser.set_defaults(command=solve_command)
    parser.add_argument("question", metavar="QUESTION", help="what is asked; - reads it from stdin")
    add_models(parser)
    add_declaration(parser)
    sampler = parser.add_argument_group("sampler")
    add = sampler.add_argument
    add(
        "--sampler",
        default="particle_filter",
        metavar="NAME",
        help="name of the sampler: see motes samplers",
    )
    add("--particles", type=int, default=16, metavar="N", help="number of particles")
    add(
        "--runs",
        type=int,
        default=1,
        metavar="R",
        help="independent runs, pooled by their evidence",
    )
    add(
        "--iterations",
        type=int,
        metavar="S",
        help="draws of each chain, of samplers that are chains",
    )
    add("--chains", type=int, metavar="C", help="number of chains")
    add(
        "--budget",
        type=int,
        metavar="TOKENS",
        help="generated tokens after which nothing new is begun",
    )
    add(
        "--resampling", metavar="SCHEME", help="resampling scheme; the sampler's own where left out"
    )
    add(
        "--ess-threshold",
        type=float,
        default=0.5,
        metavar="KAPPA",
        help="resample when ESS < KAPPA N",
    )
    add(
        "--stop",
        nargs="?",
        const="certificate",
        metavar="RULE",
        help="stop when enough was drawn: a stopping rule of samplers of independent solutions, or "
        "of --runs, as NAME or NAME:SETTING=VALUE,...; certificate where left out",
    )
    add("--batch", type=int, default=4, metavar="B", help="draws at a time, with --stop")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting of the sampler; values are JSON, or texts",
    )
    add("--seed", type=int, default=0, help="the same seed gives the same draws")
    add(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="keep the run's state there, and take it up again from there",
    )
    output = parser.add_argument_group("output")
    add = output.add_argument
    add(
        "--save",
        type=Path,
        metavar="FILE.nc",
        help="also write the posterior as an ArviZ data tree (netCDF)",
    )
    add("--report", type=Path, metavar="FILE.html", help="also write a report to read in a browser")
    add("--json", action="store_true", help="print one JSON object")
    add("--quiet", action="store_true", help="show no progress bar and no forecast")


def solve_command(args: argparse.Namespace) -> int:
    """Sample the posterior, write what was asked for, and show it."""
    for name in ("save", "report", "checkpoint"):
        if getattr(args, name) is not None:
            check_destination(name, getattr(args, name))
    from ..samplers import AllParticlesDead, solve
    from .model_options import models_of

    arguments = {**stated_options(args), **models_of(args), **_settings(args)}
    try:
        with redirect_stdout(sys.stderr):  # whatever a model prints is not the result
            posterior = solve(
                sys.stdin.read().strip() if args.question == "-" else args.question,
                sampler=args.sampler,
                particles=args.particles,
                runs=args.runs,
                seed=args.seed,
                resampling=args.resampling,
                ess_threshold=args.ess_threshold,
                stop=None if args.stop is None else stop_rule(args.stop),
                batch=args.batch,
                checkpoint=args.checkpoint,
                **arguments,
            )
    except (AllParticlesDead, FloatingPointError) as error:
        return failed(error, 1)
    except TypeError as error:
        if not args.set:  # whose values may be of any kind
            raise
        return failed(error, 2)
    status = 130 if posterior.settings.get("stopped") == "interrupt" else 0
    try:
        if args.save is not None:
            posterior.save(args.save)
        if args.report is not None:
            posterior.report(args.report)
    except OSError as error:
        status = failed(error, 1)
    _show(posterior, as_json=args.json)
    return status


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Collect the sampler's settings that were given, those of `--set` among them."""
    named = {name: getattr(args, name) for name in ("iterations", "chains", "budget")}
    settings = {name: value for name, value in named.items() if value is not None}
    for text in args.set:
        name, value = setting("set", text)
        if hasattr(args, name):
            option = "--" + name.replace("_", "-")
            raise ValueError(f"set cannot give {name!r}, which has an option of its own: {option}")
        settings[name] = value
    return settings


def _show(posterior: Posterior, *, as_json: bool) -> None:
    if as_json:
        from ..diagnostics.summary import summary

        print(json.dumps(summary(posterior), allow_nan=False, default=str))
    else:
        from rich.console import Console

        from ..diagnostics.console import render

        Console(file=sys.stdout, highlight=False).print(render(posterior))
