"""That an environment of a newer Python holds what is meant to be tried there."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec

import pytest
from packaging.version import Version

pytestmark = pytest.mark.versions
LEAST = {"arviz": "1.3", "jax": "0.11"}  # the oldest that pip may have chosen


def test_the_environment_is_the_one_that_is_meant() -> None:
    assert sys.version_info >= (3, 12)
    assert find_spec("torch") is None and find_spec("transformers") is None


@pytest.mark.parametrize("name", LEAST)
def test_its_packages_are_new(name: str) -> None:
    assert Version(version(name)) >= Version(LEAST[name]), version(name)
