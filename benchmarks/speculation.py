"""What a draft saves: forward passes of the target for each token kept, counts first.

Each question is a particle filter's worth of `extend` calls without weights: steps are drawn, all
particles go on until they end. On the pocket in five ways: without a draft; with a table of n-grams
that learns from the particles' own texts, over all questions; with a quarter of a pocket (see
`drafts.py`); and with the pocket itself as its own draft, the most that any draft could have
accepted. On SmolLM2 (`--lm smollm2`, the questions from `--problems`, the prior at temperature 0.7)
the draft models are SmolLM2 without its last layers.

With `--by-score` the heuristic drafts of whole steps are counted on the pocket: RSD, SpecReason
(whose judge is the pocket's reward model: the pocket itself cannot judge) and GSI, each beside what
it would be without a draft: solutions of the pocket alone, and for GSI the soft best of four of its
steps. A token kept is one of a solution at the end. The judge has the target's size: passes are
counted without its own and with them. These samplers do not keep the target, so that the share of
right solutions is told beside what they cost.

Ratios are to the run without a draft, question by question in the same process, with a 95% interval
by a bootstrap over questions. Seconds are of the CPU. The pocket is so small that the draft's own
passes, and everything around a pass, cost about as much as it does: the counts are what carries
over to a large model.

Run: python benchmarks/speculation.py --questions 20 --particles 1 8
     python benchmarks/speculation.py --questions 20 --particles 1 8 --by-score
     python benchmarks/speculation.py --lm smollm2 --problems GSM8K_TEST.jsonl --questions 6 \
         --particles 1 4 --steps 3
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from drafts import UPDATES, gsm8k, quarter, smollm2, without

import motes
from motes.models import Cost, ModelDraft, NGramDraft, Sampling, StepRule, TorchLM, load_draft
from motes.models.pocket import Problem, problems
from motes.samplers import GSI, RSD, MajorityVote, SpecReason

DROPPED = {"without its last 4 layers": 26, "without its last 10 layers": 20}  # the first of them
TEMPERATURE = 0.7  # of SmolLM2


class Figures(NamedTuple):
    """What one way has cost, question by question.

    Attributes:
        costs: of each question.
        seconds: of the CPU, of each.
        kept: tokens, of each.
        right: the share of its solutions that are right, where that was asked.
    """

    costs: list[Cost]
    seconds: list[float]
    kept: list[int]
    right: list[float]


def main() -> None:
    """Print the figures of every way."""
    parser = argparse.ArgumentParser(description="What a draft saves.")
    parser.add_argument("--lm", choices=("pocket", "smollm2"), default="pocket")
    parser.add_argument("--problems", type=Path, help="GSM8K's test split, for SmolLM2")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--particles", type=int, nargs="+", default=[8])
    parser.add_argument("--steps", type=int, default=12, help="at most, of a solution")
    parser.add_argument("--updates", type=int, default=UPDATES, help="of the draft; 0: no such")
    parser.add_argument("--by-score", action="store_true", help="drafts of steps, kept by score")
    options = parser.parse_args()
    if options.by_score:
        by_score(options)
        return
    lm, drafts = of_pocket(options) if options.lm == "pocket" else of_smollm2()
    prior = Sampling() if options.lm == "pocket" else Sampling(temperature=TEMPERATURE)
    if options.lm == "pocket":
        questions = [x.question for x in islice(problems("test", seed=3), options.questions)]
    else:
        questions = gsm8k(options.problems, options.questions)
    print(f"torch {torch.__version__}, {len(questions)} questions")
    for particles in options.particles:
        print(f"{particles} particles")
        plain: Figures | None = None
        for name, draft in drafts.items():
            found = drawn(lm, draft(), questions, particles, options.steps, prior)
            plain = plain or found
            show(name, found, plain)


def of_pocket(options: argparse.Namespace) -> tuple[Any, dict[str, Callable[[], Any]]]:
    """Return the pocket, and what may draft for it."""
    lm = motes.load_lm("pocket", probe=False)
    drafts: dict[str, Callable[[], Any]] = {
        "no draft": lambda: None,
        "3-grams, 4 tokens": lambda: NGramDraft(order=3, tokens=4),
        "5-grams, 4 tokens": lambda: NGramDraft(order=5, tokens=4),
    }
    if options.updates:
        small = quarter(lm.tokenizer, options.updates)
        drafts["quarter-size model"] = lambda: ModelDraft(small, lm.tokenizer, tokens=4)
    drafts["itself"] = lambda: load_draft("pocket", tokens=4)
    return lm, drafts


def of_smollm2() -> tuple[Any, dict[str, Callable[[], Any]]]:
    """Return SmolLM2, and what may draft for it."""
    lm = smollm2()
    drafts: dict[str, Callable[[], Any]] = {
        "no draft": lambda: None,
        "3-grams, 4 tokens": lambda: NGramDraft(order=3, tokens=4),
    }
    for name, first in DROPPED.items():
        shallow = without(lm.model, first, 29)
        drafts[name] = lambda shallow=shallow: ModelDraft(shallow, lm.tokenizer, tokens=4)
    return lm, drafts


def drawn(
    lm: TorchLM, draft: Any, questions: list[str], particles: int, steps: int, prior: Sampling
) -> Figures:
    """Draw all particles' solutions to each question, and return what that has cost."""
    drafted = TorchLM(lm.model, lm.tokenizer, step=StepRule(cap=64), draft=draft, probe=False)
    found = Figures([], [], [], [])
    for number, question in enumerate(questions):
        before, began = drafted.cost, time.process_time()
        population = [drafted.start(question)] * particles
        for step in range(steps):
            key = jax.random.fold_in(jax.random.key(number), step)
            population = [x for x in population if x.open]
            if not population:
                break
            keys = jax.random.split(key, len(population))
            population = drafted.extend(population, keys, sampling=prior, prior=prior)
        found.costs.append(drafted.cost - before)
        found.kept.append(found.costs[-1].generated_tokens)
        found.seconds.append(time.process_time() - began)
    return found


