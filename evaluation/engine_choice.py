"""Where the runs of an evaluation are done: in this process, or by workers that Ray places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import checks
from .engine_ray import RayEngine
from .ray_workers import RayWorkers
from .run_engine import Engine, InProcess, Models
from .task import Task

RAY = "ray"


def check_engine(engine: object) -> RayWorkers | None:
    """Return the workers that `engine` asks for; None for this process.

    Raises:
        TypeError, ValueError: it is no engine.
    """
    if engine is None or isinstance(engine, RayWorkers):
        return engine
    if isinstance(engine, str):
        checks.choice("engine", engine, [RAY])
        return RayWorkers()
    raise TypeError(f"engine must be None, 'ray' or motes.evaluation.RayWorkers, not {engine!r}")


@contextmanager
def opened(
    workers: RayWorkers | None, models: Models, task: Task, at_once: int
) -> Iterator[Engine]:
    """Give the engine that does a task; nothing is loaded or started before it has to be.

    Raises:
        TypeError: something cannot be sent to workers.
        ModuleNotFoundError: Ray is not installed: motes[ray].
    """
    engine: Engine
    if workers is None:
        engine = InProcess(models, task, at_once)
    else:
        engine = RayEngine(workers, models, task, at_once)
    try:
        yield engine
    finally:
        engine.close()
