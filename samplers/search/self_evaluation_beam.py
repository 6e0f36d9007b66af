"""Stochastic beam search by the probability and the confidence of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

import numpy as np

from ... import checks
from ...log_odds import log_sigmoids
from ...ppl.interfaces import Declared
from ...ppl.particle import Particle
from ...ppl.statespace import StateSpaceModel
from .level_search import Candidate, Chosen, Expanding, Round, best
from .random_choice import drawn_without_replacement
from .search_sampler import BoundSearch, Drawn
from .value import Valued, ruled_out

COLD = 0.005  # temperature from which on the best are taken, nothing being drawn any more


@dataclass(frozen=True, kw_only=True)
class SelfEvaluationBeam(Expanding):
    """Stochastic beam search guided by self-evaluation: keep N / M of N prefixes by drawing them.

    A prefix of steps s_1, ..., s_t is worth

        E = prod_t P(s_t)^lambda C(s_t)^(1 - lambda)

    P is the language model's probability of a step and C its confidence in it: here the reward
    model's score, which may be a language model's own judgement. N / M of the N candidates are
    drawn without replacement, in proportion to exp(E / T); after every step T is multiplied by
    `decay`, and below 0.005 the best are taken. Closed nodes compete with the value that they have.

    With `normalised`, as in the published code, P is a step's probability to the power of one over
    its tokens, E the geometric mean over steps, and the weights are E^(1/T).

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of N steps, fewer where closed nodes hold places, and the reward model's
    pass over the new tokens of each distinct one. Source: Xie et al. (2023), arXiv:2305.00633,
    equations 3 to 5.

    Attributes:
        particles: N, prefixes after every step; a multiple of M.
        expansions: M, steps drawn from each prefix that is kept.
        balance: lambda in [0, 1]: 1 for the probability alone, 0 for the confidence alone.
        beam_temperature: T of the first step, at least 0; 0 takes the best.
        decay: what T is multiplied by after every step, in [0, 1].
        normalised: whether values are per token and per step, as in the published code.
        choice: how the N / M answers are weighed: "vote", "weighted" by E, or "best".
        proposal: what steps are drawn from; the model's prior when None.
        budget: as of `BeamSearch`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = SelfEvaluationBeam(particles=8, expansions=4).run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (2, 'heuristic')
    """

    choice: str = "vote"
    balance: float = 0.5
    beam_temperature: float = 0.5
    decay: float = 0.5
    normalised: bool = False

    name = "self_evaluation_beam"
    paper = "Xie et al. (2023), arXiv:2305.00633"
    step_cost = (
        "the tokens of N steps, fewer where closed nodes hold places; the reward model reads the "
        "new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self,
            balance=checks.fraction("balance", self.balance),
            beam_temperature=checks.number("beam_temperature", self.beam_temperature, least=0),
            decay=checks.fraction("decay", self.decay),
            normalised=checks.flag("normalised", self.normalised),
        )
        super().__post_init__()

    def check(self, model: Declared) -> None:
        super().check(model)
        assert isinstance(model, StateSpaceModel)
        if model.prm is None and self.balance < 1:
            raise ValueError(
                f"{self.name!r} needs confidence in steps: a reward model (prm=), or balance=1 for "
                "the language model's probability alone"
            )

    def valued(self, bound: BoundSearch[Any], drawn: Drawn) -> Valued:
        log_values = np.full(len(drawn.children), -inf)
        for i, child in enumerate(drawn.children):
            if not ruled_out(bound.stepwise, child):
                log_values[i] = self.log_value(bound, child)
        return Valued(log_values)

    def log_value(self, bound: BoundSearch[Any], particle: Particle) -> float:
        """Return log E of a prefix."""
        steps = particle.trajectory.path[1:]
        log_probs = np.array([node.step_logprob for node in steps])
        if self.normalised:
            log_probs = log_probs / [len(node.step_token_ids) for node in steps]
        log_value = 0.0
        if self.balance > 0:
            if isnan(particle.trajectory.logprob):
                raise bound.stepwise.model.unknown_logprob(f"balance={self.balance:g}")
            log_value += self.balance * float(log_probs.sum())
        if self.balance < 1:
            confidence = log_sigmoids(np.array(particle.log_odds))
            log_value += (1 - self.balance) * float(confidence.sum())
        return log_value / len(steps) if self.normalised else log_value

    def select(self, round: Round) -> Chosen:
        kept = best(round.found, self.survivors)
        temperature = self.beam_temperature * self.decay ** (round.number - 1)
        if temperature >= COLD:
            log_weights = self.log_weights_of(round.found, temperature)
            drawn = drawn_without_replacement(
                round.bound.keys.choice(round.number), log_weights, self.survivors, self.particles
            )
            kept = [round.found[i] for i in drawn]
        return Chosen([each.keep(self.expansions) for each in kept])

    def log_weights_of(self, found: Sequence[Candidate], temperature: float) -> np.ndarray:
        """Give the weights by which candidates are drawn, as logarithms, shape (K,)."""
        log_values = np.array([each.log_value for each in found])
        if self.normalised:
            return log_values / temperature
        return np.exp(log_values) / temperature
