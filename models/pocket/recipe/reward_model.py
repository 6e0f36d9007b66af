"""Train the pocket's process reward model on rollout labels.

A token classifier that starts from the language model's weights. At the separator behind each step
it is taught whether any of the rollouts from there reached the answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForTokenClassification

from ...reward.readers import SeparatorReader
from .language_model import IGNORED, TOKENS_PER_BATCH, rate, save
from .rollouts import Labelled
from .tokens import STEP

PEAK_RATE = 6e-4


def train(
    language_model: Any,
    tokenizer: Any,
    labelled: Sequence[Labelled],
    folder: Path,
    *,
    epochs: int,
    seed: int = 0,
    device: str = "cpu",
) -> LlamaForTokenClassification:
    """Train the reward model and save it, float16, in Hugging Face format.

    Args:
        language_model: whose weights it starts from.
        tokenizer: the pocket's.
        labelled: solutions with the labels of their steps.
        folder: where the model goes.
        epochs: passes over the solutions.
        seed: of the head's initial weights and of the order.
        device: where to train.

    Returns:
        The trained model, float32, on `device`.
    """
    torch.manual_seed(seed)
    # separators make its texts longer than the language model's, whose context they must not run
    # out of
    changes = {
        "num_labels": 2,
        "tie_word_embeddings": False,
        "max_position_embeddings": 2 * language_model.config.max_position_embeddings,
    }
    config = type(language_model.config)(**{**language_model.config.to_dict(), **changes})
    config.id2label, config.label2id = {0: "wrong", 1: "right"}, {"wrong": 0, "right": 1}
    config.step_separator, config.step_chat = STEP, True
    model: Any = LlamaForTokenClassification(config)
    model.model.load_state_dict(language_model.model.state_dict())
    model.to(device).train()
    reader = SeparatorReader(tokenizer, separator=STEP, chat=True)
    rows = [encode(reader, solution) for solution in labelled]
    batches = [
        batch
        for epoch in range(epochs)
        for batch in _batches(rows, tokenizer.pad_token_id, seed + epoch)
    ]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, len(batches)))
    began = time.perf_counter()
    for step, (ids, labels) in enumerate(batches, start=1):
        logits = model(input_ids=ids.to(device)).logits
        marked = labels.to(device) >= 0
        margin = (logits[..., 1] - logits[..., 0])[marked]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            margin, labels.to(device)[marked]
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % max(1, len(batches) // 50) == 0:
            print(
                (
                    f"reward model: step {step}/{len(batches)}, loss {loss.item():.4f}, "
                    f"{time.perf_counter() - began:.0f} s"
                ),
                flush=True,
            )
    save(model, tokenizer, folder)
    return model


def encode(reader: SeparatorReader, solution: Labelled) -> tuple[list[int], list[float]]:
    """Token ids, and under each the label to be predicted there (`IGNORED` where none is)."""
    ids = list(reader.prompt(solution.question))
    labels = [float(IGNORED)] * len(ids)
    for text, label in zip(solution.steps, solution.labels, strict=True):
        step = reader.tokens(text)
        ids += step
        labels += [float(IGNORED)] * (len(step) - 1) + [label]
    return ids, labels


def _batches(
    rows: Sequence[tuple[list[int], list[float]]], pad: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Padded batches of nearly equal length, in random order."""
    rng = random.Random(seed)
    ranked = sorted(rng.sample(rows, len(rows)), key=lambda row: len(row[0]))
    groups: list[list[tuple[list[int], list[float]]]] = []
    while ranked:
        take = max(1, TOKENS_PER_BATCH // len(ranked[-1][0]))
        groups.append(ranked[-take:])
        ranked = ranked[:-take]
    for group in rng.sample(groups, len(groups)):
        width = max(len(ids) for ids, _ in group)
        yield (
            torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in group]),
            torch.tensor(
                [labels + [float(IGNORED)] * (width - len(labels)) for _, labels in group]
            ),
        )
