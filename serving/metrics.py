"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ..models import Cost
from .engine import Engine

SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)


class _Computed(Collector):
    """Counts what the models have computed, by their own count."""

    def __init__(self, cost: Callable[[], Cost]) -> None:
        self._cost = cost

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters."""
        cost = self._cost()
        counted = {
            "forward_passes": ("Of the language model.", cost.forward_passes),
            "generated_tokens": ("By the language model.", cost.generated_tokens),
            "reward_model_tokens": ("Read by the reward model.", cost.prm_tokens),
        }
        for name, (text, value) in counted.items():
            yield CounterMetricFamily(f"motes_{name}", text, value)


class Metrics:
    """Counters of one server; names begin with `motes_`.

    Args:
        engine: whose requests are counted.
        cost: what the models have computed since they were loaded.
    """

    def __init__(self, engine: Engine, cost: Callable[[], Cost]) -> None:
        self._registry = CollectorRegistry()
        kept = self._registry
        self.requests = Counter(
            "motes_requests", "Requests that were answered.", ["route", "status"], registry=kept
        )
        self.seconds = Histogram(
            "motes_request_seconds", "Seconds of a solved request.", buckets=SECONDS, registry=kept
        )
        self.cancelled = Counter(
            "motes_cancelled",
            "Requests whose client went away, or that took too long.",
            registry=kept,
        )
        gauges = {
            "running": ("Requests under way.", lambda: engine.running),
            "waiting": ("Requests that wait.", lambda: engine.waiting),
        }
        for name, (text, value) in gauges.items():
            Gauge(f"motes_{name}", text, registry=kept).set_function(value)
        kept.register(_Computed(cost))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return all of them in Prometheus' format."""
        return generate_latest(self._registry)
