"""Steps of few tokens go on in the rows of the last batch: nothing is moved, nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch

from motes.models import Sampling, StepRule, TorchLM, Trajectory
from motes.models.hosting.kv import Rows

QUESTION = "How many pens has Ben?"


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were gathered from the pool, each time that some were."""
    counts: list[int] = []
    gather: Any = Rows.from_pool

    def counted(pool: Any, contexts: Any, *, room: int) -> Rows:
        counts.append(len(contexts))
        return gather(pool, contexts, room=room)

    monkeypatch.setattr(Rows, "from_pool", counted)
    return counts


def grown(
    lm: TorchLM, steps: int, choose: Callable[[int], Any], *, forgets: bool = False
) -> list[Trajectory]:
    """Six particles after so many steps, each from those that `choose` gives."""
    particles = [lm.start(QUESTION)] * 6
    for number in range(steps):
        if forgets:
            lm._tree._store.last = None
        keys = jax.random.split(jax.random.key(number), 6)
        particles = [particles[place] for place in choose(number)]
        particles = [x if x.open else lm.start(QUESTION) for x in particles]
        particles = lm.extend(particles, keys)
    return particles


def in_order(number: int) -> Any:
    return range(6)


def resampled(number: int) -> Any:
    return np.random.default_rng(number).integers(6, size=6)


def endless(model: Any, tokenizer: Any, tokens: int = 1, **options: Any) -> TorchLM:
    rule = StepRule(delimiter=None, tokens=tokens, cap=tokens)
    lm = TorchLM(model, tokenizer, step=rule, probe=False, **options)
    lm._ending.end_ids = frozenset()
    return lm


@pytest.mark.parametrize("tokens", [1, 3])
def test_nothing_is_gathered_where_all_go_on(
    tokens: int, pocket64: Any, tokenizer: Any, gathered: list[int]
) -> None:
    grown(endless(pocket64, tokenizer, tokens), 8, in_order)
    assert gathered == [1]  # the prompt's, forked to all


def test_the_survivors_rows_are_taken(pocket64: Any, tokenizer: Any, gathered: list[int]) -> None:
    grown(endless(pocket64, tokenizer), 8, resampled)
    assert gathered == [1]


@pytest.mark.parametrize("choose", [in_order, resampled])
@pytest.mark.parametrize("rule", [StepRule(delimiter=None, tokens=1), StepRule(cap=3)])
def test_draws_are_those_of_gathered_rows(
    rule: StepRule, choose: Any, pocket64: Any, tokenizer: Any
) -> None:
    """Also where texts end, steps have different lengths, and new roots come in between."""
    make = lambda: TorchLM(pocket64, tokenizer, step=rule, probe=False)
    for x, y in zip(
        grown(make(), 12, choose), grown(make(), 12, choose, forgets=True), strict=True
    ):
        assert (x.token_ids, x.finished) == (y.token_ids, y.finished)
        assert x.logprob == pytest.approx(y.logprob, abs=1e-9)


def test_log_probabilities_are_those_of_one_plain_pass(pocket64: Any, tokenizer: Any) -> None:
    lm = endless(pocket64, tokenizer)
    for x in grown(lm, 20, resampled):
        prompt = lm.rendered(QUESTION).token_ids
        with torch.no_grad():
            logits = pocket64(torch.tensor([[*prompt, *x.token_ids]])).logits[0]
        table = Sampling().log_probs(logits[len(prompt) - 1 : -1].numpy())
        total = table[np.arange(20), list(x.token_ids)].sum()
        assert x.logprob == pytest.approx(total, abs=1e-9)


def test_what_the_budget_does_not_hold_is_not_kept(
    pocket64: Any, tokenizer: Any, gathered: list[int]
) -> None:
    whole = endless(pocket64, tokenizer)
    size = whole._tree.pool.token_bytes
    lm = endless(pocket64, tokenizer, cache_bytes=100 * size)
    few = [x.token_ids for x in grown(lm, 4, in_order)]
    assert lm._tree._store.last is None and 6 in gathered
    assert few == [x.token_ids for x in grown(whole, 4, in_order)]
    whole.drop_cache()
    assert whole._tree._store.last is None
