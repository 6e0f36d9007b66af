"""Keeps pytest from importing the root of the repository, which is the package `motes`, a second
time."""

from __future__ import annotations

from pathlib import Path

import pytest


class _RootIsAFolder:
    """Collects the root as a plain folder: as a package it would be imported again, under the name
    of the clone's folder."""

    def pytest_collect_directory(
        self, path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == parent.config.rootpath else None


def pytest_configure(config: pytest.Config) -> None:
    # registered, because a conftest's own hooks are not asked about the folders above it
    config.pluginmanager.register(_RootIsAFolder())
