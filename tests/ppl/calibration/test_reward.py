"""What a calibrated reward model says, against the same in brute force. The fits are made by hand;
only one filter draws."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from math import exp, inf, log, prod

import numpy as np
import pytest
from judged import Recorder, tree

from motes.models import RewardModel, TableLM, Trajectory
from motes.models.identity import identify
from motes.ppl import Particle, StateSpaceModel
from motes.ppl.calibration import CalibratedReward
from motes.ppl.calibration.streams import unseen
from motes.samplers import ParticleFilter


def log_odds(x) -> float:
    return float(np.random.default_rng([7, *x.token_ids]).normal(0, 2))


def brute(reward, x) -> np.ndarray:
    """r_t under each draw held, on the natural scale, from the definition; shape (t, M)."""
    draws, labels = reward.calibration.evenly(reward.held), reward.calibration.labels
    rows = []
    for t, node in enumerate(x.path[1:], start=1):
        depth = (
            draws["depth_effect"][:, labels.depths.tolist().index(t)]
            if t in labels.depths
            else None
        )
        if depth is None:
            depth = draws["sigma_depth"] * unseen(reward.calibration.seed, reward.held, t)
        if x.question in labels.questions:
            problem = draws["problem_effect"][:, labels.questions.index(x.question)]
        else:
            problem = draws["sigma_problem"] * unseen(reward.calibration.seed, reward.held)
        s = 1 / (
            1
            + np.exp(
                -(
                    draws["intercept"]
                    + draws["slope"] * np.clip(reward.prm.fn(node), -15, 15)
                    + depth
                    + problem
                )
            )
        )
        rows.append(
            draws["false_negative"] + (1 - draws["false_positive"] - draws["false_negative"]) * s
        )
    return np.array(rows)


@pytest.mark.parametrize("question", ["first?", "second? \u00e4", "never seen?"])
@pytest.mark.parametrize("held", [1, 5, 12])
def test_the_definition(make_calibration, question, held):
    reward = CalibratedReward(Recorder(log_odds), make_calibration(), held=held)
    nodes = tree(question, 5)
    for x, score in zip(nodes, reward.score(nodes), strict=True):
        r = brute(reward, x)
        g = r.prod(axis=0).mean() / r[:-1].prod(axis=0).mean()
        assert score == pytest.approx(log(g / (1 - g)), abs=1e-12)


def test_factors_multiply_to_the_averaged_product(make_calibration):
    reward = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
    *_, x = tree("never seen?", 6)
    scores = reward.score(x.path[1:])
    r = brute(reward, x)
    assert -np.logaddexp(0, -scores).sum() == pytest.approx(log(r.prod(axis=0).mean()), abs=1e-12)
    np.testing.assert_allclose(reward.log_products(x), np.log(r).sum(axis=0), atol=1e-12)
    # a product of averages is another thing
    assert abs(log(r.prod(axis=0).mean()) - np.log(r.mean(axis=1)).sum()) > 0.1


def test_batches_do_not_matter_and_nothing_is_asked_twice(make_calibration):
    nodes = tree("first?", 4)
    at_once = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
    expected = at_once.score(nodes)
    assert [len(batch) for batch in at_once.prm.batches] == [len(nodes)]
    for order in (
        range(len(nodes)),
        reversed(range(len(nodes))),
        np.random.default_rng(0).permutation(len(nodes)),
    ):
        one_by_one = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
        for i in order:
            assert one_by_one.score([nodes[i]]) == expected[i]
        asked = [x for batch in one_by_one.prm.batches for x in batch]
        assert len(asked) == len({id(x) for x in asked}) == len(nodes)
        assert one_by_one.cost == one_by_one.prm.cost
    leaves = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
    np.testing.assert_array_equal(
        leaves.score([*nodes[-16:], nodes[-1]]), [*expected[-16:], expected[-1]]
    )
    # their ancestors in the same batch
    assert [len(batch) for batch in leaves.prm.batches] == [len(nodes)]
    assert leaves.score([]).shape == (0,)


def test_what_is_remembered_goes_with_the_trajectory(make_calibration):
    reward = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
    nodes = tree("first?", 3)
    reward.score(nodes)
    reward.prm.batches.clear()
    del nodes
    assert len(reward._scores) == len(reward._log_products) == 0


@pytest.mark.parametrize("slope", [1e-3, 1.0, 40.0])
def test_extreme_scores_are_clipped_and_do_not_cancel(make_calibration, slope):
    """With error rates of 1e-300, r differs from 1 by exp(-600), which 1 - r cannot hold."""
    draws = {name: np.zeros_like(values) for name, values in make_calibration().draws.items()}
    draws |= {
        "slope": np.full((2, 6), slope),
        "false_positive": np.full((2, 6), 1e-300),
        "false_negative": np.full((2, 6), 1e-300),
    }
    table = {0: -inf, 1: -800.0, 2: 800.0, 3: inf}
    reward = CalibratedReward(
        Recorder(lambda x: table[x.step_token_ids[0]]), make_calibration(draws=draws), held=12
    )
    np.testing.assert_allclose(
        reward.score(tree("first?", 1, branches=4)),
        np.array([-15, -15, 15, 15]) * slope,
        rtol=1e-14,
    )


def test_error_rates_bound_the_scores(make_calibration):
    calibration = make_calibration()
    reward = CalibratedReward(
        Recorder(lambda x: inf if x.step_token_ids[0] else -inf), calibration, held=12
    )
    nodes = tree("first?", 1)
    low, high = 1 / (1 + np.exp(-reward.score(nodes)))
    assert low > calibration.draws["false_negative"].mean()
    assert high < 1 - calibration.draws["false_positive"].mean()


def test_what_was_never_seen(make_calibration):
    first, second = (
        CalibratedReward(Recorder(log_odds), make_calibration(seed=seed), held=12)
        for seed in (3, 4)
    )
    nodes = tree("first?", 2)
    # all seen: the seed plays no part
    np.testing.assert_array_equal(first.score(nodes), second.score(nodes))
    new = tree("never seen?", 3)
    assert np.all(first.score(new) != second.score(new))
    np.testing.assert_array_equal(first.score(new), first.score(tree("nor this?", 3)))
    np.testing.assert_array_equal(
        first.score(new),
        CalibratedReward(Recorder(log_odds), make_calibration(), held=12).score(new),
    )


def test_numbers_for_what_was_never_seen_fill_the_normal_law():
    """One in each of the equal parts of the law, in any order; so the mean is 0 to 1/sqrt(12) of a
    part's width."""
    from scipy.special import ndtr

    for depth in (0, 5, 6):
        z = unseen(1, 100, depth)
        np.testing.assert_array_equal(np.sort((ndtr(z) * 100).astype(int)), np.arange(100))
    # 5 standard errors: fails by chance with 6e-7
    assert abs(np.corrcoef(unseen(1, 400, 5), unseen(1, 400, 6))[0, 1]) < 0.25
    assert not np.array_equal(unseen(1, 100), unseen(2, 100))


