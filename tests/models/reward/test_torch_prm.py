"""The hosted reward model against one plain forward pass over prompt, steps and markers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification, MistralForTokenClassification

from motes.models import TorchLM, TorchPRM, Trajectory
from motes.models.pocket import PRM_FOLDER, problems
from motes.models.reward.marked_readers import MarkedReader
from motes.models.reward.readers import SeparatorReader, TurnsReader

PROBLEM = next(problems("test", seed=21, steps=4))


@pytest.fixture(scope="module")
def trajectories(pocket32: Any, tokenizer: Any) -> list[Trajectory]:
    """A tree: 6 first steps, two of them with 3 children each, one of those with a finished
    line."""
    lm = TorchLM(pocket32, tokenizer)
    first = lm.extend([lm.start(PROBLEM.question)] * 6, jax.random.split(jax.random.key(0), 6))
    second = lm.extend([first[0]] * 3 + [first[4]] * 3, jax.random.split(jax.random.key(1), 6))
    third = lm.extend(second[:2], jax.random.split(jax.random.key(2), 2))
    return [*first, *second, *third]


@pytest.fixture(scope="module")
def prm64() -> Any:
    return AutoModelForTokenClassification.from_pretrained(PRM_FOLDER, dtype=torch.float64).eval()


@pytest.fixture
def sliding_prm64(sliding64: Any) -> Any:
    torch.manual_seed(1)
    config = type(sliding64.config)(**{**sliding64.config.to_dict(), "num_labels": 2})
    return MistralForTokenClassification(config).double().eval()


def plain_score(model: Any, reader: Any, trajectory: Trajectory) -> float:
    with torch.no_grad():
        outputs = model(torch.tensor([reader.conversation(trajectory)])).logits[:, -1]
    return float(reader.log_odds(outputs))


@pytest.mark.parametrize("name", ["prm64", "sliding_prm64"])
@pytest.mark.parametrize("order", ["forwards", "backwards", "dropped"])
def test_scores_are_those_of_one_plain_forward_pass(
    name: str,
    order: str,
    trajectories: list[Trajectory],
    tokenizer: Any,
    request: pytest.FixtureRequest,
) -> None:
    model = request.getfixturevalue(name)
    reader = SeparatorReader(tokenizer, separator="<|step|>", chat=True)
    prm = TorchPRM(model, reader)
    batches = [trajectories[:6], trajectories[6:12], trajectories[12:]]
    for batch in reversed(batches) if order == "backwards" else batches:
        assert prm.score(batch) == pytest.approx(
            [plain_score(model, reader, trajectory) for trajectory in batch], abs=1e-9
        )
        if order == "dropped":
            prm.drop_cache()


def test_every_token_is_computed_once_and_a_score_is_remembered(
    prm64: Any, tokenizer: Any, trajectories: list[Trajectory]
) -> None:
    reader = SeparatorReader(tokenizer, separator="<|step|>", chat=True)
    prm = TorchPRM(prm64, reader)
    given = []
    hook = prm64.register_forward_pre_hook(
        lambda model, args, kwargs: given.append(
            int(kwargs["attention_mask"][:, -kwargs["input_ids"].shape[1] :].sum())
        ),
        with_kwargs=True,
    )
    scores = [
        prm.score(batch) for batch in (trajectories[:6], trajectories[6:12], trajectories[12:])
    ]
    again = prm.score([*trajectories, trajectories[0]])
    hook.remove()
    read = {
        node: len(reader.conversation(node)) for node in [trajectories[0].path[0], *trajectories]
    }
    expected = sum(length - read.get(node.parent, 0) for node, length in read.items())
    assert sum(given) == prm.cost.prm_tokens == expected
    assert prm.cost.prm_forward_passes == len(given) == 4  # the prompt, then one a batch
    assert np.array_equal(again, [*np.concatenate(scores), scores[0][0]])


def test_a_token_pair_in_turns_and_behind_a_marker(
    pocket64: Any, tokenizer: Any, trajectories: list[Trajectory]
) -> None:
    """The two layouts for causal models: what is read, and that it is read incrementally."""
    turns = TurnsReader(tokenizer)
    node = trajectories[6]
    shown = tokenizer.decode(turns.conversation(node))
    first, second = (text.strip() for text in node.steps)
    assert (
        shown
        == f"<|user|>{node.question} {first}<|assistant|>+<|end|><|user|>{second}<|assistant|>"
    )
    marked = MarkedReader(tokenizer, mark="<|step|>")
    shown = tokenizer.decode(marked.conversation(node))
    assert shown == f"{node.question} {first} <|step|>\n{second} <|step|>"
    for reader in (turns, marked):
        prm = TorchPRM(pocket64, reader)
        for batch in (trajectories[:6], trajectories[6:12]):
            assert prm.score(batch) == pytest.approx(
                [plain_score(pocket64, reader, trajectory) for trajectory in batch], abs=1e-9
            )
    assert (*turns.verdict.right, *turns.verdict.wrong) == tuple(
        tokenizer.convert_tokens_to_ids(["+", "-"])
    )
    with pytest.raises(ValueError, match="must each be one token where the model answers"):
        TurnsReader(tokenizer, good="very good")


def test_bad_input(
    prm64: Any, tokenizer: Any, trajectories: list[Trajectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SeparatorReader(tokenizer, separator="<|step|>", chat=True)
    prm = TorchPRM(prm64, reader, name="judge")
    with pytest.raises(ValueError, match="at least one step"):
        prm.score([trajectories[0].path[0]])
    long = trajectories[0].child("So " * 1100, (1,), logprob=0.0, proposal_logprob=0.0)
    with pytest.raises(ValueError, match="tokens for 'judge', whose context holds 1024"):
        prm.score([long])
    with pytest.raises(ValueError, match="separator must be"):
        SeparatorReader(tokenizer, separator="")
    monkeypatch.setattr(
        prm64.score, "weight", torch.nn.Parameter(torch.full_like(prm64.score.weight, torch.nan))
    )
    with pytest.raises(
        FloatingPointError, match="'judge' gave a score that is NaN for <Trajectory"
    ):
        prm.score(trajectories[:2])
