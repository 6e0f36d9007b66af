"""Steps, judgements and conditions under NumPyro's own handlers, against densities worked out by
hand."""

from __future__ import annotations

from math import exp, inf, log, log1p, nan

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import table_programs as table
from numpyro.handlers import (
    block,
    condition,
    do,
    mask,
    replay,
    scale,
    scope,
    seed,
    substitute,
    trace,
)
from numpyro.infer import Predictive
from numpyro.infer.util import log_density

from motes import ppl
from motes.models import Cost, FunctionReward, Sampling, TableLM, Trajectory


def solve(question="?"):
    """The README's program."""
    x = ppl.start(table.LM, question)
    theta = numpyro.sample("strictness", dist.Gamma(2.0, 2.0))
    for t in range(4):
        if x.finished:
            break
        x = numpyro.sample(
            f"step_{t}", ppl.step(table.LM, x, answer=table.first_token, stop_at_answer=False)
        )
        numpyro.sample(f"ok_{t}", ppl.judgement(table.OTHER, x, power=theta), obs=1)
    return x.answer


def traced(model=solve, key=3):
    return trace(seed(model, key)).get_trace()


def drawn(sites):
    return {
        name: site["value"]
        for name, site in sites.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def long_key():
    """A seed with which the program takes two steps or more."""
    return next(key for key in range(20) if "step_1" in traced(key=key))


def by_hand(values):
    """log p(theta) + sum_t log p(x_t | x_1:t-1) + theta log r_t."""
    theta = float(values["strictness"])
    total = log(4 * theta) - 2 * theta
    for name, x in values.items():
        if name != "strictness":
            total += log(table.next_probs(x.token_ids[:-1])[x.token_ids[-1]])
            total += theta * table.log_r(table.other_log_odds(x.token_ids))
    return total


def test_the_log_density_is_the_sum_computed_by_hand():
    for key in range(8):
        values = drawn(traced(key=key))
        assert log_density(solve, (), {}, values)[0] == pytest.approx(by_hand(values), rel=1e-5)


def test_a_density_may_be_traced_and_differentiated_in_its_numbers():
    values = drawn(traced(key=long_key()))

    def of(theta):
        return log_density(solve, (), {}, {**values, "strictness": theta})[0]

    theta = values["strictness"]
    assert jax.jit(of)(theta) == pytest.approx(by_hand(values), rel=1e-5)
    step = 1e-4
    slope = (
        by_hand({**values, "strictness": theta + step})
        - by_hand({**values, "strictness": theta - step})
    ) / (2 * step)
    assert jax.grad(of)(theta) == pytest.approx(slope, rel=1e-2)


def test_the_same_key_draws_the_same_and_draws_follow_the_language_model():
    assert [x.token_ids for x in list(drawn(traced(key=5)).values())[1:]] == [
        x.token_ids for x in list(drawn(traced(key=5)).values())[1:]
    ]
    firsts = [traced(key=key)["step_0"]["value"].token_ids[0] for key in range(400)]
    expected = 400 * table.next_probs(())
    # Pearson's chi-squared with 2 degrees of freedom: above 13.8 with probability 0.001
    assert sum((np.bincount(firsts, minlength=3) - expected) ** 2 / expected) < 13.8


def test_handlers_do_what_they_do_with_numbers():
    key = long_key()
    sites = traced(key=key)
    values = drawn(sites)
    again = trace(replay(seed(solve, 99), sites)).get_trace()
    assert drawn(again) == values
    fixed = trace(substitute(seed(solve, 98), data=values)).get_trace()
    assert drawn(fixed) == values
    first = values["step_0"]
    conditioned = trace(condition(seed(solve, 97), data={"step_0": first})).get_trace()
    assert conditioned["step_0"]["is_observed"] and conditioned["step_0"]["value"] is first
    assert list(trace(scope(seed(solve, key), prefix="a")).get_trace()) == [
        f"a/{name}" for name in sites
    ]
    assert "ok_0" not in trace(block(seed(solve, key), hide=["ok_0"])).get_trace()
    intervened = trace(do(seed(solve, key), data={"step_0": first})).get_trace()
    assert all(
        site["value"].path[1] is first
        for name, site in intervened.items()
        if name.startswith("step_") and name[-1] in "123"
    )
    assert not intervened["step_0"]["is_observed"]


def test_mask_and_scale_change_densities_as_they_do_elsewhere():
    values = drawn(traced())
    whole = float(log_density(solve, (), {}, values)[0])
    assert log_density(scale(solve, scale=0.5), (), {}, values)[0] == pytest.approx(
        0.5 * whole, rel=1e-6
    )
    assert log_density(mask(solve, mask=False), (), {}, values)[0] == 0
    assert log_density(mask(solve, mask=jnp.array(True)), (), {}, values)[0] == pytest.approx(
        whole, rel=1e-6
    )

    def judged_by_half(question="?"):
        x = ppl.start(table.LM, question)
        x = numpyro.sample("step", ppl.step(table.LM, x))
        with scale(scale=0.5):
            numpyro.sample("ok", ppl.judgement(table.OTHER, x), obs=1)

    [x] = drawn(trace(seed(judged_by_half, 1)).get_trace()).values()
    expected = log(table.next_probs(())[x.token_ids[0]]) + 0.5 * table.log_r(
        table.other_log_odds(x.token_ids)
    )
    assert log_density(judged_by_half, (), {}, {"step": x})[0] == pytest.approx(expected, rel=1e-5)


def traced_by_jit():
    return jax.jit(lambda key: (seed(solve, key)(), 0)[1])(jax.random.key(0))


def mapped():
    return jax.vmap(lambda key: (seed(solve, key)(), 0)[1])(jax.random.split(jax.random.key(0), 2))


def predicted():
    return Predictive(solve, num_samples=3)(jax.random.key(0))


def in_a_plate():
    with numpyro.plate("several", 3):
        return numpyro.sample("x", ppl.step(table.LM, ppl.start(table.LM, "?")))


def several():
    return numpyro.sample("x", ppl.step(table.LM, ppl.start(table.LM, "?")), sample_shape=(2,))


def masked_in_part():
    with mask(mask=jnp.array([True, False])):
        return numpyro.sample("x", ppl.step(table.LM, ppl.start(table.LM, "?")))


@pytest.mark.parametrize(
    "refused",
    [
        traced_by_jit,
        mapped,
        predicted,
        seed(in_a_plate, 0),
        seed(several, 0),
        seed(masked_in_part, 0),
    ],
)
def test_what_would_stack_or_trace_trajectories_is_refused_in_one_sentence(refused):
    with pytest.raises(
        TypeError,
        match=(
            r"^a (trajectory is not an array: .* drawn one by one|step of a language model cannot "
            r"be drawn)"
        ),
    ):
        refused()


def test_a_step_without_a_key_says_what_is_missing():
    with pytest.raises(
        ValueError,
        match="needs a random key: run the program under numpyro.handlers.seed, or by a sampler",
    ):
        numpyro.sample("x", ppl.step(table.LM, ppl.start(table.LM, "?")))


def test_known_probabilities_and_scores_are_not_computed_again():
    lm, asked = TableLM(table.next_probs, eos=table.EOS), []
    lm.logprob = lambda *_, **__: pytest.fail("the probability was known")
    prm = FunctionReward(lambda x: asked.append(x) or table.other_log_odds(x.token_ids))

    def model():
        x = numpyro.sample("step", ppl.step(lm, ppl.start(lm, "?")))
        numpyro.sample("ok", ppl.judgement(prm, x), obs=1)
        numpyro.sample("again", ppl.judgement(prm, x), obs=0)

    values = drawn(trace(seed(model, 0)).get_trace())
    for _ in range(3):
        log_density(model, (), {}, values)
    assert lm.cost.generated_tokens == 1 and len(asked) == 1


def test_the_probability_of_a_step_drawn_elsewhere_is_asked_for():
    lm, hot = TableLM(table.next_probs, eos=table.EOS), Sampling(temperature=2.0)
    [x] = lm.extend([lm.start("?")], jax.random.split(jax.random.key(4), 1))
    fresh, token = lm.start("?"), x.token_ids[0]
    assert ppl.step(lm, fresh, stop_at_answer=False).log_prob(x) == pytest.approx(
        log(table.next_probs(())[token])
    )
    flat = np.sqrt(table.next_probs(()))
    assert ppl.step(lm, fresh, prior=hot, stop_at_answer=False).log_prob(x) == pytest.approx(
        log(flat[token] / flat.sum())
    )
    assert ppl.step(lm, lm.start("another"), stop_at_answer=False).log_prob(x) == -inf
    assert ppl.step(lm, x if x.open else fresh, stop_at_answer=False).log_prob(fresh) == -inf
    stopped = x.close(finished=True, answer="1")
    assert ppl.step(lm, fresh, stop_at_answer=False).log_prob(stopped) == (
        -inf if x.open else pytest.approx(log(table.next_probs(())[token]))
    )


def test_a_closed_trajectory_stays_as_it_is():
    ended = ppl.start(table.LM, "?").close(truncated=True)
    site = ppl.step(table.LM, ended)
    assert (
        site.sample(None) is ended
        and site.log_prob(ended) == 0
        and site.log_prob(ppl.start(table.LM, "?").close(finished=True)) == 0
    )
    assert site.log_prob(ppl.start(table.LM, "other")) == -inf


@pytest.mark.parametrize("power", [1.0, 0.3, 2.5, 0.0])
@pytest.mark.parametrize("log_odds", [-3.0, 0.0, 40.0, -inf, inf, 800.0])
def test_a_judgement_is_bernoulli_with_the_power_of_the_probability(power, log_odds):
    x = ppl.start(table.LM, "?").child("a", (0,), logprob=0.0, proposal_logprob=0.0)
    site = ppl.judgement(FunctionReward(lambda _: log_odds), x, power=power)
    r = 1 / (1 + exp(-log_odds)) if log_odds > -700 else 0.0
    right = power * table.log_r(log_odds) if power else 0.0
    assert site.log_prob(1) == pytest.approx(right)
    wrong = (
        log1p(-(r**power))
        if power and r < 1
        else (-log_odds if power == 1 and log_odds < inf else nan)
    )
    if log_odds in (inf,) or power == 0:
        assert site.log_prob(0) == -inf
    elif not np.isnan(wrong):
        assert site.log_prob(0) == pytest.approx(wrong, rel=1e-6)
    powered = ppl.judgement(FunctionReward(lambda _: log_odds), x, power=jnp.float32(power))
    np.testing.assert_allclose(
        powered.log_prob(jnp.array([1, 0])),
        [site.log_prob(1), site.log_prob(0)],
        rtol=2e-6,
        atol=1e-7,
    )
    traced_power = jax.jit(
        lambda p: ppl.judgement(FunctionReward(lambda _: log_odds), x, power=p).log_prob(1)
    )
    assert traced_power(power) == pytest.approx(right, rel=1e-5)
    assert powered.probs == pytest.approx(exp(right), rel=1e-5)


def test_judgements_can_be_drawn_and_enumerated():
    x = ppl.start(table.LM, "?").child("a", (0,), logprob=0.0, proposal_logprob=0.0)
    site = ppl.judgement(FunctionReward(lambda _: log(3.0)), x)
    draws = site.sample(jax.random.key(0), (4000,))
    assert abs(float(draws.mean()) - 0.75) < 5 * 0.0069  # five standard errors
    assert site.enumerate_support().tolist() == [0, 1]


def test_a_condition_is_zero_or_one():
    def model():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        ppl.condition("positive", x > 0)

    assert log_density(model, (), {}, {"x": jnp.float32(1.0)})[0] == pytest.approx(
        -0.5 - 0.5 * log(2 * np.pi)
    )
    assert log_density(model, (), {}, {"x": jnp.float32(-1.0)})[0] == -inf
    assert jax.jit(lambda x: log_density(model, (), {}, {"x": x})[0])(-1.0) == -inf
    with pytest.raises(TypeError, match="condition 'c' needs True or False, not 'yes'"):
        ppl.condition("c", "yes")


class Silent:
    name, cost = "silent", Cost()

    def start(self, question):
        return Trajectory(question=question)

    def extend(self, trajectories, keys, *, sampling=None, prior=None):
        return [
            x.child("a", (0,), logprob=nan, proposal_logprob=nan, finished=True)
            for x in trajectories
        ]


def test_a_language_model_that_does_not_tell_is_named():
    site = ppl.step(Silent(), ppl.start(Silent(), "?"))
    x = site.sample(jax.random.key(0))
    with pytest.raises(ValueError, match="'silent' does not tell how probable its steps are"):
        site.log_prob(x)
    other = site.trajectory.child("b", (1,), logprob=0.0, proposal_logprob=0.0)
    with pytest.raises(ValueError, match="'silent' has no method `logprob`"):
        site.log_prob(other)


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (
            lambda: ppl.step("lm", ppl.start(table.LM, "?")),
            TypeError,
            "lm must be a language model",
        ),
        (lambda: ppl.step(table.LM, "?"), TypeError, "trajectory must be a Trajectory"),
        (
            lambda: ppl.step(table.LM, ppl.start(table.LM, "?"), prior=0.8),
            TypeError,
            "prior must be a Sampling, not 0.8",
        ),
        (
            lambda: ppl.step(table.LM, ppl.start(table.LM, "?"), answer=3),
            TypeError,
            "answer must be a function",
        ),
        (
            lambda: ppl.judgement(table.PRM, ppl.start(table.LM, "?")),
            ValueError,
            "a trajectory of one step or more",
        ),
        (
            lambda: ppl.judgement(None, ppl.start(table.LM, "?")),
            TypeError,
            "needs a reward model and a Trajectory",
        ),
        (lambda: ppl.start("lm", "?"), TypeError, "lm must be a language model"),
        (
            lambda: ppl.step(table.LM, ppl.start(table.LM, "?")).log_prob(3),
            TypeError,
            "value of a step must be a Trajectory",
        ),
    ],
)
def test_bad_input_gets_one_sentence(made, error, said):
    with pytest.raises(error, match=said):
        made()


@pytest.mark.parametrize(
    ("power", "said"),
    [(-1.0, "at least 0, not -1.0"), (np.ones(2), "one number"), (nan, "at least 0, not nan")],
)
def test_powers_are_checked(power, said):
    x = ppl.start(table.LM, "?").child("a", (0,), logprob=0.0, proposal_logprob=0.0)
    with pytest.raises(ValueError, match=said):
        ppl.judgement(table.PRM, x, power=power)
