"""Train the pocket's language model: a small Llama on what careless writers write.

Every batch is freshly drawn (the generator does not run dry), and a function of the seed and of its
place alone, so that training can be stopped and taken up anywhere. A batch holds problems with one
number of steps; over the first updates that number grows from 2 to 8. Every second batch is a
drill, which exercises in a fourth of the tokens what solutions take: sums; recitals of what some
people have and own; and, when those have been learnt, plans, which only say who comes next. The
loss counts what a solution says, what is recited, who comes next, and the results of sums.

The learning rate warms up, stays, and falls linearly over the last quarter. Wide initial weights
and many small batches are what makes attention learn early to look things up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ....aliases import Network, Tokenizer
from ..problems import LARGEST, MAX_STEPS, MIN_STEPS, Problem, problems
from .careless import careless_solution, plan, recital, sums
from .checkpoints import keep, take_up
from .circuits import look_up_from_the_start
from .tokens import END, written

TOKENS_PER_BATCH = 1536
GROWING = 2000  # updates over which problems grow from short to long
PEAK_RATE = 2e-3
IGNORED = -100
KEPT_EVERY = 250  # updates between two checkpoints
SHOWN_AT = (500, 1000, 2000, 4000, 6000, 7200)  # updates after which weights are kept, for the card

Row = tuple[list[int], list[int]]


def architecture(tokenizer: Tokenizer) -> LlamaConfig:
    """Return the pocket's Llama: 4 layers, width 128, 4 heads, tied embeddings."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        intermediate_size=352,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        initializer_range=0.05,
        # slow rotations: what is looked up by its name must match over the length of a problem
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def encode(tokenizer: Tokenizer, questions: Sequence[str], solutions: Sequence[str]) -> list[Row]:
    """Return, for each problem, its ids and its labels: those of the prompt are `IGNORED`."""
    chats = [[{"role": "user", "content": question}] for question in questions]
    prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    ids = tokenizer([*prompts, *solutions], add_special_tokens=False)["input_ids"]
    pairs = zip(ids[: len(chats)], ids[len(chats) :], strict=True)
    return [(prompt + solution, [IGNORED] * len(prompt) + solution) for prompt, solution in pairs]


