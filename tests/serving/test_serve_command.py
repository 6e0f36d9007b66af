"""`motes serve` as a command: it says where it listens, and first of all what is wrong."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx2
import pytest

import motes
from motes.cli import main
from motes.commands.serve_command import KEY


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""
    for name in ("load_lm", "load_prm"):
        monkeypatch.setattr(
            motes.models,
            name,
            lambda *_, **__: pytest.fail("a model was loaded before the arguments were checked"),
        )


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("options", "key", "sentence"),
    [
        (["--host", "0.0.0.0"], None, "is reached from other machines: a key is needed"),
        (["--host", "0.0.0.0"], "short", "the key must have at least 16"),
        (["--key-file", "/nowhere"], None, "No such file"),
        (["--key-file", "/nowhere"], "k" * 16, "key-file must be left out beside the variable"),
        (["--port", "70000"], None, "port must lie in 0..65535, not 70000"),
        (["--at-once", "0"], None, "at_once must be at least 1"),
        (["--seconds", "0"], None, "seconds must be"),
        (["--sampler", "magic"], None, "sampler must be one of particle_filter"),
        (["--particles", "0"], None, "particles must be at least 1"),
        (["--lm", "/nowhere", "--prm", "none"], None, "/nowhere"),
    ],
)
def test_bad_options_are_one_sentence(options, key, sentence, monkeypatch, capsys) -> None:
    if key is not None:
        monkeypatch.setenv(KEY, key)
    assert main(["serve", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("motes: error: ") and sentence in err
    assert err.count("\n") == 1


def test_without_its_packages_it_says_which(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("motes.serving")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["serve"]) == 2
    assert "serving needs the package uvicorn: pip install 'motes[serve]'" in (
        capsys.readouterr().err
    )


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_it_serves_until_it_is_ended(ending, tmp_path) -> None:
    key = "a key of many letters"
    (tmp_path / "key").write_text(key + "\n")
    command = [sys.executable, "-m", "motes", "serve", "--port", "0"]
    command += ["--name", "mine", "--key-file", str(tmp_path / "key"), "--particles", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        kinds = {"authorization": f"Bearer {key}"}
        models = httpx2.get(f"{found.group()}/v1/models", headers=kinds).json()
        assert models["data"][0]["id"] == "mine"
        process.send_signal(ending)
        _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -ending)
    assert "GET /v1/models 200" in said and "Traceback" not in said and key not in said
