"""Problems that small table models answer now and then, and a way to evaluate samplers on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from motes.evaluation import Evaluation, evaluate
from motes.models import FunctionReward, TableLM
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter

matplotlib.use("Agg")


def first_token(x: Any) -> str | None:
    """The answer is the first token, when the last one has come."""
    return str(x.token_ids[0]) if x.token_ids[-1] == 2 else None


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Evaluation]:
    """Evaluates three methods on five problems, with any arguments changed."""

    def evaluated(problems: Any = None, **changes: Any) -> Evaluation:
        arguments = {
            "samplers": {
                "filter": [ParticleFilter(particles=n) for n in (1, 3)],
                "weights": ImportanceSampling(particles=2),
                "vote": MajorityVote(samples=3),
            },
            "lm": TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2),
            "prm": FunctionReward(lambda x: 1.0 - x.token_ids[-1] - 0.3 * x.depth),
            "results": tmp_path / "results.jsonl",
            "max_steps": 4,
            "answer": first_token,
            "seed": 7,
            "progress": False,
        }
        return evaluate(
            [(f"question {i}?", i % 2) for i in range(5)] if problems is None else problems,
            **arguments | changes,
        )

    return evaluated
