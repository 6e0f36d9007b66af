"""The hosted language model against one plain forward pass on the same token ids.

The reference has no cache, no batch, no padding and no masks: a model's logits over prompt and
tokens. What the host says a token's probability was, and which token a uniform number draws, are
computed from those a second time and compared.
"""

from __future__ import annotations

from functools import wraps
from itertools import islice
from typing import Any

import jax
import numpy as np
import pytest
import torch

from motes.models import (
    Sampling,
    StepRule,
    Thinking,
    TorchLM,
    Trajectory,
    load_lm,
    token_confidences,
)
from motes.models.pocket import problems
from motes.models.randomness import SlotUniforms

QUESTION = next(problems("test", seed=11, steps=3)).question
OTHER = next(problems("test", seed=12, steps=5)).question
# what stands between these words of the pocket's is read as thinking
THINKING = Thinking(begin=" owns", end=".", step=StepRule(delimiter=None, tokens=2))


def keys(seed: int, rows: int) -> Any:
    return jax.random.split(jax.random.key(seed), rows)


def plain_log_probs(lm: TorchLM, trajectory: Trajectory) -> torch.Tensor:
    """Log-probabilities (tokens, vocabulary) in front of each generated token, by one
    forward pass."""
    prompt = list(lm._tokens_of(trajectory.path[0]))
    with torch.no_grad():
        logits = lm.model(torch.tensor([[*prompt, *trajectory.token_ids]])).logits[
            0, len(prompt) - 1 : -1
        ]
    return torch.log_softmax(
        logits if logits.dtype == torch.float64 else logits.float(), dim=-1
    ).double()


def plain_logprob(lm: TorchLM, trajectory: Trajectory) -> float:
    """The sum over generated tokens."""
    table = plain_log_probs(lm, trajectory)
    return float(table[torch.arange(len(table)), list(trajectory.token_ids)].sum())


def grow(
    lm: TorchLM, *, rounds: int = 4, seed: int = 0, drop: bool = False, **options: Any
) -> list[Trajectory]:
    """Two questions, forks, ragged steps, extensions of interior nodes, dropped caches: all nodes
    made."""
    rng = np.random.default_rng(seed)
    nodes = [lm.start(QUESTION), lm.start(OTHER)]
    for i in range(rounds):
        parents = [nodes[j] for j in rng.integers(len(nodes), size=7) if nodes[j].open]
        parents += parents[:1]  # a fork at least
        nodes += lm.extend(parents, keys(100 * seed + i, len(parents)), **options)
        if drop and i % 2:
            lm.drop_cache()
    return nodes[2:]


