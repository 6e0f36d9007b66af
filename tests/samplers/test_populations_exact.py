"""All other samplers of populations against exact enumeration, as `test_particle_filter_exact` does it for the particle filter.

On a small table model, whose probabilities and rewards depend on the whole prefix and whose rewards are sometimes zero, every complete
trajectory x and its mass gamma(x) = p(x)^alpha L(x)^beta 1[C(x)] can be written down. A sampler whose evidence is unbiased is right if

    E[Z-hat sum_i W_i 1[x_i = x]] = gamma(x)       for every x, runs that died counting as zero,

at every N, which independent runs estimate without bias. Cells of less than 2% of the mass are pooled, the total is one more cell, and what has no
mass must never be given any. The adaptive ladder, whose evidence is only consistent, must have a bias that shrinks as 1/N.
The two published presets sample no declared target: they are compared with the exact law of their procedure, enumerated at N = 2, and
with what that tends to as N grows.

LIMIT = 5.2 standard errors. A case has at most 17 cells: by the normal law a right sampler fails one of the quick cases (fewer than 30) with
probability 1e-4, and one of those marked `statistics` (fewer than 90) with 3e-4; seeds are fixed. Every planted fault at the end must exceed 2 LIMIT
by the same statistic. That siblings draw independently is invisible to it, for E[Z-hat W(x)] is linear in the particles: this is read off
pairs of siblings, and off E[Z-hat^2].

Keys are hashed (`hashed_keys`): the samplers' own code runs, on random numbers of the same structure that do not cost a call of
JAX each. A case per sampler is run on the real keys too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import product
from math import log, prod

import hashed_keys
import numpy as np
import pytest
from hashed_keys import HashedKeys

from motes.models import FunctionReward, Sampling, TableLM
from motes.ppl import Final, Odds, Product, StateSpaceModel, StepwiseModel, Target
from motes.samplers import (
    AllParticlesDead,
    EntropicParticleFilter,
    Giannone2025,
    ImportanceSampling,
    ParticleFilter,
    PowerSMC,
    Puri2025,
    ResampleMove,
    SteppedSampler,
    TemperedSMC,
    TwistedSMC,
    resample_move,
    tempered_smc,
)
from motes.samplers.entropic import LookAhead, Scout
from motes.samplers.sampler import Draws
from motes.smc import Resampling, RunKeys, log_mean_exp, normalise

TOKENS, EOS, MAX_STEPS = 3, 2, 3
RUNS = 2000
LIMIT = 5.2
HOT = Sampling(temperature=1.7)


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch):
    hashed_keys.install(monkeypatch)


# --- a model whose probabilities and rewards depend on the whole prefix --------------------------------------------------------------


@cache
def next_probs(prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([1, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def log_odds(prefix: tuple[int, ...]) -> float:
    """Zero midway, certainty, and everything between."""
    random = np.random.default_rng([1011, *prefix])
    return random.choice([-np.inf, np.inf, random.normal(0, 1.5)], p=[0.2, 0.1, 0.7])


def finite_log_odds(prefix: tuple[int, ...]) -> float:
    return 3.0 if log_odds(prefix) == np.inf else log_odds(prefix)


def allowed(ids: tuple[int, ...]) -> bool:
    return sum(ids) % 3 != 1


class RememberingLM(TableLM):
    """Draws as `TableLM` does, and remembers what it has computed for a prefix."""

    def extend(self, trajectories, keys, *, sampling, prior):
        uniforms = hashed_keys.slot_uniforms(keys, len(trajectories)).at(0)
        return [self._draw(x, u, sampling, prior) for x, u in zip(trajectories, uniforms, strict=True)]

    def _draw(self, trajectory, u, sampling, prior):
        log_p, log_q, sums = _table(self.next_probs, trajectory.token_ids, sampling, prior)
        token = int(np.searchsorted(sums, u * sums[-1], side="right"))
        return trajectory.child(
            f"{token} ", (token,), logprob=float(log_p[token]), proposal_logprob=float(log_q[token]), finished=token == self.eos
        )


@cache
def _table(next_probs, prefix, sampling, prior):
    logits = np.log(next_probs(prefix))
    log_q = sampling.log_probs(logits)
    return prior.log_probs(logits), log_q, np.cumsum(np.exp(log_q))


@dataclass(frozen=True)
class Declaration:
    """What is declared, and its masses by formulas of its own."""

    target: Target | None = field(default_factory=Product)
    alpha: float = 1.0
    constrained: bool = False
    prior: Sampling = Sampling()

    def __str__(self) -> str:
        parts = [next(name for name, target in TARGETS.items() if target == self.target)]
        parts += [f"alpha{self.alpha:g}"] * (self.alpha != 1) + ["constrained"] * self.constrained
        return "-".join(parts + ["hot"] * (self.prior == HOT))

    def reward(self, prefix: tuple[int, ...]) -> float:
        return finite_log_odds(prefix) if isinstance(self.target, Odds) else log_odds(prefix)

    @property
    def model(self) -> StateSpaceModel:
        return _declared(self)

    def prior_mass(self, x: tuple[int, ...], sampling: Sampling) -> float:
        powered = [next_probs(x[:t]) ** (1 / sampling.temperature) for t in range(len(x))]
        return prod(probs[token] / probs.sum() for probs, token in zip(powered, x, strict=True))

    def mass(self, x: tuple[int, ...]) -> float:
        """gamma(x)."""
        log_odds = np.array([self.reward(x[: t + 1]) for t in range(len(x))])
        with np.errstate(over="ignore"):
            rewards = 1 / (1 + np.exp(-log_odds))
        match self.target:
            case None:
                likelihood, beta = 1.0, 1.0
            case Odds(beta=beta):
                likelihood = prod(np.exp(log_odds))
            case Final(beta=beta, aggregate=aggregate):
                likelihood = {"last": rewards[-1], "min": min(rewards), "mean": sum(rewards) / len(x)}[aggregate]
            case Product(beta=beta):
                likelihood = prod(rewards)
        return self.prior_mass(x, self.prior) ** self.alpha * float(likelihood) ** beta * (allowed(x) or not self.constrained)


@cache
def _declared(declaration: Declaration) -> StateSpaceModel:
    return StateSpaceModel(
        "?",
        lm=RememberingLM(next_probs, eos=EOS),
        prm=FunctionReward(lambda x: declaration.reward(x.token_ids)) if declaration.target else None,
        target=declaration.target or "product",
        alpha=declaration.alpha,
        prior=declaration.prior,
        constraint=(lambda x: allowed(x.token_ids)) if declaration.constrained else None,
        max_steps=MAX_STEPS,
        stop_at_answer=False,
    )


def complete(tokens: int = TOKENS, eos: int | None = EOS, max_steps: int = MAX_STEPS) -> list[tuple[int, ...]]:
    """Token ids of every complete trajectory: those that end with end-of-text, and those cut off without."""
    every = (prefix for length in range(1, max_steps + 1) for prefix in product(range(tokens), repeat=length))
    return [prefix for prefix in every if eos not in prefix[:-1] and (prefix[-1] == eos or len(prefix) == max_steps)]


# --- many runs, and their distance from what is exact --------------------------------------------------------------------------------


def drawn(sampler: SteppedSampler, model: StateSpaceModel, keys: RunKeys) -> Draws | None:
    """A run as `SteppedSampler.run` makes it; None where all particles died."""
    state = sampler.init(model, keys)
    while not sampler.done(model, state):
        state = sampler.step(model, keys, state)
    try:
        return sampler.draws(model, state, complete=True)
    except AllParticlesDead:
        return None


@dataclass(frozen=True)
class Case:
    """A sampler of one declared model, and where a planted fault would sit."""

    sampler: SteppedSampler
    declaration: Declaration = Declaration()
    runs: int = RUNS
    keys: type[RunKeys] = HashedKeys
    reweigh: Callable[[np.ndarray], np.ndarray] = lambda weights: weights
    drop_dead: bool = False

    def __str__(self) -> str:
        names = ("particles", "ess_threshold", "moves", "twist", "successors", "schedule", "diversity", "look_ahead", "waste_free", "ramp")
        values = {name: getattr(self.sampler, name) for name in names if hasattr(self.sampler, name)}
        values = {name: "user" if callable(value) else value for name, value in values.items()}
        hot = ["hot proposal"] * (self.sampler.proposal == HOT)
        return "-".join([self.sampler.name, *(f"{name[:4]}{value}" for name, value in values.items()), str(self.declaration), *hot])

    def estimates(self) -> np.ndarray:
        """Z-hat sum_i W_i 1[x_i = x] of every run and x."""
        cells = complete()
        column = {x: i for i, x in enumerate(cells)}
        values, died = np.zeros((self.runs, len(cells))), np.zeros(self.runs, bool)
        for seed in range(self.runs):
            draws = drawn(self.sampler, self.declaration.model, self.keys(seed))
            if draws is None:
                died[seed] = True
                continue
            weights = self.reweigh(np.exp(draws.log_weights)) * np.exp(draws.log_evidence)
            for particle, weight in zip(draws.particles, weights, strict=True):
                if weight > 0:
                    values[seed, column[particle.trajectory.token_ids]] += weight
        return values[~died] if self.drop_dead else values

    def worst_z(self) -> float:
        """The largest distance between estimated and exact masses, in standard errors; what has no mass is a cell as well."""
        exact = np.array([self.declaration.mass(x) for x in complete()])
        return worst_z(pooled(self.estimates(), exact), pooled(exact[None], exact)[0])


def pooled(values: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Columns: cells of 2% of the mass or more, the others together, those without any, and all."""
    empty, rare = exact == 0, (exact > 0) & (exact < 0.02 * exact.sum())
    return np.column_stack([values[:, ~empty & ~rare], values[:, rare].sum(1), values[:, empty].sum(1), values.sum(1)])


