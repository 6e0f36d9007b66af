"""Trained heads on causal backbones, as checkpoints of reward models hold them.

transformers has one class for a head on every token, a single linear layer called ``score``.
Published reward models have others: two layers, a value head, a layer by another name. Which one a
checkpoint has is read off the names and shapes of its tensors, so that no code of a checkpoint is
ever run; and every weight of it must find its place (see `motes.models.hosting.pretrained`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...aliases import Config
from ..hosting.pretrained import Place, one_sentence

# an index and one whole file, in each format
FORMATS = (
    ("model.safetensors.index.json", "model.safetensors"),
    ("pytorch_model.bin.index.json", "pytorch_model.bin"),
)
_HEAD = re.compile(r"^(score|v_head\.summary|score_head)\.(.+)$")
TWO_LAYERS = {"0.weight", "0.bias", "2.weight", "2.bias"}


class Head(NamedTuple):
    """The trained head of a checkpoint.

    Attributes:
        prefix: what the names of its tensors begin with; "" where there is none.
        shapes: of its tensors, by the rest of their names.
    """

    prefix: str = ""
    shapes: dict[str, tuple[int, ...]] = {}  # noqa: RUF012 (never changed)

    @property
    def outputs(self) -> int:
        """How many outputs it has for a token; 0 where there is no head."""
        last = self.shapes.get("2.weight") or self.shapes.get("weight")
        return last[0] if last else 0

    @property
    def key_mapping(self) -> dict[str, str] | None:
        """How its tensors are called in transformers' class."""
        if self.prefix in ("", "score"):
            return None
        return {f"^{re.escape(self.prefix)}": "score"}

    def module(self, hidden: int) -> torch.nn.Module:
        """Return the head itself, its weights not yet loaded.

        Args:
            hidden: the size of the backbone's hidden states.

        Raises:
            ValueError: it has tensors of no layout that is known.
        """
        if set(self.shapes) == TWO_LAYERS:
            inner = self.shapes["0.weight"][0]
            return torch.nn.Sequential(
                _Wide(hidden, inner), torch.nn.ReLU(), _Wide(inner, self.outputs)
            )
        if set(self.shapes) <= {"weight", "bias"} and "weight" in self.shapes:
            return _Wide(hidden, self.outputs, bias="bias" in self.shapes)
        if not self.shapes:
            raise ValueError("its weights hold no head that is known")
        names = ", ".join(f"{self.prefix}.{name}" for name in sorted(self.shapes))
        raise ValueError(f"a head of the tensors {names} is of no layout that is known")


class _Wide(torch.nn.Linear):
    """A linear layer in float32: in bfloat16 close logits would tie."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        wide = torch.promote_types(input.dtype, torch.float32)
        bias = None if self.bias is None else self.bias.to(wide)
        return torch.nn.functional.linear(input.to(wide), self.weight.to(wide), bias)


def read_head(place: Place) -> Head:
    """Return the head that a checkpoint's weights hold, from their names and shapes alone.

    Where tensors of two heads are there, or none, or the weights are a GGUF file, that is none.
    """
    prefixes: dict[str, dict[str, tuple[int, ...]]] = {}
    if place.gguf is not None:
        return Head()
    with one_sentence(place):
        for path in _files(place):
            for name, shape in _shapes(path):
                match = _HEAD.match(name)
                if match is not None:
                    prefixes.setdefault(match[1], {})[match[2]] = shape
    if len(prefixes) != 1:
        return Head()
    [(prefix, shapes)] = prefixes.items()
    return Head(prefix, shapes)


def loaded_head(place: Place, head: Head, hidden: int) -> torch.nn.Module:
    """Return the head itself with its weights, on the CPU and in float32.

    For hidden states that come from elsewhere: of the same layers as in `TorchPRM`.

    Args:
        place: of the checkpoint.
        head: as `read_head` found it there.
        hidden: the size of the backbone's hidden states.

    Raises:
        ValueError: it is of no layout that is known, or of another size.
    """
    with one_sentence(place):
        module = head.module(hidden)
        weights: dict[str, torch.Tensor] = {}
        for path in _files(place):
            weights |= _weights(path, f"{head.prefix}.")
        module.load_state_dict(weights)
    return module.float().eval()


def with_head(found: Any, head: Head) -> Any:
    """Return transformers' class for token classification, with another head.

    Args:
        found: the class.
        head: of the checkpoint that it will be loaded from.
    """

    def made(self: Any, config: Config) -> None:
        found.__init__(self, config)
        self.score = head.module(config.hidden_size)
        self.post_init()

    return type(found.__name__, (found,), {"__init__": made, "__module__": found.__module__})


def _files(place: Place) -> Iterator[Path]:
    """Yield the files in which a checkpoint may keep its head."""
    for index_name, whole in FORMATS:
        index = _file(place, index_name)
        names = {whole} if index is None else _homes(index)
        for path in [_file(place, name) for name in sorted(names)]:
            if path is not None:
                yield path


def _homes(index: Path) -> set[str]:
    """Return the files in which a checkpoint of several files keeps its head."""
    homes = json.loads(index.read_text())["weight_map"]
    return {file for name, file in homes.items() if _HEAD.match(name)}


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and shapes of tensors that may belong to a head."""
    if path.suffix == ".bin":
        for name, tensor in torch.load(path, map_location="meta", weights_only=True).items():
            yield name, tuple(tensor.shape)
        return
    from safetensors import safe_open

    with safe_open(path, "pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
            if _HEAD.match(name):
                yield name, tuple(tensors.get_slice(name).get_shape())


def _weights(path: Path, begin: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin so, by the rest of their names."""
    if path.suffix == ".bin":
        held = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: tensor for name, tensor in held.items() if name.startswith(begin)}
    else:
        from safetensors import safe_open

        with safe_open(path, "pt") as tensors:
            names = [name for name in tensors.keys() if name.startswith(begin)]  # noqa: SIM118
            found = {name: tensors.get_tensor(name) for name in names}
    return {name.removeprefix(begin): tensor for name, tensor in found.items()}


def is_of_head(name: str) -> bool:
    """Return whether a checkpoint's tensor is of a head, by its name.

    Example:
        >>> is_of_head("v_head.summary.weight"), is_of_head("model.norm.weight")
        (True, False)
    """
    return _HEAD.match(name) is not None


def _file(place: Place, name: str) -> Path | None:
    """Return where a checkpoint's file is, downloaded if it has to be; None where there is none."""
    folder = Path(place.path)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from transformers.utils import cached_file

    try:
        found = cached_file(place.path, name)
    except OSError:
        return None
    return None if found is None else Path(found)
