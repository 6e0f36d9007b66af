"""Samplers by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .entropic import EntropicParticleFilter
from .importance_sampling import ImportanceSampling
from .metropolis import PowerMetropolis, SuffixMetropolis
from .parallel_tempering import ParallelTempering
from .particle_filter import ParticleFilter
from .particle_gibbs import ParticleGibbs
from .power_smc import PowerSMC
from .published import Giannone2025, Puri2025
from .resample_move import ResampleMove
from .sampler import SteppedSampler
from .tempered_smc import TemperedSMC
from .twisted_smc import TwistedSMC

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
    for setting in settings:
        if setting not in known:
            raise ValueError(f"{setting} is not a setting of {name!r}, which has {', '.join(known)}")
    return SAMPLERS[name](**settings)


def settings_of(name: str) -> list[str]:
    """The names of a sampler's settings. Raises ValueError where its own name is unknown."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {name!r}")
    return sorted(field.name for field in fields(SAMPLERS[name]))
