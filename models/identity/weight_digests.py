"""Digests of tensors, of hosted models and of their tokenizers, without reading all of them.

Of a large tensor some entries are read, evenly spaced over all of it: other weights, whether
trained further or of another seed, differ in nearly all entries. A change of single entries in a
large tensor can be missed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ...aliases import Tokenizer
from .code_references import is_library

if TYPE_CHECKING:
    import torch

SAMPLED = 256  # entries that are read of a large tensor
WHOLE = 4096  # entries up to which all are read
VOLATILE = {"_name_or_path", "transformers_version", "_attn_implementation_autoset"}
Digest = Callable[[Any], bytes]

_TOKENIZERS: WeakKeyDictionary[Any, tuple[Any, bytes]] = WeakKeyDictionary()
_WEIGHTS: WeakKeyDictionary[Any, tuple[Any, bytes]] = WeakKeyDictionary()


def hosted_parts(value: Any, digest: Digest) -> Iterable[Any] | None:
    """Return the kind and parts of a tensor, a model's weights, or a tokenizer.

    None for anything else.
    """
    jax, torch = sys.modules.get("jax"), sys.modules.get("torch")
    if jax is not None and isinstance(value, jax.Array):
        keys = jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
        return "array", digest(np.asarray(jax.random.key_data(value) if keys else value))
    if torch is not None and isinstance(value, torch.Tensor):
        return "tensor", *_tensor(value)
    if torch is not None and isinstance(value, torch.nn.Module):
        return "weights", *_module(value, digest)
    if all(hasattr(value, name) for name in ("get_vocab", "chat_template", "special_tokens_map")):
        return "tokenizer", *_tokenizer(value, digest)
    return None


def _tensor(tensor: torch.Tensor) -> tuple[bytes, bytes]:
    """Return a tensor's type and shape, and some of its entries."""
    import torch

    flat = tensor.detach().reshape(-1)
    if len(flat) > WHOLE:
        places = torch.linspace(0, len(flat) - 1, SAMPLED, dtype=torch.float64)
        flat = flat[places.round().long().to(flat.device)]
    if flat.is_complex():
        flat = torch.view_as_real(flat)
    wide = flat.double() if flat.is_floating_point() else flat.long()  # numpy has no bfloat16
    return f"{tensor.dtype} {tuple(tensor.shape)}".encode(), wide.cpu().numpy().tobytes()


def _module(module: torch.nn.Module, digest: Digest) -> list[bytes]:
    """Return the class, configuration and weights of a network, and users' classes in it."""
    config = getattr(module, "config", None)
    settings = {} if config is None or not hasattr(config, "to_dict") else config.to_dict()
    settings = {name: value for name, value in settings.items() if name not in VOLATILE}
    parts = [digest(type(module)), json.dumps(settings, sort_keys=True, default=str).encode()]
    parts.append(_weights(module))
    for within in module.modules():
        if not is_library(type(within).__module__, frozenset()):
            own = {name: value for name, value in vars(within).items() if not name.startswith("_")}
            parts += [digest(type(within)), digest(own)]
    return parts


def _weights(module: torch.nn.Module) -> bytes:
    """Return the digest of all weights; remembered for as long as none of them is written to."""
    tensors = module.state_dict(keep_vars=True)
    version = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors.values())
    known, found = _WEIGHTS.get(module, (None, b""))
    if known != version:
        total = sha256()
        for name, tensor in tensors.items():
            for part in (name.encode(), *_tensor(tensor)):
                total.update(part)
        found = total.digest()
        _WEIGHTS[module] = version, found
    return found


def _tokenizer(tokenizer: Tokenizer, digest: Digest) -> list[bytes]:
    """Return a tokenizer's class, vocabulary and rules, special tokens, and chat template."""
    flags = {
        name: getattr(tokenizer, name, None)
        for name in (
            "add_bos_token",
            "add_eos_token",
            "clean_up_tokenization_spaces",
            "padding_side",
        )
    }
    rules = _rules(tokenizer)
    return [digest(type(tokenizer)), rules, *map(digest, (tokenizer.chat_template, flags))]


def _rules(tokenizer: Tokenizer) -> bytes:
    """Return the digest of a tokenizer's vocabulary and rules; remembered, since they are long."""
    version = len(tokenizer), repr(sorted(tokenizer.special_tokens_map.items(), key=str))
    known, found = _TOKENIZERS.get(tokenizer, (None, b""))
    if known != version:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            rules = json.loads(backend.to_str())
            rules["truncation"] = rules["padding"] = None  # which every call sets anew
        else:
            rules = sorted(tokenizer.get_vocab().items())
        found = sha256(json.dumps([rules, version]).encode()).digest()
        _TOKENIZERS[tokenizer] = version, found
    return found
