"""Every run is the one that `solve` does, is written down once, and comes out the same however the
evaluation was stopped."""

from __future__ import annotations

import json
from itertools import count
from math import inf
from pathlib import Path

import pytest

import motes.models
from motes.evaluation import Evaluation, Record
from motes.models import FunctionReward, TableLM
from motes.models.pocket import problems as pocket_problems
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter, SuffixMetropolis, solve

RUNS = 20
BY_COMPANY = ("forward_passes", "prm_forward_passes")  # shares of batches


class Interrupting(FunctionReward):
    """A reward model at whose n-th batch somebody presses Ctrl-C."""

    def __init__(self, at: int, fn=lambda x: 1.0 - x.token_ids[-1] - 0.3 * x.depth) -> None:
        super().__init__(fn)
        self.left = at

    @property
    def stands_for(self):
        return FunctionReward(self.fn)

    def score(self, trajectories):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().score(trajectories)


def first_token_of_what_ended(x):
    return str(x.token_ids[0]) if x.token_ids[-1] == 2 else None


def told(evaluation: Evaluation, *, company: bool = True) -> list[dict]:
    """All that records say, but for seconds and arguments, and with other company for the shares of
    batches."""
    rows = []
    for record in evaluation.records:
        row = {
            name: value
            for name, value in vars(record).items()
            if name not in ("seconds", "evaluation")
        }
        kept = [
            name
            for name in row["cost"]
            if not name.endswith("seconds") and (company or name not in BY_COMPANY)
        ]
        rows.append(row | {"cost": {name: row["cost"][name] for name in kept}})
    return rows


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_is_what_solve_says(run, tmp_path):
    evaluation = run()
    assert evaluation.complete and len(evaluation.records) == RUNS
    samplers = [
        ParticleFilter(particles=1),
        ParticleFilter(particles=3),
        ImportanceSampling(particles=2),
    ]
    for record in evaluation.records:
        if record.sampler == "vote":
            continue
        lm = TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2)
        prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1] - 0.3 * x.depth)
        seed = tuple(record.seed)
        assert seed[0] == 7
        settings = {"lm": lm, "prm": prm, "max_steps": 4, "answer": first_token_of_what_ended}
        posterior = solve(
            f"question {record.problem}?", sampler=samplers[record.arm], seed=seed, **settings
        )
        right = str(record.problem % 2)
        assert (
            record.answer == posterior.answer
            and record.right == (posterior.answer == right)
            and record.right_answer == right
        )
        assert record.probability == (
            0 if posterior.answer is None else posterior.answers[posterior.answer]
        )
        assert record.right_probability == pytest.approx(
            posterior.answers.get(right, 0.0), abs=1e-12
        )
        assert record.log_evidence == posterior.log_evidence and record.ess == posterior.ess[-1]
        assert (
            record.tokens == record.cost["generated_tokens"] == posterior.cost.generated_tokens > 0
        )
        assert record.cost["prm_tokens"] == posterior.cost.prm_tokens and record.error is None
    assert len({tuple(record.seed) for record in evaluation.records}) == RUNS
    written = lines(tmp_path / "results.jsonl")
    assert len(written) == 1 + RUNS and written[0]["seed"] == 7
    assert sorted((Record(**line) for line in written[1:]), key=lambda one: one.place) == list(
        evaluation.records
    )


def test_a_vote_is_the_commonest_answer_of_the_prior_alone(run):
    evaluation = run(samplers={"vote": MajorityVote(samples=9)})
    for record in evaluation.records:
        lm = TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2)
        sampler = ImportanceSampling(particles=9)
        drawn = solve(
            "?",
            lm=lm,
            prm=None,
            sampler=sampler,
            seed=tuple(record.seed),
            max_steps=4,
            answer=first_token_of_what_ended,
        )
        votes = {answer: drawn.labels.count(answer) for answer in ("0", "1")}
        assert record.probability == pytest.approx(votes[record.answer] / 9) and votes[
            record.answer
        ] == max(votes.values())
        assert record.cost["prm_tokens"] == 0 and record.log_evidence == 0


@pytest.mark.long(quick=4)
@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("at", [2, 5, 11, 23])
@pytest.mark.filterwarnings("ignore:interrupted after:RuntimeWarning")
def test_interrupts_leave_no_trace(run, tmp_path, at, at_once):
    whole = run(results=tmp_path / "whole.jsonl", at_once=at_once)
    interrupts, part = 0, None
    while part is None or not part.complete:
        try:
            part = run(prm=Interrupting(at), at_once=at_once)
        except KeyboardInterrupt:  # before anything was done
            part = None
        done = RUNS if part is None else len(part.records)
        interrupts += done < RUNS or part is None
        assert len(lines(tmp_path / "results.jsonl")) == 1 + (0 if part is None else done)
        at += 2  # or the longest run would never end
    assert interrupts
    assert told(part, company=at_once == 1) == told(whole, company=at_once == 1)
    assert len(lines(tmp_path / "results.jsonl")) == 1 + RUNS  # each once


