"""Chunks that are carried over by a summary which the model writes, against the definition by hand.

A plain implementation walks over a trajectory's tokens with what is read before each. Planted, and
seen: a summary that is carried together with the one before it, a chunk that begins with the carry
before its own, and an end of text in a summary that ends the solution.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import jax
import numpy as np
import pytest
import torch
from lm_contract import CHECKS, Host

from motes import ppl, solve
from motes.models import (
    ChunkedThinking,
    FunctionReward,
    Mixture,
    Sampling,
    StepRule,
    Summary,
    TableLM,
    TorchLM,
    Trajectory,
    calls,
)
from motes.models.confidence import confidence, token_confidences
from motes.models.language.chunk_carries import Given, Summarised
from motes.models.language.chunk_memory import ChunkMemory
from motes.models.pocket import problems
from motes.samplers import SAMPLERS, make_sampler
from motes.samplers.registry import settings_of

PLAIN, EOS = Sampling(), 2
ASK, HEADING, CLOSING = (7, 7), (8,), (9,)
WORDS = {"ask": ASK, "heading": HEADING, "closing": CLOSING}
Tokens = tuple[int, ...]


@cache
def next_probs(seen: Tokens) -> np.ndarray:
    probs = np.random.default_rng([3, *seen]).dirichlet([1.0, 1.0, 0.6])
    return 0.6 * probs + [0.2, 0.2, 0.0]


def chunked(chunk: int, most: int, end: str | None) -> ChunkedThinking:
    carry = Summary(tokens=most, end=end, ask="ask", heading="heading", closing="closing")
    table = TableLM(next_probs, eos=EOS)
    return ChunkedThinking(table, tokens=chunk, carry=carry, encode=WORDS.__getitem__)


def read_by_hand(x: Tokens, chunk: int, most: int, end: str | None) -> Iterator[tuple[Tokens, str]]:
    """What is read before each token, and behind the last, and what is being written."""
    read, said, kind = (), (), "segment"
    yield read, kind
    for token in x:
        read = (*read, token)
        if kind == "segment" and token == EOS:
            kind = "ended"
        elif kind == "segment" and len(read) >= chunk:
            read, said, kind = (*read, *ASK), (), "summary"
        elif kind == "summary":
            said = (*said, token)
            if end is None or token == EOS or end == f"{token} " or len(said) >= most:
                kept = said[:-1] if said[-1] == EOS else said
                read, kind = (*HEADING, *kept, *CLOSING), "segment"
        yield read, kind


def complete(depth: int, *law: Any) -> Iterator[Tokens]:
    """All trajectories that end by end of text outside of a summary, or have so many tokens."""
    for length in range(1, depth + 1):
        for x in product(range(3), repeat=length):
            *before, last = [kind for _, kind in read_by_hand(x, *law)]
            if "ended" not in before and (last == "ended" or length == depth):
                yield x


def log_prob_by_hand(x: Tokens, *law: Any) -> float:
    read = [seen for seen, _ in read_by_hand(x, *law)][: len(x)]
    probs = [next_probs(seen)[token] for seen, token in zip(read, x, strict=True)]
    return float(np.log(probs).sum())


def written(x: Tokens) -> tuple[Trajectory, ...]:
    """The steps of a trajectory that nobody has drawn."""
    node = Trajectory(question="?")
    for token in x:
        node = node.child(f"{token} ", (token,), logprob=0.0, proposal_logprob=0.0)
    return node.path[1:]


def scored(lm: ChunkedThinking, x: Tokens) -> Any:
    [end] = calls.continued(lm, [lm.start("?")], written(x), prior=PLAIN, proposal=PLAIN)
    return end


LAWS = [(2, 1, None), (3, 1, None), (3, 2, "1 "), (4, 3, "0 "), (50, 2, None)]


def largest_error(lm: ChunkedThinking, *law: Any) -> float:
    errors, total = [], 0.0
    for x in complete(5, *law):
        end = scored(lm, x)
        total += np.exp(log_prob_by_hand(x, *law))
        if end is None:  # it ended before
            errors.append(np.inf)
            continue
        errors.append(abs(end.logprob - log_prob_by_hand(x, *law)))
        read, kind = list(read_by_hand(x, *law))[-1]
        told = lm.state(end).token_ids, lm.summarises(end)
        if kind != "ended" and told != (read, kind == "summary"):
            errors.append(np.inf)
    assert total == pytest.approx(1.0)
    return max(errors)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_its_law_is_the_declared_one(law: tuple[Any, ...]) -> None:
    """Every complete trajectory of up to five steps of both kinds, to 1e-12; they sum to 1."""
    assert largest_error(chunked(*law), *law) < 1e-12


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_it_is_as_sure_as_the_model_that_reads_the_chunk(law: tuple[Any, ...]) -> None:
    """Of every token of every solution of up to five, those of summaries among them."""
    lm = chunked(*law)
    every = list(complete(5, *law))
    found = token_confidences(lm, [written(x)[-1] for x in every], top="entropy")
    for x, values in zip(every, found, strict=True):
        read = [seen for seen, _ in read_by_hand(x, *law)][: len(x)]
        laws = [np.log(next_probs(seen)) for seen in read]
        assert values == pytest.approx([confidence(p, "entropy") for p in laws], abs=1e-12)


def test_a_summary_of_more_than_the_carry_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the segment that was summed up stays in front of the summary."""
    law, kept = LAWS[1], Summarised.kept

    def more(self: Summarised, state: Any) -> tuple[Given, ...]:
        before = state.read.path[1 : state.asked.depth]
        return (*(Given(x.step_text, x.step_token_ids) for x in before), *kept(self, state))

    monkeypatch.setattr(Summarised, "kept", more)
    assert largest_error(chunked(*law), *law) > 1e-3


