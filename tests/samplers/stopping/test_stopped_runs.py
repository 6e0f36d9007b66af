"""Runs that a rule stops: whatever the batch, the first draws of the run without the rule."""

from __future__ import annotations

import json

import numpy as np
import pytest

import motes
from motes import evaluate, solve, solve_many
from motes.cli import main
from motes.diagnostics.summary import summary
from motes.models import FunctionReward, TableLM
from motes.ppl import Posterior, StateSpaceModel
from motes.samplers import ImportanceSampling, MajorityVote, ParticleFilter, repeated
from motes.samplers.stopping import RULES, Certificate, StoppingRule, WindowedAgreement

MOST = 48


def law(prefix):
    return [0.1, 0.2, 0.7] if prefix else [0.7, 0.25, 0.05]


def first_token(x):
    return str(x.token_ids[0]) if x.finished else None


ASK = {
    "lm": TableLM(law, eos=2),
    "prm": FunctionReward(lambda x: 1.5 - x.token_ids[-1]),
    "max_steps": 6,
    "answer": first_token,
}


def written(posterior: Posterior, count: int | None = None) -> list[tuple[int, ...]]:
    return [x.token_ids for x in posterior.trajectories][:count]


@pytest.fixture(scope="module")
def whole() -> dict[str, Posterior]:
    """Runs of each kind without a rule."""
    drawn = solve("?", sampler="importance_sampling", particles=MOST, seed=3, **ASK)
    voted = solve("?", sampler="majority_vote", samples=MOST, seed=3, **ASK)
    return {"importance_sampling": drawn, "majority_vote": voted}


