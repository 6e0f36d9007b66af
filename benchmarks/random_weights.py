"""Write a checkpoint of a published size with random weights: for speed, which does not know them.

The configuration is that of a published model (see `claims/real_setups.py`), the weights are drawn
on the device, in bfloat16, and the tokenizer is the pocket's, whose ids all are in the vocabulary.

Run: python benchmarks/random_weights.py Qwen/Qwen2.5-Math-1.5B-Instruct FOLDER [--device cuda]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from claims.real_setups import SIZES
from transformers import AutoModelForCausalLM, AutoTokenizer

from motes.models.pocket import LM_FOLDER


def write(name: str, folder: Path, device: str, **smaller: Any) -> None:
    """Write the checkpoint of a name into a folder.

    Args:
        name: a key of `SIZES`.
        folder: where it goes.
        device: where the weights are drawn.
        smaller: settings of the configuration that are not the published ones.
    """
    make, sizes = SIZES[name]
    tokenizer = AutoTokenizer.from_pretrained(LM_FOLDER)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    settings = {key: value for key, value in sizes.items() if key != "architectures"}
    config = make(**{**settings, **ends, **smaller})
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description="a checkpoint of random weights")
    parser.add_argument("name", choices=SIZES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    write(given.name, given.folder, given.device)


if __name__ == "__main__":
    main()
