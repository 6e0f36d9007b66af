"""Programs against exact enumeration and quadrature.

For every function f of what a program draws a filter with unbiased evidence has

    E[Z-hat sum_i W_i f(x_i)] = gamma(f),    runs that died counting as zero,

which independent runs estimate without bias. LIMIT = 4.9 standard errors: the tests compare fewer
than 250 means in all, so that a right program fails one of them with probability 3e-4; seeds are
fixed. Each planted fault exceeds 2 LIMIT by the same statistic.
"""

from __future__ import annotations

from collections import defaultdict
from math import exp, inf, log

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import table_programs as table

from motes import ppl
from motes.models import Sampling, TableLM
from motes.ppl.programs import program_runner, subinference
from motes.samplers import (
    AllParticlesDead,
    EntropicParticleFilter,
    ImportanceSampling,
    ParallelTempering,
    ParticleFilter,
    ParticleGibbs,
    PowerMetropolis,
    PowerSMC,
    Puri2025,
    ResampleMove,
    SuffixMetropolis,
    TemperedSMC,
    TwistedSMC,
)

LIMIT = 4.9
SAMPLERS = [
    ParticleFilter(particles=6),
    ParticleFilter(particles=6, proposal=Sampling(temperature=1.6)),
    ImportanceSampling(particles=6),
    ResampleMove(particles=5),
    TwistedSMC(particles=5, twist="look_ahead", successors=2),
    EntropicParticleFilter(particles=5, look_ahead=2),
    TemperedSMC(particles=6, ladder=(0.0, 0.4, 1.0)),
    PowerSMC(particles=6),
    ParticleGibbs(particles=4, chains=2, iterations=5, warmup=1),
    SuffixMetropolis(chains=2, iterations=8, warmup=1),
    PowerMetropolis(chains=2, iterations=8, warmup=1),
    ParallelTempering(chains=2, iterations=6, warmup=1),
]


def means(program, sampler, functions, runs, seed=0):
    """Means over runs of Z-hat sum_i W_i f(x_i), and their standard errors."""
    values = np.zeros((runs, len(functions)))
    for run in range(runs):
        try:
            posterior = sampler.run(program, seed=(seed, run))
        except AllParticlesDead:
            continue
        weights = np.exp(posterior.log_weights + posterior.log_evidence)
        for i, x in enumerate(posterior.trajectories):
            latents = {name: column[i] for name, column in posterior.latents.items()}
            values[run] += weights[i] * np.array(
                [function(x.token_ids, latents) for function in functions]
            )
    return values.mean(axis=0), values.std(axis=0, ddof=1) / runs**0.5


def z_scores(program, sampler, masses, runs, seed=0):
    """(mean - gamma) / standard error of the cells of 2% of the mass and more, of the rest, and of
    everything."""
    total = sum(masses.values())
    large = [cell for cell, mass in masses.items() if mass >= 0.02 * total]
    functions = [
        lambda tokens, latents, cell=cell: float(cell_of(tokens, latents) == cell) for cell in large
    ]
    functions += [
        lambda tokens, latents: float(cell_of(tokens, latents) not in large),
        lambda tokens, latents: 1.0,
    ]
    expected = np.array(
        [masses[cell] for cell in large]
        + [sum(mass for cell, mass in masses.items() if cell not in large), total]
    )
    mean, error = means(program, sampler, functions, runs, seed)
    return (mean - expected) / np.maximum(error, 1e-12)


def cell_of(tokens, latents):
    return tokens, int(latents.get("kind", 0))


# --- the built-in model as a program
# --------------------------------------------------------------------------------------------------


PLAIN = ppl.Program(table.solve, "?")
STEPS = ppl.Program(table.begin, "?", step=table.go_on, max_steps=table.MAX_STEPS)


@pytest.mark.long(quick=8)
@pytest.mark.parametrize(
    "sampler",
    SAMPLERS,
    ids=lambda sampler: f"{sampler.name}{'-hot' * (sampler.proposal is not None)}",
)
@pytest.mark.parametrize("program", [PLAIN, STEPS], ids=["whole", "steps"])
def test_a_program_draws_what_the_built_in_model_draws(program, sampler):
    """Same keys, same draws, same numbers: whatever holds of the one in law holds of the other."""
    for seed in range(3):
        known, found = sampler.run(table.built_in(), seed=seed), sampler.run(program, seed=seed)
        assert [x.token_ids for x in found.trajectories] == [
            x.token_ids for x in known.trajectories
        ]
        assert found.extracted == known.extracted
        for name in ("log_weights", "log_density"):
            np.testing.assert_allclose(
                getattr(found, name), getattr(known, name), rtol=1e-9, atol=1e-9
            )
        if known.log_evidence is not None:
            assert found.log_evidence == pytest.approx(known.log_evidence)
        assert found.cost.generated_tokens == known.cost.generated_tokens
        np.testing.assert_allclose(
            [x.sum() for x in found.log_odds], [x.sum() for x in known.log_odds]
        )


