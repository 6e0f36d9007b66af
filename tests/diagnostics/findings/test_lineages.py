from __future__ import annotations

import numpy as np
from posteriors import changed

from motes.models import FunctionReward, TableLM
from motes.smc import History


def with_history(posterior, ancestors, resampled, log_weights=None):
    steps, slots = np.shape(ancestors)
    rows = (
        np.full((steps, slots), -np.log(slots))
        if log_weights is None
        else np.tile(log_weights, (steps, 1))
    )
    history = History(
        np.full(steps, float(slots)),
        np.array(resampled),
        np.zeros(steps),
        np.array(ancestors),
        rows,
    )
    few = {
        name: getattr(posterior, name)[:slots]
        for name in ("trajectories", "log_odds", "extracted", "log_density")
    }
    return changed(posterior, history=history, log_weights=rows[-1], **few)


def test_early_coalescence(good, found):
    slots = np.arange(16)
    ancestors = [slots, slots, slots * 0 + 3, *[slots] * 6]
    finding = found(with_history(good(), ancestors, [t == 2 for t in range(9)]))[
        "early coalescence"
    ]
    assert finding.seen.startswith(
        "all 16 living particles descend from one of the 16 at step 2 of 9;"
    )
    assert "some 11 would be left" in finding.seen  # 16 / 1.5
    assert "standard errors are undefined" in finding.why and "the weights decided" in finding.why
    assert (
        "particles (128 now)" in finding.change
        and "ess_threshold (0.5 now)" in finding.change
        and "temper" in finding.change
    )


def test_what_many_resamplings_leave_is_not_the_weights_doing(good, found):
    slots, random = np.arange(16), np.random.default_rng(3)
    ancestors = [slots, *np.sort(random.integers(0, 16, (99, 16)), axis=1)]
    finding = found(with_history(good(), ancestors, [t > 0 for t in range(100)]))[
        "early coalescence"
    ]
    assert "some 2 would be left" in finding.seen and "by chance alone" in finding.why


def test_how_far_one_lineage_goes(good, found):
    slots = np.arange(64)
    ancestors = [slots, slots, slots, slots // 16, slots, slots * 0, *[slots] * 3]
    resampled = [t in (3, 5) for t in range(9)]
    assert (
        "from one of the 64 at step 5 of 9"
        in found(with_history(good(), ancestors, resampled))["early coalescence"].seen
    )
    ancestors[5] = slots
    finding = found(with_history(good(), ancestors, resampled))["early coalescence"]
    assert (
        "from 4 (worth 4.0 of equal weight) of the 64 at step 3 of 9" in finding.seen
        and "undefined" not in finding.why
    )


def test_lineages_that_are_many_or_never_met_are_no_finding(good, found):
    slots = np.arange(64)
    assert "early coalescence" not in found(
        with_history(good(), [slots, slots // 12 * 12, slots], [False, True, False])
    )
    weights = np.where(slots == 3, 0.0, -np.inf)  # one particle alive is a matter of its weight
    alone = with_history(good(), [slots] * 9, [t == 2 for t in range(9)], weights)
    assert "early coalescence" not in found(alone) and "one heavy particle" in found(alone)


def test_a_reward_that_decides_at_the_first_step(declare, sample, found):
    log_odds = np.random.default_rng(5).normal(0, 8, 50)
    model = declare(
        lm=TableLM(lambda prefix: [0.02] * 50, eos=None),
        prm=FunctionReward(lambda x: log_odds[x.token_ids[0]] if x.depth == 1 else 0.0),
        target="odds",
        max_steps=8,
    )
    findings = found(sample(model, seed=2, particles=64))
    assert (
        "at step 1 of 8" in findings["early coalescence"].seen and "few first steps" not in findings
    )
    # what is then wrong shows in the weights
    patient = found(sample(model, seed=2, particles=64, ess_threshold=0.0))
    assert "early coalescence" not in patient and "degenerate weights" in patient


def test_resampling_at_every_step_is_not_early_coalescence(declare, sample, found):
    posterior = sample(declare(), resampling="multinomial", ess_threshold=1.0)
    assert posterior.history.resampled[1:].all() and not found(posterior)


def test_few_first_steps(declare, sample, found, good):
    finding = found(sample(declare(), particles=4))["few first steps"]
    assert "the weight of 4 particles descends from 4 first steps" in finding.seen
    one = found(sample(declare(), particles=1))["few first steps"]
    assert "1 first step," in one.seen and "none between one" in one.why
    assert "few first steps" not in found(good())
