"""Log an evaluation to an experiment tracker: Trackio, or Weights & Biases, whose calls it has.

Each arm is a run of the tracker: its settings are the configuration, each problem is a step, and
the last step also has the arm's figures. All of it comes from the records. An interrupted
evaluation can therefore be logged when it is done, as if it had never been interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from math import isnan
from typing import Any, Protocol

import numpy as np

from .. import checks
from .report import ArmFigures, arm_figures
from .results import Results

# what each tracker is told besides: W&B, to leave a run of the caller's that is under way alone
TRACKERS: dict[str, dict[str, Any]] = {"trackio": {}, "wandb": {"reinit": "create_new"}}


class TrackerRun(Protocol):
    """A run that a tracker has begun."""

    def log(self, metrics: dict[str, float], /, *, step: int) -> None:
        """Add what was measured at a step."""
        ...

    def finish(self) -> None:
        """End the run, when all of it is written."""
        ...


def log_to(evaluation: Results, tracker: str, *, project: str, name: str) -> None:
    """Log every arm as a run of a tracker; see `Evaluation.log_to`."""
    checks.choice("tracker", tracker, TRACKERS)
    for argument, value in (("project", project), ("name", name)):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{argument} must be a text that is not empty, not {value!r}")
    if not evaluation.whole:
        raise ValueError("there is nothing to log: no problem is done by all samplers")
    begin = tracker_module(tracker).init
    for place, figures in enumerate(arm_figures(evaluation)):
        run: TrackerRun = begin(
            project=project,
            name=evaluation.arms[place].title,
            group=name,
            config=_configuration(evaluation, place),
            **TRACKERS[tracker],
        )
        try:
            for step, metrics in enumerate(_steps(evaluation, place, figures)):
                run.log(metrics, step=step)
        finally:
            run.finish()


def tracker_module(tracker: str) -> Any:
    """Return the module of a tracker.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return import_module(tracker)
    except ModuleNotFoundError as error:
        if error.name != tracker:
            raise
        # Trackio is no extra of ours, since it wants an older pillow than others do
        wanted = "'motes[wandb]'" if tracker == "wandb" else tracker
        raise ModuleNotFoundError(f"{tracker} is not installed: pip install {wanted}") from error


def _configuration(evaluation: Results, place: int) -> dict[str, Any]:
    """Return what tells an arm from others, and which evaluation it is of."""
    arm = evaluation.arms[place]
    first = next(record for record in evaluation.records if record.arm == place)
    return {
        "method": arm.name,
        "budget": arm.budget,
        "settings": dict(arm.settings),
        "problems": len(evaluation.whole),
        "repeats": evaluation.repeats,
        "evaluation": first.evaluation,
        "versions": first.versions,
    }


def _steps(evaluation: Results, place: int, figures: ArmFigures) -> Iterator[dict[str, float]]:
    """Give what is logged of each problem, in order.

    Accuracy is that of the problems so far, so that its last value is the arm's.
    """
    right = evaluation.right[:, place] / evaluation.repeats
    accuracy = np.cumsum(right) / np.arange(1, len(right) + 1)
    last = len(right) - 1
    for row, problem in enumerate(evaluation.whole):
        metrics = {
            "problem": problem,
            "right": float(right[row]),
            "accuracy": float(accuracy[row]),
            "tokens": float(evaluation.tokens[row, place]),
            "seconds": float(evaluation.seconds[row, place]),
        }
        if row == last:
            metrics |= _of_arm(figures)
        yield metrics


def _of_arm(figures: ArmFigures) -> dict[str, float]:
    """Return the figures of an arm by the names of the field, those that are known."""
    named = {
        "accuracy_low": figures.low,
        "accuracy_high": figures.high,
        "draws": figures.draws,
        "maj_at_n": figures.majority,
        "avg_at_n": figures.average,
        "pass_at_n": figures.some,
        "oracle_gap": figures.gap,
        "mean_tokens": figures.tokens,
        "mean_prm_tokens": figures.prm_tokens,
        "mean_seconds": figures.seconds,
        "dead_runs": float(figures.dead),
    }
    return {name: value for name, value in named.items() if not isnan(value)}