@pytest.mark.long(quick=4)
@pytest.mark.parametrize("name", ["pocket64", "sliding64", "learned_positions64"])
@pytest.mark.parametrize("drop", [False, True])
def test_logprob_is_that_of_one_plain_forward_pass_in_float64(
    name: str, drop: bool, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    lm = TorchLM(request.getfixturevalue(name), tokenizer, step=StepRule(cap=24))
    for node in grow(lm, drop=drop):
        assert node.logprob == pytest.approx(plain_logprob(lm, node), abs=1e-9)
        assert node.proposal_logprob == node.logprob
        assert lm.logprob([node.path[0]], [node.token_ids]) == pytest.approx(
            [node.logprob], abs=1e-9
        )


@pytest.mark.parametrize("top", [1, 20, None, "entropy"])
def test_confidences_are_those_of_one_plain_forward_pass(
    top: Any, pocket64: Any, tokenizer: Any
) -> None:
    lm = TorchLM(pocket64, tokenizer, step=StepRule(cap=80))  # longer than a block of columns
    nodes = [lm.start(QUESTION), *grow(lm, rounds=2)]
    for node, values in zip(nodes, token_confidences(lm, nodes, top=top), strict=True):
        assert values.shape == (len(node.token_ids),)
        if not node.token_ids:
            continue
        table = plain_log_probs(lm, node)
        if top == "entropy":
            expected = -torch.distributions.Categorical(logits=table).entropy()
            np.testing.assert_allclose(values, expected.numpy(), atol=1e-9)
            continue
        sharpest = table if top is None else table.sort(descending=True).values[:, :top]
        expected = -sharpest.mean(dim=1) - (np.log(table.shape[1]) if top is None else 0)
        np.testing.assert_allclose(values, expected.numpy(), atol=1e-9)


def test_logprob_is_that_of_one_plain_forward_pass_in_float32(
    pocket32: Any, tokenizer: Any
) -> None:
    lm = TorchLM(pocket32, tokenizer)
    for node in grow(lm):
        assert node.logprob == pytest.approx(
            plain_logprob(lm, node), abs=1e-4 * len(node.token_ids)
        )


@pytest.mark.slow
def test_a_real_architecture_in_float32(smollm_folder: Any) -> None:
    """SmolLM2-135M-Instruct: 30 layers, 9 query heads on 3 key-value heads, its own chat
    template."""
    lm = load_lm(smollm_folder, step=StepRule(delimiter="\n", cap=12))
    root = lm.start("What is 3 + 4? Think step by step.")
    prompt = lm.tokenizer.decode(lm._tokens_of(root))
    assert prompt.count("<|im_start|>") == 3 and prompt.rstrip().endswith("assistant")
    nodes = lm.extend([root] * 3, keys(0, 3))
    nodes += lm.extend([nodes[0], nodes[0], nodes[2]], keys(1, 3))
    lm.drop_cache()
    nodes += lm.extend([nodes[1], nodes[3], root], keys(2, 3))
    for node in nodes:
        assert node.logprob == pytest.approx(
            plain_logprob(lm, node), abs=1e-4 * len(node.token_ids)
        )
    again = lm.logprob([nodes[0]] * 2, [nodes[3].step_token_ids, nodes[4].step_token_ids])
    assert again == pytest.approx([nodes[3].step_logprob, nodes[4].step_logprob], abs=1e-4 * 12)


@pytest.mark.parametrize("name", ["pocket64", "sliding64"])
def test_tokens_are_those_that_the_uniforms_draw_from_the_plain_distribution(
    name: str, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    lm = TorchLM(request.getfixturevalue(name), tokenizer, step=StepRule(cap=20))
    first = lm.extend([lm.start(QUESTION)] * 6, keys(3, 6))
    going = [node for node in first if node.open]
    second = lm.extend([going[0], going[0], going[-1]], keys(4, 3))
    for seed, batch in ((3, first), (4, second)):
        uniforms = SlotUniforms(keys(seed, len(batch)), len(batch))
        for slot, node in enumerate(batch):
            table = plain_log_probs(lm, node)[-len(node.step_token_ids) :]
            for j, token in enumerate(node.step_token_ids):
                cumulative = table[j].exp().cumsum(0)
                assert (
                    int(
                        torch.searchsorted(
                            cumulative, uniforms.at(j)[slot] * cumulative[-1], right=True
                        )
                    )
                    == token
                )


def test_siblings_draw_independently_and_a_batch_is_the_sum_of_its_rows(
    pocket64: Any, tokenizer: Any
) -> None:
    lm = TorchLM(pocket64, tokenizer)
    root, slots = lm.start(QUESTION), keys(5, 16)
    hot = Sampling(temperature=3.0)
    together = lm.extend([root] * 16, slots, prior=hot)
    assert len({node.step_token_ids for node in together}) == 16
    alone = [lm.extend([root], slots[i : i + 1], prior=hot)[0] for i in (0, 7, 15)]
    assert [node.step_token_ids for node in alone] == [
        together[i].step_token_ids for i in (0, 7, 15)
    ]


def test_frequencies_follow_the_distribution(pocket32: Any, tokenizer: Any) -> None:
    """First tokens of 4,000 one-token steps against the plain softmax; false alarm 1e-4
    (chi-squared)."""
    from scipy.stats import chisquare

    lm = TorchLM(pocket32, tokenizer, step=StepRule(delimiter=None, tokens=1))
    [trunk] = lm.extend([lm.start(QUESTION)], keys(9, 1))
    nodes = lm.extend([trunk] * 4000, keys(6, 4000), sampling=Sampling(temperature=2.0))
    table = plain_log_probs(lm, nodes[0])[1]
    expected = torch.softmax(table / 2.0, dim=0).numpy() * 4000
    observed = np.bincount([node.step_token_ids[0] for node in nodes], minlength=len(expected))
    large = expected >= 5
    pooled = lambda counts: np.append(counts[large], counts[~large].sum())
    assert chisquare(pooled(observed), pooled(expected)).pvalue > 1e-4


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.6),
        Sampling(top_k=3),
        Sampling(top_p=0.7),
        Sampling(temperature=1.5, top_k=20, top_p=0.9),
    ],
)
def test_prior_and_proposal_are_each_normalised_token_by_token(
    sampling: Sampling, pocket64: Any, tokenizer: Any
) -> None:
    lm = TorchLM(pocket64, tokenizer, step=StepRule(cap=10))
    prior = Sampling(temperature=1.2)
    for node in lm.extend([lm.start(QUESTION)] * 5, keys(7, 5), sampling=sampling, prior=prior):
        logits = plain_log_probs(lm, node).numpy()
        ids = np.array(node.token_ids)[:, None]
        assert node.logprob == pytest.approx(
            np.take_along_axis(prior.log_probs(logits), ids, 1).sum(), abs=1e-9
        )
        assert node.proposal_logprob == pytest.approx(
            np.take_along_axis(sampling.log_probs(logits), ids, 1).sum(), abs=1e-9
        )
        assert lm.logprob([node.path[0]], [node.token_ids], prior=prior) == pytest.approx(
            [node.logprob], abs=1e-9
        )


