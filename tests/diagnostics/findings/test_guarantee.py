from __future__ import annotations

from dataclasses import replace

import pytest
from posteriors import changed

from motes.models import Sampling, TableLM


@pytest.mark.parametrize(
    ("name", "exact"),
    [("puri2025", "particle_filter"), ("giannone2025", "entropic_particle_filter")],
)
def test_procedures_as_published(name, exact, good, found):
    finding = found(good(name))["no guarantee"]
    assert (
        "as published" in finding.seen
        and f"sampler='{exact}'" in finding.change
        and "no evidence" in finding.why
    )


def test_a_proposal_that_misses_part_of_the_prior(declare, sample, found):
    finding = found(sample(declare(), proposal=Sampling(top_k=2)))["no guarantee"]
    assert (
        "its proposal, temperature=1.0, top_p=1.0, top_k=2, cannot draw all that the prior can"
        in finding.seen
    )
    assert "nor its log-evidence" in finding.why
    assert "no guarantee" not in found(sample(declare(), proposal=Sampling(temperature=1.1)))
    assert "no guarantee" not in found(
        sample(declare(prior=Sampling(top_k=2)), proposal=Sampling(top_k=2))
    )


@pytest.mark.parametrize(
    ("name", "fires"),
    [("particle_filter", True), ("tempered_smc", True), ("importance_sampling", False)],
)
def test_a_budget(name, fires, declare, sample, found):
    findings = found(sample(declare(), name, budget=5000, particles=64))
    assert ("no guarantee" in findings) == fires
    assert not fires or "a budget of 5000 tokens" in findings["no guarantee"].seen


class Stopping(TableLM):
    """Interrupted while it works on one of its batches."""

    left = 0

    def extend(self, *arguments, **settings):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().extend(*arguments, **settings)


def test_chains_that_were_stopped_before_they_had_a_draw(declare, sample, found):
    model = declare()
    lm = Stopping(model.lm.next_probs, eos=2)
    lm.left = 200
    with pytest.warns(RuntimeWarning, match="interrupted"):
        posterior = sample(replace(model, lm=lm), "suffix_metropolis", warmup=200)
    assert "it was interrupted" in found(posterior)["no guarantee"].seen
    posterior = sample(model, "suffix_metropolis", warmup=500, budget=400)
    assert "stopped in their warm-up" in found(posterior)["no guarantee"].seen


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("name", ["particle_filter", "importance_sampling", "particle_gibbs"])
def test_a_run_that_holds_what_it_promises(name, good, found):
    assert "no guarantee" not in found(good(name))


def test_a_heuristic_run_without_a_reason_that_shows(good, found):
    assert (
        "its sampler promises nothing"
        in found(changed(good(), guarantee="heuristic"))["no guarantee"].seen
    )


def test_copies(good, found):
    copied = good().resampled(128)
    assert "the 128 draws are copies of " in found(copied)["copies"].seen
    assert "copies" not in found(good())
