from __future__ import annotations

import json
from math import nan

import numpy as np
import pytest

from motes.diagnostics.facts import cost_in_words, evidence_in_words, population_in_words
from motes.diagnostics.formatting import plus_minus, printable
from motes.diagnostics.summary import summary
from motes.models import Cost


def test_summary(make_posterior) -> None:
    posterior = make_posterior()
    told = summary(posterior)
    assert told["answer"] == "17"
    assert [(row["answer"], row["mcse"]) for row in told["answers"]] == list(
        posterior.answer_mcse.items()
    )
    assert told["reasoning"]["probability"] == pytest.approx(0.45)
    assert told["reasoning"]["steps"] == [
        {"text": "Ben has 7 + 3 = 10.\n\n", "reward": pytest.approx(1 / (1 + np.exp(-3)))},
        {"text": "The answer is 17.", "reward": pytest.approx(1 / (1 + np.exp(-2)))},
    ]
    assert (told["ess"], told["resampled"]) == ([5.2, 4.2], [False, True])
    assert (told["trajectories"], told["distinct_trajectories"], told["first_steps"]) == (6, 4, 3)


def test_summary_is_json(make_posterior) -> None:
    history = make_posterior().history._replace(ancestors=np.array([[0, 1, 2, 3, 4, 5], [1] * 6]))
    told = summary(make_posterior(history=history, log_evidence=-np.inf, extracted=(None,) * 6))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["answers"] == [
        {"answer": None, "probability": pytest.approx(1.0), "mcse": None, "interval": None}
    ]
    assert told["log_evidence"] is None


def test_the_reasoning_shown_states_the_answer(make_posterior) -> None:
    # the most probable trajectory states nothing
    with np.errstate(divide="ignore"):
        posterior = make_posterior(log_weights=np.log([0.0, 0.0, 0.3, 0.7, 0.0, 0.0]))
    told = summary(posterior)
    assert posterior.best.truncated
    assert told["answer"] == "18"
    assert [step["text"] for step in told["reasoning"]["steps"]] == [
        "Ben has 7 + 3 = 11.\n\n",
        "The answer is 18.",
    ]
    assert told["reasoning"]["steps"][1]["reward"] == 1.0  # log-odds of infinity


def test_without_a_reward_model(make_posterior) -> None:
    steps = summary(make_posterior(log_odds=(np.zeros(0),) * 6))["reasoning"]["steps"]
    assert [step["reward"] for step in steps] == [None, None]


def test_findings_are_told(make_posterior) -> None:
    posterior = make_posterior(guarantee="heuristic", evidence="none")
    told = summary(posterior)
    assert [row["name"] for row in told["findings"]] == [
        finding.name for finding in posterior.check()
    ]
    assert (
        told["findings"][0]["name"] == "no guarantee"
        and json.loads(json.dumps(told["findings"])) == told["findings"]
    )
    assert "Answers" in repr(told) and told._repr_html_() == posterior._repr_html_()


def test_words(make_posterior) -> None:
    assert evidence_in_words(make_posterior()) == (
        "-1.25 ± 0.34, an estimate: unbiased for Z, so too low in the log by about half its "
        "variance"
    )
    assert (
        evidence_in_words(make_posterior(evidence="none"))
        == "-1.25 ± 0.34, an estimate: without a guarantee"
    )
    assert evidence_in_words(make_posterior(log_evidence=None)) == ""
    assert population_in_words(make_posterior()) == "6 trajectories, 4 distinct, from 3 first steps"
    assert (
        cost_in_words(Cost(generated_tokens=1234, prompt_tokens=20, seconds=1.5))
        == "1,234 tokens generated, 20 of prompt; 1.50 s"
    )
    cost = Cost(generated_tokens=1, prompt_tokens=2, rescored_tokens=3, prm_tokens=4, seconds=0.1)
    assert (
        cost_in_words(cost)
        == "1 tokens generated, 2 of prompt, 3 rescored; 4 by the reward model; 0.10 s"
    )
    assert plus_minus(0.5, 0.0312) == "0.500 ± 0.031"
    assert plus_minus(0.5, None) == plus_minus(0.5, nan) == "0.500 ± ?"


def test_nothing_printed_commands_the_terminal() -> None:
    assert printable("a\r\nb\tc\n") == "a\nb\tc\n"
    assert printable("\x1b[2J\x9b\x07\u202e\ud800") == "\ufffd[2J\ufffd\ufffd\ufffd\ufffd"
    assert printable("π ≤ ½ ü 東 👍🏽") == "π ≤ ½ ü 東 👍🏽"


def test_weight_on_few_of_many_first_steps_is_noted() -> None:
    """One dominant particle among 64: its error estimate collapses, and the reader is told."""
    import motes
    from motes.models import FunctionReward, TableLM

    lm = TableLM(lambda prefix: [0.79, 0.2, 0.01] if not prefix else [0, 0, 0, 1], eos=3)
    prm = FunctionReward(
        lambda x: {0: 0.0, 1: 4.0, 2: 9.0}[x.token_ids[0]] if x.depth == 1 else 0.0
    )
    model = motes.ppl.StateSpaceModel("?", lm=lm, prm=prm, target="odds", max_steps=1)
    posteriors = [
        motes.samplers.ParticleFilter(particles=64).run(model, seed=seed) for seed in range(8)
    ]
    drew = [
        posterior
        for posterior in posteriors
        if any(x.token_ids[0] == 2 for x in posterior.trajectories)
    ]
    assert drew, "one of eight seeds draws the token that carries the weight"
    for posterior in drew:
        assert posterior.check()