def test_the_carry_of_another_chunk_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a chunk begins with the carry of the chunk before its own."""
    law, behind = LAWS[1], ChunkMemory._next_chunk
    last: dict[Any, Any] = {}

    def late(self: ChunkMemory, state: Any) -> Any:
        before = last.get(state.begun, self.root("?"))
        begun = behind(self, state)
        last[begun.begun] = begun
        return before

    monkeypatch.setattr(ChunkMemory, "_next_chunk", late)
    assert largest_error(chunked(*law), *law) > 1e-3


def test_an_end_of_text_that_ends_the_solution_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the end of a summary's text is what it is elsewhere, and its token stays."""
    monkeypatch.setattr(Summarised, "ends_summary", lambda self, step: False)
    law = LAWS[2]
    assert largest_error(chunked(*law), *law) > 1e-3


def drawn(lm: Any, rows: int, depth: int, **laws: Any) -> list[Trajectory]:
    """Leaves of a small tree."""
    heads = [lm.start("?")] * rows
    ends = []
    for t in range(depth):
        keys = jax.random.split(jax.random.key(t), rows)[: len(heads)]
        heads = calls.extend(lm, heads, keys, **laws)
        ends += [x for x in heads if not x.open]
        heads = [x for x in heads if x.open]
    return [*ends, *heads]


def test_draws_are_told_their_own_probability() -> None:
    """Under a mixture too, whose components' log-probabilities are those of the step."""
    law, warm = (3, 2, "1 "), Sampling(temperature=2.0)
    lm = chunked(*law)
    mixture = Mixture([PLAIN, warm], weights=[1, 2])
    found = drawn(lm, 24, 9, sampling=mixture, prior=PLAIN)
    assert any(2 in x.token_ids[:-1] for x in found)  # a summary that ended by end of text
    for x in found:
        assert x.logprob == pytest.approx(log_prob_by_hand(x.token_ids, *law), abs=1e-12)
        assert x.finished == (list(read_by_hand(x.token_ids, *law))[-1][1] == "ended")
        for node in x.path[1:]:
            own, hot = node.component_logprobs
            assert own == pytest.approx(node.step_logprob, abs=1e-12)
            total = np.logaddexp(own - np.log(3), hot + np.log(2 / 3))
            assert node.step_proposal_logprob == pytest.approx(total, abs=1e-12)
        # of a trajectory that is known by its tokens alone, as from a checkpoint, it is the same
        if x.open:
            fresh = chunked(*law)
            assert fresh.state(x).token_ids == lm.state(x).token_ids
    whole = Mixture([PLAIN, warm], per="trajectory")
    with pytest.raises(ValueError, match="must be a Mixture per step for"):
        calls.extend(lm, [lm.start("?")], jax.random.split(jax.random.key(0), 1), sampling=whole)