@pytest.mark.slow
def test_a_fresh_process_says_the_same(make_calibration, tmp_path):
    calibration = make_calibration()
    calibration.to_datatree().to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    code = """
import json, sys, jax, numpy as np, xarray
jax.config.update("jax_enable_x64", True)  # another setting than here
from motes.models import FunctionReward, Trajectory
from motes.ppl.calibration import CalibratedReward
x = Trajectory(question="never seen?")
for token in range(6):
    x = x.child("", (token,), logprob=0.0, proposal_logprob=0.0)
prm = FunctionReward(lambda x: float(x.depth) - 2.5, name="recorder")
with xarray.open_datatree(sys.argv[1], engine="h5netcdf") as tree:
    print(json.dumps(CalibratedReward.from_datatree(prm, tree, held=12).score(x.path[1:]).tolist()))
"""
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "fit.nc")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    x = tree("never seen?", 6, branches=1)[-1]
    here = CalibratedReward(Recorder(lambda x: x.depth - 2.5), calibration, held=12).score(
        x.path[1:]
    )
    np.testing.assert_array_equal(json.loads(told), here)


# --- under a state-space model
# ------------------------------------------------------------------------------------------


def next_probs(prefix):
    return np.random.default_rng([9, *prefix]).dirichlet([1.5, 1.5, 1.0])


def declared(prm) -> StateSpaceModel:
    """Three tokens of which 2 ends, at most four steps; the answer is how often token 1 occurs."""
    lm = TableLM(next_probs, eos=2)
    return StateSpaceModel(
        "never seen?",
        lm=lm,
        prm=prm,
        max_steps=4,
        stop_at_answer=False,
        answer=lambda x: str(x.token_ids.count(1)),
    )