@pytest.mark.parametrize("beta", [0.3, 1.7])
def test_tempered_judgements_are_the_tempered_model(beta):
    def solve(question):
        x = ppl.start(table.LM, question)
        while x.open and x.depth < table.MAX_STEPS:
            x = table.written(x)
            numpyro.sample(f"ok_{x.depth}", ppl.judgement(table.PRM, x, power=beta), obs=1)
        return x.answer

    known, found = (
        ParticleFilter(particles=8).run(table.built_in(beta=beta)),
        ParticleFilter(particles=8).run(ppl.Program(solve, "?")),
    )
    np.testing.assert_allclose(found.log_weights, known.log_weights)
    assert found.log_evidence == pytest.approx(known.log_evidence)


def test_presets_and_prm_twists_are_for_the_built_in_model():
    with pytest.raises(
        ValueError, match="is a procedure for a StateSpaceModel, not for <Program solve"
    ):
        Puri2025(particles=4).run(PLAIN)
    with pytest.raises(ValueError, match="the twist 'prm' needs a StateSpaceModel"):
        TwistedSMC(particles=4, twist="prm").run(PLAIN)
    with pytest.raises(ValueError, match="ancestor sampling needs a StateSpaceModel"):
        ParticleGibbs(particles=4, ancestor_sampling=True).run(PLAIN)
    with pytest.raises(ValueError, match="checkpoint is for runs of a StateSpaceModel"):
        ParticleFilter(particles=4).run(PLAIN, checkpoint="run.json")


# --- latents, conditions, several reward models
# ----------------------------------------------------------------------------------------


def kinds(question):
    """A discrete latent that changes how far the reward model is believed, a coin per step, two
    reward models and a condition."""
    kind = int(numpyro.sample("kind", dist.Categorical(probs=np.array([0.5, 0.3, 0.2]))))
    x = ppl.start(table.LM, question)
    while x.open and x.depth < table.MAX_STEPS:
        x = table.written(x)
        numpyro.sample(f"ok_{x.depth}", ppl.judgement(table.PRM, x, power=0.5 * kind), obs=1)
        if kind < 2:
            numpyro.sample(f"other_{x.depth}", ppl.judgement(table.OTHER, x), obs=1)
    ppl.condition("sum", sum(x.token_ids) % 3 != 1)
    numpyro.sample("length", dist.Poisson(1.0 + kind), obs=x.depth)
    return x.answer


def kinds_in_steps(t, state):
    kind, x = state
    x = numpyro.sample(
        "step", ppl.step(table.LM, x, answer=table.first_token, stop_at_answer=False)
    )
    numpyro.sample("ok", ppl.judgement(table.PRM, x, power=0.5 * kind), obs=1)
    if kind < 2:
        numpyro.sample("other", ppl.judgement(table.OTHER, x), obs=1)
    if x.open and t < table.MAX_STEPS:
        return kind, x
    ppl.condition("sum", sum(x.token_ids) % 3 != 1)
    numpyro.sample("length", dist.Poisson(1.0 + kind), obs=x.depth)
    return ppl.Return(x.answer)


def begun(question):
    return int(
        numpyro.sample("kind", dist.Categorical(probs=np.array([0.5, 0.3, 0.2])))
    ), ppl.start(table.LM, question)


def masses_of_kinds():
    masses = {}
    for tokens, log_p in table.paths():
        if sum(tokens) % 3 == 1:
            continue
        for kind, p in enumerate((0.5, 0.3, 0.2)):
            total = log_p + log(p)
            total += 0.5 * kind * sum(table.log_rs(tokens)) if kind else 0.0
            total += sum(table.log_rs(tokens, table.other_log_odds)) if kind < 2 else 0.0
            rate, n = 1.0 + kind, len(tokens)
            total += n * log(rate) - rate - sum(log(i) for i in range(1, n + 1))
            if total > -inf:
                masses[tokens, kind] = exp(total)
    return masses


KINDS = {"whole": ppl.Program(kinds, "?"), "steps": ppl.Program(begun, "?", step=kinds_in_steps)}
FILTERS = [
    ParticleFilter(particles=2, ess_threshold=1),
    ParticleFilter(particles=3, ess_threshold=0.8, proposal=Sampling(temperature=1.6)),
    ResampleMove(particles=2, ess_threshold=1),
    TemperedSMC(particles=2, ladder=(0.0, 0.5, 1.0), moves=1),
    EntropicParticleFilter(particles=2, look_ahead=2),
]


