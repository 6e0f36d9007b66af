"""The recipe of the pocket: careless writers, sampling, labels, figures; each against something
independent."""

from __future__ import annotations

import math
import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from motes.models import Trajectory
from motes.models.pocket import problems
from motes.models.pocket.problems import LARGEST, NAMES
from motes.models.pocket.recipe import language_model, rollouts
from motes.models.pocket.recipe.careless import CHANCES, careless_solution, recital, reckoned, sums
from motes.models.pocket.recipe.circuits import look_up_from_the_start
from motes.models.pocket.recipe.measuring import (
    Judged,
    auc,
    calibration_error,
    interval,
    siblings,
    slip,
)
from motes.models.pocket.recipe.sampler import Sampler
from motes.models.pocket.recipe.tokens import make_tokenizer
from motes.models.pocket.recipe.trees import Forest, Node

NEVER = dict.fromkeys(CHANCES, 0.0)


@pytest.fixture(scope="module")
def new_tokenizer() -> Any:
    return make_tokenizer(examples=400)


@pytest.fixture(scope="module")
def untrained(new_tokenizer: Any) -> Any:
    torch.manual_seed(0)
    model = LlamaForCausalLM(language_model.architecture(new_tokenizer)).eval()
    look_up_from_the_start(model)
    return model


def test_writers_who_never_slip_write_the_solution() -> None:
    for problem in islice(problems("validation", seed=1), 200):
        assert careless_solution(problem, random.Random(0), NEVER) == problem.solution


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(
    ("chance", "kind"),
    [
        ("skip", "skipped step"),
        ("relation", "misread relation"),
        ("lookup", "wrong lookup"),
        ("carry", "wrong arithmetic"),
        ("borrow", "wrong arithmetic"),
    ],
)
def test_each_slip_is_an_error_of_its_kind(chance: str, kind: str) -> None:
    """The writer's slip, the checker's verdict and the name that the card gives agree."""
    kinds: list[str] = []
    for i, problem in enumerate(islice(problems("validation", seed=2), 300)):
        steps = careless_solution(problem, random.Random(i), {**NEVER, chance: 0.5})
        verdicts = problem.check(steps)
        if not all(verdicts):
            first = verdicts.index(False)
            named = slip(problem, steps[: first + 1])
            # who slips so that no number in range comes out, answers
            assert named == kind or (named == "skipped step" and "answer" in steps[first])
            kinds.append(named)
    assert kinds.count(kind) > max(30, 0.5 * len(kinds))


def test_borrowing_is_forgotten_as_children_forget_it() -> None:
    assert reckoned("fewer", 8, [23], random.Random(0), {"borrow": 1.0}) == 25
    assert reckoned("difference", 0, [31, 14], random.Random(0), {"borrow": 1.0}) == 23
    assert reckoned("fewer", 3, [23], random.Random(0), {"borrow": 1.0}) == 20  # nothing to borrow
    assert reckoned("sum", 0, [17, 5], random.Random(0), {"carry": 1.0}) == 12
    assert {eval(text.split("=")[0]) for text in sums(300, random.Random(0), NEVER)} <= {
        *range(1, LARGEST + 1)
    }


def test_a_recital_repeats_what_was_said() -> None:
    for seed in range(50):
        heard, said = recital(3 + seed % 8, random.Random(seed))
        assert sorted(heard.split(". ")[:-1])[1:] and set(said.split(".")) == set(heard.split("."))


@given(text=st.text())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_written(new_tokenizer: Any, text: str) -> None:
    tokenizer = new_tokenizer
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_numbers_and_subjects_are_one_token(new_tokenizer: Any) -> None:
    texts = [f" {number}" for number in range(LARGEST + 1)]
    texts += [f" {name} {verb}" for name in NAMES for verb in ("has", "owns")]
    assert {len(ids) for ids in new_tokenizer(texts, add_special_tokens=False)["input_ids"]} == {1}