@pytest.mark.parametrize("sampler", ["importance_sampling", "majority_vote"])
@pytest.mark.parametrize("name", RULES)
def test_draws_are_the_first_of_the_whole_run(name, sampler, whole):
    size = {"particles" if sampler == "importance_sampling" else "samples": MOST}
    scored = sampler == "importance_sampling"
    if RULES[name].needs_scores and not scored:
        with pytest.raises(ValueError, match="needs the scores of a reward model"):
            solve("?", sampler=sampler, stop=name, **size, **ASK)
        return
    runs = []
    for batch in (1, 5, MOST):
        found = solve("?", sampler=sampler, stop=name, batch=batch, seed=3, **size, **ASK)
        runs.append(found)
        stopping = found.provenance.stopping
        assert len(found.trajectories) == stopping.draws <= stopping.most == MOST
        assert written(found) == written(whole[sampler], stopping.draws)
        drawn = min(-(-stopping.draws // batch) * batch, MOST)
        assert stopping.unused == drawn - stopping.draws
        # what the batch wasted was computed, and is counted
        spent = sum(map(len, written(whole[sampler], drawn)))
        assert found.cost.generated_tokens == spent
        assert found.answer == stopping.answer
        assert np.exp(found.log_weights).sum() == pytest.approx(1)
        json.dumps(summary(found), allow_nan=False)
    first, *others = runs
    for other in others:
        assert np.array_equal(first.log_weights, other.log_weights)
        told = other.provenance.stopping._replace(unused=0)
        assert told == first.provenance.stopping._replace(unused=0)
    if RULES[name].looks_at_answers:
        assert (first.guarantee, first.evidence, first.log_evidence) == ("heuristic", "none", None)
        assert not first.provenance.from_prior
        assert "by looking at them" in first.provenance.reasons[0].seen
    else:
        assert (first.guarantee, first.evidence) == ("consistent", "unbiased")


def test_some_rule_stops_early_and_some_run_is_used_up():
    early = solve("?", sampler="majority_vote", samples=MOST, stop="agreement", **ASK)
    assert early.provenance.stopping.enough
    tied = {
        **ASK,
        "lm": TableLM(lambda prefix: [0.5, 0.5, 0.0] if not prefix else [0, 0, 1], eos=2),
    }
    late = solve("?", sampler="majority_vote", samples=12, stop="certificate", seed=1, **tied)
    stopping = late.provenance.stopping
    assert (stopping.draws, stopping.enough) == (12, False)
    assert "is not certain" in stopping.said
    assert late.guarantee == "heuristic"  # that the rule went on is something it saw, too


def test_a_window_alone_votes():
    found = solve(
        "?", sampler="majority_vote", stop=WindowedAgreement(window=3), samples=MOST, **ASK
    )
    voting = found.log_weights > -np.inf
    assert voting.sum() == 3 and voting[-3:].all() and len(found.answers) == 1


def test_a_stopped_run_is_taken_up_again(tmp_path):
    ask = {**ASK, "sampler": "importance_sampling", "particles": MOST, "stop": "certificate"}
    path = tmp_path / "run.json"
    first = solve("?", checkpoint=path, **ask)
    again = solve("?", checkpoint=path, **ask)
    assert written(first) == written(again)
    assert again.cost.generated_tokens == first.cost.generated_tokens
    with pytest.raises(ValueError, match="its stop is"):
        solve("?", checkpoint=path, **{**ask, "stop": "agreement"})


def test_it_is_kept_and_shown(tmp_path, capsys):
    found = solve("?", sampler="majority_vote", samples=MOST, stop="certificate", **ASK)
    found.save(tmp_path / "posterior.nc")
    loaded = Posterior.load(tmp_path / "posterior.nc")
    assert loaded.provenance.stopping == found.provenance.stopping
    said = found.provenance.stopping.said
    assert said.endswith("that is not that it is right")
    shown = " ".join(repr(summary(found)).split())
    assert said in shown and said.replace("'", "&#x27;") in found._repr_html_()
    page = found.report(tmp_path / "report.html").read_text()
    assert said.split(", ")[1] in page
    assert summary(found)["stopping"]["draws"] == found.provenance.stopping.draws


def test_runs_are_stopped_as_solutions_are():
    def declared(**settings):
        return solve("?", particles=4, runs=20, seed=5, **settings, **ASK)

    whole = declared()
    found = [declared(stop=Certificate(error=0.2), batch=batch) for batch in (1, 6)]
    stopping = found[0].provenance.stopping
    assert stopping.enough and stopping.draws < 20
    assert stopping.said.startswith("runs of particle_filter as the solutions: the model's most")
    assert found[0].guarantee == "heuristic" and found[0].evidence == "none"
    for pooled in found:
        assert len(pooled.runs) == stopping.draws
        assert written(pooled) == written(whole, 4 * stopping.draws)


def test_runs_without_an_answer_settle_nothing():
    ask = {**ASK, "answer": lambda x: None}
    pooled = solve("?", particles=4, runs=3, stop="certificate", **ask)
    assert not pooled.provenance.stopping.enough and len(pooled.runs) == 3


def test_many_questions_stop_each_on_its_own():
    ask = {**ASK, "sampler": "majority_vote", "samples": MOST, "stop": "certificate"}
    both = solve_many(["?", "!"], seed=4, **ask)
    for number, posterior in enumerate(both):
        alone = solve(posterior.question, seed=(4, number), **ask)
        assert written(alone) == written(posterior)


def test_an_evaluation_takes_rules(tmp_path):
    samplers = {
        "vote": MajorityVote(samples=MOST),
        "stopped": [MajorityVote(samples=MOST, stop=rule) for rule in ("certificate", "agreement")],
    }
    ask = {**ASK, "samplers": samplers, "progress": False, "results": tmp_path / "r.jsonl"}
    done = evaluate([("?", 0)], **ask)
    tokens = [record.tokens for record in done.records]
    assert len(tokens) == 3 and max(tokens[1:]) < tokens[0]
    plain, certified, _ = (record.settings for record in done.records)
    assert certified["stop"] == {"kind": "Certificate", "error": 0.05}
    # files of results from before there were rules stay valid
    assert plain == {"sampler": "MajorityVote", "samples": MOST}


def test_the_command_line_takes_rules(capsys, monkeypatch):
    monkeypatch.setattr(motes.models, "load_lm", lambda source, device: ASK["lm"])
    monkeypatch.setattr(motes.models, "load_prm", lambda source, device: ASK["prm"])
    call = ["solve", "?", "--sampler", "majority_vote", "--set", "samples=9", "--json"]
    assert main([*call, "--stop", "windowed_agreement:window=2", "--batch", "1"]) == 0
    stopping = json.loads(capsys.readouterr().out)["stopping"]
    assert stopping["rule"] == "WindowedAgreement(window=2)" and stopping["most"] == 9
    assert main([*call, "--stop"]) == 0
    stopping = json.loads(capsys.readouterr().out)["stopping"]
    assert stopping["rule"] == "Certificate(error=0.05)"
    assert main([*call, "--stop", "nothing"]) == 2
    assert "stop must be one of certificate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": "nothing"}, "stop must be one of"),
        ({"stop": {"rule": "certificate", "level": 0.1}}, "level is not a setting of the stopping"),
        ({"stop": "certificate", "batch": 0}, "batch must be at least 1"),
        ({"stop": "certificate", "target": "odds"}, "needs weights with a known bound"),
        ({"stop": "certificate", "sampler": "particle_filter"}, "stop is not a setting of"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        solve("?", **{"sampler": "importance_sampling", **ASK, **settings})
    with pytest.raises(TypeError, match="stop must be a stopping rule"):
        MajorityVote(stop=3)


def test_a_rule_of_ones_own():
    class Third(StoppingRule):
        name, paper, looks_at_answers = "third", "", False

        def stop(self, solutions):
            return self.exhausted(solutions) if len(solutions) == 3 else None

    model = StateSpaceModel("?", **ASK)
    found = ImportanceSampling(particles=9, stop=Third()).run(model, seed=0)
    assert len(found.trajectories) == 3 and found.guarantee == "consistent"
    assert found.evidence == "unbiased" and found.log_evidence is not None
    assert len(repeated(ParticleFilter(particles=2), model, 5, stop=Third()).runs) == 3