@pytest.mark.parametrize("carry", ["last steps", "summary"])
def test_a_remainder_costs_what_is_new_to_it(carry: str) -> None:
    """Tokens scored: each past's to the end of its chunk; then its own, if its carry is another's.

    31 pasts of 3 tokens, a remainder of 27, chunks that end with 4 tokens and carry one: behind the
    end of its chunk a past has the carry that the remainder's own has, and costs nothing more.
    Without the states it is 31 x 27.
    """
    law = (4, 1, None)
    lm = chunked(*law)
    if carry == "last steps":
        lm = ChunkedThinking(TableLM(next_probs), tokens=4, carry=1)
    else:
        lm = ChunkedThinking(
            TableLM(next_probs), tokens=4, carry=lm.carry, encode=WORDS.__getitem__
        )
    key = lambda t, rows: jax.random.split(jax.random.key(t), rows)
    pasts = [lm.start("?")] * 32
    for t in range(3):
        pasts = calls.extend(lm, pasts, key(t, 32))
    reference = pasts[0]
    for t in range(27):
        [reference] = calls.extend(lm, [reference], key(100 + t, 1))
    rest, others = reference.path[4:], pasts[1:]
    before = lm.cost.rescored_tokens
    ends: Any = calls.continued(lm, others, rest, prior=PLAIN, proposal=PLAIN)
    spent = lm.cost.rescored_tokens - before
    to_the_carry = 1 if carry == "last steps" else 2
    assert spent == 31 * to_the_carry
    # spliced, the remainder is known behind that carry as well
    again: Any = calls.continued(lm, others, ends[0].path[4:], prior=PLAIN, proposal=PLAIN)
    twice = lm.cost.rescored_tokens - before - spent
    assert twice == 30 * to_the_carry
    # the remainder under another law is another matter
    warm = Sampling(temperature=2.0)
    warmer: Any = calls.continued(lm, others, rest, prior=warm, proposal=warm)
    assert lm.cost.rescored_tokens - before - spent - twice >= 31
    assert warmer[0].logprob != pytest.approx(ends[0].logprob)
    for one, two, x in zip(ends, again, others, strict=True):
        assert one.token_ids == two.token_ids == (*x.token_ids, *reference.token_ids[3:])
        fresh = ChunkedThinking(
            TableLM(next_probs), tokens=4, carry=lm.carry, encode=WORDS.__getitem__
        )
        plain = scored(fresh, one.token_ids)
        assert one.logprob == pytest.approx(plain.logprob, abs=1e-12)
        assert two.logprob == pytest.approx(plain.logprob, abs=1e-12)


def reward_of(x: Tokens) -> float:
    return float(np.random.default_rng([5, *x]).normal(0, 1.0))