def paths():
    """Every complete trajectory's token ids and prior probability."""
    for length in range(1, 5):
        for tokens in product(range(3), repeat=length):
            if 2 not in tokens[:-1] and (tokens[-1] == 2 or length == 4):
                yield tokens, prod(next_probs(tokens[:t])[tokens[t]] for t in range(length))


def spelled(tokens):
    """A trajectory of these tokens."""
    x = Trajectory(question="never seen?")
    for token in tokens:
        x = x.child(f"{token} ", (token,), logprob=0.0, proposal_logprob=0.0)
    return x


def averaged_product(r: np.ndarray) -> float:
    return float(r.prod(axis=0).mean())


def product_of_averages(r: np.ndarray) -> float:
    return float(r.mean(axis=1).prod())


def enumerated(reward, likelihood) -> dict[str | None, float]:
    """Unnormalised mass of every answer; trajectories that are cut off have none."""
    masses: dict[str | None, float] = {}
    for tokens, probability in paths():
        answer = str(tokens.count(1)) if tokens[-1] == 2 else None
        masses[answer] = masses.get(answer, 0.0) + probability * likelihood(
            brute(reward, spelled(tokens))
        )
    return masses


def test_the_declared_likelihood_is_the_averaged_product(make_calibration):
    reward = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
    model = declared(reward)
    for tokens, _ in paths():
        x = spelled(tokens)
        particle = Particle(x.close(finished=True), tuple(model.score(x.path[1:])))
        assert model.log_likelihood(particle) == pytest.approx(
            log(averaged_product(brute(reward, x))), abs=1e-12
        )


@pytest.mark.statistics
def test_a_filter_samples_that_posterior(make_calibration):
    """Z-hat times the answer's probability is unbiased for the answer's mass (methods of the
    filter's own exact tests).

    400 runs of 8 particles; five answers at 5 standard errors: fails by chance with probability
    3e-6 by the normal law. The product of averages lies further away than that, so that the test
    would see it.
    """
    reward = CalibratedReward(Recorder(log_odds), make_calibration(), held=12)
    sampler, model = ParticleFilter(particles=8), declared(reward)
    runs = [sampler.run(model, seed=seed) for seed in range(400)]
    z = []
    for answers in (enumerated(reward, averaged_product), enumerated(reward, product_of_averages)):
        estimates = np.array(
            [
                [exp(run.log_evidence) * run.answers.get(answer, 0.0) for answer in answers]
                for run in runs
            ]
        )
        errors = estimates.std(axis=0, ddof=1) / len(runs) ** 0.5
        z.append(np.abs((estimates.mean(axis=0) - [*answers.values()]) / errors).max())
    assert z[0] < 5 < z[1]


# --- bad input
# ------------------------------------------------------------------------------------------


def test_it_is_a_reward_model(make_calibration):
    reward = CalibratedReward(Recorder(log_odds), make_calibration(), held=3)
    assert isinstance(reward, RewardModel)
    assert reward.name == "recorder, calibrated on 9 steps"
    assert reward.score(tree("first?", 1)).dtype == np.float64
    assert "3 draws" in repr(reward)


def test_bad_input(make_calibration):
    reward = CalibratedReward(Recorder(lambda x: float("nan")), make_calibration(), held=3)
    with pytest.raises(ValueError, match="at least one step"):
        reward.score([Trajectory(question="?")])
    with pytest.raises(
        FloatingPointError, match="'recorder' gave a score that is NaN for <Trajectory"
    ):
        reward.score(tree("?", 1))
    with pytest.raises(ValueError, match="is of the reward model 'recorder', not of 'another'"):
        CalibratedReward(Recorder(log_odds, "another"), make_calibration())
    with pytest.raises(TypeError, match="prm must be a reward model"):
        CalibratedReward(None, make_calibration())  # type: ignore[arg-type]
    for held, error in ((0, ValueError), (13, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="held must be"):
            CalibratedReward(Recorder(log_odds), make_calibration(), held=held)


def test_a_calibration_belongs_to_what_its_reward_model_does(make_calibration):
    prm, opposite = Recorder(log_odds), Recorder(lambda x: -log_odds(x))
    calibration = make_calibration(mark=identify(prm).text)
    prm.score(tree("?", 2))  # what it remembers does not matter
    for kept in (calibration, type(calibration).from_datatree(calibration.to_datatree())):
        assert CalibratedReward(prm, kept, held=5).prm is prm
        with pytest.raises(
            ValueError, match="the calibration is of another reward model of this name: 'recorder "
        ):
            CalibratedReward(opposite, kept, held=5)
