"""Language models over one network, under different prompts and laws, share its forward passes:
every one draws and tells what it would alone, and of its own prompt."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from motes.models import (
    Component,
    FunctionReward,
    Mixture,
    MixtureLM,
    Sampling,
    StepRule,
    run_batched,
)
from motes.models.asking import Question, answered
from motes.models.hosting.kv import Rows
from motes.models.language.torch_lm import TorchLM
from motes.models.randomness import raw_keys
from motes.models.trajectory import Trajectory
from motes.ppl import StateSpaceModel
from motes.samplers import MajorityVote, ParticleFilter, nested_vote, solve_many

QUESTION = "Tom owns 3 apples. Ann has 2 more than Tom. How many apples does Ann have?"
PROMPTS = [
    None,
    "Q: {question}\nA:",
    "<|user|>Ann has 2 hats and finds 1. How many?<|assistant|>2 + 1 = 3.\n\n{question}",
    "{question} So",
]
RULE = StepRule(cap=12)
COLD, NARROW = Sampling(temperature=0.5), Sampling(top_p=0.6)
LAWS = [
    Sampling(),
    COLD,
    Mixture([NARROW, COLD, Sampling()], weights=[1, 2, 1]),
    Mixture([COLD, Sampling()], per="trajectory"),
]


def lms_of(model: Any, tokenizer: Any, count: int = 4, **options: Any) -> list[TorchLM]:
    """Language models over one network, a prompt each."""
    first = TorchLM(model, tokenizer, step=RULE, probe=False, **options)
    return [first, *(first.prompted(prompt) for prompt in PROMPTS[1:count])]


def apart_of(model: Any, tokenizer: Any, count: int = 4) -> list[TorchLM]:
    """The same, which share nothing."""
    return [
        TorchLM(model, tokenizer, step=RULE, prompt=prompt, probe=False)
        for prompt in PROMPTS[:count]
    ]


def drawings(
    lms: list[TorchLM], heads: list[list[Trajectory]], laws: list[Any], key: int
) -> list[Question]:
    """A question to each to draw a step of each of its heads."""
    questions = []
    for i, (lm, own, law) in enumerate(zip(lms, heads, laws, strict=True)):
        keys = raw_keys(jax.random.split(jax.random.key(10 * key + i), len(own)), len(own))
        named = (("prior", Sampling()), ("sampling", law))
        questions.append(Question(lm, "extend", (own, list(keys)), named=named))
    return questions


def grown(lms: list[TorchLM], steps: int, ask: Any, laws: list[Any] = LAWS) -> list[Any]:
    """Three particles of each, after so many steps, with others among them that begin anew."""
    heads = [[lm.start(QUESTION)] * 3 for lm in lms]
    for number in range(steps):
        heads = ask(drawings(lms, heads, laws[: len(lms)], number))
        again = [
            [x if x.open else lm.start(QUESTION) for x in own]
            for lm, own in zip(lms, heads, strict=True)
        ]
        heads = [[own[i] for i in (0, 2, 2)] for own in again] if number == 1 else again
    return heads


def one_by_one(questions: list[Question]) -> list[Any]:
    return [answer for question in questions for answer in answered([question])]


def same(found: list[Any], expected: list[Any]) -> None:
    for own, other in zip(found, expected, strict=True):
        for x, y in zip(own, other, strict=True):
            assert (x.token_ids, x.finished) == (y.token_ids, y.finished)
            assert x.logprob == pytest.approx(y.logprob, abs=1e-9)
            assert x.proposal_logprob == pytest.approx(y.proposal_logprob, abs=1e-9)
            assert x.component_logprobs == pytest.approx(y.component_logprobs, abs=1e-9)


def test_each_draws_what_it_would_alone(pocket64: Any, tokenizer: Any) -> None:
    """Prompts of other lengths and laws of other widths, over five steps: as models apart."""
    lms = lms_of(pocket64, tokenizer)
    found = grown(lms, 5, answered)
    expected = grown(apart_of(pocket64, tokenizer), 5, one_by_one)
    same(found, expected)
    assert len({x.token_ids for own in found for x in own}) > 6


def test_passes_are_shared_and_tokens_are_their_writers(pocket64: Any, tokenizer: Any) -> None:
    together, apart = lms_of(pocket64, tokenizer), lms_of(pocket64, tokenizer)
    grown(together, 4, answered)
    grown(apart, 4, one_by_one)
    shared, alone = [lm.cost for lm in together], [lm.cost for lm in apart]
    assert [x.generated_tokens for x in shared] == [x.generated_tokens for x in alone]
    assert sum(x.prompt_tokens for x in shared) == sum(x.prompt_tokens for x in alone)
    passes = [sum(x.forward_passes for x in costs) for costs in (shared, alone)]
    longest = max(x.forward_passes for x in alone)
    assert longest <= passes[0] <= 1.5 * longest < 0.5 * passes[1]


@pytest.mark.parametrize("method", ["logprob", "read_steps"])
def test_each_scores_what_it_would_alone(method: str, pocket64: Any, tokenizer: Any) -> None:
    """Steps that others wrote, of several lengths, under laws of its own."""
    results = []
    for make, ask in ((lms_of, answered), (apart_of, one_by_one)):
        lms = make(pocket64, tokenizer)
        heads = grown(lms, 2, ask)
        questions = []
        for i, lm in enumerate(lms):
            others = [x for own in heads[:i] + heads[i + 1 :] for x in own]
            own = [heads[i][k % 3] for k in range(len(others))]
            named: Any = (("prior", COLD if i else Sampling()),)
            if method == "read_steps":
                named += (("proposal", LAWS[i]),)
            given = others if method == "read_steps" else [x.step_token_ids for x in others]
            questions.append(Question(lm, method, (own, given), named=named))
        results.append((ask(questions), ask(questions)))  # the second time from what was kept
    (found, again), (expected, _) = results
    for one, other, third in zip(found, expected, again, strict=True):
        if method == "logprob":
            assert one == pytest.approx(other, abs=1e-9)
            continue
        told = [
            [None if x is None else (x.node.token_ids, x.log_p, *x.terms) for x in readings]
            for readings in (one, other, third)
        ]
        assert any(x is not None for x in told[0])
        for x, y, z in zip(*told, strict=True):
            assert (x is None) == (y is None) == (z is None)
            if x is not None:
                assert x[0] == y[0] == z[0]
                assert x[1:] == pytest.approx(y[1:], abs=1e-9)
                assert x[1:] == pytest.approx(z[1:], abs=1e-9)


def test_a_tree_of_one_is_read_by_another_under_its_own_prompt(
    pocket64: Any, tokenizer: Any
) -> None:
    """What one prompt has read of a node is not taken for what another would: neither from the
    store, nor from the last batch, nor where both are asked at once."""
    one, two = lms_of(pocket64, tokenizer, 2)
    other = apart_of(pocket64, tokenizer, 2)[1]
    [x] = one.extend([one.start(QUESTION)], jax.random.split(jax.random.key(0), 1))
    tokens = [(5, 7, 9)]
    expected = [lm.logprob([x], tokens)[0] for lm in (one, other)]
    assert expected[0] != pytest.approx(expected[1], abs=1e-3)
    assert two.logprob([x], tokens)[0] == pytest.approx(expected[1], abs=1e-9)
    named = (("prior", Sampling()),)
    both = answered([Question(lm, "logprob", ([x], tokens), named=named) for lm in (one, two)])
    assert np.ravel(both) == pytest.approx(expected, abs=1e-9)
    key = jax.random.split(jax.random.key(1), 1)
    [y] = two.extend([x], key)
    [z] = other.extend([x], key)
    assert y.token_ids == z.token_ids and y.logprob == pytest.approx(z.logprob, abs=1e-9)


def test_a_store_that_is_short_changes_nothing(pocket64: Any, tokenizer: Any) -> None:
    """Prompts push each other's keys and values out, and read them again."""
    whole = lms_of(pocket64, tokenizer)
    size = whole[0].tree.pool.token_bytes
    short = lms_of(pocket64, tokenizer, cache_bytes=220 * size)
    found, expected = grown(short, 3, answered), grown(whole, 3, answered)
    same(found, expected)
    assert short[0].tree.pool is short[1].tree.pool
    assert sum(lm.cost.rescored_tokens for lm in short) > sum(
        lm.cost.rescored_tokens for lm in whole
    )