SMALL = {"particles": 4, "iterations": 3, "warmup": 0, "chains": 2, "moves": 1, "expansions": 2}
AS_ANY = {
    "particle_gibbs": {"ancestor_sampling": True},
    "persistent_pool": {"rounds": 2},
}
NOT_EVERY_HOST = ("self_evaluation_beam", "phi_decoding", "momentum_uncertainty")


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("carry", ["summary", "last steps"])
def test_every_sampler_follows_the_declared_prior(carry: str) -> None:
    """What each sampler takes for a trajectory's density is that of the definition."""
    law = (3, 2, "1 ")
    lm: ChunkedThinking = chunked(*law)
    if carry == "last steps":
        lm = ChunkedThinking(TableLM(next_probs, eos=EOS), tokens=3, carry=1)
    prm = FunctionReward(lambda x: reward_of(x.token_ids))
    model = ppl.StateSpaceModel("?", lm=lm, prm=prm, max_steps=5, stop_at_answer=False)
    seen = 0
    for name in SAMPLERS:
        if name in NOT_EVERY_HOST:
            continue
        own = {key: value for key, value in SMALL.items() if key in settings_of(name)}
        posterior = make_sampler(name, **own | AS_ANY.get(name, {})).run(model, seed=0)
        for x, density in zip(posterior.trajectories, posterior.log_density, strict=True):
            if x.open:  # it was left behind, with weight zero
                continue
            by_hand = scored(lm, x.token_ids).logprob
            if carry == "summary":
                by_hand = log_prob_by_hand(x.token_ids, *law)
            assert x.logprob == pytest.approx(by_hand, abs=1e-9), name
            prefixes = [x.token_ids[: t + 1] for t in range(x.depth)]
            lost = sum(np.log1p(np.exp(-reward_of(prefix))) for prefix in prefixes)
            assert density == pytest.approx(by_hand - lost, abs=1e-9), name
            seen += x.depth > 3  # beyond a chunk
        assert posterior.settings["lm"] == lm.name and "chunks of 3 tokens" in lm.name
    assert seen > 30


@pytest.fixture
def pocket(pocket64: Any, tokenizer: Any) -> TorchLM:
    return TorchLM(pocket64, tokenizer, step=StepRule(cap=6), probe=False)


def summarised(pocket: TorchLM) -> ChunkedThinking:
    carry = Summary(tokens=7, end=".", ask=" So ", heading=" Ben ", closing=".\n")
    return ChunkedThinking(pocket, tokens=14, carry=carry)


def test_a_network_is_shown_the_prompts_that_are_put_together_by_hand(pocket: TorchLM) -> None:
    question = next(problems("test", seed=0)).question
    lm, encode = summarised(pocket), pocket.tokenizer.encode
    ask, heading, closing = (encode(text) for text in (" So ", " Ben ", ".\n"))
    x = lm.start(question)
    for t in range(14):
        hot = Sampling(temperature=2.0)
        [after] = calls.extend(lm, [x], jax.random.split(jax.random.key(t), 1), sampling=hot)
        x = after if after.open else x
    prompt = list(pocket.rendered(question).token_ids)
    read, said, writes, total, summaries, sure = [], [], False, 0.0, 0, []
    for node in x.path[1:]:
        step, text = list(node.step_token_ids), node.step_text
        with torch.no_grad():
            logits = pocket.model(torch.tensor([[*prompt, *read, *step]])).logits[0].double()
        table = torch.log_softmax(logits, dim=-1)[-len(step) - 1 : -1]
        sure += [confidence(row.numpy(), 20) for row in table]
        total += float(sum(row[token] for row, token in zip(table, step, strict=True)))
        read += step
        if writes:
            said.append((step, text))
            ended = step[-1] in pocket.end_ids
            tokens = [token for part, _ in said for token in part]
            if ended or "." in "".join(each for _, each in said) or len(tokens) >= 7:
                kept = tokens[:-1] if ended else tokens
                read, writes = [*heading, *kept, *closing], False
                summaries += 1
        elif len(read) >= 14:
            read, said, writes = [*read, *ask], [], True
    assert summaries >= 2 and lm.state(x).token_ids == tuple(read)
    assert x.logprob == pytest.approx(total, abs=1e-8)
    assert token_confidences(lm, [x])[0] == pytest.approx(sure, abs=1e-8)
    [again] = calls.continued(lm, [lm.start(question)], x.path[1:], prior=PLAIN, proposal=PLAIN)
    assert again is not None and again.logprob == pytest.approx(total, abs=1e-8)


