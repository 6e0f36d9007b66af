"""Chunked thinking against plain models that are shown each chunk's prompt, put together by hand.

A plain implementation walks over the steps with the list of what is read, and cuts it by the
definition. Seen to fail: a carry of the first steps of a chunk, and a chunk that ends a step late.
"""

from __future__ import annotations

import gc
from itertools import product
from typing import Any

import jax
import numpy as np
import pytest
import torch

from motes import ppl, samplers, solve
from motes.models import (
    ChunkedThinking,
    FunctionReward,
    Sampling,
    StepRule,
    TableLM,
    TorchLM,
    Trajectory,
    calls,
)
from motes.models.confidence import Top, confidence, token_confidences
from motes.models.pocket import problems

PLAIN = Sampling()
EOS = 2


def next_probs(seen: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([3, *seen]).dirichlet([1.0, 1.0, 0.4])


def table() -> TableLM:
    return TableLM(next_probs, eos=EOS)


def keys(seed: int, n: int) -> Any:
    return jax.random.split(jax.random.key(seed), n)


def read_by_hand(
    steps: list[tuple[int, ...]], *, tokens: int, carry: int
) -> list[list[tuple[int, ...]]]:
    """What is read before each step and after the last, as lists of steps."""
    seen: list[tuple[int, ...]] = []
    read = [seen]
    for step in steps:
        seen = [*seen, step]
        if sum(map(len, seen)) >= tokens:
            kept = len(seen) - 1
            while kept and sum(map(len, seen[kept:])) < carry:
                kept -= 1
            seen = seen[kept:]
        read.append(seen)
    return read


def flat(steps: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(token for step in steps for token in step)


def steps_of(x: Trajectory) -> list[tuple[int, ...]]:
    return [node.step_token_ids for node in x.path[1:]]


def log_prob_by_hand(x: tuple[int, ...], tokens: int, carry: int) -> float:
    """Of a table's token ids, a token being a step."""
    read = read_by_hand([(token,) for token in x], tokens=tokens, carry=carry)
    laws = [next_probs(flat(seen)) for seen in read[: len(x)]]
    return float(sum(np.log(law[token]) for law, token in zip(laws, x, strict=True)))


def complete(depth: int) -> list[tuple[int, ...]]:
    every = (x for n in range(1, depth + 1) for x in product(range(3), repeat=n))
    return [x for x in every if EOS not in x[:-1] and (x[-1] == EOS or len(x) == depth)]


@pytest.mark.parametrize(("tokens", "carry"), [(2, 1), (3, 1), (4, 2), (4, 3), (50, 1)])
def test_its_law_is_the_declared_one(tokens: int, carry: int) -> None:
    """Every complete trajectory of up to six steps, to 1e-12; they sum to 1."""
    lm = ChunkedThinking(table(), tokens=tokens, carry=carry)
    root, total = lm.start("?"), 0.0
    for x in complete(6):
        plain = Trajectory(question="?")
        for token in x:
            law: Any = {"logprob": 0.0, "proposal_logprob": 0.0}
            plain = plain.child(f"{token} ", (token,), **law)
        [end] = calls.continued(lm, [root], plain.path[1:], prior=PLAIN, proposal=PLAIN)
        assert end is not None and end.token_ids == x
        assert end.logprob == pytest.approx(log_prob_by_hand(x, tokens, carry), abs=1e-12)
        total += np.exp(end.logprob)
    assert total == pytest.approx(1.0)


def test_draws_are_told_their_own_probability_and_state() -> None:
    lm = ChunkedThinking(table(), tokens=4, carry=2)
    heads = [lm.start("?")] * 30
    for t in range(8):
        heads = [x for x in heads if x.open]
        heads = calls.extend(lm, heads, keys(t, len(heads)), prior=Sampling(temperature=1.0))
    assert heads
    for x in heads:
        assert x.logprob == pytest.approx(log_prob_by_hand(x.token_ids, 4, 2))
        if x.open:
            read = read_by_hand(steps_of(x), tokens=4, carry=2)[-1]
            assert lm.state(x).token_ids == flat(read)
        # of a trajectory that is only known by its tokens, as from a checkpoint, it is the same
        assert x.parent is not None
        fresh = ChunkedThinking(table(), tokens=4, carry=2)
        [again] = calls.extend(fresh, [x.parent], keys(99, 1))
        assert again.logprob == pytest.approx(log_prob_by_hand(again.token_ids, 4, 2))


@pytest.mark.parametrize("top", [None, 2, "entropy"])
@pytest.mark.parametrize(("tokens", "carry"), [(2, 1), (3, 1), (4, 2), (4, 3), (50, 1)])
def test_it_is_as_sure_as_the_model_that_reads_the_chunk(tokens: int, carry: int, top: Top) -> None:
    """Planted: the model asked about all that was written, as if it could see it."""
    lm = ChunkedThinking(table(), tokens=tokens, carry=carry)
    heads = [lm.start("?")] * 20
    for t in range(9):
        going = calls.extend(lm, [x for x in heads if x.open], keys(t, sum(x.open for x in heads)))
        heads = [x for x in heads if not x.open] + going
    found = token_confidences(lm, [lm.start("?"), *heads], top=top)
    assert len(found.pop(0)) == 0
    apart, all_seen = [], token_confidences(lm.lm, heads, top=top)
    for x, values, seeing in zip(heads, found, all_seen, strict=True):
        read = read_by_hand(steps_of(x), tokens=tokens, carry=carry)
        laws = [np.log(next_probs(flat(seen))) for seen in read[: x.depth]]
        assert values == pytest.approx([confidence(law, top) for law in laws], abs=1e-12)
        apart.append(np.abs(values - seeing).max())
    assert (max(apart) > 0.01) == (tokens < 50)


def reward_of(x: tuple[int, ...]) -> float:
    return float(np.random.default_rng([5, *x]).normal(0, 1.0))


def reward(x: Trajectory) -> float:
    return reward_of(x.token_ids)


def log_likelihood(x: tuple[int, ...]) -> float:
    """Of a trajectory's token ids, for the target `product`."""
    return -float(sum(np.log1p(np.exp(-reward_of(x[: t + 1]))) for t in range(len(x))))


@pytest.mark.parametrize("sampler", ["particle_filter", "particle_gibbs", "suffix_metropolis"])
def test_samplers_sample_under_the_declared_prior(sampler: str) -> None:
    """What a sampler takes for a trajectory's density is that of the definition.

    A remainder that is spliced behind another past by particle Gibbs must be scored anew. The
    filter's probabilities of the first token are within four standard errors, 0.06.
    """
    lm = ChunkedThinking(table(), tokens=3, carry=1)
    model = ppl.StateSpaceModel(
        "?", lm=lm, prm=FunctionReward(reward), max_steps=5, stop_at_answer=False
    )
    settings: dict[str, Any] = {
        "particle_filter": {"particles": 1500},
        "particle_gibbs": {"particles": 6, "chains": 3, "iterations": 12, "warmup": 0},
        "suffix_metropolis": {"chains": 6, "iterations": 12},
    }[sampler]
    posterior = samplers.make_sampler(sampler, **settings).run(model, seed=0)
    for x, density in zip(posterior.trajectories, posterior.log_density, strict=True):
        by_hand = log_prob_by_hand(x.token_ids, 3, 1) + log_likelihood(x.token_ids)
        assert density == pytest.approx(by_hand)
    if sampler == "particle_filter":
        masses, found = np.zeros(3), np.zeros(3)
        for tokens in complete(5):
            density = log_prob_by_hand(tokens, 3, 1) + log_likelihood(tokens)
            masses[tokens[0]] += np.exp(density)
        for x, weight in zip(posterior.trajectories, np.exp(posterior.log_weights), strict=True):
            found[x.token_ids[0]] += weight
        assert found == pytest.approx(masses / masses.sum(), abs=0.06)
        assert posterior.log_evidence == pytest.approx(np.log(masses.sum()), abs=0.06)


def test_a_remainder_is_read_once_for_all_pasts_of_one_state() -> None:
    """Ancestor sampling needs the carry alone: 20 pasts, a chunk later they are one row."""
    lm = ChunkedThinking(table(), tokens=4, carry=1)
    pasts = [lm.start("?")] * 20
    for t in range(2):
        going = [x for x in calls.extend(lm, pasts, keys(t, 20)) if x.open]
        pasts = (going * 20)[:20]
    rest = Trajectory(question="?")
    for _ in range(12):
        rest = rest.child("0 ", (0,), logprob=0.0, proposal_logprob=0.0)
    before = lm.cost.rescored_tokens
    ends = calls.continued(lm, pasts, rest.path[1:], prior=PLAIN, proposal=PLAIN)
    states = len({x.token_ids for x in pasts})
    assert lm.cost.rescored_tokens - before <= 2 * 20 + 10 and states > 1
    for x in ends:
        assert x is not None
        assert x.logprob == pytest.approx(log_prob_by_hand(x.token_ids, 4, 1))


@pytest.fixture
def pocket(pocket64: Any, tokenizer: Any) -> TorchLM:
    return TorchLM(pocket64, tokenizer, step=StepRule(cap=6), probe=False)


def test_a_network_is_shown_the_prompts_that_are_put_together_by_hand(pocket: TorchLM) -> None:
    question = next(problems("test", seed=0)).question
    lm = ChunkedThinking(pocket, tokens=14, carry=5)
    heads = [lm.start(question)] * 3
    for t in range(6):
        heads = calls.extend(lm, heads, keys(t, 3))
        heads = [x for x in heads if x.open] or heads
        heads = (heads * 3)[:3]
        if not heads[0].open:
            break
    prompt = list(pocket.rendered(question).token_ids)
    chunks = 0
    for x in heads:
        steps, total = steps_of(x), 0.0
        for seen, step in zip(read_by_hand(steps, tokens=14, carry=5), steps, strict=False):
            ids = [*prompt, *flat(seen), *step]
            with torch.no_grad():
                logits = pocket.model(torch.tensor([ids])).logits[0].double()
            table_ = torch.log_softmax(logits, dim=-1)[-len(step) - 1 : -1]
            total += float(sum(row[token] for row, token in zip(table_, step, strict=True)))
            chunks += flat(seen) != x.token_ids[: len(flat(seen))]
        assert x.logprob == pytest.approx(total, abs=1e-8)
    assert chunks


def test_keys_and_values_are_those_of_a_chunk(pocket: TorchLM) -> None:
    """Held tokens of a long solution: prompt, C and two steps; without chunks they grow."""
    question = next(problems("test", seed=0)).question
    prompt = len(pocket.rendered(question).token_ids)

    def held(lm: Any) -> list[int]:
        pocket.drop_cache()
        x, counts = lm.start(question), []
        for t in range(30):
            [after] = calls.extend(lm, [x], keys(t, 1), sampling=Sampling(temperature=3.0))
            x = after if after.open else x
            gc.collect(1)  # what a step left; all that a run of the tests holds takes a second
            counts.append(pocket._tree.pool.owned)
        assert len(x.token_ids) > 60
        return counts

    chunked = held(ChunkedThinking(pocket, tokens=14, carry=5))
    assert max(chunked) <= prompt + 14 + 2 * 6 + 8
    assert max(held(pocket)) > prompt + 60


def test_a_filter_on_a_network_runs_under_it(pocket: TorchLM) -> None:
    question = next(problems("test", seed=0)).question
    lm = ChunkedThinking(pocket, tokens=14, carry=5)
    posterior = solve(
        question, lm=lm, prm=FunctionReward(reward), particles=4, max_steps=5, progress=False
    )
    assert posterior.guarantee == "consistent"
    assert lm.fingerprint != ChunkedThinking(pocket, tokens=14, carry=4).fingerprint


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError, match="lm must be a language model"):
        ChunkedThinking("pocket", tokens=4, carry=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="carry must be"):
        ChunkedThinking(table(), tokens=4, carry=4)
    with pytest.raises(ValueError, match="tokens must be"):
        ChunkedThinking(table(), tokens=1, carry=1)
