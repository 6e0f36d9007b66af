"""Markov kernels on trajectories leave their targets invariant: their transition matrices, by
enumeration of all that can happen.

The code that is enumerated is the samplers' own. What is random in it is put into the hands of a
tree of decisions, which is walked to every leaf: a token, with its probability under the proposal;
a uniform number, which is known only as far as it is looked at (`u < p` is a decision with
probability p, `floor(u * n)` one among n); an index by weight, with the weights that the engine
computed; ancestors, with the law of the conditional scheme, which is its own `place` integrated
over its noise, cell by cell. The product of a leaf's probabilities is added to the matrix, over all
complete trajectories of positive mass.

Sweeps of particle Gibbs have too many leaves for that. They are enumerated one generation at a
time, by the very steps of `motes.smc.conditional_smc.conditional`, and equal states are merged in
between; a test holds this to `gibbs_moves`, walked to its leaves.

Targets are written down by formulas that share nothing with the samplers. Nothing is estimated: a
kernel is right if pi K = pi up to rounding, for which 1e-12 leaves room (sums of at most 1e5 terms
that add up to one, and log-densities within 1e-14 of each other), and if K^k, k = 10000, is within
1e-6 of pi from every start. The identity, which is invariant too, stays at a distance of order 1.

Probabilities and rewards depend on the whole prefix, rewards vanish midway, and trajectories end at
random lengths or are truncated. The planted faults say what all this can see.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from importlib import import_module
from itertools import pairwise, permutations, product
from math import floor, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motes.models import ChunkedThinking, FunctionReward, Sampling, Summary, TableLM
from motes.ppl import (
    Final,
    Odds,
    Particle,
    Product,
    StateSpaceModel,
    StepwiseModel,
    Target,
    rescoring,
)
from motes.samplers import (
    DelayedAcceptance,
    ParallelTempering,
    PowerMetropolis,
    ReplicaExchange,
    ResampleMove,
    SuffixMetropolis,
)
from motes.samplers import moves as suffix
from motes.samplers.chains import delayed_acceptance, parallel_tempering, replica_exchange, swaps
from motes.samplers.chains.chain_sampler import Chains
from motes.samplers.chains.reasoning_gibbs import gibbs_moves
from motes.samplers.chains.screening import Screened, Screening
from motes.samplers.filters import resample_move
from motes.samplers.moves import complete, suffix_move
from motes.smc import CONDITIONAL, Resampling, RunKeys, conditional_smc
from motes.smc.arrays import objects
from motes.smc.driver import movable
from motes.smc.resampling import policy

EOS, FLOOR = 2, 0.2
HOT, COLD, TOP = Sampling(temperature=1.7), Sampling(temperature=0.6), Sampling(top_k=2)
Tokens = tuple[int, ...]


# --- a tree of decisions, and the sources of randomness that ask it
# -----------------------------------------------------------------


class Tree:
    """Walks a function to every outcome of its decisions, depth first: it is run once for each
    leaf.

    Attributes:
        stack: for each decision on the present way, what is possible with its probability, and
            which of it is taken.
        depth: decisions met so far.
    """

    def __init__(self) -> None:
        self.stack: list[list[Any]] = []
        self.depth = 0

    def choose(self, probabilities: Any) -> int:
        if self.depth == len(self.stack):
            self.stack.append([[(i, float(p)) for i, p in enumerate(probabilities) if p > 0], 0])
        options, taken = self.stack[self.depth]
        self.depth += 1
        return options[taken][0]

    def walk(self, run: Callable[[], Any]) -> Iterator[tuple[float, Any]]:
        """The probability and the outcome of every leaf."""
        self.stack = []
        while True:
            self.depth = 0
            outcome = run()
            assert self.depth == len(self.stack)
            yield prod(options[taken][1] for options, taken in self.stack), outcome
            while self.stack and self.stack[-1][1] + 1 == len(self.stack[-1][0]):
                self.stack.pop()
            if not self.stack:
                return
            self.stack[-1][1] += 1


TREE = Tree()


class Uniform:
    """A uniform number on [0, 1), decided by the one comparison, or the one cell, that is asked of
    it."""

    def __lt__(self, bound: float) -> bool:
        chance = min(max(float(bound), 0.0), 1.0)
        return TREE.choose([1 - chance, chance]) == 1

    def __mul__(self, cells: int) -> Cell:
        return Cell(int(cells))


@dataclass(frozen=True)
class Cell:
    """A uniform number times n: which of n cells it lies in."""

    cells: int

    def __floor__(self) -> int:
        return TREE.choose([1 / self.cells] * self.cells)


class Uniforms:
    """In the place of `SlotUniforms`."""

    def __init__(self, keys: Any, rows: int) -> None:
        self.rows = rows

    def at(self, token: int) -> np.ndarray:
        return objects(Uniform() for _ in range(self.rows))


class Places(RunKeys):
    """Keys that nobody reads."""

    def moves(self, generation, slots, chosen):
        return np.zeros((len(chosen), 2), np.uint32)

    def resampling(self, generation):
        return None

    def ancestor(self, generation):
        return None

    def choice(self, generation):
        return None


KEYS = Places(0)


class DecidedLM(TableLM):
    """Draws tokens by decisions."""

    def extend(self, trajectories, keys, *, sampling, prior):
        return [
            self._child(
                x, TREE.choose(np.exp(_log_probs(self, x.token_ids, sampling))), sampling, prior
            )
            for x in trajectories
        ]

    def _child(self, trajectory, token, sampling, prior):
        log_p, log_q = (
            _log_probs(self, trajectory.token_ids, which)[token] for which in (prior, sampling)
        )
        return trajectory.child(
            f"{token} ",
            (token,),
            logprob=float(log_p),
            proposal_logprob=float(log_q),
            finished=token == self.eos,
        )


@cache
def _log_probs(lm: TableLM, prefix: Tokens, sampling: Sampling) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return sampling.log_probs(np.log(lm.next_probs(prefix)))


def decided_pick(key: Any, log_weights: np.ndarray) -> int:
    return TREE.choose(np.exp(log_weights - np.logaddexp.reduce(log_weights)))


def decided_ancestors(
    scheme: str, key: Any, probabilities: np.ndarray, first: Any = None
) -> np.ndarray:
    table = law(scheme, tuple(probabilities.tolist()), int(first))
    return np.array([first, *np.unravel_index(TREE.choose(table.ravel()), table.shape)], np.int32)


@pytest.fixture(autouse=True)
def decided(monkeypatch):
    """Everything random becomes a decision."""
    for module in (suffix, delayed_acceptance, parallel_tempering, replica_exchange):
        monkeypatch.setattr(module, "SlotUniforms", Uniforms)
    for module in (
        suffix,
        delayed_acceptance,
        parallel_tempering,
        replica_exchange,
        resample_move,
    ):
        monkeypatch.setattr(module, "subkeys", lambda keys, part, chosen=None: None)
    # not the function of that name
    for module in (conditional_smc, import_module("motes.smc.generations")):
        monkeypatch.setattr(module, "pick", decided_pick)
    monkeypatch.setattr(policy, "draw_ancestors", decided_ancestors)
    # several trajectories one after another: threads take longer than all else here
    monkeypatch.setattr(
        rescoring, "run_batched", lambda runs: [run(lambda shared: shared) for run in runs]
    )


# --- the laws of conditional resampling schemes, by integration of their own `place`
# ------------------------------------------------


@cache
def law(name: str, weights: tuple[float, ...], first: int) -> np.ndarray:
    """P(A_1, ..., A_N-1 | A_0 = first), shape (N,) * (N - 1)."""
    lengths, drawn = CELLS[name](np.array(weights), first)
    assert np.all(drawn[:, 0] == first)
    table = np.zeros((len(weights),) * (len(weights) - 1))
    np.add.at(table, tuple(drawn[:, 1:].T), lengths)
    assert abs(table.sum() - 1) < 1e-13
    return table / table.sum()


@cache
def _placed(name: str) -> Any:
    with jax.enable_x64(True):
        return jax.jit(jax.vmap(CONDITIONAL[name].place, (0, None, None)))


def _place(name: str, noise: Any, weights: np.ndarray, first: int) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(
            _placed(name)(jax.tree.map(jnp.asarray, noise), jnp.asarray(weights), first)
        )


def _cut(inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles and lengths of the pieces into which these points cut [0, 1]."""
    edges = np.sort([0.0, *np.clip(inner, 0, 1), 1.0])
    return (edges[1:] + edges[:-1]) / 2, np.diff(edges)


