"""Every dotted name of ours that a docstring, the README, the docs or a notebook mentions is there,
as written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

import motes

ROOT = Path(__file__).parents[1]
FACES = ("models", "ppl", "samplers", "smc", "diagnostics", "evaluation", "serving")
NAMED = re.compile(
    r"(?<![\w./\\-])(motes(?:\.[A-Za-z_]\w*)+|(?:"
    + "|".join(FACES)
    + r")(?:\.[A-Za-z_]\w*)+)(?![\w/])"
)
# of files
ENDINGS = {"py", "pyi", "md", "toml", "nc", "html", "git", "ipynb", "json", "jsonl", "zarr"}


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """The docstrings, other strings and comments of a module, each with its line."""
    text = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for number, line in enumerate(text.split("\n"), start=1):
        _, hash_, comment = line.partition("  # ")
        if hash_:
            yield number, comment


def texts() -> Iterator[tuple[str, str]]:
    """Every text that is looked at, with its place."""
    for folder in ("", *FACES, "commands"):
        files = ROOT.glob("*.py") if folder == "" else (ROOT / folder).rglob("*.py")
        for file in sorted(files):
            for line, text in docstrings(file):
                yield f"{file.relative_to(ROOT)}:{line}", text
    for file in [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
        *(ROOT / "models").rglob("*.md"),
    ]:
        yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")
    for file in sorted((ROOT / "benchmarks").glob("*.py")):
        yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield (
            str(file.relative_to(ROOT)),
            "\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells),
        )


def mentioned(text: str) -> set[str]:
    """The dotted names of ours in a text, as whole names of `motes`.

    Files are left out, and what belongs to a variable of the text that is called like a folder of
    ours.
    """
    names = {match[1] for match in NAMED.finditer(text)}
    variables = set(re.findall(r"^\s*(?:>>> )?(\w+) = ", text, flags=re.MULTILINE))
    own = {
        name
        for name in names
        if name.rpartition(".")[2] not in ENDINGS and name.partition(".")[0] not in variables
    }
    return {name if name.startswith("motes.") else f"motes.{name}" for name in own}


def is_there(name: str) -> bool:
    """Whether a name can be had by `import motes` and dots, or by importing the module that it
    names."""
    found: object = motes
    for depth, part in enumerate(name.split(".")[1:], start=2):
        inner = getattr(found, part, None)
        if inner is None and not hasattr(found, part):
            if getattr(found, "__annotations__", {}).get(part) is not None or part in getattr(
                found, "__dataclass_fields__", {}
            ):
                return True
            try:
                inner = import_module(".".join(name.split(".")[:depth]))
            except ImportError:
                return False
        found = inner
    return True


MENTIONS = sorted({(name, place) for place, text in texts() for name in mentioned(text)})


def test_there_is_something_to_look_at() -> None:
    assert len({name for name, _ in MENTIONS}) > 100


@pytest.mark.parametrize("name", sorted({name for name, _ in MENTIONS}))
def test_every_name_that_is_mentioned_is_there(name: str) -> None:
    assert is_there(name), [place for known, place in MENTIONS if known == name]


def test_names_are_found_where_they_are_written() -> None:
    text = (
        "See `motes.ppl.nothing`, ppl.start (models/language) in models.py, `x.models.y` "
        "and samplers.ParticleFilter(3)."
    )
    assert mentioned(text) == {
        "motes.ppl.nothing",
        "motes.ppl.start",
        "motes.samplers.ParticleFilter",
    }
    assert not is_there("motes.ppl.nothing") and not is_there("motes.nowhere.at.all")
    assert is_there("motes.ppl.start") and is_there("motes.smc.weights.ess")