class TokenCounter:
    """Counts what a model is really given: tokens by the attention mask's last columns, and
    passes."""

    def __init__(self, model: Any) -> None:
        self.tokens = self.passes = 0
        self.hook = model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.tokens += int(kwargs["attention_mask"][:, -kwargs["input_ids"].shape[1] :].sum())
        self.passes += 1


def test_every_token_is_computed_once(pocket32: Any, tokenizer: Any) -> None:
    lm = TorchLM(pocket32, tokenizer)
    counter = TokenCounter(lm.model)
    root = lm.start(QUESTION)
    prompt = len(lm._tokens_of(root))
    population, made = [root] * 12, []
    for step in range(4):
        children = lm.extend(population, keys(step, len(population)))
        made += children
        survivors = [node for node in children if node.open][:4]
        population = survivors * 2  # the others die, and these have two children each
    counter.hook.remove()
    lengths = [len(node.step_token_ids) for node in made]
    extended = {node.parent for node in made} - {root}
    assert lm.cost.prompt_tokens == prompt and lm.cost.rescored_tokens == 0
    assert lm.cost.generated_tokens == sum(lengths)
    # the token that ends a step is read when the step is first extended, all others once when they
    # are drawn
    assert counter.tokens == prompt + sum(length - 1 for length in lengths) + len(extended)
    assert counter.passes == lm.cost.forward_passes

    interior = made[0]
    counter, before = TokenCounter(lm.model), lm.cost
    [child] = lm.extend([interior], keys(50, 1))
    counter.hook.remove()
    assert interior in extended and (lm.cost - before).rescored_tokens == 1
    assert counter.tokens == len(child.step_token_ids)


@pytest.mark.parametrize(
    "rule",
    [
        StepRule(delimiter=None, tokens=5),
        StepRule(cap=3),
        StepRule(delimiter=":"),
        StepRule(delimiter=None, predicate=lambda text: "has" in text, cap=40),
        StepRule(delimiter=[":", " has"]),
    ],
)
def test_steps_end_where_the_rule_says(rule: StepRule, pocket32: Any, tokenizer: Any) -> None:
    lm = TorchLM(pocket32, tokenizer, step=rule)
    for node in grow(lm, rounds=2):
        length, text = len(node.step_token_ids), node.step_text
        assert length <= rule.longest
        if not node.finished:
            assert length == rule.longest or rule.ends(text)
        before = tokenizer.decode(node.step_token_ids[:-1])
        assert not rule.ends(before), "the step should have ended earlier"


