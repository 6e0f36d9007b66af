"""Reasoning as a state-space model.

    prior        x_t ~ p(x_t | c, x_1:t-1)       a language model writes step t after question c
    likelihood   o_t ~ Bernoulli(r_t)            r_t, by a reward model: step t is right
    posterior    p(x_1:tau | c, o_1:tau = 1)     or another declared target; see `motes.ppl.targets`

tau is the step at which the trajectory closes: it finishes by end of text or by stating its answer,
or is truncated after max_steps or max_tokens, where the language model's context is full, or at the
first step that the reward model's context does not hold. Nothing is known of such a step, so that
its r is 1/2 (be the trajectory truncated there or finished): a function of the trajectory alone.
All of that is part of the target, whose density over complete trajectories is

    gamma(x) = p(x)^alpha L(x)^beta 1[C(x)]

`StateSpaceModel` is the declaration, which every sampler takes; `motes.ppl.StepwiseModel` is the
same seen by a filter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from math import inf, isnan
from typing import Any

import numpy as np

from .. import checks
from ..models import (
    Cost,
    LanguageModel,
    Opening,
    RewardModel,
    Sampling,
    Trajectory,
    behaviour,
    calls,
    capabilities,
    prompt_of,
)
from ..models.mixture import Law
from ..models.protocols import check_extend
from .answers import Answer, read, settled, stated
from .declaration import PARTS, Declaration
from .interfaces import Proposal, Shared
from .particle import Particle
from .stepwise import StepwiseModel, Twist
from .stop_strings import stopped
from .targets import Target


@dataclass(frozen=True, eq=False)
class StateSpaceModel:
    """A declared posterior over trajectories.

    Attributes:
        question: what is asked.
        lm: the language model, which writes steps.
        prm: the reward model, which judges them; None for no likelihood, so that the posterior is
            the prior.
        target: a name of `motes.ppl.targets.TARGETS`, or a `Target`.
        beta: the power of the likelihood under a target given by name.
        alpha: the power of the prior, from 1e-9 to 1e9: at 1 the posterior, above 1 a sharpened one
            (a *power target*).
        prior: how the language model is sampled, by declaration.
        max_steps: trajectories still open after this many steps are truncated.
        max_tokens: so are those still open after the step with which they reach this many tokens;
            None for no such limit.
        stop_strings: texts that end a trajectory with the step in which one of them appears, and
            are not part of it, nor is what follows them in that step. The reward model judges what
            is left; one that reads the language model's own tokens, the whole step.
        answer: maps a finished trajectory to its answer, or None; `motes.ppl.stated` where None.
            Trajectories that are truncated have no answer.
        stop_at_answer: whether a trajectory finishes at the first step after which `answer` reads
            an answer. Of open trajectories, `answer` is asked where the last step ended at its
            delimiter; `motes.ppl.stated` tells what is complete in what was cut off.
        constraint: maps a closed trajectory to whether it is allowed; None for no constraint.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, beta=0.5, max_steps=4)
        >>> model.target_name, model.root().trajectory.depth
        ('product, likelihood to the power 0.5', 0)
    """

    question: str
    _: KW_ONLY
    lm: LanguageModel
    prm: RewardModel | None = None
    target: str | Target = "product"
    beta: float = 1.0
    alpha: float = 1.0
    prior: Sampling = Sampling()
    max_steps: int = 32
    max_tokens: int | None = None
    stop_strings: str | Sequence[str] = ()
    answer: Answer | None = None
    stop_at_answer: bool = True
    constraint: Callable[[Trajectory], bool] | None = None
    _likelihood: Target | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = {name: getattr(self, name) for name in PARTS}
        self._settle(Declaration(**parts), self.lm, self.prm)

    @classmethod
    def of(
        cls, declaration: Declaration, lm: LanguageModel, prm: RewardModel | None
    ) -> StateSpaceModel:
        """Return the model of a declaration, which was checked before there were these models.

        Raises:
            TypeError, ValueError: one of them is no model, or cannot be sampled as declared.

        Example:
            >>> from motes.models import TableLM
            >>> from motes.ppl.declaration import Declaration
            >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
            >>> StateSpaceModel.of(Declaration("?", max_steps=4), lm, None).max_steps
            4
        """
        model = cls.__new__(cls)
        model._settle(declaration, lm, prm)
        return model

    def _settle(self, declaration: Declaration, lm: LanguageModel, prm: RewardModel | None) -> None:
        """Take a declaration as it is, and check its models."""
        likelihood = None if prm is None else declaration.likelihood
        checks.settle(self, lm=lm, prm=prm, _likelihood=likelihood, **declaration.parts())
        check_lm(lm)
        check_prm(prm)
        calls.check_sampling(lm, self.prior)

    @property
    def likelihood(self) -> Target | None:
        """The declared likelihood; None without a reward model."""
        return self._likelihood

    @property
    def target_name(self) -> str:
        """The declared target in words, powers included; "prior" without a reward model."""
        words = str(self.likelihood or "prior")
        if self.alpha != 1:
            words += f", prior to the power {self.alpha:g}"
        if self.constraint is not None:
            words += ", constrained"
        return words

    @property
    def cost(self) -> Cost:
        """What both models have computed since they were made."""
        return self.lm.cost if self.prm is None else self.lm.cost + self.prm.cost

    def root(self) -> Particle:
        """Return a particle without steps, at a new root."""
        start = calls.start(self.lm, self.question)
        if self.prm is not None:
            calls.check_question(self.prm, start)
        return Particle(start, ())

    def stepwise(
        self, proposal: Proposal, twist: Twist | None = None, root: Particle | None = None
    ) -> StepwiseModel:
        """Return the model as a filter samples it."""
        return StepwiseModel(self, proposal, twist, root)

    def via(self, shared: Shared) -> StateSpaceModel:
        """Return the model over what stands for its language model and its reward model."""
        model = copy(self)  # all of it has been checked
        checks.settle(model, lm=shared(self.lm), prm=shared(self.prm))
        return model

    def covers(self, proposal: Law | None) -> bool:
        """Return whether the proposal can draw all that the prior can."""
        return proposal is None or proposal.covers(self.prior)

    def settings(self) -> dict[str, Any]:
        """Return everything that is declared, in plain values."""
        return {
            "prior": asdict(self.prior),
            "likelihood": repr(self.likelihood),
            "alpha": self.alpha,
            "constraint": self.constraint
            and (getattr(self.constraint, "__qualname__", None) or repr(self.constraint)),
            "max_steps": self.max_steps,
            **({} if self.max_tokens is None else {"max_tokens": self.max_tokens}),
            **({"stop_strings": [*self.stop_strings]} if self.stop_strings else {}),
            "stop_at_answer": self.stop_at_answer,
            "lm": self.lm.name,
            "prm": None if self.prm is None else self.prm.name,
            **self._prompt(),
        }

    def _prompt(self) -> dict[str, Any]:
        """Return the prompt that the language model reads, and its date; nothing if not shown."""
        prompt = prompt_of(self.lm, self.question)
        if prompt is None:
            return {}
        return {
            "prompt": prompt.text,
            "prompt_token_ids": [*prompt.token_ids],
            "prompt_date": prompt.date,
            **({} if prompt.opening == Opening() else {"opening": [*prompt.opening]}),
        }

    def doubts(self, proposals: Sequence[Law | None]) -> list[str]:
        """Return what is doubtful about how the language model draws, as clauses."""
        laws = [(proposal or self.prior, self.prior) for proposal in proposals]
        return behaviour.doubts(self.lm, laws)

    def functions(self) -> dict[str, Any]:
        """Return the models, the user's functions, and the rule by which the model's steps end."""
        rule = capabilities(self.lm).step_rule
        functions = {"answer": self.answer, "constraint": self.constraint}
        if rule is not None:
            functions["step"] = [rule.delimiter, rule.tokens, rule.cap, rule.predicate]
            if rule.thinking is not None:
                functions["thinking"] = rule.thinking
        prompt = prompt_of(self.lm, self.question)
        if prompt is not None:  # the day may be part of it
            functions["prompt"] = prompt.text
        return {**functions, "target": self.target, "lm": self.lm, "prm": self.prm}

    def tempered(self, power: float, alpha: float | None = None) -> StateSpaceModel:
        """Return the model between prior and posterior: p^(1 + power (alpha - 1)) L^(power beta).

        The constraint stays as it is.

        Args:
            power: in [0, 1]; at 0 the prior.
            alpha: the power of the prior there, where it goes a way of its own.
        """
        likelihood = self.likelihood
        if alpha is None:
            alpha = 1 + power * (self.alpha - 1)
        if likelihood is None:
            return replace(self, alpha=alpha)
        return replace(
            self, alpha=alpha, target=replace(likelihood, beta=likelihood.beta * power), beta=1.0
        )

    def log_likelihood(self, particle: Particle) -> float:
        """Return the log of L(x)^beta 1[C(x)] of a complete trajectory, in nats.

        Raises:
            FloatingPointError: it is infinite; the message names the reward model and the
                trajectory.
        """
        if particle.trajectory.logprob == -inf or not self.allows(particle.trajectory):
            return -inf
        if self.likelihood is None:
            return 0.0
        try:
            return self.likelihood.log_likelihood(particle.log_odds)
        except FloatingPointError as error:
            raise self.blamed(error, particle.trajectory) from None

    def log_density(self, particle: Particle) -> float:
        """Return log gamma(x) of a complete trajectory, in nats.

        It is NaN where the language model does not give p(x).

        Raises as `log_likelihood` does.
        """
        log_likelihood = self.log_likelihood(particle)
        if log_likelihood == -inf:
            return -inf
        return self.alpha * particle.trajectory.logprob + log_likelihood

    def log_excess(self, particle: Particle) -> float:
        """Return the log of gamma over the prior of a complete trajectory, in nats.

        That is p^(alpha - 1) L^beta 1[C].

        Raises:
            FloatingPointError: as `log_likelihood`.
            ValueError: the target is a power target, and the language model does not tell p(x).
        """
        log_likelihood = self.log_likelihood(particle)
        if self.alpha == 1 or log_likelihood == -inf:
            return log_likelihood
        if isnan(particle.trajectory.logprob):
            raise self.unknown_logprob()
        return log_likelihood + (self.alpha - 1) * particle.trajectory.logprob

    def unknown_logprob(self, what: str = "") -> ValueError:
        """Return the error that a probability is needed which the language model does not give."""
        what = what or f"a power target (alpha {self.alpha:g})"
        return ValueError(
            f"{what} needs the probability of every step, and the language model {self.lm.name!r} "
            "does not tell proposal_logprob"
        )

    def allows(self, trajectory: Trajectory) -> bool:
        """Return whether a closed trajectory satisfies the constraint."""
        if self.constraint is None:
            return True
        if not isinstance(allowed := self.constraint(trajectory), bool | np.bool_):
            raise TypeError(
                f"constraint must map a trajectory to True or False, not to {allowed!r}"
            )
        return bool(allowed)

    def blamed(self, error: FloatingPointError, trajectory: Trajectory) -> FloatingPointError:
        """Return the error, with the reward model and the trajectory that it comes from."""
        return FloatingPointError(
            f"{error}, as {getattr(self.prm, 'name', None)!r} does in {trajectory!r}"
        )

    def answer_of(self, particle: Particle) -> str | None:
        """Return the answer of a finished trajectory; None for any other."""
        return particle.trajectory.answer

    def latents(self, particle: Particle) -> dict[str, Any]:
        """Return nothing: the model draws steps alone."""
        return {}

    def close(self, trajectory: Trajectory) -> Trajectory:
        """Close a trajectory where it ends.

        It is finished if it has stated its answer, or written what is to stop it, and truncated if
        it is out of steps or tokens, or longer than the reward model can read.
        """
        trajectory = stopped(trajectory, self.stop_strings)
        settled_one = settled(trajectory, self.answer or stated, self.stop_at_answer)
        if not settled_one.open:
            return settled_one
        if self._is_out(settled_one) or not (
            self.prm is None or calls.can_read(self.prm, trajectory)
        ):
            return settled_one.close(truncated=True)
        return settled_one

    def _is_out(self, trajectory: Trajectory) -> bool:
        """Return whether a trajectory has all the steps, or all the tokens, that it may have."""
        if trajectory.depth >= self.max_steps:
            return True
        return self.max_tokens is not None and len(trajectory.token_ids) >= self.max_tokens

    def states(self, trajectory: Trajectory) -> bool:
        """Return whether an answer can be read in the trajectory."""
        return read(self.answer or stated, trajectory) is not None

    def score(self, trajectories: Sequence[Trajectory]) -> list[float]:
        """Return the reward model's log-odds of each trajectory's last step, in one batch.

        None without a reward model.

        Raises:
            TypeError, ValueError, FloatingPointError: they are not one log-odds for each; see
                `motes.models.calls.score`.
        """
        if self.prm is None or not trajectories:
            return []
        return calls.score(self.prm, trajectories).tolist()


# programs give their models at every step, and to look at one takes as long as a table's step
_LMS, _PRMS = checks.Passed(), checks.Passed()


def check_lm(lm: object, argument: str = "lm") -> None:
    """Raise TypeError where this argument is not a language model."""
    if lm in _LMS:
        return
    if not isinstance(lm, LanguageModel):
        missing = [name for name in ("name", "cost", "start", "extend") if not hasattr(lm, name)]
        raise TypeError(
            f"{argument} must be a language model (see motes.load_lm), not {lm!r}, which has no "
            f"{', '.join(missing)}"
        )
    check_named(lm, argument)
    check_extend(lm)
    _LMS.add(lm)


def check_prm(prm: object, argument: str = "prm") -> None:
    """Raise TypeError where this argument is neither a reward model nor None."""
    if prm is None or prm in _PRMS:
        return
    if not isinstance(prm, RewardModel):
        raise TypeError(
            f"{argument} must be a reward model (see motes.load_prm) or None, not {prm!r}"
        )
    check_named(prm, argument)
    _PRMS.add(prm)


def check_named(model: LanguageModel | RewardModel, argument: str) -> None:
    """Raise TypeError where a model's name is not a text, or its cost not a `Cost`."""
    if not isinstance(model.name, str):
        raise TypeError(f"the attribute name of {argument} must be a str, not {model.name!r}")
    if not isinstance(model.cost, Cost):
        raise TypeError(
            f"the attribute cost of {argument} must be a motes.models.Cost, not {model.cost!r}"
        )
