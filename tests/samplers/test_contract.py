"""What every registered sampler keeps to. A new one cannot be registered without passing here.

How well each samples its target is tested elsewhere, by enumeration.
"""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass, replace

import numpy as np
import pytest

from motes import solve, solve_many
from motes.diagnostics.summary import summary
from motes.models import Cost, FunctionReward, Sampling, TableLM, Trajectory
from motes.ppl import Posterior
from motes.samplers import SAMPLERS, AllParticlesDead, Sampler, SteppedSampler, make_sampler
from motes.samplers.registry import settings_of

SMALL = {
    "particles": 6,
    "iterations": 5,
    "warmup": 2,
    "chains": 3,
    "starts": 4,
    "moves": 2,
    "expansions": 3,
    "answers": 3,
    "batch": 2,
}
VARIANTS = {
    "entropic_particle_filter": {"look_ahead": 2},
    "giannone2025": {"look_ahead": 2},
    "tempered_smc": {"waste_free": True},
    "twisted_smc": {"twist": "look_ahead", "successors": 2},
    "power_smc": {"ramp": 3},
    "rejection_smc": {"acceptances": 3, "trials": 5, "threshold": 0.5},
    "adaptive_particle_filter": {"wanted": 0.6, "least": 0.5, "resampling": "multinomial"},
    "persistent_pool": {"kept": 0.6, "rounds": 3, "power": 0.5},
    "auxiliary_particle_filter": {"rollouts": 3, "ahead": 1},
    "particle_gibbs": {"ancestor_sampling": True},
    "replica_exchange": {"cut": "horizon", "swaps": "alternating", "alphas": (1, 0.7, 0.2, 0)},
    "delayed_acceptance": {"draft_moves": 2, "cheap_prm": FunctionReward(lambda x: 0.5)},
    "parallel_tempering": {"kernel": "gibbs", "betas": (1.0, 0.4), "particles": 3},
    "mcts": {"leaf": "solution", "batch": 2, "rule": "puct"},
    "ab_mcts": {"nodes": "solution", "score_model": "mixed"},
}
CASES = {name: (name, {}) for name in SAMPLERS} | {
    f"{name}-otherwise": (name, settings) for name, settings in VARIANTS.items()
}
each_case = pytest.mark.parametrize(("name", "settings"), CASES.values(), ids=CASES)
# one of each kind in every run; the others are slow
KINDS = (
    "particle_filter",
    "importance_sampling",
    "tempered_smc",
    "suffix_metropolis",
    "best_of_n",
    "beam_search",
    "mcts",
    "ab_mcts",
)
CHAINS = (
    "particle_gibbs",
    "suffix_metropolis",
    "power_metropolis",
    "delayed_acceptance",
    "parallel_tempering",
    "replica_exchange",
)
ASK_FOR_PROBABILITIES = ("self_evaluation_beam", "phi_decoding", "momentum_uncertainty")
ASK_NO_REWARD_MODEL = ("phi_decoding",)
POPULATIONS = [name for name in SAMPLERS if name not in CHAINS]


def small(name, **settings) -> SteppedSampler:
    return make_sampler(
        name, **{key: value for key, value in SMALL.items() if key in settings_of(name)} | settings
    )


