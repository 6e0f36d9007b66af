"""Two targets of the same trajectories: the declared one, and a cheap one that screens for it.

The cheap one, pi~, has a draft model's probabilities and a cheap reward model's scores in the place
of the declared ones; powers, constraint and where trajectories end are the declaration's. What a
draft model has written is read by the declared models where it has been promoted, from the first
step on that differs from what they have read, and its weight is pi / pi~ up to a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

from ...models import Trajectory, calls
from ...ppl.interfaces import Shared
from ...ppl.particle import Particle
from ...ppl.statespace import StateSpaceModel


class Screened(NamedTuple):
    """A trajectory as both targets have it.

    Attributes:
        full: with the declared models' log-probabilities and scores.
        cheap: with those of the draft model and of the cheap reward model.
        log_weight: log pi / pi~ in nats, up to a constant.
    """

    full: Particle
    cheap: Particle
    log_weight: float


@dataclass(frozen=True, eq=False)
class Screening:
    """A declared posterior, pi, and the cheap one that screens for it, pi~.

    Attributes:
        model: the declared posterior.
        cheap: the cheap one.
        drafted: whether their language models differ.
        judged: whether their reward models differ.
    """

    model: StateSpaceModel
    cheap: StateSpaceModel
    drafted: bool
    judged: bool

    def via(self, shared: Shared) -> Screening:
        """Return both over what stands for their models."""
        return replace(self, model=self.model.via(shared), cheap=self.cheap.via(shared))

    def unread(self, root: Particle) -> Screened:
        """Return a particle without steps, which both targets share."""
        return Screened(root, root, 0.0)

    def read(self, olds: Sequence[Screened], news: Sequence[Particle]) -> list[Screened]:
        """Return promoted trajectories as both targets have them.

        Args:
            olds: for each of them a trajectory that was read, whose first steps it may share.
            news: closed trajectories of positive density under the cheap target.

        Returns:
            One for each, of weight zero where the language model cannot have written it.
        """
        shared = [shared_steps(old.cheap, new) for old, new in zip(olds, news, strict=True)]
        rows = list(zip(olds, news, shared, strict=True))
        ends = [self._written(old, new, steps) for old, new, steps in rows]
        scores = self._scores(
            [(end, steps) for end, steps in zip(ends, shared, strict=True) if end is not None]
        )
        read = []
        for (old, new, steps), end in zip(rows, ends, strict=True):
            if end is None:
                read.append(Screened(old.full, new, -inf))
                continue
            log_odds = new.log_odds
            if self.judged:
                log_odds = (*old.full.log_odds[:steps], *scores[end])
            full = Particle(end, log_odds)
            read.append(Screened(full, new, self._log_weight(full, new)))
        return read

    def _written(self, old: Screened, new: Particle, shared: int) -> Trajectory | None:
        """Return the declared model's reading of a trajectory; None where it has mass zero."""
        if not self.drafted:
            return new.trajectory
        model, head = self.model, old.full.trajectory.path[shared]
        rest = new.trajectory.path[shared + 1 :]
        [end] = calls.continued(model.lm, [head], rest, prior=model.prior, proposal=model.prior)
        if end is None or end.logprob == -inf:
            return None
        *inner, end = end.path[shared + 1 :]
        end = model.close(end)
        # elsewhere it would have ended sooner, or would go on
        whole = not end.open and all(model.close(node).open for node in inner)
        return end if whole else None

    def _scores(self, ends: Sequence[tuple[Trajectory, int]]) -> dict[Trajectory, list[float]]:
        """Return the declared scores of each trajectory's steps after the first so many."""
        if not self.judged:
            return {}
        nodes = [(end, node) for end, shared in ends for node in end.path[shared + 1 :]]
        scores: dict[Trajectory, list[float]] = {end: [] for end, _ in ends}
        told = self.model.score([node for _, node in nodes])
        for (end, _), score in zip(nodes, told, strict=True):
            scores[end].append(score)
        return scores

    def _log_weight(self, full: Particle, cheap: Particle) -> float:
        """Return log pi / pi~ of a trajectory; the prior cancels where the models are one."""
        log_ratio = self.model.log_likelihood(full) - self.cheap.log_likelihood(cheap)
        if self.drafted and log_ratio > -inf:
            log_ratio += self.model.alpha * (full.trajectory.logprob - cheap.trajectory.logprob)
        return log_ratio


def shared_steps(one: Particle, other: Particle) -> int:
    """Count the first steps that two trajectories have in common, by their tokens.

    Example:
        >>> root, law = Trajectory(question="?"), {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> x = root.child("a", (1,), **law)
        >>> y = x.child("b", (2,), **law).child("c", (3,), **law, finished=True)
        >>> z = x.child("b", (2,), **law).child("d", (4,), **law, finished=True)
        >>> shared_steps(Particle(y, ()), Particle(z, ()))
        2
    """
    shared = 0
    steps = zip(one.trajectory.path[1:], other.trajectory.path[1:], strict=False)
    for own, its in steps:
        if own is not its and (own.step_token_ids, own.open) != (its.step_token_ids, its.open):
            break
        shared += 1
    return shared
