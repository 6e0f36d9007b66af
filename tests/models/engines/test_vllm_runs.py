"""Whole runs over vLLM in process, by samplers that fork, splice and score.

The engine is one that does to its batches what the real one does; its model is a table.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from fake_vllm import vllm_lm
from stub_servers import TableModel

from motes import solve, solve_many
from motes.models import Component, FunctionReward, Mixture, Sampling, StepRule
from motes.models.asking import Question, answered
from motes.models.engines.vllm_lm import VllmLM
from motes.models.randomness import raw_keys
from motes.ppl import Posterior
from motes.samplers import ParticleFilter, ParticleGibbs, Sampler, SuffixMetropolis

QUESTIONS = ["How many pens has Ben?", "Ann has 3 shells.", "How many have they together?"]
CHAINS: dict[str, Any] = {"chains": 2, "starts": 3, "warmup": 0}
GIBBS: dict[str, Any] = {"particles": 4, "ess_threshold": 1.0, "ancestor_sampling": True}
SAMPLERS = [
    ParticleFilter(particles=6, ess_threshold=0.9),
    SuffixMetropolis(**CHAINS, iterations=4),
    ParticleGibbs(**CHAINS, **GIBBS, iterations=12),  # some keep a remainder behind another past
]
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


@pytest.fixture
def lm(table_model: TableModel, vllm: None) -> VllmLM:
    return vllm_lm(table_model, StepRule(cap=12))


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))


def solved(lm: VllmLM, sampler: Sampler, question: str = QUESTIONS[0], **options: Any) -> Posterior:
    prm = FunctionReward(lambda x: 0.3 * len(x.step_token_ids) - 1, name="length")
    return solve(question, lm=lm, prm=prm, sampler=sampler, max_steps=4, **options)


def assert_same(one: Posterior, other: Posterior) -> None:
    assert [x.token_ids for x in one.trajectories] == [x.token_ids for x in other.trajectories]
    np.testing.assert_allclose(one.log_weights, other.log_weights, atol=1e-9)
    np.testing.assert_allclose(one.log_density, other.log_density, atol=1e-9)


@every_sampler
def test_densities_are_those_of_the_target(
    sampler: Sampler, lm: VllmLM, table_model: TableModel
) -> None:
    posterior = solved(lm, sampler)
    assert len(posterior.distinct) > 2
    for x, density in zip(posterior.trajectories, posterior.log_density, strict=True):
        table = table_model.log_probs(lm.rendered(x.question).token_ids, x)
        expected = table[np.arange(len(table)), list(x.token_ids)].sum()
        for node in x.path[1:]:
            expected -= np.log1p(np.exp(1 - 0.3 * len(node.step_token_ids)))
        assert density == pytest.approx(expected, abs=1e-9)


@every_sampler
def test_a_run_whose_engine_dies_is_taken_up(
    sampler: Sampler, lm: VllmLM, table_model: TableModel, tmp_path: Path
) -> None:
    expected, place = solved(lm, sampler), tmp_path / "run.json"
    whole = lm._engine.steps
    mortal, fresh = (vllm_lm(table_model, StepRule(cap=12)) for _ in range(2))
    mortal._engine.dies_after = 3 * whole // 4
    with pytest.raises(RuntimeError, match="the engine is dead"):
        solved(mortal, sampler, checkpoint=place)
    assert_same(solved(fresh, sampler, checkpoint=place), expected)
    assert 0 < fresh._engine.steps < whole


@pytest.mark.slow
@every_sampler
def test_several_questions_are_solved_as_one_by_one(sampler: Sampler, lm: VllmLM) -> None:
    alone = [solved(lm, sampler, question, seed=(2, i)) for i, question in enumerate(QUESTIONS)]
    prm = FunctionReward(lambda x: 0.3 * len(x.step_token_ids) - 1, name="length")
    several = solve_many(QUESTIONS, lm=lm, prm=prm, sampler=sampler, max_steps=4, seed=2)
    for one, other in zip(alone, several, strict=True):
        assert_same(one, other)


def drawn(lms: list[VllmLM], heads: list[Any], laws: list[Any], key: int) -> list[Question]:
    questions = []
    for i, (lm, own, law) in enumerate(zip(lms, heads, laws, strict=True)):
        keys = raw_keys(jax.random.split(jax.random.key(9 * key + i), len(own)), len(own))
        named = (("prior", Sampling()), ("sampling", law))
        questions.append(Question(lm, "extend", (own, list(keys)), named=named))
    return questions


def test_prompts_in_one_engine_share_its_batches(vllm: None, table_model: TableModel) -> None:
    """Two prompts and three laws: each draws what it would alone, in an engine of its own."""
    prompt, law = "Q: {question} A:", Mixture([Sampling(temperature=0.6), Sampling()])
    laws, results, steps = [law, Sampling(), Sampling(top_k=2)], [], []
    for shared in (True, False):
        engines = [vllm_lm(table_model, StepRule(cap=6)) for _ in range(1 if shared else 3)]
        own = engines if not shared else engines * 3
        lms = [own[0], own[1].prompted(prompt), own[2]]
        heads = [[lm.start(QUESTIONS[i % 2])] * 2 for i, lm in enumerate(lms)]
        for number in range(3):
            questions = drawn(lms, heads, laws, number)
            groups = [questions] if shared else [[question] for question in questions]
            heads = [answer for group in groups for answer in answered(group)]
            heads = [
                [x if x.open else lm.start(x.question) for x in row]
                for lm, row in zip(lms, heads, strict=True)
            ]
        results.append([(x.token_ids, x.component_logprobs) for row in heads for x in row])
        costs = [lm.cost for lm in {id(lm): lm for lm in lms}.values()]
        steps.append(sum(cost.forward_passes for cost in costs))
    for (tokens, terms), (others, expected) in zip(*results, strict=True):
        assert tokens == others
        assert terms == pytest.approx(expected, abs=1e-9)
    assert steps[0] < steps[1]


def test_a_filter_under_a_mixture_of_prompts(lm: VllmLM) -> None:
    """Steps are weighed by the law of the mixture: each term is the table's own."""
    other = lm.prompted("Q: {question} A:", name="other")
    mixture = Mixture([Component(other), Sampling(temperature=0.5), Sampling()])
    posterior = solved(lm, ParticleFilter(particles=6, proposal=mixture))
    assert posterior.evidence == "unbiased" and posterior.cost.draft_tokens == 0
    for x in posterior.trajectories:
        root = other.start(x.question)
        by_other = [node.component_logprobs[0] for node in x.path[1:]]
        assert sum(by_other) == pytest.approx(other.logprob([root], [x.token_ids])[0], abs=1e-9)
        own = sum(node.component_logprobs[2] for node in x.path[1:])
        assert own == pytest.approx(x.logprob, abs=1e-9)