def test_end_of_text_inside_a_step_finishes_and_a_full_context_truncates(
    learned_positions64: Any, tokenizer: Any
) -> None:
    lm = TorchLM(learned_positions64, tokenizer, step=StepRule(delimiter=None, cap=60))
    population, ends = [lm.start(QUESTION)] * 40, []
    for step in range(6):
        children = lm.extend(population, keys(step, len(population)))
        ends += [node for node in children if not node.open]
        population = [node for node in children if node.open]
        if not population:
            break
    assert not population
    prompt = len(lm._tokens_of(ends[0].path[0]))
    for node in ends:
        assert (node.token_ids[-1] == tokenizer.eos_token_id) == node.finished
        assert node.truncated == (not node.finished and prompt + len(node.token_ids) == lm.context)
        assert tokenizer.eos_token_id not in node.token_ids[:-1]
        assert node.logprob == pytest.approx(plain_logprob(lm, node), abs=1e-9)
    assert any(node.finished for node in ends) and any(node.truncated for node in ends)
    with pytest.raises(ValueError, match="only open trajectories"):
        lm.extend(ends[:1], keys(0, 1))


@pytest.mark.slow
def test_a_small_cache_changes_nothing_but_the_work(pocket64: Any, tokenizer: Any) -> None:
    roomy = TorchLM(pocket64, tokenizer)
    expected = grow(roomy, rounds=6)
    bytes_a_token = (
        2 * pocket64.config.num_hidden_layers * pocket64.config.num_key_value_heads * 32 * 8
    )
    tight = TorchLM(pocket64, tokenizer, cache_bytes=420 * bytes_a_token)
    nodes = grow(tight, rounds=6)
    assert [node.token_ids for node in nodes] == [node.token_ids for node in expected]
    assert [node.logprob for node in nodes] == pytest.approx(
        [node.logprob for node in expected], abs=1e-9
    )
    # roomy: an interior node's last token
    assert tight.cost.rescored_tokens > 10 * roomy.cost.rescored_tokens
    # less than one prompt: nothing can be kept, batches are halved until their rows share nothing,
    # and all is read again
    nothing = TorchLM(pocket64, tokenizer, cache_bytes=20 * bytes_a_token)
    assert [node.token_ids for node in grow(nothing, rounds=3)] == [
        node.token_ids for node in expected[: 3 * 8]
    ]


def test_out_of_memory_halves_the_batch(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = TorchLM(pocket64, tokenizer)
    expected = lm.extend([lm.start(QUESTION)] * 9, keys(8, 9))
    forward = type(pocket64).forward

    @wraps(forward)
    def short_of_memory(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].shape[0] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(pocket64), "forward", short_of_memory)
    lm = TorchLM(pocket64, tokenizer)
    assert [node.token_ids for node in lm.extend([lm.start(QUESTION)] * 9, keys(8, 9))] == [
        node.token_ids for node in expected
    ]


def test_logits_that_are_not_numbers_name_the_model_and_the_trajectory(
    tokenizer: Any, sliding64: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = TorchLM(sliding64, tokenizer, name="broken")
    root = lm.start(QUESTION)
    monkeypatch.setattr(
        sliding64.lm_head,
        "weight",
        torch.nn.Parameter(torch.full_like(sliding64.lm_head.weight, torch.nan)),
    )
    with pytest.raises(FloatingPointError, match="'broken'.*Trajectory open, 0 steps"):
        lm.extend([root], keys(0, 1))
    with pytest.raises(FloatingPointError, match="'broken'"):
        lm.logprob([root], [(5,)])


def test_bad_questions_and_keys(pocket32: Any, tokenizer: Any) -> None:
    lm = TorchLM(pocket32, tokenizer)
    with pytest.raises(ValueError, match="question must be a text that is not blank"):
        lm.start("  ")
    with pytest.raises(ValueError, match="too long .* tokens of the 512"):
        lm.start("Ana has 7. " * 300)
    with pytest.raises(ValueError, match="one JAX random key for each of the 2"):
        lm.extend([lm.start(QUESTION)] * 2, keys(0, 3))


def test_recurrent_models_are_refused(tokenizer: Any) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(
        MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)
    ).eval()
    with pytest.raises(ValueError, match="MambaForCausalLM cannot be hosted"):
        TorchLM(model, tokenizer)


