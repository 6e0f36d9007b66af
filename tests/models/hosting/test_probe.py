"""A model is hosted only where its law depends neither on company nor on history, over every
architecture there is.

What the probe says of a model (from a small twin of it) is checked on the model itself: each
token's log-probability, as the host reports it after forks, padding, ragged ends and dropped
caches, against one plain pass over that trajectory alone.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np
import pytest
import torch
from tiny_models import tiny_config, tiny_model
from transformers import (
    AutoModelForTokenClassification,
    BartConfig,
    BertConfig,
    Gemma3TextConfig,
    Llama4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen2Config,
    RobertaConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from motes.models import StepRule, TorchLM, TorchPRM, Trajectory
from motes.models.hosting import probe
from motes.models.reward.readers import SeparatorReader

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 450,
    "bos_token_id": None,
    "eos_token_id": 3,
    "pad_token_id": 0,
}
BART = {
    "d_model": 32,
    "decoder_layers": 2,
    "encoder_layers": 2,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_ffn_dim": 48,
    "encoder_ffn_dim": 48,
    "max_position_embeddings": 96,
    "vocab_size": 450,
    "is_decoder": True,
    "bos_token_id": None,
    "eos_token_id": 3,
    "pad_token_id": 0,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
LONGROPE = {
    "max_position_embeddings": 160,
    "original_max_position_embeddings": 40,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [2.0, 4.0, 6.0, 8.0],
    },
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 40,
}


def worst_token(lm: TorchLM, *, rounds: int = 5) -> float:
    """The largest error of a token's log-probability, in nats, over a tree with forks, interior
    nodes and two prompts."""
    rng = np.random.default_rng(3)
    nodes = [lm.start("Ana has 7."), lm.start("Ben has 12 apples and 3 pears.")]
    for i in range(rounds):
        parents = [nodes[j] for j in rng.integers(len(nodes), size=5) if nodes[j].open]
        parents += [node for node in nodes[-2:] if node.open]  # some lines grow long
        if parents:
            nodes += lm.extend(parents, jax.random.split(jax.random.key(i), len(parents)))
        if i == 2:
            lm.drop_cache()
    passed: dict[tuple[int, ...], torch.Tensor] = {}  # nodes share what they have in common
    return max(
        abs(node.logprob - plain(lm, node, passed)) / len(node.token_ids) for node in nodes[2:]
    )


def plain(
    lm: TorchLM, trajectory: Trajectory, passed: dict[tuple[int, ...], torch.Tensor]
) -> float:
    """Its log-probability token by token, each by a plain pass over what precedes it alone; of
    several that begin alike, what a prefix led to is known."""
    prompt, total = tuple(lm._tokens_of(trajectory.path[0])), 0.0
    for i, token in enumerate(trajectory.token_ids):
        read = (*prompt, *trajectory.token_ids[:i])
        if read not in passed:
            with torch.no_grad():
                logits = lm.model(input_ids=torch.tensor([read])).logits[0, -1]
            passed[read] = torch.log_softmax(logits.double(), dim=-1)
        total += float(passed[read][token])
    return total


HOSTED = {
    "sliding windows": MistralConfig(
        **SMALL, num_key_value_heads=2, sliding_window=6, max_position_embeddings=96
    ),
    "windows in some layers": Gemma3TextConfig(
        **SMALL,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        max_position_embeddings=96,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "a decoder of the BERT family": BertConfig(
        **SMALL, is_decoder=True, max_position_embeddings=96
    ),
    "positions scaled once and for all": Qwen2Config(
        **SMALL, num_key_value_heads=2, max_position_embeddings=160, rope_parameters=YARN
    ),
    # rescaled by the longest row beyond max_position_embeddings, where no row can be
    "dynamic NTK": LlamaConfig(
        **SMALL, num_key_value_heads=2, max_position_embeddings=40, rope_parameters=DYNAMIC
    ),
}


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("config", HOSTED.values(), ids=HOSTED)
def test_what_is_hosted_has_the_law_of_plain_passes(config: Any, tokenizer: Any) -> None:
    lm = TorchLM(tiny_model(config), tokenizer, step=StepRule(delimiter=None, tokens=9))
    assert lm.context == config.max_position_embeddings
    # parts of some models compute in float32 whatever their weights' type
    assert worst_token(lm) < 1e-4


@pytest.mark.slow
def test_positions_that_the_longest_row_rescales_are_hosted_up_to_the_original_context(
    tokenizer: Any,
) -> None:
    """Beyond it not even plain passes agree with each other on a prefix; below it nothing depends
    on company."""
    config = Phi3Config(**SMALL, num_key_value_heads=2, **LONGROPE)
    model, rule = tiny_model(config), StepRule(delimiter=None, tokens=9)
    lm = TorchLM(model, tokenizer, step=rule)
    assert lm.context == 40
    assert worst_token(lm) < 1e-4
    unchecked = TorchLM(model, tokenizer, step=rule, probe=False)
    assert unchecked.context == 160
    assert worst_token(unchecked, rounds=9) > 0.01  # what the probe is for
    line = lm.start("Ana has 7.")
    while line.open:
        [line] = lm.extend([line], jax.random.split(jax.random.key(line.depth), 1))
    assert line.truncated and len(lm._tokens_of(line.path[0])) + len(line.token_ids) == 40


REFUSED = {
    "positions by column": BartConfig(**BART),
    "positions of its own": RobertaConfig(**SMALL, is_decoder=True, max_position_embeddings=98),
    "an encoder": BertConfig(**SMALL, max_position_embeddings=96),
    "temperatures by column": Llama4TextConfig(
        **SMALL | {"num_hidden_layers": 4},
        num_key_value_heads=2,
        head_dim=8,
        attention_chunk_size=8,
        intermediate_size_mlp=48,
        num_local_experts=2,
        max_position_embeddings=96,
        floor_scale=8,
    ),
}


@pytest.mark.parametrize("config", REFUSED.values(), ids=REFUSED)
def test_a_law_that_depends_on_company_is_refused_in_one_sentence(
    config: Any, tokenizer: Any
) -> None:
    model = tiny_model(config)
    with pytest.raises(
        ValueError,
        match="'odd' cannot be hosted: the probability that a .* depend on what else is in a batch",
    ) as caught:
        TorchLM(model, tokenizer, name="odd")
    assert "\n" not in str(caught.value)
    TorchLM(model, tokenizer, name="odd", probe=False)


def test_reward_models_are_probed_as_well(tokenizer: Any) -> None:
    reader = SeparatorReader(tokenizer, separator="<|step|>")
    labels = {"num_labels": 2}
    hosted = MistralConfig(
        **SMALL, **labels, num_key_value_heads=2, sliding_window=6, max_position_embeddings=96
    )
    TorchPRM(tiny_model(hosted, auto=AutoModelForTokenClassification), reader)
    rescaled = Phi3Config(**SMALL, **labels, num_key_value_heads=2, **LONGROPE)
    assert (
        TorchPRM(tiny_model(rescaled, auto=AutoModelForTokenClassification), reader).context == 40
    )
    odd = RobertaConfig(**SMALL, **labels, is_decoder=True, max_position_embeddings=98)
    # from transformers 5.24 on it takes no cache at all
    with pytest.raises(ValueError, match="('odd'|RobertaForTokenClassification) cannot be hosted"):
        TorchPRM(tiny_model(odd, auto=AutoModelForTokenClassification), reader, name="odd")


def test_the_probe_takes_less_than_a_second_whatever_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model of 8 billion weights, none of which exists: the probe reads its configuration, and
    its small twin."""
    monkeypatch.setattr(probe, "_known", {})
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131072,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    before = time.process_time()
    assert probe.lawful_context(model, name="large", context=131072) == 131072
    assert time.process_time() - before < 1
    assert isinstance(model, PreTrainedModel) and model.device.type == "meta"
    again = time.process_time()
    probe.lawful_context(model, name="large", context=131072)
    assert time.process_time() - again < 0.1  # known already


