"""A report is written whole or not at all; what cannot be is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from motes.diagnostics.report import page, report


def test_it_is_written_and_its_path_returned(make_posterior, tmp_path):
    path = tmp_path / "report.html"
    assert report(make_posterior(), str(path)) == path
    assert path.read_text(encoding="utf-8") == page(make_posterior())
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_what_fails_leaves_what_was_there(make_posterior, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("before")

    def failing(*arguments, **settings):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(OSError, match="no space left"):
        report(make_posterior(), path)
    assert path.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


def test_refusals(make_posterior, tmp_path):
    with pytest.raises(IsADirectoryError, match=r"^path must be a file, and '.*' is a folder$"):
        report(make_posterior(), tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"^path needs a folder that exists, and '.*nowhere' does not$"
    ):
        report(make_posterior(), tmp_path / "nowhere" / "report.html")
    with pytest.raises(TypeError, match="^posterior must be a motes Posterior, not list$"):
        report([make_posterior()], tmp_path / "report.html")


def test_no_setting_of_matplotlib_changes(make_posterior, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    report(make_posterior(), tmp_path / "report.html")
    assert dict(matplotlib.rcParams) == before
