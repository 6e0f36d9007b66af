"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from inspect import isclass, isroutine
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    file
    for folder in ("diagnostics", "evaluation", "models", "ppl", "samplers", "serving", "smc")
    for file in sorted((ROOT / folder).rglob("*.py"))
]

EXAMPLES = {
    str(file.relative_to(ROOT)): file
    for file in (*ROOT.glob("*.py"), *FILES)
    if ">>>" in file.read_text()
}
# these fit by NUTS, or compile whole runs
LONG = {
    "diagnostics/plots/rank.py",
    "evaluation/laws/search_crossing.py",
    "evaluation/scaling_fit.py",
    "ppl/calibration/calibrated_reward.py",
    "ppl/calibration/estimation.py",
    "smc/backward.py",
    "smc/collectors.py",
    "smc/conditional_smc.py",
    "smc/driver.py",
    "smc/feynman_kac.py",
    "smc/generations.py",
    "smc/history.py",
    "smc/islands.py",
    "smc/particle_gibbs.py",
    "smc/resampling/chopthin.py",
    "smc/resampling/without_replacement.py",
    "smc/running.py",
    "smc/tempering.py",
    "smc/tempering_model.py",
    "smc/transforms.py",
    "smc/variance.py",
}


@pytest.mark.long(quick=EXAMPLES.keys() - LONG, rest="slow")
@pytest.mark.parametrize("file", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_examples(file: Path) -> None:
    parts = file.relative_to(ROOT).with_suffix("").parts
    module = import_module(".".join(("motes", *(part for part in parts if part != "__init__"))))
    # as a user's script would run them: functions that an example makes are not the package's own
    failed, tried = doctest.testmod(module, extraglobs={"__name__": "__main__"})
    assert tried > 0
    assert failed == 0


def test_long_examples_are_there() -> None:
    assert EXAMPLES.keys() >= LONG


FACES = (
    "",
    "models",
    "ppl",
    "ppl/decisions",
    "samplers",
    "serving",
    "smc",
    "diagnostics",
    "evaluation",
    "evaluation/abstention",
    "evaluation/data_sets",
    "evaluation/laws",
    "evaluation/report",
)


@pytest.mark.parametrize("face", FACES)
def test_every_name_that_a_user_types_has_an_example(face: str) -> None:
    module = import_module(f"motes.{face}".rstrip(".").replace("/", "."))
    stub = ROOT / face / "__init__.pyi"
    names = set(re.findall(r" as (\w+)$", stub.read_text(encoding="utf-8"), flags=re.MULTILINE))
    shown = {name: getattr(module, name) for name in names}
    described = {name: value for name, value in shown.items() if isclass(value) or isroutine(value)}
    without = {name for name, value in described.items() if ">>>" not in (value.__doc__ or "")}
    assert without == set()