@pytest.mark.statistics
@pytest.mark.parametrize(
    "sampler", FILTERS, ids=lambda sampler: f"{sampler.name}-{sampler.particles}"
)
@pytest.mark.parametrize("form", KINDS)
def test_latents_conditions_and_several_reward_models(form, sampler):
    """Twice as many runs as those in which the planted faults exceed 2 LIMIT."""
    assert (
        np.abs(z_scores(KINDS[form], sampler, masses_of_kinds(), runs=1000, seed=1)).max() < LIMIT
    )


def strict(question):
    """A continuous latent: how far the reward model is believed."""
    theta = numpyro.sample("theta", dist.Gamma(2.0, 2.0))
    x = ppl.start(table.LM, question)
    while x.open and x.depth < table.MAX_STEPS:
        x = table.written(x)
        numpyro.sample(f"ok_{x.depth}", ppl.judgement(table.PRM, x, power=theta), obs=1)
    return x.answer


@pytest.mark.statistics
def test_a_continuous_latent_against_quadrature():
    """Cells by trajectory, and the mean of theta in each: E[Z-hat W theta 1[x]] = p(x) int theta
    p(theta) L(x)^theta dtheta."""
    grid = (np.arange(4000) + 0.5) * 0.005
    density = 4 * grid * np.exp(-2 * grid) * 0.005
    cells = {}
    for tokens, log_p in table.paths():
        likelihood = (
            np.exp(grid * sum(table.log_rs(tokens)))
            if sum(table.log_rs(tokens)) > -inf
            else np.zeros_like(grid)
        )
        cells[tokens] = exp(log_p) * np.array([density @ likelihood, (density * grid) @ likelihood])
    total = sum(cells.values())
    large = [tokens for tokens, mass in cells.items() if mass[0] > 0.04 * total[0]]
    functions, expected = [lambda *_: 1.0, lambda _, latents: latents["theta"]], [*total]
    for tokens in large:
        functions += [
            lambda x, _, tokens=tokens: float(x == tokens),
            lambda x, at, tokens=tokens: at["theta"] * (x == tokens),
        ]
        expected += [*cells[tokens]]
    mean, error = means(
        ppl.Program(strict, "?"), ParticleFilter(particles=3, ess_threshold=1), functions, runs=700
    )
    assert np.abs((mean - expected) / error).max() < LIMIT


# --- sub-inference
# ------------------------------------------------------------------------------------------


def spelled(tokens):
    """In letters, which are no numbers that could be equal."""
    return "".join("abc"[token] for token in tokens)


def lemma(head):
    """What an inner program does: go on from a trajectory to its end."""
    x = head
    while x.open and x.depth < table.MAX_STEPS:
        x = table.written(x)
        numpyro.sample(f"ok_{x.depth}", ppl.judgement(table.PRM, x), obs=1)
    return x


def nested(question, particles=2):
    """The state-space model, all of whose steps but the first are a sub-inference."""
    x = table.written(ppl.start(table.LM, question))
    numpyro.sample("ok", ppl.judgement(table.PRM, x), obs=1)
    if x.open:
        x = ppl.infer("rest", ppl.Program(lemma, x), particles=particles, ess_threshold=1)
        numpyro.deterministic(
            "tokens", np.array([*x.token_ids, *[9] * table.MAX_STEPS][: table.MAX_STEPS])
        )
    return spelled(x.token_ids)


def masses_of_answers():
    masses = defaultdict(float)
    for tokens, log_p in table.paths():
        if (log_l := sum(table.log_rs(tokens))) > -inf:
            masses[spelled(tokens)] += exp(log_p + log_l)
    return masses


def nested_z_scores(sampler, runs, program=None):
    masses = masses_of_answers()
    total = sum(masses.values())
    large = [answer for answer, mass in masses.items() if mass > 0.03 * total]
    values = np.zeros((runs, len(large) + 1))
    for run in range(runs):
        try:
            posterior = sampler.run(program or ppl.Program(nested, "?"), seed=(3, run))
        except AllParticlesDead:
            continue
        z = exp(posterior.log_evidence)
        values[run] = [z * posterior.answers.get(answer, 0.0) for answer in large] + [z]
    expected = np.array([masses[answer] for answer in large] + [total])
    return (values.mean(axis=0) - expected) / (values.std(axis=0, ddof=1) / runs**0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler",
    [ParticleFilter(particles=2, ess_threshold=1), ImportanceSampling(particles=3)],
    ids=lambda s: s.name,
)
def test_sub_inference_is_properly_weighted(sampler):
    assert np.abs(nested_z_scores(sampler, runs=500)).max() < LIMIT


