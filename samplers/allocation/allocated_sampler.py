"""A sampler whose solutions on several problems are shared out by an allocation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ... import checks
from ...ppl.interfaces import Declared
from ...ppl.posterior.posterior import Posterior
from ..base import Sampler, Seed, run_keys
from .allocated_runs import allocated, check_allocated
from .allocation_base import Allocation
from .allocation_rules import allocation_rule


@dataclass(frozen=True, kw_only=True)
class Allocated:
    """A sampler of independent solutions, and the rule that shares one budget among problems.

    An arm of `motes.evaluate`: its runs on all problems go together. Alone on one model it is the
    sampler with the whole budget, as far as its number of solutions goes.

    Attributes:
        sampler: importance sampling or a majority vote; its number of solutions is the most that a
            problem gets.
        allocation: a rule of `motes.samplers.allocation`, or a mapping with its name as "rule" and
            its "budget" for all problems.

    Raises:
        TypeError, ValueError: the sampler draws no independent solutions, or has a stopping rule or
            a budget of its own; the allocation is none.

    Example:
        >>> from motes.samplers import MajorityVote
        >>> arm = Allocated(
        ...     sampler=MajorityVote(samples=64), allocation={"rule": "thompson", "budget": 640}
        ... )
        >>> arm.rule.budget
        640
    """

    sampler: Sampler
    allocation: Allocation | Mapping[str, Any]

    def __post_init__(self) -> None:
        checks.settle(self, allocation=allocation_rule(self.allocation))
        check_allocated(self.sampler)

    @property
    def rule(self) -> Allocation:
        """The allocation."""
        return allocation_rule(self.allocation)

    def run(self, model: Declared, seed: Seed = 0, progress: bool = False) -> Posterior:
        """Sample one model's posterior.

        Raises:
            AllParticlesDead: no solution has any weight.
        """
        keys = run_keys(seed)
        [found] = allocated(self.sampler, [model], self.rule, [(keys.seed, keys.run)])
        if found.posterior is None:
            assert found.death is not None
            raise found.death
        return found.posterior
