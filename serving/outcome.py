"""What is kept of a solved request, in plain values: nothing of it holds on to a model's caches."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..diagnostics.summary import summary
from ..models import Trajectory
from ..ppl import Posterior
from ..ppl.posterior.equal_draws import equal_draws

# settings that repeat the request, or are long
LEFT_OUT = ("prompt", "prompt_token_ids", "prompt_date", "identity")


class Choice(NamedTuple):
    """One of the reply's texts.

    Attributes:
        steps: the texts of its steps.
        answer: what it answers; None for nothing.
        probability: of that answer.
        finished: whether it ended by itself.
    """

    steps: tuple[str, ...]
    answer: str | None
    probability: float
    finished: bool


class Outcome(NamedTuple):
    """What a request has come to.

    Attributes:
        choices: the texts.
        facts: what `motes.summary` says, as JSON can hold it.
        prompt_tokens: of the question's prompt.
        tokens: generated, of all solutions together.
        prm_tokens: that the reward model has read.
        pickled: the posterior, for its report.
        solutions: the text of each trajectory, with its weight; none where nobody asks for them.
    """

    choices: tuple[Choice, ...]
    facts: dict[str, Any]
    prompt_tokens: int
    tokens: int
    prm_tokens: int
    pickled: bytes
    solutions: tuple[tuple[str, float], ...] = ()


def outcome_of(posterior: Posterior, choices: int, seed: int, solutions: bool = False) -> Outcome:
    """Take from a posterior what a reply needs.

    Args:
        posterior: of the request.
        choices: how many texts; the first states the most probable answer, the others are draws of
            equal weight.
        seed: of the request.
        solutions: whether the texts of all trajectories are asked for.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=8, max_steps=4)
        >>> len(outcome_of(posterior, 2, 0).choices)
        2
    """
    told = summary(posterior)
    facts = {name: value for name, value in told.items() if name != "question"}
    settings = posterior.settings
    facts["settings"] = {key: value for key, value in settings.items() if key not in LEFT_OUT}
    prompt = settings.get("prompt_token_ids")
    cost = posterior.cost
    return Outcome(
        choices=tuple(_choices(posterior, choices, seed)),
        facts=facts,
        prompt_tokens=len(prompt) if isinstance(prompt, list) else cost.prompt_tokens,
        tokens=cost.generated_tokens,
        prm_tokens=cost.prm_tokens,
        pickled=pickle.dumps(posterior),
        solutions=tuple(_solutions(posterior)) if solutions else (),
    )


def _solutions(posterior: Posterior) -> Iterator[tuple[str, float]]:
    weights = np.exp(posterior.log_weights).tolist()
    for trajectory, weight in zip(posterior.trajectories, weights, strict=True):
        yield trajectory.text, weight


def _choices(posterior: Posterior, count: int, seed: int) -> list[Choice]:
    """Return the most probable solution of the most probable answer, and draws."""
    labels = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    stating = (x for x in posterior.distinct if labels[x] == posterior.answer)
    chosen: list[Trajectory] = [next(stating, posterior.best)]
    if count > 1:
        places = equal_draws(posterior.log_weights, count - 1, seed)
        chosen += [posterior.trajectories[place] for place in places.tolist()]
    probability = posterior.answers
    return [Choice(x.steps, labels[x], probability.get(labels[x], 0.0), x.finished) for x in chosen]
