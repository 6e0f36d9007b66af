"""Posteriors saved by one environment, opened in another: a newer Python and ArviZ, no torch.

`make test-versions` makes the environment, saves them by `write_saved`, and names their folder in
MOTES_SAVED. Warnings are errors here as everywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xarray

import motes
from motes.diagnostics import check, summary
from motes.models import TableLM
from motes.ppl import Posterior

pytestmark = pytest.mark.versions
KINDS = ("filter", "chains")
SAVED = Path(os.environ.get("MOTES_SAVED", "saved"))


def facts(kind: str) -> Any:
    """What was known of a posterior where it was saved."""
    return json.loads((SAVED / f"{kind}.json").read_text())


def assert_same(here: Any, there: Any, place: str = "") -> None:
    """Equal, numbers up to rounding: releases sum in other orders."""
    if isinstance(there, dict):
        assert sorted(here) == sorted(there), place
        for name, value in there.items():
            assert_same(here[name], value, f"{place}.{name}")
    elif isinstance(there, list):
        assert len(here) == len(there), place
        for i, value in enumerate(there):
            assert_same(here[i], value, f"{place}[{i}]")
    elif isinstance(there, float):
        assert here == pytest.approx(there, rel=1e-9, abs=1e-12, nan_ok=True), place
    else:
        assert here == there, place


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_posterior_says_here_what_it_said_there(kind: str) -> None:
    posterior, known = Posterior.load(SAVED / f"{kind}.nc"), facts(kind)
    assert_same(json.loads(json.dumps(dict(summary(posterior)))), known["summary"])
    assert_same([finding._asdict() for finding in check(posterior)], known["findings"])
    mixing = {name: list(values) for name, values in posterior.mixing.items()}
    assert_same(mixing, known["mixing"])
    assert "Answers" in repr(summary(posterior))


@pytest.mark.parametrize("kind", KINDS)
def test_its_report_is_written(kind: str, tmp_path: Path) -> None:
    Posterior.load(SAVED / f"{kind}.nc").report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("<svg") > 1 and "motes" in text


def test_arviz_reads_its_draws_and_finds_them_mixed_as_motes_does() -> None:
    import arviz  # only here: an environment without it collects this file too

    posterior, tree = Posterior.load(SAVED / "chains.nc"), xarray.open_datatree(SAVED / "chains.nc")
    r_hat, ess = (find(tree, var_names=["tokens"]) for find in (arviz.rhat, arviz.ess))
    assert len(arviz.summary(tree, var_names=["tokens", "logprob"])) == 2
    mixing = posterior.mixing["length"]  # in tokens
    assert float(r_hat["tokens"]) == pytest.approx(mixing.r_hat, rel=1e-9)
    assert float(ess["tokens"]) == pytest.approx(mixing.ess, rel=1e-9)


def test_a_model_without_torch_is_sampled_here() -> None:
    def law(prefix: tuple[int, ...]) -> list[float]:
        return [0.5, 0.3, 0.2]

    posterior = motes.solve("?", lm=TableLM(law, eos=2), prm=None, particles=8, max_steps=4)
    assert posterior.log_evidence == pytest.approx(0.0, abs=1e-9)
    assert sum(posterior.answers.values()) == pytest.approx(1.0)


def test_the_command_line_writes_its_report(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    run = [sys.executable, "-m", "motes", "report", str(SAVED / "filter.nc"), "--out", str(out)]
    subprocess.run(run, capture_output=True, text=True, check=True)
    assert "<svg" in out.read_text()
