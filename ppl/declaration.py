"""What is to be sampled of a question, but for the models: declared, and checked once.

A declaration is checked where it is made, before a model is loaded. `StateSpaceModel.of` takes it
as it is, with the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any

from .. import checks
from ..models import Sampling, Trajectory
from ..models.conversation import Message, as_question
from .answers import Answer
from .stop_strings import settled_stop_strings
from .targets import MOST_POWER, Target, resolve


@dataclass(frozen=True, eq=False)
class Declaration:
    """The parts of a declared posterior that are not models.

    Attributes:
        question, target, beta, alpha, prior, max_steps, max_tokens, stop_strings, answer,
            stop_at_answer, constraint: as `StateSpaceModel` has them.
        likelihood: the target, with its power.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> Declaration("?", target="odds", beta=2).likelihood
        Odds(beta=2.0)
    """

    question: str | Sequence[Message]
    _: KW_ONLY
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
    likelihood: Target = field(init=False, repr=False)

    def __post_init__(self) -> None:
        question = as_question(self.question)
        likelihood = resolve(self.target, self.beta)
        alpha = checks.number("alpha", self.alpha, least=1 / MOST_POWER, most=MOST_POWER)
        if self.constraint is not None:
            checks.function("constraint", self.constraint, "a trajectory to a bool")
        if not isinstance(self.prior, Sampling):
            raise TypeError(f"prior must be a Sampling, not {self.prior!r}")
        max_steps, max_tokens = checks.count("max_steps", self.max_steps), self.max_tokens
        if max_tokens is not None:
            max_tokens = checks.count("max_tokens", max_tokens)
        if self.answer is not None:
            checks.function("answer", self.answer, "a trajectory to a str or None")
        checks.settle(
            self,
            question=question,
            likelihood=likelihood,
            beta=float(self.beta),
            alpha=alpha,
            max_steps=max_steps,
            max_tokens=max_tokens,
            stop_strings=settled_stop_strings(self.stop_strings),
            stop_at_answer=checks.flag("stop_at_answer", self.stop_at_answer),
        )

    def parts(self) -> dict[str, Any]:
        """Return what was declared, by name.

        Example:
            >>> Declaration("?", max_steps=4).parts()["max_steps"]
            4
        """
        return {name: getattr(self, name) for name in PARTS}


PARTS = [part.name for part in fields(Declaration) if part.init]
