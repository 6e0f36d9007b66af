"""A fitted reliability model: its draws, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from xarray import DataTree

from ..posterior.mixing import Mixing
from .calibration_draws import CalibrationDraws
from .calibration_tree import fields_of, to_datatree
from .fit_checks import complaints, mixing
from .predictive import Predictive, predictive


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration(CalibrationDraws):
    """The posterior of how reliable a reward model is; its attributes are `CalibrationDraws`'."""

    @cached_property
    def mixing(self) -> dict[str, Mixing]:
        """R-hat, ESS and standard error of each parameter but the effects of problems.

        See `motes.ppl.posterior.mixing`.
        """
        return mixing(self)

    @cached_property
    def predictive(self) -> dict[str, Predictive]:
        """Shares of right steps, by "score" and by "depth", as observed and as replicated.

        See `motes.ppl.calibration.predictive`.
        """
        return predictive(self)

    def check(self) -> list[str]:
        """Say in sentences what is wrong with the fit; empty where nothing is known to be.

        See `motes.ppl.calibration.fit_checks`.
        """
        return complaints(self, self.mixing, self.predictive)

    def to_datatree(self) -> DataTree:
        """Give the fit in ArviZ's schema; see `motes.ppl.calibration.calibration_tree`."""
        return to_datatree(self)

    @classmethod
    def from_datatree(cls, tree: DataTree) -> Calibration:
        """Read the fit that `to_datatree` wrote.

        Raises:
            ValueError: the tree is of something else.
        """
        return cls(**fields_of(tree))