def test_a_batch_without_memory_is_halved(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = grown(lms_of(pocket64, tokenizer), 2, answered)
    select = Rows.select

    def short(self: Rows, rows: Any) -> Rows:
        if len(rows) > 5:
            raise MemoryError
        return select(self, rows)

    monkeypatch.setattr(Rows, "select", short)
    same(grown(lms_of(pocket64, tokenizer), 2, answered), expected)


def test_fixed_shapes_serve_several_prompts(pocket64: Any, tokenizer: Any) -> None:
    static = lms_of(pocket64, tokenizer, 2, decoding="static")
    same(grown(static, 2, answered), grown(lms_of(pocket64, tokenizer, 2), 2, answered))


def test_a_mixture_of_prompts_costs_the_passes_of_one(pocket64: Any, tokenizer: Any) -> None:
    """However many prompts: they draw in one batch, and read what others drew in another."""
    passes = []
    for count in (1, 2, 4):
        lms = lms_of(pocket64, tokenizer, count)
        lm = MixtureLM(Mixture([Component(own) for own in lms], per="trajectory"))
        heads = [lm.start(QUESTION)] * 12
        for number in range(3):
            heads = lm.extend(heads, jax.random.split(jax.random.key(number), 12))
            heads = [x if x.open else lm.start(QUESTION) for x in heads]
        passes.append(lm.cost.forward_passes)
    assert passes[1] <= passes[0] + 10 and passes[2] <= passes[0] + 10


def test_runs_over_one_network_share_batches(pocket64: Any, tokenizer: Any) -> None:
    """Runs under different prompts and temperatures: as alone, in the passes of one of them."""

    def run_of(lm: TorchLM, law: Any, seed: int) -> Any:
        def run(batched: Any) -> tuple[Any, Any]:
            own = batched(lm)
            heads = [own.start(QUESTION)] * 2
            for number in range(3):
                keys = jax.random.split(jax.random.key(seed + number), 2)
                heads = own.extend(heads, keys, sampling=law, prior=Sampling())
                heads = [x if x.open else own.start(QUESTION) for x in heads]
            return heads, own.cost

        return run

    def runs_of(lms: list[TorchLM]) -> list[Any]:
        asked = [(lms[0], COLD), (lms[0], Sampling()), (lms[1], LAWS[2]), (lms[2], Sampling())]
        return [run_of(lm, law, 10 * i) for i, (lm, law) in enumerate(asked)]

    lms, apart = lms_of(pocket64, tokenizer), lms_of(pocket64, tokenizer)
    together, alone = run_batched(runs_of(lms)), [run_batched([x])[0] for x in runs_of(apart)]
    same([heads for heads, _ in together], [heads for heads, _ in alone])
    costs = [cost for _, cost in together]
    assert [x.generated_tokens for x in costs] == [x.generated_tokens for _, x in alone]
    total = sum(lm.cost.forward_passes for lm in lms)
    assert sum(x.forward_passes for x in costs) == total
    assert total < 0.5 * sum(lm.cost.forward_passes for lm in apart)


def test_the_ways_of_a_vote_share_batches(pocket64: Any, tokenizer: Any) -> None:
    """Four temperatures and a prompt, in the passes of the longest."""
    lm, other = lms_of(pocket64, tokenizer, 2)
    temperatures = [Sampling(temperature=value) for value in (0.4, 0.7, 1.0, 1.3)]
    model = StateSpaceModel(QUESTION, lm=lm, max_steps=6)
    posterior = nested_vote(model, [*temperatures, other], samples=2, rounds=1)
    passes = lm.cost.forward_passes + other.cost.forward_passes
    assert posterior.cost.forward_passes == passes
    alone = lms_of(pocket64, tokenizer, 1)[0]
    votes = [
        MajorityVote(samples=2).run(
            StateSpaceModel(QUESTION, lm=alone, prior=prior, max_steps=6), seed=(0, number)
        )
        for number, prior in enumerate(temperatures)
    ]
    texts = [x.text for vote in votes for x in vote.trajectories]
    assert [x.text for x in posterior.trajectories][:8] == texts
    assert passes < 0.5 * sum(vote.cost.forward_passes for vote in votes)


def test_questions_share_the_batches_of_a_mixtures_models(pocket64: Any, tokenizer: Any) -> None:
    """Three questions under a mixture of two prompts: each as alone, all in the passes of one."""
    prm = FunctionReward(lambda x: 0.1 * len(x.step_token_ids))
    questions = [QUESTION, QUESTION.replace("3", "5"), QUESTION.replace("2 more", "1 fewer")]
    found, passes = [], []
    for asked in (questions, questions[1:2]):
        lm, other = lms_of(pocket64, tokenizer, 2)
        filtered = ParticleFilter(particles=3, proposal=Mixture([Component(other), Sampling()]))
        named: Any = {"lm": lm, "prm": prm, "sampler": filtered, "max_steps": 3}
        if len(asked) == 3:
            found += solve_many(asked, **named, seed=7)
        else:
            model = StateSpaceModel(asked[0], lm=lm, prm=prm, max_steps=3)
            found.append(filtered.run(model, seed=(7, 1)))
        passes.append(lm.cost.forward_passes + other.cost.forward_passes)
    alone = found.pop()
    assert found[1].log_evidence == pytest.approx(alone.log_evidence, abs=1e-9)
    assert [x.text for x in found[1].trajectories] == [x.text for x in alone.trajectories]
    assert passes[0] < 1.5 * passes[1]
    assert sum(x.cost.forward_passes for x in found) == passes[0]
