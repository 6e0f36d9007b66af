"""Whoever reads a posterior asks its provenance, and never for the name of a sampler, a setting or
a rate."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from motes.samplers import SAMPLERS

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for room in ("diagnostics", "ppl/posterior", "evaluation")
    for path in sorted((ROOT / room).rglob("*.py"))
]
ASKED = ("settings", "rates")


def is_asked(node: ast.expr) -> bool:
    """Whether an expression is somebody's settings or rates."""
    return isinstance(node, ast.Attribute) and node.attr in ASKED


def questions(source: str) -> Iterator[tuple[int, str]]:
    """Every place that asks for a name."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value in SAMPLERS
        ):
            yield node.lineno, f"the sampler {node.value!r}"
        elif isinstance(node, ast.Subscript) and is_asked(node.value):
            yield node.lineno, ast.unparse(node)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
        ):
            if is_asked(node.func.value):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Compare) and any(map(is_asked, node.comparators)):
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nobody_asks_for_names(path: Path) -> None:
    assert list(questions(path.read_text(encoding="utf-8"))) == []


def test_whoever_asks_is_found() -> None:
    source = "\n".join(
        [
            "a = posterior.sampler == 'particle_gibbs'",
            "b = posterior.settings['prm']",
            "c = run.settings.get('budget')",
            "d = 'swap' in posterior.rates",
            "e = {'importance_sampling': 1}",
            "f = 'use sampler=importance_sampling'",
            "g = dict(posterior.settings)",
        ]
    )
    assert [line for line, _ in sorted(questions(source))] == [1, 2, 3, 4, 5]
