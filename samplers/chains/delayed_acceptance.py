"""Delayed acceptance: a cheap target promotes, and only what is promoted costs the dear one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log
from typing import Any, NamedTuple, cast

import numpy as np

from ... import checks
from ...models import Cost, calls
from ...models.mixture import Law
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared, Reasoning
from ...ppl.particle import Particle
from ...ppl.statespace import StateSpaceModel
from ...ppl.stepwise import StepwiseModel
from ...smc import RunKeys, subkeys
from ...smc.resampling import pick
from ..base import AllParticlesDead
from ..bound import Draws
from ..filters.power_smc import sharpened
from ..given_cheap_prm import CheapReward, Screen, check_cheap_prm, loaded_cheap_prm
from ..given_draft import Draft, Metered, check_draft, loaded_draft
from ..moves import suffix_move
from ..run_facts import LIVELIER, Advice
from .chain_sampler import BoundChains, Chains, ChainSampler, Started, Swept, filtered, restarted
from .screening import Screened, Screening, shared_steps


@dataclass(frozen=True, kw_only=True)
class DelayedAcceptance(ChainSampler):
    """Chains in two stages: a draft model writes and screens, the language model reads what passed.

    Let pi be the declared density and pi~ the same with a draft model q and a cheap reward model:
    pi~(x) = q(x)^alpha L~(x)^beta under the same constraint. From x, the draft model writes the
    remainder of a y behind a random cut, with transition density k, and

        stage 1    promotes y with probability    min(1, pi~(y) k(y, x) / (pi~(x) k(x, y)))
        stage 2    accepts it with probability    min(1, pi(y) pi~(x) / (pi(x) pi~(y)))

    else the chain stays at x. What is refused in stage 1 costs the declared models nothing; what is
    promoted the language model reads, in one pass over the remainder, and never writes. Stage 1
    leaves pi~ in detailed balance, and the ratio of stage 2 makes that detailed balance under pi,
    exactly, whatever the draft. With `draft_moves` S above 1 stage 1 is S such moves one after
    another, which are in detailed balance under pi~ too (Liu 2001).

    A draft that cannot write all that the model can, or judges it worthless, leaves pi as it is and
    never gets there: with w = pi / pi~, both normalised, a chain at x stays for up to about w(x)
    tries. `posterior.rates` has the share of tries that were "promoted", of these the share
    accepted ("accepted_of_promoted"), and "largest_log_weight", log w at its largest so far, in
    nats: 0 where the two targets are one; `posterior.check()` speaks up where it is large.

    Target: the model's, whatever it declares. Guarantee: invariant; heuristic where the proposal
    misses part of the prior's support. Evidence: none. Cost of a step (an iteration): for each of
    `moves` tries of each chain `draft_moves` remainders by the draft model
    (`posterior.cost.draft_tokens`), which the cheap reward model reads; the language model reads
    the promoted ones (`rescored_tokens`, a pass for each), and so does the reward model. Source:
    Christen and Fox (2005), doi:10.1198/106186005X76983; several moves: Liu (2001), Monte Carlo
    Strategies in Scientific Computing, section 9.4.3.

    Attributes:
        iterations, warmup, chains, tries: as of every chain: see `motes.samplers.ChainSampler`.
        starts: as there, but the filter is of pi~, and its particles are weighed by pi / pi~.
        moves: tries of both stages between two draws that are kept, at least 1.
        draft: the draft model: a name or a folder, a language model, or a function that loads one.
            It must have the tokens of the language model, its rule for steps, and its context. None
            lets the language model write for itself: then a cheap reward model is what saves.
        cheap_prm: the reward model of stage 1, in place of the declared one: a name, a reward
            model, or a function that loads one. Where it is None stage 1 asks the declared one, so
            that only the language models differ: a draft's probability alone would promote nearly
            everything that it writes, and the language model would have to read it all. It is
            counted with the draft (`draft_tokens`).
        draft_moves: S, moves of stage 1 before stage 2, at least 1.
        proposal: what the draft model's steps are drawn from; at temperature 1 / alpha (times the
            prior's) when None.
        budget: tokens that the language model reads or writes behind the prompt, after which no
            iteration is begun; None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> draft = TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = DelayedAcceptance(draft=draft, chains=2, iterations=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('invariant', 8)
        >>> cost = posterior.cost
        >>> cost.generated_tokens, 0 < cost.rescored_tokens < cost.draft_tokens
        (0, True)
    """

    moves: int = 1
    draft: Draft = None
    cheap_prm: CheapReward = None
    draft_moves: int = 1

    name = "delayed_acceptance"
    livelier = (Advice("take a draft nearer to the language model", only_if="draft"), *LIVELIER)
    guarantee = "invariant"
    evidence = "none"
    paper = "Christen and Fox (2005), doi:10.1198/106186005X76983"
    step_cost = (
        "for each try of each chain a remainder, about half a trajectory's tokens, by the draft "
        "model; the language model reads those that are promoted"
    )

    @property
    def suffix_moves(self) -> bool:
        return self.draft_moves == 1

    def __post_init__(self) -> None:
        checks.settle(
            self,
            moves=checks.count("moves", self.moves),
            draft_moves=checks.count("draft_moves", self.draft_moves),
        )
        check_draft(self.draft)
        check_cheap_prm(self.cheap_prm)
        super().__post_init__()

    def proposed(self, model: Declared) -> Law | None:
        return self.proposal or sharpened(model.prior, model.alpha)

    def check(self, model: Declared) -> None:
        if not isinstance(model, StateSpaceModel):
            raise ValueError(f"{self.name!r} drafts for a StateSpaceModel, not for {model!r}")
        if self.cheap_prm is not None and model.prm is None:
            raise ValueError("cheap_prm must be None where the model has no reward model")

    def bind(self, model: Declared, keys: RunKeys) -> BoundDelayed:
        assert isinstance(model, StateSpaceModel)
        proposed = self.proposed(model)
        draft = loaded_draft(self.draft, model.lm, told=True)
        cheap_prm = loaded_cheap_prm(self.cheap_prm, model.lm, draft, model.answer)
        drafter = None if draft is None else Metered(draft)
        screen = None
        if cheap_prm is not None and model.prm is not None:
            screen = Screen(cheap_prm, model.prm)
        cheap = replace(model, lm=drafter or model.lm, prm=screen or model.prm)
        calls.check_sampling(cheap.lm, proposed, model.prior)
        return BoundDelayed(
            replace(self, draft=draft, cheap_prm=cheap_prm),
            model,
            keys,
            proposed,
            Screening(model, cheap, drafter is not None, screen is not None),
            cheap.stepwise(proposed),
            tuple(part for part in (drafter, screen) if part is not None),
        )


class Seen(NamedTuple):
    """What chains have seen of log pi / pi~, in nats, up to one constant.

    Attributes:
        largest: of all trajectories that were read, accepted or not, by chain, shape (C,).
        log_inverse: log of the sum of pi~ / pi over where the chains were after each kept
            iteration, by chain, shape (C,).
    """

    largest: np.ndarray
    log_inverse: np.ndarray


@dataclass(frozen=True, eq=False)
class BoundDelayed(BoundChains):
    """Chains of two stages on a state-space model; their states are `Screened`.

    Attributes:
        screening: both targets.
        stepwise: the cheap one, step by step.
        metered: the draft model and the cheap reward model, where there are such.
    """

    screening: Screening
    stepwise: StepwiseModel
    metered: Sequence[Metered | Screen]

    @property
    def cost(self) -> Cost:
        return sum((part.cost.as_draft() for part in self.metered), self.model.cost)

    def spent(self, cost: Cost) -> int:
        return cost.generated_tokens + cost.rescored_tokens

    def held(self, state: Any) -> Reasoning:
        return state.full

    def begin(self) -> Started:
        """Draw a start by a filter of the cheap target, whose particles the declared one weighs."""

        def attempt(particles: int, keys: RunKeys, screening: Screening) -> list[Screened]:
            root = screening.model.root()
            stepwise = screening.cheap.stepwise(self.proposed, root=root)
            state = filtered(stepwise, keys, particles)
            living = np.flatnonzero(state.log_weights > -inf).tolist()
            unread = [screening.unread(root)] * len(living)
            read = screening.read(unread, [state.particles[i] for i in living])
            log_weights = state.log_weights[living] + [x.log_weight for x in read]
            if not np.any(log_weights > -inf):
                raise AllParticlesDead(state.t, particles)
            return [read[pick(keys.choice(0), log_weights)]]

        sampler = self.sampler
        return restarted(
            attempt,
            cast("Any", self.screening),
            self.keys,
            sampler.chains,
            starts=sampler.starts,
            tries=sampler.tries,
        )

    def sweep(self, keys: RunKeys, state: Chains) -> Swept:
        current: list[Any] = list(state.current)
        chains, moves = len(current), self.sampler.moves
        seen = state.memory or Seen(np.full(chains, -inf), np.full(chains, -inf))
        largest = np.maximum(seen.largest, [x.log_weight for x in current])
        promoted, accepted = np.zeros(chains), np.zeros(chains)
        for number in range(moves):
            drafts, keys_of_chains = self._drafted(keys, number, [x.cheap for x in current])
            rows = [i for i, x in enumerate(current) if _is_other(x.cheap, drafts[i])]
            read = self.screening.read([current[i] for i in rows], [drafts[i] for i in rows])
            log_ratios = np.full(chains, -inf)
            for i, new in zip(rows, read, strict=True):
                log_ratios[i] = new.log_weight - current[i].log_weight
                largest[i] = max(largest[i], new.log_weight)
            uniforms = SlotUniforms(subkeys(keys_of_chains, 2), chains).at(0)
            taken = uniforms < np.exp(np.minimum(log_ratios, 0.0))
            for i, new in zip(rows, read, strict=True):
                if taken[i]:
                    current[i] = new
            promoted[rows] += 1
            accepted += taken
        log_inverse = seen.log_inverse
        if state.iteration >= self.sampler.warmup:
            log_inverse = np.logaddexp(log_inverse, [-x.log_weight for x in current])
        tallies = {"promoted": promoted, "accepted": accepted, "tries": np.full(chains, moves)}
        return Swept(current, tallies, Seen(largest, log_inverse))

    def rates(self, tallies: Mapping[str, np.ndarray], iterations: int) -> dict[str, Any]:
        promoted, accepted, tries = (tallies[name] for name in ("promoted", "accepted", "tries"))
        return {
            "acceptance": (accepted / tries).tolist(),
            "promoted": (promoted / tries).tolist(),
            "accepted_of_promoted": [
                a / p if p else None
                for a, p in zip(accepted.tolist(), promoted.tolist(), strict=True)
            ],
        }

    def draws(self, state: Chains, complete: bool) -> Draws:
        draws = super().draws(state, complete)
        if not state.draws:
            return draws
        # under pi the mean of pi~ / pi is the ratio of their masses
        seen, count = state.memory, len(state.draws) * self.sampler.chains
        log_mass = float(np.logaddexp.reduce(seen.log_inverse)) - log(count)
        largest = float(seen.largest.max()) + log_mass
        return draws._replace(rates={**draws.rates, "largest_log_weight": largest})

    def _drafted(self, keys: RunKeys, number: int, drafts: list[Particle]) -> tuple[list[Any], Any]:
        """Make the moves of stage 1, and give the keys of the last."""
        chains, each = len(drafts), self.sampler.draft_moves
        moved: list[Any] = drafts
        keys_of_chains = None
        for draft_move in range(each):
            keys_of_chains = keys.moves(number * each + draft_move, chains, range(chains))
            moved = suffix_move(
                self.stepwise, self.proposed, keys_of_chains, moved, self._log_weight
            ).particles
        return moved, keys_of_chains

    def _log_weight(self, row: int, particle: Reasoning) -> float:
        return sum(self.stepwise.log_potentials(cast("Particle", particle)))


def _is_other(one: Particle, other: Particle) -> bool:
    """Return whether two closed trajectories differ."""
    return not one.length == other.length == shared_steps(one, other)
