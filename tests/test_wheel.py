"""The wheel: what is in it, and that it works where nothing else of the repository is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from shutil import copy

import pytest

import motes

ROOT = Path(__file__).parents[1]
# folders that do not ship; nor do those that begin with a dot
STAYS_BEHIND = ("tests", "notebooks", "benchmarks", "docs")
SHIPS_FROM_THE_ROOT = {
    "__init__.py",
    "__init__.pyi",
    "__main__.py",
    "aliases.py",
    "checks.py",
    "cli.py",
    "files.py",
    "frequencies.py",
    "log_odds.py",
    "py.typed",
}
LARGEST = 12_000_000  # bytes


def run(command: Sequence[str | Path], *, cwd: Path, **environment: str) -> str:
    """What a command prints; its errors are in the failure's message."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repository_files() -> list[Path]:
    """Files that are part of the repository or about to be: what git tracks, and what it neither
    tracks nor ignores."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    ).split("\0")
    return [Path(name) for name in listed if name and (ROOT / name).is_file()]


def ships(file: Path) -> bool:
    """Whether a file of the repository belongs to the package."""
    if len(file.parts) == 1:
        return file.name in SHIPS_FROM_THE_ROOT
    if file.name == "ruff.toml":  # rules for those who work on the folder
        return False
    return file.parts[0] not in STAYS_BEHIND and not file.parts[0].startswith(".")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing which lies about here can get in, and nothing is left
    behind."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for file in repository_files():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / file, tree / file)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out], cwd=tree)
    [built] = out.iterdir()
    return built


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    info = f"motes-{motes.__version__}.dist-info/"
    expected = {f"motes/{file.as_posix()}" for file in repository_files() if ships(file)}
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
        assert {name for name in held if not name.startswith(info)} == expected
        assert archive.read(info + "licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        entries = archive.read(info + "entry_points.txt").decode()
        assert "motes = motes.cli:main" in entries
        assert "[vllm.general_plugins]\nmotes = motes.models.reward.vllm_backbone:reg" in entries
    for model in ("lm", "prm"):
        assert f"motes/models/pocket/{model}/model.safetensors" in held


def test_no_stray_module_stands_at_the_root() -> None:
    # setuptools ships every module beside the root's __init__.py
    at_the_root = {file.name for file in repository_files() if len(file.parts) == 1}
    modules = {name for name in SHIPS_FROM_THE_ROOT if name.endswith(".py")}
    assert {name for name in at_the_root if name.endswith(".py")} == modules


def test_it_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= LARGEST


def test_it_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            site,
            wheel,
        ],
        cwd=here,
    )
    where = run(
        [sys.executable, "-c", "import motes; print(motes.__file__)"],
        cwd=here,
        PYTHONPATH=str(site),
    )
    assert Path(where.strip()) == site / "motes" / "__init__.py"
    shown = run([sys.executable, site / "bin" / "motes", "models"], cwd=here, PYTHONPATH=str(site))
    assert str(site / "motes" / "models" / "pocket" / "lm") in shown
    assert "missing" not in shown
