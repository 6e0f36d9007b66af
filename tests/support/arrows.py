"""Who imports whom: every import of a package's files, followed through faces to where a name
lives."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import networkx as nx


class Import(NamedTuple):
    """An import of one name, wherever it stands in a file: at the top, in a function, for types
    alone.

    Attributes:
        file: that imports, from the root down, such as "ppl/targets.py".
        line: where.
        target: the parts of the dotted name that is imported, from the root down; a name from
            outside of the package begins with "".
        written: the statement.
    """

    file: str
    line: int
    target: tuple[str, ...]
    written: str


class Tree:
    """The files of a package whose root folder is the package itself.

    Args:
        root: the root folder.
        folders: its top folders that belong to the package.
    """

    def __init__(self, root: Path, folders: list[str]) -> None:
        self.root = root
        self.files = sorted(path for path in root.iterdir() if path.suffix in (".py", ".pyi"))
        for folder in folders:
            inside = sorted((root / folder).rglob("*"))
            self.files += [path for path in inside if path.suffix in (".py", ".pyi")]
        self.modules = {self._module(path) for path in self.files if path.stem != "__init__"}
        self.faces = {
            self._module(path): path for path in self.files if path.name == "__init__.pyi"
        }

    def imports(self) -> Iterator[Import]:
        """Every import of every file."""
        for path in self.files:
            yield from self._imports_of(path)

    def home(self, target: tuple[str, ...]) -> str:
        """The file without suffix that an imported name lives in, faces followed; or a folder."""
        if target in self.modules:
            return "/".join(target)
        package, name = target[:-1], target[-1]
        if package in self.modules:
            return "/".join(package)
        if package in self.faces:
            for line in self._imports_of(self.faces[package]):
                if line.target[-1] == name and line.target != target:
                    return self.home(line.target)
        return "/".join(target if (self.root / Path(*target)).is_dir() else package)

    def circles(self, but: set[tuple[str, str]]) -> list[list[str]]:
        """Sets of files that import one another in a circle; `but` are arrows (file, room) left
        out."""
        graph = nx.DiGraph()
        for line in self.imports():
            if Path(line.file).stem == "__init__" or line.target[0] == "":
                continue
            source, home = line.file.rpartition(".")[0], self.home(line.target)
            if source != home and not any(
                source == file and (home + "/").startswith(f"{room}/") for file, room in but
            ):
                graph.add_edge(source, home)
        found = nx.strongly_connected_components(graph)
        return sorted(sorted(files) for files in found if len(files) > 1)

    def _module(self, path: Path) -> tuple[str, ...]:
        parts = path.relative_to(self.root).with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    def _imports_of(self, path: Path) -> Iterator[Import]:
        package = path.relative_to(self.root).parent.parts
        file = path.relative_to(self.root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    target = ("", *alias.name.split("."))
                    yield Import(file, node.lineno, target, ast.unparse(node))
            elif isinstance(node, ast.ImportFrom):
                module = node.module.split(".") if node.module else []
                up = node.level - 1
                base = package[: len(package) - up] if up <= len(package) else ("above the root",)
                for alias in node.names:
                    inside = (*base, *module, alias.name)
                    target = inside if node.level else ("", *module)
                    yield Import(file, node.lineno, target, ast.unparse(node))
