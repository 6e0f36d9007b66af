"""Independent runs put together by their evidence, against direct computation and exact
enumeration."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
import pytest

from motes.models import FunctionReward, TableLM
from motes.ppl import Posterior, StateSpaceModel, pool
from motes.ppl.posterior.reading import from_datatree
from motes.samplers import (
    AllParticlesDead,
    ImportanceSampling,
    ParticleFilter,
    SuffixMetropolis,
    repeated,
)

NEXT = (0.5, 0.3, 0.2)


def model(reward=lambda x: 1.0 - x.token_ids[-1]):
    return StateSpaceModel(
        "?",
        lm=TableLM(lambda prefix: NEXT, eos=2),
        prm=FunctionReward(reward),
        max_steps=3,
        answer=lambda x: "abc"[x.token_ids[0]],
        stop_at_answer=False,
    )


def test_runs_are_weighed_by_their_evidence():
    pooled = repeated(ParticleFilter(particles=4), model(), runs=5, seed=3)
    alone = [ParticleFilter(particles=4).run(model(), seed=(3, number)) for number in range(5)]
    z = np.array([exp(run.log_evidence) for run in alone])
    assert [run.log_evidence for run in pooled.runs] == [run.log_evidence for run in alone]
    assert pooled.log_evidence == pytest.approx(log(z.mean()))
    assert pooled.log_evidence_mcse == pytest.approx(z.std(ddof=1) / z.mean() / 5**0.5)
    weights = (
        np.concatenate(
            [np.exp(run.log_weights) * value for run, value in zip(alone, z, strict=True)]
        )
        / z.sum()
    )
    np.testing.assert_allclose(np.exp(pooled.log_weights), weights)
    assert pooled.cost.generated_tokens == sum(run.cost.generated_tokens for run in alone)
    assert (
        pooled.history is None
        and len(pooled.trajectories) == 20
        and pooled.ess == pytest.approx(1 / np.sum(weights**2))
    )


def test_errors_are_those_of_a_ratio_of_means():
    """Against the jackknife, which agrees to first order: 40 runs leave less than 15% between them
    here."""
    pooled = repeated(ParticleFilter(particles=3), model(), runs=40, seed=1)
    z = np.array([exp(run.log_evidence) for run in pooled.runs])
    for answer in "abc":
        own = z * np.array([run.answers.get(answer, 0.0) for run in pooled.runs])
        left_out = (own.sum() - own) / (z.sum() - z)
        jackknife = np.sqrt(39 / 40 * np.sum((left_out - left_out.mean()) ** 2))
        assert pooled.answer_mcse[answer] == pytest.approx(jackknife, rel=0.15)
        assert pooled.answers[answer] == pytest.approx(own.sum() / z.sum())


@pytest.mark.statistics
def test_pooling_is_consistent_where_averaging_is_not():
    """One particle a run: equal weights would give the prior. Within 5 standard errors of the
    enumerated posterior."""
    pooled = repeated(ParticleFilter(particles=1), model(), runs=800, seed=2)
    masses = dict.fromkeys("abc", 0.0)

    def grow(tokens, mass):
        if tokens and (tokens[-1] == 2 or len(tokens) == 3):
            name = "abc"[tokens[0]] if tokens[-1] == 2 else "none"
            masses[name] = masses.get(name, 0.0) + mass
            return
        for token, p in enumerate(NEXT):
            grow((*tokens, token), mass * p / (1 + exp(token - 1.0)))

    grow((), 1.0)
    total = sum(masses.values())
    assert abs(pooled.log_evidence - log(total)) < 5 * pooled.log_evidence_mcse
    for answer in "abc":
        assert abs(pooled.answers[answer] - masses[answer] / total) < 5 * pooled.answer_mcse[answer]
    prior = np.mean([run.answers.get("a", 0.0) for run in pooled.runs])
    assert abs(prior - masses["a"] / total) > 5 * pooled.answer_mcse["a"]


def test_runs_that_died_count_as_zero():
    only_b = model(lambda x: 0.0 if x.token_ids[0] == 1 else -inf)
    pooled = repeated(ParticleFilter(particles=1), only_b, runs=30, seed=0)
    died = 30 - len(pooled.runs)
    assert 10 < died < 29 and pooled.settings["died"] == died
    z = np.concatenate([[exp(run.log_evidence) for run in pooled.runs], np.zeros(died)])
    assert pooled.log_evidence == pytest.approx(log(z.mean()))
    assert pooled.log_evidence_mcse == pytest.approx(z.std(ddof=1) / z.mean() / 30**0.5)
    with pytest.raises(AllParticlesDead):
        repeated(ParticleFilter(particles=2), model(lambda x: -inf), runs=3)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_pooled_runs_are_kept(ending, tmp_path):
    pooled = repeated(ParticleFilter(particles=4), model(), runs=3, seed=5)
    tree = pooled.to_datatree()
    assert (
        tree["population/answer"].sizes == {"chain": 3, "particle": 4}
        and tree["smc/ess"].sizes["chain"] == 3
    )
    np.testing.assert_allclose(tree["population/weight"].sum(), 1.0)
    shares = tree["population/weight"].sum("particle").values
    np.testing.assert_allclose(
        shares, np.exp([run.log_evidence - pooled.log_evidence for run in pooled.runs]) / 3
    )
    assert tree["population/eve"].shape == (3, 4)
    pooled.save(tmp_path / f"run.{ending}")
    pooled.save(tmp_path / f"run.{ending}")  # what is there is replaced
    again = Posterior.load(tmp_path / f"run.{ending}")
    assert [x.token_ids for x in again.trajectories] == [x.token_ids for x in pooled.trajectories]
    np.testing.assert_allclose(again.log_weights, pooled.log_weights, atol=1e-12)
    assert again.answers == pytest.approx(pooled.answers) and again.answer_mcse == pytest.approx(
        pooled.answer_mcse
    )
    for one, other in zip(again.runs, pooled.runs, strict=True):
        assert one.log_evidence == other.log_evidence and one.settings == {
            **other.settings,
            "seed": [5, one.settings["seed"][1]],
        }
        for field, kept in zip(one.history, other.history, strict=True):
            np.testing.assert_array_equal(field, kept)


def test_runs_of_different_lengths_are_padded():
    runs = [ParticleFilter(particles=1).run(model(), seed=(7, number)) for number in range(6)]
    lengths = [len(run.ess) for run in runs]
    assert len(set(lengths)) > 1
    tree = pool(runs).to_datatree()
    assert tree["runs/steps"].values.tolist() == lengths
    assert np.isnan(tree["smc/ess"].values).sum() == sum(
        max(lengths) - length for length in lengths
    )
    assert [len(run.ess) for run in from_datatree(tree).runs] == lengths


def test_equal_draws_have_the_weights_as_frequencies():
    posterior = ParticleFilter(particles=16, ess_threshold=0).run(model(), seed=1)
    equal = posterior.resampled(1600, seed=4)
    assert (
        np.ptp(equal.log_weights) == 0
        and equal.history is None
        and equal.settings["resampled"] == 1600
    )
    for x, weight in posterior.distinct.items():  # systematic: at most one off for each of the 16
        same = sum(
            (y.token_ids, y.finished) == (x.token_ids, x.finished) for y in equal.trajectories
        )
        assert abs(same - 1600 * weight) < 16
    assert (
        posterior.resampled(50, seed=4).trajectories == posterior.resampled(50, seed=4).trajectories
    )
    assert all(np.isnan(error) for error in equal.answer_mcse.values())
    for name in ("answer", "depth", "tokens"):
        weighted = posterior.to_datatree()
        mean = float((weighted[f"population/{name}"] * weighted["population/weight"]).sum())
        assert float(equal.to_datatree()[f"population/{name}"].mean()) == pytest.approx(
            mean, abs=0.05
        )
    for draws in (0, 2.5, True):
        with pytest.raises((TypeError, ValueError), match="draws must be (at least 1|an integer)"):
            posterior.resampled(draws)


def test_the_prior_is_the_run_itself_or_what_is_given():
    independent = ImportanceSampling(particles=8).run(model(), seed=0)
    assert independent.to_datatree()["prior/depth"].values.tolist() == [
        [x.depth for x in independent.trajectories]
    ]
    posterior = ParticleFilter(particles=8).run(model(), seed=0)
    assert "prior" not in posterior.to_datatree()
    prior = ImportanceSampling(particles=20).run(
        StateSpaceModel("?", lm=model().lm, max_steps=3, answer=model().answer), seed=1
    )
    tree = posterior.to_datatree(prior)
    assert tree["prior"].sizes == {"chain": 1, "draw": 20}
    with pytest.raises(
        ValueError, match="prior must be equally weighted draws for the same question"
    ):
        posterior.to_datatree(independent)


def test_what_cannot_be_pooled_is_said():
    run = ParticleFilter(particles=4).run(model(), seed=0)
    chains = SuffixMetropolis(chains=1, iterations=2, warmup=0).run(model(), seed=0)
    for runs, said in (
        ([], "at least one run"),
        ([run, run], "independent runs, and several have the seed"),
        ([chains], "pooled by their evidence, and one of 'suffix_metropolis' has none"),
        (
            [run, ParticleFilter(particles=5).run(model(), seed=1)],
            "the same number of trajectories",
        ),
        (
            [run, ParticleFilter(particles=4).run(model(lambda x: 0.0), seed=1)],
            "of one declaration, and their prm differs",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            pool(runs)
    with pytest.raises(ValueError, match="'suffix_metropolis' has none: chains repeat themselves"):
        repeated(SuffixMetropolis(), model(), runs=2)
    with pytest.raises(ValueError, match="runs must be at least 1, not 0"):
        repeated(ParticleFilter(), model(), runs=0)