def test_problems_share_a_batch(pocket64: Any, tokenizer: Any) -> None:
    """Different questions in one batch draw what they draw alone."""
    lm = TorchLM(pocket64, tokenizer)
    questions = [problem.question for problem in islice(problems("validation", seed=2), 5)]
    slots = keys(1, 5)
    together = lm.extend([lm.start(question) for question in questions], slots)
    alone = [
        lm.extend([lm.start(question)], slots[i : i + 1])[0] for i, question in enumerate(questions)
    ]
    assert [node.token_ids for node in together] == [node.token_ids for node in alone]


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(
    "rule",
    [
        StepRule(delimiter="."),
        StepRule(delimiter=None, tokens=3),
        StepRule(delimiter="\n", cap=5),
        StepRule(delimiter=["\n", " does"], cap=9, thinking=THINKING),
    ],
    ids=["delimiter", "tokens", "cap", "thinking"],
)
@pytest.mark.parametrize("room", [400, 34])
def test_continuations_are_what_extend_would_have_made(
    pocket64: Any, tokenizer: Any, rule: StepRule, room: int
) -> None:
    """Whatever was drawn behind one trajectory is found again behind it, node for node; behind
    another, its log-probability is
    that of a plain forward pass, or it says rightly that its steps would have ended elsewhere."""
    lm = TorchLM(pocket64, tokenizer, step=rule)
    root = lm.start(QUESTION)
    lm.context = len(lm._tokens_of(root)) + room
    hot, prior = Sampling(temperature=1.5), Sampling()
    drawn = [root] * 4
    for step in range(8):
        going = [i for i, x in enumerate(drawn) if x.open]
        if not going:
            break
        keys = jax.random.split(jax.random.key(step), len(going))
        for i, x in zip(
            going,
            lm.extend([drawn[i] for i in going], keys, sampling=hot, prior=prior),
            strict=True,
        ):
            drawn[i] = x
    found = refused = 0
    for x in drawn:
        for cut in range(0, x.depth, 2):
            steps = x.path[cut + 1 :]
            [again] = lm.continued([x.path[cut]], steps, prior=prior, proposal=hot)
            for one, other in zip(again.path, x.path, strict=True):
                assert (one.text, one.token_ids, one.finished, one.truncated) == (
                    other.text,
                    other.token_ids,
                    other.finished,
                    other.truncated,
                )
                assert one.logprob == pytest.approx(other.logprob, abs=1e-9)
                assert one.proposal_logprob == pytest.approx(other.proposal_logprob, abs=1e-9)
            others = [y.path[cut] for y in drawn if y.depth >= cut and y.path[cut].open]
            if not others:
                continue
            total = lm.logprob(others, [sum((s.step_token_ids for s in steps), ())] * len(others))
            for y, end, log_p in zip(
                others, lm.continued(others, steps, prior=prior, proposal=prior), total, strict=True
            ):
                length = sum(len(s.step_token_ids) for s in steps)
                if end is None or (end.finished, end.truncated) != (x.finished, x.truncated):
                    refused += 1
                    # only the context can end a step elsewhere here
                    assert lm.room(y) != lm.room(x.path[cut])
                    continue
                found += 1
                assert (
                    end.logprob - y.logprob == pytest.approx(log_p, abs=1e-9)
                    and end.token_ids == y.token_ids + end.token_ids[-length:]
                )
    assert found > 10 and (room < 100 or not refused)
