"""A fitted reliability model: its draws, where they come from, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from xarray import DataTree

from ..posterior.mixing import Mixing
from .labels import Labels
from .reliability import Priors

if TYPE_CHECKING:
    from .predictive import Predictive


@dataclass(frozen=True, eq=False)
class Calibration:
    """The posterior of how reliable a reward model is, as C chains of S draws.

    Attributes:
        prm: the reward model's name.
        labels: the judged steps that it was fitted to: n of them, at D depths, of J problems.
        priors: what was believed before.
        draws: by parameter, float64: the six of `reliability.POPULATION`, shape (C, S), in the units of `motes.ppl.calibration.reliability`
            (log-odds, or rates); depth_effect, (C, S, D), and problem_effect, (C, S, J), log-odds.
        stats: by name, shape (C, S): diverging, lp (nats), energy (nats), acceptance_rate, n_steps.
        seed: of all random numbers.
        warmup: steps of adaptation of a chain.
    """

    prm: str
    labels: Labels
    priors: Priors
    draws: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]
    seed: int
    warmup: int

    @property
    def size(self) -> int:
        """C S, the number of all draws."""
        return self.draws["slope"].size

    @cached_property
    def mixing(self) -> dict[str, Mixing]:
        """R-hat, ESS and standard error of each parameter but the effects of problems; see `motes.ppl.posterior.mixing`."""
        from .fit_checks import mixing

        return mixing(self)

    @cached_property
    def predictive(self) -> dict[str, Predictive]:
        """Shares of right steps, by "score" and by "depth", as observed and as replicated; see `motes.ppl.calibration.predictive`."""
        from .predictive import predictive

        return predictive(self)

    def check(self) -> list[str]:
        """What is wrong with the fit, in sentences; none where nothing is known to be. See `motes.ppl.calibration.fit_checks`."""
        from .fit_checks import complaints

        return complaints(self)

    def evenly(self, count: int) -> dict[str, np.ndarray]:
        """`count` of the draws, evenly spaced along the chains, laid end to end; shapes (count,) and (count, size)."""
        chosen = (np.arange(count) * 2 + 1) * self.size // (2 * count)
        return {name: values.reshape(self.size, *values.shape[2:])[chosen] for name, values in self.draws.items()}

    def to_datatree(self) -> DataTree:
        """The fit in ArviZ's schema; see `motes.ppl.calibration.calibration_tree`."""
        from .calibration_tree import to_datatree

        return to_datatree(self)

    @staticmethod
    def from_datatree(tree: DataTree) -> Calibration:
        """The fit that `to_datatree` made this of.

        Raises:
            ValueError: it is of something else.
        """
        from .calibration_tree import from_datatree

        return from_datatree(tree)
