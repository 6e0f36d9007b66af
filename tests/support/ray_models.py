"""Models and functions for workers, by which something goes wrong in them."""

from __future__ import annotations

import os
import signal
from typing import Any

from motes.models import TableLM


def one_of_each() -> TableLM:
    """Load a language model that is another in every process."""
    share = os.getpid() % 1000 / 2000
    return TableLM(lambda prefix: [share, 0.5 - share, 0.5], eos=2)


def nan_at_seven(x: Any) -> float:
    """Give NaN for one of the questions."""
    return float("nan") if x.question == "question 7?" else 0.0


def killed_while_loading() -> TableLM:
    """Kill the process that loads this model."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Deadly(TableLM):
    """A language model that is killed by one of the problems."""

    def start(self, question: str) -> Any:
        if question == "question 3?":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().start(question)