def worst_z(values: np.ndarray, expected: np.ndarray) -> float:
    """The largest distance of the columns' means from what is expected, in standard errors."""
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return float(np.max(np.abs(values.mean(axis=0) - expected) / np.maximum(errors, 1e-12)))


# --- unbiased estimates --------------------------------------------------------------------------------------------------------------


def user_twist(trajectory, log_odds) -> float:
    return 0.8 * np.sin(3.0 * sum(trajectory.token_ids) + len(log_odds))


# floors high enough that a twisted path is visited often: the default would make the rare visits' mean far from normal
TARGETS = {
    "product": Product(),
    "product^0.5": Product(beta=0.5),
    "product^2": Product(beta=2.0),
    "odds": Odds(),
    "odds^0.5": Odds(beta=0.5),
    "final": Final(floor=0.2),
    "final^2": Final(floor=0.2, beta=2.0),
    "final-mean": Final(aggregate="mean", floor=0.2),
    "none": None,
}
DECLARED = {name: Declaration(target) for name, target in TARGETS.items()}
POWER = Declaration(alpha=2.0)
CONSTRAINED = Declaration(constrained=True)
LADDER = (0.0, 0.3, 1.0)

QUICK = [
    Case(ImportanceSampling(particles=3, proposal=HOT), Declaration(Final(floor=0.2), constrained=True)),
    Case(ResampleMove(particles=3, ess_threshold=1, moves=1), DECLARED["product"]),
    Case(ResampleMove(particles=2, ess_threshold=0.8, moves=2, proposal=HOT), DECLARED["final-mean"]),
    Case(TwistedSMC(particles=3, ess_threshold=1, twist="prm", floor=0.2), DECLARED["odds"]),
    Case(TwistedSMC(particles=2, ess_threshold=0.8, twist="look_ahead", successors=2, floor=0.2), DECLARED["product"]),
    Case(TwistedSMC(particles=5, ess_threshold=1, twist=user_twist, proposal=HOT), Declaration(Product(beta=0.5), alpha=2.0)),
    Case(EntropicParticleFilter(particles=3, schedule="ess", diversity=0.9), DECLARED["product"]),
    Case(EntropicParticleFilter(particles=2, schedule="entropy", diversity=1, look_ahead=2, proposal=HOT), DECLARED["odds^0.5"]),
    Case(EntropicParticleFilter(particles=5, schedule="linear", diversity=1, look_ahead=2), DECLARED["final"]),
    Case(EntropicParticleFilter(particles=3, schedule=None, diversity=0.8, look_ahead=2), CONSTRAINED),
    Case(TemperedSMC(particles=4, ladder=LADDER, moves=1), DECLARED["product"]),
    Case(TemperedSMC(particles=6, ladder=LADDER, moves=2, waste_free=True), DECLARED["odds^0.5"]),
    Case(TemperedSMC(particles=4, ladder=LADDER, moves=1, waste_free=True, proposal=HOT), POWER),
    Case(PowerSMC(particles=3, ess_threshold=1, ramp=1), POWER),
    Case(PowerSMC(particles=2, ess_threshold=0.8, ramp=3), Declaration(Final(aggregate="mean", floor=0.2), alpha=2.0)),
    Case(ParticleFilter(particles=3, ess_threshold=1, proposal=HOT), Declaration(alpha=2.0, constrained=True)),
]


