"""The benchmark for GPUs: all of it runs on a CPU, and without a GPU it says that it measured
nothing."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch

FILE = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = spec_from_file_location("gpu_benchmark", FILE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so(
    benchmark: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main([]) == 0
    assert capsys.readouterr().out.startswith("no GPU here: nothing was measured")


def test_all_of_it_runs_on_a_cpu(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--device", "cpu", "--smoke"]) == 0
    shown = capsys.readouterr().out
    rows = re.findall(r"^ +(\d+) +(\d+) +- +(\d+) +- +(\d+) +([\d.]+)% +-$", shown, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [2, 4]
    for particles, ours, theirs, roofline, outside in rows:
        assert min(int(ours), int(theirs)) > 0 and int(roofline) > int(particles)
        assert 0 < float(outside) < 100
    [ratio] = re.findall(r"^static +4 particles, plain over it ([\d.]+) ", shown, re.MULTILINE)
    assert float(ratio) > 0
    assert "particles in one batch" in shown and "a filter of 4 particles" in shown


def test_time_in_forward_passes_is_counted_around_each(
    benchmark: ModuleType, pocket32: torch.nn.Module
) -> None:
    passes = benchmark.PassTimes(pocket32, torch.device("cpu"))
    for _ in range(3):
        pocket32(input_ids=torch.zeros(1, 4, dtype=torch.int64))
    assert len(passes.marks) == 6 and passes.seconds() > 0
    passes.close()
    pocket32(input_ids=torch.zeros(1, 4, dtype=torch.int64))
    assert not passes.marks
