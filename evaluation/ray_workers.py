"""How many workers of Ray's do the runs of an evaluation, and what each needs."""

from __future__ import annotations

from dataclasses import dataclass

from .. import checks


@dataclass(frozen=True)
class RayWorkers:
    """Workers of Ray's that do the runs of an evaluation; each holds the models once.

    Ray places them on the machines of its cluster, and starts again those that are lost. The
    cluster is the one that this process is connected to, else the one that RAY_ADDRESS names, else
    one of this machine alone, which ends with the evaluation. motes, and whatever modules the
    models and functions come from, must be installed on all of its machines.

    Attributes:
        workers: how many; None for one for each GPU of the cluster, or, where it has none, for each
            CPU. Those for which there is no room wait until there is, and the others go on.
        cpus: that each needs, above 0; which is also how many threads torch takes.
        gpus: that each needs; None for 1 where the cluster has any and `device` is not "cpu", else
            0.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> RayWorkers(workers=2)
        RayWorkers(workers=2, cpus=1.0, gpus=None)
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float | None = None

    def __post_init__(self) -> None:
        workers, gpus = self.workers, self.gpus
        if workers is not None:
            workers = checks.count("workers", workers)
        if gpus is not None:
            gpus = checks.number("gpus", gpus, least=0)
        checks.settle(self, workers=workers, cpus=checks.positive("cpus", self.cpus), gpus=gpus)
