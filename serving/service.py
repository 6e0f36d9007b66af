"""Models that are served: a request in, its outcome out, beside all others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from ..models import Cost, LanguageModel, RewardModel
from ..samplers import AllParticlesDead, solve
from .engine import Engine, Job
from .kept_reports import KeptReports
from .limits import Limits
from .live import Live
from .metrics import Metrics
from .outcome import Outcome, outcome_of
from .refusals import Refusal, one_line
from .solve_request import Defaults, SolveRequest

LOG = logging.getLogger("motes.serving")
NO_LIVE = "none"


class Service:
    """Models that are served, and what a request to them means that does not say it.

    Args:
        lm: the language model, loaded.
        prm: the reward model, loaded; None for no likelihood.
        name: what clients call it; the language model's own where None.
        defaults: what a request means that does not say it.
        limits: what is taken on at most.

    Raises:
        ValueError: the name holds a colon, or nothing.

    Example:
        >>> from motes.models import TableLM
        >>> Service(TableLM(lambda prefix: [0.5, 0.5], eos=1), None).name
        'table'
    """

    def __init__(
        self,
        lm: LanguageModel,
        prm: RewardModel | None,
        *,
        name: str | None = None,
        defaults: Defaults | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.lm, self.prm = lm, prm
        self.name = lm.name if name is None else name
        if not self.name or ":" in self.name:
            raise ValueError(f"name must be a text without colons, not {self.name!r}")
        self.defaults, self.limits = defaults or Defaults(), limits or Limits()
        self.engine = Engine(at_once=self.limits.at_once, waiting=self.limits.waiting)
        self.reports = KeptReports(self.limits.reports)
        self.metrics = Metrics(self.engine, self._cost)
        self.began = int(time.time())

    def _cost(self) -> Cost:
        return self.lm.cost if self.prm is None else self.lm.cost + self.prm.cost

    def submit(
        self, request: SolveRequest, tell: Callable[[dict[str, Any]], None] | None = None
    ) -> Job[Outcome | Refusal]:
        """Have a request solved, beside the others.

        Args:
            request: checked.
            tell: given each event of the run, in the engine's thread; see `Live`.

        Raises:
            Refusal: too many wait.
        """
        heard = None
        if tell is not None and request.progress != NO_LIVE:
            heard = Live(tell, particles=request.progress == "particles")

        def run(batched: Callable[[Any], Any]) -> Outcome | Refusal:
            return self._solved(request, batched)

        return self.engine.submit(run, heard)

    def _solved(self, request: SolveRequest, batched: Callable[[Any], Any]) -> Outcome | Refusal:
        """Solve a request as `motes.solve` does; every error becomes a sentence here.

        Errors hold on to the frames that raised them, and so to trajectories, which must go where
        they were made: in the engine's turn.
        """
        try:
            posterior = solve(
                request.question,
                lm=batched(self.lm),
                prm=batched(self.prm),
                **request.arguments,
            )
            return outcome_of(posterior, request.choices, request.seed, request.solutions)
        except AllParticlesDead as error:
            return Refusal(422, one_line(error), code="all_particles_dead")
        except (TypeError, ValueError) as error:
            return Refusal(400, one_line(error))
        except FloatingPointError as error:
            LOG.error("a model failed: %s", one_line(error))
            return Refusal(500, one_line(error), code="model_failed")
        except Exception:
            LOG.exception("a request failed")
            return Refusal(500, "the request failed, by no fault of its own")

    async def outcome(self, job: Job[Outcome | Refusal]) -> Outcome:
        """Wait for a job, which is given up if the wait is.

        Raises:
            Refusal: it could not be solved.
        """
        began = time.perf_counter()
        try:
            found = await asyncio.wrap_future(job.result)
        except asyncio.CancelledError:
            self.engine.cancel(job)
            self.metrics.cancelled.inc()
            raise
        if isinstance(found, Refusal):
            raise found
        self.metrics.seconds.observe(time.perf_counter() - began)
        return found

    def metadata(self, request: SolveRequest, outcome: Outcome) -> dict[str, Any]:
        """Return what a reply says of its posterior, with where its report is."""
        name = self.reports.keep(outcome.pickled) if request.metadata else None
        report = None if name is None else f"/reports/{name}"
        return {**outcome.facts, "seed": request.seed, "report": report}
