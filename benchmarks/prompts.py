"""What it costs to mix prompts of one model, and temperatures, in forward passes and CPU seconds.

Solutions under a declared mixture of prompts (`MixtureLM`, per trajectory), each prompt with one
worked example of its own; and a vote of votes over nine temperatures (`nested_vote`). What prompts
draw, and read of each other's steps, is one batch of the network. It is measured beside the same
models asked one after another, with the same random keys, which draws the same solutions but where
rounding changes a token (float32).

Said of each: forward passes and CPU seconds together, and those apart over those together, medians
over rounds, which take turns; and in how many rounds all solutions were the same.

Run: python benchmarks/prompts.py --solutions 32 --rounds 5
     python benchmarks/prompts.py --lm smollm2 --solutions 8 --rounds 3 --max-steps 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

from drafts import smollm2

import motes
from motes.models import (
    ChatPrompt,
    Component,
    LanguageModel,
    Mixture,
    MixtureLM,
    StepRule,
    TorchLM,
)
from motes.models.pocket import Problem, problems
from motes.ppl import Posterior, StateSpaceModel
from motes.samplers import MajorityVote, nested_vote

COUNTS = (1, 2, 4, 8)


def main() -> None:
    """Print a line for each number of prompts, and one for the vote of votes."""
    parser = argparse.ArgumentParser(description="What mixtures of prompts cost.")
    parser.add_argument("--lm", choices=["pocket", "smollm2"], default="pocket")
    parser.add_argument("--solutions", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-steps", type=int, default=12)
    options = parser.parse_args()
    step = StepRule(cap=48)
    lm = smollm2(step=step) if options.lm == "smollm2" else motes.load_lm("pocket", step=step)
    [asked, *shown] = [next(problems("test", seed=i, steps=4)) for i in range(1 + max(COUNTS))]
    models = [lm.prompted(_with_example(each), name=f"example {i}") for i, each in enumerate(shown)]
    print(f"{lm.name}, {options.solutions} solutions, medians of {options.rounds} rounds")
    for count in COUNTS:

        def mixed(seed: int, count: int = count) -> Posterior:
            mixture = Mixture([Component(each) for each in models[:count]], per="trajectory")
            declared = _declared(MixtureLM(mixture), asked.question, options.max_steps)
            return MajorityVote(samples=options.solutions).run(declared, seed=seed)

        _compare(f"mixture of {count} prompts", mixed, models, options.rounds)
    each = max(1, options.solutions // 9)

    def voted(seed: int) -> Posterior:
        declared = _declared(lm, asked.question, options.max_steps)
        return nested_vote(declared, samples=each, rounds=1, seed=seed)

    _compare(f"vote of nine temperatures, {each} each", voted, [lm], options.rounds)


def _with_example(shown: Problem) -> ChatPrompt:
    return ChatPrompt(examples=[(shown.question, "\n\n".join(shown.solution))])


def _declared(lm: LanguageModel, question: str, steps: int) -> StateSpaceModel:
    return StateSpaceModel(question, lm=lm, max_steps=steps)


def _compare(
    name: str, run: Callable[[int], Posterior], models: Sequence[TorchLM], rounds: int
) -> None:
    """Print what a run costs with its models asked together, and apart."""
    passes: dict[str, list[int]] = {"together": [], "apart": []}
    alike = 0
    seconds: dict[str, list[float]] = {"together": [], "apart": []}
    run(rounds)  # what is compiled at a first call is not measured
    for seed in range(rounds):
        texts = []
        for way in ("together", "apart") if seed % 2 else ("apart", "together"):
            for lm in models:
                lm.drop_cache()
            began = time.process_time()
            with _apart() if way == "apart" else _as_it_is():
                posterior = run(seed)
            seconds[way].append(time.process_time() - began)
            passes[way].append(posterior.cost.forward_passes)
            texts.append([x.text for x in posterior.trajectories])
        alike += texts[0] == texts[1]
    told = median(passes["together"]), median(seconds["together"])
    pairs = [
        [a / b for a, b in zip(of["apart"], of["together"], strict=True)]
        for of in (passes, seconds)
    ]
    print(
        f"{name}: {told[0]:g} passes, {told[1]:.2f} CPU s; apart {median(pairs[0]):.2f} times the "
        f"passes, {median(pairs[1]):.2f} times the seconds; the same solutions in {alike} of "
        f"{rounds} rounds",
        flush=True,
    )


@contextmanager
def _apart() -> Iterator[None]:
    """Let no model share its network's passes."""
    with patch.object(TorchLM, "shared_network", None):
        yield


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


if __name__ == "__main__":
    main()
