"""Tempered SMC: whole trajectories on a path of distributions from the prior to the target.

    pi_lambda(x) proportional to p(x)^(1 + lambda (alpha - 1)) L(x)^(lambda beta)
    0 = lambda_0 < ... < lambda_T = 1

Trajectories drawn from the prior are weighed by what the next power adds, resampled, and moved by
suffix moves that leave pi_lambda invariant (Del Moral, Doucet and Jasra 2006). A particle filter
judges a trajectory while it is written; this judges it whole, and can therefore rewrite its
beginning for the sake of its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from ...models.mixture import Law
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import Resampling, RunKeys, log_sum_exp, normalise, subkeys
from ...smc.resampling import pick_at
from ...smc.tempering_model import log_power, next_gain
from ..base import PopulationSampler
from ..bound import Draws
from ..moves import complete, suffix_move
from ..run_facts import Advice
from .bound_filter import BoundFilter, Filter, check_alive


class Rung(NamedTuple):
    """A chain of P trajectories at one power: a particle of the filter over powers.

    Attributes:
        states: P trajectories; before the first step the root alone.
        powers: lambda after each step so far.
        log_gains: what the last step added to the log-weight of each state.
        accepted: suffix moves on the way here that were.
    """

    states: tuple[Reasoning, ...]
    powers: tuple[float, ...]
    log_gains: tuple[float, ...]
    accepted: int

    @property
    def power(self) -> float:
        """lambda, to which the weights have come."""
        return self.powers[-1] if self.powers else 0.0


@dataclass(frozen=True, kw_only=True)
class TemperedSMC(PopulationSampler):
    """An SMC sampler over powers of the likelihood (and of the prior, for power targets).

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, and when cut off before power 1. Evidence: unbiased
    for Z with a fixed ladder; consistent with an adaptive one, whose next power is found by
    bisection on the ESS of the particles there are (a bias of O(1/N)). Cost of a step: at first N
    whole trajectories, then `moves` remainders for each particle (for each of N / (moves + 1)
    chains, if waste-free), about half a trajectory's tokens each; the reward model reads them.
    Source: Del Moral, Doucet and Jasra (2006); waste-free: Dau and Chopin (2022).

    Attributes:
        particles: N; waste-free, a multiple of moves + 1.
        ladder: lambda_0 = 0 to lambda_T = 1, ascending; None to find it on the way.
        target_ess: of an adaptive ladder: the ESS after each reweighing, as a share of the living;
            in (0, 1).
        moves: suffix moves of a chain between two powers, at least 1.
        waste_free: whether every state of a chain is kept as a particle, or the last one alone.
        resampling: one of `motes.smc.SCHEMES`, or "chopthin"; the population is resampled at every
            power.
        proposal: what trajectories are drawn from; the model's prior when None.
        budget: generated tokens after which no power is begun; a result under a budget is
            heuristic. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = TemperedSMC(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('consistent', 8)
    """

    ladder: Sequence[float] | None = None
    target_ess: float = 0.5
    moves: int = 3
    waste_free: bool = False
    resampling: str = "systematic"

    name = "tempered_smc"
    unit = "rung"
    gentler = (
        Advice("make more moves between powers ({moves})"),
        Advice("take smaller steps (a higher target_ess, or a ladder with more rungs)"),
    )
    guarantee = "consistent"
    evidence = "consistent"
    paper = (
        "Del Moral, Doucet and Jasra (2006), doi:10.1111/j.1467-9868.2006.00553.x; Dau and Chopin "
        "(2022), doi:10.1111/rssb.12475"
    )
    step_cost = (
        "at first N whole trajectories, then for each move of each chain a remainder, about half "
        "a trajectory's tokens; "
        "the reward model reads them"
    )

    @property
    def suffix_moves(self) -> bool:
        return True

    def __post_init__(self) -> None:
        Resampling(self.resampling)
        checks.settle(
            self,
            ladder=None
            if self.ladder is None
            else checks.ladder("ladder", self.ladder, first=0, last=1),
            target_ess=checks.number("target_ess", self.target_ess, above=0, below=1),
            moves=checks.count("moves", self.moves),
            waste_free=checks.flag("waste_free", self.waste_free),
        )
        super().__post_init__()
        if self.waste_free and self.particles % (self.moves + 1):
            raise ValueError(
                f"particles must be a multiple of the {self.moves + 1} states of a waste-free "
                f"chain, not {self.particles}"
            )

    @property
    def states(self) -> int:
        """P, states of a chain that are kept."""
        return self.moves + 1 if self.waste_free else 1

    def feynman_kac(self, model: Declared) -> PowerLadder:
        proposal = self.proposed(model)
        return PowerLadder(
            model,
            proposal,
            model.stepwise(proposal),
            self.ladder,
            self.target_ess,
            self.moves,
            self.states,
        )

    def resampler(self, model: Declared) -> Resampling:
        return Resampling(self.resampling, ess_threshold=1)

    def bind(self, model: Declared, keys: RunKeys) -> BoundTempering:
        return BoundTempering.of(self, model, keys)


class BoundTempering(BoundFilter):
    """A filter over powers of a declared posterior, each slot of which holds a chain."""

    def slots(self) -> int:
        return self.sampler.particles // self.sampler.states

    def held(self, particle: Rung) -> Reasoning:
        return particle.states[-1]

    def total(self) -> int | None:
        ladder = self.sampler.ladder
        return None if ladder is None else len(ladder) - 1 + (self.proposed != self.model.prior)

    def vitals(self, state: Filter) -> Mapping[str, Any]:
        return {"power": f"{state.state.particles[0].power:.3g}"}

    def draws(self, state: Filter, complete: bool) -> Draws:
        population, history = state.state, state.history.history()
        check_alive(population)
        particles = [x for rung in population.particles for x in rung.states]
        shares = [_within(rung) for rung in population.particles]
        log_weights = np.concatenate(
            [w + share for w, share in zip(population.log_weights, shares, strict=True)]
        )
        rung: Rung = next(
            x for x, w in zip(population.particles, population.log_weights, strict=True) if w > -inf
        )
        moved = [x.accepted / self.sampler.moves for x in population.particles]
        rates: dict[str, Any] = {"rungs": len(history.ess), "powers": list(rung.powers)}
        if population.t > 1:
            rates["acceptance_at_last"] = float(np.mean(moved))
        log_evidence = float(population.log_evidence) if complete else None
        evidence = "consistent" if self.sampler.ladder is None else "unbiased"
        guarantee = self.kept_guarantee(complete)
        return Draws(
            particles,
            log_weights,
            log_evidence,
            history,
            rates=rates,
            guarantee=guarantee,
            evidence=evidence,
        )


@dataclass(frozen=True, eq=False)
class PowerLadder:
    """The path of distributions as a Feynman-Kac model, whose particles are chains of suffix moves.

        M_t   a chain at lambda_t-1 from a state of the chain before, drawn by weight;
              at t = 1 draws from the proposal
        G_t   the mean over its states of what lambda_t adds

    Where the proposal is not the prior, the first step only weighs by p / q, at power 0.

    Attributes:
        model: the declared posterior.
        proposal: what trajectories are drawn from.
        stepwise: the declared posterior, step by step.
        ladder: powers, or None to find them.
        target_ess: of an adaptive ladder.
        moves: suffix moves between two powers.
        states: P.
    """

    model: Declared
    proposal: Law | None
    stepwise: Stepwise
    ladder: Sequence[float] | None
    target_ess: float
    moves: int
    states: int

    def initial(self, keys: PRNGKeys, slots: int) -> list[Rung]:
        return [Rung((self.model.root(),), (), (0.0,), 0)] * slots

    def open(self, particle: Rung) -> bool:
        return particle.power < 1

    def move(self, t: int, keys: PRNGKeys, particles: Sequence[Rung]) -> list[Rung]:
        power = particles[0].power
        advance = self._drawn if t == 1 else self._moved
        chains, accepted = advance(power, keys, particles)
        excess = np.array([[self.model.log_excess(x) for x in chain] for chain in chains])
        following = self._next(t, power, excess)
        log_gains = log_power(excess, np.float64(following - power))
        if t == 1:  # p / q, and what else the prior weighs
            prior = self.model.tempered(0.0).stepwise(self.proposal)
            log_gains = log_gains + np.array(
                [[sum(prior.log_potentials(x)) for x in chain] for chain in chains]
            )
        rows = zip(chains, log_gains.tolist(), accepted.tolist(), strict=True)
        return [
            Rung(tuple(chain), (*particles[0].powers, following), tuple(gains), int(count))
            for chain, gains, count in rows
        ]

    def log_potential(self, t: int, before: Sequence[Rung], after: Sequence[Rung]) -> np.ndarray:
        return np.array(
            [log_sum_exp(np.array(rung.log_gains)) - log(self.states) for rung in after], np.float64
        )

    def _drawn(
        self, power: float, keys: PRNGKeys, particles: Sequence[Rung]
    ) -> tuple[list[list[Reasoning]], np.ndarray]:
        rows = [(i, j) for i in range(len(particles)) for j in range(self.states)]
        slots = [i for i, _ in rows]
        keys_of_rows = subkeys(keys, [j for _, j in rows], slots)
        roots = [particles[i].states[0] for i in slots]
        drawn = complete(self.stepwise, self.proposal, keys_of_rows, roots)
        firsts = range(0, len(drawn), self.states)
        chains = [drawn[first : first + self.states] for first in firsts]
        return chains, np.zeros(len(particles))

    def _moved(
        self, power: float, keys: PRNGKeys, particles: Sequence[Rung]
    ) -> tuple[list[list[Reasoning]], np.ndarray]:
        choices = SlotUniforms(subkeys(keys, 0), len(particles)).at(0)
        present = [
            rung.states[pick_at(u, np.array(rung.log_gains))]
            for rung, u in zip(particles, choices, strict=True)
        ]
        tempered = self.model.tempered(power).stepwise(self.proposal)
        visited, accepted = [present], np.zeros(len(particles))
        for number in range(self.moves):
            keys_of_move = subkeys(keys, number + 1)
            moved = suffix_move(
                self.stepwise,
                self.proposal,
                keys_of_move,
                present,
                lambda _, x: sum(tempered.log_potentials(x)),
            )
            present, accepted = moved.particles, accepted + moved.accepted
            visited.append(present)
        return [list(chain) for chain in zip(*visited[-self.states :], strict=True)], accepted

    def _next(self, t: int, power: float, excess: np.ndarray) -> float:
        """Choose the power that follows, from the log-excess of all states."""
        shift = int(self.proposal != self.model.prior)
        if t <= shift:
            return 0.0
        if self.ladder is not None:
            return self.ladder[t - shift]
        return power + float(next_gain(excess, power, self.target_ess))


def _within(rung: Rung) -> np.ndarray:
    """Return the log-shares of a chain's states in its weight, shape (P,)."""
    shares, total = normalise(np.array(rung.log_gains))
    return shares if total > -inf else np.full(len(shares), -log(len(shares)))
