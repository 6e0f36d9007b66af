"""Samplers on problems: every run with a seed of its own, many runs at a time, each result written down as it comes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from .. import checks
from ..models import LanguageModel, RewardModel, Sampling, Trajectory, together
from ..models.pairing import AUTO, POCKET
from ..ppl.statespace import Answer, check_declaration
from ..ppl.targets import Target
from ..samplers.base import Sampler
from ..samplers.given_models import checked_models, load_models
from ..samplers.mistaken import instead
from .arms import Arm, plain, read_arms
from .evaluation import Evaluation
from .questions import Correct, Problem, digest, read_problems
from .records import Record, appending, begin, check_results, check_same, read
from .task import Task, recorded

SILENT = 20  # runs without an answer after which a warning is due


def evaluate(
    problems: Iterable[Any],
    *,
    samplers: Mapping[str, Sampler | Sequence[Sampler]],
    lm: str | LanguageModel = POCKET,
    prm: str | RewardModel | None = AUTO,
    seed: int = 0,
    results: str | Path = "results.jsonl",
    progress: bool = True,
    at_once: int = 16,
    count: int | None = None,
    correct: Correct | None = None,
    target: str | Target = "product",
    beta: float = 1.0,
    alpha: float = 1.0,
    prior: Sampling | None = None,
    max_steps: int = 32,
    answer: Answer | None = None,
    constraint: Callable[[Trajectory], bool] | None = None,
    device: str = "auto",
    **mistaken: Any,
) -> Evaluation:
    r"""Run samplers on problems whose right answers are known.

    Results are written as they come, a line of JSON for each problem and sampler (`Record`). The same call with the same file does only
    what is missing there, whenever and however it was stopped. Run (i, k), of problem i and the k-th of K samplers, has the seed
    (seed, i K + k): what it draws depends neither on the order nor on interruptions nor on `at_once` (up to the rounding of larger
    batches). A run all of whose particles died counts as wrong, with the tokens it took; its record has an `error`.

    An interrupt (Ctrl-C) after the first result ends the evaluation early: a RuntimeWarning says so, and what is done comes back.

    Args:
        problems: objects or mappings with `question` (or `problem`) and `answer` (or `solution`), or pairs of the two. Answers are
            numbers or texts, or solutions that end in `#### 18` or hold a `\boxed{18}`.
        samplers: by name of the method, a sampler, or several: the method at several budgets.
        lm, prm, device: as `motes.solve` takes them; no model is loaded where nothing is left to do.
        seed: in [0, 2**32).
        results: the file, made where it is not there.
        progress: show a progress bar, in runs.
        at_once: runs under way at any time, at most, which share forward passes.
        count: how many of the problems to take; needed where they never end, as `motes.models.pocket.problems` does not.
        correct: maps an answer and the problem, as it was given, to whether the answer is right; None for equal meaning, by
            `motes.ppl.group`. No answer is wrong without being asked about.
        target, beta, alpha, prior, max_steps, answer, constraint: what is to be sampled, as `motes.solve` takes them.
        mistaken: nothing; an argument that other tools have is an error that says what to write.

    Returns:
        All results, those that the file had included.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range, or the file holds something else: before a model is
            loaded. So are right answers that cannot be read, NaN among them.
        OSError: the file cannot be read or written.
        FloatingPointError: a model gave something that is not a number; what was done before is in the file.

    Warns:
        RuntimeWarning: after 20 runs, no answer was read in any.
    """
    for name, value in mistaken.items():
        raise TypeError(f"evaluate has no argument {name!r}: {instead(name, value) or 'see its docstring'}")
    given, arms = read_problems(problems, count, compared=correct is None), read_arms(samplers)
    declared = {"target": target, "beta": beta, "alpha": alpha, "prior": prior or Sampling(), "max_steps": max_steps}
    declared |= {"answer": answer, "constraint": constraint}
    check_declaration(given[0].question, **declared)
    seed, at_once = checks.seed(seed), checks.count("at_once", at_once)
    _check(correct)
    lm, prm = checked_models(lm, prm)
    path = check_results(results)
    kept = _kept(path, _header({"seed": seed, "lm": lm, "prm": prm}, given, arms, declared | {"correct": correct}))
    task = Task(given, arms, seed, declared, correct)
    if missing := [number for number in range(len(given) * len(arms)) if divmod(number, len(arms)) not in kept.done]:
        _run(task, missing, kept, load_models(lm, prm, device), at_once=at_once, progress=progress)
    return Evaluation(tuple(arm for arm, _ in arms), len(given), tuple(sorted(kept.done.values(), key=lambda record: record.place)))


def _check(correct: Any) -> None:
    """Raise what `evaluate` raises of these."""
    if correct is not None and not callable(correct):
        raise TypeError(f"correct must be a function from an answer and a problem to a bool, not {correct!r}")


def _header(
    named: Mapping[str, Any], given: Sequence[Problem], arms: Sequence[tuple[Arm, Any]], others: Mapping[str, Any]
) -> dict[str, Any]:
    """What is evaluated, in plain values: models by their names, functions by what they do."""
    return {
        **{name: getattr(value, "name", value) for name, value in named.items()},
        "problems": len(given),
        "digest": digest(given),
        **{name: plain(value) for name, value in others.items()},
        "samplers": [arm._asdict() for arm, _ in arms],
    }


class _Kept(NamedTuple):
    """A file of results: where it is, its records by their places, and how many bytes of it are whole."""

    path: Path
    done: dict[tuple[int, int], Record]
    size: int


def _kept(path: Path, header: Mapping[str, Any]) -> _Kept:
    """What the file has; it is begun where it is not there. Raises as `evaluate` does."""
    if (there := read(path)) is None:
        begin(path, header)
        return _Kept(path, {}, path.stat().st_size)
    content, records, size = there
    check_same(path, content, header)
    return _Kept(path, {record.place: record for record in records}, size)


def _run(task: Task, missing: Sequence[int], kept: _Kept, loaded: tuple[Any, Any], *, at_once: int, progress: bool) -> None:
    """Do the missing runs, and add their records to the file and to what is done."""
    total = len(task.problems) * len(task.arms)
    with (
        appending(kept.path, kept.size) as add,
        tqdm(total=total, initial=total - len(missing), desc="runs", unit="run", disable=not progress) as bar,
    ):

        def ended(_: int, record: Record) -> None:
            add(record)
            kept.done[record.place] = record
            bar.update()
            if len(kept.done) == SILENT and all(record.answer is None and not record.error for record in kept.done.values()):
                message = f"no answer was read in the first {SILENT} runs: see what is written there, and `answer`, which reads it"
                warnings.warn(message, RuntimeWarning, stacklevel=2)

        try:
            together([partial(recorded, task, number, loaded) for number in missing], at_once=at_once, ended=ended)
        except KeyboardInterrupt:
            if not kept.done:
                raise
            message = f"interrupted after {len(kept.done)} of {total} runs: the same call with {str(kept.path)!r} does the others"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
