"""An evaluation that takes its time and writes down each run that it begins, to be killed.

As a program: FILE.jsonl JOURNAL PROBLEMS AT_ONCE SECONDS [WORKERS]. It ends with 3 where another
evaluation is writing to the file.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from motes.evaluation import Evaluation, RayWorkers, evaluate
from motes.models import FunctionReward, TableLM
from motes.samplers import ParticleFilter

REFUSED = 3


class JournalledLM(TableLM):
    """A table that takes so many seconds a step, and a line of whose journal is a run begun.

    While there is a file named as the journal and ".hold", no step is taken.
    """

    def __init__(self, journal: Path | None, seconds: float) -> None:
        super().__init__(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2)
        self.journal, self.seconds = journal, seconds

    @property
    def stands_for(self) -> TableLM:
        """What it is to a file of results: the table alone."""
        return TableLM(self.next_probs, eos=2)

    def start(self, question: str) -> Any:
        if self.journal is not None:
            with open(self.journal, "ab", buffering=0) as file:
                file.write(f"{os.getpid()} {question}\n".encode())  # in one piece, or not at all
        return super().start(question)

    def extend(self, *arguments: Any, **named: Any) -> Any:
        time.sleep(self.seconds)
        while self.journal is not None and held(self.journal).exists():
            time.sleep(0.01)
        return super().extend(*arguments, **named)


def held(journal: Path) -> Path:
    """Return the file that holds all steps up while it is there."""
    return journal.with_suffix(".hold")


def first_token(x: Any) -> str | None:
    """The answer is the first token, when the last one has come."""
    return str(x.token_ids[0]) if x.token_ids[-1] == 2 else None


def evaluated(
    results: Path, journal: Path | None, problems: int, at_once: int, seconds: float, **changes: Any
) -> Evaluation:
    """Evaluate one filter on problems no two of which are alike."""
    arguments = {
        "samplers": {"filter": ParticleFilter(particles=2)},
        "lm": JournalledLM(journal, seconds),
        "prm": FunctionReward(lambda x: 1.0 - x.token_ids[-1] - 0.3 * x.depth),
        "results": results,
        "max_steps": 4,
        "answer": first_token,
        "seed": 7,
        "at_once": at_once,
        "progress": False,
    }
    asked = [(f"question {number}?", number % 2) for number in range(problems)]
    return evaluate(asked, **arguments | changes)


def pids(journal: Path) -> Counter[int]:
    """How many runs each process has begun."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return Counter(int(line.split()[0]) for line in lines)


if __name__ == "__main__":
    file, log, count, runs, pause, *workers = sys.argv[1:]
    engine = RayWorkers(workers=int(workers[0])) if workers else None
    try:
        evaluated(Path(file), Path(log), int(count), int(runs), float(pause), engine=engine)
    except BlockingIOError as error:
        print(error)
        sys.stdout.flush()
        os._exit(REFUSED)
