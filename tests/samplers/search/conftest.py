"""Small table models for searches."""

from __future__ import annotations

import pytest
from searches import Exhaustive, Table

from motes.models import TableLM


@pytest.fixture
def table() -> type[Table]:
    return Table


@pytest.fixture
def exhaustive() -> type[TableLM]:
    return Exhaustive