def same(first: Posterior, second: Posterior) -> bool:
    return (
        [(x.token_ids, x.finished, x.truncated) for x in first.trajectories]
        == [(x.token_ids, x.finished, x.truncated) for x in second.trajectories]
        and np.array_equal(first.log_weights, second.log_weights)
        and np.array_equal(first.log_density, second.log_density, equal_nan=True)
        and first.log_evidence == second.log_evidence
        and first.rates == second.rates
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_says_what_it_is(name, declare):
    kind = SAMPLERS[name]
    sampler = kind()
    assert (
        isinstance(sampler, Sampler)
        and is_dataclass(sampler)
        and all(field.default is not MISSING for field in fields(kind))
    )
    for word in (
        "Target:",
        "Guarantee:",
        "Evidence:",
        "Cost of a step",
        "Source:",
        "Attributes:",
        "Raises:",
    ):
        assert word in " ".join(kind.__doc__.split())  # wherever a line ends
    posterior = small(name).run(declare())
    assert posterior.sampler == name == kind.name
    assert (posterior.guarantee, posterior.evidence) in [(kind.guarantee, kind.evidence)]
    assert (
        posterior.paper == kind.paper
        and posterior.step_cost == kind.step_cost
        and posterior.target == "product"
    )
    assert kind.guarantee in kind.__doc__.split("Guarantee:")[1].split(".")[0]


@pytest.mark.long(quick=KINDS, rest="slow")
@each_case
def test_the_posterior_is_whole(name, settings, declare, tmp_path):
    model = declare(alpha=1.5, constraint=lambda x: x.token_ids[0] != 1)
    posterior = small(name, **settings).run(model, seed=0)
    n = len(posterior.trajectories)
    assert np.exp(posterior.log_weights).sum() == pytest.approx(1)
    assert sum(posterior.answers.values()) == pytest.approx(1)
    alive = posterior.log_weights > -np.inf
    assert all(
        not x.open for x, living in zip(posterior.trajectories, alive, strict=True) if living
    )
    if posterior.guarantee != "heuristic":
        assert all(posterior.log_density[alive] > -np.inf) and "1" not in posterior.answers
    assert (
        posterior.cost.generated_tokens > 0
        and posterior.cost.prm_tokens > 0
        and posterior.cost.seconds > 0
    )
    assert (posterior.log_evidence is None) == (posterior.evidence == "none")
    assert (
        posterior.settings["alpha"] == 1.5
        and posterior.settings["max_steps"] == 5
        and posterior.settings["seed"] == 0
    )
    assert {*settings_of(name)} <= {*posterior.settings}
    json.dumps(summary(posterior), allow_nan=False)
    assert "<div" in posterior._repr_html_() and name in repr(posterior) + posterior._repr_html_()
    if name in CHAINS:
        assert (posterior.chains, n) == (3, 15) and posterior.history is None and posterior.rates
        assert {"log_density", "length"} < set(posterior.mixing)
        assert posterior.to_datatree()["posterior/answer"].shape == (3, 5)
    posterior.save(tmp_path / "posterior.nc")
    loaded = Posterior.load(tmp_path / "posterior.nc")
    assert same(posterior, loaded) and loaded.chains == posterior.chains
    assert loaded.answer_mcse == pytest.approx(posterior.answer_mcse, nan_ok=True)


@pytest.mark.long(quick=KINDS, rest="slow")
@each_case
def test_same_seed_same_draws_and_numbered_runs_are_others(name, settings, declare):
    sampler, model = small(name, **settings), declare()
    posterior, again = sampler.run(model, seed=8), sampler.run(model, seed=(8, 0))
    assert same(posterior, again)
    assert posterior.cost == replace(again.cost, seconds=posterior.cost.seconds)
    others = [sampler.run(model, seed=seed) for seed in (9, (8, 1))]
    # a small population may collapse to the same
    told = [(x.cost.generated_tokens, x.cost.prm_tokens) for x in (posterior, *others)]
    assert len(set(told)) > 1 or not any(same(posterior, other) for other in others)


class Stopping(TableLM):
    """Interrupted while it works on its n-th batch."""

    left = 0

    @property
    def stands_for(self):
        return TableLM(self.next_probs, eos=self.eos)

    def extend(self, *arguments, **settings):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().extend(*arguments, **settings)


@pytest.mark.long(quick=[f"4-{name}" for name in KINDS])
@each_case
@pytest.mark.parametrize("stop", [4, 7, 14])
def test_a_stopped_run_is_taken_up_as_if_it_had_not_stopped(
    name, settings, stop, declare, tmp_path
):
    sampler, whole = small(name, **settings), declare()
    expected = sampler.run(whole, seed=4)
    lm = Stopping(whole.lm.next_probs, eos=whole.lm.eos)
    lm.left = stop
    model = replace(whole, lm=lm)
    try:
        with pytest.warns(RuntimeWarning, match="interrupted after") if stop < 1000 else None:
            sampler.run(model, seed=4, checkpoint=tmp_path / "run.json")
    except (KeyboardInterrupt, pytest.fail.Exception):
        pass  # before the first step was done, or the run was over before
    resumed = sampler.run(model, seed=4, checkpoint=tmp_path / "run.json")
    assert same(expected, resumed)
    if expected.history is not None:
        for one, other in zip(expected.history, resumed.history, strict=True):
            assert np.array_equal(one, other)
    again = sampler.run(model, seed=4, checkpoint=tmp_path / "run.json")
    assert same(expected, again) and again.cost.generated_tokens == resumed.cost.generated_tokens
    with pytest.raises(ValueError, match="checkpoint of another run: its seed is"):
        sampler.run(model, seed=5, checkpoint=tmp_path / "run.json")


@pytest.mark.long(quick=("suffix_metropolis",), rest="slow")
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_can_be_continued(name, declare, tmp_path):
    longer = small(name, iterations=9).run(declare(), seed=2)
    small(name, iterations=4).run(declare(), seed=2, checkpoint=tmp_path / "run.json")
    assert same(
        longer, small(name, iterations=9).run(declare(), seed=2, checkpoint=tmp_path / "run.json")
    )


@pytest.mark.long(quick=8)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_budget_bounds_the_run_by_its_own_rule(name, declare):
    model, least = declare(max_steps=8), small(name).least_tokens
    with pytest.raises(
        ValueError,
        match=f"budget must be at least the {least} tokens of one step of all, not {least - 1}",
    ):
        small(name, budget=least - 1)
    ladder = {"ladder": (0, 0.3, 1)} if name == "tempered_smc" else {}
    posterior = small(name, budget=least + 1, **ladder).run(model, seed=0)
    assert posterior.settings["budget"] == least + 1 and posterior.settings["stopped"] == "budget"
    if name in CHAINS:  # whole iterations; in the warm-up it is no sample yet
        assert posterior.guarantee == "heuristic"
        more = small(name, budget=10_000, warmup=0, iterations=3).run(model, seed=0)
        assert more.guarantee == "invariant" and len(more.trajectories) == 9
    elif name == "importance_sampling":
        assert (posterior.guarantee, posterior.evidence) == ("consistent", "consistent")
        assert (
            not any(x.open for x in posterior.trajectories) and len(posterior.trajectories) % 6 == 0
        )
        assert len(small(name, budget=1000).run(model, seed=0).trajectories) > 60
    else:
        assert (posterior.guarantee, posterior.evidence, posterior.log_evidence) == (
            "heuristic",
            "none",
            None,
        )
        # those that are short enough: no fair sample of runs
        spared = small(name, budget=100_000, **ladder).run(model, seed=0)
        assert (spared.guarantee, spared.evidence) == ("heuristic", "none")
        assert same(
            replace(spared, log_evidence=None),
            replace(small(name, **ladder).run(model, seed=0), log_evidence=None),
        )
        assert (
            posterior.cost.generated_tokens
            < small(name, **ladder).run(model, seed=0).cost.generated_tokens
        )
    assert sum(posterior.answers.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["importance_sampling", "suffix_metropolis", "particle_filter"])
def test_a_budget_needs_a_model_that_counts(name, declare):
    class Uncounted(TableLM):
        @property
        def cost(self):
            return Cost()

        @cost.setter
        def cost(self, value):
            pass

    model = declare(lm=Uncounted(lambda prefix: [0.4, 0.4, 0.2], eos=2))
    with pytest.raises(
        ValueError,
        match=(
            r"a budget needs a language model that counts cost\.generated_tokens, and 'table' "
            r"does not"
        ),
    ):
        small(name, budget=50).run(model)


@pytest.mark.long(quick=3)
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("stop", [9, 16, 24])
def test_a_budget_does_not_care_where_a_run_was_stopped(name, stop, declare, tmp_path):
    settings = {"budget": 150, "warmup": 0, "iterations": 10_000}
    expected = small(name, **settings).run(declare(), seed=4)
    whole = declare()
    lm = Stopping(whole.lm.next_probs, eos=whole.lm.eos)
    lm.left = stop
    with suppress(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        small(name, **settings).run(replace(whole, lm=lm), seed=4, checkpoint=tmp_path / "run.json")
    assert same(
        expected, small(name, **settings).run(whole, seed=4, checkpoint=tmp_path / "run.json")
    )


def test_blocks_drawn_under_a_budget_stay_what_they_are(declare, tmp_path):
    path = tmp_path / "run.json"
    bounded = small("importance_sampling", budget=100).run(declare(), checkpoint=path)
    freed = small("importance_sampling").run(declare(), checkpoint=path)
    assert (
        len(freed.trajectories) == len(bounded.trajectories) > 6 and freed.evidence == "consistent"
    )


def test_settings_say_what_steps_were_drawn_from(declare):
    model = declare(alpha=4.0, prior=Sampling(temperature=2.0))
    names = ("power_smc", "power_metropolis", "particle_filter")
    temperatures = {
        name: small(name).run(model).settings["proposal"]["temperature"] for name in names
    }
    assert temperatures == {"power_smc": 0.5, "power_metropolis": 0.5, "particle_filter": 2.0}
    ramp = small("power_smc", ramp=3).run(model).settings["proposal"]
    assert [each["temperature"] for each in ramp] == pytest.approx([1.0, 2 / 3, 0.5])


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("tempered_smc", "ladder", np.linspace(0, 1, 4)),
        ("parallel_tempering", "betas", np.array([1, 0.5])),
    ],
)
def test_numbers_may_come_as_arrays(name, key, value, declare, tmp_path):
    posterior = small(name, **{key: value}).run(declare(), checkpoint=tmp_path / "run.json")
    assert posterior.settings[key] == value.tolist()
    assert same(
        posterior,
        small(name, **{key: tuple(value)}).run(declare(), checkpoint=tmp_path / "run.json"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["puri2025", "giannone2025"])
def test_first_steps_of_published_filters_are_counted_before_they_are_selected(name, declare):
    """At N = 1 nothing is selected; at 40, trajectories of one eve share their first step, and
    copies do not count as eves."""
    counts = []
    for seed in range(30):
        posterior = small(name, particles=40).run(declare(max_steps=2), seed=seed)
        firsts = {}
        for eve, x in zip(posterior.eves, posterior.trajectories, strict=True):
            firsts.setdefault(eve, set()).add(x.token_ids[0])
        assert all(len(tokens) == 1 for tokens in firsts.values())
        counts.append(posterior.living_eves)
    assert np.mean(counts) < 0.632 * 40  # of 40 drawn with replacement, by equal weights even


@pytest.mark.slow
def test_ancestor_sampling_with_a_proposal_that_misses_something(declare):
    sampler = small(
        "particle_gibbs",
        ancestor_sampling=True,
        ess_threshold=1.0,
        proposal=Sampling(top_k=2),
        iterations=30,
    )
    posterior = sampler.run(declare(), seed=3)
    assert posterior.guarantee == "heuristic" and np.isfinite(posterior.log_density).all()


def test_a_checkpoint_knows_functions_by_what_they_do(declare, tmp_path):
    path = tmp_path / "run.json"
    sampler = small("particle_filter")
    sampler.run(declare(constraint=lambda x: x.depth <= 5), checkpoint=path)
    sampler.run(declare(constraint=lambda x: x.depth <= 5), checkpoint=path)
    for changes, what in (
        ({"constraint": lambda x: x.depth <= 6}, "constraint"),
        ({"answer": None}, "answer"),
        ({"constraint": None}, "constraint"),
    ):
        with pytest.raises(ValueError, match=f"checkpoint of another run: its {what} is"):
            sampler.run(
                declare(**{"constraint": lambda x: x.depth <= 5, **changes}), checkpoint=path
            )
    with pytest.raises(ValueError, match="its sampler is 'particle_filter', not 'power_smc'"):
        small("power_smc").run(declare(constraint=lambda x: x.depth <= 5), checkpoint=path)
    with pytest.raises(FileNotFoundError, match="checkpoint needs a folder that exists"):
        sampler.run(declare(), checkpoint=tmp_path / "nowhere" / "run.json")


QUESTIONS = ["first", "second", "third", "fourth"]


@pytest.mark.long(quick=3)
@each_case
def test_several_questions_are_solved_as_each_alone_in_shared_batches(name, settings, declare):
    settings = {key: value for key, value in SMALL.items() if key in settings_of(name)} | settings
    arguments = {"sampler": name, "max_steps": 5, **settings}
    whole = declare()
    alone = [
        solve(q, lm=whole.lm, prm=whole.prm, seed=(7, i), **arguments)
        for i, q in enumerate(QUESTIONS)
    ]
    passes = whole.lm.cost.forward_passes
    shared = declare()
    several = solve_many(QUESTIONS, lm=shared.lm, prm=shared.prm, seed=7, **arguments)
    for one, other, question in zip(alone, several, QUESTIONS, strict=True):
        assert same(one, other) and other.question == question
        assert other.cost.generated_tokens == one.cost.generated_tokens
        assert other.settings == one.settings
    assert shared.lm.cost.forward_passes < passes / 2
    assert (
        sum(posterior.cost.forward_passes for posterior in several) == shared.lm.cost.forward_passes
    )


class Silent:
    """A language model that writes, and tells nothing of probabilities."""

    name = "silent"

    def __init__(self, lm):
        self.lm = lm

    @property
    def cost(self) -> Cost:
        return self.lm.cost

    def start(self, question) -> Trajectory:
        return self.lm.start(question)

    def extend(self, trajectories, keys, *, sampling=None, prior=None):
        drawn = self.lm.extend(trajectories, keys, sampling=sampling, prior=prior)
        unknown = {"logprob": np.nan, "proposal_logprob": np.nan}
        return [
            x.parent.child(
                x.step_text, x.step_token_ids, **unknown, finished=x.finished, truncated=x.truncated
            )
            for x in drawn
        ]


@pytest.mark.long(quick=12)
@each_case
def test_hosts_that_tell_no_probabilities_serve_where_none_is_needed(name, settings, declare):
    model = declare()
    silent, sampler = replace(model, lm=Silent(model.lm)), small(name, **settings)
    if settings.get("ancestor_sampling"):
        with pytest.raises(
            ValueError,
            match=(
                "ancestor sampling needs a language model with a method `logprob`, and 'silent' "
                "has none"
            ),
        ):
            sampler.run(silent)
        return
    if name in ASK_FOR_PROBABILITIES:
        with pytest.raises(ValueError, match="needs the probability of every step"):
            sampler.run(silent)
        return
    told, untold = sampler.run(model, seed=1), sampler.run(silent, seed=1)
    assert [x.token_ids for x in told.trajectories] == [x.token_ids for x in untold.trajectories]
    assert told.log_weights == pytest.approx(untold.log_weights, abs=1e-12)
    if sampler.guarantee != "heuristic":
        with pytest.raises(
            ValueError,
            match=(
                "a power target .* needs the probability of every step, and the language model "
                "'silent' does not"
            ),
        ):
            sampler.run(replace(silent, alpha=2.0))
        with pytest.raises(
            ValueError, match="a proposal other than the prior needs the probability of every step"
        ):
            replace(sampler, proposal=Sampling(temperature=2.0)).run(silent)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_proposal_that_misses_part_of_the_prior_is_heuristic(name, declare):
    posterior = small(name, proposal=Sampling(top_k=2)).run(declare())
    assert (posterior.guarantee, posterior.evidence) == ("heuristic", "none")


@pytest.mark.long(quick=8)
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ASK_NO_REWARD_MODEL])
def test_all_dead_is_an_error_that_names_the_step(name, declare):
    model = declare(
        lm=TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=2),
        prm=FunctionReward(lambda x: -np.inf if x.depth >= 2 else 0.0),
    )
    with pytest.raises(AllParticlesDead, match="particles are dead at step"):
        small(name).run(model)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_reward_that_is_not_a_number_is_an_error_that_names_the_model(name, declare):
    with pytest.raises(
        FloatingPointError, match="reward model 'function' gave a score that is NaN"
    ):
        small(name).run(declare(prm=FunctionReward(lambda x: np.nan if x.depth > 1 else 0.0)))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"proposal": 0.8}, "proposal must be a Sampling"),
        ({"budget": 0}, "budget must be at least 1"),
        ({"particles": 0}, "particles must be at least"),
        ({"particles": 2.5}, "particles must be an integer"),
        ({"resampling": "systemic"}, "resampling must be one of"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"chains": 0}, "chains must be at least 1"),
        ({"starts": 0}, "starts must be at least 1"),
        ({"moves": 0}, "moves must be at least 1"),
        ({"twist": "sideways"}, "twist must be one of prm, look_ahead, or a function"),
        ({"floor": 0.0}, "floor must be a finite number in"),
        ({"strength": np.nan}, "strength must be a finite number of at least 0, not nan"),
        ({"successors": 0}, "successors must be at least 1"),
        ({"schedule": "cubic"}, "schedule must be one of"),
        ({"diversity": 2}, "diversity must be a number in"),
        ({"look_ahead": -1}, "look_ahead must be at least 0"),
        ({"ladder": (0, 0.5)}, "ladder must ascend from 0 to 1"),
        ({"target_ess": 1.0}, "target_ess must be a finite number in"),
        ({"betas": (1.0,)}, "betas must fall from 1"),
        ({"kernel": "hmc"}, "kernel must be one of suffix, gibbs"),
        ({"ramp": 0}, "ramp must be at least 1"),
        ({"every": 0}, "every must be at least 1"),
        ({"ancestor_sampling": "False"}, "ancestor_sampling must be True or False, not 'False'"),
        ({"waste_free": 1}, "waste_free must be True or False"),
    ],
)
def test_bad_settings_get_one_sentence(name, settings, message):
    [setting] = settings
    if setting not in settings_of(name):
        message = f"{setting} is not a setting of '{name}', which has"
    with pytest.raises((ValueError, TypeError), match=message):
        make_sampler(name, **settings)


