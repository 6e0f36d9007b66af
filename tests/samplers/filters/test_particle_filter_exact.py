"""The particle filter against exact enumeration.

On a small table model every complete trajectory x and its mass gamma(x) can be written down. The
filter is right if, at every N,

    E[Z-hat sum_i W_i 1[x_i = x]] = gamma(x)       for every x, runs that died counting as zero,

which R independent runs estimate without bias. (Comparing the particles of a run with the posterior
would be wrong: they are dependent, and self-normalised estimates are biased by O(1/N).) Cells of
less than 2% of the mass are pooled. With LIMIT = 5.2 standard errors and at most 16 cells a case, a
right filter fails one of the 15 quick cases with probability 5e-5 by the normal law, and one of the
108 of the grid with 4e-4. The planted faults at the end say what the test can see: each exceeds 2
LIMIT. The grid takes GRID_RUNS in the place of RUNS a case: a fault of 2 LIMIT in RUNS is one of
1.26 LIMIT there, in each of the many cases that it spoils.

To afford thousands of runs the model is replayed from its real random numbers, drawn for all runs
at once; a test holds the replay to `ParticleFilter.run` bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from math import prod

import jax
import numpy as np
import pytest

from motes.models import FunctionReward, Mixture, Sampling, TableLM
from motes.models.randomness import SlotUniforms
from motes.ppl import Final, Odds, Particle, Product, StateSpaceModel, StepwiseModel, Target
from motes.samplers import AllParticlesDead, ParticleFilter
from motes.smc import SCHEMES, Resampling, RunKeys, start, steps
from motes.smc.keys import _slot_keys

TOKENS, EOS, MAX_STEPS = 3, 2, 4
RUNS, GRID_RUNS = 2000, 800
LIMIT = 5.2
HOT = Sampling(temperature=1.7)


# --- a model whose probabilities and rewards depend on the whole prefix
# --------------------------------------------------------------


@cache
def next_probs(prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([48, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def log_odds(prefix: tuple[int, ...]) -> float:
    """Zero midway, certainty, and everything between; two thirds of all paths meet a zero."""
    random = np.random.default_rng([137, *prefix])
    return random.choice([-np.inf, np.inf, random.normal(0, 1.5)], p=[0.2, 0.1, 0.7])


def finite_log_odds(prefix: tuple[int, ...]) -> float:
    return 3.0 if log_odds(prefix) == np.inf else log_odds(prefix)


LM = TableLM(next_probs, eos=EOS)


def declared(target: Target | None, prior: Sampling = Sampling()) -> StateSpaceModel:
    reward = finite_log_odds if isinstance(target, Odds) else log_odds
    prm = FunctionReward(lambda x: reward(x.token_ids)) if target else None
    return StateSpaceModel(
        "?",
        lm=LM,
        prm=prm,
        target=target or "product",
        prior=prior,
        max_steps=MAX_STEPS,
        stop_at_answer=False,
    )


# --- enumeration, by formulas of its own
# ---------------------------------------------------------------------------------------------


def complete() -> list[tuple[int, ...]]:
    """Token ids of every complete trajectory: those that end with end-of-text, and those cut off
    without."""
    every = (
        prefix
        for length in range(1, MAX_STEPS + 1)
        for prefix in product(range(TOKENS), repeat=length)
    )
    return [
        prefix
        for prefix in every
        if EOS not in prefix[:-1] and (prefix[-1] == EOS or len(prefix) == MAX_STEPS)
    ]


def mass(x: tuple[int, ...], model: StateSpaceModel) -> float:
    """gamma(x)."""
    prefixes = [x[: t + 1] for t in range(len(x))]
    powered = [next_probs(prefix[:-1]) ** (1 / model.prior.temperature) for prefix in prefixes]
    prior = prod(
        probs[prefix[-1]] / probs.sum() for probs, prefix in zip(powered, prefixes, strict=True)
    )
    with np.errstate(over="ignore"):
        rewards = [1 / (1 + np.exp(-log_odds(prefix))) for prefix in prefixes]
    match model.likelihood:
        case None:
            return prior
        case Odds(beta=beta):
            likelihood = prod(np.exp(finite_log_odds(prefix)) for prefix in prefixes)
        case Final(beta=beta, aggregate=aggregate):
            likelihood = {
                "last": rewards[-1],
                "min": min(rewards),
                "product": prod(rewards),
                "mean": sum(rewards) / len(x),
            }[aggregate]
        case Product(beta=beta):
            likelihood = prod(rewards)
    return prior * likelihood**beta


# --- replay: the real random numbers of all runs at once
# -----------------------------------------------------------------------------


@cache
def move_uniforms(slots: int) -> np.ndarray:
    """The uniform that draws the token of every (run, generation, slot): shape (RUNS, MAX_STEPS +
    1, slots)."""
    places = np.array([[0, 0, 0, t] for t in range(MAX_STEPS + 1)], np.uint32)
    of_places = jax.vmap(lambda seed, place: _slot_keys(seed, place, slots), in_axes=(None, 0))
    keys = np.asarray(
        jax.vmap(of_places, in_axes=(0, None))(np.arange(RUNS, dtype=np.uint32), places)
    ).reshape(-1, 2)
    return SlotUniforms(keys, len(keys)).at(0).reshape(RUNS, MAX_STEPS + 1, slots).copy()


@cache
def resampling_keys() -> np.ndarray:
    """Key data for the resampling of every (run, generation): shape (RUNS, MAX_STEPS + 1, 2)."""
    places = np.array([[1, 0, 0, t] for t in range(MAX_STEPS + 1)], np.uint32)
    of_places = jax.vmap(lambda seed, place: _slot_keys(seed, place, 1)[0], in_axes=(None, 0))
    return np.asarray(
        jax.vmap(of_places, in_axes=(0, None))(np.arange(RUNS, dtype=np.uint32), places)
    )


class ReplayedKeys(RunKeys):
    """Uniforms in the place of keys."""

    def moves(self, generation, slots, chosen):
        return move_uniforms(slots)[self.seed, generation, chosen]

    def resampling(self, generation):
        return resampling_keys()[self.seed, generation]


TERMS = "logprob", "proposal_logprob", "component_logprobs"
KNOWN: dict[tuple, dict] = {}


class ReplayedLM(TableLM):
    """Draws from uniforms, as `TableLM` does from keys, and remembers what it has computed for a
    prefix."""

    def extend(self, trajectories, keys, *, sampling, prior):
        draw = self._drawn_from_mixture if isinstance(sampling, Mixture) else self._drawn
        return [draw(x, float(u), sampling, prior) for x, u in zip(trajectories, keys, strict=True)]

    def _drawn_from_mixture(self, trajectory, u, mixture, prior):
        """Of one uniform, what is left when it has chosen the component draws the token."""
        shares = component_shares(trajectory.token_ids, mixture)
        ends = np.cumsum(shares)
        j = int(np.searchsorted(ends, u * ends[-1], side="right"))
        u = (u * ends[-1] - ends[j] + shares[j]) / shares[j]
        table = _table(trajectory.token_ids, mixture.components[j], prior)
        token = int(np.searchsorted(table[2], u * table[2][-1], side="right"))
        return self._weighed(trajectory, token, j, mixture, prior)

    def _weighed(self, trajectory, token, component, mixture, prior):
        key = trajectory.token_ids, token, mixture, prior
        if key not in KNOWN:  # the terms of a step, which its prefix alone decides
            child = self._child(trajectory, token, mixture, prior)
            law = child.step_logprob, child.step_proposal_logprob, child.component_logprobs
            KNOWN[key] = dict(zip(TERMS, law, strict=True))
        return trajectory.child(f"{token} ", (token,), finished=token == EOS, **KNOWN[key])

    def _drawn(self, trajectory, u, sampling, prior):
        table = _table(trajectory.token_ids, sampling, prior)
        token = int(np.searchsorted(table[2], u * table[2][-1], side="right"))
        log_p, log_q = float(table[0][token]), float(table[1][token])
        return trajectory.child(
            f"{token} ", (token,), logprob=log_p, proposal_logprob=log_q, finished=token == EOS
        )


@cache
def _table(prefix, sampling, prior):
    logits = np.log(next_probs(prefix))
    log_q = sampling.log_probs(logits)
    return prior.log_probs(logits), log_q, np.cumsum(np.exp(log_q))


@cache
def component_shares(prefix, mixture):
    """The probability of each component, given what has been written, by formulas of its own."""
    if mixture.per == "step":
        return np.array(mixture.weights)
    shares = []
    for weight, law in zip(mixture.weights, mixture.components, strict=True):
        for t, token in enumerate(prefix):
            probs = next_probs(prefix[:t]) ** (1 / law.temperature)
            if law.top_k == 1:
                probs = (probs == probs.max()).astype(float)
            weight *= probs[token] / probs.sum()
        shares.append(weight)
    return np.array(shares) / sum(shares)


@cache
def _replayed(target, prior, lm):
    return replace(declared(target, prior), lm=lm(next_probs, eos=EOS))


@dataclass(frozen=True)
class Case:
    """One filter on one declared model, and where a planted fault would sit."""

    target: Target | None = field(default_factory=Product)
    particles: int = 3
    scheme: str = "systematic"
    kappa: float = 0.8  # at 0.5 two particles are never resampled: their ESS is at least 1
    proposal: Sampling | Mixture | None = None
    prior: Sampling = Sampling()
    stepwise: type[StepwiseModel] = StepwiseModel
    reweigh: Callable[[np.ndarray], np.ndarray] = lambda weights: weights
    drop_dead: bool = False
    lm: type[ReplayedLM] = ReplayedLM
    runs: int = RUNS

    def __str__(self) -> str:
        proposal = ""
        if self.proposal is not None:
            of = self.proposal
            proposal = f"mixed-{of.per}-" if isinstance(of, Mixture) else f"q{of.temperature}-"
        prior = "" if self.prior == Sampling() else f"p{self.prior.temperature}-"
        name = next(name for name, target in TARGETS.items() if target == self.target)
        return f"{name}-N{self.particles}-{self.scheme}-kappa{self.kappa}-{proposal}{prior}".rstrip(
            "-"
        )

    def run(self, seed: int):
        model = _replayed(self.target, self.prior, self.lm)
        stepwise = self.stepwise(model, self.proposal or self.prior)
        keys = ReplayedKeys(seed)
        *_, last = steps(
            stepwise,
            start(stepwise, keys, self.particles),
            keys,
            Resampling(self.scheme, self.kappa),
        )
        return last.state

    def worst_z(self) -> float:
        """The largest distance between estimated and exact masses, in standard errors."""
        model, cells = declared(self.target, self.prior), complete()
        exact = np.array([mass(x, model) for x in cells])
        column = {x: i for i, x in enumerate(cells)}
        estimates = np.zeros((self.runs, len(cells)))
        died = np.zeros(self.runs, bool)
        for seed in range(self.runs):
            state = self.run(seed)
            died[seed] = state.dead
            weights = self.reweigh(np.exp(state.log_weights)) * np.exp(state.log_evidence)
            for particle, weight in zip(state.particles, weights, strict=True):
                if weight > 0:
                    estimates[seed, column[particle.trajectory.token_ids]] += weight
        assert not estimates[:, exact == 0].any()
        if self.drop_dead:
            estimates = estimates[~died]
        rare = exact < 0.02 * exact.sum()
        pooled = np.column_stack([estimates[:, ~rare], estimates[:, rare].sum(1), estimates.sum(1)])
        expected = np.array([*exact[~rare], exact[rare].sum(), exact.sum()])
        errors = pooled.std(axis=0, ddof=1) / np.sqrt(len(pooled))
        return float(np.max(np.abs(pooled.mean(axis=0) - expected) / np.maximum(errors, 1e-12)))


# floors high enough that a twisted path is visited often: the default would make the rare visits'
# mean far from normal
TARGETS = {
    "product": Product(),
    "product^0.5": Product(beta=0.5),
    "product^2": Product(beta=2.0),
    "product^0": Product(beta=0.0),
    "odds": Odds(),
    "odds^0.5": Odds(beta=0.5),
    "final": Final(floor=0.2),
    "final-min": Final(aggregate="min"),
    "final-product": Final(aggregate="product"),
    "final-mean": Final(aggregate="mean", floor=0.2),
    "final-mean^2": Final(aggregate="mean", floor=0.2, beta=2.0),
    "none": None,
}

QUICK = [
    Case(TARGETS["product"], 2, "systematic", 0.8),
    Case(TARGETS["product"], 3, "multinomial", 1),
    Case(TARGETS["product"], 5, "residual", 0.5, proposal=HOT),
    Case(TARGETS["product"], 3, "systematic", 0, proposal=HOT),
    Case(TARGETS["product^0.5"], 3, "stratified", 1),
    Case(TARGETS["product^2"], 5, "systematic", 0.8, proposal=HOT),
    Case(TARGETS["product^0"], 2, "residual", 1),
    Case(TARGETS["odds"], 5, "systematic", 1, prior=HOT, proposal=Sampling()),
    Case(TARGETS["odds^0.5"], 2, "stratified", 1),
    Case(TARGETS["final"], 3, "residual", 1),
    Case(TARGETS["final-min"], 2, "multinomial", 0.8, proposal=HOT),
    Case(TARGETS["final-product"], 3, "stratified", 0.8, prior=HOT),
    Case(TARGETS["final-mean"], 5, "systematic", 0.5, proposal=HOT),
    Case(TARGETS["final-mean^2"], 3, "systematic", 1),
    Case(TARGETS["none"], 3, "systematic", 1, proposal=HOT),
    Case(TARGETS["odds^0.5"], 5, "chopthin", 0.8, proposal=HOT),
]
# a greedy component, which alone misses most of the support, and a hot one, beside the prior
MIXED = [Sampling(top_k=1), HOT, Sampling()]
PER_STEP = Mixture(MIXED, weights=[0.4, 0.3, 0.3])
PER_TRAJECTORY = Mixture(MIXED, weights=[0.4, 0.3, 0.3], per="trajectory")
MIXTURES = [
    Case(TARGETS["product"], 3, "systematic", 0.8, proposal=PER_STEP),
    Case(TARGETS["final-mean"], 3, "multinomial", 1, proposal=PER_TRAJECTORY),
    Case(TARGETS["none"], 2, "residual", 0, proposal=PER_TRAJECTORY),
]
# every target at every N with and without resampling; scheme and proposal alternate so that each
# meets each
GRID = [
    Case(
        target,
        particles,
        tuple(SCHEMES)[i % 6],
        kappa,
        proposal=HOT if i // 6 % 2 else None,
        runs=GRID_RUNS,
    )
    for i, (target, particles, kappa) in enumerate(
        product(TARGETS.values(), (2, 3, 5), (0, 0.8, 1))
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("case", MIXTURES, ids=str)
def test_estimates_under_mixtures_are_unbiased(case):
    assert case.worst_z() < LIMIT


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("case", QUICK, ids=str)
def test_estimates_are_unbiased(case):
    assert case.worst_z() < LIMIT


@pytest.mark.statistics
@pytest.mark.parametrize("case", GRID, ids=str)
def test_estimates_are_unbiased_on_the_grid(case):
    assert case.worst_z() < LIMIT


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(
    "case",
    [Case(particles=5), Case(TARGETS["final-mean"], 4, "residual", 1, proposal=HOT)],
    ids=str,
)
def test_replay_is_the_filter_itself(case):
    sampler = ParticleFilter(
        particles=case.particles,
        resampling=case.scheme,
        ess_threshold=case.kappa,
        proposal=case.proposal,
    )
    for seed in range(20):
        state = case.run(seed)
        try:
            posterior = sampler.run(declared(case.target), seed=seed)
        except AllParticlesDead as death:
            assert state.dead and death.step == state.t
            continue
        assert posterior.log_evidence == state.log_evidence
        assert np.array_equal(posterior.log_weights, state.log_weights)
        assert [x.token_ids for x in posterior.trajectories] == [
            particle.trajectory.token_ids for particle in state.particles
        ]


# --- planted faults: each must be seen, by a margin
# ----------------------------------------------------------------------------------


class FinishedWeighedAgain(StepwiseModel):
    """A closed trajectory receives its last potential again at every later step."""

    def open(self, particle):
        return particle.trajectory.open or len(particle.log_odds) < MAX_STEPS

    def move(self, t, keys, particles):
        opened = [i for i, particle in enumerate(particles) if particle.trajectory.open]
        moved = dict(
            zip(opened, super().move(t, keys[opened], [particles[i] for i in opened]), strict=True)
        )
        return [
            moved.get(i, Particle(x, (*log_odds, *log_odds[-1:])))
            for i, (x, log_odds, _) in enumerate(particles)
        ]


class ProposalForgotten(StepwiseModel):
    """Steps drawn from q are weighed as if they were drawn from p."""

    def log_potential(self, t, before, after):
        return np.array(
            [
                self.model.likelihood.log_potential(p.log_odds, closed=not p.trajectory.open)
                for p in after
            ]
        )


class OwnComponent(ReplayedLM):
    """A fault: a step is weighed by the component that drew it."""

    def _weighed(self, trajectory, token, component, mixture, prior):
        return self._child(trajectory, token, mixture.components[component], prior)


class StaleShares(ReplayedLM):
    """A fault: whole trajectories are drawn from one component each, and weighed step by step."""

    def _weighed(self, trajectory, token, component, mixture, prior):
        return self._child(trajectory, token, replace(mixture, per="step"), prior)


FAULTS = {
    "own component in place of the mixture": Case(proposal=PER_STEP, lm=OwnComponent),
    "shares of the components not updated": Case(proposal=PER_TRAJECTORY, lm=StaleShares),
    "final weights used twice": Case(
        particles=3, reweigh=lambda weights: weights**2 / max((weights**2).sum(), 1e-300)
    ),
    "finished particles weighed again": Case(particles=3, stepwise=FinishedWeighedAgain),
    "dead runs dropped": Case(particles=2, drop_dead=True),
    "proposal weight forgotten": Case(particles=3, proposal=HOT, stepwise=ProposalForgotten),
}


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_seen(fault):
    assert FAULTS[fault].worst_z() > 2 * LIMIT


class KeysOfTrajectories(ReplayedKeys):
    """A fault: slots that hold one and the same particle share a key."""

    def moves(self, generation, slots, chosen):
        return np.repeat(super().moves(generation, slots, chosen)[:1], len(chosen))


def sibling_z(keys: type[RunKeys]) -> float:
    """How far the first two of three siblings are from drawing equal tokens as often as independent
    draws would, in standard errors.

    E[Z-hat W] cannot see this fault: every slot's law stays right by itself.
    """
    lm, root = ReplayedLM(next_probs, eos=EOS), LM.start("?")
    drawn = [
        lm.extend([root] * 3, keys(seed).moves(1, 3, [0, 1, 2]), sampling=HOT, prior=HOT)
        for seed in range(RUNS)
    ]
    tokens = np.array([[x.step_token_ids[0] for x in siblings] for siblings in drawn])
    equal = np.mean(tokens[:, 0] == tokens[:, 1])
    expected = float(np.sum(np.exp(2 * HOT.log_probs(np.log(next_probs(()))))))
    return abs(equal - expected) / np.sqrt(expected * (1 - expected) / RUNS)


def test_siblings_draw_independently():
    assert sibling_z(ReplayedKeys) < LIMIT
    assert sibling_z(KeysOfTrajectories) > 2 * LIMIT
