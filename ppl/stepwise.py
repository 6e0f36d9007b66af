"""The state-space model step by step: what a filter samples.

A Feynman-Kac model that moves by one step of reasoning, drawn from a proposal q, and weighs it by

    G_t = p(x_t)^alpha / q(x_t)  *  likelihood's increment  *  psi_t(x_1:t) / psi_t-1(x_1:t-1)

where psi is a *twist*: what the weight anticipates of the future (Whiteley and Lee 2014). It is 1
at the start and once a trajectory is closed, so that over a complete trajectory it cancels whatever
it is, even where it is random: a particle keeps the value it was weighed by. Without one psi is 1.

The model can be spliced (`motes.smc.Spliceable`): a trajectory's steps from t on after another
trajectory's first t - 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

import numpy as np

from ..aliases import Particles, PRNGKeys
from ..models import Trajectory, calls, capabilities, continued
from ..models.mixture import Law
from ..smc import subkeys
from ..smc.arrays import objects
from .interfaces import Proposal, StateSpace, Twist
from .particle import Particle


@dataclass(frozen=True, eq=False)
class Steps(ABC):
    """A declared posterior as a Feynman-Kac model, whose particles are pieces of reasoning.

    Attributes:
        model: the declared posterior.
        proposal: how steps are sampled: one for all of them, the prior where None, or a function of
            their number t >= 1.
        twist: what weights anticipate; None for nothing.
        root: the particle without steps to begin with; a new one where None.
    """

    model: Any
    proposal: Proposal
    twist: Twist | None = None
    root: Any = None

    @abstractmethod
    def step(self, proposal: Law | None, keys: PRNGKeys, particles: Sequence[Any]) -> list[Any]:
        """Return each particle one weighing further, untwisted."""

    @abstractmethod
    def _log_potential(self, spent: float, before: Particles, after: Particles) -> float:
        """Return log G_t of one particle, less the twist `spent` already in its weight."""

    def initial(self, keys: PRNGKeys, slots: int) -> list[Any]:
        """Return `slots` particles without steps, all at the same root; nothing is drawn."""
        return [self.root or self.model.root()] * slots

    def open(self, particle: Particle) -> bool:
        """Return whether another step may follow."""
        return particle.open

    def move(self, t: int, keys: PRNGKeys, particles: Sequence[Any]) -> list[Any]:
        """Draw, close, score and twist one step of each particle."""
        moved = self.step(
            self.proposal(t) if callable(self.proposal) else self.proposal, keys, particles
        )
        if self.twist is None:
            return moved
        anticipating = [i for i, x in enumerate(moved) if x.open and not x.impossible]
        if anticipating:
            values = self.twist(
                self.model, t, subkeys(keys, 0, anticipating), [moved[i] for i in anticipating]
            )
            for i, value in zip(anticipating, values, strict=True):
                moved[i] = moved[i].twisted(float(value))
        return moved

    def successors(
        self,
        proposal: Law | None,
        keys: PRNGKeys,
        particles: Sequence[Any],
        count: int,
        chosen: Sequence[int],
        part: int = 0,
    ) -> list[list[Any]]:
        """Draw `count` next steps of each chosen particle, untwisted, all in one batch.

        Args:
            proposal: what they are drawn from.
            keys: of all particles, typed JAX random keys; the j-th step is drawn from part `part` +
                j of its particle's key.
            particles: N of them.
            count: K.
            chosen: slots of open ones.
            part: see `motes.smc.subkeys`.
        """
        rows = [(i, j) for i in chosen for j in range(count)]
        slots = [i for i, _ in rows]
        keys_of_rows = subkeys(keys, [part + j for _, j in rows], slots)
        drawn = self.step(proposal, keys_of_rows, [particles[i] for i in slots])
        return [drawn[first : first + count] for first in range(0, len(drawn), count)]

    def log_potential(self, t: int, before: Sequence[Any], after: Sequence[Any]) -> np.ndarray:
        """Return log G_t of each particle, shape (K,).

        Raises:
            FloatingPointError: a log-probability is NaN, or the target's increment is
                infinite; the message names the model and the trajectory.
            ValueError: the weight needs a probability that the language model does not tell, or the
                twist is zero or infinite where the likelihood is not zero.
        """
        return np.array(
            [self._log_potential(x.log_twist, x, y) for x, y in zip(before, after, strict=True)],
            np.float64,
        )

    def _twisted(self, increment: float, spent: float, after: Particles) -> float:
        """Return an increment with what the twist adds to it."""
        if increment == -inf:
            return -inf
        if not -inf < after.log_twist < inf:
            where = f"but its log is {after.log_twist} in {after.trajectory!r}"
            raise ValueError(
                f"the twist must be a positive number where the likelihood is not zero, {where}"
            )
        return increment + after.log_twist - spent


@dataclass(frozen=True, eq=False)
class StepwiseModel(Steps):
    """A state-space model as a Feynman-Kac model that draws steps from `proposal`.

    Its attributes are those of `Steps`.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> from motes.ppl import StateSpaceModel
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> type(model.stepwise(None)).__name__
        'StepwiseModel'
    """

    model: StateSpace
    _spliced: dict[tuple[Trajectory, int], list[Particle]] = field(
        default_factory=dict, init=False, repr=False
    )

    def step(
        self, proposal: Law | None, keys: PRNGKeys, particles: Sequence[Particle]
    ) -> list[Particle]:
        """Return one more step of each particle, untwisted.

        Siblings that drew the same tokens become one node, which is scored once and whose cache
        serves both.
        """
        parents = [particle.trajectory for particle in particles]
        children = calls.extend(
            self.model.lm, parents, keys, sampling=proposal, prior=self.model.prior
        )
        firsts = first_of_equals(children)
        nodes = {i: self.model.close(children[i]) for i in dict.fromkeys(firsts)}
        scored = self._scored({i: [*particles[i].log_odds] for i in nodes}, nodes)
        distinct = {i: Particle(node, tuple(scored[i])) for i, node in nodes.items()}
        return [distinct[i] for i in firsts]

    def log_potentials(self, particle: Particle) -> list[float]:
        """Compute log G_1, log G_2, ...

        Of a particle's steps, up to the first that is minus infinity; their sum is its log gamma_t
        / q, in nats.

        Raises as `log_potential`. Twists of earlier steps cancel, and are left out.
        """
        values, path = [], particle.trajectory.path[1:]
        for s, node in enumerate(path, 1):
            values.append(
                self._increment(
                    Particle(node, particle.log_odds[:s], particle.log_twist * (s == len(path)))
                )
            )
            if values[-1] == -inf:
                break
        return values

    def log_splice(
        self, t: int, particles: Sequence[Particle], reference: Sequence[Particle]
    ) -> np.ndarray:
        """Return how well each particle's past fits the reference's remainder.

        See `motes.smc.Spliceable`.

        An open particle fits a remainder that it could have produced, a closed one an empty
        remainder. The remainder is scored under all pasts at once, by the language model and by the
        reward model.

        Raises:
            TypeError: the language model has no `logprob`.
            ValueError: the model is twisted, which splices do not know about.
        """
        self._spliced.clear()
        last = reference[-1].trajectory
        rest = last.path[t:]
        values = np.full(len(particles), -inf)
        if not rest:
            values[[not particle.trajectory.open for particle in particles]] = 0.0
            return values
        self._check_splices()
        own = last.path[t - 1]
        pasts = {x.trajectory: x for x in particles if x.trajectory.open}
        remainders = {}
        if own in pasts:  # its own remainder is the reference as it stands
            ends = [min(s, len(reference) - 1) for s in range(t, t + len(rest))]
            remainders[own] = [reference[s] for s in ends]
        others = [x for node, x in pasts.items() if node is not own]
        remainders |= self._joined(others, rest) if others else {}
        for i, particle in enumerate(particles):
            if (remainder := remainders.get(particle.trajectory)) is not None:
                values[i] = sum(map(self._log_increment, remainder))
                self._spliced[particle.trajectory, t] = remainder
        return values

    def splice(self, t: int, particle: Particle, reference: Particle) -> np.ndarray:
        """Return the reference as it is after this particle.

        What the last `log_splice` has worked out.
        """
        remainder = self._spliced.get((particle.trajectory, t), [particle])
        return objects([*[None] * t, *remainder] if particle.trajectory.open else [particle])

    def _joined(
        self, particles: Sequence[Particle], rest: Sequence[Trajectory]
    ) -> dict[Trajectory, list[Particle]]:
        """Return for each particle's node the remainder after it, where that can follow it."""
        model = self.model
        proposal = self.proposal or model.prior
        assert not callable(proposal)
        ends = continued(
            model.lm, [x.trajectory for x in particles], rest, prior=model.prior, proposal=proposal
        )
        paths: dict[Trajectory, tuple[Particle, list[Trajectory]]] = {}
        for particle, end in zip(particles, ends, strict=True):
            if end is None or -inf in (end.logprob, end.proposal_logprob):
                continue
            *inner, end = end.path[-len(rest) :]
            end = model.close(end)
            # who cannot tell how its text would have ended takes over that it did, be it by the
            # answer rule
            ends_alike = (
                capabilities(model.lm).continuation
                or not model.stop_at_answer
                or model.states(end) == model.states(rest[-1])
            )
            same = (end.finished, end.truncated) == (rest[-1].finished, rest[-1].truncated)
            if same and ends_alike and all(model.close(x).open for x in inner):
                paths[particle.trajectory] = particle, [*inner, end]
        nodes = {
            (head, s): node for head, (_, path) in paths.items() for s, node in enumerate(path)
        }
        scores = dict(zip(nodes, model.score(list(nodes.values())), strict=model.prm is not None))
        joined = {}
        for head, (particle, path) in paths.items():
            log_odds = particle.log_odds + tuple(
                scores[head, s] for s in range(len(path)) if scores
            )
            joined[head] = [
                Particle(node, log_odds[: len(log_odds) - len(path) + s + 1])
                for s, node in enumerate(path)
            ]
        return joined

    def _check_splices(self) -> None:
        if not capabilities(self.model.lm).scoring:
            raise TypeError(
                "ancestor sampling needs a language model with a method `logprob`, and "
                f"{self.model.lm.name!r} has none"
            )
        if self.twist is not None or callable(self.proposal):
            raise ValueError(
                "ancestor sampling needs a model without a twist, with one proposal for all steps"
            )

    def _scored(
        self, log_odds: dict[int, list[float]], nodes: dict[int, Trajectory]
    ) -> dict[int, list[float]]:
        """Return the log-odds of each node's path, as far as it lies inside the prior's support."""
        living = [i for i, node in nodes.items() if node.step_logprob != -inf]
        for i, score in zip(
            living, self.model.score([nodes[i] for i in living]), strict=self.model.prm is not None
        ):
            log_odds[i].append(score)
        return log_odds

    def _log_potential(self, spent: float, before: Particle, after: Particle) -> float:
        return self._increment(after, spent)

    def _increment(self, particle: Particle, spent: float = 0.0) -> float:
        """Return log G_t of a particle's last step."""
        x = particle.trajectory
        log_p, log_q = x.step_logprob, x.step_proposal_logprob
        if isnan(log_p) and isnan(log_q) and not capabilities(self.model.lm).probabilities:
            self._check_probabilities()
            log_ratio = 0.0
        else:
            log_ratio = self.model.alpha * log_p - log_q
        if isnan(log_ratio) or log_ratio == inf:
            raise FloatingPointError(
                f"the language model {self.model.lm.name!r} gave a step log-probability {log_p} "
                "under the prior "
                f"and {log_q} under the proposal in {x!r}"
            )
        if log_ratio == -inf:
            return -inf
        return self._twisted(
            log_ratio + self._log_increment_of_likelihood(particle), spent, particle
        )

    def _log_increment(self, particle: Particle) -> float:
        """Return of log gamma by the particle's last step: q has no part in it."""
        log_p = self.model.alpha * particle.trajectory.step_logprob
        return log_p if log_p == -inf else log_p + self._log_increment_of_likelihood(particle)

    def _log_increment_of_likelihood(self, particle: Particle) -> float:
        x, likelihood = particle.trajectory, self.model.likelihood
        if not (x.open or self.model.allows(x)):
            return -inf
        try:
            if likelihood is None:
                return 0.0
            return likelihood.log_potential(particle.log_odds, closed=not x.open)
        except FloatingPointError as error:
            raise self.model.blamed(error, x) from None

    def _check_probabilities(self) -> None:
        """Raise ValueError where a probability is needed that the language model does not give."""
        if self.model.alpha != 1:
            raise self.model.unknown_logprob()
        if self.proposal not in (None, self.model.prior):
            raise self.model.unknown_logprob("a proposal other than the prior")


def first_of_equals(children: Sequence[Trajectory]) -> list[int]:
    """Return for each child of a population the first child that is the same.

    The same are children of one parent with the same tokens and status.
    """
    firsts: dict[tuple[Any, ...], int] = {}
    return [
        firsts.setdefault(
            (id(child.parent), child.step_token_ids, child.finished, child.truncated), i
        )
        for i, child in enumerate(children)
    ]