def test_a_twist_that_is_zero_where_the_likelihood_is_not(declare):
    def twist(trajectory, log_odds):
        return -np.inf if trajectory.token_ids == (1,) else 0.0

    with pytest.raises(
        ValueError,
        match=(
            "the twist must be a positive number where the likelihood is not zero, but its log is "
            "-inf in <Traj"
        ),
    ):
        small("twisted_smc", twist=twist, particles=20).run(declare())
    with pytest.raises(
        TypeError, match="twist must map a trajectory and its log-odds to a number, not to 'a'"
    ):
        small("twisted_smc", twist=lambda trajectory, log_odds: "a").run(declare())
    with pytest.raises(
        TypeError, match="constraint must map a trajectory to True or False, not to None"
    ):
        small("twisted_smc").run(declare(constraint=lambda x: None))
    with pytest.raises(ValueError, match="the twist 'prm' needs a model with a reward model"):
        small("twisted_smc").run(declare(prm=None))


def test_what_several_questions_can_be_asked_for(declare):
    model = declare(lm=TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=2))

    class Harsh(FunctionReward):
        def score(self, trajectories):
            return np.array([-np.inf if x.question == "b" else 0.0 for x in trajectories])

    models = {"lm": model.lm, "prm": Harsh(lambda x: 0.0), "max_steps": 3, "particles": 4}
    with pytest.raises(AllParticlesDead):
        solve_many(["a", "b"], **models)
    kept = solve_many(["a", "b", "c"], dead="keep", at_once=1, **models)
    assert [type(each) for each in kept] == [Posterior, AllParticlesDead, Posterior]
    assert solve_many([], **models) == []
    for arguments, message in (
        ({"questions": "one"}, "questions must be several texts"),
        ({"questions": ["a"], "at_once": 0}, "at_once must be at least 1"),
        ({"questions": ["a"], "dead": "ignore"}, "dead must be 'raise' or 'keep'"),
        ({"questions": ["a"], "checkpoint": "x"}, "checkpoint is for one question"),
        ({"questions": ["a", ""]}, "question must not be empty"),
        ({"questions": ["a"], "iterations": 3}, "iterations is not a setting of 'particle_filter'"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            solve_many(**arguments)
