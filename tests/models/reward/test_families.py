"""Every family on a tiny random checkpoint with the published tensors and layout.

The reference is in tests/support/prm_checkpoints.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prm_checkpoints import (
    BARE,
    CASES,
    CONFIGS,
    LABELS,
    QUESTION,
    STEPS,
    by_hand,
    checkpoint,
    grown,
    tokenizer_for,
)
from safetensors.torch import load_file

from motes.models import Opening, Trajectory, load_prm
from motes.models.conversation import as_question
from motes.models.reward.families import FAMILIES, named

DOCS = (Path(__file__).parents[3] / "docs" / "models.md").read_text()


@pytest.mark.parametrize("name", CASES)
def test_the_prefill_of_an_answer_is_read_before_its_first_step(name: str) -> None:
    """What was put into the language model's mouth is a part of the solution that is judged."""
    case = CASES[name]
    tokenizer = tokenizer_for(case)
    config = CONFIGS[case.backbone][0](vocab_size=len(tokenizer))
    reader = named(name).reader(tokenizer, config)
    begun = Trajectory(question=QUESTION, opening=Opening(prefill="Let us see: "))
    x, asked = begun, [reader.conversation(begun)]
    for step in STEPS:
        x = x.child(step, (1,), logprob=0.0, proposal_logprob=0.0)
        asked.append(reader.conversation(x))
    whole = [f"Let us see: {BARE[0]}", *BARE[1:]]
    for count in (1, 2, 3):
        assert list(asked[count]) == list(case.ids(tokenizer, whole[:count]))
    assert asked[0] == reader.conversation(Trajectory(question=QUESTION))
    turns = [("system", "Be brief."), ("user", "1?"), ("assistant", "1."), ("user", QUESTION)]
    chat = as_question([{"role": role, "content": content} for role, content in turns])
    flat = f"User: 1?\n\nAssistant: 1.\n\nUser: {QUESTION}"
    both = [Trajectory(question=question) for question in (chat, flat)]
    assert reader.conversation(both[0]) == reader.conversation(both[1])
    steps = [x.child(STEPS[0], (1,), logprob=0.0, proposal_logprob=0.0) for x in both]
    assert reader.conversation(steps[0]) == reader.conversation(steps[1])


def test_every_family_has_a_case_and_a_row_in_the_docs() -> None:
    assert set(CASES) == {family.name for family in FAMILIES}
    for family in FAMILIES:
        row = f"| `{family.name}` | {family.models} | {family.reads} | {family.source} |"
        assert row in DOCS


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_the_published_procedure(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    place = checkpoint(case, tmp_path)
    prm = load_prm(place, family=case.family)
    path = grown(STEPS)
    step_by_step = [float(prm.score([node])[0]) for node in path]
    expected = [by_hand(case, place, BARE[:count]) for count in (1, 2, 3)]
    assert step_by_step == pytest.approx(expected, abs=2e-4)
    at_once = load_prm(place, family=case.family).score(grown(STEPS))
    assert at_once == pytest.approx(expected, abs=2e-4)
    assert len({round(value, 3) for value in expected}) == 3
    siblings = [path[0].child(text, (9,), logprob=0.0, proposal_logprob=0.0) for text in ("x", "y")]
    assert prm.score(siblings) == pytest.approx(
        [by_hand(case, place, [BARE[0], text]) for text in ("x", "y")], abs=2e-4
    )
    # the same checkpoint under a name that says nothing is known when its family is said
    other = tmp_path / "somewhere" / "model"
    other.parent.mkdir()
    place.rename(other)
    assert load_prm(other, family=name).score(grown(STEPS)) == pytest.approx(expected, abs=2e-4)
    if not named(name).declares and name != "trl":
        if name == "pure":  # it has all the signs of TRL's models, and another layout
            assert load_prm(other).score(grown(STEPS)) != pytest.approx(expected, abs=1e-2)
        else:
            with pytest.raises(ValueError, match=r"is of no family|holds a |needs two labels"):
                load_prm(other)


def test_a_model_of_no_family_is_refused_with_the_list(tmp_path: Path) -> None:
    place = checkpoint(CASES["rlhflow"]._replace(path="me/judge"), tmp_path)
    with pytest.raises(ValueError, match=r"me/judge' is of no family") as error:
        load_prm(place)
    assert all(family.name in str(error.value) for family in FAMILIES)
    assert "reader=" in str(error.value)
    with pytest.raises(ValueError, match="family must be one of .*, not 'shepherd'"):
        load_prm(place, family="shepherd")


@pytest.mark.parametrize("name", CASES)
def test_a_family_whose_head_the_weights_lack_is_refused(name: str, tmp_path: Path) -> None:
    head = ("", {}) if named(name).heads else LABELS
    place = checkpoint(CASES[name]._replace(head=head), tmp_path)
    words = "cannot be of the family|lacks weights of a|holds weights that"
    with pytest.raises(ValueError, match=words):
        load_prm(place, family=name)


def test_old_files_of_weights_have_heads_as_well(tmp_path: Path) -> None:
    case = CASES["skywork-o1-open-prm"]
    place = checkpoint(case, tmp_path)
    expected = load_prm(place).score(grown(STEPS))
    tensors = load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    torch.save(tensors, place / "pytorch_model.bin")
    assert load_prm(place).score(grown(STEPS)) == pytest.approx(expected, abs=1e-6)


def test_half_precision_weights_are_scored_in_float32(tmp_path: Path) -> None:
    """In bfloat16 logits near 20 lie 1/8 apart; the head's own sums are wider than that."""
    place = checkpoint(CASES["qwen2.5-math-prm"], tmp_path)
    prm = load_prm(place, dtype="bfloat16")
    outputs = prm.model(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert prm.model.dtype == torch.bfloat16
    assert outputs.dtype == torch.float32