def test_attention_can_look_up_before_any_training(untrained: Any, new_tokenizer: Any) -> None:
    """Of what somebody owns or has, an untrained model repeats a third; without the circuit,
    nothing."""
    texts = [recital(6, random.Random(seed)) for seed in range(20)]
    torch.manual_seed(0)
    plain = LlamaForCausalLM(language_model.architecture(new_tokenizer)).eval()
    hits: dict[str, list[bool]] = {"circuit": [], "plain": []}
    subject = {
        new_tokenizer.convert_tokens_to_ids(f"Ġ{n}Ġ{verb}")
        for n in NAMES
        for verb in ("has", "owns")
    }
    for heard, said in texts:
        first, ids = (
            len(new_tokenizer(heard)["input_ids"]),
            new_tokenizer(heard + said)["input_ids"],
        )
        for name, model in (("circuit", untrained), ("plain", plain)):
            with torch.no_grad():
                expected = model(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
            hits[name] += [
                expected[i] == ids[i + 1] for i in range(first, len(ids)) if ids[i] in subject
            ]
    assert np.mean(hits["circuit"]) > 0.3
    assert np.mean(hits["plain"]) < 0.05


def test_the_sampler_says_how_probable_its_draws_are(untrained: Any) -> None:
    """Log-probabilities are those of one plain forward pass, whatever stood beside a row; draws
    repeat."""
    beginnings = [[2, *range(260, 260 + n)] for n in (3, 9, 3, 1, 30)]
    sampler = Sampler(untrained, end=3, limit=70)
    written = sampler.complete(beginnings, torch.Generator().manual_seed(0), temperature=0.7)
    assert written == sampler.complete(
        beginnings, torch.Generator().manual_seed(0), temperature=0.7
    )
    assert len({tuple(continuation.tokens) for continuation in written}) == 5
    for beginning, (tokens, log_probs) in zip(beginnings, written, strict=True):
        assert len(tokens) == 70 or tokens[-1] == 3
        assert 3 not in tokens[:-1]
        with torch.no_grad():
            logits = untrained(input_ids=torch.tensor([beginning + tokens])).logits[
                0, len(beginning) - 1 : -1
            ]
        expected = torch.log_softmax(logits / 0.7, -1).gather(1, torch.tensor(tokens)[:, None])[
            :, 0
        ]
        assert log_probs == pytest.approx(expected.tolist(), abs=2e-4)


def test_the_sampler_draws_from_the_distribution(untrained: Any) -> None:
    """Pearson's chi squared of the first token, at one false alarm in a million."""
    sampler = Sampler(untrained, end=3, limit=1)
    drawn = sampler.complete([[2, 300]] * 4000, torch.Generator().manual_seed(1))
    counts = np.bincount(
        [continuation.tokens[0] for continuation in drawn], minlength=untrained.config.vocab_size
    )
    with torch.no_grad():
        expected = 4000 * torch.softmax(
            untrained(input_ids=torch.tensor([[2, 300]])).logits[0, -1].double(), -1
        )
    gaps = (counts - expected.numpy()) ** 2 / expected.numpy()
    degrees = len(counts) - 1
    assert gaps.sum() < degrees + 4.75 * math.sqrt(2 * degrees) + 15


def family(*arrived: int, tried: int = 8) -> Node:
    """A promising prefix with next steps that arrived so often."""
    root = Node(Trajectory(question="?"), None)
    root.arrived = 1
    for i, count in enumerate(arrived):
        step = root.trajectory.child(f"{i}", (i,), logprob=-1.0, proposal_logprob=-1.0)
        child = root.children[(i,)] = Node(step, root)
        child.tried, child.arrived = tried, count
    return root


def test_labels_are_posterior_probabilities() -> None:
    """Bayes' rule with exact numbers: rate 4.5 / 9 for a right step, 0.03 for a wrong one, even
    odds."""
    root = family(4, 0, 1)
    rollouts._judge(root)
    labels = [child.label for child in root.children.values()]
    rate, accident = 4.5 / 9, rollouts.ACCIDENT
    for label, count in zip(labels, (4, 0, 1), strict=True):
        right = rate**count * (1 - rate) ** (8 - count)
        wrong = accident**count * (1 - accident) ** (8 - count)
        assert label == pytest.approx(right / (right + wrong))
    assert labels[0] > 0.999 and labels[1] < 0.01


def test_what_follows_an_error_is_no_better_than_the_error() -> None:
    root = family(6, 0)
    below = family(8, 8)
    wrong = root.children[(1,)]
    wrong.children = below.children
    for child in wrong.children.values():
        child.parent = wrong
    rollouts._judge(root)
    assert all(child.label <= wrong.label < 0.01 for child in wrong.children.values())


def test_trees_hold_what_was_sampled(new_tokenizer: Any, untrained: Any) -> None:
    forest = Forest(
        Sampler(untrained, end=new_tokenizer.eos_token_id, limit=60), new_tokenizer, seed=0
    )
    drawn = list(islice(problems("validation", seed=3), 3))
    for problem, root in zip(drawn, forest.grow(drawn, 7), strict=True):
        assert root.trajectory.question == problem.question
        assert root.sampled == root.tried == 7
        for node in root.nodes():
            below = sum(child.sampled for child in node.children.values())
            assert below <= node.sampled and (
                below == node.sampled or not node.trajectory.open or not below
            )
            if node.parent is not None:
                assert node.trajectory.parent is node.parent.trajectory
                assert new_tokenizer.decode(node.trajectory.step_token_ids).startswith(
                    node.trajectory.step_text
                )


def judged(**columns: Any) -> Judged:
    count = len(columns["score"])
    plain = {
        "problem": [0] * count,
        "depth": [1] * count,
        "parent": [0] * count,
        "before": [True] * count,
        "sampled": [1] * count,
        "writer": [0.0] * count,
    }
    return Judged(**{name: np.array(column) for name, column in {**plain, **columns}.items()})


def test_siblings_meet_siblings_only() -> None:
    seen = judged(
        score=[2.0, 1.0, 5.0, 5.0, 9.0, 0.0],
        right=[True, False, True, False, False, True],
        parent=[0, 0, 1, 1, 2, 3],
        problem=[0, 0, 0, 0, 1, 1],
    )
    problem, _, won = siblings(seen, seen.score)
    assert won.tolist() == [1.0, 0.5]
    assert problem.tolist() == [0, 0]


def test_a_prefix_counts_as_often_as_it_was_sampled() -> None:
    """Against all pairs of the prefixes written out one by one."""
    rng = np.random.default_rng(0)
    score, right = np.round(rng.normal(size=60), 1), rng.random(60) < 0.4
    times = rng.integers(1, 5, 60)
    many_score, many_right = score.repeat(times), right.repeat(times)
    pairs = np.subtract.outer(many_score[many_right], many_score[~many_right])
    seen = judged(score=score, right=right, sampled=times)
    assert auc(seen) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    chance = 1 / (1 + np.exp(-many_score))
    edges = np.floor(10 * chance)
    gaps = [abs((chance - many_right)[edges == edge].sum()) for edge in np.unique(edges)]
    assert calibration_error(seen) == pytest.approx(sum(gaps) / len(chance))


def test_intervals_draw_whole_problems() -> None:
    """Ten problems of a hundred equal pairs each tell no more than ten pairs."""
    won = np.repeat([0.0, 1.0] * 5, 100)
    low, high = interval(np.arange(1000) // 100, won)
    assert low == pytest.approx(0.2, abs=0.01) and high == pytest.approx(0.8, abs=0.01)


def test_training_goes_on_where_it_was_stopped(
    new_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "KEPT_EVERY", 2)
    monkeypatch.setattr(language_model, "TOKENS_PER_BATCH", 300)
    draw = language_model.batch

    def stopped(tokenizer: Any, update: int, seed: int, drills: bool) -> Any:
        if update == 3:
            raise KeyboardInterrupt
        return draw(tokenizer, update, seed, drills)

    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    whole = language_model.train(
        new_tokenizer, tmp_path / "lm", tmp_path / "whole", drilled=3, undrilled=1
    )
    monkeypatch.setattr(language_model, "batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        language_model.train(
            new_tokenizer, tmp_path / "lm", tmp_path / "stopped", drilled=3, undrilled=1
        )
    monkeypatch.setattr(language_model, "batch", draw)
    again = language_model.train(
        new_tokenizer, tmp_path / "lm", tmp_path / "stopped", drilled=3, undrilled=1
    )
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name]), name