def test_what_an_interrupt_says(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(prm=Interrupting(1), at_once=1)
    said = (
        r"^interrupted after [1-9]\d* of 20 runs: the same call with '.*results.jsonl' does the "
        r"others$"
    )
    with pytest.warns(RuntimeWarning, match=said):
        part = run(prm=Interrupting(12), at_once=1)
    assert 0 < len(part.records) < RUNS and not part.complete
    assert "Unfinished: figures are of the" in part.table().note
    assert told(Evaluation.load(tmp_path / "results.jsonl")) == told(part)


@pytest.mark.filterwarnings("ignore:interrupted after:RuntimeWarning")
def test_an_interrupt_in_a_users_function_is_no_result(run, tmp_path):
    calls = count()

    def answer(x):
        if next(calls) == 40:
            raise KeyboardInterrupt
        return first_token_of_what_ended(x)

    answer.fingerprint = "the first token"  # or it were another one at every call
    part, whole = run(answer=answer, at_once=1), run(results=tmp_path / "whole.jsonl", at_once=1)
    assert 0 < len(part.records) < RUNS
    assert all(row in told(whole) for row in told(part))


def test_a_torn_line_is_done_again(run, tmp_path):
    whole, path = run(at_once=1), tmp_path / "results.jsonl"
    content = path.read_bytes()
    header = content.index(b"\n") + 1
    for end in (header, header + 1, header + 700, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        assert told(run(at_once=1)) == told(whole)
        assert len(lines(path)) == 1 + RUNS


def test_nothing_is_loaded_or_done_where_nothing_is_missing(run, monkeypatch):
    monkeypatch.setattr(
        motes.models, "load_lm", lambda *_, **__: TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2)
    )
    first = run(lm="pocket")
    monkeypatch.setattr(motes.models, "load_lm", lambda *_, **__: pytest.fail("a model was loaded"))
    assert run(lm="pocket").records == first.records


def test_results_do_not_depend_on_what_runs_at_once(run, tmp_path):
    alone, *others = [
        told(run(results=tmp_path / f"{n}.jsonl", at_once=n), company=False) for n in (1, 2, 7, 50)
    ]
    assert all(other == alone for other in others)
    assert len({row["tokens"] for row in alone}) > 3  # there was something to mix up


def test_every_run_has_a_seed_of_its_own(run):
    same = run(
        [("one question?", 0)] * 40,
        samplers={"a": ParticleFilter(particles=2), "b": ParticleFilter(particles=2)},
    )
    assert len({tuple(record.seed) for record in same.records}) == 80
    evidence = [record.log_evidence for record in same.records]
    assert evidence[::2] != evidence[1::2] and len(set(evidence)) > 10


def test_all_dead_is_wrong_and_costs_its_tokens(run):
    prm = FunctionReward(lambda x: -inf if x.depth == 2 else 0.0)
    lm = TableLM(lambda prefix: [0.5, 0.5, 0.0] if len(prefix) < 2 else [0.0, 0.0, 1.0], eos=2)
    evaluation = run(samplers={"filter": ParticleFilter(particles=3)}, prm=prm, lm=lm)
    for record in evaluation.records:
        assert record.error == (
            "all 3 particles are dead at step 2: the target gives none of their trajectories "
            "any mass"
        )
        assert (record.tokens, record.right, record.answer, record.probability) == (
            6,
            False,
            None,
            0.0,
        )
        assert record.log_evidence is None and record.ess is None and record.seconds > 0
    assert evaluation.dead.all() and not evaluation.right.any()
    [row], note = evaluation.table().rows, evaluation.table().note
    assert (row.right, row.dead, row.tokens) == (
        0,
        5,
        6.0,
    ) and note == "Runs all of whose particles died count as wrong."


def test_chains_have_no_evidence(run):
    sampler = SuffixMetropolis(chains=2, iterations=6)
    assert all(
        record.log_evidence is None and record.error is None
        for record in run(samplers={"chains": sampler}).records
    )


def test_answers_are_compared_by_meaning(run):
    problems, samplers = (
        [{"question": "?", "answer": "$1,000.0"}],
        {"filter": ParticleFilter(particles=16)},
    )
    spelled = run(problems, answer=lambda x: ["1000", "5"][x.token_ids[0]], samplers=samplers)
    [record] = spelled.records
    assert record.right == (record.answer == "1000") and 0.2 < record.right_probability < 0.8


def test_a_users_word_on_what_is_right(run, tmp_path):
    problems = [{"question": "?", "answer": "either", "bonus": 1}]
    lm = TableLM(lambda prefix: [0.0, 0.0, 1.0] if prefix else [0.5, 0.5, 0.0], eos=2)
    evaluation = run(
        problems,
        lm=lm,
        correct=lambda answer, problem: answer in ("0", "1") and problem["bonus"] == 1,
    )
    assert all(
        record.right and record.right_probability == pytest.approx(1)
        for record in evaluation.records
    )
    with pytest.raises(
        TypeError, match="correct must map an answer and a problem to True or False, not to 'yes'"
    ):
        run(problems, correct=lambda answer, problem: "yes", results=tmp_path / "other.jsonl")


def test_problems_of_the_pocket_end_by_count(run):
    assert len(run(pocket_problems("test"), count=3).records) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "its seed is 7, not 8"),
        ({"beta": 2.0}, "its beta is 1.0, not 2.0"),
        ({"answer": lambda x: "1"}, "its answer"),
        ({"correct": lambda answer, problem: True}, "its correct is None, not"),
        ({"max_steps": 5}, "its max_steps is 4, not 5"),
        ({"prm": None}, "its prm is 'function [0-9a-f]{12}', not None"),
        (
            {"prm": FunctionReward(lambda x: x.token_ids[-1] - 1.0)},
            "its prm is 'function .*', not 'function .*'",
        ),
        (
            {"lm": TableLM(lambda prefix: [0.3, 0.3, 0.4], eos=2)},
            "its lm is 'table .*', not 'table .*'",
        ),
        (
            {"lm": TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=1)},
            "its lm is",
        ),
    ],
)
def test_another_evaluation_does_not_take_a_file_up(run, tmp_path, change, message):
    run()
    before = (tmp_path / "results.jsonl").read_bytes()
    with pytest.raises(
        ValueError, match=f"results: '.*' holds an evaluation of other arguments: {message}"
    ):
        run(**change)
    assert (tmp_path / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "content", ["a letter", "a letter\nof two lines\n", '{"motes evaluation": 0}\n', "[1]\n"]
)
def test_other_files_are_left_alone(run, tmp_path, content):
    (tmp_path / "results.jsonl").write_text(content)
    with pytest.raises(
        ValueError, match="results: '.*' is not a file of results of this version of motes"
    ):
        run()
    assert (tmp_path / "results.jsonl").read_text() == content


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"problems": "what?"}, TypeError, "problems must be several problems"),
        ({"problems": []}, ValueError, "problems must hold at least one problem"),
        (
            {"problems": ({"question": "?", "answer": 1} for _ in count())},
            ValueError,
            "problems must end, or count must say how many",
        ),
        (
            {"problems": [("?", 1), ("", 1)]},
            TypeError,
            r"problems\[1\] must have a question that is a text and not empty, not ''",
        ),
        (
            {"problems": [("?", None)]},
            TypeError,
            r"problems\[0\] must have an answer that is a text or a number, not None",
        ),
        ({"count": 0}, ValueError, "count must be at least 1, not 0"),
        ({"samplers": ParticleFilter()}, TypeError, "samplers must map names to samplers"),
        ({"samplers": {}}, ValueError, "samplers must hold at least one sampler"),
        (
            {"samplers": {"a": []}},
            ValueError,
            r"samplers\['a'\] must be one or more samplers that differ",
        ),
        (
            {"samplers": {"a": [ParticleFilter()] * 2}},
            ValueError,
            r"samplers\['a'\] must be one or more samplers that differ",
        ),
        (
            {"samplers": {"a": ParticleFilter}},
            TypeError,
            r"samplers\['a'\] must be a sampler or several",
        ),
        (
            {"samplers": {"a": "particle_filter"}},
            TypeError,
            r"samplers\['a'\] must be a sampler or several",
        ),
        ({"lm": 3}, TypeError, "lm must be a language model"),
        ({"prm": "nothing"}, ValueError, "unknown model 'nothing'"),
        ({"seed": (0, 1)}, TypeError, "seed must be an integer"),
        ({"seed": -1}, ValueError, "seed must lie in"),
        ({"repeats": 0}, ValueError, "repeats must be at least 1, not 0"),
        ({"at_once": 0}, ValueError, "at_once must be at least 1"),
        ({"correct": "yes"}, TypeError, "correct must be a function"),
        ({"target": "prodct"}, ValueError, "target must be one of product"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"results": None}, TypeError, "results must be the path of a file, not None"),
        (
            {"results": "/nowhere/at/all.jsonl"},
            FileNotFoundError,
            "results needs a folder that exists",
        ),
    ],
)
def test_bad_arguments_are_found_before_a_model_is_loaded(
    run, tmp_path, monkeypatch, change, error, message
):
    for name in ("load_lm", "load_prm"):
        monkeypatch.setattr(motes.models, name, lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(error, match=message) as found:
        run(**{"lm": "pocket", "prm": "pocket"} | change)
    assert "\n" not in str(found.value) and list(tmp_path.iterdir()) == []
