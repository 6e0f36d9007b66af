"""What it costs to write the state-space model as a program, over the built-in one.

Wall time of a run in step form, and as a whole.

64 particles on the pocket, the same seeds, hence the same draws and the same forward passes; what
differs is what runs the model. The ratio of the medians over problems, with the interval that
ratios of single problems span.

    python benchmarks/programs.py [--problems 8] [--particles 64] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import Any

import numpyro
import torch

import motes
from motes import ppl
from motes.models.pocket import problems

MAX_STEPS = 16


def begin(lm: Any, prm: Any, question: str) -> Any:
    """In step form: the first state."""
    return ppl.start(lm, question)


def stepped(lm: Any, prm: Any, t: int, x: Any) -> Any:
    """In step form: one step."""
    x = numpyro.sample("step", ppl.step(lm, x))
    numpyro.sample("ok", ppl.judgement(prm, x), obs=1)
    return x if x.open else ppl.Return(x.answer)


def whole(lm: Any, prm: Any, question: str) -> Any:
    """The whole program."""
    x: Any = ppl.start(lm, question)
    for t in range(MAX_STEPS):
        if not x.open:
            break
        x = numpyro.sample(f"step_{t}", ppl.step(lm, x))
        numpyro.sample(f"ok_{t}", ppl.judgement(prm, x), obs=1)
    return x.answer


def main() -> None:
    """Time the three forms."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=9)
    parser.add_argument("--particles", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    found = problems("test", seed=1, steps=5)
    asked = [next(found).question for _ in range(args.problems)]
    sampler = motes.samplers.ParticleFilter(particles=args.particles)
    forms = {
        "built in": lambda question: ppl.StateSpaceModel(
            question, lm=lm, prm=prm, max_steps=MAX_STEPS
        ),
        "steps": lambda question: ppl.Program(
            begin, lm, prm, question, step=partial(stepped, lm, prm), max_steps=MAX_STEPS
        ),
        "whole": lambda question: ppl.Program(whole, lm, prm, question),
    }
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for number, question in enumerate(asked):
        sampler.run(forms["built in"](question), seed=number)  # compiles what its shapes need
        tokens = set()
        for name in [*forms][number % 3 :] + [*forms][: number % 3]:
            model = forms[name](question)
            began = time.perf_counter()
            posterior = sampler.run(model, seed=number)
            seconds[name].append(time.perf_counter() - began)
            tokens.add((posterior.cost.generated_tokens, posterior.cost.forward_passes))
        assert len(tokens) == 1, f"not the same work: {tokens}"
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(times, seconds["built in"], strict=True)]
        print(
            f"{name:9} {statistics.median(times):6.3f} s   ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
