"""Every call of a language model or a reward model, and the check of what comes back.

Models may be plain objects of the user's, so what they return is checked here, once, before a
weight is made of it: as many rows as were asked about, children of the right parents,
log-probabilities that are log-probabilities, scores that are log-odds. What is certainly wrong is
an error that names the model. What only looks wrong (see `behaviour`) is remembered, and becomes a
finding of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan
from numbers import Real
from typing import Any

import numpy as np

from ..aliases import PRNGKeys
from . import behaviour
from .mixture import Law, Mixture, components
from .protocols import (
    Capabilities,
    LanguageModel,
    QuestionTooLong,
    Reading,
    RewardModel,
    capabilities,
    nan_score,
)
from .sampling import Sampling
from .trajectory import Trajectory

# nats: by how much a log-probability of some hundred float32 terms may come out above 0
ROUNDING = 1e-3
NO_SAMPLING = Sampling()
UNREAD = 0.0  # log-odds of a step beyond the reward model's context: r = 1/2
MOST_LOG_ODDS = 1e100  # sums of many, to any power that can be declared, stay finite


def start(lm: LanguageModel, question: str) -> Trajectory:
    """Return the trajectory without steps that a language model gives for a question.

    Raises:
        TypeError: what came back is not one.
    """
    root = lm.start(question)
    if not isinstance(root, Trajectory) or root.parent is not None or not root.open:
        raise TypeError(
            f"start of the language model {lm.name!r} must return an open Trajectory without "
            f"steps, not {root!r}"
        )
    return root


def extend(
    lm: LanguageModel,
    trajectories: Sequence[Trajectory],
    keys: PRNGKeys,
    *,
    sampling: Law | None = None,
    prior: Sampling | None = None,
) -> list[Trajectory]:
    """Draw one step of each trajectory; see `LanguageModel.extend`.

    Raises:
        TypeError, ValueError: what came back is not a new child of each trajectory, in order, or
            the model cannot sample in this way.
        FloatingPointError: a log-probability is above 0, or NaN where the model gives
            log-probabilities.
    """
    prior = prior or NO_SAMPLING
    sampling = sampling or prior
    can = capabilities(lm)
    check_sampling(lm, sampling, prior)
    children = lm.extend(trajectories, keys, sampling=sampling, prior=prior)
    if can.checked:
        return children
    children = checked_children(lm, trajectories, children)
    if can.sampling is None:
        behaviour.watch(lm, trajectories, keys, children, sampling, prior)
    return children


def checked_children(
    lm: LanguageModel, parents: Sequence[Trajectory], children: Any
) -> list[Trajectory]:
    """Return what a language model gave for steps; see `extend` for what is an error."""
    _check_children(lm, capabilities(lm), parents, children)
    return children if isinstance(children, list) else list(children)


def check_sampling(lm: LanguageModel, *laws: Law | None) -> None:
    """Raise ValueError where a language model is asked for a law that it does not have.

    Args:
        lm: the language model.
        laws: proposal and prior; one alone is both.
    """
    can = capabilities(lm)
    sampling, prior = (law or NO_SAMPLING for law in (laws[0], laws[-1]))
    assert isinstance(prior, Sampling)
    if isinstance(sampling, Mixture):
        _check_mixture(lm, sampling, prior)
    if can.laws is not None:
        can.laws(sampling, prior)
    if can.sampling is not False:
        return
    for law in laws:
        if law not in (None, NO_SAMPLING):
            raise ValueError(
                f"prior and proposal must be Sampling() for the language model {lm.name!r}, not "
                f"{law!r}: "
                "it declares that it has one law, which no temperature changes"
            )


def _check_mixture(lm: LanguageModel, mixture: Mixture, prior: Sampling) -> None:
    if not capabilities(lm).mixtures:
        raise ValueError(
            f"proposal cannot be a Mixture for the language model {lm.name!r}, which does not tell "
            "the log-probability of a step under several samplings"
        )
    if mixture.has_models and not capabilities(lm).models:
        raise ValueError(
            f"proposal cannot be a Mixture of several models where the language model {lm.name!r} "
            "is asked by itself"
        )
    if not mixture.covers(prior):
        raise ValueError(
            f"one component of a mixture must draw all that the prior, {prior!r}, can: add "
            "Sampling() to them"
        )


def logprob(
    lm: Any,
    trajectories: Sequence[Trajectory],
    continuations: Sequence[Sequence[int]],
    *,
    prior: Sampling,
) -> np.ndarray:
    """Return the log-probability of a continuation of each trajectory.

    See `TractableLanguageModel.logprob`.

    Raises:
        ValueError: another number of them came back.
        FloatingPointError: one is above 0, or NaN.
    """
    return checked_logprobs(lm, trajectories, lm.logprob(trajectories, continuations, prior=prior))


def checked_logprobs(lm: Any, trajectories: Sequence[Trajectory], values: Any) -> np.ndarray:
    """Return what a language model gave for continuations; see `logprob` for what is an error."""
    what = f"logprob of the language model {lm.name!r}"
    values = _numbers(values, len(trajectories), what)
    wrong = np.flatnonzero(np.isnan(values) | (values > ROUNDING))
    if len(wrong):
        raise FloatingPointError(
            f"the language model {lm.name!r} gave the log-probability {values[wrong[0]]} for a "
            "continuation of "
            f"{trajectories[wrong[0]]!r}: it must be at most 0"
        )
    return values


def continued(
    lm: Any,
    trajectories: Sequence[Trajectory],
    steps: Sequence[Trajectory],
    *,
    prior: Sampling,
    proposal: Law,
) -> list[Trajectory | None]:
    """Return each trajectory followed by steps with the token ids of these.

    What a remainder's tokens are worth depends on all that precedes them, and so may its text (a
    character can begin in one step and end in the next) and its end (a context may be full sooner).
    So only its token ids are taken over.

    Args:
        lm: a language model that can score. It is asked itself if it can continue; otherwise the
            steps are taken to end where and as they did.
        trajectories: N open ones.
        steps: nodes of another trajectory, at least one, in order.
        prior: the declared prior.
        proposal: what the steps are to be thought of as drawn from.

    Returns:
        N trajectories as `extend` would have made them step by step, had it drawn these tokens,
        with their log-probabilities under prior and proposal; None where it could not have, since a
        step would have ended elsewhere.

    Raises:
        ValueError, FloatingPointError: as `logprob`.

    Example:
        >>> from motes.models import Sampling, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.25, 0.25])
        >>> root, law = lm.start("?"), {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> one, two = root.child("1 ", (1,), **law), root.child("2 ", (2,), **law)
        >>> steps = one.child("0 ", (0,), **law).path[2:]
        >>> [joined] = continued(lm, [two], steps, prior=Sampling(), proposal=Sampling())
        >>> joined.token_ids, round(joined.step_logprob, 3)
        ((2, 0), -0.693)
    """
    if capabilities(lm).continuation:
        ends = lm.continued(trajectories, steps, prior=prior, proposal=proposal)
        if len(ends) != len(trajectories):
            raise ValueError(
                _miscounted(
                    f"continued of the language model {lm.name!r}", len(ends), len(trajectories)
                )
            )
        return list(ends)
    heads = list(trajectories)
    for step in steps:
        tokens = [step.step_token_ids] * len(heads)
        log_p = logprob(lm, heads, tokens, prior=prior)
        log_q = log_p
        if proposal != prior:
            assert isinstance(proposal, Sampling)  # who takes mixtures can continue as well
            log_q = logprob(lm, heads, tokens, prior=proposal)
        for i, (p, q) in enumerate(zip(log_p.tolist(), log_q.tolist(), strict=True)):
            heads[i] = heads[i].child(
                step.step_text,
                step.step_token_ids,
                logprob=p,
                proposal_logprob=q,
                finished=step.finished,
                truncated=step.truncated,
                delimited=step.delimited,
            )
    return list(heads)


def read_steps(
    lm: Any,
    trajectories: Sequence[Trajectory],
    steps: Sequence[Trajectory],
    *,
    prior: Sampling,
    proposal: Law,
) -> list[Reading | None]:
    """Return each trajectory with the last step of another one behind it.

    Args:
        lm: a language model that can score. It is asked itself if it can read steps; otherwise they
            are taken to end where and as they did.
        trajectories: N open ones.
        steps: N nodes of any trajectories, whose last steps are taken.
        prior: the declared prior.
        proposal: what the steps are to be thought of as drawn from.

    Returns:
        N readings; None where the model could not have drawn the step, which would have ended
        elsewhere.

    Raises:
        ValueError, FloatingPointError: as `logprob`.

    Example:
        >>> from motes.models import Sampling, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.25, 0.25])
        >>> step = lm.start("?").child("1 ", (1,), logprob=0.0, proposal_logprob=0.0)
        >>> laws = {"prior": Sampling(), "proposal": Sampling(top_k=1)}
        >>> [reading] = read_steps(lm, [lm.start("?")], [step], **laws)
        >>> reading.node.token_ids, round(reading.log_p, 3), reading.terms
        ((1,), -1.386, (-inf,))
    """
    if capabilities(lm).reading:
        readings = lm.read_steps(trajectories, steps, prior=prior, proposal=proposal)
        return checked_readings(lm, trajectories, readings)
    laws = components(proposal)
    tokens = [step.step_token_ids for step in steps]
    known = {
        law: logprob(lm, trajectories, tokens, prior=law).tolist()
        for law in dict.fromkeys((prior, *laws))
    }
    found: list[Reading | None] = []
    for i, (trajectory, step) in enumerate(zip(trajectories, steps, strict=True)):
        terms = tuple(known[law][i] for law in laws)
        node = trajectory.child(
            step.step_text,
            step.step_token_ids,
            logprob=0.0,
            proposal_logprob=0.0,
            finished=step.finished,
            truncated=step.truncated,
            delimited=step.delimited,
            component_logprobs=terms if isinstance(proposal, Mixture) else (),
        )
        found.append(Reading(node, known[prior][i], terms))
    return found


def checked_readings(
    lm: Any, trajectories: Sequence[Trajectory], readings: Sequence[Reading | None]
) -> list[Reading | None]:
    """Return what a language model made of steps; see `read_steps` for what is an error."""
    if len(readings) != len(trajectories):
        what = f"read_steps of the language model {lm.name!r}"
        raise ValueError(_miscounted(what, len(readings), len(trajectories)))
    return list(readings)


def can_read(prm: Any, trajectory: Trajectory) -> bool:
    """Return whether a reward model's context holds a trajectory; True of one that does not say."""
    return not capabilities(prm).limited or bool(prm.can_read(trajectory))


