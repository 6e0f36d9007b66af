"""Equivalent FLOPs are those of a count token by token, of the published formula, and of torch's
own counter on a real model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import t
from torch.utils.flop_counter import FlopCounterMode

from motes.evaluation import Evaluation
from motes.evaluation.laws import (
    ArmFlops,
    EquivalentFlops,
    ModelShape,
    equivalent_flops,
    equivalent_flops_of_arms,
    model_shape,
    plot_equivalent_flops,
)
from motes.models import load_lm, load_prm
from motes.samplers import MajorityVote

SHAPE = ModelShape(parameters=1000, query_width=24, key_width=8)
JUDGE = ModelShape(parameters=300, query_width=6, key_width=2)


def token_by_token(lengths, shape, prompt):
    """Every token attends to what is before it, and to half of itself: the integral of the sum."""
    linear = attention = read = 0.0
    for place in range(prompt):
        linear += 2 * shape.parameters
        attention += 4 * shape.query_width * (place + 0.5)
    for step in range(max(lengths)):
        read += 2 * shape.bytes_each * shape.key_width * prompt  # keys and values, for all samples
        for length in lengths:
            if step < length:
                linear += 2 * shape.parameters
                attention += 4 * shape.query_width * (prompt + step + 0.5)
                read += 2 * shape.bytes_each * shape.key_width * (step + 0.5)
    return linear, attention, read


@pytest.mark.parametrize(("lengths", "prompt"), [([5], 3), ([4, 9, 1], 7), ([6, 6], 0)])
def test_it_is_the_count_token_by_token(lengths, prompt):
    found = equivalent_flops(lengths, SHAPE, prompt=prompt, intensity=10)
    linear, attention, read = token_by_token(lengths, SHAPE, prompt)
    assert found == pytest.approx((linear, attention, 10 * read))
    assert found.total == pytest.approx(linear + attention + 10 * read)


def test_it_is_the_published_formula_of_equal_samples():
    n, length, prompt = 16, 700, 90
    found = equivalent_flops([length] * n, SHAPE, prompt=prompt)
    own_pass = equivalent_flops([0], SHAPE, prompt=prompt)
    # arXiv:2506.05333, whose code leaves the prompt's own pass out
    computed = n * (2 * 1000 * length + 2 * (2 * prompt + length) * length * 24)
    memory = 562.5 * 2 * (2 * prompt + n * length) * length * 8
    assert found.linear + found.attention - own_pass.total == pytest.approx(computed)
    assert found.memory == pytest.approx(memory)


def test_compute_is_what_torch_counts():
    """One pass over 64 tokens of the pocket: torch counts attention without the causal mask."""
    lm = load_lm("pocket", probe=False)
    shape = model_shape(lm.model)
    lm.model.set_attn_implementation("eager")  # of one fused kernel, torch counts nothing
    tokens = torch.arange(64)[None] + 4
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        lm.model(tokens)
    found = equivalent_flops([0], shape, prompt=64)
    # weights that only scale are no products of matrices: 1,152 of the parameters
    expected = found.linear - 2 * 1152 * 64 + 2 * found.attention
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-9)


def test_shapes_of_models():
    lm, prm = load_lm("pocket", probe=False).model, load_prm("pocket").model
    config = lm.config
    assert model_shape(lm).query_width == 4 * 128
    assert model_shape(lm).key_width == 4 * config.num_key_value_heads * config.head_dim
    untied = sum(weight.numel() for weight in prm.parameters())
    table = prm.get_input_embeddings().weight
    output = prm.get_output_embeddings()
    looked_up = 0 if output is not None and output.weight is table else table.numel()
    assert model_shape(prm, bytes_each=4).parameters == untied - looked_up
    experts = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_experts=8))
    with pytest.raises(ValueError, match=r"only some of this model's experts \(num_experts = 8\)"):
        model_shape(SimpleNamespace(config=experts))
    other = SimpleNamespace(get_text_config=SimpleNamespace)
    with pytest.raises(ValueError, match="by hand"):
        model_shape(SimpleNamespace(config=other))


def test_arms_cost_what_their_records_say(run):
    evaluation = run(repeats=2)
    found = equivalent_flops_of_arms(evaluation, SHAPE, JUDGE, prompt=11)
    assert [arm.arm for arm in found] == [arm.title for arm in evaluation.arms]
    totals = np.zeros((4, 5))
    for record in evaluation.records:
        lengths, read = record.draws["tokens"], record.cost["prm_tokens"]
        context = 11 + sum(x**2 for x in lengths) / 2 / sum(lengths)
        linear = 2000 * (11 + record.cost["generated_tokens"]) + 600 * read
        attention = 96 * (11**2 / 2 + record.cost["generated_tokens"] * context)
        reads = 32 * (11 * max(lengths) + record.cost["generated_tokens"] * (context - 11))
        total = linear + attention + 24 * read * context + 562.5 * reads
        totals[record.arm, record.problem] += total / 2
        assert record.cost["rescored_tokens"] == 0
    for arm, each in zip(found, totals, strict=True):
        assert arm.mean.total == pytest.approx(each.mean())
        ends = t.interval(0.95, 4, each.mean(), each.std(ddof=1) / np.sqrt(5))
        assert (arm.low, arm.high) == pytest.approx(ends)
        total, share = arm.rows()
        assert total[1:4] == (arm.mean.total, arm.low, arm.high)
        assert share.estimate == pytest.approx(1 - arm.mean.linear / arm.mean.total)
    ax = Figure().subplots()
    assert plot_equivalent_flops(found, ax=ax) is ax


def test_independent_draws_cost_what_samples_cost(run):
    evaluation = run(samplers={"vote": MajorityVote(samples=5)})
    [found] = equivalent_flops_of_arms(evaluation, SHAPE, prompt=[3, 4, 5, 6, 7])
    parts = []
    for record in evaluation.records:
        prompt = 3 + record.problem
        parts.append(equivalent_flops(record.draws["tokens"], SHAPE, prompt=prompt))
    np.testing.assert_allclose(found.mean, np.mean(parts, axis=0))


def test_other_data_are_refused(run):
    evaluation = run()
    with pytest.raises(ValueError, match="at least one problem"):
        equivalent_flops_of_arms(Evaluation(evaluation.arms, 5, evaluation.records[:1]), SHAPE)
    with pytest.raises(ValueError, match="one for each of 5 problems"):
        equivalent_flops_of_arms(evaluation, SHAPE, prompt=[1.0, 2.0])
    with pytest.raises(ValueError, match="one sample or more"):
        equivalent_flops([], SHAPE)
    with pytest.raises(ValueError, match="prompt must be"):
        equivalent_flops([1], SHAPE, prompt=-1)
    with pytest.raises(ValueError, match="at least one arm"):
        plot_equivalent_flops([])
    single = ArmFlops("vote", EquivalentFlops(1.0, 0.0, 0.0), float("nan"), float("nan"))
    assert plot_equivalent_flops([single], ax=Figure().subplots()).patches