def _grid(*axes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Every combination of pieces: their middles, shape (cells, axes), and their volumes."""
    index = np.indices([len(middles) for middles, _ in axes]).reshape(len(axes), -1)
    middles = np.stack([axis[0][i] for axis, i in zip(axes, index, strict=True)], axis=1)
    return middles, np.prod([axis[1][i] for axis, i in zip(axes, index, strict=True)], axis=0)


def _multinomial(weights: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    middles, volumes = _grid(*[_cut(np.cumsum(weights)[:-1])] * len(weights))
    return volumes, _place("multinomial", middles, weights, first)


def _systematic(weights: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The offset jumps where N C_j does, with density (m + 1) / (m + f) below f and m / (m + f)
    above."""
    slots = len(weights)
    ends = slots * np.cumsum(np.roll(weights, -first))
    share = ends[0]
    whole, part = floor(share), share - floor(share)
    jumps = ends - np.floor(ends)
    middles, lengths = _cut(np.minimum(whole * jumps + np.minimum(jumps, part), share) / share)
    orders = np.array(list(permutations(range(slots - 1))), np.int32)
    noise = type(CONDITIONAL["systematic"].noise(jax.random.key(0), slots))
    drawn = _place(
        "systematic",
        noise(np.tile(middles, len(orders)), np.repeat(orders, len(middles), axis=0)),
        weights,
        first,
    )
    return np.tile(lengths, len(orders)) / len(orders), drawn


def _killing(weights: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    slots, kept = len(weights), weights / weights.max()
    turns = 1 - kept
    turns[first] += 1 / weights.max()
    axes = [
        _cut(np.cumsum(turns)[:-1] / turns.sum()),
        *[_cut(kept[[i]]) for i in range(slots)],
        *[_cut(np.cumsum(weights)[:-1])] * slots,
    ]
    middles, volumes = _grid(*axes)
    example = CONDITIONAL["killing"].noise(jax.random.key(0), slots)
    noise = type(example)(
        middles[:, 0], type(example.slots)(middles[:, 1 : slots + 1], middles[:, slots + 1 :])
    )
    return volumes, _place("killing", noise, weights, first)


CELLS = {"multinomial": _multinomial, "systematic": _systematic, "killing": _killing}


# --- models
# ------------------------------------------------------------------------------------------


@cache
def next_probs(prefix: Tokens) -> np.ndarray:
    return np.random.default_rng([48, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def sparse_probs(prefix: Tokens) -> np.ndarray:
    """No token 1 after 0, 0 or after 1, 1: fewer trajectories, and remainders that do not fit every
    past."""
    probs = next_probs(prefix) * (1.0, prefix[-1:] != (0,) and prefix[-2:] != (1, 1), 1.0)
    return probs / probs.sum()


@cache
def line_probs(prefix: Tokens) -> np.ndarray:
    """Token 0, or the end."""
    probs = next_probs((7, *prefix)) * (1.0, 0.0, 1.0) + (0.1, 0.0, 0.1)
    return probs / probs.sum()


@cache
def log_odds(prefix: Tokens) -> float:
    """Zero midway, where a trajectory goes 0, 0, and where it ends after 1."""
    if (prefix[:2] == (0, 0) and len(prefix) > 1) or prefix == (1, EOS):
        return -np.inf
    return float(np.random.default_rng([137, *prefix]).normal(0, 1.5))


@cache
def positive_log_odds(prefix: Tokens) -> float:
    return float(np.random.default_rng([139, *prefix]).normal(0, 1.5))


FULL, SPARSE, LINE = (DecidedLM(probs, eos=EOS) for probs in (next_probs, sparse_probs, line_probs))


@dataclass(frozen=True)
class Case:
    """A declared target and what trajectories are drawn from."""

    target: Target | None = field(default_factory=Product)
    alpha: float = 1.0
    prior: Sampling = Sampling()
    proposal: Sampling | None = None
    constraint: Callable[[Tokens], bool] | None = None
    max_steps: int = 3
    lm: TableLM = FULL
    reward: Callable[[Tokens], float] = log_odds

    def __str__(self) -> str:
        likelihood = "none" if self.target is None else f"{self.target.name}^{self.target.beta:g}"
        parts = [
            likelihood,
            f"alpha{self.alpha:g}",
            f"T{self.max_steps}",
            {FULL: "full", SPARSE: "sparse", LINE: "line"}[self.lm],
        ]
        names = {Sampling(): "plain", HOT: "hot", COLD: "cold", TOP: "top", None: ""}
        parts += [f"p-{names[self.prior]}"] * (self.prior != Sampling()) + [
            f"q-{names[self.proposal]}"
        ] * (self.proposal is not None)
        return "-".join([*parts, *["constrained"] * (self.constraint is not None)])

    @cached_property
    def q(self) -> Sampling:
        return self.proposal or self.prior

    @cached_property
    def model(self) -> StateSpaceModel:
        return StateSpaceModel(
            "?",
            lm=self.lm,
            prm=None if self.target is None else FunctionReward(lambda x: self.reward(x.token_ids)),
            target=self.target or "product",
            alpha=self.alpha,
            prior=self.prior,
            max_steps=self.max_steps,
            stop_at_answer=False,
            constraint=None if self.constraint is None else lambda x: self.constraint(x.token_ids),
        )

    def masses(self, stop: int | None = None, power: float = 1.0) -> dict[Tokens, float]:
        """gamma, tempered to `power`, of every trajectory that is complete, or stopped after `stop`
        steps; those of positive mass."""
        longest = self.max_steps if stop is None else stop
        every = (x for length in range(1, longest + 1) for x in product(range(3), repeat=length))
        whole = [x for x in every if EOS not in x[:-1] and (x[-1] == EOS or len(x) == longest)]
        return {x: mass for x in whole if (mass := self.mass(x, power)) > 0}

    def mass(self, x: Tokens, power: float = 1.0) -> float:
        closed = x[-1] == EOS or len(x) == self.max_steps
        prefixes = [x[: t + 1] for t in range(len(x))]
        prior = prod(self._prior(prefix) for prefix in prefixes) ** (1 + power * (self.alpha - 1))
        if closed and self.constraint is not None and not self.constraint(x):
            return 0.0
        rewards = [1 / (1 + np.exp(-self.reward(prefix))) for prefix in prefixes]
        match self.target:
            case None:
                likelihood = 1.0
            case Odds():
                likelihood = prod(np.exp(self.reward(prefix)) for prefix in prefixes)
            case Final(aggregate="last" | "mean" as aggregate):
                likelihood = rewards[-1] if aggregate == "last" else sum(rewards) / len(x)
                likelihood = likelihood if closed else max(likelihood, FLOOR)
            case _:
                likelihood = prod(rewards)
        beta = 0.0 if self.target is None else self.target.beta
        return prior * likelihood ** (beta * power) if beta * power else prior

    def _prior(self, prefix: Tokens) -> float:
        """p of the prefix's last token."""
        probs = self.lm.next_probs(prefix[:-1])
        if self.prior.top_k is not None:
            probs = np.where(probs >= np.sort(probs)[-self.prior.top_k], probs, 0)
        probs = probs ** (1 / self.prior.temperature) * (probs > 0)
        return float(probs[prefix[-1]] / probs.sum())

    def particles(
        self, stop: int | None = None, proposal: Sampling | None = None
    ) -> dict[Tokens, Particle]:
        """Every trajectory that can be drawn, as the model's own code makes it."""
        root = [Particle(self.model.lm.start("?"), ())]
        drawn = [
            x
            for _, [x] in TREE.walk(
                lambda: complete(
                    self.model.stepwise(proposal or self.q), proposal or self.q, None, root, stop
                )
            )
        ]
        return {x.trajectory.token_ids: x for x in drawn}


# --- matrices
# ------------------------------------------------------------------------------------------


def matrix_of(kernel: Callable[[Any], dict[Any, float]], starts: dict[Any, Any]) -> np.ndarray:
    """The transition matrix between these states, from the law of a move from each; it must not
    lead to any other."""
    column, matrix = {x: i for i, x in enumerate(starts)}, np.zeros((len(starts), len(starts)))
    for x, state in starts.items():
        for y, chance in kernel(state).items():
            matrix[column[x], column[y]] += chance
    return matrix


def walked(kernel: Callable[[Any], Any]) -> Callable[[Any], dict[Any, float]]:
    """The law of what a kernel makes of a state."""

    def outcomes(state: Any) -> dict[Any, float]:
        total: dict[Any, float] = defaultdict(float)
        for chance, outcome in TREE.walk(lambda: kernel(state)):
            total[outcome] += chance
        return total

    return outcomes


def distribution(masses: dict[Any, float]) -> np.ndarray:
    return np.array(list(masses.values())) / sum(masses.values())


def error(matrix: np.ndarray, target: np.ndarray) -> float:
    """How far the target is from invariant."""
    assert np.abs(matrix.sum(axis=1) - 1).max() <= 1e-12
    return float(np.abs(target @ matrix - target).max())


def distance(matrix: np.ndarray, target: np.ndarray, sweeps: int = 10_000) -> float:
    """How far from the target it still is after so many sweeps, from the worst start."""
    return float(np.abs(np.linalg.matrix_power(matrix, sweeps) - target).sum(axis=1).max() / 2)


def check(matrix: np.ndarray, target: np.ndarray) -> None:
    assert len(target) > 1
    assert error(matrix, target) <= 1e-12
    assert distance(matrix, target) <= 1e-6


def test_the_identity_is_invariant_and_does_not_converge():
    target = distribution(Case().masses())
    assert error(np.eye(len(target)), target) == 0
    assert distance(np.eye(len(target)), target) > 0.5


@pytest.mark.parametrize(
    "case", [Case(), Case(prior=HOT, max_steps=4), Case(lm=SPARSE, prior=TOP)], ids=str
)
def test_the_tree_reaches_everything_once(case):
    root = [Particle(case.model.lm.start("?"), ())]
    leaves = [
        (chance, x.trajectory.token_ids)
        for chance, [x] in TREE.walk(
            lambda: complete(case.model.stepwise(case.q), case.q, None, root)
        )
    ]
    assert len({x for _, x in leaves}) == len(leaves)
    prior = replace(case, target=None).masses()
    assert {x for _, x in leaves} == set(prior)
    assert all(abs(chance - prior[x]) < 1e-14 for chance, x in leaves)


# --- suffix moves
# ------------------------------------------------------------------------------------------


def last_of(particle: Particle, fresh: dict[Tokens, Particle]) -> Tokens:
    """Its tokens; all else that it carries must be what these tokens have when they are drawn at
    once."""
    tokens = particle.trajectory.token_ids
    told, drawn = described(particle), described(fresh[tokens])
    assert (
        np.allclose([*told[1:3], *told[5]], [*drawn[1:3], *drawn[5]], rtol=0, atol=1e-12)
        and told[3:5] == drawn[3:5]
    )
    return tokens


def described(particle: Particle) -> tuple[Any, ...]:
    x = particle.trajectory
    return (
        x.token_ids,
        x.logprob,
        x.proposal_logprob,
        x.finished,
        x.truncated,
        [np.exp(v) for v in particle.log_odds],
    )


def swept_by(sampler: Any, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of a chain's iteration, and its target."""
    masses, fresh = case.masses(), case.particles(proposal=sampler.proposed(case.model))
    kernel = walked(
        lambda x: last_of(
            sampler.bind(case.model, KEYS).sweep(KEYS, Chains(0, (x,), (), {})).current[0], fresh
        )
    )
    return matrix_of(kernel, {x: fresh[x] for x in masses}), distribution(masses)


def even_zeros(x: Tokens) -> bool:
    return x.count(0) % 2 == 0


SUFFIX = [
    Case(),
    Case(max_steps=4),
    Case(proposal=HOT, max_steps=4),
    Case(Product(beta=0.5), lm=SPARSE, max_steps=4),
    Case(Product(beta=2.0), proposal=COLD),
    Case(Product(beta=0.0)),
    Case(Odds()),
    Case(Odds(beta=0.5), prior=HOT, proposal=COLD),
    Case(Final(floor=FLOOR), proposal=HOT),
    Case(Final(aggregate="mean", floor=FLOOR, beta=2.0)),
    Case(Final(aggregate="mean", floor=FLOOR), alpha=2.0, max_steps=4),
    Case(alpha=2.0),
    Case(alpha=2.0, prior=HOT, proposal=Sampling()),
    Case(None, alpha=2.0),
    Case(constraint=even_zeros, proposal=HOT),
    Case(prior=TOP, proposal=Sampling()),
]


@pytest.mark.long(quick=4)
@pytest.mark.parametrize("case", SUFFIX, ids=str)
def test_suffix_metropolis(case):
    check(*swept_by(SuffixMetropolis(chains=1, proposal=case.proposal), case))


def test_moves_of_an_iteration_follow_one_another():
    case = Case(Odds(), proposal=HOT, lm=LINE, reward=positive_log_odds)
    once, _ = swept_by(SuffixMetropolis(chains=1, proposal=case.proposal), case)
    twice, target = swept_by(SuffixMetropolis(chains=1, proposal=case.proposal, moves=2), case)
    check(twice, target)
    assert np.abs(once @ once - twice).max() < 1e-13


@pytest.mark.parametrize(
    "case",
    [
        Case(None, alpha=4.0),
        Case(alpha=2.0, max_steps=4),
        Case(alpha=0.5),
        Case(Odds(), alpha=2.0, prior=HOT),
        Case(alpha=2.0, prior=TOP),
    ],
    ids=str,
)
def test_power_metropolis(case):
    sampler = PowerMetropolis(chains=1)
    assert sampler.proposed(case.model) != case.prior
    check(*swept_by(sampler, case))


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize(
    "case",
    [
        Case(max_steps=4),
        Case(Final(floor=FLOOR), proposal=HOT, max_steps=4),
        Case(Final(aggregate="mean", floor=FLOOR), max_steps=4),
        Case(Odds(beta=0.5), alpha=2.0, proposal=COLD, max_steps=4),
        Case(constraint=even_zeros, max_steps=4),
    ],
    ids=str,
)
def test_resample_move_between_steps(case, stop):
    """Before step t = stop + 1 the target is gamma_t-1 on open trajectories: twists included, under
    no constraint. Closed ones stay."""
    rejuvenate = ResampleMove(proposal=case.proposal).resampler(case.model).rejuvenate
    fresh = case.particles(stop)
    kernel = walked(lambda x: last_of(rejuvenate(stop + 1, None, [x])[0], fresh))
    masses = {x: mass for x, mass in case.masses(stop).items() if fresh[x].trajectory.open}
    check(matrix_of(kernel, {x: fresh[x] for x in masses}), distribution(masses))
    closed = [x for x in fresh.values() if not x.trajectory.open]
    assert closed and rejuvenate(stop + 1, None, closed) == closed


def test_closing_by_a_move_would_be_seen():
    """Planted: a move that may close a trajectory leaves gamma_t-1 as a whole as it is, but not on
    those that are open."""
    case, stop = Case(max_steps=4), 2
    stepwise, fresh = StepwiseModel(case.model, case.q), case.particles(2)
    masses = case.masses(stop)
    weigh = partial(suffix_move, stepwise, case.q, None, stop=stop)
    kernel = walked(
        lambda x: (
            weigh([x], lambda _, y: sum(stepwise.log_potentials(y)))
            .particles[0]
            .trajectory.token_ids
        )
    )
    matrix, whole = matrix_of(kernel, {x: fresh[x] for x in masses}), distribution(masses)
    check(matrix, whole)
    opened = np.array([fresh[x].trajectory.open for x in masses])
    assert (
        error(
            np.where(np.eye(len(masses), dtype=bool), 1.0, 0.0) * ~opened[:, None]
            + matrix * opened[:, None],
            whole,
        )
        > 1e-3
    )


def faulty_suffix(case: Case, log_weight: Callable[[Particle], float]) -> float:
    masses, fresh = case.masses(), case.particles()
    kernel = walked(
        lambda x: (
            suffix_move(case.model.stepwise(case.q), case.q, None, [x], lambda _, y: log_weight(y))
            .particles[0]
            .trajectory.token_ids
        )
    )
    return error(matrix_of(kernel, {x: fresh[x] for x in masses}), distribution(masses))


def test_acceptance_without_lengths_would_be_seen():
    """Planted: L'/L without tau / tau'."""
    case = Case()
    stepwise = StepwiseModel(case.model, case.q)
    assert faulty_suffix(case, lambda x: sum(stepwise.log_potentials(x))) <= 1e-12
    assert (
        faulty_suffix(case, lambda x: sum(stepwise.log_potentials(x)) + np.log(x.trajectory.depth))
        > 1e-3
    )


def test_a_forgotten_proposal_would_be_seen():
    """Planted: gamma(x') / gamma(x) without q. It is not wrong only where q is the prior and gamma
    is taken relative to it."""
    case = Case(proposal=HOT)
    assert faulty_suffix(case, case.model.log_likelihood) > 1e-3
    assert faulty_suffix(case, case.model.log_density) > 1e-3
    assert faulty_suffix(Case(), Case().model.log_likelihood) <= 1e-12


# --- delayed acceptance
# ------------------------------------------------------------------------------------------


@cache
def draft_probs(prefix: Tokens) -> np.ndarray:
    return (next_probs(prefix) + np.random.default_rng([149, *prefix]).dirichlet([2, 1.5, 1])) / 2


@cache
def cheap_log_odds(prefix: Tokens) -> float:
    return float(np.random.default_rng([151, *prefix]).normal(0, 1.5))


DRAFT = DecidedLM(draft_probs, eos=EOS)
CHEAP = FunctionReward(lambda x: cheap_log_odds(x.token_ids))
SHORT_LINE = Case(lm=LINE, reward=positive_log_odds)
DELAYED = {
    "the same reward": (Case(), {"draft": DRAFT}),
    "another reward": (Case(), {"draft": DRAFT, "cheap_prm": CHEAP}),
    "another reward alone": (Case(), {"cheap_prm": CHEAP}),
    "neither": (Case(), {}),
    "no reward": (Case(None, max_steps=4), {"draft": DRAFT}),
    "odds": (Case(Odds(beta=0.5), prior=HOT), {"draft": DRAFT, "cheap_prm": CHEAP}),
    "final": (Case(Final(floor=FLOOR)), {"draft": DRAFT, "cheap_prm": CHEAP}),
    "mean": (
        Case(Final(aggregate="mean", floor=FLOOR, beta=2.0), proposal=HOT),
        {"draft": DRAFT, "cheap_prm": CHEAP},
    ),
    "power": (Case(alpha=2.0), {"draft": DRAFT, "cheap_prm": CHEAP}),
    "power of the prior": (Case(None, alpha=2.0, proposal=COLD), {"draft": DRAFT}),
    "constrained": (Case(constraint=even_zeros, max_steps=4), {"draft": DRAFT}),
    "what the model cannot write": (Case(lm=SPARSE, max_steps=4), {"draft": DRAFT}),
    "two moves of the draft": (SHORT_LINE, {"draft": DRAFT, "draft_moves": 2}),
    "two tries": (SHORT_LINE, {"draft": DRAFT, "cheap_prm": CHEAP, "moves": 2}),
}


def delayed_by(case: Case, **settings: Any) -> tuple[np.ndarray, dict[Tokens, float], Any]:
    """The matrix of an iteration between all trajectories that the draft can write and that have
    mass, their masses, and what was seen."""
    sampler = DelayedAcceptance(chains=1, warmup=0, proposal=case.proposal, **settings)
    bound, root = sampler.bind(case.model, KEYS), case.model.root()
    drawn = [
        x
        for _, [x] in TREE.walk(lambda: complete(bound.stepwise, bound.proposed, None, [root]))
        if not x.impossible
    ]
    read = bound.screening.read([bound.screening.unread(root)] * len(drawn), drawn)
    states = {x.cheap.trajectory.token_ids: x for x in read}
    told = case.particles(proposal=case.prior if sampler.draft else bound.proposed)
    masses = {x: mass for x, mass in case.masses().items() if x in states}

    def kernel(state: Screened) -> Tokens:
        [after] = bound.sweep(KEYS, Chains(0, (state,), (), {})).current
        tokens = last_of(after.full, told)
        fresh = states[tokens]
        assert np.allclose(after.log_weight, fresh.log_weight, rtol=0, atol=1e-12)
        last_of(after.cheap, {tokens: fresh.cheap})
        return tokens

    return matrix_of(walked(kernel), {x: states[x] for x in masses}), masses, states


@pytest.mark.long(quick=3)
@pytest.mark.parametrize("name", DELAYED)
def test_delayed_acceptance(name):
    case, settings = DELAYED[name]
    matrix, masses, _ = delayed_by(case, **settings)
    assert masses == case.masses()  # the draft can write all of it
    target = distribution(masses)
    check(matrix, target)
    if settings.get("moves", 1) == 1:  # each try is in detailed balance
        flow = target[:, None] * matrix
        assert np.abs(flow - flow.T).max() <= 1e-12


def test_a_target_that_screens_for_itself_is_suffix_metropolis():
    """A draft equal to the model: whatever is promoted is accepted."""
    plain, _ = swept_by(SuffixMetropolis(chains=1), Case())
    for settings in ({}, {"draft": DecidedLM(next_probs, eos=EOS)}):
        matrix, masses, states = delayed_by(Case(), **settings)
        assert np.abs(matrix - plain).max() < 1e-13
        assert np.allclose([states[x].log_weight for x in masses], 0, atol=1e-13)


@pytest.mark.slow
def test_moves_of_the_draft_are_its_kernel_to_a_power():
    """With S moves the chance to go from x to y is K^S(x, y) min(1, w(y) / w(x)), where K moves
    by the cheap target alone."""
    one, two = DELAYED["two moves of the draft"]
    matrix, masses, states = delayed_by(one, **two)
    cheap = replace(one, lm=DRAFT)
    alone, _ = swept_by(SuffixMetropolis(chains=1), cheap)
    order = [list(cheap.masses()).index(x) for x in masses]
    assert set(masses) < set(cheap.masses())  # the draft also writes what has no mass
    twice = (alone @ alone)[np.ix_(order, order)]
    weights = np.exp([states[x].log_weight for x in masses])
    expected = twice * np.minimum(1, weights[None] / weights[:, None])
    np.fill_diagonal(expected, 0)
    np.fill_diagonal(expected, 1 - expected.sum(axis=1))
    assert np.abs(matrix - expected).max() < 1e-13


def test_a_second_stage_without_the_cheap_target_would_be_seen(monkeypatch):
    """Planted: min(1, pi(y) / pi(x))."""
    monkeypatch.setattr(
        Screening, "_log_weight", lambda self, full, cheap: self.model.log_density(full)
    )
    matrix, masses, _ = delayed_by(Case(), draft=DRAFT)
    assert error(matrix, distribution(masses)) > 1e-3


def test_stale_log_probabilities_of_the_draft_would_be_seen(monkeypatch):
    """Planted: a trajectory is weighed by the draft's log-probability of the one before it."""
    honest = Screening.read

    def stale(self, olds, news):
        rows = zip(olds, honest(self, olds, news), strict=True)
        return [
            new._replace(
                log_weight=new.log_weight
                + new.cheap.trajectory.logprob
                - old.cheap.trajectory.logprob
            )
            for old, new in rows
        ]

    case, settings = DELAYED["the same reward"]
    sampler = DelayedAcceptance(chains=1, **settings)
    bound, root = sampler.bind(case.model, KEYS), case.model.root()
    drawn = case.particles()
    cheap = [
        x for _, [x] in TREE.walk(lambda: complete(bound.stepwise, bound.proposed, None, [root]))
    ]
    read = bound.screening.read([bound.screening.unread(root)] * len(cheap), cheap)
    monkeypatch.setattr(Screening, "read", stale)
    masses = case.masses()
    starts = {x.cheap.trajectory.token_ids: x for x in read}

    def kernel(state: Screened) -> Tokens:
        [after] = bound.sweep(KEYS, Chains(0, (state,), (), {})).current
        return after.full.trajectory.token_ids

    assert set(masses) <= set(drawn)
    matrix = matrix_of(walked(kernel), {x: starts[x] for x in masses})
    assert error(matrix, distribution(masses)) > 1e-3


def test_a_draft_without_support_leaves_the_target_and_never_gets_there():
    """A draft that never writes 1 after 0: what it can write keeps its proportions, and all else
    is missed, by as much as it weighs."""

    @cache
    def blind(prefix: Tokens) -> np.ndarray:
        probs = draft_probs(prefix) * (1.0, prefix[-1:] != (0,), 1.0)
        return probs / probs.sum()

    case = Case(reward=positive_log_odds)
    matrix, masses, _ = delayed_by(case, draft=DecidedLM(blind, eos=EOS))
    every = case.masses()
    missed = {x for x in every if (0, 1) in pairwise(x)}
    assert missed == set(every) - set(masses) != set()
    check(matrix, distribution(masses))
    assert sum(every[x] for x in missed) / sum(every.values()) > 0.05


# --- particle Gibbs
# ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """One sweep of particle Gibbs."""

    case: Case
    slots: int = 2
    scheme: str = "multinomial"
    kappa: float = 1.0
    past: str = "reference"
    stepwise: type[StepwiseModel] = StepwiseModel

    def __str__(self) -> str:
        return f"{self.case}-N{self.slots}-{self.scheme}-kappa{self.kappa:g}-{self.past}"

    @cached_property
    def resampling(self) -> Resampling:
        return Resampling(self.scheme, self.kappa)

    def matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """By generations."""
        masses, fresh = self.case.masses(), self.case.particles()
        return matrix_of(
            partial(self.generations, fresh), {x: fresh[x] for x in masses}
        ), distribution(masses)

    def matrix_by_leaves(self) -> np.ndarray:
        """The whole sweep as `ParticleGibbs` makes it, walked to every leaf."""
        masses, fresh = self.case.masses(), self.case.particles()

        def kernel(x: Particle) -> Tokens:
            [(y, moved)] = gibbs_moves(
                [self.case.model], self.case.q, [KEYS], [x], self.slots, self.resampling, self.past
            )
            assert len(moved) == y.trajectory.depth
            return last_of(y, fresh)

        return matrix_of(walked(kernel), {x: fresh[x] for x in masses})

    def generations(self, fresh: dict[Tokens, Particle], particle: Particle) -> dict[Tokens, float]:
        """The law of the next trajectory: of every generation all distinct states, with their
        probabilities."""
        reference = objects(particle.path)
        model = self.stepwise(self.case.model, self.case.q, root=reference[0])
        state, reference, step = captured(
            model, reference, self.slots, self.resampling, self.past == "ancestor"
        )
        total: dict[Tokens, float] = defaultdict(float)
        frontier = [(1.0, state, reference)]
        while frontier:
            states: dict[Any, list[Any]] = {}
            for before, state, reference in frontier:
                for chance, (happened, following) in TREE.walk(partial(step, state, reference)):
                    states.setdefault(
                        identity(happened.state, following), [0.0, happened.state, following]
                    )[0] += before * chance
            frontier = []
            for chance, state, reference in states.values():
                if len(movable(model, state.particles, state.log_weights)):
                    frontier.append((chance, state, reference))
                    continue
                for slot in np.flatnonzero(state.log_weights > -np.inf):
                    last = state.particles[slot]
                    tokens = (
                        last_of(last, fresh)
                        if self.stepwise is StepwiseModel
                        else last.trajectory.token_ids
                    )
                    total[tokens] += chance * np.exp(state.log_weights[slot])
        return total


def captured(*arguments: Any) -> tuple[Any, Any, Any]:
    """What `conditional` hands to the loop over generations: its first state, the reference and one
    step."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            conditional_smc,
            "keep_all",
            lambda model, state, reference, step, length: seen.append((state, reference, step)),
        )
        model, *rest = arguments
        conditional_smc.conditional(model, KEYS, *rest)
    return seen[0]


def identity(state: Any, reference: np.ndarray) -> tuple[Any, ...]:
    """All of a state that what follows can depend on, which slots share a node included."""
    rest = reference[min(state.t, len(reference) - 1) :]
    nodes = [
        *(x.trajectory for x in state.particles),
        reference[-1].trajectory.path[min(state.t, reference[-1].trajectory.depth)],
    ]
    first: dict[int, int] = {}
    shared = [first.setdefault(id(node), i) for i, node in enumerate(nodes)]
    return (
        tuple(shared),
        rounded(np.exp(state.log_weights)),
        *map(particular, state.particles),
        *map(particular, rest),
    )


def particular(particle: Particle) -> tuple[Any, ...]:
    x = particle.trajectory
    return (
        x.token_ids,
        x.open,
        rounded([x.logprob, x.proposal_logprob, *particle.log_odds, particle.log_twist]),
    )


def rounded(values: Any) -> tuple[float, ...]:
    return tuple(round(float(value), 12) for value in values)


LEAVES = [
    Sweep(Case(lm=LINE, reward=positive_log_odds)),
    Sweep(Case(lm=LINE, reward=positive_log_odds, proposal=HOT), 2, "systematic", past="ancestor"),
    Sweep(Case(Final(floor=FLOOR), lm=SPARSE), 2, "killing", 0.7, past="ancestor"),
    Sweep(Case(lm=LINE, reward=positive_log_odds, max_steps=2), 3, "systematic", past="ancestor"),
]


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("sweep", LEAVES, ids=str)
def test_states_may_be_merged(sweep):
    matrix, target = sweep.matrix()
    check(matrix, target)
    assert np.abs(sweep.matrix_by_leaves() - matrix).max() < 1e-12


CASES = [
    Case(lm=SPARSE),
    Case(Product(beta=0.5), alpha=2.0, proposal=HOT, lm=SPARSE, reward=positive_log_odds),
    Case(Final(floor=FLOOR), proposal=HOT, lm=SPARSE),
    Case(Final(aggregate="mean", floor=FLOOR, beta=2.0), constraint=even_zeros, lm=SPARSE),
    Case(Odds(), prior=TOP, proposal=Sampling(), lm=SPARSE),
]
PASTS, KAPPAS = ("reference", "ancestor"), (1.0, 0.7)
LONG = Case(Final(floor=FLOOR), proposal=HOT, lm=SPARSE, max_steps=4)
QUICK = [
    *[
        Sweep(case, 2, scheme, kappa, past)
        for case, scheme, kappa, past in product(CASES, CELLS, KAPPAS, PASTS)
    ],
    *[
        Sweep(replace(LONG, target=target), 2, "systematic", 1.0, past)
        for target, past in product((LONG.target, Product()), PASTS)
    ],
    *[Sweep(CASES[0], 3, scheme, 1.0, "ancestor") for scheme in ("systematic", "killing")],
    *[Sweep(CASES[2], 3, scheme, 0.7, "ancestor") for scheme in CELLS],
]
# Of two slots every combination is tried; of three a half, in which each pair of choices occurs.
HALF = [
    combination
    for combination, (i, j, k, m) in zip(
        product(CASES, CELLS, KAPPAS, PASTS),
        product(range(len(CASES)), range(len(CELLS)), range(2), range(2)),
        strict=True,
    )
    if (i + j + k + m) % 2 == 0
]
LARGE = [
    *[Sweep(case, 3, *rest) for case, *rest in HALF if Sweep(case, 3, *rest) not in QUICK],
    *[
        Sweep(replace(LONG, lm=LINE, reward=positive_log_odds), 3, scheme, 1.0, "ancestor")
        for scheme in CELLS
    ],
    *[
        Sweep(Case(lm=LINE, reward=positive_log_odds), 4, scheme, 1.0, past)
        for scheme, past in product(CELLS, PASTS)
        if scheme != "multinomial"  # whose slots are drawn apart, so that a fourth is as the third
    ],
    Sweep(replace(LONG, max_steps=2), 4, "systematic", 1.0, "ancestor"),
]


@pytest.mark.long(quick=12)  # every scheme, threshold and past of one model
@pytest.mark.parametrize("sweep", QUICK, ids=str)
def test_particle_gibbs(sweep):
    check(*sweep.matrix())


@pytest.mark.statistics
@pytest.mark.parametrize("sweep", LARGE, ids=str)
def test_particle_gibbs_with_more_particles(sweep):
    check(*sweep.matrix())


def test_references_have_random_lengths_and_some_meet_a_zero():
    for case in CASES:
        masses, every = case.masses(), case.particles()
        assert len({len(x) for x in masses}) > 1 and {x[-1] == EOS for x in masses} == {True, False}
        assert case.reward is positive_log_odds or len(masses) < len(every)


def overwritten(weights: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Planted: an ordinary systematic draw, permuted, whose first slot is overwritten."""
    slots, ends = len(weights), np.cumsum(weights)
    middles, lengths = _cut((slots * ends) % 1)
    orders = list(permutations(range(slots)))
    drawn = np.array(
        [
            np.minimum(np.searchsorted(ends, (np.arange(slots) + u) / slots), slots - 1)[list(o)]
            for o in orders
            for u in middles
        ]
    )
    drawn[:, 0] = first
    return np.tile(lengths, len(orders)) / len(orders), drawn


@pytest.mark.statistics
def test_an_overwritten_slot_would_be_seen_at_three_particles(monkeypatch):
    """At N = 2 there is nothing to see: the other slot's law given either ancestor is what it
    should be."""
    monkeypatch.setitem(CELLS, "systematic", overwritten)
    law.cache_clear()
    try:
        assert error(*Sweep(CASES[0], 2, "systematic").matrix()) <= 1e-12
        assert error(*Sweep(CASES[0], 3, "systematic").matrix()) > 1e-5
        assert error(*Sweep(CASES[2], 3, "systematic", past="ancestor").matrix()) > 1e-5
    finally:
        law.cache_clear()


class ComparedTooLate(StepwiseModel):
    """Planted: the reference's remainder is compared from one step later on."""

    def log_splice(self, t, particles, reference):
        values = super().log_splice(t, particles, reference)
        for i in np.flatnonzero(values > -np.inf):
            if particles[i].trajectory.open:
                values[i] -= self._log_increment(self._spliced[particles[i].trajectory, t][0])
        return values


class ComparedWithoutTwists(StepwiseModel):
    """Planted: the denominator is the prior and the likelihood without the twist that the
    particle's weight contains."""

    def log_splice(self, t, particles, reference):
        values = super().log_splice(t, particles, reference)
        return values + [
            np.log(max(1 / (1 + np.exp(-x.log_odds[-1])), FLOOR))
            if x.trajectory.open and x.log_odds
            else 0
            for x in particles
        ]


class Stale(StepwiseModel):
    """Planted: a spliced remainder keeps the log-probabilities and scores that it had behind its
    own past."""

    def splice(self, t, particle, reference):
        spliced = super().splice(t, particle, reference)
        node, scores = particle.trajectory, particle.log_odds
        for s in range(t, len(spliced)):
            kept, old = reference[s].trajectory, spliced[s].trajectory
            log_p, log_q = kept.step_logprob, kept.step_proposal_logprob
            ends = {"finished": old.finished, "truncated": old.truncated}
            node = node.child(
                old.step_text, old.step_token_ids, logprob=log_p, proposal_logprob=log_q, **ends
            )
            scores = (*scores, reference[s].log_odds[-1])
            spliced[s] = Particle(node, scores)
        return spliced


class OpenAncestors(StepwiseModel):
    """Planted: an ended reference may descend from an open particle."""

    def log_splice(self, t, particles, reference):
        ended = not reference[-1].trajectory.path[t:]
        return np.zeros(len(particles)) if ended else super().log_splice(t, particles, reference)

    def splice(self, t, particle, reference):
        ended = not reference[-1].trajectory.path[t:]
        return (
            reference
            if ended and particle.trajectory.open
            else super().splice(t, particle, reference)
        )


@pytest.mark.parametrize("fault", [ComparedTooLate, ComparedWithoutTwists, Stale, OpenAncestors])
def test_faulty_splices_would_be_seen(fault):
    assert error(*Sweep(CASES[2], past="ancestor", stepwise=fault).matrix()) > 1e-4


# --- particle Gibbs under a prior that thinks in chunks
# ------------------------------------------------------------------------------------------


ASK, HEADING = (7,), (8,)
SUMMARY = Summary(tokens=1, ask="ask", heading="heading", closing="")
ENCODED = {"ask": ASK, "heading": HEADING}.__getitem__


def chunks_of(lm: type[ChunkedThinking], carry: Any, table: TableLM = SPARSE) -> ChunkedThinking:
    return lm(table, tokens=2, carry=carry, encode=ENCODED)


@dataclass(frozen=True)
class Chunks(Case):
    """Chunks of two tokens that carry one, or a summary of one."""

    max_steps: int = 4

    def __str__(self) -> str:
        return f"{type(self.lm.carry).__name__}-T{self.max_steps}-{self.target.name}"

    def _before(self, x: Tokens) -> list[tuple[Tokens, bool]]:
        """What is read before each token, and whether that is one of a summary."""
        read, found, summarises = (), [], False
        for token in x:
            found.append((read, summarises))
            read = (*read, token)
            if summarises:
                read, summarises = (*HEADING, *([] if token == EOS else [token])), False
            elif len(read) >= 2 and self.lm.carry == 1:
                read = (token,)
            elif len(read) >= 2 and token != EOS:
                read, summarises = (*read, *ASK), True
        return found

    def _prior(self, prefix: Tokens) -> float:
        read, _ = self._before(prefix)[-1]
        return float(self.lm.lm.next_probs(read)[prefix[-1]])

    def _ends(self, x: Tokens) -> bool:
        return x[-1] == EOS and not self._before(x)[-1][1]

    def masses(self, stop: int | None = None, power: float = 1.0) -> dict[Tokens, float]:
        every = (x for n in range(1, self.max_steps + 1) for x in product(range(3), repeat=n))
        open_before = (x for x in every if not any(self._ends(x[:t]) for t in range(1, len(x))))
        whole = [x for x in open_before if self._ends(x) or len(x) == self.max_steps]
        return {x: mass for x in whole if (mass := self.mass(x, power)) > 0}


CHUNKS = [
    Chunks(lm=chunks_of(ChunkedThinking, SUMMARY, LINE), max_steps=5, reward=positive_log_odds),
    Chunks(lm=chunks_of(ChunkedThinking, 1)),
]


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("case", CHUNKS, ids=str)
def test_ancestor_sampling_that_needs_the_carry_alone(case):
    check(*Sweep(case, 2, "systematic", past="ancestor").matrix())


@pytest.mark.slow
@pytest.mark.parametrize("case", CHUNKS, ids=str)
def test_the_same_with_more_particles(case):
    check(*Sweep(case, 3, "killing", 0.7, past="ancestor").matrix())


class Remembered(ChunkedThinking):
    """Planted: a remainder is worth behind every past what it is behind its own."""

    def continued(self, trajectories, steps, *, prior, proposal):
        ends = super().continued(trajectories, steps, prior=prior, proposal=proposal)
        for row, head in enumerate(trajectories):
            for step in steps if ends[row] is not None else ():
                head = ends[row] = head.child(
                    step.step_text,
                    step.step_token_ids,
                    logprob=step.step_logprob,
                    proposal_logprob=step.step_proposal_logprob,
                    finished=step.finished,
                )
        return ends


class Unchecked(StepwiseModel):
    """What is planted is not compared on the way with trajectories that are drawn at once."""


def test_a_remainder_that_is_remembered_behind_another_carry_would_be_seen():
    faulty = chunks_of(Remembered, SUMMARY, LINE)
    case = replace(CHUNKS[0], target=Product(beta=0.5), lm=faulty, proposal=HOT)
    assert error(*Sweep(case, past="ancestor", stepwise=Unchecked).matrix()) > 1e-5


# --- parallel tempering
# ------------------------------------------------------------------------------------------


PAIR = Case(lm=LINE, reward=positive_log_odds)
TEMPERED = {
    "prior": (PAIR, ParallelTempering(chains=1, betas=(1.0, 0.0))),
    "hot": (
        replace(PAIR, target=Final(floor=FLOOR), alpha=2.0, proposal=HOT),
        ParallelTempering(chains=1, betas=(1.0, 0.4), proposal=HOT),
    ),
    "zeros": (
        Case(Product(beta=2.0), lm=SPARSE, max_steps=2),
        ParallelTempering(chains=1, betas=(1.0, 0.0)),
    ),
    "three": (replace(PAIR, max_steps=2), ParallelTempering(chains=1, betas=(1.0, 0.5, 0.1))),
    "gibbs": (
        replace(PAIR, target=Odds(), max_steps=2, proposal=HOT),
        ParallelTempering(
            chains=1, betas=(1.0, 0.3), kernel="gibbs", particles=2, ess_threshold=1.0, proposal=HOT
        ),
    ),
}


def exchanged(
    case: Case, sampler: ParallelTempering, iteration: int
) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of one iteration over the replicas' joint states, and the product of their
    targets."""
    of_replicas = [case.masses(power=power) for power in sampler.betas]
    fresh = case.particles(proposal=sampler.proposed(case.model))
    joint = {
        state: prod(masses[x] for masses, x in zip(of_replicas, state, strict=True))
        for state in product(*of_replicas)
    }

    def kernel(particles):
        state = Chains(iteration, tuple(particles), (), {})
        return tuple(
            last_of(x, fresh) for x in sampler.bind(case.model, KEYS).sweep(KEYS, state).current
        )

    return matrix_of(
        walked(kernel), {state: [fresh[x] for x in state] for state in joint}
    ), distribution(joint)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", TEMPERED)
def test_parallel_tempering(name):
    """Each iteration by itself leaves the joint target as it is, and even and odd ones in turn lead
    there."""
    even, target = exchanged(*TEMPERED[name], 0)
    odd, _ = exchanged(*TEMPERED[name], 1)
    assert error(even, target) <= 1e-12
    assert error(odd, target) <= 1e-12
    assert np.abs(even - odd).max() > 1e-3
    check(even @ odd, target)


def test_an_inverted_swap_would_be_seen(monkeypatch):
    honest = StateSpaceModel.log_excess
    monkeypatch.setattr(
        StateSpaceModel, "log_excess", lambda model, particle: -honest(model, particle)
    )
    matrix, target = exchanged(*TEMPERED["hot"], 0)
    assert error(matrix, target) > 1e-3


# --- replica exchange
# ------------------------------------------------------------------------------------------


POWERED = replace(PAIR, alpha=2.0, max_steps=2)
SHORT = replace(POWERED, max_steps=1)
BOTH = {"chains": 1, "betas": (1.0, 0.5, 0.0), "alphas": (1.0, 0.3, 0.0)}
EXCHANGES = {
    "powers of the prior": (POWERED, ReplicaExchange(chains=1, betas=(1, 1), alphas=(1, 0.2))),
    "no reward": (
        replace(POWERED, target=None, max_steps=3),
        ReplicaExchange(chains=1, betas=(1, 0)),
    ),
    "horizon": (POWERED, ReplicaExchange(chains=1, betas=(1, 0.4), cut="horizon")),
    "both": (SHORT, ReplicaExchange(**BOTH)),
    "in turn": (SHORT, ReplicaExchange(**BOTH, swaps="alternating")),
    "zeros": (
        Case(Product(beta=2.0), lm=SPARSE, max_steps=2),
        ReplicaExchange(chains=1, betas=(1.0, 0.0)),
    ),
    "one proposal": (POWERED, ReplicaExchange(chains=1, betas=(1, 0.4), proposal=HOT)),
    "short horizon": (
        replace(POWERED, max_steps=3),
        ReplicaExchange(chains=1, betas=(1, 0.4), cut="horizon", horizon=2),
    ),
    "constrained": (
        replace(POWERED, target=Final(floor=FLOOR), constraint=even_zeros, lm=SPARSE),
        ReplicaExchange(chains=1, betas=(1.0, 0.0)),
    ),
}


def at_rungs(
    case: Case, sampler: ReplicaExchange, positions: np.ndarray
) -> tuple[list[dict[Tokens, float]], list[dict[Tokens, Particle]]]:
    """What each replica follows, and every trajectory as its own proposal draws it."""
    shares = [
        np.interp(positions, np.arange(len(sampler.betas)), ladder)
        for ladder in (sampler.alphas or sampler.betas, sampler.betas)
    ]
    masses, drawn = [], []
    for a, b in zip(*shares, strict=True):
        alpha = case.alpha**a
        target = None if case.target is None else replace(case.target, beta=case.target.beta * b)
        masses.append(replace(case, alpha=alpha, target=target).masses())
        colder = Sampling(temperature=case.prior.temperature / alpha)
        drawn.append(case.particles(proposal=sampler.proposal or colder))
    return masses, drawn


def exchanging(
    case: Case, sampler: ReplicaExchange, iteration: int = 0, positions: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of one iteration over the replicas' joint states, and the product of their
    targets."""
    positions = np.arange(len(sampler.betas)) if positions is None else np.array(positions)
    masses, drawn = at_rungs(case, sampler, positions)
    joint = {
        state: prod(each[x] for each, x in zip(masses, state, strict=True))
        for state in product(*masses)
    }

    bound = sampler.bind(case.model, KEYS)
    memory = bound._first()._replace(positions=positions)

    def kernel(particles):
        after = bound.sweep(KEYS, Chains(iteration, tuple(particles), (), {}, memory))
        return tuple(last_of(x, fresh) for x, fresh in zip(after.current, drawn, strict=True))

    starts = {state: [fresh[x] for fresh, x in zip(drawn, state, strict=True)] for state in joint}
    return matrix_of(walked(kernel), starts), distribution(joint)


@pytest.mark.long(quick=2)
@pytest.mark.parametrize("name", EXCHANGES)
def test_replica_exchange(name):
    """The joint law of the replicas is left as it is, and reached from everywhere; every replica
    knows the probability of its trajectory under its own proposal."""
    case, sampler = EXCHANGES[name]
    if sampler.swaps == "alternating":
        even, target = exchanging(case, sampler, 0)
        odd, _ = exchanging(case, sampler, 1)
        assert error(even, target) <= 1e-12 and error(odd, target) <= 1e-12
        check(even @ odd, target)
    else:
        check(*exchanging(case, sampler))


def test_a_tuned_ladder_is_a_ladder():
    check(*exchanging(SHORT, ReplicaExchange(**BOTH), positions=[0.0, 0.6, 2.0]))


@pytest.mark.statistics
@pytest.mark.parametrize("cut", ["random", "horizon"])
def test_three_replicas_of_random_length(cut):
    check(*exchanging(POWERED, ReplicaExchange(**BOTH, cut=cut)))


def test_a_swap_with_stale_log_probabilities_would_be_seen(monkeypatch):
    """Planted: the second pair of a sweep compares the replica that the first pair has moved."""
    known: dict[int, Any] = {}

    def stale(upper, lower, one, other):
        place = (id(upper), id(lower))
        return known[place]

    honest = swaps.swap_neighbours

    def planted(models, particles, uniforms, pairs):
        for k in pairs:
            chance = CHANCE(models[k], models[k + 1], particles[k], particles[k + 1])
            known[id(models[k]), id(models[k + 1])] = chance
        return honest(models, particles, uniforms, pairs)

    CHANCE = swaps._chance
    monkeypatch.setattr(swaps, "_chance", stale)
    monkeypatch.setattr(replica_exchange, "swap_neighbours", planted)
    assert error(*exchanging(*EXCHANGES["both"])) > 1e-4
    assert error(*exchanging(*EXCHANGES["powers of the prior"])) <= 1e-12  # one pair: none stale


def test_a_proposal_that_is_the_other_replicas_would_be_seen(monkeypatch):
    """Planted: a trajectory keeps the q of the replica that drew it."""
    bound = replica_exchange.BoundExchange
    monkeypatch.setattr(bound, "_qualified", lambda self, particles, drawn, rungs: [*particles])
    with pytest.raises(AssertionError):
        exchanging(*EXCHANGES["powers of the prior"])


@pytest.mark.parametrize("name", ["horizon", "powers of the prior"])
def test_each_cut_has_its_own_correction(name, monkeypatch):
    """Planted: the other rule's probability to accept."""
    case, sampler = EXCHANGES[name]
    honest, logs = suffix.suffix_move, np.log

    class Lengths:
        """tau / tau' where there should be none, or none where there should be."""

        def __getattr__(self, attribute):
            return getattr(np, attribute)

        def log(self, length):
            return 0.0

    def with_lengths(stepwise, proposal, keys, particles, log_weight, **settings):
        return honest(
            stepwise,
            proposal,
            keys,
            particles,
            lambda i, x: log_weight(i, x) - float(logs(x.length)),
            **settings,
        )

    if name == "horizon":
        monkeypatch.setattr(replica_exchange, "suffix_move", with_lengths)
    else:
        monkeypatch.setattr(suffix, "np", Lengths())
    assert error(*exchanging(case, sampler)) > 1e-3


def test_a_move_that_can_only_shorten_ends_with_short_trajectories():
    """Planted: the refinement of Karan and Du's code rewrites a finished text within its present
    length. Of a text that was cut short nothing longer ever comes back, so that the chain settles
    on one token, at a total variation of one half from the target in this example (2609.38104)."""

    @cache
    def half(prefix: Tokens) -> np.ndarray:
        return np.array([0.5, 0.0, 0.5]) if not prefix else np.array([0.0, 0.0, 1.0])

    case = Case(None, lm=DecidedLM(half, eos=EOS), max_steps=2)
    masses = case.masses()
    fresh = case.particles()
    assert masses == {(EOS,): 0.5, (0, EOS): 0.5}

    def shortening(x: Particle) -> Tokens:
        [cut] = np.floor(Uniforms(None, 1).at(0) * x.length).astype(int).tolist()
        view = case.model.stepwise(case.q)
        [y] = complete(view, case.q, None, [x.path[cut]], stop=x.length)
        log_ratio = np.log(x.length) - np.log(y.length) if y.open is False else -np.inf
        accepted = Uniforms(None, 1).at(1)[0] < np.exp(min(log_ratio, 0.0))
        return (y if accepted else x).trajectory.token_ids

    matrix = matrix_of(walked(shortening), {x: fresh[x] for x in masses})
    target = distribution(masses)
    assert error(matrix, target) > 0.1
    assert abs(distance(matrix, target) - 0.5) < 1e-6
    check(*swept_by(SuffixMetropolis(chains=1), case))