def padded(rows: Sequence[Row], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch of rows as tensors (input_ids, labels) of one width, a multiple of 8."""
    width = -(-max(len(ids) for ids, _ in rows) // 8) * 8
    return (
        torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows]),
        torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in rows]),
    )


def batch(
    tokenizer: Any, update: int, seed: int, drills: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the batch of one update: (input_ids, labels), both (rows, width).

    It holds some `TOKENS_PER_BATCH` tokens.
    """
    rng = random.Random(f"pocket language model {seed} {update}")
    kind = ("problems", "recitals", "problems", "sums")[update % 4] if drills else "problems"
    if kind == "recitals" and update >= GROWING:
        kind = "plans"
    grown = min(1.0, update / GROWING)
    if kind == "problems":
        steps = rng.randint(MIN_STEPS, MIN_STEPS + round(grown * (MAX_STEPS - MIN_STEPS)))
        rows = _problem_rows(tokenizer, TOKENS_PER_BATCH // (35 + 24 * steps), steps, rng)
    elif kind == "recitals":
        people = rng.randint(3, 3 + round(7 * grown))
        rows = _recital_rows(tokenizer, TOKENS_PER_BATCH // (20 * people - 26), people, rng)
    elif kind == "plans":
        steps = rng.randint(MIN_STEPS, MAX_STEPS)
        rows = _plan_rows(tokenizer, TOKENS_PER_BATCH // (35 + 10 * steps), steps, rng)
    else:
        rows = [_sums_row(tokenizer, rng) for _ in range(TOKENS_PER_BATCH // 144)]
    return padded(rows, tokenizer.pad_token_id)


def _problem_rows(tokenizer: Any, count: int, steps: int, rng: random.Random) -> list[Row]:
    stream = problems("train", seed=rng.getrandbits(40), steps=steps)
    drawn: list[Problem] = list(islice(stream, count))
    solutions = [written(careless_solution(problem, rng)) + END for problem in drawn]
    return encode(tokenizer, [problem.question for problem in drawn], solutions)


def _recital_rows(tokenizer: Any, count: int, people: int, rng: random.Random) -> list[Row]:
    texts = [recital(people, rng) for _ in range(count)]
    heard = tokenizer([text for text, _ in texts], add_special_tokens=False)["input_ids"]
    said = tokenizer([text for _, text in texts], add_special_tokens=False)["input_ids"]
    return [(a + b, [IGNORED] * len(a) + b) for a, b in zip(heard, said, strict=True)]


def _plan_rows(tokenizer: Any, count: int, steps: int, rng: random.Random) -> list[Row]:
    """Draw solutions of which only the subjects are left.

    Numbers are not learnt here, since they cannot be known.
    """
    drawn = list(islice(problems("train", seed=rng.getrandbits(40), steps=steps), count))
    rows = encode(
        tokenizer,
        [problem.question for problem in drawn],
        [plan(problem) + END for problem in drawn],
    )
    numbers = set(
        tokenizer(" ".join(map(str, range(LARGEST + 1))), add_special_tokens=False)["input_ids"]
    )
    without_numbers = []
    for ids, labels in rows:
        kept = [IGNORED if label in numbers else label for label in labels]
        without_numbers.append((ids, kept))
    return without_numbers


def _sums_row(tokenizer: Any, rng: random.Random) -> Row:
    ids = tokenizer("".join(sums(24, rng)), add_special_tokens=False)["input_ids"]
    equals = tokenizer.convert_tokens_to_ids("Ġ=")
    results = [token if ids[i - 1] == equals else IGNORED for i, token in enumerate(ids)]
    return ids, results


def train(
    tokenizer: Tokenizer,
    folder: Path,
    work: Path,
    *,
    drilled: int,
    undrilled: int,
    seed: int = 0,
    device: str = "cpu",
) -> LlamaForCausalLM:
    """Train the language model and save it, float16, in Hugging Face format.

    Args:
        tokenizer: the pocket's tokenizer; saved beside the model.
        folder: where the model goes.
        work: where checkpoints go, and are taken up from.
        drilled: how many batches with drills.
        undrilled: how many batches of problems alone follow.
        seed: of the initial weights and of the problems.
        device: where to train.

    Returns:
        The trained model, float32, on `device`.
    """
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(architecture(tokenizer))
    look_up_from_the_start(model, seed)
    model.to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    kept = work / "language-model.pt"
    first = take_up(kept, model, optimizer)
    began, last = time.perf_counter(), drilled + undrilled
    for update in range(first, last):
        drills = update < drilled
        peak = rate(update, drilled) if drills else 0.5 * rate(update - drilled, undrilled)
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * peak
        ids, labels = batch(tokenizer, update, seed, drills)
        loss = model(input_ids=ids.to(device), labels=labels.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        done = update + 1
        if done % KEPT_EVERY == 0 or done == last:
            seconds = time.perf_counter() - began
            print(
                f"language model: update {done}/{last}, loss {loss.item():.4f}, {seconds:.0f} s",
                flush=True,
            )
            keep(kept, done, model, optimizer)
        if done in SHOWN_AT:
            save(model, tokenizer, work / f"writer-{done}")
    save(model, tokenizer, folder)
    return model


def rate(step: int, steps: int) -> float:
    """Return the learning rate's factor.

    It goes up over 100 steps, is flat, and goes down to nothing over the last quarter.
    """
    return min(1.0, (step + 1) / min(100, steps), max(0.0, (steps - step) / (0.25 * steps)))


def save(model: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model, in float16, and its tokenizer into `folder`."""
    weights = model.state_dict()
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            weights[name] = tensor.detach().half()
    model.config.dtype = torch.float16
    model.save_pretrained(folder, state_dict=weights)
    model.config.dtype = torch.float32
    tokenizer.save_pretrained(folder)
