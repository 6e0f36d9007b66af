"""A file of results goes on with the same model, whether it is given by a name or as an object."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import motes.models
from motes import load_lm, load_prm
from motes.evaluation import Evaluation, evaluate
from motes.models import StepRule
from motes.samplers import ImportanceSampling

PROBLEM = ("Ann has 3 apples and buys 4. How many apples has Ann?", 7)


def run(path: Path, count: int, lm: object, prm: object) -> Evaluation:
    return evaluate(
        [PROBLEM] * count,
        samplers={"weights": ImportanceSampling(particles=1)},
        lm=lm,
        prm=prm,
        results=path,
        max_steps=2,
        progress=False,
    )


def drawn(evaluation: Evaluation) -> list[tuple]:
    """What came of the runs, less times and what depends on company."""
    return [
        (record.key, record.seed, record.tokens, record.answer) for record in evaluation.records
    ]


def as_names() -> tuple[object, object]:
    return "pocket", "pocket"


def as_objects() -> tuple[object, object]:
    return load_lm("pocket"), load_prm("pocket")


def as_a_function() -> tuple[object, object]:
    return lambda: load_lm("pocket"), load_prm("pocket")


FORMS = (as_names, as_objects, as_a_function)


@pytest.fixture(scope="module", params=FORMS)
def written(request, tmp_path_factory) -> tuple[Path, Evaluation, Evaluation]:
    """A file of one problem in one form, what was evaluated for it, and the evaluation of two
    problems in another file of the same form."""
    folder = tmp_path_factory.mktemp("form")
    path = folder / "results.jsonl"
    return (
        path,
        run(path, 1, *request.param()),
        run(folder / "whole.jsonl", 2, *request.param()),
    )


@pytest.mark.slow
@pytest.mark.parametrize("second", FORMS)
def test_a_file_goes_on_in_another_form(written, second, tmp_path):
    path, begun, fresh = written
    grown = run(Path(shutil.copy(path, tmp_path)), 2, *second())
    assert len(grown.records) == 2
    assert grown.records[0] == begun.records[0]
    # each run is what it is in a file of one form
    assert drawn(grown) == drawn(fresh)


def test_names_load_nothing_where_nothing_is_left_to_do(tmp_path, monkeypatch):
    done = run(tmp_path / "results.jsonl", 1, "pocket", "pocket")
    monkeypatch.setattr(motes.models, "load_lm", None)
    monkeypatch.setattr(motes.models, "load_prm", None)
    assert run(tmp_path / "results.jsonl", 1, "pocket", "pocket").records == done.records


@pytest.mark.slow
def test_another_model_of_the_same_name_does_not_go_on(tmp_path):
    by_name, by_object = tmp_path / "name.jsonl", tmp_path / "object.jsonl"
    lm, prm = load_lm("pocket"), load_prm("pocket")
    run(by_name, 1, "pocket", prm)
    with pytest.raises(ValueError, match="its lm is 'pocket .*', not 'pocket .*'"):
        run(by_name, 1, load_lm("pocket", step=StepRule(tokens=3)), prm)
    with torch.no_grad():
        list(lm.model.parameters())[-1].mul_(1.01)
    with pytest.raises(ValueError, match="its lm is 'pocket .*', not 'pocket .*'"):
        run(by_name, 1, lm, prm)
    run(by_object, 1, lm, prm)
    with pytest.raises(ValueError, match="its lm is 'pocket .*', not 'pocket .*'"):
        run(by_object, 1, "pocket", prm)
