"""Which cases of long tests run in every run; that pytest does not import the root of the
repository, which is the package `motes`, a second time; and how often Python looks for garbage."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path

import pytest

LONGEST = ("tests/test_notebooks.py", "tests/test_readme.py")


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
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and never among modules and tests.

    What is compiled stays, a million objects by the end; to go through them again and again takes
    a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most cases of what is `long`, and all that is `slow`, to the statistical tests."""
    seen: Counter[str] = Counter()
    for item in items:
        long = item.get_closest_marker("long")
        if long is None or not isinstance(item, pytest.Function):
            continue
        quick, function = long.kwargs["quick"], item.nodeid.partition("[")[0]
        seen[function] += 1
        case = item.callspec.id if hasattr(item, "callspec") else ""
        is_quick = seen[function] <= quick if isinstance(quick, int) else case in quick
        if not is_quick:
            item.add_marker(long.kwargs.get("rest", "statistics"))
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("statistics")  # so that neither tier needs to know of the other
    # what takes a minute comes first, so that no worker waits for another in the end
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_runtest_teardown() -> None:
    """Close the figures of a test: pyplot warns where many tests in one process leave theirs."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
