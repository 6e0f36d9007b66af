"""From what a user calls a model to where its files are."""

from __future__ import annotations

from pathlib import Path

from .pretrained import Place

SHIPPED = "pocket"
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


def located(source: str | Path, *, shipped: Path) -> Place:
    """Return where to load from, and which GGUF file in it if that is what holds the weights.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner.
        shipped: the folder that "pocket" stands for.

    Raises:
        ValueError: it can be no model's name.
        FileNotFoundError: the folder or file is missing, or holds no weights.
    """
    name = str(source)
    path = shipped if name == SHIPPED else Path(source)
    if path.is_file() and path.suffix == ".gguf":
        return Place(name, str(path.parent), path.name)
    if path.is_file():
        raise ValueError(
            f"{name!r} is a file; known are {SHIPPED!r}, a folder, a GGUF file, or a Hugging Face "
            "id 'owner/name'"
        )
    if path.is_dir():
        return Place(name, str(path), _gguf_of(path))
    if path.is_absolute() or path.suffix == ".gguf" or name.startswith((".", "~")):
        raise FileNotFoundError(f"there is no model at {str(path)!r}")
    if name.count("/") != 1:
        raise ValueError(
            f"unknown model {name!r}; known are {SHIPPED!r}, a folder, a GGUF file, or a Hugging "
            "Face id 'owner/name'"
        )
    return Place(name, name)


def _gguf_of(folder: Path) -> str | None:
    """Return the name of the GGUF file that holds a folder's weights.

    None where they have another format.
    """
    files = [file for pattern in WEIGHTS for file in sorted(folder.glob(pattern))]
    if not files:
        raise FileNotFoundError(
            f"the folder {str(folder)!r} holds no weights ({', '.join(WEIGHTS)})"
        )
    if files[0].suffix != ".gguf":
        return None
    if len(files) > 1:
        raise ValueError(
            f"the folder {str(folder)!r} holds {len(files)} GGUF files: choose one, such as "
            f"{str(files[0])!r}"
        )
    return files[0].name
