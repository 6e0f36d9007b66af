"""What all rows share is held once and attended to as if it were theirs; and how often the host
waits."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from waits import Waits

from motes.models import StepRule, TorchLM, Trajectory
from motes.models.hosting.kv import SPARE, Rows
from motes.models.hosting.shared_attention import NAME, PLAIN, attend, attending

SHORT = "Ana has 7 pears. Ben has 5 more than Ana. How many pears does Ben have?"
LONG = " ".join([SHORT] * 5)


class Prefix:
    """Keys and values of one layer's prefix."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.pair = keys, values

    def shared_keys_and_values(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pair


class Layer(torch.nn.Module):
    """What transformers' function asks of a layer."""

    num_key_value_groups, is_causal = 3, True


def attention_of(query: Any, keys: Any, values: Any, allowed: Any) -> np.ndarray:
    """Of one head of one row, by the formula."""
    scores = query @ keys.T / np.sqrt(len(query))
    weights = np.where(allowed, np.exp(scores - scores[allowed].max()), 0.0)
    return weights @ values / weights.sum()


@pytest.mark.parametrize("tokens", [1, 3])
def test_attention_is_that_of_the_formula_row_by_row(tokens: int, pocket64: Any) -> None:
    torch.manual_seed(0)
    rows, kv_heads, heads, dim, common, own = 4, 2, 6, 5, 7, 6
    shared = [torch.randn(kv_heads, common, dim, dtype=torch.float64) for _ in range(2)]
    mine = [torch.randn(rows, kv_heads, own, dim, dtype=torch.float64) for _ in range(2)]
    query = torch.randn(rows, heads, tokens, dim, dtype=torch.float64)
    mask = torch.rand(rows, 1, tokens, common + own) < 0.7
    mask[..., 0] = True
    with attending(pocket64, Prefix(*shared)):
        found, _ = attend(Layer(), query, *mine, mask)
    assert found.shape == (rows, tokens, heads, dim)
    for row in range(rows):
        for head in range(heads):
            keys, values = (
                torch.cat([one[head // 3], other[row, head // 3]]).numpy()
                for one, other in zip(shared, mine, strict=True)
            )
            for token in range(tokens):
                allowed = mask[row, 0, token].numpy()
                expected = attention_of(query[row, head, token].numpy(), keys, values, allowed)
                np.testing.assert_allclose(found[row, token, head], expected, atol=1e-12)


def test_the_models_own_attention_is_put_back(pocket64: Any) -> None:
    seen: list[str] = []

    def failing() -> None:
        with attending(pocket64, Prefix(torch.ones(1), torch.ones(1))):
            seen.append(pocket64.config._attn_implementation)
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert seen == [NAME]
    assert pocket64.config._attn_implementation == PLAIN


def two_steps(lm: TorchLM, question: str, rows: int = 9) -> list[Trajectory]:
    """First steps, and second steps of those that go on."""
    first = lm.extend([lm.start(question)] * rows, jax.random.split(jax.random.key(0), rows))
    going = [x for x in first if x.open]
    second = lm.extend(going, jax.random.split(jax.random.key(1), len(going)))
    return [*first, *second]


@pytest.mark.parametrize("name", ["pocket64", "learned_positions64", "sliding64"])
def test_sharing_changes_no_draw(name: str, tokenizer: Any, request: pytest.FixtureRequest) -> None:
    model, rule = request.getfixturevalue(name), StepRule(cap=20)
    shared, apart = (TorchLM(model, tokenizer, step=rule) for _ in range(2))
    # a window counts columns, and padding stands behind a shared prefix
    assert shared._tree.pool.shares == (name != "sliding64")
    apart._tree.pool.shares = False
    one, other = two_steps(shared, SHORT), two_steps(apart, SHORT)
    assert [x.token_ids for x in one] == [x.token_ids for x in other]
    assert [x.logprob for x in one] == pytest.approx([x.logprob for x in other], abs=1e-9)


def test_a_prompt_is_held_once_for_all_particles(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    widest: dict[int, int] = {}
    init = Rows.__init__

    def watched(self: Rows, keys: torch.Tensor, *rest: Any) -> None:
        init(self, keys, *rest)
        widest[keys.shape[1]] = max(widest.get(keys.shape[1], 0), keys.shape[3])

    monkeypatch.setattr(Rows, "__init__", watched)
    lm, rows = TorchLM(pocket64, tokenizer, step=StepRule(cap=10), probe=False), 30
    prompt = len(lm._tokens_of(lm.start(LONG)))
    two_steps(lm, LONG, rows)
    # what rows have of their own: two steps, and columns allocated ahead
    assert prompt > 60 and widest[rows] <= 10 + SPARE
    assert all(width <= 2 * 10 + SPARE for count, width in widest.items() if count > 1)


def test_an_estimate_leaves_out_what_is_held_once(pocket64: Any, tokenizer: Any) -> None:
    lm = TorchLM(pocket64, tokenizer, probe=False)
    short, long = (
        lm._tree.row_bytes([lm.start(question)] * 2, [8, 8], 10) for question in (SHORT, LONG)
    )
    assert short == long
    others = lm._tree.row_bytes([lm.start(SHORT), lm.start(LONG)], [8, 8], 10)
    assert others[1] > others[0] > short[0]


@pytest.mark.parametrize("name", ["pocket32", "sliding64", "learned_positions64"])
def test_the_host_waits_once_a_token(
    name: str, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    """Of steps of 5 and 20 tokens, the second waits 15 times more, for the tokens it has drawn."""
    counts = []
    for tokens in (5, 20):
        rule = StepRule(delimiter=None, tokens=tokens, cap=tokens)
        lm = TorchLM(request.getfixturevalue(name), tokenizer, step=rule, probe=False)
        root = lm.start(SHORT)
        with Waits() as waits:
            steps = lm.extend([root] * 6, jax.random.split(jax.random.key(2), 6))
        assert max(len(x.token_ids) for x in steps) == tokens
        counts.append(waits.counts)
    more = counts[1] - counts[0]
    assert more == {"cpu": 15}
    assert sum(counts[0].values()) <= 5 + 4  # the prompt, and what room it leaves


def test_a_wait_too_many_is_counted() -> None:
    values = torch.arange(6)
    with Waits() as waits:
        assert values[values > 2].tolist() == [3, 4, 5]
        assert bool((values >= 0).all()) and values[1].item() == 1
    assert waits.counts == {"__getitem__": 1, "tolist": 1, "__bool__": 1, "item": 1}
