"""Saves posteriors, and what is known of them here, for `test_saved_elsewhere` in another
environment.

Run: python tests/versions/write_saved.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import motes
from motes.diagnostics import check, summary
from motes.models import TableLM
from motes.models.pocket import problems
from motes.ppl import Posterior


def law(prefix: tuple[int, ...]) -> list[float]:
    """Three tokens, of which the last ends a text."""
    return [0.5, 0.3, 0.2]


def main(folder: Path) -> None:
    """Save a filter's posterior of the pocket, and one of chains."""
    folder.mkdir(parents=True, exist_ok=True)
    problem = next(problems("test", seed=0, steps=3))
    save(folder / "filter", motes.solve(problem.question, particles=16, seed=0))
    chains = {"chains": 4, "iterations": 60, "starts": 1}
    table = {"lm": TableLM(law, eos=2), "prm": None, "max_steps": 6}
    save(folder / "chains", motes.solve("?", sampler="suffix_metropolis", **table, **chains))


def save(place: Path, posterior: Posterior) -> None:
    """Write a posterior and its facts beside each other."""
    posterior.save(place.with_suffix(".nc"))
    facts = {
        "summary": dict(summary(posterior)),
        "findings": [finding._asdict() for finding in check(posterior)],
        "mixing": {name: list(mixing) for name, mixing in posterior.mixing.items()},
    }
    place.with_suffix(".json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
