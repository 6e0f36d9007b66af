"""Samplers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from .base import SteppedSampler
from .chains.delayed_acceptance import DelayedAcceptance
from .chains.metropolis import PowerMetropolis, SuffixMetropolis
from .chains.parallel_tempering import ParallelTempering
from .chains.reasoning_gibbs import ParticleGibbs
from .chains.replica_exchange import ReplicaExchange
from .filters.adaptive_filter import AdaptiveParticleFilter
from .filters.auxiliary_filter import AuxiliaryParticleFilter
from .filters.entropic import EntropicParticleFilter
from .filters.importance_sampling import ImportanceSampling
from .filters.particle_filter import ParticleFilter
from .filters.persistent_pool import PersistentPool
from .filters.power_smc import PowerSMC
from .filters.rejection_smc import RejectionSMC
from .filters.resample_move import ResampleMove
from .filters.tempered_smc import TemperedSMC
from .filters.twisted_smc import TwistedSMC
from .mistaken import instead
from .search.a_star import AStar
from .search.ab_mcts import ABMCTS
from .search.beam_search import BeamSearch, LookaheadSearch
from .search.best_of_n import BestOfN, WeightedVote
from .search.dvts import DVTS
from .search.ets import ETS
from .search.guided_inference import GSI
from .search.majority_vote import MajorityVote
from .search.mcts import MCTS
from .search.momentum_uncertainty import MomentumUncertainty
from .search.phi_decoding import PhiDecoding
from .search.published import Giannone2025, Puri2025
from .search.rain import RAIN
from .search.rebase import Rebase
from .search.reward_guided import RSD, SpecReason
from .search.self_evaluation_beam import SelfEvaluationBeam

SAMPLERS: dict[str, type[SteppedSampler]] = {
    sampler.name: sampler
    for sampler in (
        ParticleFilter,
        ImportanceSampling,
        ResampleMove,
        TwistedSMC,
        EntropicParticleFilter,
        AuxiliaryParticleFilter,
        AdaptiveParticleFilter,
        RejectionSMC,
        PersistentPool,
        TemperedSMC,
        PowerSMC,
        ParticleGibbs,
        SuffixMetropolis,
        PowerMetropolis,
        DelayedAcceptance,
        ParallelTempering,
        ReplicaExchange,
        Puri2025,
        Giannone2025,
        RSD,
        SpecReason,
        GSI,
        BestOfN,
        WeightedVote,
        BeamSearch,
        LookaheadSearch,
        DVTS,
        AStar,
        MCTS,
        MomentumUncertainty,
        Rebase,
        ETS,
        SelfEvaluationBeam,
        PhiDecoding,
        RAIN,
        ABMCTS,
    )
}


# What every sampler has to beat, by name as well; they leave the reward model out, so they sample
# the prior alone.
BASELINES: dict[str, type[MajorityVote]] = {"majority_vote": MajorityVote}

SamplerClass: TypeAlias = "type[SteppedSampler] | type[MajorityVote]"


def make_sampler(name: str, /, **settings: Any) -> SteppedSampler | MajorityVote:
    """Return the sampler of this name with these settings.

    Raises:
        ValueError: the name is unknown, or a setting, or its value is out of its range.

    Example:
        >>> make_sampler("majority_vote", samples=8)
        MajorityVote(samples=8, stop=None, batch=4)
    """
    return configured(name, sampler_class(name), settings)


def settings_of(name: str) -> list[str]:
    """Return the names of a sampler's settings. Raises ValueError where its own name is unknown."""
    return setting_names(sampler_class(name))


def sampler_class(name: str) -> SamplerClass:
    """Return the class of the sampler of this name.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> sampler_class("particle_filter")().name
        'particle_filter'
    """
    named = _named()
    if name not in named:
        raise ValueError(f"sampler must be one of {', '.join(named)}, not {name!r}")
    return named[name]


def setting_names(kind: SamplerClass) -> list[str]:
    """Return the names of the settings of a sampler's class, sorted.

    Example:
        >>> setting_names(MajorityVote)
        ['batch', 'samples', 'stop']
    """
    return sorted(field.name for field in fields(kind))


def configured(
    name: str, kind: SamplerClass, settings: Mapping[str, Any]
) -> SteppedSampler | MajorityVote:
    """Return a sampler of a class with these settings, by the name that it is known by.

    Raises:
        ValueError: it has no such setting, or a value is out of its range.

    Example:
        >>> configured("majority_vote", MajorityVote, {"samples": 8})
        MajorityVote(samples=8, stop=None, batch=4)
    """
    known = setting_names(kind)
    for setting, value in settings.items():
        if setting not in known:
            further = instead(setting, value) or f"which has {', '.join(known)}"
            raise ValueError(f"{setting} is not a setting of {name!r}, {further}")
    return kind(**settings)


def known_samplers() -> list[str]:
    """Return the names of all samplers, baselines included."""
    return list(_named())


SIZES = ("particles", "samples", "iterations")  # what a budget is: the first that a sampler has


def size_setting(name: str) -> str | None:
    """Return the setting by which a sampler is told how many solutions to write.

    None for a sampler that is not told.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> size_setting("particle_filter"), size_setting("majority_vote")
        ('particles', 'samples')
    """
    known = settings_of(name)
    return next((setting for setting in SIZES if setting in known), None)


def _named() -> dict[str, SamplerClass]:
    return {**SAMPLERS, **BASELINES}
