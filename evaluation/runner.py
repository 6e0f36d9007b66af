"""Run samplers on problems: many runs at a time, each with its own seed, each result kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .. import checks
from ..models import LanguageModel, RewardModel, Sampling, Trajectory
from ..models.identity import check_vouched, identify
from ..models.pairing import AUTO, POCKET
from ..ppl.answers import Answer, stated
from ..ppl.declaration import Declaration
from ..ppl.targets import Target
from ..samplers.base import Sampler
from ..samplers.given_models import checked_models
from ..samplers.mistaken import instead
from .allocated_arms import of_these
from .arms import Arm, plain, read_arms
from .engine_choice import check_engine, opened
from .evaluation import Evaluation
from .golds import warn_of_unread
from .hosts import Hosts
from .plan import Key, Place, planned
from .questions import Correct, read_problems
from .ray_workers import RayWorkers
from .records import Record
from .results_file import (
    Writer,
    check_results,
    check_same,
    digest_of,
    read,
    warn_of_damage,
    writing,
)
from .run_engine import Engine, Models
from .task import Task

SILENT = 20  # runs without an answer after which a warning is due


def evaluate(
    problems: Iterable[Any],
    *,
    samplers: Mapping[str, Sampler | Sequence[Sampler]],
    lm: str | LanguageModel | Callable[[], LanguageModel] = POCKET,
    prm: str | RewardModel | Callable[[], RewardModel] | None = AUTO,
    seed: int = 0,
    results: str | Path = "results.jsonl",
    progress: bool = True,
    at_once: int = 16,
    repeats: int = 1,
    count: int | None = None,
    correct: Correct | None = None,
    texts: bool = False,
    target: str | Target = "product",
    beta: float = 1.0,
    alpha: float = 1.0,
    prior: Sampling | None = None,
    max_steps: int = 32,
    answer: Answer | None = None,
    constraint: Callable[[Trajectory], bool] | None = None,
    device: str = "auto",
    engine: str | RayWorkers | None = None,
    **mistaken: object,
) -> Evaluation:
    r"""Run samplers on problems whose right answers are known.

    Results are written as they come, a line of JSON for each run (`Record`). The same call with the
    same file does only what is missing there, whenever and however it was stopped. The file grows:
    a call with more problems, further samplers or budgets, or more `repeats` does what is new, and
    leaves the rest as it is; a call with fewer gives those. All else, models and functions
    included, must be what the file was begun with, by what they do (see `motes.models.identity`).

    The seed of a run is (seed, n), with n a digest of problem, sampler and settings, plus the
    number of the repeat: what it draws depends neither on the order nor on interruptions, nor on
    what else is evaluated, nor on `at_once` (up to the rounding of larger batches). A run all of
    whose particles died counts as wrong, with the tokens it took; its record has an `error`. Lines
    of the file that are damaged cost their own runs, which are done again.

    An interrupt (Ctrl-C) after the first result ends the evaluation early: a RuntimeWarning says
    so, and what is done comes back.

    Args:
        problems: objects or mappings with `question` (or `problem`) and `answer` (or `solution`),
            or pairs of the two. Answers are numbers or texts, or solutions that end in `#### 18` or
            hold a `\boxed{18}`.
        samplers: by name of the method, a sampler, or several: the method at several budgets. The
            runs of a `motes.samplers.allocation.Allocated` share one budget among all problems.
        lm, prm, device: as `motes.solve` takes them, or functions without arguments that load them.
            A file that was begun with the name of a model goes on with the model itself, and the
            other way round. No model is loaded where nothing is left to do, unless a name is given
            and the file was begun with an object.
        seed: in [0, 2**32).
        results: the file, made where it is not there. One evaluation at a time can write to it.
        progress: show a progress bar, in runs.
        at_once: runs under way at any time, at most, which share forward passes; with workers, in
            each of them.
        repeats: how many independent runs each sampler has on each problem, at least 1.
        count: how many of the problems to take; needed where they never end, as
            `motes.models.pocket.problems` does not.
        correct: maps an answer and the problem, as it was given, to whether the answer is right;
            None for equal meaning, by `motes.ppl.group`. No answer is wrong without being asked
            about.
        texts: keep what every draw says, which makes the file larger by as much; runs that are in
            the file already stay without.
        target, beta, alpha, prior, max_steps, answer, constraint: what is to be sampled, as
            `motes.solve` takes them.
        engine: None for this process; "ray" for workers of Ray's that each hold the models, with
            as many as the cluster has room for, or `RayWorkers` to say how many. Results are those
            of one process. Models go to workers by name, as functions that load them, or as objects
            without weights that can be pickled.
        mistaken: nothing; an argument that other tools have is an error that says what to write.

    Returns:
        The results of these problems, samplers and repeats, those that the file had included.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range, or the file
            holds something else: before a model is loaded. So are right answers that cannot be
            read, NaN among them, and what cannot be sent to workers.
        ModuleNotFoundError: Ray is not installed: motes[ray].
        OSError: the file cannot be read or written, as when another evaluation is writing to it.
        FloatingPointError: a model gave NaN or infinity; what was done before is in the file.

    Warns:
        RuntimeWarning: right answers cannot be read back by the rule for answers; after 20 runs, no
            answer was read in any; lines of the file are damaged; the
            name of a model or function is taken on trust.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> from motes.samplers import MajorityVote
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> vote = {"vote": MajorityVote(samples=3)}
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        <Evaluation of vote on 2 problems: 2 of 2 runs done>
    """
    for name, value in mistaken.items():
        raise TypeError(
            f"evaluate has no argument {name!r}: {instead(name, value) or 'see its docstring'}"
        )
    given = read_problems(problems, count, compared=correct is None)
    arms = of_these(read_arms(samplers), given)
    declared = {
        "target": target,
        "beta": beta,
        "alpha": alpha,
        "prior": prior or Sampling(),
        "max_steps": max_steps,
    }
    declared |= {"answer": answer, "constraint": constraint}
    declarations = [Declaration(problem.question, **declared) for problem in given]
    seed, at_once = checks.seed(seed), checks.count("at_once", at_once)
    repeats = checks.count("repeats", repeats)
    _check(correct)
    keeps = checks.flag("texts", texts)
    if correct is None and answer in (None, stated):
        warn_of_unread([problem.answer for problem in given], stated)
    models = Models(*checked_models(lm, prm), device, answer)
    workers = check_engine(engine)
    path = check_results(results)
    plan = planned(given, [arm for arm, _ in arms], repeats)
    task = Task(given, arms, plan, seed, declarations, correct, "", keeps)
    arguments = _arguments(arms, declared | {"correct": correct}, seed)
    there = read(path)
    if there is not None and there.arguments is not None:
        check_same(path, there, arguments)  # before a model has to be loaded to be known
    with opened(workers, models, task, at_once) as runs:
        hosts = Hosts(models, runs)
        marks = hosts.marks(path, there)
        check_vouched(marks, "results")
        arguments |= {name: mark.text for name, mark in marks.items()}
        if there is not None:
            check_same(path, there, arguments)
        keys = plan.keys()
        if there is not None and all(key in there.records for key in keys.values()):
            return Evaluation.of(plan, there.records)

        with writing(path, arguments, hosts.sources, plan) as file:
            warn_of_damage(path, file.contents)
            found = file.contents.records
            done = {key: found[key] for key in keys.values() if key in found}
            _run(runs, arguments, keys, done, file, progress=progress, path=path)
    return Evaluation.of(plan, done)


def _check(correct: Any) -> None:
    """Raise what `evaluate` raises of these."""
    if correct is not None and not callable(correct):
        raise TypeError(
            f"correct must be a function from an answer and a problem to a bool, not {correct!r}"
        )


def _arguments(
    arms: Sequence[tuple[Arm, Sampler]], declared: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Return what decides the results besides the models, in plain values."""
    functions = {name: identify(value) for name, value in declared.items() if callable(value)}
    for arm, sampler in arms:
        for name, value in vars(sampler).items():
            if callable(value):
                functions[f"{name} of samplers[{arm.name!r}]"] = identify(value)
    check_vouched(functions, "results", stacklevel=3)
    return {"seed": seed} | {name: plain(value) for name, value in declared.items()}


def _run(
    runs: Engine,
    arguments: Mapping[str, Any],
    keys: Mapping[Place, Key],
    done: dict[Key, Record],
    file: Writer,
    *,
    progress: bool,
    path: Path,
) -> None:
    """Do the missing runs, and add their records to the file and to what is done."""
    missing = [(place, key) for place, key in keys.items() if key not in done]
    with tqdm(
        total=len(keys), initial=len(done), desc="runs", unit="run", disable=not progress
    ) as bar:

        def ended(record: Record) -> None:
            if record.key in done:  # runs that share a budget are done again together
                return
            file.add(record)
            done[record.key] = record
            bar.update()
            silent = all(record.answer is None and not record.error for record in done.values())
            if len(done) == SILENT and silent:
                message = (
                    f"no answer was read in the first {SILENT} runs: see what is written there, "
                    "and `answer`, which reads it"
                )
                warnings.warn(message, RuntimeWarning, stacklevel=2)

        try:
            runs.run(digest_of(arguments), arguments, ended, missing)
        except KeyboardInterrupt:
            if not done:
                raise
            message = (
                f"interrupted after {len(done)} of {len(keys)} runs: the same call with "
                f"{str(path)!r} does the others"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=3)
