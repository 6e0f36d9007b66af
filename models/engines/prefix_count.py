"""What an engine computed, told from what it says it had in its prefix cache."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet

from ..callbacks import weakly
from ..cost import Cost
from ..trajectory import Trajectory


class PrefixCount:
    """Counts prompts that are read for the first time, and tokens that are read again.

    An engine keeps whole blocks of tokens, so that the tail of a context is often read again.

    Args:
        tokens_of: the tokens that a node adds to those before it.

    Example:
        >>> count = PrefixCount(lambda node: node.step_token_ids or (1, 2, 3))
        >>> root = Trajectory(question="?")
        >>> cost = count.drawn(root, asked=3, cached=0, generated=5, passes=5)
        >>> cost.prompt_tokens, count.drawn(root, asked=3, cached=0, generated=5).rescored_tokens
        (3, 3)
    """

    def __init__(self, tokens_of: Callable[[Trajectory], tuple[int, ...]]) -> None:
        self._tokens_of = weakly(tokens_of)
        self._read: WeakSet[Trajectory] = WeakSet()

    def drawn(
        self,
        parent: Trajectory,
        *,
        asked: int,
        cached: int | None,
        generated: int,
        passes: int = 0,
        idle: int = 0,
    ) -> Cost:
        """Return the cost of a step.

        Args:
            parent: the trajectory that it follows.
            asked: tokens of its context.
            cached: how many of these were not computed; None where that is not known, and then all
                but the prompt's first reading and the step's unread token count as cached.
            generated: tokens of the step.
            passes: forward passes, or requests.
            idle: tokens beyond the step.
        """
        root = parent.path[0]
        prompt = 0 if root in self._read else len(self._tokens_of(root))
        self._read.add(root)
        unread = 0 if parent.parent is None else 1  # drawn before, and not yet read
        computed = prompt + unread if cached is None else asked - cached
        first = min(prompt, computed)
        return Cost(
            prompt_tokens=first,
            generated_tokens=generated,
            rescored_tokens=max(0, computed - first - unread),
            forward_passes=passes,
            idle_rows=idle,
        )

    def scored(self, tokens: int, passes: int) -> Cost:
        """Return the cost of scoring tokens that were given."""
        return Cost(rescored_tokens=tokens, forward_passes=passes)