def check_question(prm: RewardModel, root: Trajectory) -> None:
    """Raise QuestionTooLong where a reward model has no room for a step after a question."""
    if not can_read(prm, root):
        raise QuestionTooLong(
            f"the question is too long for the reward model {prm.name!r}: it leaves no room for a "
            "step in its context"
        )


def score(prm: RewardModel, trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Return the log-odds of each trajectory's last step, float64, shape (N,).

    See `RewardModel.score`.

    A step that lies beyond the reward model's context is not shown to it. Nothing is known of such
    a step, so that its log-odds are `UNREAD`, r = 1/2.

    Raises:
        QuestionTooLong: not even a first step could be read.
        TypeError: they are truths or texts, and not numbers.
        ValueError: another number of scores came back.
        FloatingPointError: a score is NaN, or finite and above 1e100; the message names the model
            and the trajectory.
    """
    if not len(trajectories):
        return np.zeros(0)
    read = [can_read(prm, trajectory) for trajectory in trajectories]
    if not all(read):
        return _score_those_read(prm, trajectories, read)
    scores = prm.score(trajectories)
    if capabilities(prm).checked:
        return scores
    if _are_truths(scores):
        raise TypeError(
            f"the reward model {prm.name!r} gave True or False where log-odds are meant: return "
            "logit(r), "
            "or see motes.models.FunctionReward.from_probability"
        )
    values = _numbers(scores, len(trajectories), f"the reward model {prm.name!r}")
    wrong = np.flatnonzero(np.isnan(values))
    if len(wrong):
        raise nan_score(prm.name, trajectories[wrong[0]])
    huge = np.flatnonzero(np.isfinite(values) & (np.abs(values) > MOST_LOG_ODDS))
    if len(huge):
        raise FloatingPointError(
            f"the reward model {prm.name!r} gave the log-odds {values[huge[0]]} for "
            f"{trajectories[huge[0]]!r}: they must be "
            f"infinite, or at most {MOST_LOG_ODDS:g} in size"
        )
    return values


def _score_those_read(
    prm: RewardModel, trajectories: Sequence[Trajectory], read: Sequence[bool]
) -> np.ndarray:
    """Return the log-odds of trajectories some of which lie beyond the reward model's context."""
    for i in np.flatnonzero(~np.array(read)).tolist():
        check_question(prm, trajectories[i].path[0])
    values = np.full(len(trajectories), UNREAD)
    if any(read):
        rows = np.flatnonzero(read)
        values[rows] = score(prm, [trajectories[i] for i in rows.tolist()])
    return values


def _check_children(
    lm: LanguageModel, can: Capabilities, parents: Sequence[Trajectory], children: Any
) -> None:
    what = f"extend of the language model {lm.name!r}"
    if not isinstance(children, Sequence) or isinstance(children, str | bytes):
        raise TypeError(f"{what} must return a list of trajectories, not {children!r}")
    if len(children) != len(parents):
        raise ValueError(_miscounted(what, len(children), len(parents)))
    seen: dict[int, int] = {}
    for i, (parent, child) in enumerate(zip(parents, children, strict=True)):
        if not isinstance(child, Trajectory):
            raise TypeError(
                f"{what} must return trajectories, made by the method child of those it is given, "
                f"not {child!r}"
            )
        if child.parent is not parent or child.depth != parent.depth + 1:
            raise ValueError(
                f"{what} must return a child of each trajectory, in order; {child!r}, number {i}, "
                f"is not one of {parent!r}"
            )
        if seen.setdefault(id(child), i) != i:
            raise ValueError(
                f"{what} must return a child for each trajectory, drawn with a key of its own: "
                f"numbers {seen[id(child)]} and {i} "
                f"are one object, {child!r}"
            )
        _check_step(lm, can, parent, child)


def _check_step(
    lm: LanguageModel, can: Capabilities, parent: Trajectory, child: Trajectory
) -> None:
    if not isinstance(child.step_text, str) or not isinstance(child.step_token_ids, tuple):
        raise TypeError(
            f"a step of the language model {lm.name!r} must have a str for its text and a tuple "
            "of token ids, "
            f"not {child.step_text!r} and {child.step_token_ids!r}"
        )
    log_p, log_q = child.logprob - parent.logprob, child.proposal_logprob - parent.proposal_logprob
    hidden = isnan(log_p) and isnan(log_q) and not can.probabilities
    if hidden or (log_p <= ROUNDING and -inf < log_q <= ROUNDING):
        return
    where = (
        f"a step log-probability {log_p} under the prior and {log_q} under the proposal in "
        f"{child!r}"
    )
    raise FloatingPointError(
        f"the language model {lm.name!r} gave {where}: both must be at most 0, of the step alone "
        "and in nats, and the proposal's finite"
    )


def _numbers(values: object, count: int, what: str) -> np.ndarray:
    """Return what a model returned as float64, shape (count,)."""
    try:
        array = np.asarray(values)
        plain = array.dtype.kind in "fiu" or all(
            isinstance(value, Real) for value in array.ravel().tolist()
        )
        numbers = array.astype(np.float64) if plain else None
    except (TypeError, ValueError, OverflowError):
        numbers = None
    if numbers is None:
        raise TypeError(f"{what} must give numbers, not {values!r}")
    if numbers.shape != (count,):
        raise ValueError(
            f"{what} gave values of shape {numbers.shape} for {count} trajectories: one number "
            "for each is needed"
        )
    return numbers


def _are_truths(scores: object) -> bool:
    if isinstance(scores, list | tuple):
        return any(isinstance(score, bool | np.bool_) for score in scores)
    return getattr(getattr(scores, "dtype", None), "kind", "") == "b"


def _miscounted(what: str, found: int, expected: int) -> str:
    return f"{what} must return one for each of the {expected} trajectories, and returned {found}"
