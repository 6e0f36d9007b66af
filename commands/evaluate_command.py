"""`motes evaluate`: samplers on problems whose right answers are known."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .option_groups import (
    HelpFormatter,
    add_declaration,
    add_models,
    parts_of,
    setting,
    stated_options,
)
from .saying import check_destination, failed

if TYPE_CHECKING:
    from ..evaluation import RayWorkers
    from ..samplers import Sampler


OF_DATA_SET = "data-set"  # what --prompt says to mean the one that is usual for it


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    text = "run samplers on problems with known answers, and show their accuracy"
    parser = commands.add_parser(
        "evaluate", help=text, description=text.capitalize() + ".", formatter_class=HelpFormatter
    )
    parser.set_defaults(command=evaluate_command)
    parser.add_argument(
        "problems",
        metavar="PROBLEMS",
        help="a file (.jsonl, .json, .csv, .tsv, .parquet) whose rows have question (or problem) "
        "and answer (or solution), a folder of the datasets library, the name of a data set "
        "(gsm8k, math500, aime24, aime25, aimo-aime, amc23; --prompt data-set asks them as the "
        "field does) or a Hugging Face id; - reads JSON Lines from stdin",
    )
    parser.add_argument("--subset", metavar="NAME", help="of a Hugging Face data set")
    parser.add_argument(
        "--split", metavar="NAME", help="of a data set: the first of test, validation, train"
    )
    add_models(parser)
    add_declaration(parser)
    samplers = parser.add_argument_group("samplers")
    add = samplers.add_argument
    add(
        "--sampler",
        action="append",
        default=[],
        metavar="NAME[:SETTING=VALUE,...]",
        help="a sampler, with settings; several may be given; particle_filter where left out",
    )
    add(
        "--budgets",
        metavar="N,N,...",
        help="run each sampler with each of these numbers of particles (of samples, of iterations)",
    )
    evaluation = parser.add_argument_group("evaluation")
    add = evaluation.add_argument
    add(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a table by this column too: level, subject, ...; several may be given",
    )
    add("--count", type=int, metavar="K", help="the first K problems; all where left out")
    add("--repeats", type=int, default=1, metavar="R", help="runs of each sampler on each problem")
    add("--seed", type=int, default=0, help="the same seed gives the same draws")
    add(
        "--at-once",
        type=int,
        default=16,
        metavar="K",
        help="runs under way at any time, which share forward passes",
    )
    add(
        "--results",
        type=Path,
        default=Path("results.jsonl"),
        metavar="FILE.jsonl",
        help="where results are kept as they come; the same command does what is missing there",
    )
    add(
        "--engine",
        metavar="ray[:workers=N,...]",
        help="do the runs by workers of Ray's, each of which holds the models; settings are "
        "workers, cpus and gpus (of each)",
    )
    add("--texts", action="store_true", help="keep what every solution says in the results")
    add(
        "--export",
        type=Path,
        metavar="PATH",
        help="write every run as a row too: FILE.parquet, or a folder of the datasets library",
    )
    add(
        "--log-to",
        choices=("trackio", "wandb"),
        help="log each sampler and budget as a run of this experiment tracker, when all is done",
    )
    add("--project", default="motes", metavar="NAME", help="of the experiment tracker")
    add("--json", action="store_true", help="print one JSON object a sampler and budget")
    add("--quiet", action="store_true", help="show no progress bar and no forecast")


def evaluate_command(args: argparse.Namespace) -> int:
    """Do what is missing in the file of results, and show the table of accuracy."""
    check_destination("results", args.results)
    from ..evaluation import evaluate, load_problems
    from ..evaluation.golds import warn_of_unread
    from ..evaluation.questions import read_problems
    from ..evaluation.tracking import tracker_module
    from .model_options import models_of
    from .rules_by_name import reads_texts

    if args.log_to is not None:
        tracker_module(args.log_to)  # is missed before there is something to log
    if args.prompt == OF_DATA_SET:
        args.prompt = _usual_prompt(args.problems)
    engine = None if args.engine is None else _engine(args.engine)
    methods = _methods(args.sampler or ["particle_filter"], args.budgets)
    arguments = {**stated_options(args), **models_of(args, by_name=True)}
    problems = load_problems(args.problems, subset=args.subset, split=args.split, count=args.count)
    groups = [_column(problems, name) for name in args.by]
    try:
        if args.answer is not None and reads_texts(args.answer):
            golds = [problem.answer for problem in read_problems(problems, None)]
            warn_of_unread(golds, arguments["answer"])
        with redirect_stdout(sys.stderr):  # whatever a model prints is not the result
            found = evaluate(
                problems,
                samplers=methods,
                seed=args.seed,
                results=args.results,
                at_once=args.at_once,
                repeats=args.repeats,
                texts=args.texts,
                engine=engine,
                **arguments,
            )
    except FloatingPointError as error:
        return failed(error, 1)
    except TypeError as error:  # of a row, whose values may be of any kind
        return failed(error, 2)
    if args.export is not None:
        found.export(args.export, problems)
    if args.log_to is not None and found.complete:
        with redirect_stdout(sys.stderr):  # trackers say where the runs are
            found.log_to(args.log_to, project=args.project, name=args.results.stem)
    tables = [found.table(), *map(found.table, groups)]
    for table in tables:
        if args.json:
            for row in table.rows:
                print(json.dumps(row._asdict()))
        else:
            print(table)
    return 0 if found.complete else 130


def _usual_prompt(source: str) -> str:
    """Return the name of the prompt by which the field asks the problems of a data set.

    Raises:
        ValueError: it is none that has a name.
    """
    from ..evaluation import DATA_SETS

    if source not in DATA_SETS:
        raise ValueError(
            f"prompt can be {OF_DATA_SET} for {', '.join(DATA_SETS)}, and nothing is known of "
            f"{source!r}"
        )
    return DATA_SETS[source].prompt


def _engine(text: str) -> RayWorkers:
    """Return the workers of NAME or NAME:SETTING=VALUE,...

    Raises:
        TypeError, ValueError: there is no such engine, or a setting is not one of its.
    """
    from ..evaluation import RayWorkers
    from ..evaluation.engine_choice import check_engine

    name, _, rest = text.partition(":")
    check_engine(name)
    settings = dict(setting("engine", part) for part in parts_of(rest))
    known = [field.name for field in fields(RayWorkers)]
    for unknown in settings.keys() - known:
        raise ValueError(f"engine {name} has no setting {unknown!r}; it has {', '.join(known)}")
    return RayWorkers(**settings)


def _column(problems: list[dict[str, Any]], name: str) -> list[Any]:
    """Return a column of the problems.

    Raises:
        ValueError: a problem does not have it.
    """
    missing = next((n for n, row in enumerate(problems) if row.get(name) is None), None)
    if missing is not None:
        raise ValueError(
            f"by must be a column that every problem has, not {name!r}: problems[{missing}] has "
            f"{', '.join(problems[missing])}"
        )
    return [row[name] for row in problems]


def _methods(texts: list[str], budgets: str | None) -> dict[str, list[Sampler]]:
    """Return the samplers by name of the method, each at its budgets."""
    methods: dict[str, list[Sampler]] = {}
    for text in texts:
        name, _, rest = text.partition(":")
        settings = dict(setting("sampler", part) for part in parts_of(rest))
        methods.setdefault(name, []).extend(_at_budgets(name, settings, budgets))
    return methods


def _at_budgets(name: str, settings: dict[str, Any], budgets: str | None) -> list[Sampler]:
    from ..samplers import make_sampler
    from ..samplers.registry import size_setting

    if budgets is None:
        return [make_sampler(name, **settings)]
    counted = size_setting(name)
    if counted is None:
        raise ValueError(f"budgets must be left out where the sampler {name!r} has no particles")
    if counted in settings:
        raise ValueError(
            f"budgets must be left out where the sampler {name!r} is given its {counted}"
        )
    try:
        numbers = [int(number) for number in budgets.split(",")]
    except ValueError:
        raise ValueError(
            f"budgets must be integers with commas between them, not {budgets!r}"
        ) from None
    return [make_sampler(name, **settings, **{counted: number}) for number in numbers]
