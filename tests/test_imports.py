"""Who imports whom, what `import motes` loads, and that the root of the repository is one package
and not two."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from arrows import Import, Tree
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import motes

ROOT = Path(__file__).parents[1]

# Modules at the root that import nothing of ours, and that all may import.
GROUND = {"aliases", "checks", "files", "frequencies", "log_odds"}

# A file belongs to the deepest room that it stands in. It may import its own room, the ground, and
# these; an import through a face counts for the room that the name lives in. Modules at the root
# ("") may import everything.
BELOW = {"models", "models/identity", "smc"}
DECLARED = BELOW | {"ppl", "ppl/answers", "ppl/posterior", "ppl/decisions"}
SHOWN = DECLARED | {"diagnostics"}
MAY_IMPORT: dict[str, set[str]] = {
    "models": {
        "models/engines",
        "models/hosting",
        "models/language",
        "models/recording",
        "models/reward",
        "models/pocket",
    },
    "models/engines": {"models", "models/hosting", "models/identity", "models/language"}
    | {"models/pocket"},
    "models/hosting": {"models"},
    "models/identity": {"models"},
    "models/language": {"models", "models/hosting", "models/identity"},
    "models/recording": {"models", "models/identity"},
    "models/reward": {"models", "models/engines", "models/hosting", "models/identity"}
    | {"models/pocket"},
    "models/pocket": set(),
    "models/pocket/recipe": {"models", "models/language", "models/reward", "models/pocket"},
    "smc": {"smc/resampling"},
    "smc/resampling": {"smc"},
    "ppl": BELOW | {"ppl/answers", "ppl/posterior"},
    "ppl/answers": {"models"},
    "ppl/posterior": BELOW | {"ppl", "ppl/answers"},
    "ppl/decisions": {"models", "smc", "ppl", "ppl/answers", "ppl/posterior"},
    "ppl/calibration": DECLARED,
    "ppl/programs": DECLARED | {"smc/resampling"},
    "ppl/refinement": {"models", "ppl/answers", "ppl/programs"},
    "samplers": DECLARED
    | {
        "samplers/allocation",
        "samplers/filters",
        "samplers/chains",
        "samplers/search",
        "samplers/stopping",
    },
    "samplers/stopping": DECLARED,
    "samplers/allocation": DECLARED
    | {"samplers", "samplers/filters", "samplers/search", "samplers/stopping"},
    "samplers/filters": DECLARED | {"smc/resampling", "samplers", "samplers/stopping"},
    "samplers/chains": DECLARED
    | {"smc/resampling", "ppl/programs", "samplers", "samplers/filters"},
    "samplers/search": DECLARED
    | {"smc/resampling", "samplers", "samplers/filters", "samplers/stopping"},
    "diagnostics": SHOWN | {"diagnostics/findings"},
    "diagnostics/findings": SHOWN,
    "diagnostics/plots": SHOWN,
    "diagnostics/report": SHOWN | {"diagnostics/findings", "diagnostics/plots"},
    "evaluation": SHOWN
    | {
        "models/pocket",
        "diagnostics/plots",
        "samplers",
        "samplers/allocation",
        "samplers/search",
        "evaluation/data_sets",
        "evaluation/laws",
        "evaluation/report",
    },
    "evaluation/abstention": {"evaluation", "ppl/decisions", "diagnostics/plots"},
    "evaluation/data_sets": {"evaluation", "ppl/decisions"},
    "evaluation/laws": {
        "evaluation",
        "evaluation/abstention",
        "ppl/decisions",
        "diagnostics",
        "diagnostics/plots",
    },
    "evaluation/report": {
        "evaluation",
        "evaluation/laws",
        "ppl/decisions",
        "diagnostics/report",
    },
    "serving": SHOWN | {"diagnostics/report", "samplers"},
    "commands": SHOWN
    | {"models/pocket", "models/reward", "samplers", "serving"}
    | {"evaluation", "evaluation/data_sets", "evaluation/laws"},
}
TOP = [room for room in MAY_IMPORT if "/" not in room]

# What everybody calls on a posterior stays there as one-line methods. These import what they call
# when they are called; nothing else looks up.
VERBS = [
    "diagnostics",
    *(f"ppl/posterior/{name}" for name in ("pooling", "posterior_tree", "reading")),
]
LATE = {("ppl/posterior/posterior", verb) for verb in VERBS}


def room_of(home: str) -> str:
    """The deepest room of the table that holds a file or a name; "" for the root."""
    rooms = [room for room in MAY_IMPORT if f"{home}/".startswith(f"{room}/")]
    return max(rooms, key=len, default="")


def allowed(tree: Tree, line: Import) -> bool:
    """Whether the table has this import."""
    if line.target[0] == "":
        return line.target[1] != "motes"
    source, home = line.file.rpartition(".")[0], tree.home(line.target)
    if source.endswith("__init__"):  # a face shows what lives in its own folders
        return room_of(home).startswith(room_of(source)) and home != ""
    here, there = room_of(source), room_of(home)
    late = any(source == file and f"{there}/".startswith(f"{room}/") for file, room in LATE)
    if here == "":
        return True
    if there == "":
        return home in GROUND
    return late or there == here or there in MAY_IMPORT[here]


def violations(root: Path) -> list[str]:
    """Every import that the table does not allow, as "file:line: import"."""
    tree = Tree(root, TOP)
    return [
        f"{line.file}:{line.line}: {line.written}"
        for line in tree.imports()
        if not allowed(tree, line)
    ]


def plant(root: Path, files: dict[str, str]) -> None:
    """Write a package of these files, with every room of the table as a folder in it."""
    for room in MAY_IMPORT:
        (root / room).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)


def test_every_folder_of_the_package_has_a_row() -> None:
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for room in TOP
        for path in (ROOT / room).rglob("*.py")
    }
    assert folders == set(MAY_IMPORT)


def test_no_import_runs_against_the_table() -> None:
    assert violations(ROOT) == []


def test_the_ground_imports_nothing_of_ours() -> None:
    lines = Tree(ROOT, []).imports()
    assert [line for line in lines if Path(line.file).stem in GROUND and line.target[0]] == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_forbidden_import_is_found_in_every_room(room: str, tmp_path: Path) -> None:
    others = [other for other in MAY_IMPORT if other not in MAY_IMPORT[room] | {room}]
    up = "." * (room.count("/") + 2)
    bad = [f"    from {up}{other.replace('/', '.')}.thing import x" for other in others]
    good = [f"    from {up}{other.replace('/', '.')}.thing import x" for other in MAY_IMPORT[room]]
    text = "\n".join(["import torch", "def late():", *good, *bad, f"    from {up}cli import main"])
    things = {f"{other}/thing.py": "x = 1" for other in MAY_IMPORT}
    plant(tmp_path, {**things, "cli.py": "main = 1", f"{room}/planted.py": text})
    first = 3 + len(good)
    expected = [*bad, f"    from {up}cli import main"]
    assert violations(tmp_path) == [
        f"{room}/planted.py:{first + i}: {line.strip()}" for i, line in enumerate(expected)
    ]


def test_forbidden_imports_of_every_kind_are_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from .samplers import solve",
        "cli.py": "from .models.pocket import problems",
        "models/__init__.py": "",
        "models/__init__.pyi": "from .language.lm import LM as LM",
        "models/language/lm.py": "import torch\nLM = 1",
        "models/cost.py": "from ..smc import ess",  # sideways
        "models/hosting/kv.py": "from .. import LM",  # upwards, through a face
        "models/pocket/deep.py": "from ....ppl.answers import stated",  # upwards
        "ppl/posterior/posterior.py": (
            "from ...diagnostics import report\nfrom ...samplers import run"
        ),
        "ppl/other.py": "from ..diagnostics import report",  # not one of those that may
        "ppl/face.pyi": "from .. import __version__",  # the face itself
        "samplers/filter.py": "from ..ppl import Posterior\nimport motes.smc",
        "samplers/high.py": "from ....elsewhere import x",  # out of the package
    }
    plant(tmp_path, files)
    assert violations(tmp_path) == [
        "models/cost.py:1: from ..smc import ess",
        "models/hosting/kv.py:1: from .. import LM",
        "models/pocket/deep.py:1: from ....ppl.answers import stated",
        "ppl/face.pyi:1: from .. import __version__",
        "ppl/other.py:1: from ..diagnostics import report",
        "ppl/posterior/posterior.py:2: from ...samplers import run",
        "samplers/filter.py:2: import motes.smc",
        "samplers/high.py:1: from ....elsewhere import x",
    ]


def test_no_files_import_one_another_in_a_circle() -> None:
    assert Tree(ROOT, TOP).circles(LATE) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    files = {
        "ppl/__init__.pyi": "from .c import C as C",
        "ppl/a.py": "def late():\n    from .b import B",  # in a function
        # for types, by a face
        "ppl/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import C",
        "ppl/c.py": "from .a import A\nC = 1",
        "ppl/d.py": "from .a import A",
    }
    plant(tmp_path, files)
    assert Tree(tmp_path, ["ppl"]).circles(set()) == [["ppl/a", "ppl/b", "ppl/c"]]


def test_no_stem_stands_twice() -> None:
    stems = Counter(path.stem for path in Tree(ROOT, TOP).files if path.stem[:2] != "__")
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = lambda texts: {canonicalize_name(Requirement(text).name) for text in texts}
    declared = named(project["dependencies"])
    # of a folder that needs an extra
    more = {
        "evaluation": named(project["optional-dependencies"]["data"])
        | named(project["optional-dependencies"]["ray"]),
        "serving": named(project["optional-dependencies"]["serve"]),
        "samplers": named(project["optional-dependencies"]["search"]),
        "models": named(project["optional-dependencies"]["server"]),
    }
    provided_by = packages_distributions()
    undeclared = [
        f"{line.file}:{line.line}: {line.written}"
        for line in Tree(ROOT, TOP).imports()
        if line.target[0] == "" and line.target[1] not in sys.stdlib_module_names
        if (declared | more.get(line.file.partition("/")[0], set())).isdisjoint(
            map(canonicalize_name, provided_by.get(line.target[1], ()))
        )
    ]
    assert undeclared == []


@pytest.mark.parametrize(
    "statement",
    [
        "import motes",
        "import motes.cli",
        "from motes import models, smc, ppl, samplers",
        "import motes.cli; motes.cli.main(['--help'])",
    ],
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
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert set(json.loads(run.stdout.splitlines()[-1])) - sys.stdlib_module_names == {
        "motes",
        "lazy_loader",
    }


def test_the_face_holds_what_it_lists() -> None:
    expected = [
        "diagnostics",
        "evaluate",
        "evaluation",
        "load_lm",
        "load_prm",
        "models",
        "ppl",
        "prompts",
        "samplers",
        "serving",
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
        name
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and Path(file).resolve() == face
    ]
    assert loaded == ["motes"]
