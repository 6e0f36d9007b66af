"""Samplers by name."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..ppl.posterior import Posterior
from ..ppl.statespace import StateSpaceModel
from .particle_filter import ParticleFilter


@runtime_checkable
class Sampler(Protocol):
    """A frozen configuration that samples a declared posterior."""

    def run(self, model: StateSpaceModel, seed: int = 0, progress: bool = False) -> Posterior:
        """Sample the model's posterior."""
        ...


SAMPLERS: dict[str, type[Sampler]] = {"particle_filter": ParticleFilter}


def make_sampler(name: str, **settings: Any) -> Sampler:
    """The sampler of this name with these settings.

    Raises:
        ValueError: the name is unknown, or a setting out of its range.
    """
    if name not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {name!r}")
    return SAMPLERS[name](**settings)
