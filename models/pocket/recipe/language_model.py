"""Train the pocket's language model: a small Llama on freshly drawn training problems.

Every batch is new (the generator does not run dry), and the loss counts the solution's tokens only.
Training goes in cycles, in each of which the learning rate warms up, stays, and falls linearly over
the last quarter; over the first third of the first cycle the problems grow from short to long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import LlamaConfig, LlamaForCausalLM

from ..problems import MAX_STEPS, MIN_STEPS, Problem, problems
from .tokens import END, written

TOKENS_PER_BATCH = 2048
PEAK_RATE = 1.5e-3
IGNORED = -100


def architecture(tokenizer: Any) -> LlamaConfig:
    """The pocket's Llama: 4 layers, width 128, 4 heads, tied embeddings.

    Wide initial weights and many small batches are what makes attention learn early to look things
    up.
    """
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=4,
        intermediate_size=352,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def encode(tokenizer: Any, drawn: Sequence[Problem]) -> list[tuple[list[int], list[int]]]:
    """For each problem, the ids of its prompt, and of its solution with the end of text."""
    chats = [[{"role": "user", "content": problem.question}] for problem in drawn]
    prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    solutions = [written(problem.solution) + END for problem in drawn]
    ids = tokenizer([*prompts, *solutions], add_special_tokens=False)["input_ids"]
    return list(zip(ids[: len(drawn)], ids[len(drawn) :], strict=True))


class Batches(IterableDataset):
    """Padded batches of nearly equal length, about `TOKENS_PER_BATCH` tokens each.

    (input_ids, labels).
    """

    def __init__(self, tokenizer: Any, steps: int, seed: int, *, growing: bool) -> None:
        self.tokenizer, self.steps, self.seed, self.growing = tokenizer, steps, seed, growing

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        streams = {
            s: problems("train", seed=self.seed, steps=s) for s in range(MIN_STEPS, MAX_STEPS + 1)
        }
        rng, made = random.Random(self.seed), 0
        while made < self.steps:
            # full length after a third of the cycle
            grown = min(1.0, 3 * made / self.steps) if self.growing else 1.0
            longest = MIN_STEPS + 1 + round(grown * (MAX_STEPS - MIN_STEPS - 1))
            rows = encode(
                self.tokenizer,
                [next(streams[rng.randint(MIN_STEPS, longest)]) for _ in range(2048)],
            )
            batches = list(self._collate(sorted(rows, key=lambda row: len(row[0]) + len(row[1]))))
            rng.shuffle(batches)
            yield from islice(batches, self.steps - made)
            made += len(batches)

    def _collate(
        self, rows: list[tuple[list[int], list[int]]]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while rows:
            width = -(-len(rows[-1][0] + rows[-1][1]) // 16) * 16
            take = max(1, TOKENS_PER_BATCH // width)
            taken, rows = rows[-take:], rows[:-take]
            ids = torch.full((len(taken), width), self.tokenizer.pad_token_id)
            labels = torch.full((len(taken), width), IGNORED)
            for i, (prompt, solution) in enumerate(taken):
                row = torch.tensor(prompt + solution)
                ids[i, : len(row)] = row
                labels[i, len(prompt) : len(row)] = row[len(prompt) :]
            yield ids, labels


def train(
    tokenizer: Any,
    folder: Path,
    *,
    cycles: Sequence[int],
    seed: int = 0,
    device: str = "cpu",
    compiled: bool = True,
) -> LlamaForCausalLM:
    """Train the language model and save it, float16, in Hugging Face format.

    Args:
        tokenizer: the pocket's tokenizer; saved beside the model.
        folder: where the model goes; rewritten after every cycle.
        cycles: optimiser steps of each cycle.
        seed: of the initial weights and of the problems.
        device: where to train.
        compiled: compile the model with torch.compile (half again as fast).

    Returns:
        The trained model, float32, on `device`.
    """
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(architecture(tokenizer))
    model.to(device)
    for cycle, steps in enumerate(cycles):
        train_cycle(
            model, Batches(tokenizer, steps, seed + cycle, growing=cycle == 0), compiled=compiled
        )
        save(model, tokenizer, folder)
    return model


def train_cycle(model: Any, batches: Batches, *, compiled: bool) -> None:
    """One cycle, with a new optimiser."""
    forward = torch.compile(model, dynamic=True) if compiled else model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, batches.steps))
    loader = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8)
    began = time.perf_counter()
    for step, (ids, labels) in enumerate(loader, start=1):
        loss = forward(input_ids=ids.to(model.device), labels=labels.to(model.device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % max(1, batches.steps // 50) == 0:
            print(
                (
                    f"language model: step {step}/{batches.steps}, loss {loss.item():.4f}, "
                    f"{time.perf_counter() - began:.0f} s"
                ),
                flush=True,
            )


def rate(step: int, steps: int) -> float:
    """The learning rate's factor.

    Up over 100 steps, flat, then down to nothing over the last quarter.
    """
    return min(1.0, (step + 1) / min(100, steps), max(0.0, (steps - step) / (0.25 * steps)))


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the model, in float16, and its tokenizer into `folder`."""
    weights = {
        name: tensor.detach().half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    model.config.dtype = torch.float16
    model.save_pretrained(folder, state_dict=weights)
    model.config.dtype = torch.float32
    tokenizer.save_pretrained(folder)
