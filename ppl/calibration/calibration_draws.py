"""The draws of a fitted reliability model, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

from ..nuts_fit import NutsFit
from .labels import Labels
from .reliability import Priors


@dataclass(frozen=True, eq=False, kw_only=True)
class CalibrationDraws(NutsFit):
    """The posterior of how reliable a reward model is, as C chains of S draws.

    Attributes:
        prm: the reward model's name.
        labels: the judged steps that it was fitted to: n of them, at D depths, of J problems.
        priors: what was believed before.
        draws: by parameter, float64: the six of `reliability.POPULATION`, shape (C, S), in the
            units of `motes.ppl.calibration.reliability` (log-odds, or rates); depth_effect,
            (C, S, D), and problem_effect, (C, S, J), log-odds.
        stats: by name, shape (C, S): diverging, lp (nats), energy (nats), acceptance_rate, n_steps.
        seed: of all random numbers.
        warmup: steps of adaptation of a chain.
        mark: what tells the reward model from others of its name (`motes.models.identity`); ""
            where that is not known.
    """

    prm: str
    labels: Labels
    priors: Priors
    mark: str = ""