def test_sub_inferences_of_all_particles_share_batches():
    before = table.LM.cost.forward_passes
    posterior = ParticleFilter(particles=16).run(ppl.Program(nested, "?"), seed=0)
    assert posterior.cost.forward_passes <= table.MAX_STEPS
    assert table.LM.cost.forward_passes - before == posterior.cost.forward_passes
    assert posterior.cost.generated_tokens > 16 + 16


@pytest.mark.statistics
def test_a_chain_over_a_sub_inference_has_the_posterior():
    """Suffix Metropolis with an estimate in the place of the inner evidence: pseudo-marginal, and
    exact. Five standard errors by ESS."""
    masses = masses_of_answers()
    total = sum(masses.values())
    posterior = SuffixMetropolis(chains=8, iterations=250, warmup=10).run(
        ppl.Program(nested, "?"), seed=1
    )
    for answer, mass in masses.items():
        if mass > 0.05 * total:
            error = posterior.mixing[f"answer {answer}"].mcse
            assert abs(posterior.answers[answer] - mass / total) < 5 * error


def test_a_sub_inference_cannot_be_tempered():
    with pytest.raises(ValueError, match="contains a sub-inference, which cannot be tempered"):
        TemperedSMC(particles=4).run(ppl.Program(nested, "?"))


def test_a_sub_inference_under_handlers():
    def model():
        return ppl.infer("rest", ppl.Program(lemma, ppl.start(table.LM, "?")), particles=4)

    sites = numpyro.handlers.trace(numpyro.handlers.seed(model, 1)).get_trace()
    assert list(sites) == ["rest", "rest_possible", "rest_evidence"]
    weight = sites["rest_evidence"]["fn"].log_prob(sites["rest_evidence"]["value"])
    assert weight == pytest.approx(sites["rest"]["value"].log_evidence)
    with pytest.raises(
        NotImplementedError,
        match="the density of a sub-inference's result is not known, only its weight",
    ):
        numpyro.infer.util.log_density(numpyro.handlers.seed(model, 1), (), {}, {})


# --- faults planted on purpose
# ------------------------------------------------------------------------------------------


@pytest.mark.statistics
def test_a_forgotten_inner_weight_is_seen(monkeypatch):
    def careless(name, program, **settings):
        found = numpyro.sample(
            name,
            subinference.SubInference(program, settings["particles"], subinference.Resampling()),
        )
        ppl.condition(f"{name}_possible", found.log_evidence > -inf)
        return found.particle and found.particle.value

    monkeypatch.setattr(ppl, "infer", careless)
    assert (
        np.abs(nested_z_scores(ParticleFilter(particles=2, ess_threshold=1), runs=500)).max()
        > 2 * LIMIT
    )


@pytest.mark.statistics
def test_observations_weighed_again_are_seen(monkeypatch):
    """A program run again from its beginning comes by its old observations again."""
    plain = program_runner.Runner.__post_init__

    def forgetful(self):
        plain(self)
        self.passed = 0

    monkeypatch.setattr(program_runner.Runner, "__post_init__", forgetful)
    assert (
        np.abs(z_scores(KINDS["whole"], FILTERS[0], masses_of_kinds(), runs=500)).max() > 2 * LIMIT
    )


@pytest.mark.statistics
def test_a_condition_that_is_tempered_or_forgotten_is_seen(monkeypatch):
    plain = program_runner.Runner._meet

    def lenient(self, name, msg):
        if name != "sum":
            plain(self, name, msg)

    monkeypatch.setattr(program_runner.Runner, "_meet", lenient)
    assert (
        np.abs(z_scores(KINDS["whole"], FILTERS[0], masses_of_kinds(), runs=500)).max() > 2 * LIMIT
    )


def test_siblings_that_share_a_draw_are_seen(monkeypatch):
    """All particles draw their latent from one key: every mean is right, but the estimates vary as
    if there were one particle."""
    from motes.ppl.programs import propagation

    plain = propagation.ProgramSteps._keys
    monkeypatch.setattr(
        propagation.ProgramSteps,
        "_keys",
        lambda self, keys, runners, slots: {
            i: plain(self, keys, runners, slots)[slots[0]] for i in slots
        },
    )
    posterior = ParticleFilter(particles=16).run(KINDS["whole"], seed=0)
    assert len(set(posterior.latents["kind"])) == 1
    monkeypatch.undo()
    assert len(set(ParticleFilter(particles=16).run(KINDS["whole"], seed=0).latents["kind"])) > 1


