"""What a draft model saves as a proposal, and what that costs in variance: counts first.

A particle filter whose steps are drawn from a mixture of a draft, with share 1 - a, and of the
target itself, with share a. Weights are p / q of the whole mixture, at most 1 / a, so that the
evidence is unbiased with any draft. On the pocket the drafts are a quarter of a pocket (see
`drafts.py`) and the pocket with noise on its weights, in parts of each matrix's own standard
deviation: worse and worse models of the same tokens. On SmolLM2 (`--lm smollm2`, the questions from
`--problems`) the draft is SmolLM2 without its last four layers.

Said of each: how many tokens the target generated one by one and how many it read in blocks, in
how many passes; the largest log p / q of a step; the mean ESS before resampling; the standard
deviation of log Z-hat over runs; Z-hat over that of long plain runs, pooled, in the mean; and, as
ratios to the target alone, the variance of log Z-hat times the target's tokens, its passes, and CPU
seconds, less being better, with 95% intervals by a bootstrap over runs within questions.

Run: python benchmarks/draft_proposals.py --questions 4 --runs 12 --particles 16 --noise 0.05
     python benchmarks/draft_proposals.py --lm smollm2 --problems GSM8K_TEST.jsonl --questions 2 \
         --runs 6 --particles 4 --shares 0.5 --max-steps 3 --reference 0 --noise
"""

from __future__ import annotations

import argparse
import copy
import time
from typing import Any

import numpy as np
import torch
from drafts import add_options, setting

import motes
from motes.models import Component, Mixture, TorchLM

MEASURES = ("tokens", "passes", "seconds")


def main() -> None:
    """Print a line for each draft and share."""
    parser = argparse.ArgumentParser(description="What a draft saves as a proposal.")
    add_options(parser)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.05, 0.2])
    parser.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.1])
    parser.add_argument("--reference", type=int, default=256, help="particles of it; 0: none")
    parser.add_argument("--references", type=int, default=8, help="runs that it pools")
    options = parser.parse_args()
    settings, questions, _, draft = setting(options)
    print(f"{options.questions} questions, {options.runs} runs, {options.particles} particles")
    lm, own = settings["lm"], settings["prior"]
    drafts = {draft.name: draft}
    drafts |= {f"noise {noise:g}": worsened(lm, noise) for noise in options.noise}
    ways: dict[str, Mixture | None] = {"the target alone": None}
    for name, other in drafts.items():
        for share in options.shares:
            mixture = Mixture([Component(other, own), own], weights=[1 - share, share])
            ways[f"{name}, a = {share:g}"] = mixture
    references: list[float | None] = [0.0] * len(questions)
    if options.reference:
        ask = {"particles": options.reference, "runs": options.references, "seed": 1000, **settings}
        pooled = [motes.solve(x, **ask) for x in questions]
        references = [x.log_evidence for x in pooled]
        error = np.mean([x.log_evidence_mcse**2 for x in pooled]) ** 0.5 / len(pooled) ** 0.5
        print(f"log Z of the references is known to {error:.3f} in the mean")
    plain: np.ndarray | None = None
    for name, mixture in ways.items():
        found = show(name, questions, mixture, settings, options, references)
        plain = found if plain is None else plain
        told = zip(MEASURES, ratios(found, plain), strict=True)
        words = "; ".join(f"{name} {ratio}" for name, ratio in told)
        print(f"    variance x {words}", flush=True)


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
    questions: list[str],
    mixture: Mixture | None,
    settings: dict[str, Any],
    options: argparse.Namespace,
    references: list[float | None],
) -> np.ndarray:
    """Run one way, and print its line.

    Returns:
        log Z-hat and what `MEASURES` says of each run, shape (questions, runs, 4).
    """
    rows, ess, largest, drafted, generated = [], [], -np.inf, 0, 0
    for question in questions:
        for seed in range(options.runs):
            began = time.process_time()
            posterior = motes.solve(
                question, particles=options.particles, seed=seed, proposal=mixture, **settings
            )
            cost, seconds = posterior.cost, time.process_time() - began
            read = cost.generated_tokens + cost.rescored_tokens
            rows.append([posterior.log_evidence, read, cost.forward_passes, seconds])
            drafted, generated = drafted + cost.draft_tokens, generated + cost.generated_tokens
            ess.append(float(np.mean(posterior.ess)))
            for x in posterior.trajectories:
                ratio = [y.step_logprob - y.step_proposal_logprob for y in x.path[1:]]
                largest = max(largest, *ratio)
    found = np.array(rows, np.float64).reshape(len(questions), options.runs, -1)
    means = found.mean((0, 1))
    runs = options.runs * len(questions)
    bias = np.exp(found[..., 0] - np.array(references, np.float64)[:, None]).ravel()
    agreement = f"; Z-hat / Z {bias.mean():.2f} +- {bias.std(ddof=1) / runs**0.5:.2f}"
    print(
        f"  {name:22} generated {generated / runs:.0f}, read in blocks "
        f"{means[1] - generated / runs:.0f}, passes {means[2]:.0f}, draft's "
        f"{drafted / runs:.0f}, {means[3]:.1f} s of CPU; largest log p/q {largest:.2f}; "
        f"ESS {np.mean(ess):.1f}; sd of log Z {found[..., 0].var(1, ddof=1).mean() ** 0.5:.2f}"
        f"{agreement if options.reference else ''}",
        flush=True,
    )
    return found


def ratios(found: np.ndarray, plain: np.ndarray) -> list[str]:
    """Return variance times each measure as ratios to the plain filter's, with their intervals.

    Args:
        found: log Z-hat and the measures of each run, shape (questions, runs, 1 + measures).
        plain: the same of the plain filter.
    """
    random, (questions, runs, _) = np.random.default_rng(0), found.shape

    def prices(rows: np.ndarray) -> np.ndarray:
        return rows[..., 0].var(-1, ddof=1).mean(-1)[..., None] * rows[..., 1:].mean((-3, -2))

    def again(rows: np.ndarray) -> np.ndarray:
        picked = random.integers(runs, size=(2000, questions, runs))
        return prices(rows[np.arange(questions)[None, :, None], picked])

    with np.errstate(divide="ignore", invalid="ignore"):
        mean, drawn = prices(found) / prices(plain), again(found) / again(plain)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in zip(mean, low, high, strict=True)]


if __name__ == "__main__":
    main()