@pytest.mark.statistics
@pytest.mark.parametrize("architecture", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_every_causal_architecture_is_refused_or_has_the_law_of_plain_passes(
    architecture: str, tokenizer: Any
) -> None:
    """Refusals are one sentence, and plain transformers runs all but a few that are named."""
    try:
        dtype = torch.float32 if architecture in NOT_DOUBLE else torch.float64
        model = tiny_model(tiny_config(architecture, len(tokenizer)), dtype=dtype)
        with torch.no_grad():
            model(input_ids=torch.arange(20)[None])
    except Exception as error:
        assert architecture in NOT_SMALL, f"{architecture}: {error}"
        return
    assert architecture not in NOT_SMALL
    try:
        lm = TorchLM(model, tokenizer, step=StepRule(delimiter=None, tokens=9))
    except ValueError as refused:
        assert "cannot be hosted" in str(refused) and "\n" not in str(refused)
        return
    if lm.context > 30:  # room for the questions
        rounds = 1 if architecture in COUNTS_COLUMNS else 3
        assert worst_token(lm, rounds=rounds) < 1e-3


NOT_DOUBLE = frozenset({"gemma2", "vaultgemma", "inkling2_text", "inkling_text", "xglm"})
"""Architectures of which a part computes in float32, and overflows on masks of float64."""

COUNTS_COLUMNS = frozenset({"mpt"})
"""Architectures that fail, loudly, where padding makes a batch longer than the context."""

NOT_SMALL = {
    "blt": "of bytes, which another model of its own groups",
    "dots3_note": "the sizes of its heads differ by layer, and depend on each other",
    "dots3_note_text": "the sizes of its heads differ by layer, and depend on each other",
    "emu3": "its part for text is no causal model by itself",
    "gemma3n": "its part for images asks for timm; that for text is gemma3n_text",
    "gemma4_assistant": "drafts for another model, whose states it reads",
    "gemma4_unified_assistant": "drafts for another model, whose states it reads",
    "mllama": "its part for text is no causal model by itself",
    "musicgen": "its part for tokens is no causal model by itself",
    "musicgen_melody": "its part for tokens is no causal model by itself",
}
"""Architectures whose small configuration not even plain transformers runs, and why."""
