"""Models of which only the configuration is read: as large as what is loaded."""

from __future__ import annotations

import json

import pytest
from transformers import Qwen2Config

from motes.models import load_lm, load_prm
from motes.models.weightless import weightless_model


def sizes(model):
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def test_a_configuration_tells_what_the_loaded_model_has():
    lm, prm = load_lm("pocket", probe=False), load_prm("pocket", probe=False)
    assert sizes(weightless_model("pocket")) == sizes(lm.model)
    assert sizes(weightless_model("pocket", prm=True)) == sizes(prm.model)
    assert sizes(weightless_model("judge:pocket", prm=True)) == sizes(lm.model)
    with pytest.raises(ValueError, match="unknown model 'magic'"):
        weightless_model("magic")


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [("Qwen2ForProcessRewardModel", {"score"}), ("Qwen2ForCausalLM", {"lm_head"})],
)
def test_a_reward_model_has_no_layer_for_next_tokens_but_where_it_is_asked(
    tmp_path, architecture, heads
):
    config = Qwen2Config(
        vocab_size=90,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    (tmp_path / "model.safetensors").touch()  # whose weights nobody could read
    about = config.to_dict() | {"architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(about))
    model = weightless_model(str(tmp_path), prm=True)
    assert {name.split(".")[0] for name in sizes(model)} == {"model"} | heads
    assert all(weight.is_meta for weight in model.parameters())
