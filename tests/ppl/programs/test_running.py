"""How programs are run for many particles: what is asked when, what is refused, and what a
generation costs."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import table_programs as table
from numpyro.contrib.control_flow import scan
from numpyro.handlers import mask, scale, seed, trace

from motes import ppl
from motes.models import FunctionReward, TableLM
from motes.ppl import Posterior
from motes.samplers import AllParticlesDead, ParticleFilter, SuffixMetropolis

FILTER = ParticleFilter(particles=8)


def counting():
    """Models of a table that count what they are asked, in batches and rows."""
    asked = Counter()
    lm, prm = (
        TableLM(table.next_probs, eos=table.EOS),
        FunctionReward(lambda x: table.other_log_odds(x.token_ids)),
    )
    extend, score = lm.extend, prm.score

    def counted(kind, plain):
        def call(rows, *args, **kwargs):
            asked[kind] += 1
            asked[f"{kind} rows"] += len(rows)
            return plain(rows, *args, **kwargs)

        return call

    lm.extend, prm.score = counted("extend", extend), counted("score", score)
    return lm, prm, asked


def test_the_requests_of_all_particles_are_one_batch():
    lm, prm, asked = counting()

    def solve():
        x = ppl.start(lm, "?")
        while x.open and x.depth < 4:
            bold = numpyro.sample(f"bold_{x.depth}", dist.Bernoulli(0.5))
            x = numpyro.sample(f"step_{x.depth}", ppl.step(lm, x, stop_at_answer=False))
            numpyro.sample(f"ok_{x.depth}", ppl.judgement(prm, x, power=1.0 + float(bold)), obs=1)
        return str(x.depth)

    posterior = FILTER.run(ppl.Program(solve), seed=1)
    steps = max(x.depth for x in posterior.trajectories)
    assert asked["extend"] == asked["score"] == len(posterior.ess) == steps
    assert asked["score rows"] <= asked["extend rows"] <= 8 * steps
    assert posterior.latents["bold_0"].shape == (8,) and set(posterior.latents["bold_0"]) == {
        0.0,
        1.0,
    }
    assert np.isnan(
        posterior.latents["bold_3"][[x.depth < 4 for x in posterior.trajectories]]
    ).all()


def test_a_generation_in_step_form_costs_the_same_however_long_the_run():
    calls = Counter()

    def step(t, x):
        calls[t] += 1
        x = numpyro.sample("step", ppl.step(endless, x, stop_at_answer=False))
        numpyro.sample("ok", ppl.judgement(prm, x), obs=1)
        return x

    def whole():
        x = ppl.start(endless, "?")
        for t in range(1, 31):
            calls[t] += 1
            x = numpyro.sample(f"step_{t}", ppl.step(endless, x, stop_at_answer=False))
            numpyro.sample(f"ok_{t}", ppl.judgement(prm, x), obs=1)

    endless = TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=2)
    prm = FunctionReward(lambda x: 0.5)
    FILTER.run(ppl.Program(lambda: ppl.start(endless, "?"), step=step, max_steps=30))
    assert max(calls.values()) == 3 * 8  # up to the draw, up to the score, up to the next draw
    calls.clear()
    FILTER.run(ppl.Program(whole))
    assert calls[1] > 20 * calls[30] / 3


def test_states_of_the_step_form_may_be_anything():
    def begin(question):
        return {"x": ppl.start(table.LM, question), "sum": 0}

    def step(t, state):
        x = numpyro.sample("step", ppl.step(table.LM, state["x"], stop_at_answer=False))
        jump = numpyro.sample("jump", dist.Normal(0.0, 1.0))
        total = state["sum"] + float(jump)
        numpyro.sample("seen", dist.Normal(total, 1.0), obs=0.5)
        return {"x": x, "sum": total} if x.open else ppl.Return(x.depth)

    posterior = FILTER.run(ppl.Program(begin, "?", step=step, max_steps=3), seed=2)
    assert set(posterior.latents) == {"jump_1", "jump_2", "jump_3"}
    assert set(posterior.answers) <= {"1", "2", "3", None}  # None: out of steps
    assert not np.isnan(posterior.log_density).any()


def test_max_steps_ends_the_step_form_and_stops_a_whole_program_that_goes_on():
    endless = TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=2)

    def step(t, x):
        return numpyro.sample("step", ppl.step(endless, x, stop_at_answer=False))

    def whole():
        x = ppl.start(endless, "?")
        while True:
            x = numpyro.sample(f"step_{x.depth}", ppl.step(endless, x, stop_at_answer=False))
            numpyro.factor(f"weight_{x.depth}", 0.0)

    posterior = FILTER.run(ppl.Program(lambda: ppl.start(endless, "?"), step=step, max_steps=5))
    assert posterior.answers == {None: pytest.approx(1.0)} and {
        x.depth for x in posterior.trajectories
    } == {5}
    with pytest.raises(
        ValueError, match=r"the program 'whole' goes on after 6 observations: raise max_steps"
    ):
        FILTER.run(ppl.Program(whole, max_steps=6))


def test_a_program_sees_no_handler_of_outside():
    program = ppl.Program(table.solve, "?")
    alone = FILTER.run(program, seed=3)
    with trace() as sites, seed(rng_seed=0), numpyro.handlers.scale(scale=3.0):
        inside = FILTER.run(program, seed=3)
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    assert list(sites) == ["x"] and sites["x"]["value"] is x
    np.testing.assert_array_equal(inside.log_weights, alone.log_weights)


@pytest.mark.statistics
def test_observations_may_be_masked_and_scaled_and_draws_may_not():
    def model(handler, drawn):
        with handler if drawn else nullcontext():
            x = numpyro.sample("x", dist.Bernoulli(0.5))
        with handler:
            numpyro.sample("y", dist.Bernoulli(0.25 + 0.5 * x), obs=1)
        return str(int(x))

    def z_of(handler):
        """E over the two values, by the evidence of many particles: it is exact for stratified
        draws of a coin."""
        return (
            ParticleFilter(particles=4000, ess_threshold=0)
            .run(ppl.Program(model, handler, False), seed=0)
            .log_evidence
        )

    assert z_of(scale(scale=2.0)) == pytest.approx(
        np.log(0.5 * (0.25**2 + 0.75**2)), abs=5 * 0.25 / 0.31 / 4000**0.5
    )
    assert z_of(mask(mask=False)) == 0
    for handler in (scale(scale=2.0), mask(mask=False)):
        with pytest.raises(
            ValueError,
            match=(
                "site 'x' is drawn: a mask or a scale has a meaning for a sampler on what is "
                "observed alone"
            ),
        ):
            FILTER.run(ppl.Program(model, handler, True))


def test_substituted_values_are_weighed_by_their_density():
    def model():
        with numpyro.handlers.substitute(data={"x": 2.0}):
            x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        kind = numpyro.sample("kind", dist.Bernoulli(0.5))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=0.0)
        return str(int(kind))

    posterior = FILTER.run(ppl.Program(model))
    assert posterior.log_evidence == pytest.approx(-4.0 - np.log(2 * np.pi), rel=1e-5)


def test_randomness_beside_the_sites_is_an_error_where_it_shows():
    state = np.random.default_rng(0)

    def fickle():
        x = numpyro.sample(f"x_{state.integers(10**9)}", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=0.0)

    with pytest.raises(
        RuntimeError, match="the program did not do the same again: it came to site 'x_"
    ):
        FILTER.run(ppl.Program(fickle))


def test_a_reward_model_that_is_made_anew_each_time_is_an_error():
    def model():
        x = numpyro.sample("step", ppl.step(table.LM, ppl.start(table.LM, "?")))
        numpyro.sample("ok", ppl.judgement(FunctionReward(lambda _: 1.0), x), obs=1)

    with pytest.raises(
        RuntimeError,
        match="at site 'ok' it has another reward model, or another trajectory, each time",
    ):
        FILTER.run(ppl.Program(model))


def test_keys_that_a_program_asks_for_are_its_own_and_stay():
    def model():
        key, _ = numpyro.prng_key(), numpyro.prng_key()
        noise = float(jax.random.normal(key))
        numpyro.sample("y", dist.Normal(noise, 1.0), obs=0.0)
        numpyro.deterministic("noise", noise)
        return "done"

    posterior = FILTER.run(ppl.Program(model), seed=1)
    assert len(set(posterior.latents["noise"])) == 8 and np.isnan(posterior.log_density).all()


def nothing_drawn():
    numpyro.factor("weight", 1.0)


def never_allowed():
    ppl.condition("no", False)
    numpyro.sample("x", dist.Normal(0.0, 1.0))


def scanned():
    scan(lambda carry, _: (numpyro.sample("x", dist.Normal(carry, 1.0)), None), 0.0, jnp.arange(3))


def twice():
    numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("x", dist.Normal(0.0, 1.0))


def undefined():
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("weight", jnp.nan * x)


def unbounded():
    numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("weight", jnp.inf)


@pytest.mark.parametrize(
    ("program", "error", "said"),
    [
        (nothing_drawn, ValueError, "the program 'nothing_drawn' draws nothing"),
        (never_allowed, ValueError, "draws nothing: a condition is violated before it does"),
        (scanned, TypeError, "use Python's own loops and branches"),
        (twice, ValueError, "site 'x' occurs twice: names of sites must be unique"),
        (
            undefined,
            FloatingPointError,
            "the log-probability at site 'weight' is nan: it must be a number below infinity",
        ),
        (unbounded, FloatingPointError, "the log-probability at site 'weight' is inf"),
    ],
)
def test_what_cannot_be_run_gets_one_sentence(program, error, said):
    with pytest.raises(error, match=said):
        FILTER.run(ppl.Program(program))


def test_a_score_that_is_not_a_number_names_its_model():
    def model():
        x = numpyro.sample("step", ppl.step(table.LM, ppl.start(table.LM, "?")))
        numpyro.sample("ok", ppl.judgement(FunctionReward(lambda _: float("nan")), x), obs=1)

    with pytest.raises(
        FloatingPointError,
        match=r"the reward model 'function' gave a score that is NaN for <Trajectory",
    ):
        FILTER.run(ppl.Program(model))


def test_all_dead_is_said_and_a_violated_condition_ends_a_program():
    def model():
        x = numpyro.sample("x", dist.Bernoulli(0.5))
        ppl.condition("impossible", bool(x > 1))
        raise AssertionError("a program goes no further than a condition that it violates")

    with pytest.raises(AllParticlesDead, match="all 8 particles are dead at step 1"):
        FILTER.run(ppl.Program(model))


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (lambda: ppl.Program("solve"), TypeError, "function must be a function, not 'solve'"),
        (
            lambda: ppl.Program(table.begin, "?", step=3),
            TypeError,
            "step must be a function, not 3",
        ),
        (
            lambda: ppl.Program(table.solve, "?", max_steps=0),
            ValueError,
            "max_steps must be at least 1, not 0",
        ),
        (
            lambda: FILTER.run(table.solve),
            TypeError,
            "model must be a StateSpaceModel or a Program, not <function solve",
        ),
        (
            lambda: seed(lambda: ppl.infer("x", table.solve), 0)(),
            TypeError,
            "a sub-inference needs a Program",
        ),
        (
            lambda: seed(lambda: ppl.infer("x", ppl.Program(table.solve, "?"), particles=0), 0)(),
            ValueError,
            "particles must be at least 1",
        ),
    ],
)
def test_bad_input_gets_one_sentence(made, error, said):
    with pytest.raises(error, match=said):
        made()


def test_answers_by_what_is_returned():
    def model(value):
        numpyro.sample("x", dist.Bernoulli(0.5))
        return value

    for value, answer in (
        ("a", "a"),
        (None, None),
        (3, "3"),
        (2.5, "2.5"),
        (True, "True"),
        (jnp.array(4), "4"),
        (np.float64(0.5), "0.5"),
    ):
        assert set(FILTER.run(ppl.Program(model, value)).answers) == {answer}


def test_the_posterior_of_a_program_is_kept_like_any_other(tmp_path):
    def model(question):
        theta = numpyro.sample("theta", dist.Gamma(2.0, 2.0))
        where = numpyro.sample("plan/where", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        x = numpyro.sample(
            "step", ppl.step(table.LM, ppl.start(table.LM, question), answer=table.first_token)
        )
        numpyro.sample("ok", ppl.judgement(table.OTHER, x, power=theta), obs=1)
        numpyro.sample("y", dist.Normal(where, 1.0).to_event(1), obs=jnp.zeros(2))
        numpyro.deterministic("depth", x.depth)
        return x.answer

    for sampler in (FILTER, SuffixMetropolis(chains=2, iterations=5, warmup=0)):
        posterior = sampler.run(ppl.Program(model, "how?"), seed=1)
        assert posterior.question == "how?" and posterior.target == "program model"
        assert posterior.latents["plan/where"].shape == (len(posterior.trajectories), 2)
        tree = posterior.to_datatree()
        assert tree["posterior/theta"].dims == ("chain", "draw") and tree[
            "posterior/plan.where"
        ].dims[2:] == ("plan.where_dim_0",)
        assert "depth_" in tree["posterior"]  # the number of steps has that name
        posterior.save(tmp_path / "run.nc")
        again = Posterior.load(tmp_path / "run.nc")
        assert again.answers == posterior.answers and set(again.latents) == set(posterior.latents)
        for name, column in posterior.latents.items():
            np.testing.assert_array_equal(again.latents[name], column)
        assert "model" in repr(ppl.Program(model, "how?")) and posterior._repr_html_()


def test_the_cost_counts_all_models_of_a_program():
    lm, prm, _ = counting()
    other, _, _ = counting()

    def model():
        x = numpyro.sample("one", ppl.step(lm, ppl.start(lm, "?")))
        y = numpyro.sample("two", ppl.step(other, ppl.start(other, "!")))
        numpyro.sample("ok", ppl.judgement(prm, x), obs=1)
        return f"{x.token_ids} {y.token_ids}"

    program = ppl.Program(model)
    first, second = FILTER.run(program, seed=0), FILTER.run(program, seed=1)
    assert first.cost.generated_tokens == second.cost.generated_tokens == 16
    assert lm.cost.generated_tokens == other.cost.generated_tokens == 16
    assert 1 <= first.cost.prm_tokens <= 8
