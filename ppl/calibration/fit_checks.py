"""What can be wrong with a fitted reliability model, in sentences.

    what `motes.ppl.nuts_fit` finds      the chains have not mixed, or NUTS diverged
    a small predictive p-value           the model does not fit the labels (`predictive`)
    labels all equal                     nothing was learnt of the other kind of error

Problems' effects are looked at through their spread alone: of hundreds of parameters one is always
the worst.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..nuts_fit import sampling_complaints
from ..posterior.mixing import Mixing, mixed
from .calibration_draws import CalibrationDraws
from .predictive import Predictive
from .reliability import POPULATION

P_VALUE = 0.005


def mixing(calibration: CalibrationDraws) -> dict[str, Mixing]:
    """Measure how well each parameter has mixed; effects of depths are called "depth_effect 3"."""
    draws = calibration.draws
    by_name = {name: mixed(draws[name]) for name in POPULATION}
    for place, depth in enumerate(calibration.labels.depths.tolist()):
        by_name[f"depth_effect {depth}"] = mixed(draws["depth_effect"][..., place])
    return by_name


def complaints(
    calibration: CalibrationDraws,
    mixing: Mapping[str, Mixing],
    predictive: Mapping[str, Predictive],
) -> list[str]:
    """Say everything that is wrong, in sentences."""
    return [
        *sampling_complaints(calibration, mixing),
        *_misfits(predictive),
        *_uninformed(calibration),
    ]


def _misfits(predictive: Mapping[str, Predictive]) -> list[str]:
    return [
        f"the model does not fit the shares of right steps by {family} (posterior predictive "
        f"p-value {checked.p:.3f})"
        for family, checked in predictive.items()
        if checked.p < P_VALUE
    ]


def _uninformed(calibration: CalibrationDraws) -> list[str]:
    right = calibration.labels.right
    if 0 < right.sum() < len(right):
        return []
    verdict = "right" if right[0] else "wrong"
    return [
        f"every one of the {len(right)} labelled steps is {verdict}: "
        "of the other kind only the priors speak"
    ]
