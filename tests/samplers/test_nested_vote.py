"""Ways of sampling that vote for their own majorities: when they stop, and what they elect, against
the enumerated law."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product
from math import prod

import numpy as np
import pytest

from motes.models import Component, Sampling, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import AllParticlesDead, MajorityVote, nested_vote

SAMPLES, ROUNDS, RUNS = 2, 2, 150
LAW = np.array([0.5, 0.3, 0.2])
COLD, HOT = Sampling(temperature=0.5), Sampling(temperature=1.5)


def table(law, name="table"):
    """States the first of three answers, then ends."""
    return TableLM(lambda prefix: [0, 0, 0, 1] if prefix else [*law, 0], eos=3, name=name)


def declared(law=LAW, **settings):
    first = lambda x: str(x.token_ids[0]) if x.finished else None
    return StateSpaceModel("?", lm=table(law, "one"), max_steps=3, answer=first, **settings)


def at(temperature):
    powered = LAW ** (1 / temperature)
    return powered / powered.sum()


def elected(draws):
    """The share of each answer in a way's vote: of those stated most often, alike."""
    counts = Counter(draws)
    best = [answer for answer in counts if counts[answer] == max(counts.values())]
    return {answer: 1 / len(best) for answer in best}


def shares(ways):
    total: dict[int, float] = defaultdict(float)
    for draws in ways:
        for answer, share in elected(draws).items():
            total[answer] += share / len(ways)
    return tuple(sorted((str(answer), round(share, 9)) for answer, share in total.items()))


def exact():
    """P(how many rounds, the shares of the answers), over all that can be drawn."""
    laws, found = [at(0.5), at(1.5)], defaultdict(float)
    for first in product(range(3), repeat=2 * SAMPLES):
        ways = first[:SAMPLES], first[SAMPLES:]
        p = prod(law[a] for law, draws in zip(laws, ways, strict=True) for a in draws)
        if len(shares(ways)) == 1:
            found[1, shares(ways)] += p
            continue
        for second in product(range(3), repeat=2 * SAMPLES):
            more = second[:SAMPLES], second[SAMPLES:]
            q = prod(law[a] for law, draws in zip(laws, more, strict=True) for a in draws)
            found[2, shares([x + y for x, y in zip(ways, more, strict=True)])] += p * q
    return found


def test_it_stops_and_elects_by_the_law():
    """Of 150 runs; each kind of more than 2% is within 4.7 standard errors of its probability,
    which one of 17 of a right vote misses with 5e-5."""
    law, found = exact(), Counter()
    assert sum(law.values()) == pytest.approx(1)
    for seed in range(RUNS):
        posterior = nested_vote(declared(), [COLD, HOT], samples=SAMPLES, rounds=ROUNDS, seed=seed)
        kind = tuple(sorted((a, round(p, 9)) for a, p in posterior.answers.items() if p > 0))
        found[len(posterior.runs) // 2, kind] += 1
        assert np.exp(posterior.log_weights).sum() == pytest.approx(1)
    assert found.keys() <= law.keys()
    likely = {kind: p for kind, p in law.items() if p > 0.02}
    assert 8 < len(likely) < 20
    for kind, p in likely.items():
        assert abs(found[kind] / RUNS - p) < 4.7 * (p * (1 - p) / RUNS) ** 0.5


def test_one_way_in_one_round_elects_what_a_majority_vote_does():
    for seed in range(10):
        own = nested_vote(declared(), [Sampling()], samples=7, rounds=1, seed=seed)
        votes = MajorityVote(samples=7).run(declared(), seed=(seed, 0))
        best = {a for a, p in votes.answers.items() if p == max(votes.answers.values())}
        assert set(own.answers) == best and own.answer == votes.answer


def test_ways_may_be_models_and_those_without_an_answer_elect_none():
    silent = TableLM(lambda prefix: [0, 0, 1, 0], eos=3, name="silent")
    ways = [table([0, 1, 0]), Component(table([1, 0, 0]), Sampling(top_k=1)), silent]
    posterior = nested_vote(declared(), ways, samples=3, rounds=2)
    third = pytest.approx(1 / 3)
    assert posterior.answers == {"0": third, "1": third, None: third}
    assert len(posterior.runs) == 6 and len(posterior.trajectories) == 18
    assert posterior.settings["lm"] == ["table", "table", "silent"] * 2


def test_a_result_says_what_it_is():
    posterior = nested_vote(declared(), [COLD, HOT], samples=2, rounds=1)
    assert (posterior.guarantee, posterior.evidence) == ("heuristic", "none")
    assert posterior.log_evidence is None and posterior.sampler == "nested_vote"
    assert all(np.isnan(error) for error in posterior.answer_mcse.values())
    assert any("2 ways of sampling voted" in str(finding) for finding in posterior.check())


def test_a_way_without_an_allowed_solution_has_no_vote():
    model = declared([1, 0, 0], constraint=lambda x: x.token_ids[0] == 2)
    assert nested_vote(model, [table([0, 1, 0]), table([0, 0, 1])]).answers == {"2": 1.0}
    with pytest.raises(AllParticlesDead):
        nested_vote(model, [table([0, 1, 0])])
    with pytest.raises(ValueError, match="ways"):
        nested_vote(model, [])
    with pytest.raises(ValueError, match="rounds"):
        nested_vote(model, rounds=0)
    with pytest.raises(TypeError, match="model must be a StateSpaceModel"):
        nested_vote("?", [])  # pyright: ignore
