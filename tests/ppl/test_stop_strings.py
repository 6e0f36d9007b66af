"""Texts that end a solution: where it is cut, and that what is sampled is what is declared."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import motes
from motes.models import FunctionReward, TableLM, Trajectory
from motes.ppl.stop_strings import stopped

PROBS = (0.4, 0.3, 0.2, 0.1)
END = 3
LAW = {"logprob": -1.0, "proposal_logprob": -1.0}
LM = TableLM(lambda prefix: PROBS, eos=END)
LOG_ODDS = (0.5, -1.0, 1.5, 0.0)
PRM = FunctionReward(lambda x: LOG_ODDS[x.token_ids[-1]] / x.depth)
MAX_STEPS = 4


def written(*texts: str, **ends: bool) -> Trajectory:
    x = Trajectory(question="?")
    for number, text in enumerate(texts):
        last = number == len(texts) - 1
        x = x.child(text, (number,), **LAW, **(ends if last else {}))
    return x


@pytest.mark.parametrize(
    ("texts", "stops", "left"),
    [
        (["One. Q: two"], ["Q:"], ["One. "]),
        (["One.", " Q: two"], ["Q:"], ["One.", " "]),
        (["One.\n\n", "Q: two"], ["\n\nQ:"], ["One.\n\n", ""]),  # begins in the step before
        (["One. B A"], ["A", "B"], ["One. "]),  # whichever is first
        (["ABAB"], ["BAB", "ABA"], [""]),
        (["O", "n", "e"], ["One"], ["O", "n", ""]),
    ],
)
def test_a_solution_is_cut_where_the_first_text_begins(texts, stops, left):
    for ends in ({}, {"truncated": True}, {"finished": True}):
        x = stopped(written(*texts, **ends), stops)
        assert list(x.steps) == left
        assert (x.finished, x.truncated, x.depth) == (True, False, len(texts))
        assert x.token_ids == tuple(range(len(texts))) and x.logprob == -len(texts)


def test_without_such_a_text_nothing_changes():
    x = written("One.", "Two.", truncated=True)
    assert stopped(x, ["Three", "e.\n"]) is x and stopped(x, []) is x
    assert stopped(x.path[0], ["?"]) is x.path[0]  # a question is no solution


def enumerated() -> tuple[dict[str, float], float]:
    """The posterior over texts, and its evidence: all sequences of tokens, written out.

    A solution ends at "1", at the model's own end, or after MAX_STEPS; "1" is no part of it.
    """
    masses: dict[str, float] = {}
    for length in range(1, MAX_STEPS + 1):
        for tokens in itertools.product(range(4), repeat=length):
            ends = [token in (1, END) for token in tokens]
            if any(ends[:-1]) or not (ends[-1] or length == MAX_STEPS):
                continue
            mass = 1.0
            for depth, token in enumerate(tokens, 1):
                mass *= PROBS[token] / (1.0 + math.exp(-LOG_ODDS[token] / depth))
            text = "".join(LM_TEXT[token] for token in tokens)
            text = text.split(LM_TEXT[1])[0]
            key = f"{text}|{tokens[-1] in (1, END)}"
            masses[key] = masses.get(key, 0.0) + mass
    evidence = sum(masses.values())
    return {text: mass / evidence for text, mass in masses.items()}, evidence


def text_of_token(token: int) -> str:
    probs = np.eye(4)[token]
    x = motes.solve("?", lm=TableLM(lambda prefix: probs, eos=END), prm=None, particles=1)
    return x.trajectories[0].steps[0]


LM_TEXT = [text_of_token(token) for token in range(4)]


@pytest.mark.parametrize("sampler", ["importance_sampling", "particle_filter", "tempered_smc"])
def test_what_is_sampled_is_the_law_of_what_is_left(sampler):
    """Frequencies over 4,000 particles against the enumerated law.

    The largest difference of 60 or so frequencies is below 0.05: a standard error is at most
    0.008 for independent draws, and a population's at most some twice of that.
    """
    expected, evidence = enumerated()
    posterior = motes.solve(
        "?",
        lm=LM,
        prm=PRM,
        sampler=sampler,
        particles=4000,
        max_steps=MAX_STEPS,
        stop_strings=LM_TEXT[1],
        seed=0,
    )
    weights = np.exp(posterior.log_weights - np.logaddexp.reduce(posterior.log_weights))
    found: dict[str, float] = {}
    for x, weight in zip(posterior.trajectories, weights, strict=True):
        key = f"{x.text}|{x.finished}"
        found[key] = found.get(key, 0.0) + float(weight)
    assert set(found) <= set(expected)
    for key, probability in expected.items():
        assert found.get(key, 0.0) == pytest.approx(probability, abs=0.05)
    assert posterior.log_evidence == pytest.approx(math.log(evidence), abs=0.05)
    assert posterior.settings["stop_strings"] == [LM_TEXT[1]]


@pytest.mark.parametrize("sampler", ["particle_gibbs", "suffix_metropolis", "resample_move"])
def test_a_text_that_ends_a_step_is_a_rule_that_ends_it(sampler):
    """To end where a token is written is to finish with an answer there, draw for draw."""
    settings = {"lm": LM, "prm": PRM, "sampler": sampler, "max_steps": MAX_STEPS, "seed": 3}
    if sampler != "resample_move":
        settings |= {"iterations": 6, "chains": 2, "warmup": 2}
    if sampler != "suffix_metropolis":
        settings["particles"] = 6
    stopping = motes.solve("?", **settings, stop_strings=[LM_TEXT[1]])
    rule = lambda x: "stopped" if x.token_ids[-1] == 1 else None
    answering = motes.solve("?", **settings, answer=rule)
    assert [x.token_ids for x in stopping.trajectories] == [
        x.token_ids for x in answering.trajectories
    ]
    np.testing.assert_array_equal(stopping.log_weights, answering.log_weights)
    ends = [x for x in stopping.trajectories if x.token_ids[-1] == 1]
    assert ends and all(x.finished and x.steps[-1] == "" for x in ends)
