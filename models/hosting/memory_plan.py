"""What a language model and a reward model on one device take, and how many particles fit beside.

Known from configurations alone, before anything is loaded. With W the weights of both, C what their
caches may keep between calls (`cache_bytes` of each), F the free memory of the device, and

    R = 3 ((t + 32) k + 16 v)

the bytes of one particle's row in a batch (t tokens of its own, the prompt is held once; k bytes of
keys and values a token; v outputs, with their logits, log-probabilities and a sum in float64; three
copies while rows are forked, and 32 columns allocated ahead), 0.8 (F - W - C) / R particles run in
one batch. The two models never run at the same time, so that R is the larger of theirs. More
particles run in several batches one after the other, and a batch that does not fit is halved.
In fixed shapes (see `motes.models.hosting.static_rows`) a row of the language model takes up to
2 (b k + 16 v) bytes more, b being the power of two that holds t + 32, and 64 at least.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch

from ...aliases import Network
from .kv import SPARE, make_pool
from .memory import COPIES, USED, free_bytes
from .static_rows import padded_bytes
from .tree_cache import OUTPUT_BYTES

GIGABYTE, MEGABYTE, KILOBYTE = 1e9, 1e6, 1e3


class Footprint(NamedTuple):
    """What one model takes.

    Attributes:
        weights: bytes of its weights.
        token: bytes of the keys and values of one token.
        outputs: numbers that are kept of a row's outputs: the vocabulary of a language model.
    """

    weights: int
    token: int
    outputs: int

    def row(self, tokens: int, *, padded: bool = False) -> int:
        """Return the bytes of one row of a batch with so many tokens of its own.

        `padded` where a language model decodes in fixed shapes.
        """
        columns, outputs = tokens + SPARE, self.outputs * OUTPUT_BYTES
        row = COPIES * (columns * self.token + outputs)
        return row + padded_bytes(columns, self.token, outputs) if padded else row


class MemoryPlan(NamedTuple):
    """A device's memory, shared out.

    Attributes:
        free: bytes that are free before anything is loaded.
        models: the models that share it, by what they are.
        cache: bytes that their caches may keep between calls, of all together.
        tokens: of a particle's own, besides the prompt.
        padded: whether the language model decodes in fixed shapes.

    Example:
        >>> lm = Footprint(weights=15_200_000_000, token=57_344, outputs=152_064)
        >>> plan = MemoryPlan(80_000_000_000, {"language model": lm}, 2 << 30, tokens=1000)
        >>> plan.particle, plan.particles
        (184836096, 271)
    """

    free: int
    models: dict[str, Footprint]
    cache: int
    tokens: int
    padded: bool = False

    @property
    def left(self) -> int:
        """Bytes left for batches; below 0 where the models do not fit."""
        return self.free - self.cache - sum(model.weights for model in self.models.values())

    @property
    def particle(self) -> int:
        """Bytes of one particle's row, of the model that takes more."""
        return max(
            # a reward model, whose outputs are not kept, does not decode
            model.row(self.tokens, padded=self.padded and model.outputs > 0)
            for model in self.models.values()
        )

    @property
    def particles(self) -> int:
        """How many particles run in one batch; 0 where not one does."""
        return max(0, int(USED * self.left / self.particle))

    @property
    def text(self) -> str:
        """The plan, a line for each part."""
        lines = [f"{'free':<24}{self.free / GIGABYTE:.2f} GB"]
        for name, model in self.models.items():
            token = model.token / KILOBYTE
            weights = f"{model.weights / GIGABYTE:.2f} GB of weights"
            lines.append(f"{name:<24}{weights}, {token:.1f} kB of keys and values a token")
        lines.append(f"{'caches between calls':<24}{self.cache / GIGABYTE:.2f} GB at most")
        size = f"{self.particle / MEGABYTE:.1f} MB with {self.tokens} tokens of its own"
        lines.append(f"{'a particle':<24}{size}; the prompt is held once")
        lines.append(f"{'particles in one batch':<24}{self.particles}")
        return "\n".join(lines)


def footprint_of(model: Network, *, outputs: bool) -> Footprint:
    """Return what a model takes; one on the device "meta", without weights, will do.

    Args:
        model: the model, in its final type.
        outputs: whether its outputs are kept for a whole batch, as a language model's are.

    Raises:
        ValueError: it cannot be hosted (see `make_pool`).
    """
    weights = [*model.parameters(), *model.buffers()]
    text = model.config.get_text_config()
    with torch.no_grad():
        token = make_pool(model, budget=0).token_bytes
    size = sum(weight.nbytes for weight in weights)
    return Footprint(size, token, text.vocab_size if outputs else 0)


def check_room(folder: Path, dtype: str, device: torch.device) -> None:
    """Raise MemoryError where weights in safetensors are larger than what their device has free.

    Only the files' headers are read. Nothing is said of folders that hold other files.

    Args:
        folder: with a checkpoint.
        dtype: the name of the torch type that they are loaded as, or "auto" for their own.
        device: where they are to go.

    Example:
        >>> from motes.models.pocket import LM_FOLDER
        >>> check_room(LM_FOLDER, "float32", torch.device("cpu"))
    """
    needed = sum(_weight_bytes(file, dtype) for file in folder.glob("*.safetensors"))
    free = free_bytes(device)
    if free is not None and needed > free:
        raise MemoryError(
            f"the weights in {str(folder)!r} need {needed / GIGABYTE:.2f} GB, and "
            f"{free / GIGABYTE:.2f} GB are free on {str(device)!r}: choose a smaller model, a "
            "smaller dtype, or a device_map"
        )


def _weight_bytes(file: Path, dtype: str) -> int:
    """Count what a safetensors file's tensors take, by its header: 8 bytes of length, then JSON.

    0 of a damaged file, of which the loader says what is wrong.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            header = json.loads(opened.read(min(length, file.stat().st_size)))
        except ValueError:
            return 0
    tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
    if dtype == "auto":
        return sum(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in tensors)
    size = getattr(torch, dtype).itemsize
    return size * sum(prod(tensor["shape"]) for tensor in tensors)
