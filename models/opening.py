"""What the model's turn begins with before it writes: a part of what is read, which nobody drew."""

from __future__ import annotations

from typing import NamedTuple


class Opening(NamedTuple):
    """What stands before a trajectory's first step, inside the turn that the model writes.

    Attributes:
        prefill: the text that was put there for the model (see `ChatPrompt`).

    Example:
        >>> Opening(prefill="## Step 1:").prefill
        '## Step 1:'
    """

    prefill: str = ""
