"""The lock: it pins everything that an installation with all extras brings, at versions within the
declared ranges."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def closure(asked: Iterable[str]) -> dict[str, set[Requirement]]:
    """Every installed distribution that these requirements lead to, with the requirements that lead
    there."""
    reached: dict[str, set[Requirement]] = {}
    waiting = [Requirement(text) for text in asked]
    while waiting:
        requirement = waiting.pop()
        seen = reached.setdefault(canonicalize_name(requirement.name), set())
        if requirement in seen:
            continue
        seen.add(requirement)
        for text in distribution(requirement.name).requires or ():
            further = Requirement(text)
            if further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(further)
    return reached


def test_the_lock_pins_what_is_installed_and_allowed() -> None:
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    ]
    pins = {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reached = closure(
        [
            *project["dependencies"],
            *(
                text
                for extra, texts in project["optional-dependencies"].items()
                for text in texts
                if extra != "vllm"  # pins another torch and numpy: has an environment of its own
            ),
        ]
    )
    assert sorted(set(reached) - set(pins)) == []
    misfits = [
        f"{name}=={pins[name]} is not within {requirement}"
        for name, requirements in reached.items()
        for requirement in requirements
        if not requirement.specifier.contains(pins[name], prereleases=True)
    ]
    assert misfits == []
