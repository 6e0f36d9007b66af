"""A pool: all that decisions need to know of a run's draws, without models, texts or samplers.

N draws x_i with normalised weights W_i, each with its answer, its log-probability under the prior,
its scores, its length and how it ended. It is made of a posterior or of the record of an
evaluation, so that one run on a GPU can be decided upon a hundred ways on a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np

from ... import checks
from ..posterior.posterior import Posterior
from ..targets import Aggregate, Final

End: TypeAlias = Literal["finished", "truncated", "open"]


class Recorded(Protocol):
    """What keeps a pool in plain values, as a record of an evaluation does."""

    @property
    def draws(self) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """N weighted draws of answers, and what is known of each.

    Attributes:
        answers: of each draw, equal where they mean the same; None where there is none.
        log_weights: normalised, float64, shape (N,); minus infinity for a dead draw.
        logprobs: log p(x) under the declared prior, nats, shape (N,); NaN where it is not known.
        log_odds: of each draw the reward model's log-odds of its steps; empty where there is none.
        tokens: how many were generated for each, shape (N,), int64.
        ends: how each ended: "finished", "truncated" or "open".
        paths: equal for draws of the same tokens and the same end, shape (N,), int64.
        independent: whether the draws are independent of each other (their weights aside).
        from_prior: whether they are also drawn from the declared prior, and each is complete.
        errors: the Monte Carlo standard error of each answer's probability, where it is known.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=8)
        >>> pool = pool_of(motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first))
        >>> len(pool), pool.independent, pool.from_prior
        (8, True, True)
    """

    answers: tuple[str | None, ...]
    log_weights: np.ndarray
    logprobs: np.ndarray
    log_odds: tuple[np.ndarray, ...]
    tokens: np.ndarray
    ends: tuple[End, ...]
    paths: np.ndarray
    independent: bool
    from_prior: bool
    errors: Mapping[str | None, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("answers", "log_weights", "logprobs", "log_odds", "tokens", "ends", "paths")
        sizes = {name: len(getattr(self, name)) for name in names}
        if not self.answers or len(set(sizes.values())) > 1:
            raise ValueError(
                f"a pool needs one or more draws, and as much of everything, not {sizes}"
            )

    def __len__(self) -> int:
        return len(self.answers)

    @cached_property
    def weights(self) -> np.ndarray:
        """W_i, which sum to one, shape (N,)."""
        weights = np.exp(self.log_weights)
        return weights / weights.sum()

    @property
    def equally_weighted(self) -> bool:
        """Whether all draws have one weight."""
        return bool(np.ptp(self.weights) <= 1e-9 / len(self))

    def first(self, count: int) -> Pool:
        """Return the pool of the first draws alone, as if no others had been drawn.

        Args:
            count: how many, from 1 to N.

        Raises:
            TypeError, ValueError: it is not in that range, or the draws are not independent.
        """
        return self.part(0, checks.count("count", count, most=len(self)))

    def part(self, begin: int, end: int) -> Pool:
        """Return the pool of the draws from `begin` to before `end`, as if there were no others.

        Args:
            begin, end: with 0 <= begin < end <= N.

        Raises:
            TypeError, ValueError: they are not, or the draws are not independent.
        """
        begin = checks.count("begin", begin, least=0, most=len(self) - 1)
        end = checks.count("end", end, least=begin + 1, most=len(self))
        self.need_independence("a part of a pool")
        kept = self.log_weights[begin:end]
        with np.errstate(invalid="ignore"):
            kept = np.where(kept > -np.inf, kept - np.logaddexp.reduce(kept), -np.inf)
        return Pool(
            answers=self.answers[begin:end],
            log_weights=kept,
            logprobs=self.logprobs[begin:end],
            log_odds=self.log_odds[begin:end],
            tokens=self.tokens[begin:end],
            ends=self.ends[begin:end],
            paths=self.paths[begin:end],
            independent=True,
            from_prior=self.from_prior,
        )

    def need_logprobs(self, rule: str) -> np.ndarray:
        """Return the log-probabilities, nats, shape (N,).

        Args:
            rule: that needs them, as the error calls it.

        Raises:
            ValueError: one is not known.
        """
        unknown = int(np.isnan(self.logprobs).sum())
        if unknown:
            raise ValueError(
                f"{rule} needs the log-probability of every draw under the prior, and "
                f"{unknown} of {len(self)} are not known"
            )
        return self.logprobs

    def need_independence(self, rule: str) -> None:
        """Raise ValueError where the draws are not independent."""
        if not self.independent:
            raise ValueError(
                f"{rule} needs draws that are independent of each other, as importance_sampling "
                "and MajorityVote make them: this pool's are not"
            )

    def need_prior_draws(self, rule: str) -> None:
        """Raise ValueError where the draws are not independent and complete, from the prior."""
        if not self.from_prior:
            raise ValueError(
                f"{rule} needs complete, independent draws from the declared prior, as "
                "MajorityVote and importance_sampling without a proposal make them: this pool's "
                "are not"
            )

    def log_scores(self, score: str, rule: str) -> np.ndarray:
        """Return log R(x_i), the reward model's score of each draw, nats, shape (N,).

        Args:
            score: how R is made of the steps' probabilities: "last", "min", "product" or "mean".
            rule: that needs it, as the error calls it.

        Raises:
            ValueError: `score` is none of these, or a draw has no scores.
        """
        aggregate: Any = checks.choice("score", score, get_args(Aggregate))
        without = sum(len(row) == 0 for row in self.log_odds)
        if without:
            raise ValueError(
                f"{rule} needs a reward model's scores of every draw, and {without} of {len(self)} "
                "have none"
            )
        target = Final(aggregate=aggregate)
        return np.array([target.log_likelihood(row.tolist()) for row in self.log_odds])

    def asdict(self) -> dict[str, Any]:
        """Give all of it in plain values, as JSON can hold them.

        Numbers keep seven significant digits; NaN is None, and infinities are texts.
        """
        spellings = list(dict.fromkeys(self.answers))
        errors = [self.errors.get(spelling, np.nan) for spelling in spellings]
        return {
            "answers": spellings,
            "errors": _plain(np.array(errors, np.float64)),
            "answer": [spellings.index(answer) for answer in self.answers],
            "log_weight": _plain(self.log_weights),
            "logprob": _plain(self.logprobs),
            "log_odds": [_plain(row) for row in self.log_odds],
            "tokens": self.tokens.tolist(),
            "end": "".join(end[0] for end in self.ends),
            "path": self.paths.tolist(),
            "independent": self.independent,
            "from_prior": self.from_prior,
        }

    @classmethod
    def fromdict(cls, plain: Mapping[str, Any]) -> Pool:
        """Read what `asdict` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(**_read(plain))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"these are no draws that motes has written down: {error}") from error


