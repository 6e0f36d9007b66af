"""Checkpoints of trainings that may be stopped at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def keep(file: Path, done: int, *parts: Any) -> None:
    """Write how many updates are done and the states of model, optimizer and what else there is.

    The file is replaced at once: whoever is stopped while writing leaves the last one.
    """
    partial = file.with_suffix(".partial")
    torch.save({"done": done, "states": [part.state_dict() for part in parts]}, partial)
    partial.replace(file)


def take_up(file: Path, *parts: Any) -> int:
    """Load what `keep` wrote into the same parts; return how many updates are done.

    Without a file that is 0.
    """
    if not file.exists():
        return 0
    kept = torch.load(file, weights_only=True)
    for part, state in zip(parts, kept["states"], strict=True):
        part.load_state_dict(state)
    return kept["done"]
