"""What can be wrong with a fitted reliability model, in sentences.

    R-hat > 1.01 or ESS < 100 a chain    the chains have not mixed (Vehtari et al. 2021)
    a divergence                         NUTS could not follow the posterior everywhere (Betancourt 2017)
    a small predictive p-value           the model does not fit the labels (`predictive`)
    labels all equal                     nothing was learnt of when the reward model errs the other way

Problems' effects are looked at through their spread alone: of hundreds of parameters one is always the worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..posterior.mixing import Mixing, mixed
from .reliability import POPULATION

if TYPE_CHECKING:
    from .calibration import Calibration

R_HAT = 1.01
ESS_A_CHAIN = 100
P_VALUE = 0.005


def mixing(calibration: Calibration) -> dict[str, Mixing]:
    """How well each parameter has mixed, effects of depths called "depth_effect 3"."""
    draws = calibration.draws
    found = {name: mixed(draws[name]) for name in POPULATION}
    for place, depth in enumerate(calibration.labels.depths.tolist()):
        found[f"depth_effect {depth}"] = mixed(draws["depth_effect"][..., place])
    return found


def complaints(calibration: Calibration) -> list[str]:
    """Everything that is wrong."""
    return [*_unmixed(calibration), *_divergences(calibration), *_misfits(calibration), *_uninformed(calibration)]


def _unmixed(calibration: Calibration) -> list[str]:
    chains = calibration.draws["slope"].shape[0]
    mixing, enough = calibration.mixing, ESS_A_CHAIN * chains
    apart = [name for name, one in mixing.items() if not one.r_hat <= R_HAT]
    scarce = [name for name, one in mixing.items() if not one.ess >= enough]
    told = []
    if chains == 1:
        told.append("there is one chain, so that no R-hat can tell whether it has found the posterior")
    elif apart:
        told.append(f"the chains disagree (R-hat above {R_HAT}, more warm-up or more draws may help) on {_listed(mixing, 'r_hat', apart)}")
    if scarce:
        told.append(f"too few draws are effective (under {enough}: ask for more) of {_listed(mixing, 'ess', scarce)}")
    return told


def _listed(mixing: Mapping[str, Mixing], figure: str, names: Sequence[str]) -> str:
    return ", ".join(f"{name} ({getattr(mixing[name], figure):.4g})" for name in names)


def _divergences(calibration: Calibration) -> list[str]:
    if not (diverging := int(np.sum(calibration.stats["diverging"]))):
        return []
    return [f"{diverging} of {calibration.size} draws diverged, so that a part of the posterior may be missing: try narrower priors"]


def _misfits(calibration: Calibration) -> list[str]:
    return [
        f"the model does not fit the shares of right steps by {family} (posterior predictive p-value {found.p:.3f})"
        for family, found in calibration.predictive.items()
        if found.p < P_VALUE
    ]


def _uninformed(calibration: Calibration) -> list[str]:
    right = calibration.labels.right
    if 0 < right.sum() < len(right):
        return []
    return [f"every one of the {len(right)} labelled steps is {'right' if right[0] else 'wrong'}: of the other kind only the priors speak"]
