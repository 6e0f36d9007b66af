"""Runs by workers of Ray's: Ray places them, starts lost ones again, and carries what they say.

What is left to do here is to say which worker does the next run: see `engine_crew`. Records come
back one by one, and this process alone writes them down: if it is lost, so are the workers, and no
more than what they had under way.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ..models.identity import Mark
from .allocated_arms import split
from .engine_crew import Crew
from .engine_parcel import Parcel, packed
from .engine_worker import Work
from .ray_workers import RayWorkers
from .run_engine import Ended, Missing, Models
from .task import Task


class RayEngine:
    """Does runs by workers of Ray's, which are started when they are needed.

    Args:
        workers: how many, and what each needs.
        models: as they were given.
        task: what is to be done.
        at_once: runs under way in each worker at any time, at most.

    Raises:
        TypeError: something cannot be sent to workers.
        ModuleNotFoundError: Ray is not installed: motes[ray].
    """

    def __init__(self, workers: RayWorkers, models: Models, task: Task, at_once: int) -> None:
        self._ray = _imported()
        self._asked, self._models, self._task, self._at_once = workers, models, task, at_once
        self._parcel = packed(Parcel(models, task))
        self._connected = False
        self._crew: Crew | None = None

    def loaded_marks(self) -> dict[str, Mark]:
        """Return what the models do that had to be loaded, as the first worker says it."""
        crew = self._started()
        while crew.marks is None:
            crew.hear()
        return crew.marks

    def run(
        self, evaluation: str, marks: Mapping[str, Any], ended: Ended, missing: Missing
    ) -> None:
        """Do runs, as `Engine` says it.

        Raises:
            ValueError: the models of a worker are others.
            RuntimeError: workers are lost again and again.
            Exception: whatever a run raised.
        """
        alone, together = split(self._task, missing)
        works = [Work(place.arm, place.repeat, place.problem) for place, _ in alone]
        works += [Work(arm, repeat) for arm, repeat in together]
        self._started().do(works, evaluation, marks, ended)

    def close(self) -> None:
        """End the workers, and Ray where it was started for them."""
        if self._crew is not None:
            self._crew.end()
        if self._connected:
            self._ray.shutdown()

    def _started(self) -> Crew:
        if self._crew is None:
            if not self._ray.is_initialized():
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody was asked
                with warnings.catch_warnings():
                    # JAX warns of processes that go on in a copy of this one: Ray's do not
                    warnings.filterwarnings("ignore", r"os\.fork", RuntimeWarning)
                    self._ray.init(include_dashboard=False)
                self._connected = True
            count, needs = sized(self._asked, self._machines(), self._models.device)
            self._crew = Crew(self._ray, count, needs, self._parcel, self._at_once)
        return self._crew

    def _machines(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ModuleNotFoundError("engine 'ray' needs Ray: pip install 'motes[ray]'") from error
    return ray


def sized(
    asked: RayWorkers, machines: Sequence[Mapping[str, float]], device: str
) -> tuple[int, dict[str, float]]:
    """Return how many workers there are to be, and what each needs.

    Args:
        asked: what the user says of them.
        machines: how many CPU and GPU each machine of the cluster has.
        device: where models are to be loaded.

    Warns:
        RuntimeWarning: no machine has room for a worker.

    Example:
        >>> sized(RayWorkers(), [{"CPU": 8, "GPU": 2}, {"CPU": 8}], "auto")
        (2, {'num_cpus': 1.0, 'num_gpus': 1.0})
        >>> sized(RayWorkers(cpus=4), [{"CPU": 8}, {"CPU": 8}], "auto")
        (4, {'num_cpus': 4.0, 'num_gpus': 0.0})
    """
    gpus = asked.gpus
    if gpus is None:
        has_gpus = any(machine.get("GPU", 0) for machine in machines)
        gpus = 1.0 if has_gpus and device != "cpu" else 0.0
    room = 0
    for machine in machines:
        by_cpus = machine.get("CPU", 0) // asked.cpus
        by_gpus = machine.get("GPU", 0) // gpus if gpus else by_cpus
        room += int(min(by_cpus, by_gpus))
    if not room:
        warnings.warn(
            f"engine: a worker needs {asked.cpus:g} CPUs and {gpus:g} GPUs, which no machine of "
            "the cluster has: workers wait until one has",
            RuntimeWarning,
            stacklevel=2,
        )
    return asked.workers or max(1, room), {"num_cpus": asked.cpus, "num_gpus": gpus}
