"""Live runs under an allocation: first draws of plain runs, as many as a replay gives."""

from __future__ import annotations

import numpy as np
import pytest

from motes import solve_many
from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.ppl.decisions import pool_of
from motes.samplers import AllParticlesDead, ParticleFilter
from motes.samplers.allocation import (
    EqualShares,
    KnowledgeGradient,
    Thompson,
    allocated,
    replayed,
    solutions_of,
)

MOST = 24


def first_token(x):
    return str(x.token_ids[0]) if x.finished else None


# the first token is the answer, and the question decides how sure it is
QUESTIONS = ("sure", "unsure", "sure", "unsure")
ASK = {
    "prm": FunctionReward(lambda x: 1.5 - x.token_ids[-1]),
    "max_steps": 6,
    "answer": first_token,
    "seed": 5,
}


class Asked(TableLM):
    """A table whose first token depends on the question."""

    def _logits(self, prefix, trajectory):
        if prefix:
            law = [0.1, 0.2, 0.7]
        else:
            law = [0.9, 0.08, 0.02] if trajectory.question == "sure" else [0.5, 0.48, 0.02]
        return np.log(law)


LM = Asked(lambda prefix: [1.0], eos=2)
SAMPLERS = {
    "importance_sampling": {"sampler": "importance_sampling", "particles": MOST},
    "majority_vote": {"sampler": "majority_vote", "samples": MOST},
}


def written(posterior):
    return [x.token_ids for x in posterior.trajectories]


@pytest.fixture(scope="module", params=SAMPLERS)
def plain(request):
    return request.param, solve_many(QUESTIONS, lm=LM, **ASK, **SAMPLERS[request.param])


@pytest.mark.parametrize("rule", [KnowledgeGradient, Thompson, EqualShares])
def test_live_shares_are_those_of_a_replay(plain, rule):
    name, whole = plain
    allocation = rule(budget=50, least=3, batch=3, width=2)
    found = solve_many(QUESTIONS, lm=LM, allocation=allocation, **ASK, **SAMPLERS[name])
    pools = [solutions_of(pool_of(posterior)) for posterior in whole]
    shares = replayed(allocation, pools)
    assert [len(posterior.trajectories) for posterior in found] == shares and sum(shares) == 50
    for posterior, alone, share in zip(found, whole, shares, strict=True):
        assert written(posterior) == written(alone)[:share]
        weights = np.exp(alone.log_weights[:share])
        assert np.exp(posterior.log_weights) == pytest.approx(weights / weights.sum())
        assert posterior.cost.generated_tokens == sum(map(len, written(posterior)))
        stopping = posterior.provenance.stopping
        assert (stopping.draws, stopping.most, stopping.unused) == (share, MOST, 0)
        assert stopping.answer == posterior.answer and f"{share} of 50" in stopping.said
        expected = "heuristic" if allocation.looks_at_answers else "consistent"
        assert posterior.guarantee == expected
    if allocation.looks_at_answers:
        assert shares[1] + shares[3] > shares[0] + shares[2]


def test_by_name_and_with_a_bar(capsys):
    mapping = {"rule": "knowledge_gradient", "budget": 20}
    ask = {**ASK, **SAMPLERS["majority_vote"], "lm": LM, "allocation": mapping}
    found = solve_many(QUESTIONS, progress=True, **ask)
    assert sum(len(posterior.trajectories) for posterior in found) == 20
    assert "20/20" in capsys.readouterr().err


def test_a_question_all_of_whose_solutions_die():
    ask = {**ASK, **SAMPLERS["importance_sampling"], "lm": LM, "allocation": EqualShares(budget=8)}
    ask["constraint"] = lambda x: x.question == "sure"
    kept = solve_many(["sure", "unsure"], dead="keep", **ask)
    assert kept[0].answer == "0" and isinstance(kept[1], AllParticlesDead)
    with pytest.raises(AllParticlesDead):
        solve_many(["sure", "unsure"], **ask)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sampler": "particle_filter"}, TypeError, "allocation is for samplers of independent"),
        ({"sampler": "majority_vote", "stop": "agreement"}, ValueError, "neither a stopping rule"),
        ({"sampler": "importance_sampling", "budget": 99}, ValueError, "nor a budget of its own"),
    ],
)
def test_other_samplers_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        solve_many(QUESTIONS, lm=LM, allocation=EqualShares(budget=16), **ASK, **settings)


def test_a_filter_is_refused_by_the_function_too():
    model = StateSpaceModel("sure", lm=LM, prm=None, answer=first_token)
    with pytest.raises(TypeError, match="allocation is for samplers"):
        allocated(ParticleFilter(), [model], EqualShares(budget=16), [(0, 0)])
