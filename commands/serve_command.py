"""`motes serve`: an OpenAI-compatible server on this machine."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from .option_groups import HelpFormatter, add_declaration, add_models, stated_options

KEY = "MOTES_API_KEY"  # a variable of the environment: a key on the command line is seen by all


def add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    text = "serve a model, solved by any sampler, to OpenAI's clients and to a browser"
    parser = commands.add_parser(
        "serve",
        help=text,
        description=f"{text.capitalize()}. What is declared here holds where a request declares "
        f"nothing else. The variable {KEY} may hold a key that requests must have.",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(command=serve_command, quiet=True, json=False)
    add_models(parser)
    add_declaration(parser)
    sampler = parser.add_argument_group("sampler")
    add = sampler.add_argument
    add("--sampler", default="particle_filter", metavar="NAME", help="where a request names none")
    add(
        "--particles",
        type=int,
        default=16,
        metavar="N",
        help="particles (samples, iterations) where a request gives none",
    )
    add(
        "--iterations",
        type=int,
        default=16,
        metavar="N",
        help="of samplers that have particles too, where a request gives none",
    )
    server = parser.add_argument_group("server")
    add = server.add_argument
    add("--host", default="127.0.0.1", help=f"where to listen; beyond this machine {KEY} is needed")
    add("--port", type=int, default=8000, help="0 for any that is free")
    add("--name", help="what clients call the model; its own name where left out")
    add(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"a file with the key, in place of the variable {KEY}",
    )
    limits = parser.add_argument_group("limits")
    add = limits.add_argument
    add("--at-once", type=int, default=16, metavar="K", help="requests under way at any time")
    add("--waiting", type=int, default=64, metavar="K", help="requests that wait for that")
    add("--seconds", type=float, default=600.0, metavar="S", help="from a request to its reply")
    add("--body-bytes", type=int, default=1 << 20, metavar="B", help="of a request's body")
    add(
        "--trajectories",
        type=int,
        default=16384,
        metavar="N",
        help="that one request may ask for",
    )


def serve_command(args: argparse.Namespace) -> int:
    """Load the models, and serve until interrupted."""
    try:
        from ..serving import Limits, Service
        from ..serving.server import check_exposure, serve
        from ..serving.solve_request import Defaults
    except ModuleNotFoundError as error:
        raise ImportError(
            f"serving needs the package {error.name}: pip install 'motes[serve]'"
        ) from None
    from ..samplers.given_models import checked_models, load_models
    from .model_options import models_of

    if not 0 <= args.port < 1 << 16:
        raise ValueError(f"port must lie in 0..65535, not {args.port}")
    key = _key(args.key_file)
    check_exposure(args.host, key)
    limits = Limits(
        at_once=args.at_once,
        waiting=args.waiting,
        seconds=args.seconds,
        body_bytes=args.body_bytes,
        trajectories=args.trajectories,
    )
    defaults = Defaults(
        sampler=args.sampler,
        particles=args.particles,
        iterations=args.iterations,
        declared=stated_options(args),
    )
    given = models_of(args)
    checked = checked_models(given["lm"], given["prm"])
    lm, prm = load_models(*checked, args.device, defaults.declared.get("answer"))
    service = Service(lm, prm, name=args.name, defaults=defaults, limits=limits)
    logging.basicConfig(stream=sys.stderr, format="motes: %(message)s")
    serve(service, host=args.host, port=args.port, key=key, announced=_announce)
    return 0


def _key(path: Path | None) -> str | None:
    """Return the key that requests must have; None where none was given."""
    if path is None:
        return os.environ.get(KEY)
    if KEY in os.environ:
        raise ValueError(f"key-file must be left out beside the variable {KEY}")
    return path.read_text(encoding="utf-8").strip()


def _announce(address: Any) -> None:
    print(f"motes serves at {address} (Ctrl-C ends it)", flush=True)
