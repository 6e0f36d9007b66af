"""`motes report`: a report of a saved posterior, or of the results of an evaluation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .option_groups import HelpFormatter
from .saying import check_destination

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..ppl import Posterior


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    text = "write a report of a saved posterior, or of an evaluation, to read in a browser"
    parser = commands.add_parser(
        "report", help=text, description=text.capitalize() + ".", formatter_class=HelpFormatter
    )
    parser.set_defaults(command=report_command)
    parser.add_argument(
        "saved",
        type=Path,
        metavar="FILE",
        help="what --save wrote (FILE.nc), or results of motes evaluate (FILE.jsonl)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="FILE.html beside it where left out"
    )
    add = parser.add_argument_group("evaluation").add_argument
    add("--lm", metavar="SOURCE", help="its language model, whose configuration tells FLOPs")
    add("--prm", metavar="SOURCE", help="its reward model, beside --lm")


def report_command(args: argparse.Namespace) -> int:
    """Write the report, and print where it is."""
    out = args.out or args.saved.with_suffix(".html")
    check_destination("out", out)
    saved = _loaded(args.saved)
    if args.lm is None and args.prm is None:
        print(saved.report(out))
        return 0
    from ..evaluation import Evaluation

    if not isinstance(saved, Evaluation):
        raise ValueError("lm and prm must be left out for a posterior, whose report has no FLOPs")
    if args.lm is None:
        raise ValueError("prm must be left out where there is no lm")
    from ..evaluation.laws import model_shape
    from ..models.weightless import weightless_model

    lm = model_shape(weightless_model(args.lm))
    prm = None
    if args.prm is not None:
        prm = model_shape(weightless_model(args.prm, prm=True))
    print(saved.report(out, lm=lm, prm=prm))
    return 0


def _loaded(path: Path) -> Posterior | Evaluation:
    """Load what a file holds, by what its name ends in."""
    if path.suffix.lower() == ".jsonl":
        from ..evaluation import Evaluation

        return Evaluation.load(path)
    from ..ppl import Posterior

    return Posterior.load(path)
