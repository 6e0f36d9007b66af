"""Solve or verify: beliefs and gains against the joint law of answers and verdicts, enumerated."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers.allocation import SolveOrVerify, Verdicts, solve_and_verify

RULE = SolveOrVerify(budget=16, price=0.5, pass_right=0.8, pass_wrong=0.3)


def urn(sequence: tuple[int, ...]) -> float:
    """P(a sequence of answers), by the Chinese restaurant of strength 1; labels by first sight."""
    mass, seen = 1.0, []
    for place, answer in enumerate(sequence):
        mass *= (seen.count(answer) if answer in seen else 1.0) / (place + 1)
        seen.append(answer)
    return mass


def labelled(size: int):
    """Every sequence of answers, numbered by first sight."""
    for sequence in product(range(size), repeat=size):
        firsts = list(dict.fromkeys(sequence))
        if firsts == list(range(len(firsts))):
            yield sequence


def joint(drawn: tuple[int, ...], verdicts: dict[int, tuple[int, int]]) -> dict[int, float]:
    """P(drawn, verdicts, the truth is a); -1 for an answer that was not drawn.

    The truth is the last customer of the restaurant.
    """
    masses = {}
    for truth in [*sorted(set(drawn)), max(drawn) + 1]:
        mass = urn((*drawn, truth))
        for answer, (passes, failures) in verdicts.items():
            e = 0.8 if answer == truth else 0.3
            mass *= e**passes * (1 - e) ** failures
        masses[truth if truth in drawn else -1] = mass
    return masses


def chance(drawn, verdicts) -> float:
    """P(drawn, verdicts, the answer given is right), of the best answer to give."""
    return max(mass for answer, mass in joint(drawn, verdicts).items() if answer >= 0)


def said(drawn, verdicts):
    counts = {str(a): drawn.count(a) for a in dict.fromkeys(drawn)}
    return counts, {str(a): Verdicts(*v) for a, v in verdicts.items()}


CASES = [((0,), {}), ((0, 0, 1), {1: (1, 0)}), ((0, 1, 2, 1), {0: (2, 1), 2: (0, 1)})]


@pytest.mark.parametrize(("drawn", "verdicts"), CASES)
def test_beliefs(drawn, verdicts):
    masses = joint(drawn, verdicts)
    found = RULE.beliefs(*said(drawn, verdicts))
    for answer, mass in masses.items():
        name = None if answer < 0 else str(answer)
        assert found[name] == pytest.approx(mass / sum(masses.values()))


@pytest.mark.parametrize(("drawn", "verdicts"), CASES)
@pytest.mark.parametrize("m", [1, 2, 3])
def test_gains(drawn, verdicts, m):
    total = sum(joint(drawn, verdicts).values())
    now = chance(drawn, verdicts) / total
    kinds = len(set(drawn))
    after = 0.0
    for further in product(range(kinds + m), repeat=m):
        sequence = (*drawn, *further)
        firsts = list(dict.fromkeys(sequence))
        if firsts == list(range(len(firsts))):  # new answers are numbered by first sight
            after += chance(sequence, verdicts) / total
    gain = RULE.gain_of_solutions(*said(drawn, verdicts), m)
    assert gain == pytest.approx(after - now) and gain >= -1e-12
    for answer in set(drawn):
        passes, failures = verdicts.get(answer, (0, 0))
        after = 0.0
        for outcome in product((0, 1), repeat=m):
            k = sum(outcome)
            later = {**verdicts, answer: (passes + k, failures + m - k)}
            after += chance(drawn, later) / total
        gain = RULE.gain_of_verdicts(*said(drawn, verdicts), str(answer), m)
        assert gain == pytest.approx(after - now) and gain >= -1e-12


def test_what_is_bought_depends_on_the_price():
    tied = {"17": 4, "18": 4}
    cheap, dear = SolveOrVerify(budget=16, price=0.1), SolveOrVerify(budget=16, price=50.0)
    assert cheap.next(tied, {}).answer in tied and dear.next(tied, {}).answer is None
    assert cheap.next(tied, {}, {"17": 0, "18": 0}).answer is None  # none left to verify


def first(x):
    return str(x.token_ids[0]) if x.finished else None


LM = TableLM(lambda prefix: [0.6, 0.4, 0] if not prefix else [0, 0, 1], eos=2)
MODEL = StateSpaceModel("?", lm=LM, prm=None, answer=first)


def test_a_verifier_overrules_the_vote():
    judge = FunctionReward(lambda x: 1.0 if x.token_ids[0] == 1 else -1.0)
    rule = SolveOrVerify(budget=24, price=0.5, pass_right=0.9, pass_wrong=0.2)
    found = solve_and_verify(MODEL, judge, rule, seed=1)
    verified = sum(map(sum, found.verdicts.values()))
    assert found.answer == "1" and found.counts["0"] > found.counts["1"]
    assert found.spent == pytest.approx(len(found.solutions) + 0.5 * verified)
    assert 23 < found.spent <= 24
    assert found.verdicts["1"].failures == 0 and found.verdicts["0"].passes == 0
    # a verdict that is always the same is asked for once of each solution
    assert all(sum(each) <= found.counts[answer] for answer, each in found.verdicts.items())
    assert found.cost.prm_tokens == verified and found.cost.generated_tokens > 0
    assert sum(found.beliefs.values()) == pytest.approx(1)


def test_a_generative_verifier_is_asked_again():
    drawn = np.random.default_rng(0)
    judge = FunctionReward(lambda x: 1.0 if drawn.uniform() < 0.9 - 0.7 * x.token_ids[0] else -1.0)
    rule = SolveOrVerify(budget=8, price=0.05, pass_right=0.9, pass_wrong=0.2)
    found = solve_and_verify(MODEL, judge, rule, repeats=50)
    assert found.answer == "0" and found.beliefs["0"] > 0.9
    assert max(sum(each) for each in found.verdicts.values()) > max(found.counts.values())


def test_solutions_without_an_answer():
    silent = StateSpaceModel("?", lm=LM, prm=None, answer=lambda x: None)
    found = solve_and_verify(silent, FunctionReward(len), SolveOrVerify(budget=4))
    assert found.answer is None and found.beliefs == {None: 1.0} and len(found.solutions) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, "budget must be"),
        ({"price": 0}, "price must be"),
        ({"pass_right": 0.2}, "pass_right must be above pass_wrong"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SolveOrVerify(**{"budget": 8, **settings})
