"""The pocket's language model as a GGUF file, which llama.cpp reads.

Written by hand from its weights, in float32. llama.cpp turns neighbouring numbers of a head where
transformers turns halves of it, so that the rows of queries and keys are put in that order. Its
tokenizer cuts words as GPT-2 does, where the pocket has whole phrases; both make the same tokens of
the sentence by which `motes` compares tokenizers, and texts are never sent besides.
"""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

from motes.models.pocket import LM_FOLDER

BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_pocket(path: Path) -> None:
    """Write the file."""
    config = json.loads((LM_FOLDER / "config.json").read_text())
    heads = config["num_attention_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokens(writer)
    for file in LM_FOLDER.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            if name != "lm_head.weight":  # tied to the embedding
                writer.add_tensor(*_named(name, tensor.astype(np.float32), heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokens(writer: gguf.GGUFWriter) -> None:
    tokenizer = json.loads((LM_FOLDER / "tokenizer.json").read_text())
    model = tokenizer["model"]
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    tokens = sorted(model["vocab"] | special, key=(model["vocab"] | special).__getitem__)
    kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
    # a word that is a token is put together from its left, and the space comes last; parts of
    # words are none, and become bytes again
    words = [token.removeprefix("\u0120") for token in tokens if token not in special]
    pairs = [f"{word[:n]} {word[n]}" for word in words for n in range(1, len(word))]
    pairs += [f"\u0120 {word}" for word in words if f"\u0120{word}" in model["vocab"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds[token in special] for token in tokens])
    writer.add_token_merges(list(dict.fromkeys(pairs)))
    writer.add_eos_token_id(special["<|end|>"])
    writer.add_add_bos_token(False)


def _named(name: str, tensor: np.ndarray, heads: int) -> tuple[str, np.ndarray]:
    outside = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm"}
    if name in outside:
        return f"{outside[name]}.weight", tensor
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    if part in ("self_attn.q_proj", "self_attn.k_proj"):
        halves = tensor.reshape(heads, 2, -1, tensor.shape[1])
        tensor = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(tensor.shape)
    return f"blk.{layer}.{BLOCK[part]}.weight", tensor
