"""The samplers over real models, in float64: stopped, taken up, and several questions at once.

Draws are the same token for token; numbers agree to 1e-9, since batches of other shapes add up in
another order (float32 would agree to about 1e-4 a token, and then a draw near the border of two
tokens may differ).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import motes
from motes import solve, solve_many
from motes.models.pocket import problems
from motes.ppl import StateSpaceModel
from motes.samplers import ParticleFilter, ParticleGibbs, SuffixMetropolis, TemperedSMC

PROBLEMS = [next(problems("test", seed=seed, steps=3)) for seed in range(3)]
SAMPLERS = [
    ParticleFilter(particles=6, ess_threshold=0.9),
    TemperedSMC(particles=4, moves=1, ladder=(0, 0.1, 0.3, 1)),
    SuffixMetropolis(chains=2, iterations=4, warmup=1, starts=3),
    ParticleGibbs(
        chains=2,
        iterations=3,
        warmup=0,
        starts=3,
        particles=4,
        ess_threshold=1.0,
        ancestor_sampling=True,
    ),
]


@pytest.fixture(scope="module")
def pocket():
    return motes.load_lm("pocket", dtype="float64"), motes.load_prm("pocket", dtype="float64")


def agree(first, second):
    assert [x.token_ids for x in first.trajectories] == [x.token_ids for x in second.trajectories]
    assert first.log_weights == pytest.approx(second.log_weights, abs=1e-9)
    assert first.log_density == pytest.approx(second.log_density, abs=1e-9, nan_ok=True)
    assert first.answers == pytest.approx(second.answers, abs=1e-9)


class Stopping:
    """A language model that is interrupted at its n-th batch."""

    @property
    def stands_for(self):
        return self.lm

    def __init__(self, lm, left):
        self.lm, self.left = lm, left

    def __getattr__(self, name):
        return getattr(self.lm, name)

    def extend(self, *arguments, **settings):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.lm.extend(*arguments, **settings)


@pytest.mark.long(quick=("particle_filter",))
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
def test_a_stopped_run_is_taken_up(sampler, pocket, tmp_path):
    lm, prm = pocket
    model = StateSpaceModel(PROBLEMS[0].question, lm=lm, prm=prm, max_steps=8)
    expected = sampler.run(model, seed=1)
    with pytest.warns(RuntimeWarning, match="interrupted after"):
        sampler.run(
            replace(model, lm=Stopping(lm, 12 if sampler.name != "particle_filter" else 4)),
            seed=1,
            checkpoint=tmp_path / "run.json",
        )
    resumed = sampler.run(model, seed=1, checkpoint=tmp_path / "run.json")
    agree(expected, resumed)


@pytest.mark.long(quick=("particle_filter",))
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
def test_several_questions_share_forward_passes(sampler, pocket):
    lm, prm = pocket
    questions = [problem.question for problem in PROBLEMS]
    alone = [
        solve(q, lm=lm, prm=prm, sampler=sampler, max_steps=8, seed=(2, i))
        for i, q in enumerate(questions)
    ]
    before = lm.cost
    several = solve_many(questions, lm=lm, prm=prm, sampler=sampler, max_steps=8, seed=2)
    for one, other in zip(alone, several, strict=True):
        agree(one, other)
    assert (lm.cost - before).forward_passes < 0.7 * sum(
        posterior.cost.forward_passes for posterior in alone
    )


@pytest.mark.statistics
def test_ancestor_sampling_renews_the_beginning_of_the_path(pocket):
    """Without it the first step is updated where another particle's whole path is chosen; with it
    also where only the past is."""
    lm, prm = pocket
    model = StateSpaceModel(
        PROBLEMS[1].question, lm=lm, prm=prm, target="odds", beta=0.5, max_steps=8
    )
    plain = ParticleGibbs(
        chains=2, iterations=12, warmup=0, starts=4, particles=3, ess_threshold=1.0
    )
    rates = [
        replace(plain, ancestor_sampling=flag).run(model, seed=1).rates["update_by_step"]
        for flag in (False, True)
    ]
    assert np.mean(rates[1][:2]) > np.mean(rates[0][:2])