def by_score(options: argparse.Namespace) -> None:
    """Print the figures of drafts of steps that are kept by their score, and of none."""
    lm: Any = motes.load_lm("pocket", probe=False, step=StepRule(cap=64))
    small = TorchLM(quarter(lm.tokenizer, options.updates), lm.tokenizer, step=lm.step, probe=False)
    asked = list(islice(problems("test", seed=3), options.questions))
    models = {"lm": lm, "prm": motes.load_prm("pocket"), "max_steps": options.steps}
    solved(RSD(particles=2, draft=small), asked[:2], models)  # what is compiled once
    for n in options.particles:
        print(f"{len(asked)} questions, {n} particles")
        alone = solved(MajorityVote(samples=n), asked, models | {"prm": None})
        compared("the target alone", alone, alone)
        compared("RSD", solved(RSD(particles=n, draft=small), asked, models), alone)
        compared("SpecReason", solved(SpecReason(particles=n, draft=small), asked, models), alone)
        # drafts of the target itself, of which one is always kept
        plain = solved(GSI(particles=n, threshold=-1e9), asked, models)
        compared("soft best of four alone", plain, plain)
        compared("GSI", solved(GSI(particles=n, draft=small), asked, models), plain)


def solved(sampler: Any, asked: list[Problem], models: dict[str, Any]) -> Figures:
    """Solve each question by a sampler of independent solutions."""
    found = Figures([], [], [], [])
    for number, problem in enumerate(asked):
        began = time.process_time()
        posterior = motes.solve(problem.question, sampler=sampler, seed=number, **models)
        found.seconds.append(time.process_time() - began)
        found.costs.append(posterior.cost)
        found.kept.append(sum(len(x.token_ids) for x in posterior.trajectories))
        found.right.append(posterior.probability(problem.answer))
    return found


def compared(name: str, found: Figures, plain: Figures) -> None:
    """Print the counts for each token kept, and as ratios to the plain version's."""
    kept, passes = sum(found.kept), [x.forward_passes for x in found.costs]
    judged = [x.forward_passes + x.prm_forward_passes for x in found.costs]
    before = [x.forward_passes for x in plain.costs]
    both = [x.forward_passes + x.prm_forward_passes for x in plain.costs]
    read = sum(x.generated_tokens + x.rescored_tokens for x in found.costs) / kept
    own = sum(x.draft_forward_passes for x in found.costs) / kept
    more = np.array(found.right) - plain.right
    means = more[np.random.default_rng(0).integers(len(more), size=(4000, len(more)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    print(
        f"  {name:24} {sum(passes) / kept:.3f} target passes a token kept, x "
        f"{ratio(passes, found, before, plain)}; with the judge's {sum(judged) / kept:.3f}, x "
        f"{ratio(judged, found, both, plain)}; {read:.2f} written or read; {own:.3f} draft passes; "
        f"CPU seconds x {ratio(found.seconds, found, plain.seconds, plain)}; right "
        f"{np.mean(found.right):.3f}, {more.mean():+.3f} ({low:+.3f} to {high:+.3f})  "
        f"({kept} tokens)",
        flush=True,
    )


def show(name: str, found: Figures, plain: Figures) -> None:
    """Print the counts for each token kept, and passes and seconds of a token as ratios."""
    kept = sum(found.kept)
    passes = sum(x.forward_passes for x in found.costs) / kept
    vain = sum(x.discarded_tokens for x in found.costs) / kept
    own = sum(x.draft_forward_passes for x in found.costs) / kept
    before = [x.forward_passes for x in plain.costs]
    fewer = ratio([x.forward_passes for x in found.costs], found, before, plain)
    slower = ratio(found.seconds, found, plain.seconds, plain)
    print(
        f"  {name:26} {passes:.3f} target passes a token kept, x {fewer}; {vain:.2f} read in vain, "
        f"{own:.3f} draft passes; CPU seconds x {slower}  ({kept} tokens)",
        flush=True,
    )


def ratio(amounts: Sequence[float], found: Figures, before: Sequence[float], plain: Figures) -> str:
    """Return amounts for each token as a ratio to those without a draft, with its interval."""
    table = np.array([amounts, found.kept, before, plain.kept], np.float64).T
    random = np.random.default_rng(0)
    picked = random.integers(len(table), size=(4000, len(table)))
    sums = np.vstack([table.sum(0), table[picked].sum(1)])
    ratios = sums[:, 0] / sums[:, 1] / (sums[:, 2] / sums[:, 3])
    low, high = np.quantile(ratios[1:], [0.025, 0.975])
    return f"{ratios[0]:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
