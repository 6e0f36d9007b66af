"""Models given by functions, step rules, random numbers and trajectories."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from motes.models import (
    Cost,
    FunctionReward,
    LanguageModel,
    RewardModel,
    Sampling,
    StepRule,
    TableLM,
    Trajectory,
)
from motes.models.randomness import BLOCK, SlotUniforms


def keys(seed: int, rows: int) -> Any:
    return jax.random.split(jax.random.key(seed), rows)


def table(prefix: tuple[int, ...]) -> list[float]:
    return [0.5, 0.3, 0.2] if len(prefix) % 2 else [0.2, 0.0, 0.8]


def test_table_models_fulfil_the_protocols_and_say_what_they_drew() -> None:
    lm = TableLM(table, eos=2)
    assert isinstance(lm, LanguageModel) and isinstance(FunctionReward(lambda x: 0.0), RewardModel)
    population = [lm.start("?")] * 200
    for step in range(3):
        population = [
            node
            for node in lm.extend(
                population, keys(step, len(population)), sampling=Sampling(temperature=2)
            )
            if node.open
        ]
    for node in population:
        probs = [table(node.token_ids[:i])[token] for i, token in enumerate(node.token_ids)]
        assert node.logprob == pytest.approx(np.log(probs).sum())
        assert lm.logprob([node.path[0]], [node.token_ids]) == pytest.approx([node.logprob])
        flat = [
            np.sqrt(table(node.token_ids[:i])) / np.sqrt(table(node.token_ids[:i])).sum()
            for i in range(3)
        ]
        assert node.proposal_logprob == pytest.approx(
            sum(np.log(flat[i][token]) for i, token in enumerate(node.token_ids))
        )
        assert 1 not in node.token_ids[::2], "a token of probability zero"
    assert lm.logprob([lm.start("?")], [(1,)]) == [-np.inf]


def test_frequencies() -> None:
    """5 standard errors: one false alarm in a million."""
    lm = TableLM(lambda prefix: [1, 2, 3, 4], eos=None)
    counts = np.bincount(
        [node.token_ids[0] for node in lm.extend([lm.start("?")] * 20_000, keys(0, 20_000))],
        minlength=4,
    )
    expected = np.array([0.1, 0.2, 0.3, 0.4])
    assert np.all(
        np.abs(counts / 20_000 - expected) < 5 * np.sqrt(expected * (1 - expected) / 20_000)
    )


def test_bad_tables_and_rewards_are_named() -> None:
    lm = TableLM(lambda prefix: [0.5, float("nan")], name="odd")
    with pytest.raises(FloatingPointError, match="'odd' gave probabilities"):
        lm.extend([lm.start("?")], keys(0, 1))
    with pytest.raises(
        FloatingPointError, match="'judge' gave a score that is NaN for <Trajectory open"
    ):
        FunctionReward(lambda x: float("nan"), name="judge").score([lm.start("?")])
    assert FunctionReward(lambda x: float("-inf")).score([lm.start("?")]) == [-np.inf]
    with pytest.raises(ValueError, match="only open trajectories"):
        lm.extend([lm.start("?").close(finished=True)], keys(0, 1))


def test_uniforms_belong_to_slots() -> None:
    slots = keys(0, 100)
    all_rows, some = SlotUniforms(slots, 100), SlotUniforms(slots[7:12], 5)
    for token in (0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5):
        assert np.array_equal(all_rows.at(token)[7:12], some.at(token))
    values = np.concatenate([all_rows.at(token) for token in range(200)])
    assert values.dtype == np.float64 and values.min() >= 0 and values.max() < 1
    assert len(np.unique(values)) == len(values), "20,000 numbers of 53 bits do not repeat"
    # mean and lag-one correlation within 5 standard errors
    assert abs(values.mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(values))
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5 / np.sqrt(len(values))
    raw = SlotUniforms(np.asarray(jax.random.key_data(slots)), 100)
    assert np.array_equal(raw.at(3), all_rows.at(3))


def test_trajectories_are_a_tree() -> None:
    root = Trajectory(question="?")
    a = root.child("a ", (1, 2), logprob=-1.0, proposal_logprob=-1.5)
    b, c = (a.child(text, (3,), logprob=-2.0, proposal_logprob=-2.0) for text in ("b", "c"))
    assert (b.text, b.steps, b.token_ids, b.depth, b.path) == (
        "a b",
        ("a ", "b"),
        (1, 2, 3),
        2,
        (root, a, b),
    )
    assert (b.logprob, b.step_logprob, b.proposal_logprob, b.step_proposal_logprob) == (
        -3.0,
        -2.0,
        -3.5,
        -2.0,
    )
    assert b != c and b.parent is c.parent is a
    closed = b.close(truncated=True)
    assert (
        closed.truncated
        and not closed.open
        and b.open
        and closed.parent is a
        and not closed.finished
    )
    assert "truncated, 2 steps" in repr(closed)
    with pytest.raises(AttributeError):
        a.depth = 3  # type: ignore[misc]


def test_step_rules_reject_what_cannot_end_a_step() -> None:
    assert StepRule(tokens=5, cap=3).longest == 3
    for options, message in (
        ({"delimiter": ""}, "delimiter"),
        ({"tokens": 0}, "tokens must be at least 1"),
        ({"cap": 0}, "cap must be"),
    ):
        with pytest.raises(ValueError, match=message):
            StepRule(**options)  # type: ignore[arg-type]


def test_costs_add_and_subtract() -> None:
    total = Cost(prompt_tokens=3, seconds=1.5) + Cost(prompt_tokens=1, prm_tokens=7)
    assert total == Cost(prompt_tokens=4, prm_tokens=7, seconds=1.5)
    assert (total - Cost(prm_tokens=7)).asdict()["prm_tokens"] == 0
