"""A filter that goes back: prefixes of all generations stay in a pool, with a share of their mass.

Every open prefix i that was ever drawn holds a mass u_i; at first the question holds 1. In a round
N parents are chosen from the whole pool, in proportion to

    rho_i = u_i^power / sum_j u_j^power

which is the mixture of what the generations would choose, each among its own. Every prefix spends
the share 1 - k of its mass, and a child drawn from i by p / q-weights of increment G holds

    u = (1 - k) u_i G / (N rho_i)

and so has a share in the next round. Where what was written last has turned out badly, older
prefixes have most of the mass, and are gone on with: the filter has gone back. After some rounds
the share k that stays behind is 0, the rest is spent at once, and from there on it is an ordinary
filter.

The denominator is the law of the mixture, with the shares that the generations have before the
draw (balance heuristic: Veach and Guibas 1995), and not that of i's own generation. The masses and
rho_i are known before the draw, and the shares that a prefix spends sum to 1: so

    E[sum over closed x of u_x f(x) + sum over open i of u_i E_i[f]]    is the same in all rounds,

with E_i[f] the target's mass of f behind prefix i, and at the end it is gamma(f). Persistent
sampling (Karamanis and Seljak 2024) divides by the mixture over *later* generations too: it varies
less, and is biased, because those depend on the draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning, Stepwise
from ...smc import RunKeys, ess, normalise
from ..base import AllParticlesDead, PopulationSampler
from ..bound import BoundSampler, Draws
from ..run_facts import Advice


@dataclass(frozen=True, kw_only=True)
class PersistentPool(PopulationSampler):
    """Sequential Monte Carlo that can go on with what it wrote some generations ago.

    Finished trajectories leave the pool and take up no slot. There are as many draws as
    trajectories were finished.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the
    proposal misses part of the prior's support, when cut off, and under a budget. Evidence:
    unbiased for Z, whatever the settings are. Cost of a step: the tokens of N steps, in at most
    `rounds` + max_steps rounds; the reward model reads them. Source: the pool is that of Beyond the
    Frontier (2026), arXiv:2605.25143; the weights are ours, and follow Karamanis and Seljak (2024),
    arXiv:2407.20722, where they keep the evidence unbiased.

    Attributes:
        particles: N, steps drawn in a round.
        kept: k in [0, 1), the share of its mass that a prefix keeps when the pool is drawn from. At
            0 it is a filter that resamples before every step.
        rounds: how many rounds go by before all mass is spent.
        power: how much the choice goes by mass: at 1 children hold equal masses but for their
            increments; above 1 the heaviest prefixes are preferred, and below 1 others.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no round is begun: what is still open is then under no
            answer. A result under a budget is heuristic, cut off or not. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = PersistentPool(particles=8).run(model, seed=0)
        >>> posterior.guarantee, posterior.evidence
        ('consistent', 'unbiased')
    """

    kept: float = 0.25
    rounds: int = 8
    power: float = 1.0

    name = "persistent_pool"
    weighs_by_score = True
    gentler = (Advice("leave more mass behind (raise {kept} and {rounds})"),)
    guarantee = "consistent"
    evidence = "unbiased"
    paper = (
        "Beyond the Frontier (2026), arXiv:2605.25143; Karamanis and Seljak (2024), "
        "arXiv:2407.20722"
    )
    step_cost = "N steps' tokens in each round; the reward model reads those of each distinct one"

    def __post_init__(self) -> None:
        checks.settle(
            self,
            kept=checks.number("kept", self.kept, least=0, below=1),
            rounds=checks.count("rounds", self.rounds, least=0),
            power=checks.positive("power", self.power),
        )
        super().__post_init__()

    def bind(self, model: Declared, keys: RunKeys) -> BoundPool:
        proposed = self.proposed(model)
        return BoundPool(self, model, keys, proposed, model.stepwise(proposed))


class Pool(NamedTuple):
    """A pool between two rounds.

    Attributes:
        prefixes: open, alive, M of them.
        log_masses: their masses that are not spent, in nats, float64, shape (M,).
        born: the round that drew each, 0 for the question, shape (M,).
        closed: finished or truncated trajectories, alive, C of them.
        log_closed: their masses, shape (C,).
        rounds: gone by.
        went_back: how many children were drawn from prefixes older than the round before.
        drawn: how many children were drawn.
    """

    prefixes: tuple[Reasoning, ...]
    log_masses: np.ndarray
    born: np.ndarray
    closed: tuple[Reasoning, ...] = ()
    log_closed: np.ndarray = np.zeros(0)
    rounds: int = 0
    went_back: int = 0
    drawn: int = 0


@dataclass(frozen=True, eq=False)
class BoundPool(BoundSampler[Pool]):
    """A pool of a declared posterior's prefixes.

    Attributes:
        stepwise: the posterior, step by step.
    """

    stepwise: Stepwise

    def init(self) -> Pool:
        [root] = self.stepwise.initial(self.keys.moves(0, 1, [0]), 1)
        return Pool((root,), np.zeros(1), np.zeros(1, np.int64))

    def step(self, state: Pool) -> Pool:
        n, t = self.sampler.particles, state.rounds + 1
        kept = self.sampler.kept if t <= self.sampler.rounds else 0.0
        uniform = SlotUniforms(self.keys.rejuvenation(t, 1, [0]), 1).at(0)[0]
        log_rho = self.log_law(state)
        parents = chosen(log_rho, float(uniform), n)
        before = [state.prefixes[i] for i in parents]
        after = self.stepwise.move(t, self.keys.moves(t, n, range(n)), before)
        shares = self.log_shares(state, log_rho) + np.log1p(-kept)
        log_masses = shares[parents] + self.stepwise.log_potential(t, before, after)
        normalise(log_masses, source=f"log_potential at step {t}")  # raises where one is NaN
        alive = [j for j in range(n) if log_masses[j] > -inf]
        open_ = [j for j in alive if after[j].open]
        shut = [j for j in alive if not after[j].open]
        stay = len(state.prefixes) if kept else 0
        left = state.log_masses[:stay] + (log(kept) if kept else 0.0)
        return Pool(
            (*state.prefixes[:stay], *(after[j] for j in open_)),
            np.append(left, log_masses[open_]),
            np.append(state.born[:stay], np.full(len(open_), t, np.int64)),
            (*state.closed, *(after[j] for j in shut)),
            np.append(state.log_closed, log_masses[shut]),
            t,
            state.went_back + int((state.born[parents] < t - 1).sum()),
            state.drawn + n,
        )

    def log_law(self, state: Pool) -> np.ndarray:
        """Return log rho_i, what a parent is chosen by, shape (M,)."""
        return normalise(self.sampler.power * state.log_masses)[0]

    def log_shares(self, state: Pool, log_rho: np.ndarray) -> np.ndarray:
        """Return what of a prefix's mass is a child's, over what is expected of it, shape (M,)."""
        return state.log_masses - log_rho - log(self.sampler.particles)

    def done(self, state: Pool) -> bool:
        return not state.prefixes

    def count(self, state: Pool) -> int:
        return state.rounds

    def total(self) -> int | None:
        return self.sampler.rounds + self.model.max_steps

    def vitals(self, state: Pool) -> Mapping[str, Any]:
        weights, _ = normalise(np.append(state.log_masses, state.log_closed))
        return {"open": len(state.prefixes), "ess": f"{ess(weights):.1f}"}

    def draws(self, state: Pool, complete: bool) -> Draws:
        begun = np.flatnonzero(state.born)  # without the question alone
        log_masses = np.append(state.log_closed, state.log_masses[begun])
        log_weights, log_evidence = normalise(log_masses)
        if not len(log_masses):
            raise AllParticlesDead(state.rounds, self.sampler.particles)
        return Draws(
            (*state.closed, *(state.prefixes[i] for i in begun)),
            log_weights,
            float(log_evidence) if complete else None,
            rates={"rounds": state.rounds, "went_back": state.went_back / state.drawn},
            guarantee=None if complete and self.sampler.budget is None else "heuristic",
        )


def chosen(log_rho: np.ndarray, uniform: float, count: int) -> np.ndarray:
    """Choose by systematic resampling: `count` of M, each rho_i `count` times on average.

    Args:
        log_rho: normalised, in nats, shape (M,).
        uniform: in [0, 1), where the comb begins.
        count: how many.

    Returns:
        Indices, ascending, shape (count,).

    Example:
        >>> chosen(np.log([0.25, 0.75]), 0.5, 4)
        array([0, 1, 1, 1])
    """
    ends = np.cumsum(np.exp(log_rho))
    places = (uniform + np.arange(count)) / count * ends[-1]
    return np.minimum(np.searchsorted(ends, places, side="right"), len(ends) - 1)
