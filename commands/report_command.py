"""`motes report`: a report of a saved posterior."""

from __future__ import annotations

import argparse
from pathlib import Path

from .option_groups import HelpFormatter
from .saying import check_destination


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    text = "write a report of a saved posterior, to read in a browser"
    parser = commands.add_parser(
        "report", help=text, description=text.capitalize() + ".", formatter_class=HelpFormatter
    )
    parser.set_defaults(command=report_command)
    parser.add_argument("posterior", type=Path, metavar="FILE.nc", help="what --save wrote")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="FILE.html beside it where left out"
    )


def report_command(args: argparse.Namespace) -> int:
    """Write the report, and print where it is."""
    from ..ppl import Posterior

    out = args.out or args.posterior.with_suffix(".html")
    check_destination("out", out)
    print(Posterior.load(args.posterior).report(out))
    return 0
