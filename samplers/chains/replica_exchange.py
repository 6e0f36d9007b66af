"""Replica exchange over powers of the prior and of the likelihood.

Parallel power tempering (2609.38104) runs replicas at p^alpha_k, since p^alpha alone, with alpha
large, is a landscape of separate peaks. Here a replica follows p^alpha_k L^beta_k: both powers go
down the ladder together, each by its own rule, so that the last replica can be the prior itself,
which forgets everything at every draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np

from ... import checks
from ...models.mixture import Law
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...ppl.rescoring import rescored
from ...ppl.statespace import StateSpaceModel
from ...smc import RunKeys, subkeys
from ..filters.power_smc import sharpened
from ..moves import suffix_move
from ..run_facts import Advice
from .chain_sampler import BoundChains, Chains, ChainSampler, Started, Swept
from .ladder import at_positions, check_apart, check_ladder, evened_out, without_returns
from .swaps import Swaps, Travels, swap_neighbours, swap_rates, swap_tallies

CUTS = ("random", "horizon")
SCHEDULES = ("sweep", "alternating")
FIRST_TUNING = 4  # iterations of the warm-up, and at every doubling of them


class Rungs(NamedTuple):
    """What K replicas follow.

    Attributes:
        models: the declared posterior at each place.
        proposals: what each draws its steps from.
        stepwise: each model, step by step.
        anew: which of them follow their own proposal, so that whole draws are accepted; bool,
            shape (K,).
    """

    models: tuple[Declared, ...]
    proposals: tuple[Law | None, ...]
    stepwise: tuple[Stepwise, ...]
    anew: np.ndarray


class Exchange(NamedTuple):
    """What replicas have to remember from one iteration to the next.

    Attributes:
        travels: where each came from.
        positions: where each stands on the way, shape (K,).
        rejected: the sum of the probabilities that neighbours did not swap since the ladder was
            last tuned, shape (K - 1,).
        attempts: how many that are, shape (K - 1,).
    """

    travels: Travels
    positions: np.ndarray
    rejected: np.ndarray
    attempts: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ReplicaExchange(ChainSampler):
    """Chains of K replicas at powers of the prior and of the likelihood, which change places.

    Replica k follows p^(alpha^a_k) L^(beta b_k), with a_1 = b_1 = 1 for the target itself, whose
    draws are kept. In every iteration each is moved by suffix moves, with steps drawn at
    temperature 1 / alpha_k; a replica that follows the prior is drawn anew. Then neighbours swap,
    with probability

        min(1, gamma_k(y) gamma_k+1(x) / (gamma_k(x) gamma_k+1(y)))

    A trajectory that changes its temperature is read once by the language model, which says how
    probable its new place's proposal finds it.

    Target: the model's, whatever it declares. Guarantee: invariant (the ladder is tuned in the
    warm-up alone); heuristic where a proposal of your own misses part of the prior's support.
    Evidence: none. Cost of a step (an iteration): K suffix moves for each chain, in one batch for
    each temperature; the reward model reads them; a swap between temperatures costs a pass over two
    trajectories. Source: Geyer (1991); for powers of a language model 2609.38104, whose ladder has
    no likelihood; the tuning is that of Syed, Bouchard-Côté, Deligiannidis and Doucet (2022).

    Attributes:
        iterations, warmup, chains, starts, tries: as of every chain: see
            `motes.samplers.ChainSampler`.
        betas: b_1 = 1 to b_K >= 0, the likelihood's share of its power at each replica.
        alphas: a_1 = 1 to a_K >= 0, the share of the way to alpha at each, on a logarithmic scale;
            as `betas` where None. One of the two must fall from each replica to the next.
        cut: "random": a trajectory of tau steps is cut before one of them, and tau / tau' enters
            the probability to accept; "horizon": before one of `horizon` steps, whatever it is, and
            a cut behind its end leaves it as it is.
        horizon: of the cut "horizon"; the model's max_steps where None.
        swaps: "sweep": all pairs in order from the target on, so that a replica can travel the
            whole ladder at once; "alternating": even pairs and odd pairs in turn.
        tuned: whether replicas are placed anew during the warm-up, after 4, 8, 16, ... iterations,
            so that all pairs swap equally often.
        moves: of each replica in an iteration, at least 1.
        proposal: what all replicas draw their steps from; at temperature 1 / alpha_k (times the
            prior's) when None.
        budget: generated tokens after which no iteration is begun; None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, alpha=2.0, max_steps=4)
        >>> posterior = ReplicaExchange(chains=2, iterations=4, betas=(1, 0.5, 0)).run(model)
        >>> posterior.guarantee, len(posterior.rates["swap"])
        ('invariant', 2)
    """

    betas: Sequence[float] = (1.0, 0.6, 0.3, 0.0)
    alphas: Sequence[float] | None = None
    cut: str = "random"
    horizon: int | None = None
    swaps: str = "sweep"
    tuned: bool = True
    moves: int = 1

    name = "replica_exchange"
    livelier = (Advice("raise {moves}"), Advice("add a replica between (betas)"))
    guarantee = "invariant"
    evidence = "none"
    paper = (
        "Geyer (1991); parallel power tempering, arXiv:2609.38104; Syed, Bouchard-Côté, "
        "Deligiannidis and Doucet (2022), doi:10.1111/rssb.12464"
    )
    step_cost = (
        "for each of K replicas of each chain a remainder, about half a trajectory's tokens; the "
        "reward model reads them"
    )

    def __post_init__(self) -> None:
        betas = check_ladder("betas", self.betas)
        alphas = None if self.alphas is None else check_ladder("alphas", self.alphas)
        check_apart(betas if alphas is None else alphas, betas)
        horizon = None if self.horizon is None else checks.count("horizon", self.horizon)
        if horizon is not None and self.cut != "horizon":
            raise ValueError(f"horizon is for cut='horizon', not {checks.shown(self.cut)}")
        checks.settle(
            self,
            betas=betas,
            alphas=alphas,
            cut=checks.choice("cut", self.cut, CUTS),
            horizon=horizon,
            swaps=checks.choice("swaps", self.swaps, SCHEDULES),
            tuned=checks.flag("tuned", self.tuned),
            moves=checks.count("moves", self.moves),
        )
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return self.chains * len(self.betas)

    @property
    def suffix_moves(self) -> bool:
        return True

    def exponents(self, model: Declared, positions: np.ndarray) -> np.ndarray:
        """Return alpha_k at these positions of the way, shape (K,)."""
        return model.alpha ** at_positions(self.alphas or self.betas, positions)

    def proposed(self, model: Declared) -> Law | None:
        return self.proposal or sharpened(model.prior, model.alpha)

    def proposals(self, model: Declared) -> Sequence[Law | None]:
        exponents = self.exponents(model, np.arange(len(self.betas))).tolist()
        drawn = [self.proposal or sharpened(model.prior, alpha) for alpha in exponents]
        return list(dict.fromkeys(drawn))

    def bind(self, model: Declared, keys: RunKeys) -> BoundExchange:
        return BoundExchange(self, model, keys, self.proposed(model))


@dataclass(frozen=True, eq=False)
class BoundExchange(BoundChains):
    """Replicas between the prior and a declared posterior."""

    _rungs: dict[tuple[float, ...], Rungs] = field(default_factory=dict, init=False, repr=False)

    def begin(self) -> Started:
        count = len(self.sampler.betas)
        started = self.started(picks=count)
        rungs = self.rungs(np.arange(count))
        drawn = [self.proposed] * len(started.current)
        return started._replace(current=tuple(self._qualified(started.current, drawn, rungs)))

    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        memory = state.memory or self._first()
        rungs = self.rungs(memory.positions)
        count, moves = len(rungs.models), self.sampler.moves
        particles, accepted = list(state.current), np.zeros(len(state.current))
        for number in range(moves):
            particles, moved = self._moved(keys, number, rungs, particles)
            accepted += moved
        swaps = self._swapped(keys, state.iteration, rungs, particles)
        travels, trips = memory.travels.followed(swaps.places)
        after = self._tuned(
            state.iteration + 1,
            Exchange(
                travels,
                memory.positions,
                memory.rejected + swaps.attempts - swaps.chances,
                memory.attempts + swaps.attempts,
            ),
        )
        drawn = [rungs.proposals[place] for place in swaps.places.ravel()]
        current = self._qualified(swaps.particles, drawn, self.rungs(after.positions))
        acceptance = accepted.reshape(-1, count).mean(axis=0) / moves
        tallies = swap_tallies(acceptance, swaps, trips)
        return Swept(current, {**tallies, "positions": memory.positions}, after)

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        sampler, positions = self.sampler, tallies["positions"] / iterations
        return {
            **swap_rates(tallies, iterations),
            "betas": at_positions(sampler.betas, positions).tolist(),
            "alphas": sampler.exponents(self.model, positions).tolist(),
        }

    def rungs(self, positions: np.ndarray) -> Rungs:
        """Return what the replicas follow at these positions of the way."""
        place = tuple(positions.tolist())
        if place not in self._rungs:
            self._rungs[place] = self._placed(positions)
        return self._rungs[place]

    def _placed(self, positions: np.ndarray) -> Rungs:
        model, own = self.model, self.sampler.proposal
        exponents = self.sampler.exponents(model, positions).tolist()
        betas = at_positions(self.sampler.betas, positions).tolist()
        proposals = tuple(own or sharpened(model.prior, alpha) for alpha in exponents)
        models = tuple(
            model.tempered(beta, alpha=alpha) for beta, alpha in zip(betas, exponents, strict=True)
        )
        views = zip(models, proposals, strict=True)
        stepwise = tuple(tempered.stepwise(proposal) for tempered, proposal in views)
        plain = [proposal == model.prior for proposal in proposals]
        anew = np.array(plain) & (np.array(betas) == 0) & (np.array(exponents) == 1)
        return Rungs(models, proposals, stepwise, anew)

    def _first(self) -> Exchange:
        count = len(self.sampler.betas)
        travels = Travels.at_home(self.sampler.chains, count)
        nothing = np.zeros(count - 1)
        return Exchange(travels, np.arange(count, dtype=np.float64), nothing, nothing)

    def _moved(
        self, keys: RunKeys, number: int, rungs: Rungs, particles: Sequence[Reasoning]
    ) -> tuple[list[Reasoning], np.ndarray]:
        """Move every replica at its own place, and say which of them are new."""
        count, slots = len(rungs.models), len(particles)
        horizon = None
        if self.sampler.cut == "horizon":
            horizon = self.sampler.horizon or self.model.max_steps
        after, accepted = list(particles), np.zeros(slots)
        for proposal in dict.fromkeys(rungs.proposals):
            rows = [row for row in range(slots) if rungs.proposals[row % count] == proposal]
            places = np.array(rows) % count
            moved = suffix_move(
                rungs.stepwise[places[0]],
                proposal,
                keys.moves(number, slots, rows),
                [particles[row] for row in rows],
                lambda i, x, places=places: sum(rungs.stepwise[places[i]].log_potentials(x)),
                anew=rungs.anew[places],
                horizon=horizon,
            )
            for row, particle in zip(rows, moved.particles, strict=True):
                after[row] = particle
            accepted[rows] = moved.accepted
        return after, accepted

    def _swapped(
        self, keys: RunKeys, iteration: int, rungs: Rungs, particles: Sequence[Reasoning]
    ) -> Swaps:
        rows, pairs = len(particles), range(len(rungs.models) - 1)
        if self.sampler.swaps == "alternating":
            pairs = pairs[iteration % 2 :: 2]
        uniforms = SlotUniforms(
            subkeys(keys.moves(self.sampler.moves, rows, range(rows)), 0), rows
        ).at(0)
        return swap_neighbours(rungs.models, particles, uniforms, pairs)

    def _tuned(self, iterations: int, memory: Exchange) -> Exchange:
        """Place the replicas anew, where it is time for that."""
        doubled = iterations >= FIRST_TUNING and iterations & (iterations - 1) == 0
        if not (self.sampler.tuned and doubled and iterations <= self.sampler.warmup):
            return memory
        rejections = memory.rejected / memory.attempts  # every pair has tried by now
        nothing = np.zeros_like(rejections)
        placed = evened_out(memory.positions, rejections)
        placed = without_returns(placed, memory.positions, self.sampler.betas)
        return Exchange(memory.travels, placed, nothing, nothing)

    def _qualified(
        self, particles: Sequence[Reasoning], drawn: Sequence[Law | None], rungs: Rungs
    ) -> list[Reasoning]:
        """Return the particles with their probabilities under the proposal of their own place.

        Args:
            particles: C times K of them.
            drawn: the proposal that each was drawn from.
            rungs: the places where they are now.
        """
        count, qualified = len(rungs.models), list(particles)
        wanted = [rungs.proposals[row % count] for row in range(len(particles))]
        rows = [row for row, law in enumerate(wanted) if law != drawn[row]]
        if rows:
            # only a prior that is declared for all steps can be sharpened
            anew = rescored(
                cast("StateSpaceModel", self.model),
                cast("Any", [particles[row] for row in rows]),
                cast("Any", [wanted[row] for row in rows]),
            )
            for row, particle in zip(rows, anew, strict=True):
                qualified[row] = particle
        return qualified
