"""The command `motes`: a question in, an answer posterior out.

    motes solve "QUESTION"     samples the posterior over reasoning, and shows it
    motes evaluate FILE.jsonl  runs samplers on problems with known answers; shows their accuracy
    motes serve                serves a model to OpenAI's clients and to a browser
    motes report FILE.nc       writes a report of a saved posterior, to read in a browser
    motes samplers             says which samplers there are, and what holds of each
    motes problems             prints problems of the pocket reasoner's family, with their answers
    motes models               says which models ship with motes, and which others it loads
    motes prompts              says which prompts of the field there are, and their sources

Results go to stdout, everything else to stderr. Exit status: 0; 1 where a run fails (all particles
dead, a model that gives NaN, a file that cannot be written); 2 for bad input; 130 when interrupted.
Nothing heavy is imported before it is needed: `motes --help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, NoReturn

from .commands.evaluate_command import add_evaluate
from .commands.listings import add_listings
from .commands.report_command import add_report
from .commands.saying import failed, sentence
from .commands.serve_command import add_serve
from .commands.solve_command import add_solve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default the process's; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # a terminal that cannot show a character shows another
            stream.reconfigure(errors="replace")
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(
                f"motes: warning: {sentence(message)}", file=sys.stderr
            )
            status = args.command(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read stdout has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        return failed(error, 2)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"motes: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    """Make the parser of the arguments; each command sets its function as `command`."""
    text = (
        "Reasoning as Bayesian inference: language models, reward models, sequential Monte Carlo."
    )
    parser = _Parser(prog="motes", description=text)
    commands: Any = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_solve, add_evaluate, add_serve, add_report, add_listings):
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
