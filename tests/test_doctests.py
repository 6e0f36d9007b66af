"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    file
    for folder in ("diagnostics", "evaluation", "models", "ppl", "samplers", "smc")
    for file in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize(
    "file",
    [file for file in (*ROOT.glob("*.py"), *FILES) if ">>>" in file.read_text()],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_examples(file: Path) -> None:
    parts = file.relative_to(ROOT).with_suffix("").parts
    module = import_module(".".join(("motes", *(part for part in parts if part != "__init__"))))
    # as a user's script would run them: functions that an example makes are not the package's own
    failed, tried = doctest.testmod(module, extraglobs={"__name__": "__main__"})
    assert tried > 0
    assert failed == 0
