"""What a language model and a reward model must offer.

Anything that does can be used everywhere in motes.

What a language model can do besides writing steps stands in one record, its `Capabilities`. A model
of motes declares it; of a plain object of the user's, which declares none, it is inferred here and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..aliases import PRNGKeys
from .cost import Cost
from .mixture import Law, Mixture
from .sampling import Sampling
from .step_rule import StepRule
from .trajectory import Trajectory


class QuestionTooLong(ValueError):
    """A question leaves no room for a step in the context of a language model or a reward model.

    Example:
        >>> from motes.models import load_lm
        >>> try:
        ...     load_lm("pocket", probe=False).start("How many? " * 1000)
        ... except QuestionTooLong as error:
        ...     print(str(error)[:24])
        the question is too long
    """


ASKED_OF_EXTEND = ("sampling", "prior")


@runtime_checkable
class LanguageModel(Protocol):
    """Writes reasoning steps.

    Attributes:
        name: what to call the model in reports.
        cost: what it has computed since it was made.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [1.0])
        >>> isinstance(lm, LanguageModel), isinstance("pocket", LanguageModel)
        (True, False)
    """

    name: str

    @property
    def cost(self) -> Cost: ...

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree, without steps.

        Raises:
            ValueError: the question is empty; or, `QuestionTooLong`, it leaves no room in the
                model's context.
        """
        ...

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory, in one batch.

        Args:
            trajectories: N open trajectories; one may occur several times.
            keys: JAX random keys, shape (N,); slot i's random numbers depend on keys[i] alone.
            sampling: the proposal that steps are drawn from; the prior when None. It is a `Mixture`
                only where the attribute `capabilities` says that it may be one.
            prior: the declared prior, which `logprob` refers to; `Sampling()` when None.

        Returns:
            N new children, one each, in order, made by `Trajectory.child`. The step's
            log-probability is that under `prior`, its proposal log-probability that under
            `sampling`, both in nats and at most 0; both NaN where they are not known. A model that
            has one law, whatever it is asked, says so by its attribute `capabilities`,
            `Capabilities(sampling=False)`.

        Raises:
            ValueError: a trajectory is not open.
            FloatingPointError: the model's output is NaN; the message names the trajectory.
        """
        ...


@runtime_checkable
class TractableLanguageModel(LanguageModel, Protocol):
    """A language model that also tells how probable a given text is: what ancestor sampling needs.

    The trajectories of one that does not give even the probability of its own draws have NaN for
    `logprob` and `proposal_logprob`; it serves where no weight depends on them.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [1.0])
        >>> isinstance(lm, TractableLanguageModel), isinstance("pocket", TractableLanguageModel)
        (True, False)
    """

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Compute the log-probability that trajectory i goes on with the tokens continuations[i].

        Returns:
            float64, shape (N,), in nats.
        """
        ...


