"""Evaluate 200 problems in one process, and by two workers of Ray's on the same machine.

A filter of 16 particles on the pocket's problems of six steps, 16 runs at once in all. Starting Ray
and loading the models, which each worker does once, is part of the time and shown beside it. Draws
in float64 are the same, which is checked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path

import motes
from motes.evaluation import Evaluation, RayWorkers, evaluate
from motes.models.pocket import problems
from motes.samplers import ParticleFilter

WORKERS = 2
AT_ONCE = 16


def timed(
    count: int, engine: RayWorkers | None, at_once: int, results: Path
) -> tuple[float, Evaluation]:
    """Return the seconds of an evaluation, and what it found."""
    began = time.perf_counter()
    found = evaluate(
        islice(problems("test", seed=0, steps=6), count),
        samplers={"filter": ParticleFilter(particles=16)},
        lm=partial(motes.load_lm, "pocket", dtype="float64"),
        prm=partial(motes.load_prm, "pocket", dtype="float64"),
        results=results,
        at_once=at_once,
        progress=False,
        engine=engine,
    )
    return time.perf_counter() - began, found


def main() -> None:
    """Print the seconds of both, for as many problems as workers and for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=200)
    count = parser.parse_args().problems
    with tempfile.TemporaryDirectory() as folder:
        for some in (WORKERS, count):
            one, here = timed(some, None, AT_ONCE, Path(folder) / f"one-{some}.jsonl")
            ray, there = timed(
                some,
                RayWorkers(workers=WORKERS),
                AT_ONCE // WORKERS,
                Path(folder) / f"ray-{some}.jsonl",
            )
            answers = [[record.answer for record in found.records] for found in (here, there)]
            assert answers[0] == answers[1]
            print(
                f"{some} problems: one process {one:.0f} s, {WORKERS} workers {ray:.0f} s, "
                f"ratio {one / ray:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