def pool_of(source: Posterior | Recorded) -> Pool:
    """Return the pool of a posterior, or of the record of an evaluation.

    Raises:
        ValueError: the record keeps no draws, or they cannot be read.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=8, answer=lambda x: x.text[:1])
        >>> pool_of(posterior).tokens.tolist() == posterior.lengths.tolist()
        True
    """
    if isinstance(source, Posterior):
        return _of_posterior(source)
    if source.draws is None:
        raise ValueError(
            "this record keeps no draws to decide upon: it was written before records kept them, "
            "or its run ended without a posterior"
        )
    return Pool.fromdict(source.draws)


def _of_posterior(posterior: Posterior) -> Pool:
    """Return the pool of a posterior."""
    facts = posterior.provenance
    trajectories = posterior.trajectories
    numbers: dict[object, int] = {}
    paths = []
    for x in trajectories:
        mark = (x.token_ids, x.finished, x.truncated)
        paths.append(numbers.setdefault(mark, len(numbers)))
    complete = not any(x.open for x in trajectories)
    independent = facts.independent and not facts.copies
    return Pool(
        answers=posterior.labels,
        log_weights=np.asarray(posterior.log_weights, np.float64),
        logprobs=np.array([x.logprob for x in trajectories], np.float64),
        log_odds=posterior.log_odds,
        tokens=np.array([len(x.token_ids) for x in trajectories], np.int64),
        ends=tuple(_end(x.finished, x.truncated) for x in trajectories),
        paths=np.array(paths, np.int64),
        independent=independent,
        from_prior=independent and facts.from_prior and complete,
        errors=posterior.answer_mcse,
    )


def _end(finished: bool, truncated: bool) -> End:
    """Say how a trajectory ended."""
    if finished:
        return "finished"
    return "truncated" if truncated else "open"


def _plain(values: np.ndarray) -> list[float | str | None]:
    """Return numbers as JSON can hold them."""
    plain: list[float | str | None] = []
    for value in values.tolist():
        if np.isfinite(value):
            plain.append(float(f"{value:.7g}"))
        else:
            plain.append(None if np.isnan(value) else str(value))
    return plain


def _numbers(plain: list[float | str | None]) -> np.ndarray:
    """Read what `_plain` gave."""
    values = [np.nan if value is None else float(value) for value in plain]
    return np.array(values, np.float64)


def _read(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of the pool that was written down."""
    spellings = plain["answers"]
    if not all(spelling is None or isinstance(spelling, str) for spelling in spellings):
        raise ValueError("an answer is no text")
    names: dict[str, End] = {"f": "finished", "t": "truncated", "o": "open"}
    return {
        "answers": tuple(spellings[place] for place in plain["answer"]),
        "log_weights": _numbers(plain["log_weight"]),
        "logprobs": _numbers(plain["logprob"]),
        "log_odds": tuple(_numbers(row) for row in plain["log_odds"]),
        "tokens": np.array(plain["tokens"], np.int64),
        "ends": tuple(names[letter] for letter in plain["end"]),
        "paths": np.array(plain["path"], np.int64),
        "independent": checks.flag("independent", plain["independent"]),
        "from_prior": checks.flag("from_prior", plain["from_prior"]),
        "errors": dict(zip(spellings, _numbers(plain["errors"]).tolist(), strict=True)),
    }