def test_keys_and_values_are_those_of_a_chunk(pocket: TorchLM) -> None:
    """Held tokens of a long solution: prompt, C, a step, the words that ask, a summary, a step."""
    question = next(problems("test", seed=0)).question
    lm, counts = summarised(pocket), []
    pocket.drop_cache()
    x = lm.start(question)
    for t in range(26):
        hot = Sampling(temperature=3.0)
        [after] = calls.extend(lm, [x], jax.random.split(jax.random.key(t), 1), sampling=hot)
        x = after if after.open else x
        gc.collect(1)  # what a step left; all that a run of the tests holds takes a second
        counts.append(pocket._tree.pool.owned)
    prompt, ask = len(pocket.rendered(question).token_ids), len(pocket.tokenizer.encode(" So "))
    assert len(x.token_ids) > 60 and max(counts) <= prompt + 14 + 6 + ask + 7 + 2 * 6 + 8


def test_a_filter_on_a_network_runs_under_it_and_says_so(pocket: TorchLM) -> None:
    question = next(problems("test", seed=0)).question
    lm = summarised(pocket)
    prm = FunctionReward(lambda x: reward_of(x.token_ids))
    posterior = solve(question, lm=lm, prm=prm, particles=3, max_steps=6, progress=False)
    assert posterior.guarantee == "consistent"
    assert "chunks of 14 tokens that carry a summary of 7" in str(posterior.settings["lm"])
    assert posterior.settings["prompt"] == pocket.rendered(question).text
    other = Summary(tokens=7, end=".", ask=" Now ", heading=" Ben ", closing=".\n")
    assert lm.fingerprint != ChunkedThinking(pocket, tokens=14, carry=other).fingerprint
    assert lm.fingerprint == summarised(pocket).fingerprint


@pytest.mark.long(quick=7)
@pytest.mark.parametrize("carry", [3, Summary(tokens=3)], ids=["last steps", "summary"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_host_in_one_long_chunk_keeps_the_contract(
    check: Any, carry: Any, pocket64: Any, tokenizer: Any
) -> None:
    """As the host does itself, by the network's own numbers."""

    def make(rule: StepRule, context: int | None) -> ChunkedThinking:
        lm = TorchLM(pocket64, tokenizer, step=rule, probe=False)
        lm.context = context or lm.context
        return ChunkedThinking(lm, tokens=10**6, carry=carry)

    prompt = lambda question: make(StepRule(), None).lm.rendered(question).token_ids

    def reference(x: Trajectory) -> np.ndarray:
        before = prompt(x.question)
        with torch.no_grad():
            logits = pocket64(torch.tensor([[*before, *x.token_ids]])).logits[0]
        return PLAIN.log_probs(logits[len(before) - 1 : -1].numpy())

    decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
    check(Host(make, reference, prompt, decode))


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError, match="encode must be a function"):
        ChunkedThinking(TableLM(next_probs), tokens=4, carry=Summary(tokens=1))
    with pytest.raises(ValueError, match="tokens of carry must be"):
        ChunkedThinking(TableLM(next_probs), tokens=4, carry=Summary(tokens=4))
    with pytest.raises(ValueError, match="ask must be a text with a token"):
        Summary(tokens=4, ask="")
    with pytest.raises(ValueError, match="end must be a text"):
        Summary(tokens=4, end="")
    with pytest.raises(TypeError, match="heading must be a text"):
        Summary(tokens=4, heading=3)  # pyright: ignore[reportArgumentType]

    class Nameless:
        name, cost = "die", TableLM(next_probs).cost
        start = extend = TableLM.start

    nameless: Any = Nameless()
    with pytest.raises(TypeError, match="carry must be a number of tokens for the language model"):
        ChunkedThinking(nameless, tokens=4, carry=Summary(tokens=2))
