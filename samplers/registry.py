"""Samplers by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .base import SteppedSampler
from .chains.metropolis import PowerMetropolis, SuffixMetropolis
from .chains.parallel_tempering import ParallelTempering
from .chains.reasoning_gibbs import ParticleGibbs
from .filters.entropic import EntropicParticleFilter
from .filters.importance_sampling import ImportanceSampling
from .filters.particle_filter import ParticleFilter
from .filters.power_smc import PowerSMC
from .filters.resample_move import ResampleMove
from .filters.tempered_smc import TemperedSMC
from .filters.twisted_smc import TwistedSMC
from .mistaken import instead
from .search.published import Giannone2025, Puri2025

SAMPLERS: dict[str, type[SteppedSampler[Any]]] = {
    sampler.name: sampler
    for sampler in (
        ParticleFilter,
        ImportanceSampling,
        ResampleMove,
        TwistedSMC,
        EntropicParticleFilter,
        TemperedSMC,
        PowerSMC,
        ParticleGibbs,
        SuffixMetropolis,
        PowerMetropolis,
        ParallelTempering,
        Puri2025,
        Giannone2025,
    )
}


def make_sampler(name: str, **settings: Any) -> SteppedSampler[Any]:
    """The sampler of this name with these settings.

    Raises:
        ValueError: the name is unknown, or a setting, or its value is out of its range.
    """
    known = settings_of(name)
    for setting, value in settings.items():
        if setting not in known:
            further = instead(setting, value) or f"which has {', '.join(known)}"
            raise ValueError(f"{setting} is not a setting of {name!r}, {further}")
    return SAMPLERS[name](**settings)


def settings_of(name: str) -> list[str]:
    """The names of a sampler's settings. Raises ValueError where its own name is unknown."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {name!r}")
    return sorted(field.name for field in fields(SAMPLERS[name]))
