"""Make the pocket reasoner: language model, rollout labels, reward model, held-out figures.

Each stage leaves its result in the output folder, and a later stage reads it from there, so that a
run can be resumed with ``--from``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from ...loading import load_lm, load_prm
from ...step_rule import StepRule
from . import card, language_model, reward_model, rollouts
from .tokens import train_tokenizer

STAGES = ("language-model", "labels", "reward-model", "card")


@dataclass(frozen=True)
class Size:
    """How much of everything: the shipped models', or enough to see every stage work."""

    lm_cycles: tuple[int, ...] = (6000, 5000)
    solutions: int = 2016
    rollouts: int = 4
    epochs: int = 6
    problems_each: int = 100
    cap: int = 256  # tokens a step: a model that has learnt nothing does not end its steps


SMOKE = Size(lm_cycles=(30, 10), solutions=4, rollouts=1, epochs=1, problems_each=1, cap=8)


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(
        prog="python -m motes.models.pocket.recipe", description=__doc__
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parents[1],
        help="where lm/, prm/ and README.md go",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/pocket"), help="where the rollout labels go"
    )
    parser.add_argument(
        "--from", dest="first", choices=STAGES, default=STAGES[0], help="the stage to begin with"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--smoke", action="store_true", help="every stage on next to nothing, in minutes"
    )
    options = parser.parse_args()
    size = SMOKE if options.smoke else Size()
    lm_folder, prm_folder, labels = (
        options.out / "lm",
        options.out / "prm",
        options.work / "labels.jsonl",
    )
    for folder in (lm_folder, prm_folder, options.work):
        folder.mkdir(parents=True, exist_ok=True)

    for stage in STAGES[STAGES.index(options.first) :]:
        began = time.perf_counter()
        if stage == "language-model":
            language_model.train(
                train_tokenizer(),
                lm_folder,
                cycles=size.lm_cycles,
                seed=options.seed,
                device=options.device,
                compiled=not options.smoke,
            )
        elif stage == "labels":
            lm = load_lm(lm_folder, device=options.device, step=StepRule(cap=size.cap))
            with labels.open("w") as file:
                for done, labelled in enumerate(
                    rollouts.label(
                        lm, solutions=size.solutions, rollouts=size.rollouts, seed=options.seed
                    ),
                    start=1,
                ):
                    file.write(json.dumps(labelled._asdict()) + "\n")
                    if done % 480 == 0:
                        print(
                            (
                                f"labels: {done}/{size.solutions} solutions, "
                                f"{time.perf_counter() - began:.0f} s"
                            ),
                            flush=True,
                        )
        elif stage == "reward-model":
            records = [json.loads(line) for line in labels.read_text().splitlines()]
            labelled = [
                rollouts.Labelled(
                    record["question"], tuple(record["steps"]), tuple(record["shares"])
                )
                for record in records
            ]
            backbone = LlamaForCausalLM.from_pretrained(lm_folder, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(lm_folder)
            reward_model.train(
                backbone,
                tokenizer,
                labelled,
                prm_folder,
                epochs=size.epochs,
                seed=options.seed,
                device=options.device,
            )
        else:
            lm = load_lm(lm_folder, device=options.device, step=StepRule(cap=size.cap))
            prm = load_prm(prm_folder, device=options.device)
            figures = card.evaluate(
                lm, prm, split="test", each=size.problems_each, seed=options.seed
            )
            counts = [
                sum(weight.numel() for weight in host.model.parameters()) for host in (lm, prm)
            ]
            made = (
                json.loads((options.work / "seconds.json").read_text())
                if (options.work / "seconds.json").exists()
                else {}
            )
            made_of = ", ".join(f"{name} {seconds / 60:.0f} min" for name, seconds in made.items())
            text = card.card(
                figures,
                lm_parameters=counts[0],
                prm_parameters=counts[1],
                made=f"{made_of} on {_machine(options.device)}",
            )
            (options.out / "README.md").write_text(text)
            print(text)
        _note_seconds(options.work / "seconds.json", stage, time.perf_counter() - began)


def _note_seconds(file: Path, stage: str, seconds: float) -> None:
    noted = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**noted, stage: round(seconds)}))


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return (
        f"{torch.get_num_threads()} cores of an {platform.machine()} processor, other work beside "
        "it"
    )


if __name__ == "__main__":
    main()
