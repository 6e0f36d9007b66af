"""Train the pocket's process reward model on rollout labels.

A token classifier that starts from the language model's weights, with two layers more that change
nothing at first: they are there to compare what a step says with what the layers below expected. At
the separator behind each step it learns the probability that the solution so far is right, by

- cross-entropy with the rollout label;
- the siblings' contrast: the logistic loss of the difference between two next steps of one prefix,
  weighted by how far their labels lie apart. A batch holds whole problems, so that siblings meet;
- the next token of steps labelled right, from the language model's own output layer, so that the
  judge keeps what the writer knows, and unlearns the writer's habits.

In every pass the people of a problem bear other names: labels are dear, and do not depend on names.
At last the log-odds are stretched and shifted to be calibrated on problems not trained on.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import LlamaForTokenClassification

from ....aliases import Tokenizer
from ...reward.readers import SeparatorReader
from ..problems import NAMES
from .checkpoints import keep, take_up
from .language_model import IGNORED, rate, save
from .rollouts import Labelled
from .tokens import STEP

PEAK_RATE = 1e-3
TOKENS_PER_BATCH = 3000
MORE_LAYERS = 2
KEPT_EVERY = 100  # steps between two checkpoints
SHOWN_AT = (
    1 / 16,
    1 / 8,
    1 / 4,
    1 / 2,
    1,
)  # shares of the first pass behind which the ranking is measured
SHOWN_ON = 40  # batches that it is measured on
CONTRAST, NEXT_TOKEN = 1.0, 0.5  # the weights of the two further losses
_NAME = re.compile(rf"\b({'|'.join(NAMES)})\b")
bce = torch.nn.functional.binary_cross_entropy_with_logits


class Batch(NamedTuple):
    """Several problems' solutions.

    Attributes:
        ids: token ids, shape (rows, width).
        targets: next tokens to be learnt at each place, `IGNORED` elsewhere; the same shape.
        places: rows and columns of the separators, shape (2, steps).
        labels: for each separator, the probability that the prefix is right.
        parents: for each separator, a number that siblings share.
        shares: the separators' weights, by which every prefix counts once.
        sampled: the separators' weights, by which a prefix counts as often as it was sampled.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    places: torch.Tensor
    labels: torch.Tensor
    parents: torch.Tensor
    shares: torch.Tensor
    sampled: torch.Tensor


def train(
    language_model: Any,
    tokenizer: Tokenizer,
    labelled: Sequence[Labelled],
    held_out: Sequence[Labelled],
    folder: Path,
    work: Path,
    *,
    epochs: int,
    seed: int = 0,
    device: str = "cpu",
) -> LlamaForTokenClassification:
    """Train the reward model and save it, float16, in Hugging Face format.

    Args:
        language_model: whose weights it starts from.
        tokenizer: the pocket's.
        labelled: labelled solutions, those of one problem in a row.
        held_out: labelled solutions of other problems, for the calibration.
        folder: where the model goes.
        work: where checkpoints and the learning curve go, and what is taken up from.
        epochs: passes over the solutions.
        seed: of the initial weights of what is new, and of the order.
        device: where to train.

    Returns:
        The trained model, float32, on `device`.
    """
    torch.manual_seed(seed)
    model = enlarged(language_model).to(device).train()
    reader = SeparatorReader(tokenizer, separator=STEP, chat=True)
    passes = [_batches(labelled, seed + epoch) for epoch in range(epochs)]
    batches = [drawn for one_pass in passes for drawn in one_pass]
    aside = [collate(reader, rows) for rows in _batches(held_out, seed)]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, len(batches)))
    kept, curve, began = work / "reward-model.pt", work / "labels-curve.jsonl", time.perf_counter()
    for step in range(take_up(kept, model, optimizer, schedule), len(batches)):
        value, contrast, text = losses(model, collate(reader, batches[step]), device)
        (value + CONTRAST * contrast + NEXT_TOKEN * text).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        done = step + 1
        if done % KEPT_EVERY == 0:
            keep(kept, done, model, optimizer, schedule)
            parts = (
                f"value {value.item():.3f}, contrast {contrast.item():.3f}, text {text.item():.3f}"
            )
            seconds = time.perf_counter() - began
            print(f"reward model: step {done}/{len(batches)}, {parts}, {seconds:.0f} s", flush=True)
        if done in {math.ceil(len(batches) / epochs * share) for share in SHOWN_AT} | {
            len(batches)
        }:
            steps = sum(len(item.steps) for rows in batches[:done] for item in rows)
            point = {"steps": steps, "siblings_auc": siblings_auc(model, aside[:SHOWN_ON], device)}
            with curve.open("a") as lines:
                lines.write(json.dumps(point) + "\n")
            print(f"reward model: {point}", flush=True)
    calibrate(model, aside, device)
    save(model, tokenizer, folder)
    return model


