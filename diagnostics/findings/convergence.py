"""Findings on the convergence of chains, by rank-normalised split R-hat and bulk ESS.

Both are those of `posterior.mixing`.
Thresholds are those of Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021,
doi:10.1214/20-BA1221): R-hat of at most 1.01 and an ESS of 100 a chain, for the log-density, the
length, and every answer that is not rare.
"""

from __future__ import annotations

from collections import Counter
from math import isnan

from ...ppl.posterior.mixing import FEW_DRAWS, FEWEST, R_HAT, RARE, Mixing
from ...ppl.posterior.posterior import Posterior
from ..formatting import counted, printable
from .finding import Finding

# that independent draws would all be one trajectory, as frequent as it is among all chains' draws
CHANCE = 0.01


def stuck(posterior: Posterior) -> Finding | None:
    """Find chains that stayed at one trajectory, and would hardly have done so had they moved."""
    if not posterior.chains:
        return None
    marks = [(x.token_ids, x.finished, x.truncated) for x in posterior.trajectories]
    draws = len(marks) // posterior.chains
    frequency = Counter(marks)
    still = 0
    for first in range(0, len(marks), draws):
        chain = set(marks[first : first + draws])
        share = frequency[marks[first]] / len(marks)
        if len(chain) == 1 and share**draws < CHANCE:
            still += 1
    if not still:
        return None
    return Finding(
        "stuck chains",
        (
            f"{still} of {counted(posterior.chains, 'chain')} stood at one trajectory for all of "
            f"{counted(draws, 'draw')}"
        ),
        "a chain that stays where it began counts its start as often as it has draws",
        posterior.provenance.remedies.livelier,
    )


def not_mixed(posterior: Posterior) -> Finding | None:
    """Find an R-hat above 1.01."""
    unmixed = {name: of for name, of in _mixing(posterior).items() if of.r_hat > R_HAT}
    if not unmixed:
        return None
    name, worst = max(unmixed.items(), key=lambda item: item[1].r_hat)
    worth = "" if isnan(worst.ess) else f" (its ESS is {worst.ess:.0f})"
    remedies = posterior.provenance.remedies
    return Finding(
        "chains not mixed",
        f"R-hat is {worst.r_hat:.3f} for {printable(name)}{worth}, where {R_HAT} at most is wanted",
        "the chains have been at different places, and each tells of its own only",
        f"{remedies.longer_chains}; {remedies.livelier}",
    )


def few_draws(posterior: Posterior) -> Finding | None:
    """Find a bulk ESS below 100 per chain."""
    enough = FEW_DRAWS * posterior.chains
    small = {name: of for name, of in _mixing(posterior).items() if of.ess < enough}
    if not small:
        return None
    name, worst = min(small.items(), key=lambda item: item[1].ess)
    remedies = posterior.provenance.remedies
    return Finding(
        "few effective draws",
        f"{counted(len(posterior.trajectories), 'draw')} of {counted(posterior.chains, 'chain')} "
        f"are worth {worst.ess:.0f} independent ones for {printable(name)}, where {FEW_DRAWS} a "
        "chain are wanted",
        "below that R-hat, the ESS and the standard errors are themselves too noisy to rely on",
        f"{remedies.more_draws}; {remedies.livelier}",
    )


def unknown_mixing(posterior: Posterior) -> Finding | None:
    """Find that R-hat is undefined: one chain, too few draws, or draws that are all equal."""
    mixing = _mixing(posterior)
    if not posterior.chains or any(not isnan(of.r_hat) for of in mixing.values()):
        return None
    draws = len(posterior.trajectories) // posterior.chains
    remedies = posterior.provenance.remedies
    if posterior.chains == 1:
        seen = "there is one chain"
        change = f"run several: {remedies.more_chains}"
    elif draws < FEWEST:
        seen = f"the chains have {counted(draws, 'draw')} each"
        change = remedies.more_draws
    else:
        seen = (
            f"all {len(posterior.trajectories)} draws have one length, one answer and one density, "
            "or one that is not known"
        )
        change = (
            "compare with sampler='importance_sampling', which has no memory: where it finds the "
            "same, the target is that narrow"
        )
    return Finding(
        "mixing unknown",
        f"R-hat is undefined: {seen}",
        "nothing tells whether the chains have left their starts",
        change,
    )


def _mixing(posterior: Posterior) -> dict[str, Mixing]:
    """Return the mixing of all quantities but rare answers; empty where there are no chains."""
    rare = set()
    for answer, probability in posterior.answers.items():
        if probability < RARE:
            rare.add("no answer" if answer is None else f"answer {answer}")
    return {name: of for name, of in posterior.mixing.items() if name not in rare}
