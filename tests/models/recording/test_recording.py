"""Runs with a recorded model, and again from the recording alone: the same to the last bit."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motes
from motes.models import (
    Cost,
    Damaged,
    FunctionReward,
    LanguageModel,
    NotRecorded,
    QuestionTooLong,
    RewardModel,
    Sampling,
    StepRule,
    TableLM,
    Tampered,
    TorchLM,
    load_lm,
    load_prm,
    recorded,
    replayed,
    token_confidences,
)
from motes.models.identity import identify
from motes.models.pocket.problems import problems
from motes.samplers.registry import known_samplers, settings_of, size_setting

COUNTED = [field.name for field in fields(Cost) if not field.name.endswith("seconds")]
QUESTION = next(problems("test", seed=0, steps=3)).question


def table() -> TableLM:
    return TableLM(lambda prefix: [0.2 + 0.1 * (sum(prefix) % 3), 0.4, 0.4], eos=2, name="thirds")


def judge() -> FunctionReward:
    return FunctionReward(lambda x: 0.7 * x.step_token_ids[-1] - 0.3 * x.depth, name="judge")


def same(first: Any, second: Any) -> None:
    """Check that two posteriors are one, seconds apart."""
    assert [x.token_ids for x in first.trajectories] == [x.token_ids for x in second.trajectories]
    assert [x.text for x in first.trajectories] == [x.text for x in second.trajectories]
    assert np.array_equal(first.log_weights, second.log_weights)
    assert first.log_evidence == second.log_evidence
    for mine, other in zip(first.trajectories, second.trajectories, strict=True):
        assert (mine.logprob, mine.proposal_logprob) == (other.logprob, other.proposal_logprob)
        assert (mine.finished, mine.answer) == (other.finished, other.answer)
    for name in COUNTED:
        assert getattr(first.cost, name) == getattr(second.cost, name), name


SAMPLERS: list[tuple[str, dict[str, Any]]] = [
    ("particle_filter", {}),
    ("particle_filter", {"proposal": Sampling(temperature=1.3), "alpha": 0.7}),
    ("particle_gibbs", {"iterations": 3}),
    ("parallel_tempering", {"iterations": 4}),
    ("power_metropolis", {"iterations": 4, "alpha": 2.0}),
    ("twisted_smc", {"twist": "look_ahead"}),
]


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(("name", "settings"), SAMPLERS)
def test_a_replayed_run_is_the_recorded_one(name: str, settings: Any, tmp_path: Path) -> None:
    paths = tmp_path / "lm.jsonl", tmp_path / "prm.jsonl.gz"
    models = {"lm": recorded(table(), paths[0]), "prm": recorded(judge(), paths[1])}
    if name == "power_metropolis":
        models["prm"] = None
    run = {"sampler": name, "max_steps": 5, "seed": 4, **settings}
    if "iterations" not in settings:
        run["particles"] = 6
    first = motes.solve("?", **models, **run)
    again = {key: model and replayed(model.path) for key, model in models.items()}
    same(first, motes.solve("?", **again, **run))
    plain = {"lm": table(), "prm": models["prm"] and judge()}
    same(first, motes.solve("?", **plain, **run))


@pytest.mark.parametrize("name", known_samplers())
def test_every_sampler_is_replayed(name: str, tmp_path: Path) -> None:
    models = {
        "lm": recorded(table(), tmp_path / "lm.jsonl"),
        "prm": recorded(judge(), tmp_path / "prm.jsonl"),
    }
    size = size_setting(name)
    run: dict[str, Any] = {"sampler": name, "max_steps": 4, "seed": 2}
    run |= {size: 4} if size else {}
    if "chains" in settings_of(name):
        run |= {"chains": 2, "warmup": 1, "starts": 1, "iterations": 2}
    first = motes.solve("?", **models, **run)
    again = {key: replayed(model.path) for key, model in models.items()}
    same(first, motes.solve("?", **again, **run))


def test_confidences_are_replayed(tmp_path: Path) -> None:
    lm = recorded(table(), tmp_path / "lm.jsonl")
    posterior = motes.solve("?", lm=lm, prm=None, particles=3, max_steps=3)
    before = replayed(lm.path)
    for top in (None, 2, "entropy"):
        told = token_confidences(lm, posterior.trajectories, top=top)
        plain = token_confidences(table(), posterior.trajectories, top=top)
        with pytest.raises(NotRecorded, match=f"token_confidences of .* top {top}"):
            token_confidences(before, posterior.trajectories, top=top)
        replay = token_confidences(replayed(lm.path), posterior.trajectories, top=top)
        for row, other, third in zip(told, plain, replay, strict=True):
            assert row.tolist() == other.tolist() == third.tolist()


@pytest.mark.slow
def test_hosted_models(tmp_path: Path) -> None:
    lm, prm = load_lm("pocket"), load_prm("pocket")
    models = {
        "lm": recorded(lm, tmp_path / "lm.jsonl.gz"),
        "prm": recorded(prm, tmp_path / "prm.jsonl.gz"),
    }
    settings: dict[str, Any] = {"sampler": "particle_gibbs", "particles": 4, "iterations": 2}
    first = motes.solve(QUESTION, **models, seed=1, **settings)
    again = {key: replayed(model.path) for key, model in models.items()}
    assert isinstance(again["lm"], LanguageModel)
    assert isinstance(again["prm"], RewardModel)
    second = motes.solve(QUESTION, **again, seed=1, **settings)
    same(first, second)
    assert first.provenance == second.provenance  # the prompt as it was sent is part of it
    assert identify(again["lm"]) == identify(models["lm"]) == identify(lm)
    assert identify(again["prm"]) == identify(prm)
    spoiled = [identify(Tampered(judged, noise=1.0)) for judged in (prm, again["prm"])]
    assert spoiled[0].text == spoiled[1].text


def test_runs_that_share_batches_replay_in_other_batches(tmp_path: Path) -> None:
    models = {
        "lm": recorded(table(), tmp_path / "lm.jsonl"),
        "prm": recorded(judge(), tmp_path / "prm.jsonl"),
    }
    settings: dict[str, Any] = {"particles": 4, "max_steps": 4, "seed": 0}
    together = motes.solve_many(["a", "b", "c"], **models, **settings)
    again = {key: replayed(model.path) for key, model in models.items()}
    for first, second in zip(
        together, motes.solve_many(["a", "b", "c"], **again, **settings), strict=True
    ):
        same(first, second)
    # recorded one after another, replayed together
    alone = recorded(table(), tmp_path / "alone.jsonl")
    for number, question in enumerate("abc"):
        motes.solve(question, lm=alone, prm=None, **{**settings, "seed": (0, number)})
    shared = replayed(alone.path)
    motes.solve_many(["a", "b", "c"], lm=shared, prm=None, **settings)
    assert shared.cost == alone.cost  # each row brings its share of what was computed then


def test_a_checkpoint_of_the_model_goes_on_with_its_recording(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sampler": "particle_gibbs", "particles": 4, "max_steps": 4}
    lm = recorded(table(), tmp_path / "lm.jsonl")
    kept = tmp_path / "run.ckpt"
    motes.solve("?", lm=lm, prm=None, iterations=2, checkpoint=kept, **settings)
    half = tmp_path / "half.ckpt"
    shutil.copy(kept, half)
    first = motes.solve("?", lm=lm, prm=None, iterations=4, checkpoint=kept, **settings)
    again = replayed(tmp_path / "lm.jsonl")
    second = motes.solve("?", lm=again, prm=None, iterations=4, checkpoint=half, **settings)
    assert [x.token_ids for x in first.trajectories] == [x.token_ids for x in second.trajectories]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": "!"}, "holds no answer to this request: start of the question '!'"),
        ({"seed": 1}, "extend <Trajectory open, 0 steps"),
        ({"proposal": Sampling(temperature=2.0)}, "temperature=2.0"),
        ({"particles": 9}, "with the key"),
    ],
)
def test_what_was_not_recorded_is_named(change: Any, words: str, tmp_path: Path) -> None:
    run: dict[str, Any] = {"question": "?", "prm": None, "particles": 4, "seed": 0, "max_steps": 3}
    motes.solve(**run, lm=recorded(table(), tmp_path / "lm.jsonl"))
    with pytest.raises(NotRecorded) as error:
        motes.solve(**{**run, **change}, lm=replayed(tmp_path / "lm.jsonl"))
    assert words in str(error.value)
    assert "'thirds'" in str(error.value)


def test_scores_and_given_texts_that_were_not_recorded_are_named(tmp_path: Path) -> None:
    lm = recorded(table(), tmp_path / "lm.jsonl")
    prm = recorded(judge(), tmp_path / "prm.jsonl")
    x = lm.start("?").child("1 ", (1,), logprob=-1.0, proposal_logprob=-1.0)
    prm.score([x])
    lm.logprob([x], [[0, 1]])
    again, judged = replayed(lm.path), replayed(prm.path)
    assert again.logprob([x], [[0, 1]]) == table().logprob([x], [[0, 1]])
    assert judged.score([x]) == judge().score([x])
    with pytest.raises(NotRecorded, match=r"logprob of the tokens \[1, 1\]"):
        again.logprob([x], [[1, 1]])
    with pytest.raises(NotRecorded, match="score of <Trajectory"):
        judged.score([x.close(finished=True)])


def test_a_context_that_is_too_short_is_too_short_again(tmp_path: Path) -> None:
    class Short:
        name = "short"
        cost = Cost()

        def can_read(self, trajectory: Any) -> bool:
            return trajectory.depth < 2

        def score(self, trajectories: Any) -> np.ndarray:
            return np.ones(len(trajectories))

    models = {
        "lm": recorded(table(), tmp_path / "lm.jsonl"),
        "prm": recorded(Short(), tmp_path / "prm.jsonl"),
    }
    run: dict[str, Any] = {"particles": 6, "max_steps": 4, "seed": 0}
    first = motes.solve("?", **models, **run)
    same(first, motes.solve("?", **{key: replayed(m.path) for key, m in models.items()}, **run))
    pocket = recorded(load_lm("pocket"), tmp_path / "pocket.jsonl")
    with pytest.raises(QuestionTooLong) as then:
        pocket.start("How many? " * 1000)
    with pytest.raises(QuestionTooLong) as now:
        replayed(pocket.path).start("How many? " * 1000)
    assert str(then.value) == str(now.value)


def test_extreme_numbers_come_back(tmp_path: Path) -> None:
    scores = iter([math.inf, -math.inf, 5e-324, 1 / 3])
    prm = recorded(FunctionReward(lambda x: next(scores)), tmp_path / "prm.jsonl")
    xs = [
        table().start("?").child("\ud800", (i,), logprob=-math.inf, proposal_logprob=-1.0)
        for i in range(4)
    ]
    given = prm.score(xs)
    assert np.array_equal(replayed(prm.path).score(xs), given)


def test_a_recording_cut_off_at_any_byte_is_whole_lines_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "lm.jsonl"
    run: dict[str, Any] = {"prm": None, "particles": 2, "max_steps": 2, "seed": 0}
    motes.solve("?", lm=recorded(table(), path), **run)
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        if end < header - 1:
            with pytest.raises(Damaged, match="is not a recording"):
                replayed(path)
        else:
            replayed(path)
    path.write_bytes(whole[:header] + b"garbage\n" + whole[header:])
    with pytest.raises(Damaged, match="line 2 of the recording"):
        replayed(path)


def test_a_compressed_recording_cut_off_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "lm.jsonl.gz"
    run: dict[str, Any] = {"prm": None, "particles": 2, "max_steps": 2, "seed": 0}
    motes.solve("?", lm=recorded(table(), path), **run)
    whole = path.read_bytes()
    with gzip.open(path, "rt") as file:
        lines = file.readlines()
    assert json.loads(lines[0])["name"] == "thirds"
    path.write_bytes(whole[:-40])
    with pytest.raises(NotRecorded):
        motes.solve("?", lm=replayed(path), **run)


def test_a_file_belongs_to_one_model(tmp_path: Path) -> None:
    path = tmp_path / "lm.jsonl"
    recorded(table(), path)
    recorded(table(), path)  # the same again: it is added to
    with pytest.raises(ValueError, match="is the recording of another model, the language model"):
        recorded(judge(), path)
    with pytest.raises(ValueError, match="give each model a file of its own"):
        recorded(TableLM(lambda prefix: [0.1, 0.9], name="thirds"), path)
    with pytest.raises(OSError, match="nowhere"):
        recorded(table(), tmp_path / "nowhere" / "lm.jsonl")
    with pytest.raises(OSError, match=r"missing\.jsonl"):
        replayed(tmp_path / "missing.jsonl")
    with pytest.raises(TypeError, match="model must be a language model or a reward model"):
        recorded("pocket", path)  # type: ignore[call-overload]
    later = json.loads(path.read_text().splitlines()[0]) | {"motes recording": 99}
    path.write_text(json.dumps(later) + "\n")
    with pytest.raises(Damaged, match="of format 99, and this version of motes reads 1"):
        replayed(path)


def test_steps_that_end_by_a_predicate_cannot_be_recorded(tmp_path: Path) -> None:
    lm = load_lm("pocket", step=StepRule(predicate=lambda text: text.endswith(".")), probe=False)
    assert isinstance(lm, TorchLM)
    with pytest.raises(ValueError, match="a file holds no function"):
        recorded(lm, tmp_path / "lm.jsonl")
