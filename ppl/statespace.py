"""Reasoning as a state-space model.

    prior        x_t ~ p(x_t | c, x_1:t-1)       a language model writes the next step after the question c
    likelihood   o_t ~ Bernoulli(r_t)            r_t, a reward model's probability that step t is right
    posterior    p(x_1:tau | c, o_1:tau = 1)     or another declared target; see `motes.ppl.targets`

tau is the step at which the trajectory closes: it finishes by end of text or by stating its answer, or is
truncated after max_steps. All of that is part of the target. `StateSpaceModel` is the declaration, which every sampler
takes; `StepwiseModel` is the same seen by a filter, a Feynman-Kac model that moves by one step drawn from a proposal q
and weighs it by the target's increment G_t times p / q.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from math import inf, isnan
from operator import index
from typing import Any, NamedTuple

import numpy as np

from ..models import Cost, LanguageModel, RewardModel, Sampling, Trajectory
from .answers import stated
from .targets import Target, resolve

Answer = Callable[[Trajectory], str | None]


@dataclass(frozen=True, eq=False)
class StateSpaceModel:
    """A declared posterior over trajectories.

    Attributes:
        question: what is asked.
        lm: the language model, which writes steps.
        prm: the reward model, which judges them; None for no likelihood, so that the posterior is the prior.
        target: a name of `motes.ppl.targets.TARGETS`, or a `Target`.
        beta: the power of the likelihood under a target given by name.
        prior: how the language model is sampled, by declaration.
        max_steps: trajectories still open after this many steps are truncated.
        answer: maps a finished trajectory to its answer, or None; `motes.ppl.stated` where None. Trajectories
            that are truncated have no answer.
        stop_at_answer: whether a trajectory finishes at the first step after which `answer` reads an answer
            (which is asked of open trajectories then).

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    question: str
    _: KW_ONLY
    lm: LanguageModel
    prm: RewardModel | None = None
    target: str | Target = "product"
    beta: float = 1.0
    prior: Sampling = Sampling()
    max_steps: int = 32
    answer: Answer | None = None
    stop_at_answer: bool = True

    def __post_init__(self) -> None:
        check_declaration(self.question, self.target, self.beta, self.prior, self.max_steps, self.answer)
        check_lm(self.lm)
        check_prm(self.prm)

    @property
    def likelihood(self) -> Target | None:
        """The declared likelihood; None without a reward model."""
        return None if self.prm is None else resolve(self.target, self.beta)

    @property
    def target_name(self) -> str:
        """The declared target in words, beta included; "prior" without a reward model."""
        return str(self.likelihood or "prior")

    @property
    def cost(self) -> Cost:
        """What both models have computed since they were made."""
        return self.lm.cost if self.prm is None else self.lm.cost + self.prm.cost

    def extract(self, trajectory: Trajectory) -> str | None:
        """The answer of a finished trajectory; None for any other."""
        return self._read(trajectory) if trajectory.finished else None

    def close(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory, finished if it has stated its answer, truncated if it is out of steps."""
        if trajectory.open and self.stop_at_answer and self._read(trajectory) is not None:
            return trajectory.close(finished=True)
        return trajectory.close(truncated=True) if trajectory.open and trajectory.depth >= self.max_steps else trajectory

    def score(self, trajectories: Sequence[Trajectory]) -> list[float]:
        """The reward model's log-odds of each trajectory's last step, in one batch; none without a reward model.

        Raises:
            FloatingPointError: a score is not a number; the message names the model and the trajectory.
        """
        if self.prm is None or not trajectories:
            return []
        scores = np.asarray(self.prm.score(trajectories), np.float64)
        if scores.shape != (len(trajectories),):
            raise ValueError(f"the reward model {self.prm.name!r} gave scores of shape {scores.shape} for {len(trajectories)} trajectories")
        if np.isnan(scores).any():
            trajectory = trajectories[int(np.argmax(np.isnan(scores)))]
            raise FloatingPointError(f"the reward model {self.prm.name!r} gave a score that is not a number for {trajectory!r}")
        return scores.tolist()

    def _read(self, trajectory: Trajectory) -> str | None:
        answer = (self.answer or stated)(trajectory)
        if not (answer is None or isinstance(answer, str)):
            raise TypeError(f"answer must map a trajectory to a str or None, not to {answer!r}")
        return answer


class Particle(NamedTuple):
    """A trajectory and the log-odds of its steps, in order; empty without a reward model.

    A step outside the prior's support has weight zero and is not scored.
    """

    trajectory: Trajectory
    log_odds: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StepwiseModel:
    """A state-space model as the Feynman-Kac model of a filter that draws steps from `proposal`.

    Attributes:
        model: the declared posterior.
        proposal: how steps are sampled.
    """

    model: StateSpaceModel
    proposal: Sampling

    def initial(self, keys: Any, slots: int) -> list[Particle]:
        """`slots` particles without steps, all at the same root; nothing is drawn."""
        return [Particle(self.model.lm.start(self.model.question), ())] * slots

    def open(self, particle: Particle) -> bool:
        """Whether another step may follow."""
        return particle.trajectory.open

    def move(self, t: int, keys: Any, particles: Sequence[Particle]) -> list[Particle]:
        """Draw, close and score one step of each particle.

        Siblings that drew the same tokens become one node, which is scored once and whose cache serves both.
        """
        parents = [particle.trajectory for particle in particles]
        children = self.model.lm.extend(parents, keys, sampling=self.proposal, prior=self.model.prior)
        firsts: dict[tuple[Any, ...], int] = {}
        for i, child in enumerate(children):
            firsts.setdefault(_said(child), i)
        nodes = {i: self.model.close(children[i]) for i in firsts.values()}
        living = [i for i, node in nodes.items() if node.step_logprob > -inf]
        paths = {i: particles[i].log_odds for i in nodes}
        for i, score in zip(living, self.model.score([nodes[i] for i in living]), strict=self.model.prm is not None):
            paths[i] += (score,)
        distinct = {i: Particle(node, paths[i]) for i, node in nodes.items()}
        return [distinct[firsts[_said(child)]] for child in children]

    def log_potential(self, t: int, before: Sequence[Particle], after: Sequence[Particle]) -> np.ndarray:
        """The target's increment times prior over proposal, log, shape (K,).

        Raises:
            FloatingPointError: a log-probability is not a number, or the target's increment is infinite; the message
                names the model and the trajectory.
        """
        likelihood = self.model.likelihood
        return np.array([self._log_potential(particle, likelihood) for particle in after], np.float64)

    def _log_potential(self, particle: Particle, likelihood: Target | None) -> float:
        trajectory = particle.trajectory
        log_ratio = trajectory.step_logprob - trajectory.step_proposal_logprob
        if isnan(log_ratio) or log_ratio == inf:
            raise FloatingPointError(
                f"the language model {self.model.lm.name!r} gave a step log-probability {trajectory.step_logprob} under the prior "
                f"and {trajectory.step_proposal_logprob} under the proposal in {trajectory!r}"
            )
        if likelihood is None or log_ratio == -inf:
            return log_ratio
        try:
            return log_ratio + likelihood.log_potential(particle.log_odds, closed=not trajectory.open)
        except FloatingPointError as error:
            name = getattr(self.model.prm, "name", None)
            raise FloatingPointError(f"{error}, as {name!r} does in {trajectory!r}") from None


def check_declaration(question: Any, target: Any, beta: Any, prior: Any, max_steps: Any, answer: Any) -> None:
    """Raise what `StateSpaceModel` raises of the parts of a declaration that are not models."""
    if not isinstance(question, str):
        raise TypeError(f"question must be a str, not {question!r}")
    if not question.strip():
        raise ValueError("question must not be empty")
    resolve(target, beta)
    if not isinstance(prior, Sampling):
        raise TypeError(f"prior must be a Sampling, not {prior!r}")
    if isinstance(max_steps, bool) or not hasattr(max_steps, "__index__"):
        raise TypeError(f"max_steps must be an integer, not {max_steps!r}")
    if index(max_steps) < 1:
        raise ValueError(f"max_steps must be at least 1, not {max_steps}")
    if answer is not None and not callable(answer):
        raise TypeError(f"answer must be a function from a trajectory to a str or None, not {answer!r}")


def check_lm(lm: Any) -> None:
    """Raise TypeError where `lm` is not a language model."""
    if not isinstance(lm, LanguageModel):
        raise TypeError(f"lm must be a language model (see motes.load_lm), not {lm!r}")


def check_prm(prm: Any) -> None:
    """Raise TypeError where `prm` is neither a reward model nor None."""
    if prm is not None and not isinstance(prm, RewardModel):
        raise TypeError(f"prm must be a reward model (see motes.load_prm) or None, not {prm!r}")


def _said(child: Trajectory) -> tuple[Any, ...]:
    """What makes two children of a population the same trajectory: parent, tokens and status."""
    return id(child.parent), child.step_token_ids, child.finished, child.truncated
