"""What a model, a function or a model's files are, in a few characters that can be compared."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from ..pairing import use_of
from ..protocols import underlying
from .code_references import followed_from
from .digests import PLAIN, Digests, described, own_fingerprint

DIGITS = 12  # hexadecimal, of a mark
SMALL = 1 << 20  # bytes up to which a file is read whole
BLOCK, BLOCKS = 1 << 12, 64  # bytes of a block, and how many are read of a large file


class Mark(NamedTuple):
    """What tells a value from others.

    Attributes:
        text: its name and a digest; of a plain value the value itself, of None nothing.
        doubts: what could not be known of it, in words; such parts are vouched for by its name.
        name: its attribute `name`, where it has one.
    """

    text: Any
    doubts: tuple[str, ...] = ()
    name: str | None = None


def identify(value: Any) -> Mark:
    """Return what a model, function, setting or any other value is, from what it does.

    Two functions have one mark if their code, their defaults, what they have bound, and all that
    their code calls and reads are equal; two hosted models, if their weights, tokenizers and
    settings are. A value with an attribute or a method `fingerprint`, a text, is what that says.

    Args:
        value: anything. A list is a list of marks.

    Raises:
        TypeError: a `fingerprint` is not a text.

    Example:
        >>> limit = 3
        >>> first = identify(lambda x: x < limit).text
        >>> first == identify(lambda x: x < limit).text
        True
        >>> first == identify(lambda x: x <= limit).text
        False
    """
    value = underlying(value)
    if type(value) in PLAIN:
        return Mark(value)
    if hasattr(type(value), "recorded_mark"):  # it answers what the model of this mark answered
        return Mark(value.recorded_mark, (), value.name)
    if isinstance(value, list):
        marks = list(map(identify, value))
        doubts = tuple(doubt for mark in marks for doubt in mark.doubts)
        return Mark([mark.text for mark in marks], doubts)
    name = getattr(value, "name", None)
    name = name if isinstance(name, str) and name else None
    label = name or described(value)
    own = own_fingerprint(value)
    if own is not None:
        return Mark(f"{label} {own}", (), name)
    digests = Digests(followed_from(value))
    try:
        digest = digests.of(value).hex()[:DIGITS]
    except RecursionError:
        return Mark(label, (f"{described(value)}, nested too deeply",), name)
    return Mark(f"{label} {digest}", tuple(digests.doubts), name)


def digest(value: object) -> bytes:
    """Return the digest of all that a value does, 32 bytes, whatever could not be known of it.

    Example:
        >>> len(digest(lambda x: x + 1)), digest(lambda x: x + 1) == digest(lambda x: x + 2)
        (32, False)
    """
    return Digests(followed_from(value)).of(value)


def source_mark(source: str | Path, shipped: Path) -> Mark | None:
    """Return the mark of a model that is given by a name, from its files, without loading it.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id; or one behind "judge:" or
            "votes:".
        shipped: the folder that "pocket" stands for.

    Returns:
        None for a Hugging Face id that has not been downloaded.
    """
    use = use_of(str(source))
    if use:
        judge = source_mark(str(source).removeprefix(use), shipped)
        return None if judge is None else Mark(f"{use}{judge.text}", (), str(source))
    place = shipped if str(source) == "pocket" else Path(source)
    if place.is_file():
        return Mark(f"{source} {_digest_of([place])}", (), str(source))
    if not place.is_dir():
        return _downloaded(str(source))
    files = sorted(path for path in place.iterdir() if path.is_file())
    return Mark(f"{source} {_digest_of(files)}", (), str(source))


def _downloaded(name: str) -> Mark | None:
    """Return the mark of a downloaded model: its commit, which names its files."""
    from transformers.utils import cached_file

    try:
        found = cached_file(name, "config.json", local_files_only=True)
    except OSError:  # it is not there, or there can be no such model
        return None
    if found is None:
        return None
    return Mark(f"{name} {Path(found).parent.name[:DIGITS]}", (), name)


def _digest_of(files: list[Path]) -> str:
    """Return the digest of files: names, sizes, all of small ones, and blocks of large ones."""
    total = sha256()
    for path in files:
        size = path.stat().st_size
        total.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= SMALL:
                total.update(file.read())
                continue
            for number in range(BLOCKS):
                file.seek((size - BLOCK) * number // (BLOCKS - 1))
                total.update(file.read(BLOCK))
    return total.hexdigest()[:DIGITS]
