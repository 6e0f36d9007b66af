"""What a draft model saves as a proposal, and what that costs in variance: counts first.

A particle filter on the pocket whose steps are drawn from a mixture of a draft, with share 1 - a,
and of the pocket itself, with share a. Weights are p / q of the whole mixture, at most 1 / a, so
that the evidence is unbiased with any draft. The drafts are the pocket with noise on its weights,
in parts of each matrix's own standard deviation: worse and worse models of the same tokens.

Said of each: how many tokens the pocket generated one by one and how many it read in blocks, in
how many passes; the largest log p / q of a step; the mean ESS before resampling; and the standard
deviation of log Z-hat over runs.

Run: python benchmarks/draft_proposals.py --questions 2 --runs 6 --particles 8
"""

from __future__ import annotations

import argparse
import copy
from itertools import islice
from typing import Any

import numpy as np
import torch

import motes
from motes.models import Component, Cost, Mixture, Sampling, StepRule, TorchLM
from motes.models.pocket import problems


def main() -> None:
    """Print a line for each draft and share."""
    parser = argparse.ArgumentParser(description="What a draft saves as a proposal.")
    parser.add_argument("--questions", type=int, default=2)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.05, 0.2])
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.1])
    options = parser.parse_args()
    lm = motes.load_lm("pocket", probe=False, step=StepRule(cap=64))
    prm = motes.load_prm("pocket")
    questions = [x.question for x in islice(problems("test", seed=3, steps=4), options.questions)]
    print(f"{options.questions} questions, {options.runs} runs, {options.particles} particles")
    ways: dict[str, Mixture | None] = {"the pocket alone": None}
    for noise in options.noise:
        draft = worsened(lm, noise)
        for share in options.shares:
            mixture = Mixture([Component(draft), Sampling()], weights=[1 - share, share])
            ways[f"noise {noise:g}, a = {share:g}"] = mixture
    for name, mixture in ways.items():
        show(name, lm, prm, questions, mixture, options)


def worsened(lm: TorchLM, noise: float) -> TorchLM:
    """Return a model whose matrices have noise on them, of this part of their own spread."""
    model, random = copy.deepcopy(lm.model), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight += noise * weight.std() * torch.randn(weight.shape, generator=random)
    name = f"pocket with noise {noise:g}"
    return TorchLM(model, lm.tokenizer, step=lm.step, name=name, probe=False)


def show(
    name: str,
    lm: TorchLM,
    prm: Any,
    questions: list[str],
    mixture: Mixture | None,
    options: argparse.Namespace,
) -> None:
    """Run one way, and print its line."""
    total, ess, largest, spreads = Cost(), [], -np.inf, []
    for question in questions:
        logs = []
        for seed in range(options.runs):
            posterior = motes.solve(
                question,
                lm=lm,
                prm=prm,
                particles=options.particles,
                seed=seed,
                proposal=mixture,
                max_steps=10,
            )
            total += posterior.cost
            logs.append(posterior.log_evidence)
            ess.append(float(np.mean(posterior.ess)))
            for x in posterior.trajectories:
                ratios = [y.step_logprob - y.step_proposal_logprob for y in x.path[1:]]
                largest = max(largest, *ratios)
        spreads.append(np.var(logs, ddof=1))
    runs = options.runs * len(questions)
    print(
        f"  {name:22} generated {total.generated_tokens / runs:.0f}, read "
        f"{total.rescored_tokens / runs:.0f}, passes {total.forward_passes / runs:.0f}, draft's "
        f"{total.draft_tokens / runs:.0f}; largest log p/q {largest:.2f}; "
        f"ESS {np.mean(ess):.1f}; sd of log Z {np.mean(spreads) ** 0.5:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