def grid() -> list[Case]:
    """Every sampler with its options at every N; targets and proposals go round, so that each meets each."""
    declarations = [*DECLARED.values(), POWER, CONSTRAINED, Declaration(prior=HOT), Declaration(Odds(beta=0.5), alpha=2.0)]
    powers = [POWER, Declaration(None, alpha=2.0), Declaration(Final(floor=0.2), alpha=2.0, constrained=True), Declaration(alpha=0.5)]
    cases: list[Case] = []

    def add(make, among=declarations, **settings):
        i = len(cases)
        proposal = {} if make is PowerSMC else {"proposal": HOT if i // len(among) % 2 else None}
        cases.append(Case(make(**settings, **proposal), among[i % len(among)]))

    for n in (2, 3, 5):
        add(ImportanceSampling, particles=n)
        for kappa, moves in product((0.8, 1), (1, 2)):
            add(ResampleMove, particles=n, ess_threshold=kappa, moves=moves)
        for kappa, twist in product((0.8, 1), ("look_ahead", user_twist)):
            add(TwistedSMC, particles=n, ess_threshold=kappa, twist=twist, successors=2, floor=0.2)
        rewarded = [declaration for declaration in declarations if declaration.target]
        add(TwistedSMC, rewarded, particles=n, ess_threshold=1, twist="prm", floor=0.2)
        for schedule, k in product(("ess", "entropy", "linear", None), (0, 2)):
            add(EntropicParticleFilter, particles=n, schedule=schedule, diversity=0.9 if n > 2 else 1, look_ahead=k)
        for ramp in (1, 3):
            add(PowerSMC, powers, particles=n, ess_threshold=1, ramp=ramp)
        add(ParticleFilter, powers, particles=n, ess_threshold=0.8)
        add(ParticleFilter, [CONSTRAINED], particles=n, ess_threshold=1)
    for (n, moves, waste_free), scheme in product([(4, 1, False), (6, 2, False), (4, 1, True), (6, 2, True)], ("systematic", "killing")):
        add(TemperedSMC, particles=n, ladder=LADDER, moves=moves, waste_free=waste_free, resampling=scheme)
        add(TemperedSMC, particles=n, ladder=(0, 0.2, 0.5, 1), moves=moves, waste_free=waste_free, resampling=scheme)
    return cases


# FIXME: remove with the fault: copies are moved only where the weights asked for resampling, and not once all are closed
REWRITTEN = pytest.mark.xfail(strict=False, reason="whether particles are moved depends on them: the evidence is biased by O(1/N)")


def marked(cases: list[Case]) -> list:
    return [pytest.param(case, id=str(case), marks=[REWRITTEN] * isinstance(case.sampler, ResampleMove)) for case in cases]


@pytest.mark.parametrize("case", marked(QUICK))
def test_estimates_are_unbiased(case):
    assert case.worst_z() < LIMIT


@pytest.mark.statistics
@pytest.mark.parametrize("case", marked(grid()))
def test_estimates_are_unbiased_on_the_grid(case):
    assert case.worst_z() < LIMIT


@REWRITTEN
def test_a_finished_particle_may_be_moved_or_not_but_not_according_to_the_others():
    """One particle tosses a coin until it shows 1, at most twice: it ends at once in half of all runs."""
    model = StateSpaceModel("?", lm=TableLM(lambda prefix: [0.5, 0.5], eos=1), max_steps=2, stop_at_answer=False)
    draws = [drawn(ResampleMove(particles=1, ess_threshold=1), model, HashedKeys(seed)) for seed in range(RUNS)]
    at_once = np.array([[len(run.particles[0].trajectory.token_ids) == 1] for run in draws], float)
    assert worst_z(at_once, np.array([0.5])) < LIMIT


@pytest.mark.parametrize("moves", [1, 2])
def test_moves_at_every_step_leave_estimates_unbiased(moves):
    """Resample-move on trajectories that all take every step: at kappa = 1 all are moved before each but the first."""
    model = replace(DECLARED["final-mean"].model, lm=RememberingLM(next_probs))
    cells = complete(eos=None)
    exact = np.array([DECLARED["final-mean"].mass(x) for x in cells])
    values = np.zeros((RUNS, len(cells)))
    for seed in range(RUNS):
        draws = drawn(ResampleMove(particles=3, ess_threshold=1, moves=moves, proposal=HOT), model, HashedKeys(seed))
        if draws is not None:
            for particle, log_weight in zip(draws.particles, draws.log_weights, strict=True):
                values[seed, cells.index(particle.trajectory.token_ids)] += np.exp(log_weight + draws.log_evidence)
    assert worst_z(pooled(values, exact), pooled(exact[None], exact)[0]) < LIMIT


REAL = [
    ImportanceSampling(particles=2),
    TwistedSMC(particles=2, ess_threshold=1, twist="look_ahead", successors=2, floor=0.2),
    EntropicParticleFilter(particles=2, diversity=1, look_ahead=2),
    TemperedSMC(particles=4, ladder=LADDER, moves=1, waste_free=True),
    PowerSMC(particles=2, ess_threshold=1, ramp=3),
]


@pytest.mark.statistics
@pytest.mark.parametrize("sampler", REAL, ids=lambda sampler: sampler.name)
def test_estimates_are_unbiased_on_the_real_keys(sampler):
    assert Case(sampler, keys=RunKeys, runs=1000).worst_z() < LIMIT


@pytest.mark.parametrize("sampler", [*REAL, ResampleMove(particles=3, ess_threshold=1)], ids=lambda sampler: sampler.name)
def test_runs_here_are_the_runs_of_the_samplers(sampler):
    model = DECLARED["product"].model
    for seed in range(5):
        draws = drawn(sampler, model, RunKeys(seed))
        try:
            posterior = sampler.run(model, seed=seed)
        except AllParticlesDead:
            assert draws is None
            continue
        assert posterior.log_evidence == draws.log_evidence
        assert np.array_equal(posterior.log_weights, draws.log_weights)
        assert [x.token_ids for x in posterior.trajectories] == [x.trajectory.token_ids for x in draws.particles]


@pytest.mark.statistics
def test_the_evidence_does_not_depend_on_how_it_is_computed():
    ways = [
        ImportanceSampling(particles=3, proposal=HOT),
        ParticleFilter(particles=3, ess_threshold=1),
        TwistedSMC(particles=3, ess_threshold=1, twist="prm", floor=0.2),
        TwistedSMC(particles=3, ess_threshold=1, twist="look_ahead", successors=2, floor=0.2),
        EntropicParticleFilter(particles=3, diversity=0.9),
        EntropicParticleFilter(particles=3, diversity=0.9, look_ahead=2),
        TemperedSMC(particles=4, ladder=LADDER, moves=1),
        TemperedSMC(particles=4, ladder=LADDER, moves=1, waste_free=True),
        PowerSMC(particles=3, ess_threshold=1, ramp=3),
    ]
    declaration = Declaration(Product(beta=0.5), alpha=2.0)
    evidences = np.column_stack([Case(sampler, declaration, runs=4000).estimates().sum(1) for sampler in ways])
    exact = sum(map(declaration.mass, complete()))
    assert worst_z(evidences, np.full(len(ways), exact)) < LIMIT
    assert np.all(evidences.std(axis=0) < 10 * exact)  # so that agreement says something


# --- a ladder that is found on the way -----------------------------------------------------------------------------------------------

ADAPTIVE = {4: 16000, 16: 4000, 64: 1000}  # runs at N


@pytest.mark.statistics
@pytest.mark.parametrize("waste_free", [False, True])
def test_the_bias_of_an_adaptive_ladder_vanishes_as_one_over_n(waste_free):
    bias, error = {}, {}
    declaration = DECLARED["product^2"]
    exact = sum(map(declaration.mass, complete()))
    for particles, runs in ADAPTIVE.items():
        sampler = TemperedSMC(particles=particles, moves=1, waste_free=waste_free)
        evidence = Case(sampler, declaration, runs=runs).estimates().sum(1) / exact
        bias[particles], error[particles] = evidence.mean() - 1, evidence.std() / np.sqrt(runs)
    print(bias, error)
    assert abs(bias[4]) > LIMIT * error[4]
    for particles in (16, 64):
        spread = np.hypot(error[particles], error[4] * 4 / particles)
        assert abs(bias[particles]) < 2 * abs(bias[4]) * 4 / particles + LIMIT * spread
    assert abs(bias[64]) < LIMIT * error[64]
