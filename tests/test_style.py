"""What a linter does not know of our style: one thought a line, and plain words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ["diagnostics", "evaluation", "models", "ppl", "samplers", "serving", "smc"]
FILES = [
    *sorted(ROOT.glob("*.py")),
    *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))),
]

COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
NOT_PLAIN = re.compile(
    r"\blikewise\b|\bnot a number\b|\bnot-a-number\b|\bheeded\b|\buntold\b", re.IGNORECASE
)

# with which a docstring begins that says what there is, where it should say what a function does
NO_VERBS = {"a", "all", "an", "any", "both", "called", "each", "every", "everything", "for", "how"}
NO_VERBS |= {"if", "in", "it", "its", "no", "none", "of", "one", "own", "some", "that", "the"}
NO_VERBS |= {"these", "this", "those", "two", "what", "when", "where", "whether", "which", "who"}
NO_VERBS |= {"ancestors", "draws", "keys", "log-odds", "log-weights", "normalised", "numbers"}


def is_text_or_list(node: ast.expr) -> bool:
    """Whether an expression is a literal text or list."""
    text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return text or isinstance(node, ast.JoinedStr | ast.List | ast.Tuple)


def is_condition(node: ast.expr) -> bool:
    """Whether an expression is true or false by its form."""
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    called = isinstance(node, ast.Call) and ast.unparse(node.func) == "bool"
    return negated or called or isinstance(node, ast.Compare | ast.BoolOp)


def dense(source: str) -> Iterator[tuple[int, str]]:
    """Every place where a line holds more than one thought, with what is wrong there."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.IfExp):
            parts = (node.test, node.body, node.orelse)
            if any(isinstance(inner, ast.IfExp) for part in parts for inner in ast.walk(part)):
                yield node.lineno, "a conditional expression in another"
        elif isinstance(node, COMPREHENSIONS):
            if any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(node)):
                yield node.lineno, "a walrus in a comprehension"
            if len(node.generators) > 2:
                yield node.lineno, "a comprehension of more than two loops"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for value, factor in ((node.left, node.right), (node.right, node.left)):
                if is_text_or_list(value) and is_condition(factor):
                    yield node.lineno, "a text or a list times a condition"


def not_plain(source: str) -> Iterator[tuple[int, str]]:
    """Every line with a word that has a plainer one."""
    for number, line in enumerate(source.splitlines(), 1):
        for match in NOT_PLAIN.finditer(line):
            yield number, f"the word {match.group()!r}"


def without_a_verb(source: str) -> Iterator[tuple[int, str]]:
    """Every function whose docstring begins with what there is, and not with what it does."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        words = (ast.get_docstring(node) or "").split()
        if words and not any(name.endswith("property") for name in decorators):
            first = words[0].rstrip(",:;.")
            if first.lower() in NO_VERBS or not first[:1].isupper():
                yield node.lineno, f"no verb first: {first!r}"


def complaints(source: str) -> list[tuple[int, str]]:
    """All that is wrong with a source, by line."""
    return sorted([*dense(source), *not_plain(source), *without_a_verb(source)])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_one_thought_a_line_and_plain_words(path: Path) -> None:
    assert complaints(path.read_text(encoding="utf-8")) == []


def test_what_is_dense_or_not_plain_is_found() -> None:
    source = "\n".join(
        [
            "a = 1 if x else (2 if y else 3)",
            "b = [c for d in e if (c := d)]",
            "f = 'text' * (g is not None) + [h] * bool(i)",
            "j = [k for l in m for n in l for k in n]",
            "# o is NaN where p is untold; likewise q",
            "r = '-' * 10 + 's' * t",
            "def u():\n    'Return v.'",
            "def w():\n    'The x of y.'",
            "@property\ndef z():\n    'The a.'",
        ]
    )
    assert complaints(source) == [
        (1, "a conditional expression in another"),
        (2, "a walrus in a comprehension"),
        (3, "a text or a list times a condition"),
        (3, "a text or a list times a condition"),
        (4, "a comprehension of more than two loops"),
        (5, "the word 'likewise'"),
        (5, "the word 'untold'"),
        (9, "no verb first: 'The'"),
    ]


def parameters(source: str) -> list[str]:
    """The annotations of all parameters of all functions."""
    annotations = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            for parameter in (*named, node.args.vararg, node.args.kwarg):
                if parameter is not None and parameter.annotation is not None:
                    annotations.append(ast.unparse(parameter.annotation))
    return annotations


def test_at_most_three_in_a_hundred_parameters_are_of_any_type() -> None:
    annotations = [name for path in FILES for name in parameters(path.read_text(encoding="utf-8"))]
    assert annotations.count("Any") <= 0.03 * len(annotations)


def test_parameters_of_any_type_are_counted() -> None:
    source = "async def f(a, /, b: Any, *c: Any, d: int, **e: Any):\n    def g(h: list[Any]): ..."
    assert sorted(parameters(source)) == ["Any", "Any", "Any", "int", "list[Any]"]