@runtime_checkable
class RewardModel(Protocol):
    """Judges reasoning steps.

    A reward model that cannot read any length has a method besides, `can_read(trajectory) -> bool`:
    whether its context holds the question and all steps (of a trajectory without steps: the
    question, with room for a step). It must depend on the trajectory alone. What `motes` makes of
    it is said at `motes.models.calls.score`.

    Attributes:
        name: what to call the model in reports.
        cost: what it has computed since it was made.

    Example:
        >>> from motes.models import FunctionReward
        >>> isinstance(FunctionReward(len), RewardModel), isinstance("pocket", RewardModel)
        (True, False)
    """

    name: str

    @property
    def cost(self) -> Cost: ...

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Compute the log-odds logit(r_t) that each trajectory's last step is right, in one batch.

        Returns:
            float64, shape (N,); minus and plus infinity are allowed.

        Raises:
            FloatingPointError: a score is NaN; the message names the trajectory.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What can be asked of a model.

    Of a reward model only `limited` and `checked` say anything.

    Attributes:
        sampling: whether steps are drawn as `sampling` asks, and told their log-probability under
            `prior`. False for a model with one fixed law, which serves under `Sampling()` alone;
            None where nobody has said so, and its draws are compared.
        probabilities: whether it gives the log-probability of what it draws. Where it is False they
            are NaN, and the model serves wherever no weight depends on them.
        scoring: whether it has a method `logprob`, which gives the log-probability of a given text.
        continuation: whether it has a method `continued`, which puts given steps after another
            trajectory.
        step_rule: where its steps end; None where it follows no `StepRule`.
        confidences: whether it has a method `token_confidences`, which tells how sure it was of
            every token of given trajectories: see `motes.models.token_confidences`.
        top_confidences: the most likeliest tokens of a law that these can count; None where they
            can count all of it.
        limited: whether a reward model has a method `can_read`, since it cannot read any length.
        checked: whether its answers have been checked already: those of a model that stands for one
            that several runs share.
        seeds: whether the same keys give the same draws. A server may add numbers in another
            order, or ignore seeds; what is drawn has the declared law all the same.
        mixtures: whether `extend` takes a `Mixture` for `sampling`, so that a step is drawn from
            one component, and told its log-probability under all of them.
        models: whether components of that mixture may have language models of their own: of what
            stands for a language model in such a run.
        reading: whether it has a method `read_steps`, which puts a step of its own behind each of
            several trajectories.
        law: the mixture that its own law is; None where it is none.
        laws: called with proposal and prior, raises a ValueError where it cannot draw from the
            one, or not tell log-probabilities under both. None where it takes any.

    Example:
        >>> Capabilities(scoring=True).continuation
        False
    """

    sampling: bool | None = True
    probabilities: bool = True
    scoring: bool = False
    continuation: bool = False
    step_rule: StepRule | None = None
    confidences: bool = False
    top_confidences: int | None = None
    limited: bool = False
    checked: bool = False
    seeds: bool = True
    mixtures: bool = False
    models: bool = False
    reading: bool = False
    law: Mixture | None = None
    laws: Callable[[Any, Sampling], None] | None = None


def capabilities(model: object) -> Capabilities:
    """Return what a model can do: what it declares, or what its methods show.

    Args:
        model: its attribute `capabilities`, where it has one, is a `Capabilities`.

    Raises:
        TypeError: the attribute is something else.

    Example:
        >>> from motes.models import TableLM
        >>> capabilities(TableLM(lambda prefix: [0.5, 0.5])).scoring
        True
    """
    declared = getattr(model, "capabilities", None)
    if declared is None:
        return _inferred(model)
    if not isinstance(declared, Capabilities):
        raise TypeError(
            f"the attribute capabilities of {model!r} must be a Capabilities, not {declared!r}"
        )
    return declared


def _inferred(model: object) -> Capabilities:
    scoring, rule = callable(getattr(model, "logprob", None)), getattr(model, "step", None)
    return Capabilities(
        sampling=None,
        probabilities=scoring,  # NaN is allowed of a model that cannot score a text either
        scoring=scoring,
        continuation=scoring and callable(getattr(model, "continued", None)),
        reading=scoring and callable(getattr(model, "read_steps", None)),
        step_rule=rule if isinstance(rule, StepRule) else None,
        confidences=callable(getattr(model, "token_confidences", None)),
        limited=callable(getattr(model, "can_read", None)),
    )


class Reading(NamedTuple):
    """What a language model makes of a step that it is given behind a trajectory.

    Attributes:
        node: a child of the trajectory with this step, as if the model had drawn it; its own
            log-probabilities are zero, since nothing was drawn.
        log_p: the step's log-probability under the prior, in nats.
        terms: under each component of the proposal.
    """

    node: Trajectory
    log_p: float
    terms: tuple[float, ...]


class TokenFacts(NamedTuple):
    """What a language model that is hosted here shows of its tokens.

    Attributes:
        tokenizer: None without one.
        end_ids: the tokens that end its texts.
        context: how many tokens it can read; None where it does not say.
        prompt: what it makes of a question; None where it does not say.
        names_ends: whether it says which tokens end its texts.
        device: where its weights are; "auto" where it does not say.
    """

    tokenizer: Any
    end_ids: Collection[int]
    context: int | None
    prompt: Any
    names_ends: bool
    device: str


def token_facts(lm: object) -> TokenFacts:
    """Return what a language model shows of its tokens.

    Example:
        >>> from motes.models import TableLM
        >>> token_facts(TableLM(lambda prefix: [1.0])).tokenizer is None
        True
    """
    return TokenFacts(
        tokenizer=getattr(lm, "tokenizer", None),
        end_ids=getattr(lm, "end_ids", ()),
        context=getattr(lm, "context", None),
        prompt=getattr(lm, "prompt", None),
        names_ends=hasattr(lm, "end_ids"),
        device=str(getattr(getattr(lm, "model", None), "device", "auto")),
    )


def nan_score(name: str, trajectory: Trajectory) -> FloatingPointError:
    """Return the error for a reward model's score that is NaN."""
    return FloatingPointError(
        f"the reward model {name!r} gave a score that is NaN for {trajectory!r}"
    )


def share_network(one: object, other: object) -> bool:
    """Return whether two language models are the same weights in memory, under any two prompts."""
    network = _network(underlying(one))
    return network is not None and network is _network(underlying(other))


def shared_network(lm: object) -> Any:
    """Return the network whose forward passes a language model shares with others.

    None where it shares none.
    """
    return getattr(lm, "shared_network", None)


def _network(lm: object) -> Any:
    return getattr(lm, "model", None) if shared_network(lm) is None else shared_network(lm)


def underlying(value: Any) -> Any:
    """Return the model that a model stands for, such as one that several runs share.

    Any other value is returned as it is.
    """
    while hasattr(type(value), "stands_for"):
        value = value.stands_for
    return value


def stands_in(model: object) -> bool:
    """Return whether this is what a run that goes with others has in a model's place."""
    return hasattr(model, "ask_all")


def beside(lm: Any, model: Any) -> Any:
    """Return what stands for a model where another one is a run's stand-in; else the model."""
    return lm.beside(model) if stands_in(lm) else model


def check_extend(lm: LanguageModel) -> None:
    """Raise TypeError where a language model's `extend` does not take what samplers pass to it."""
    try:
        parameters = signature(lm.extend).parameters
    except (TypeError, ValueError):  # written in another language: nothing can be known of it
        return
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    missing = [name for name in ASKED_OF_EXTEND if name not in parameters]
    if missing:
        raise TypeError(
            f"the method extend of the language model {lm.name!r} must take the arguments "
            "sampling and prior, "
            f"and has no {' nor '.join(missing)}: see motes.models.LanguageModel.extend"
        )
