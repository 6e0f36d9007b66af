"""Files are replaced whole or not at all, and locks are held by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from motes.files import locked, replacing


def write_half(path):
    with replacing(path) as partial:
        partial.write_text("hal")
        (path.parent / "nowhere" / "else").read_text()


def test_a_file_is_replaced_when_all_is_written(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("before")
    with replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before" and partial.name == path.name
    assert path.read_text() == "after" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_half(path)
    assert path.read_text() == "after" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_by_a_folder(tmp_path):
    path = tmp_path / "run.zarr"
    for content in ("one", "other"):
        with replacing(path) as partial:
            partial.mkdir()
            (partial / "part").write_text(content)
        assert (path / "part").read_text() == content and list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "whole") as partial:
        partial.write_text("")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "whole")]
    assert modes[0] == modes[1]


def test_links_are_followed(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept" / "file")
    with replacing(tmp_path / "link") as partial:
        partial.write_text("through")
    assert (tmp_path / "link").is_symlink() and (
        tmp_path / "kept" / "file"
    ).read_text() == "through"


HOLDER = """
import sys
from motes.files import locked
with locked(sys.argv[1]) as file:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path):
    path = tmp_path / "lines"
    command = [sys.executable, "-c", HOLDER, path]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), locked(path):
        pass
    holder.kill()
    holder.communicate()
    with locked(path) as file:
        file.write(b"mine\n")
        with pytest.raises(BlockingIOError), locked(path):  # nor twice in one process
            pass
    assert Path(path).read_bytes() == b"mine\n"
