from __future__ import annotations

from dataclasses import replace

import numpyro
import pytest
from table_programs import LM, go_on, written

from motes import ppl
from motes.models import TableLM
from motes.samplers import ParticleFilter, SuffixMetropolis

ENDINGS = {"unfinished particles", "truncated trajectories", "unread answers"}


class Stopping(TableLM):
    """Interrupted while it works on its third batch."""

    batches = 0

    def extend(self, *arguments, **settings):
        self.batches += 1
        if self.batches == 3:
            raise KeyboardInterrupt
        return super().extend(*arguments, **settings)


def test_a_good_run_ends_well(good, found):
    assert not ENDINGS & {*found(good())}


def test_truncated_trajectories(declare, sample, found):
    posterior = sample(declare(max_steps=3))
    finding = found(posterior)["truncated trajectories"]
    assert finding.seen == (
        f"{posterior.answers[None]:.2f} of the weight is on trajectories that were cut off, "
        "the longest after 3 steps"
    )
    assert "max_steps (3 now)" in finding.change


def test_a_budget_leaves_particles_open(declare, sample, found):
    finding = found(sample(declare(), budget=200))["unfinished particles"]
    assert "still open, stopped by its budget" in finding.seen
    assert finding.change == "raise budget (200 now), or lower particles (128 now)"


def test_an_interrupt_leaves_particles_open(declare, sample, found):
    model = declare()
    with pytest.warns(RuntimeWarning, match="interrupted after 2 steps"):
        posterior = sample(replace(model, lm=Stopping(model.lm.next_probs, eos=2)))
    assert "stopped by an interrupt" in found(posterior)["unfinished particles"].seen


def test_answers_that_cannot_be_read(declare, sample, found):
    posterior = sample(declare(answer=lambda x: "0" if x.token_ids[0] == 0 else None))
    finding = found(posterior)["unread answers"]
    assert finding.seen.startswith(
        f"{posterior.answers[None]:.2f} of the weight is on trajectories that have finished"
    )
    assert "`answer`" in finding.change


def begun(question):
    return ppl.start(LM, question)


def sometimes(t, x):
    x = written(x)
    if x.open:
        return x
    return ppl.Return("0" if x.token_ids[0] == 0 else None)


def latent():
    numpyro.deterministic("twice", 2 * numpyro.sample("x", numpyro.distributions.Normal(0, 1)))


def test_programs_that_return_none(found):
    particles = ParticleFilter(particles=64)
    some = found(particles.run(ppl.Program(begun, "?", step=sometimes, max_steps=3), seed=0))
    assert (
        "of the weight is on runs of the program that returned None" in some["unread answers"].seen
    )
    for sampler in (particles, SuffixMetropolis(iterations=40, warmup=0)):
        # an answer is not what it is for
        assert not ENDINGS & {*found(sampler.run(ppl.Program(latent), seed=0))}


def test_an_unfinished_program(found):
    posterior = ParticleFilter(particles=64, budget=70).run(
        ppl.Program(begun, "?", step=go_on, max_steps=3), seed=0
    )
    assert "unfinished particles" in found(posterior)
    whole = ParticleFilter(particles=64).run(
        ppl.Program(begun, "?", step=go_on, max_steps=3), seed=0
    )
    assert "unfinished particles" not in found(whole)
