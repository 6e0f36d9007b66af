"""What the model's turn begins with before it writes, and what of its text is thinking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Opening(NamedTuple):
    """What stands before a trajectory's first step, inside the turn that the model writes.

    Attributes:
        prefill: the text that was put there for the model (see `ChatPrompt`).
        begin: the text before thinking; "" for a model of which none is known (see `Thinking`).
        end: the text after it.
        thinks: whether the chat template has begun the thinking.

    Example:
        >>> Opening(prefill="## Step 1:").prefill
        '## Step 1:'
        >>> opening = Opening(begin="<think>", end="</think>", thinks=True)
        >>> opening.outside("Is it 5? No.</think>The answer is 4.")
        'The answer is 4.'
    """

    prefill: str = ""
    begin: str = ""
    end: str = ""
    thinks: bool = False

    def outside(self, text: str) -> str:
        """Return the prefill and a text after it, without the thinking in them."""
        runs = self._runs(self.prefill + text)
        return "".join(run for run, thinks in runs if not thinks)

    def still_thinks(self, text: str) -> bool:
        """Return whether the model is thinking after the prefill and a text."""
        *_, (_, thinks) = self._runs(self.prefill + text)
        return thinks

    def unmarked(self, text: str) -> str:
        """Return a text without markers of thinking."""
        if not self.begin:
            return text
        return text.replace(self.begin, "").replace(self.end, "")

    def _runs(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the runs of a text between markers, each with whether it is thinking."""
        thinks = self.thinks
        while self.begin:
            run, marker, text = text.partition(self.end if thinks else self.begin)
            yield run, thinks
            if not marker:
                return
            thinks = not thinks
        yield text, thinks
