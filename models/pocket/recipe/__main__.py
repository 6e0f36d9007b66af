"""Make the pocket reasoner: language model, rollout labels, reward model, held-out figures.

Each stage leaves its result in the output folder or the working folder, where a later stage reads
it. A run that was stopped goes on where it was: stages that have ended are not done again, the
language model goes on from its last checkpoint, the labels from the last problem.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from ...prm_loading import load_prm
from . import card, language_model, reward_model, rollouts
from .sampler import Sampler
from .tokens import make_tokenizer
from .trees import Forest


@dataclass(frozen=True)
class Size:
    """How much of everything: the shipped models', or enough to see every stage work."""

    drilled: int = 6000  # updates of the language model's training
    undrilled: int = 1200
    problems: int = 2400  # with labels
    held_out: int = 96  # problems with labels for the calibration
    samples: int = 12
    rollouts: int = 8  # of each next step, for the training
    held_out_rollouts: int = 48  # the same, for the calibration
    epochs: int = 3
    each: int = 60  # problems of each number of steps, for the card
    card_samples: int = 32  # solutions of each
    limit: int = 256  # tokens a solution: a model that has learnt nothing does not end


SMOKE = Size(
    drilled=24,
    undrilled=8,
    problems=4,
    held_out=2,
    held_out_rollouts=3,
    samples=3,
    rollouts=2,
    epochs=1,
    each=2,
    card_samples=4,
    limit=40,
)


def main() -> None:
    """Run the stages that have not ended yet."""
    parser = argparse.ArgumentParser(
        prog="python -m motes.models.pocket.recipe", description=__doc__
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1], help="for lm/, prm/, README.md"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/pocket"), help="for checkpoints and labels"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--smoke", action="store_true", help="every stage on next to nothing, in a minute"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    making = Making(
        SMOKE if options.smoke else Size(), options.out, options.work, options.device, options.seed
    )
    stages: dict[str, Callable[[], object]] = {
        "language model": making.language_model,
        "labels": partial(making.labels, "train", making.size.problems, making.size.rollouts),
        "labels to calibrate on": partial(
            making.labels, "validation", making.size.held_out, making.size.held_out_rollouts
        ),
        "reward model": making.reward_model,
        "card": making.card,
    }
    times = options.work / "seconds.json"
    ended = json.loads(times.read_text()) if times.exists() else {}
    for name, stage in stages.items():
        if name not in ended:
            began = time.process_time()
            stage()
            ended[name] = round(time.process_time() - began)
            times.write_text(json.dumps(ended))


@dataclass(frozen=True)
class Making:
    """The stages.

    Attributes:
        size: how much of everything.
        out: where lm/, prm/ and README.md go.
        work: where checkpoints and labels go.
        device: where torch computes.
        seed: of everything that is drawn.
    """

    size: Size
    out: Path
    work: Path
    device: str
    seed: int

    def language_model(self) -> None:
        """Train the writer."""
        language_model.train(
            make_tokenizer(),
            self.out / "lm",
            self.work,
            drilled=self.size.drilled,
            undrilled=self.size.undrilled,
            seed=self.seed,
            device=self.device,
        )

    def labels(self, split: str, count: int, tries: int) -> None:
        """Label steps by rollouts, going on behind the problems that are labelled already."""
        file = self.work / f"labels-{split}.jsonl"
        began = time.perf_counter()
        for first in range(self._labelled_problems(file), count, rollouts.PROBLEMS_A_ROUND):
            forest = self.forest(seed=self.seed + 1 + first)
            with file.open("a") as lines:
                last = min(first + rollouts.PROBLEMS_A_ROUND, count)
                for item in rollouts.label(
                    forest,
                    split=split,
                    first=first,
                    last=last,
                    samples=self.size.samples,
                    rollouts=tries,
                    seed=self.seed + 1,  # not a stream that the language model was trained on
                ):
                    lines.write(json.dumps(item._asdict()) + "\n")
            print(
                f"{file.stem}: {last}/{count} problems, {time.perf_counter() - began:.0f} s",
                flush=True,
            )

    def reward_model(self) -> None:
        """Train the judge."""
        reward_model.train(
            self._writer(),
            AutoTokenizer.from_pretrained(self.out / "lm"),
            rollouts.read(self.work / "labels-train.jsonl"),
            rollouts.read(self.work / "labels-validation.jsonl"),
            self.out / "prm",
            self.work,
            epochs=self.size.epochs,
            seed=self.seed,
            device=self.device,
        )

    def card(self) -> None:
        """Measure on the test split, and write the card."""
        prm = load_prm(self.out / "prm", device=self.device)
        size = self.size
        figures = card.figures(
            self.forest, prm, self.work, each=size.each, samples=size.card_samples, seed=self.seed
        )
        ended = json.loads((self.work / "seconds.json").read_text())
        made = ", ".join(f"{name} {seconds / 60:.0f} min" for name, seconds in ended.items())
        parameters = [_size(self._writer()), _size(prm.model)]
        text = card.text(figures, parameters=parameters, made=f"{made} of {_machine(self.device)}")
        (self.out / "README.md").write_text(text)
        print(text)

    def forest(self, *, seed: int, temperature: float = 1.0, weights: Path | None = None) -> Forest:
        """Make what grows trees of the language model's solutions, or of a checkpoint's."""
        folder = weights or self.out / "lm"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        sampler = Sampler(self._writer(folder), end=tokenizer.eos_token_id, limit=self.size.limit)
        return Forest(sampler, tokenizer, seed=seed, temperature=temperature)

    def _writer(self, folder: Path | None = None) -> LlamaForCausalLM:
        folder = folder or self.out / "lm"
        model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return model.to(self.device).eval()

    def _labelled_problems(self, file: Path) -> int:
        """Count the problems that a file of labels holds in whole rounds, and cut off the rest."""
        if not file.exists():
            return 0
        lines = file.read_text().splitlines(keepends=True)
        lines = lines if not lines or lines[-1].endswith("\n") else lines[:-1]
        numbers = [json.loads(line)["problem"] for line in lines]
        whole = max(numbers, default=-1) // rollouts.PROBLEMS_A_ROUND * rollouts.PROBLEMS_A_ROUND
        file.write_text(
            "".join(line for line, number in zip(lines, numbers, strict=True) if number < whole)
        )
        return whole


def _size(model: torch.nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(weight.numel() for weight in model.parameters())


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"processor time on one core of an {platform.machine()} processor"


if __name__ == "__main__":
    main()
