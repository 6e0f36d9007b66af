"""Who imports whom, what `import motes` loads, and that the root of the repository is one package and not two."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import motes

ROOT = Path(__file__).parents[1]

# Modules at the root that everybody may import, and that import nothing of ours.
GROUND = {"files"}

# A folder may import itself, the ground and these; modules at the root ("") may import everything.
MAY_IMPORT = {
    "models": set(),
    "smc": set(),
    "ppl": {"models", "smc"},
    "samplers": {"models", "smc", "ppl"},
    "diagnostics": {"models", "smc", "ppl"},
    "evaluation": {"models", "smc", "ppl", "samplers", "diagnostics"},
    "": {"models", "smc", "ppl", "samplers", "diagnostics", "evaluation", "cli"},
}

# What everybody calls on a posterior stays there as one-line methods; these import what they call, and nothing else looks up.
LATE = {("ppl/posterior/posterior.py", "diagnostics")}


def sources(root: Path) -> Iterator[Path]:
    """Every module and stub of the package."""
    yield from sorted(path for path in root.iterdir() if path.suffix in (".py", ".pyi"))
    for folder in filter(None, MAY_IMPORT):
        yield from sorted(path for path in (root / folder).rglob("*") if path.suffix in (".py", ".pyi"))


def imports(file: Path, root: Path) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """Every import of a file, wherever it stands: line, the imported name's parts from the root down, and how it was written.

    A relative import comes out without the package's name, a module outside the package with a leading "".
    """
    package = file.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, ("", *alias.name.split(".")), ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, ("", *str(node.module).split(".")), ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1
            base = package[: len(package) - up] if up <= len(package) else ("above the root",)
            for alias in node.names:
                yield node.lineno, (*base, *(node.module.split(".") if node.module else ()), alias.name), ast.unparse(node)


def violations(root: Path) -> list[str]:
    """Every import that the table does not allow, as "file:line: import"."""
    found = []
    for file in sources(root):
        path = file.relative_to(root)
        folder = path.parts[0] if len(path.parts) > 1 else ""
        for line, parts, written in imports(file, root):
            absolute = parts[0] == ""
            ours = set() if folder == "" and path.stem in GROUND else MAY_IMPORT[folder] | {folder} | GROUND
            allowed = parts[1] != "motes" if absolute else parts[0] in ours
            if not allowed and (path.as_posix(), parts[0]) not in LATE:
                found.append(f"{path}:{line}: {written}")
    return found


def test_no_import_runs_against_the_table() -> None:
    assert violations(ROOT) == []


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from .samplers import solve",
        "cli.py": "from .models.pocket import problems",
        "files.py": "import os\nfrom .models import Cost",  # the ground stands on nothing
        "models/__init__.py": "import torch\nfrom .cost import Cost\nfrom ..files import replacing",
        "models/cost.py": "from ..smc import ess",  # sideways
        "models/pocket/deep/lm.py": "from ...cost import Cost\nfrom ....ppl.answers import stated",  # upwards
        "smc/driver.py": "def late():\n    from .. import models",  # inside a function
        "ppl/posterior.py": "from .. import models, smc, samplers",  # the last of three
        "ppl/face.pyi": "from .. import __version__",  # the face itself
        "samplers/filter.py": "from ..ppl import Posterior\nfrom ..cli import main\nimport motes.smc",
        "samplers/high.py": "from ...elsewhere import x",  # out of the package
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert violations(tmp_path) == [
        "files.py:2: from .models import Cost",
        "models/cost.py:1: from ..smc import ess",
        "models/pocket/deep/lm.py:2: from ....ppl.answers import stated",
        "smc/driver.py:2: from .. import models",
        "ppl/face.pyi:1: from .. import __version__",
        "ppl/posterior.py:1: from .. import models, smc, samplers",
        "samplers/filter.py:2: from ..cli import main",
        "samplers/filter.py:3: import motes.smc",
        "samplers/high.py:1: from ...elsewhere import x",
    ]


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    provided_by = packages_distributions()
    undeclared = [
        f"{file.relative_to(ROOT)}:{line}: {written}"
        for file in sources(ROOT)
        for line, parts, written in imports(file, ROOT)
        if parts[0] == "" and parts[1] not in sys.stdlib_module_names
        if declared.isdisjoint(map(canonicalize_name, provided_by.get(parts[1], ())))
    ]
    assert undeclared == []


@pytest.mark.parametrize(
    "statement",
    ["import motes", "import motes.cli", "from motes import models, smc, ppl, samplers", "import motes.cli; motes.cli.main(['--help'])"],
)
def test_importing_loads_nothing_heavy(statement: str, tmp_path: Path) -> None:
    program = f"""
import json, sys
before = set(sys.modules)
try:
    {statement}
except SystemExit:
    pass
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert set(json.loads(run.stdout.splitlines()[-1])) - sys.stdlib_module_names == {"motes", "lazy_loader"}


def test_the_face_holds_what_it_lists() -> None:
    expected = [
        "diagnostics",
        "evaluate",
        "evaluation",
        "load_lm",
        "load_prm",
        "models",
        "ppl",
        "samplers",
        "smc",
        "solve",
        "solve_many",
        "summary",
    ]
    assert dir(motes) == expected
    assert all(getattr(motes, name) is not None for name in dir(motes))
    assert motes.__version__ == version("motes")


def test_the_root_is_imported_once() -> None:
    face = Path(str(motes.__file__)).resolve()
    assert face == ROOT / "__init__.py"
    loaded = [
        name for name, module in list(sys.modules.items()) if (file := getattr(module, "__file__", None)) and Path(file).resolve() == face
    ]
    assert loaded == ["motes"]
