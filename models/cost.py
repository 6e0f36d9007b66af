"""What a run computed, counted in units that are comparable between machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Counters of one model, or of one run; they add and subtract field by field.

    Attributes:
        prompt_tokens: prompt tokens the language model computed for the first time.
        generated_tokens: tokens sampled.
        rescored_tokens: tokens the language model computed again (a dropped cache, an interior node
            extended once more) or only to score them.
        discarded_tokens: tokens of a draft that the language model computed and that were not kept.
        forward_passes: the language model's forward passes.
        draft_tokens: tokens that a draft model computed, and a cheap reward model beside it.
        draft_forward_passes: the forward passes of these.
        prm_tokens: tokens the reward model computed, markers included.
        prm_forward_passes: the reward model's forward passes.
        idle_rows: rows of language-model forward passes spent on steps already ended.
        forward_seconds: wall time inside forward passes of any model.
        cache_seconds: wall time spent moving keys and values.
        seconds: wall time of the whole. Of one of several runs that shared batches, what falls to
            it: the time it worked by itself, and its share of each batch, so that the runs' seconds
            add up to the whole's.

    Example:
        >>> total = Cost(generated_tokens=3) + Cost(generated_tokens=4, forward_passes=1)
        >>> total.generated_tokens, total.forward_passes
        (7, 1)
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    rescored_tokens: int = 0
    discarded_tokens: int = 0
    forward_passes: int = 0
    draft_tokens: int = 0
    draft_forward_passes: int = 0
    prm_tokens: int = 0
    prm_forward_passes: int = 0
    idle_rows: int = 0
    forward_seconds: float = 0.0
    cache_seconds: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def __sub__(self, other: Cost) -> Cost:
        return Cost(**{name: value - vars(other)[name] for name, value in vars(self).items()})

    def as_reward_model(self) -> Cost:
        """Return what a language model has computed as the cost of a reward model.

        Example:
            >>> Cost(prompt_tokens=3, generated_tokens=4).as_reward_model().prm_tokens
            7
        """
        return Cost(
            prm_tokens=self.prompt_tokens
            + self.generated_tokens
            + self.rescored_tokens
            + self.discarded_tokens,
            prm_forward_passes=self.forward_passes,
            draft_tokens=self.draft_tokens,
            draft_forward_passes=self.draft_forward_passes,
            forward_seconds=self.forward_seconds,
            cache_seconds=self.cache_seconds,
        )

    def as_draft(self) -> Cost:
        """Return what a language model or a reward model has computed as the cost of a draft.

        Example:
            >>> Cost(prompt_tokens=3, generated_tokens=4).as_draft().draft_tokens
            7
        """
        return Cost(
            draft_tokens=self.prompt_tokens
            + self.generated_tokens
            + self.rescored_tokens
            + self.discarded_tokens
            + self.prm_tokens,
            draft_forward_passes=self.forward_passes + self.prm_forward_passes,
            forward_seconds=self.forward_seconds,
            cache_seconds=self.cache_seconds,
        )

    def asdict(self) -> dict[str, int | float]:
        """Return the counters by name."""
        return asdict(self)
