"""The state-space model step by step: what a filter samples.

A Feynman-Kac model that moves by one step of reasoning, drawn from a proposal q, and weighs it by

    G_t = p(x_t)^alpha / q(x_t)  *  likelihood's increment  *  psi_t(x_1:t) / psi_t-1(x_1:t-1)

where psi is a *twist*: what the weight anticipates of the future (Whiteley and Lee 2014). It is 1 at the start and once a
trajectory is closed, so that over a complete trajectory it cancels whatever it is, even where it is random: a particle
keeps the value it was weighed by. Without one psi is 1.

The model can be spliced (`motes.smc.Spliceable`): a trajectory's steps from t on behind another trajectory's first t - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any, TypeAlias

import numpy as np

from ..models import Sampling, TractableLanguageModel, Trajectory, continued
from ..models.continuing import Continues
from ..smc import subkeys
from ..smc.arrays import objects
from .statespace import Particle, StateSpaceModel

Twist: TypeAlias = Callable[[StateSpaceModel, int, Any, Sequence[Particle]], Sequence[float]]
"""(model, t, keys, particles open after t steps) -> log psi_t of each, in nats, with a JAX random key for each particle."""


@dataclass(frozen=True, eq=False)
class StepwiseModel:
    """A state-space model as a Feynman-Kac model that draws steps from `proposal`.

    Attributes:
        model: the declared posterior.
        proposal: how steps are sampled: one for all of them, or a function of their number t >= 1.
        twist: what weights anticipate; None for nothing.
        root: the trajectory without steps to begin with; a new one where None.
    """

    model: StateSpaceModel
    proposal: Sampling | Callable[[int], Sampling]
    twist: Twist | None = None
    root: Trajectory | None = None
    _spliced: dict[tuple[Trajectory, int], list[Particle]] = field(default_factory=dict, init=False, repr=False)

    def initial(self, keys: Any, slots: int) -> list[Particle]:
        """`slots` particles without steps, all at the same root; nothing is drawn."""
        return [Particle(self.root or self.model.lm.start(self.model.question), ())] * slots

    def open(self, particle: Particle) -> bool:
        """Whether another step may follow."""
        return particle.trajectory.open

    def move(self, t: int, keys: Any, particles: Sequence[Particle]) -> list[Particle]:
        """Draw, close, score and twist one step of each particle.

        Siblings that drew the same tokens become one node, which is scored once and whose cache serves both.
        """
        moved = self.step(self.proposal if isinstance(self.proposal, Sampling) else self.proposal(t), keys, particles)
        if self.twist is None:
            return moved
        anticipating = [i for i, x in enumerate(moved) if x.trajectory.open and x.trajectory.step_logprob != -inf]
        if anticipating:
            values = self.twist(self.model, t, subkeys(keys, 0, anticipating), [moved[i] for i in anticipating])
            for i, value in zip(anticipating, values, strict=True):
                moved[i] = moved[i]._replace(log_twist=float(value))
        return moved

    def step(self, proposal: Sampling, keys: Any, particles: Sequence[Particle]) -> list[Particle]:
        """One more step of each particle, untwisted."""
        parents = [particle.trajectory for particle in particles]
        children = self.model.lm.extend(parents, keys, sampling=proposal, prior=self.model.prior)
        firsts: dict[tuple[Any, ...], int] = {}
        for i, child in enumerate(children):
            firsts.setdefault(_said(child), i)
        nodes = {i: self.model.close(children[i]) for i in firsts.values()}
        scored = self._scored({i: [*particles[i].log_odds] for i in nodes}, nodes)
        distinct = {i: Particle(node, tuple(scored[i])) for i, node in nodes.items()}
        return [distinct[firsts[_said(child)]] for child in children]

    def successors(
        self, proposal: Sampling, keys: Any, particles: Sequence[Particle], count: int, chosen: Sequence[int], part: int = 0
    ) -> list[list[Particle]]:
        """`count` next steps of each chosen particle, untwisted, all in one batch.

        Args:
            proposal: what they are drawn from.
            keys: of all particles, typed JAX random keys; the j-th step is drawn from part `part` + j of its particle's key.
            particles: N of them.
            count: K.
            chosen: slots of open ones.
            part: see `motes.smc.subkeys`.
        """
        rows = [(i, j) for i in chosen for j in range(count)]
        keys_of_rows = subkeys(keys, [part + j for _, j in rows], [i for i, _ in rows])
        drawn = self.step(proposal, keys_of_rows, [particles[i] for i, _ in rows])
        return [drawn[first : first + count] for first in range(0, len(drawn), count)]

    def log_potential(self, t: int, before: Sequence[Particle], after: Sequence[Particle]) -> np.ndarray:
        """log G_t, shape (K,).

        Raises:
            FloatingPointError: a log-probability is not a number, or the target's increment is infinite; the message
                names the model and the trajectory.
            ValueError: the weight needs a probability that the language model does not tell, or the twist is zero or
                infinite where the likelihood is not zero.
        """
        return np.array([self._log_potential(x.log_twist, y) for x, y in zip(before, after, strict=True)], np.float64)

    def log_potentials(self, particle: Particle) -> list[float]:
        """log G_1, log G_2, ... of a particle's steps, up to the first that is minus infinity; their sum is its log gamma_t / q, in nats.

        Raises as `log_potential`. Twists of earlier steps cancel, and are left out.
        """
        values, path = [], particle.trajectory.path[1:]
        for s, node in enumerate(path, 1):
            values.append(self._log_potential(0.0, Particle(node, particle.log_odds[:s], particle.log_twist * (s == len(path)))))
            if values[-1] == -inf:
                break
        return values

    def log_splice(self, t: int, particles: Sequence[Particle], reference: Sequence[Particle]) -> np.ndarray:
        """How well each particle's past fits the reference's remainder; see `motes.smc.Spliceable`.

        An open particle fits a remainder that it could have produced, a closed one an empty remainder. The remainder is scored
        under all pasts at once, by the language model and by the reward model.

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
        remainders = {own: [reference[min(s, len(reference) - 1)] for s in range(t, t + len(rest))]} if own in pasts else {}
        others = [x for node, x in pasts.items() if node is not own]
        remainders |= self._joined(others, rest) if others else {}
        for i, particle in enumerate(particles):
            if (remainder := remainders.get(particle.trajectory)) is not None:
                values[i] = sum(map(self._log_increment, remainder))
                self._spliced[particle.trajectory, t] = remainder
        return values

    def splice(self, t: int, particle: Particle, reference: Any) -> np.ndarray:
        """The reference as it is behind this particle; what the last `log_splice` has worked out."""
        remainder = self._spliced.get((particle.trajectory, t), [particle])
        return objects([*[None] * t, *remainder] if particle.trajectory.open else [particle])

    def _joined(self, particles: Sequence[Particle], rest: Sequence[Trajectory]) -> dict[Trajectory, list[Particle]]:
        """For each particle's node the remainder behind it, as particles, where it is producible there."""
        model, proposal = self.model, self.proposal
        assert isinstance(model.lm, TractableLanguageModel)
        assert isinstance(proposal, Sampling)
        ends = continued(model.lm, [x.trajectory for x in particles], rest, prior=model.prior, proposal=proposal)
        paths: dict[Trajectory, tuple[Particle, list[Trajectory]]] = {}
        for particle, end in zip(particles, ends, strict=True):
            if end is None or -inf in (end.logprob, end.proposal_logprob):
                continue
            *inner, end = end.path[-len(rest) :]
            end = model.close(end)
            # who cannot tell how its text would have ended takes over that it did, be it by the answer rule
            ends_alike = isinstance(model.lm, Continues) or not model.stop_at_answer or model.states(end) == model.states(rest[-1])
            same = (end.finished, end.truncated) == (rest[-1].finished, rest[-1].truncated)
            if same and ends_alike and all(model.close(x).open for x in inner):
                paths[particle.trajectory] = particle, [*inner, end]
        nodes = {(head, s): node for head, (_, path) in paths.items() for s, node in enumerate(path)}
        scores = dict(zip(nodes, model.score(list(nodes.values())), strict=model.prm is not None))
        joined = {}
        for head, (particle, path) in paths.items():
            log_odds = particle.log_odds + tuple(scores[head, s] for s in range(len(path)) if scores)
            joined[head] = [Particle(node, log_odds[: len(log_odds) - len(path) + s + 1]) for s, node in enumerate(path)]
        return joined

    def _check_splices(self) -> None:
        if not isinstance(self.model.lm, TractableLanguageModel):
            raise TypeError(f"ancestor sampling needs a language model with a method `logprob`, and {self.model.lm.name!r} has none")
        if self.twist is not None or not isinstance(self.proposal, Sampling):
            raise ValueError("ancestor sampling needs a model without a twist, with one proposal for all steps")

    def _scored(self, log_odds: dict[int, list[float]], nodes: dict[int, Trajectory]) -> dict[int, list[float]]:
        """The log-odds of each node's path, its own included, where it is inside the prior's support."""
        living = [i for i, node in nodes.items() if node.step_logprob != -inf]
        for i, score in zip(living, self.model.score([nodes[i] for i in living]), strict=self.model.prm is not None):
            log_odds[i].append(score)
        return log_odds

    def _log_potential(self, spent: float, particle: Particle) -> float:
        x = particle.trajectory
        log_p, log_q = x.step_logprob, x.step_proposal_logprob
        if isnan(log_p) and isnan(log_q) and not isinstance(self.model.lm, TractableLanguageModel):
            self._check_untold()
            log_ratio = 0.0
        else:
            log_ratio = self.model.alpha * log_p - log_q
        if isnan(log_ratio) or log_ratio == inf:
            raise FloatingPointError(
                f"the language model {self.model.lm.name!r} gave a step log-probability {log_p} under the prior "
                f"and {log_q} under the proposal in {x!r}"
            )
        if log_ratio == -inf:
            return -inf
        increment = log_ratio + self._log_increment_of_likelihood(particle)
        if increment == -inf:
            return -inf
        if not -inf < particle.log_twist < inf:
            raise ValueError(
                f"the twist must be a positive number where the likelihood is not zero, but its log is {particle.log_twist} in {x!r}"
            )
        return increment + particle.log_twist - spent

    def _log_increment(self, particle: Particle) -> float:
        """Of log gamma by the particle's last step: q has no part in it."""
        log_p = self.model.alpha * particle.trajectory.step_logprob
        return log_p if log_p == -inf else log_p + self._log_increment_of_likelihood(particle)

    def _log_increment_of_likelihood(self, particle: Particle) -> float:
        x, likelihood = particle.trajectory, self.model.likelihood
        if not (x.open or self.model.allows(x)):
            return -inf
        try:
            return 0.0 if likelihood is None else likelihood.log_potential(particle.log_odds, closed=not x.open)
        except FloatingPointError as error:
            raise self.model.blamed(error, x) from None

    def _check_untold(self) -> None:
        """Raise ValueError where a probability that the language model does not tell would be needed."""
        if self.model.alpha != 1:
            raise self.model.untold()
        if self.proposal != self.model.prior:
            raise self.model.untold("a proposal other than the prior")


def _said(child: Trajectory) -> tuple[Any, ...]:
    """What makes two children of a population the same trajectory: parent, tokens and status."""
    return id(child.parent), child.step_token_ids, child.finished, child.truncated