def enlarged(language_model: Any) -> Any:
    """Return a token classifier with the language model's layers.

    `MORE_LAYERS` follow them, which change nothing yet.
    """
    old = language_model.config
    changes = {
        "num_hidden_layers": old.num_hidden_layers + MORE_LAYERS,
        "num_labels": 2,
        "classifier_dropout": 0.0,
        "tie_word_embeddings": False,
        # separators make its texts longer than the language model's, whose context they must not
        # run out of
        "max_position_embeddings": 2 * old.max_position_embeddings,
        "id2label": {0: "wrong", 1: "right"},
        "label2id": {"wrong": 0, "right": 1},
    }
    config = type(old)(**{**old.to_dict(), **changes})
    config.step_separator, config.step_chat = STEP, True
    model = LlamaForTokenClassification(config)
    model.model.load_state_dict(language_model.model.state_dict(), strict=False)
    for layer in model.model.layers[old.num_hidden_layers :]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


def losses(
    model: Any, drawn: Batch, device: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Compute a batch's losses: of the values, of the siblings' contrasts, of the text."""
    hidden = model.model(input_ids=drawn.ids.to(device)).last_hidden_state
    rows, columns = drawn.places.to(device)
    scores, labels = log_odds(model, hidden[rows, columns]), drawn.labels.to(device)
    parents, shares = drawn.parents.to(device), drawn.shares.to(device)
    apart = (labels[:, None] - labels[None, :]).clamp(min=0) * (
        parents[:, None] == parents[None, :]
    )
    apart *= shares[:, None] * shares[None, :]
    pairs = torch.nn.functional.softplus(scores[None, :] - scores[:, None])
    contrast = (apart * pairs).sum() / apart.sum().clamp(min=1e-6)
    targets = drawn.targets.to(device)
    known = targets >= 0
    logits = hidden[known] @ model.model.embed_tokens.weight.T
    text = torch.nn.functional.cross_entropy(logits, targets[known], reduction="sum")
    value = bce(scores, labels, shares, reduction="sum") / shares.sum()
    return value, contrast, text / known.sum().clamp(min=1)


def log_odds(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Compute the reward model's log-odds from its last hidden states."""
    logits = model.score(hidden)
    return logits[..., 1] - logits[..., 0]


@torch.no_grad()
def siblings_auc(model: Any, batches: Sequence[Batch], device: str) -> float:
    """Count how often a step labelled right outscores a sibling labelled wrong."""
    model.eval()
    won = pairs = 0.0
    for drawn in batches:
        scores, labels = _scored(model, drawn, device), drawn.labels.to(device)
        apart = (drawn.parents[:, None] == drawn.parents[None, :]).to(device)
        apart &= (labels[:, None] > 0.9) & (labels[None, :] < 0.1)
        won += float((apart & (scores[:, None] > scores[None, :])).sum())
        pairs += float(apart.sum())
    model.train()
    return won / max(pairs, 1.0)


@torch.no_grad()
def calibrate(model: Any, batches: Sequence[Batch], device: str) -> None:
    """Stretch and shift the log-odds, in the head's weights, to fit these labels best."""
    model.eval()
    scores = [_scored(model, drawn, device) for drawn in batches]
    labels = [drawn.labels.to(device) for drawn in batches]
    weights = [(drawn.sampled * drawn.shares).to(device) for drawn in batches]
    stretch, shift, missed, accident = affine(
        *(torch.cat(parts).double() for parts in (scores, labels, weights))
    )
    print(
        f"reward model: calibrated log-odds are {stretch:.3f} times the raw ones, {shift:+.3f}; "
        f"of the labels, {missed:.3f} of the right and {accident:.3f} of the wrong are mistaken",
        flush=True,
    )
    model.score.weight *= stretch
    model.score.bias *= stretch
    model.score.bias[1] += shift


def _scored(model: Any, drawn: Batch, device: str) -> torch.Tensor:
    rows, columns = drawn.places.to(device)
    return log_odds(
        model, model.model(input_ids=drawn.ids.to(device)).last_hidden_state[rows, columns]
    )


def affine(
    scores: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> tuple[float, float, float, float]:
    """Fit a stretch and a shift of log-odds to labels that are sometimes wrong.

    Rollouts miss a right prefix that is hard to go on from, and a wrong one may arrive by accident.
    So a label is taken to be right with probability r (1 - missed) + (1 - r) accident, where r is
    the stretched and shifted score; all four numbers are those of greatest weighted likelihood.

    Returns:
        The stretch, the shift, and the rates of misses and of accidents.
    """
    with torch.enable_grad():
        fit = torch.tensor([1.0, 0.0, -3.0, -3.0], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([fit], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            right = torch.sigmoid(fit[0] * scores + fit[1])
            missed, accident = torch.sigmoid(fit[2]), torch.sigmoid(fit[3])
            positive = right * (1 - missed) + (1 - right) * accident
            terms = labels * positive.log() + (1 - labels) * (1 - positive).log()
            loss = -(weights * terms).sum() / weights.sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    rates = torch.sigmoid(fit[2:])
    return float(fit[0]), float(fit[1]), float(rates[0]), float(rates[1])


def _batches(labelled: Sequence[Labelled], seed: int) -> list[list[Labelled]]:
    """Yield batches of whole problems, in random order."""
    rng = random.Random(seed)
    groups = [
        renamed(list(group), rng) for _, group in groupby(labelled, key=lambda item: item.problem)
    ]
    # problems of like length meet, or most of a batch would be padding
    groups.sort(key=lambda group: max(len(item.steps) for item in group) + rng.random())
    batches: list[list[Labelled]] = [[]]
    for group in groups:
        longest = max(len(item.steps) for item in group)
        if batches[-1] and (len(batches[-1]) + len(group)) * (45 + 25 * longest) > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1] += group
    rng.shuffle(batches)
    return batches


def renamed(solutions: Sequence[Labelled], rng: random.Random) -> list[Labelled]:
    """Give the people of one problem each other's names.

    What is right stays right, and no pass repeats a text.
    """
    others: dict[str, str] = dict(zip(NAMES, rng.sample(NAMES, len(NAMES)), strict=True))

    def rename(text: str) -> str:
        return _NAME.sub(lambda match: others[match[0]], text)

    return [
        item._replace(question=rename(item.question), steps=tuple(map(rename, item.steps)))
        for item in solutions
    ]


def collate(reader: SeparatorReader, solutions: Sequence[Labelled]) -> Batch:
    """Lay solutions out as the reward model reads them."""
    texts: list[tuple[list[int], list[int]]] = []
    places: list[tuple[int, int]] = []
    for row, solution in enumerate(solutions):
        ids = list(reader.prompt(solution.question))
        targets = [IGNORED] * (len(ids) - 1)
        for text, label in zip(solution.steps, solution.labels, strict=True):
            step = list(reader.tokens(text))
            ids += step
            # the separator itself is not a token that anybody writes
            targets += [*(step[:-1] if label > 0.5 else [IGNORED] * (len(step) - 1)), IGNORED]
            places.append((row, len(ids) - 1))
        texts.append((ids, [*targets, IGNORED]))
    width = max(len(ids) for ids, _ in texts)
    pad = reader.tokenizer.pad_token_id
    return Batch(
        torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in texts]),
        torch.tensor([targets + [IGNORED] * (width - len(targets)) for _, targets in texts]),
        torch.tensor(places).T,
        torch.tensor([label for solution in solutions for label in solution.labels]),
        torch.tensor([parent for solution in solutions for parent in solution.parents]),
        torch.tensor([share for solution in solutions for share in solution.shares]),
        torch.tensor([number for solution in solutions for number in solution.sampled]),
    )
