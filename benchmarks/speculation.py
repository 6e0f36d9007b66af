"""What a draft saves: forward passes of the target for each token kept, counts first.

On the pocket with few particles, each question a particle filter's worth of `extend` calls without
weights: steps are drawn, all particles go on until they end. Four ways: without a draft; with a
table of n-grams that learns from the particles' own texts, over all questions; with a quarter-size
Llama of the pocket's own recipe, trained for a few minutes (`--updates`; 0 leaves it out); and
with the pocket itself as its own draft, the most that any draft could have accepted.

Seconds are said as a ratio to those without a draft, in the same process. The pocket is so small
that the draft's own passes, and everything around a pass, cost about as much as it does: the counts
are what carries over to a large model.

Run: python benchmarks/speculation.py --questions 6 --particles 8 --updates 400
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import jax
import torch

import motes
from motes.models import Cost, ModelDraft, NGramDraft, StepRule, TorchLM, load_draft
from motes.models.pocket import problems
from motes.models.pocket.recipe.language_model import architecture, batch


class Figures(NamedTuple):
    """What one way has cost."""

    cost: Cost
    seconds: float


def main() -> None:
    """Print the figures of every way."""
    parser = argparse.ArgumentParser(description="What a draft saves.")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--updates", type=int, default=400, help="to train the quarter-size draft")
    options = parser.parse_args()
    lm = motes.load_lm("pocket", probe=False)
    drafts: dict[str, Callable[[], Any]] = {
        "no draft": lambda: None,
        "3-grams, 4 tokens": lambda: NGramDraft(order=3, tokens=4),
        "5-grams, 4 tokens": lambda: NGramDraft(order=5, tokens=4),
        "5-grams, 8 tokens": lambda: NGramDraft(order=5, tokens=8),
    }
    if options.updates:
        small = quarter(lm.tokenizer, options.updates)
        drafts["quarter-size model"] = lambda: ModelDraft(small, lm.tokenizer, tokens=4)
    drafts["itself"] = lambda: load_draft("pocket", tokens=4)
    questions = [x.question for x in islice(problems("test", seed=3), options.questions)]
    print(
        f"torch {torch.__version__} on {torch.get_num_threads()} threads, "
        f"{options.questions} questions, {options.particles} particles"
    )
    plain: Figures | None = None
    for name, draft in drafts.items():
        found = drawn(lm, draft(), questions, options.particles)
        plain = plain or found
        show(name, found, plain)


def quarter(tokenizer: Any, updates: int) -> Any:
    """Train a Llama of a quarter of the pocket's weights on what the pocket was trained on."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(1)
    config = architecture(tokenizer)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 64, 192, 4
    config.head_dim = 16
    model: Any = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (update + 1) / 50, 4 * (1 - update / updates))
        ids, labels = batch(tokenizer, update, 1, drills=False)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"draft: {sum(w.numel() for w in model.parameters()):,} weights, {updates} updates")
    return model.eval()


def drawn(lm: TorchLM, draft: Any, questions: list[str], particles: int) -> Figures:
    """Draw all particles' solutions to each question, and return what that has cost."""
    drafted = TorchLM(lm.model, lm.tokenizer, step=StepRule(cap=64), draft=draft, probe=False)
    began = time.perf_counter()
    for number, question in enumerate(questions):
        population = [drafted.start(question)] * particles
        for step in range(12):
            key = jax.random.fold_in(jax.random.key(number), step)
            population = [x for x in population if x.open]
            if not population:
                break
            population = drafted.extend(population, jax.random.split(key, len(population)))
    return Figures(drafted.cost, time.perf_counter() - began)


def show(name: str, found: Figures, plain: Figures) -> None:
    """Print the counts for each token kept, and the seconds of a token as a ratio."""
    cost, kept = found.cost, found.cost.generated_tokens
    passes = cost.forward_passes / kept
    fewer = passes / (plain.cost.forward_passes / plain.cost.generated_tokens)
    rows = f"{passes:.3f} target passes a token kept (x {fewer:.2f})"
    vain = f"{cost.discarded_tokens / kept:.2f} read in vain"
    drafts = f"{cost.draft_forward_passes / kept:.3f} draft passes"
    ratio = found.seconds / kept / (plain.seconds / plain.cost.generated_tokens)
    print(f"  {name:20} {rows}, {vain}, {drafts}; seconds x {ratio:.2f}  ({kept} tokens)")


if __name__ == "__main__":
    main()
