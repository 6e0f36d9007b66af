"""From labelled steps to a calibrated reward model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from ... import checks
from ...models import RewardModel
from ...models.identity import identify
from .calibrated_reward import HELD, CalibratedReward, check_reward
from .calibration import Calibration
from .labels import LabelledStep, Labels, check_labelled, read
from .reliability import HIDDEN, Priors, data, sized


def calibrate(
    prm: RewardModel,
    labelled: Sequence[LabelledStep],
    *,
    seed: int = 0,
    priors: Priors = Priors(),
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    held: int = HELD,
) -> CalibratedReward:
    """Learn from labelled steps how far a reward model can be believed.

    Fits the reliability model (`motes.ppl.calibration.reliability`) by NUTS, in float64, and warns
    of what is wrong with the fit. What comes back is a reward model: `StateSpaceModel(question,
    lm=lm, prm=calibrate(prm, labelled))`.

    Args:
        prm: the reward model.
        labelled: judged steps, of any number of problems and depths.
        seed: of everything random: the chains, replicated labels, effects of problems that were
            never seen.
        priors: of the reliability model.
        chains: C, at least 1; they run as one vectorised computation.
        warmup: steps of adaptation of a chain, at least 1.
        draws: S of a chain, at least 1.
        held: M, how many of the C S draws the scores average over.

    Returns:
        The calibrated reward model; its `calibration` has the fit, and `calibration.check()` what
        is wrong with it.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; before anything
            is scored.
        FloatingPointError: a score is NaN; the message names the reward model and the
            trajectory.

    Warns:
        RuntimeWarning: with what `calibration.check()` says, if anything.

    Example:
        >>> import warnings
        >>> from motes.models import FunctionReward, Trajectory
        >>> prm = FunctionReward(lambda x: 3.0 if x.step_token_ids[0] < 5 else -3.0)
        >>> def judged(number, right):
        ...     root = Trajectory(question=f"{number}?")
        ...     step = root.child("", (number,), logprob=0.0, proposal_logprob=0.0)
        ...     return LabelledStep(step, right)
        >>> labelled = [judged(number, number % 3 == 0) for number in range(10)]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")  # ten steps and so few draws are not enough
        ...     reward = calibrate(prm, labelled, chains=1, warmup=50, draws=20, held=10)
        >>> step = labelled[0].trajectory
        >>> bool(abs(reward.score([step])[0]) < abs(prm.score([step])[0]))
        True
    """
    check_reward(prm)
    judged = check_labelled(labelled)
    seed = checks.seed(seed)
    if not isinstance(priors, Priors):
        raise TypeError(f"priors must be a Priors, not {priors!r}")
    chains = checks.count("chains", chains)
    warmup = checks.count("warmup", warmup)
    draws = checks.count("draws", draws)
    held = checks.count("held", held, most=chains * draws)
    calibration = fitted(
        prm.name,
        read(prm, judged),
        priors,
        seed=seed,
        chains=chains,
        warmup=warmup,
        draws=draws,
    )
    calibration = replace(calibration, mark=str(identify(prm).text))
    if complaints := calibration.check():
        warnings.warn(
            f"the calibration of {prm.name!r} is doubtful: {'; '.join(complaints)}",
            RuntimeWarning,
            stacklevel=2,
        )
    return CalibratedReward(prm, calibration, held=held)


def fitted(
    name: str, labels: Labels, priors: Priors, *, seed: int, chains: int, warmup: int, draws: int
) -> Calibration:
    """Fit a reward model of this name to these labels."""
    import jax

    from .. import nuts
    from .streams import chain_keys

    given, sizes = data(labels)
    with jax.enable_x64(True):
        named, stats = nuts.chains(
            chain_keys(seed, chains), sized(sizes), (given, asdict(priors)), warmup, draws, HIDDEN
        )
        named = {name: np.asarray(values) for name, values in named.items()}
        stats = {name: np.asarray(values) for name, values in stats.items()}
    return Calibration(
        prm=name, labels=labels, priors=priors, draws=named, stats=stats, seed=seed, warmup=warmup
    )
