"""What every model fitted by NUTS has in common: its draws, how well they mixed, and what is wrong.

R-hat > 1.01 or ESS < 100 a chain    the chains have not mixed (Vehtari et al. 2021)
a divergence                         NUTS could not follow all of the posterior (Betancourt 2017)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .posterior.mixing import Mixing

R_HAT = 1.01
ESS_PER_CHAIN = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class NutsFit:
    """The posterior of a model's parameters, as C chains of S draws.

    Attributes:
        draws: by parameter, float64, shape (C, S, ...).
        stats: by name, shape (C, S): diverging, lp (nats), energy (nats), acceptance_rate, n_steps.
        seed: of all random numbers.
        warmup: steps of adaptation of a chain.
    """

    draws: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]
    seed: int
    warmup: int

    @property
    def shape(self) -> tuple[int, int]:
        """(C, S): the number of chains, and of draws in each."""
        chains, draws = next(iter(self.draws.values())).shape[:2]
        return chains, draws

    @property
    def size(self) -> int:
        """C S, the number of all draws."""
        chains, draws = self.shape
        return chains * draws

    def evenly(self, count: int) -> dict[str, np.ndarray]:
        """Take `count` of the draws, evenly spaced along the chains, laid end to end.

        Returns:
            By parameter, shape (count, ...).
        """
        chosen = (np.arange(count) * 2 + 1) * self.size // (2 * count)
        return {
            name: values.reshape(self.size, *values.shape[2:])[chosen]
            for name, values in self.draws.items()
        }


def sampling_complaints(fit: NutsFit, mixing: Mapping[str, Mixing]) -> list[str]:
    """Say in sentences what is wrong with how a fit was sampled; empty where nothing is known."""
    return [*_unmixed(fit, mixing), *_divergences(fit)]


def _unmixed(fit: NutsFit, mixing: Mapping[str, Mixing]) -> list[str]:
    chains, _ = fit.shape
    enough = ESS_PER_CHAIN * chains
    # "not <=" and "not >=": a NaN counts as bad
    apart = [name for name, one in mixing.items() if not one.r_hat <= R_HAT]
    scarce = [name for name, one in mixing.items() if not one.ess >= enough]
    complaints = []
    if chains == 1:
        complaints.append(
            "there is one chain, so that no R-hat can tell whether it has found the posterior"
        )
    elif apart:
        complaints.append(
            f"the chains disagree (R-hat above {R_HAT}, more warm-up or more draws may help) on "
            f"{_listed(mixing, 'r_hat', apart)}"
        )
    if scarce:
        complaints.append(
            f"too few draws are effective (under {enough}: ask for more) of "
            f"{_listed(mixing, 'ess', scarce)}"
        )
    return complaints


def _listed(mixing: Mapping[str, Mixing], figure: str, names: Sequence[str]) -> str:
    return ", ".join(f"{name} ({getattr(mixing[name], figure):.4g})" for name in names)


def _divergences(fit: NutsFit) -> list[str]:
    diverging = int(np.sum(fit.stats["diverging"]))
    if not diverging:
        return []
    return [
        f"{diverging} of {fit.size} draws diverged, so that a part of the posterior may be "
        "missing: try narrower priors"
    ]
