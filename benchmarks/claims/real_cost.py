"""What a run of `real.py` will cost, before anything of it is loaded.

A run with budget n on a problem writes n solutions of L tokens, and the reward model reads them.
Their products with the weights, attention, reads of keys and values, and reads of the weights once
a pass are counted in FLOPs, a byte at the GPU's ratio of compute to bandwidth
(`motes.evaluation.laws.equivalent_flops`); hours are these over the GPU's peak times a utilisation.
All L and the utilisation are assumptions, and are printed.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from real_setups import SIZES
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from motes.evaluation.laws import ModelShape, equivalent_flops, model_shape
from motes.models.hosting.memory_plan import MemoryPlan, footprint_of
from motes.models.planning import CACHE
from motes.models.weightless import CAUSAL, weightless_model

STEP_TOKENS = 40  # of a step as models write them, an assumption
PROMPT = 250  # tokens before a solution, an assumption


class Gpu(NamedTuple):
    """A device as its maker describes it.

    Attributes:
        flops: peak a second, bfloat16, dense.
        bandwidth: bytes a second.
        memory: bytes.
    """

    flops: float
    bandwidth: float
    memory: float


GPUS = {
    "A100": Gpu(312e12, 2.04e12, 80e9),
    "H100": Gpu(989e12, 3.35e12, 80e9),
    "H200": Gpu(989e12, 4.8e12, 141e9),
    "L40S": Gpu(362e12, 0.864e12, 48e9),
    "RTX 4090": Gpu(165e12, 1.01e12, 24e9),
}


class Estimate(NamedTuple):
    """What all runs cost together.

    Attributes:
        runs: how many there are.
        lm_tokens: written.
        prm_tokens: read by the reward model.
        flops: with weights and in attention, of both models.
        eflops: the same, and all reads of memory as FLOPs.
        hours: on the GPU, at the utilisation.
        plan: the GPU's memory, shared out.
    """

    runs: int
    lm_tokens: float
    prm_tokens: float
    flops: float
    eflops: float
    hours: float
    plan: MemoryPlan


@cache
def network(source: str, *, prm: bool = False) -> Any:
    """Return a model without weights, in bfloat16; published ones need no download."""
    if source not in SIZES:
        return weightless_model(source, prm=prm).to(torch.bfloat16)
    of_config, sizes = SIZES[source]
    config = of_config(**sizes)
    declared = getattr(config, "architectures", None) or ["ForCausalLM"]
    maker: Any = AutoModelForCausalLM
    if not declared[0].endswith(CAUSAL):
        maker = AutoModelForTokenClassification
    with torch.device("meta"):
        return maker.from_config(config).to(torch.bfloat16)


def estimated(
    lm: str,
    prm: str,
    budgets: list[int],
    *,
    problems: int,
    solution: int,
    gpu: Gpu,
    utilisation: float,
    at_once: int,
) -> Estimate:
    """Return what the protocol costs.

    Args:
        lm: the language model, a published id or what `motes.load_lm` takes.
        prm: the reward model, likewise.
        budgets: of each method.
        problems: how many.
        solution: L, tokens of a solution.
        gpu: what it runs on.
        utilisation: the share of the peak that is reached.
        at_once: runs that share batches.
    """
    networks = network(lm), network(prm, prm=True)
    shapes = [model_shape(each) for each in networks]
    footprints = {
        "language model": footprint_of(networks[0], outputs=True),
        "reward model": footprint_of(networks[1], outputs=False),
    }
    plan = MemoryPlan(int(gpu.memory), footprints, CACHE * len(footprints), solution)
    counts = [max(budgets)] + 3 * budgets  # the draws, two filters and DVTS
    parts = [
        of_a_run(n, solution, shapes, [each.weights for each in footprints.values()], gpu,
                 rows=max(1, min(plan.particles, n * at_once)))
        for n in counts
    ]  # fmt: skip
    flops, eflops = (problems * sum(column) for column in zip(*parts, strict=True))
    tokens = problems * sum(counts) * solution
    read = tokens + problems * len(counts) * PROMPT
    hours = eflops / (gpu.flops * utilisation) / 3600
    return Estimate(problems * len(counts), tokens, read, flops, eflops, hours, plan)


def of_a_run(
    n: int, solution: int, shapes: list[ModelShape], weights: list[int], gpu: Gpu, *, rows: int
) -> tuple[float, float]:
    """Return the FLOPs of a run, and with them all reads of memory.

    Args:
        n: solutions.
        solution: tokens of each.
        shapes: of language model and reward model.
        weights: bytes of each.
        gpu: what it runs on.
        rows: solutions that are written in one batch, of this run and others.
    """
    intensity = gpu.flops / gpu.bandwidth
    written, read = (
        equivalent_flops([solution] * n, shape, prompt=PROMPT, intensity=intensity)
        for shape in shapes
    )
    flops = sum(each.linear + each.attention for each in (written, read))
    passes = solution * n / rows, solution / STEP_TOKENS * n / rows
    loaded = sum(count * size for count, size in zip(passes, weights, strict=True))
    # the reward model reads whole steps in one pass: their keys and values once, which is little
    return flops, flops + written.memory + intensity * loaded


def described(estimate: Estimate, gpu: str, utilisation: float, solution: int) -> str:
    """Return an estimate in words."""
    share = f"{utilisation:.0%} of its peak (--utilisation, an assumption: time a few runs first)"
    return "\n".join(
        [
            f"{estimate.runs:,} runs; assumed: {solution} tokens a solution (--solution-tokens), "
            f"{PROMPT} of a prompt",
            f"{'tokens':<24}{estimate.lm_tokens / 1e6:,.1f} million written, "
            f"{estimate.prm_tokens / 1e6:,.1f} million read by the reward model",
            f"{'FLOPs':<24}{estimate.flops:.2g}; with reads of memory {estimate.eflops:.2g}",
            f"{'hours':<24}{estimate.hours:,.1f} on one {gpu} at {share}",
            f"memory of one {gpu}:",
            estimate.plan.text,
        ]
    )