def test_keys_of_draws_differ_within_a_generation():
    def model():
        values = [numpyro.sample(f"x_{i}", dist.Normal(0.0, 1.0)) for i in range(3)]
        numpyro.sample("y", dist.Normal(sum(values), 1.0), obs=0.0)
        return str(jax.numpy.argmax(jax.numpy.array(values)))

    latents = ParticleFilter(particles=8).run(ppl.Program(model)).latents
    assert len({float(value) for column in latents.values() for value in column}) == 24


# --- what a review found
# ------------------------------------------------------------------------------------------


def test_siblings_that_are_read_by_different_rules_stay_apart():
    """Kind 1 ends at its first step, kind 0 never does: half of the mass each, at every N."""
    endless = TableLM(lambda prefix: [1.0, 0.0], eos=1)

    def solve():
        kind = int(numpyro.sample("kind", dist.Bernoulli(0.5)))
        x = ppl.start(endless, "?")
        while x.open and x.depth < 2:
            x = numpyro.sample(
                f"step_{x.depth}", ppl.step(endless, x, answer=lambda x: "yes" if kind else None)
            )
            numpyro.factor(f"nothing_{x.depth}", 0.0)
        return f"{kind} {x.answer} {x.depth}"

    posterior = ParticleFilter(particles=64).run(ppl.Program(solve), seed=0)
    assert set(posterior.answers) == {"0 None 2", "1 yes 1"}
    again = ParticleFilter(particles=64).run(ppl.Program(table.solve, "?"), seed=0)
    assert len({id(x) for x in again.trajectories}) < 64  # and those read by one rule are one node


@pytest.mark.parametrize(
    "sampler",
    [
        ParticleFilter(particles=100),
        TemperedSMC(particles=100),
        TemperedSMC(particles=100, ladder=(0, 0.5, 1)),
    ],
)
def test_densities_of_given_and_substituted_values_are_part_of_every_target(sampler):
    """z ~ N(3 kind, 1) is 0: P(kind = 1) = 1 / (1 + exp(4.5)), Z = (1 + exp(-4.5)) / 2
    sqrt(2 pi)."""

    def model(inside):
        kind = int(numpyro.sample("kind", dist.Bernoulli(0.5)))
        with numpyro.handlers.substitute(data={"z": 0.0} if inside else {}):
            numpyro.sample("z", dist.Normal(3.0 * kind, 1.0))
        numpyro.factor("nothing", 0.0)
        return str(kind)

    for program in (ppl.Program(model, True), ppl.Program(model, False).given_values({"z": 0.0})):
        posterior = sampler.run(program, seed=1)
        log_z = log((1 + exp(-4.5)) / 2 / (2 * np.pi) ** 0.5)
        assert (
            posterior.log_evidence == pytest.approx(log_z, abs=5 * 0.1)
            and posterior.answers.get("1", 0.0) < 0.06
        )
        for kind, value in zip(posterior.latents["kind"], posterior.log_density, strict=True):
            assert value == pytest.approx(log(0.5) - 4.5 * kind - 0.5 * log(2 * np.pi), rel=1e-5)


def test_a_sub_inference_that_is_impossible_from_the_start_is_a_dead_particle():
    def inner(kind):
        ppl.condition("right", kind == 1)
        return int(numpyro.sample("y", dist.Bernoulli(0.5)))

    def outer():
        kind = int(numpyro.sample("kind", dist.Bernoulli(0.5)))
        return f"{kind} {ppl.infer('rest', ppl.Program(inner, kind), particles=2)}"

    posterior = ParticleFilter(particles=32).run(ppl.Program(outer), seed=0)
    assert set(posterior.answers) == {"1 0", "1 1"} and posterior.log_evidence == pytest.approx(
        log(0.5), abs=0.5
    )


def test_a_power_of_a_sub_inference_is_refused_by_every_sampler():
    with pytest.raises(ValueError, match="contains a sub-inference, which cannot be tempered"):
        ParticleFilter(particles=4).run(ppl.Program(nested, "?").tempered(0.5))


def test_names_are_unique_over_the_whole_run():
    def begin():
        return numpyro.sample("z_1", dist.Normal(0.0, 1.0))

    def step(t, state):
        return ppl.Return(numpyro.sample("z", dist.Normal(state, 1.0)))

    with pytest.raises(ValueError, match="site 'z_1' occurs twice"):
        ParticleFilter(particles=2).run(ppl.Program(begin, step=step))
