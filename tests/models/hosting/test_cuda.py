"""On a real GPU what other tests show on a CPU (make test-gpu).

The pocket in float64 draws on a GPU what it draws on a CPU, in every way to decode; the host waits
once a token; memory that runs out is found out, and the plan of memory holds.
"""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from grown_trees import OTHER, SHORT, grown, keys

import motes
from motes.models import Sampling, StepRule, TorchLM
from motes.models.hosting.draws import draw, log_probs
from motes.models.hosting.static_decoding import KINDS
from motes.models.planning import memory_plan
from motes.samplers import ParticleFilter

pytestmark = [
    pytest.mark.gpu,
    # torch's own compiler still uses what torch advises against
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device("cuda")


@pytest.fixture
def moved(device: torch.device, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Copy the model of a fixture to the GPU, as a language model that decodes in some way."""

    def host(name: str, rule: StepRule, kind: str, dtype: Any = torch.float64) -> TorchLM:
        model = copy.deepcopy(request.getfixturevalue(name)).to(device, dtype)
        tokenizer = request.getfixturevalue("tokenizer")
        return TorchLM(model, tokenizer, step=rule, probe=False, decoding=kind)

    yield host
    torch.cuda.empty_cache()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["pocket64", "learned_positions64"])
def test_draws_are_those_of_a_cpu(
    name: str, kind: str, moved: Any, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    rule = StepRule(cap=70)
    here = TorchLM(request.getfixturevalue(name), tokenizer, step=rule, probe=False)
    one, other = grown(here), grown(moved(name, rule, kind))
    assert [(x.token_ids, x.finished, x.truncated) for x in one] == [
        (x.token_ids, x.finished, x.truncated) for x in other
    ]
    # transformers computes rotary positions in float32, and a GPU's cosine is another
    allowed = 1e-9 if name == "learned_positions64" else 1e-4
    assert [x.logprob for x in one] == pytest.approx([x.logprob for x in other], abs=allowed)


@pytest.mark.parametrize("kind", KINDS)
def test_in_bfloat16_the_law_is_that_of_one_plain_pass(kind: str, moved: Any) -> None:
    """Up to bfloat16's rounding: logits of about 20 have three digits."""
    lm = moved("pocket32", StepRule(delimiter=None, tokens=24, cap=24), kind, torch.bfloat16)
    for x in lm.extend([lm.start(q) for q in (SHORT, OTHER, OTHER)], keys(3, 3)):
        prompt = lm.rendered(x.question).token_ids
        with torch.no_grad():
            read = torch.tensor([[*prompt, *x.token_ids]], device=lm.model.device)
            logits = lm.model(read).logits[0]
        table = Sampling().log_probs(logits[len(prompt) - 1 : -1].double().cpu().numpy())
        terms = table[np.arange(len(x.token_ids)), list(x.token_ids)]
        assert x.logprob == pytest.approx(terms.sum(), abs=0.05 * len(terms))


@pytest.mark.parametrize("kind", KINDS)
def test_a_particle_filter_is_that_of_a_cpu(kind: str, device: torch.device) -> None:
    found = []
    for place, decoding in (("cpu", "plain"), (str(device), kind)):
        lm = motes.load_lm("pocket", device=place, dtype="float64", decoding=decoding)
        prm = motes.load_prm("pocket", device=place, dtype="float64")
        found.append(motes.solve(SHORT, lm=lm, prm=prm, particles=24, seed=3))
    one, other = found
    assert [x.text for x in one.trajectories] == [x.text for x in other.trajectories]
    assert one.log_weights == pytest.approx(other.log_weights, abs=1e-4)
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-4)


def test_a_cut_law_is_that_of_a_cpu_and_draws_nothing_of_probability_zero(
    device: torch.device,
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(64, 151_936, generator=generator, dtype=torch.float64)
    uniforms = torch.rand(64, generator=generator, dtype=torch.float64)
    uniforms[:2] = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    for law in (Sampling(), Sampling(temperature=0.7, top_k=40), Sampling(top_p=0.9)):
        here, there = log_probs(logits, law), log_probs(logits.to(device), law)
        assert torch.equal(here.isneginf(), there.cpu().isneginf())
        tokens = draw(there, uniforms.to(device)).cpu()
        assert torch.equal(tokens, draw(here, uniforms))
        assert here.gather(1, tokens[:, None]).isfinite().all()
        # and where sums are added up in parallel, at the very edges of tokens of probability zero
        edges = there[:1].exp().cumsum(-1, dtype=torch.float64)[0]
        points = (edges[:-1] / edges[-1])[there[0, :-1].isneginf()][:512]
        same = there[:1].expand(len(points), -1)
        assert same.gather(1, draw(same, points)[:, None]).isfinite().all()


@pytest.mark.parametrize("kind", ["plain", "static", "graphs"])
def test_the_host_waits_once_a_token(kind: str, moved: Any) -> None:
    counts = []
    for tokens in (5, 20):
        lm = moved("pocket32", StepRule(delimiter=None, tokens=tokens, cap=tokens), kind)
        root = lm.start(SHORT)
        lm.extend([root] * 6, keys(1, 6))  # captured, and what is loaded once
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                lm.extend([root] * 6, keys(2, 6))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        counts.append(sum("synchron" in str(warning.message) for warning in caught))
    assert counts[1] - counts[0] == 15


@pytest.mark.parametrize("kind", ["plain", "static", "graphs"])
def test_a_batch_that_does_not_fit_is_halved(kind: str, moved: Any) -> None:
    rule, rows = StepRule(delimiter=None, tokens=24, cap=24), 3000
    lm = moved("pocket64", rule, kind)
    free, held = room_of(lm)
    expected = lm.extend([lm.start(SHORT)] * rows, keys(5, rows))
    peak, passes = torch.cuda.max_memory_allocated(), lm.cost.forward_passes
    del lm
    gc.collect()
    lm = moved("pocket64", rule, kind)
    whole = torch.cuda.get_device_properties(0).total_memory
    allowed = held + (peak - held) // 2
    try:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(allowed / whole)
        found = lm.extend([lm.start(SHORT)] * rows, keys(5, rows))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [x.token_ids for x in found] == [x.token_ids for x in expected]
    assert lm.cost.forward_passes > passes  # in parts
    assert free > peak  # it was not the estimate that parted them


@pytest.mark.parametrize("kind", ["plain", "graphs"])
def test_no_more_memory_is_taken_than_the_plan_says(kind: str, device: torch.device) -> None:
    plan = memory_plan("pocket", "pocket", device=str(device), tokens=400, decoding=kind)
    lm = motes.load_lm("pocket", device=str(device), decoding=kind)
    prm = motes.load_prm("pocket", device=str(device))
    lm.drop_cache()
    _, held = room_of(lm)
    particles = 2000
    sampler = ParticleFilter(particles=particles)
    motes.solve(SHORT, lm=lm, prm=prm, sampler=sampler, seed=0)
    taken = torch.cuda.max_memory_allocated() - held
    assert taken < plan.cache + particles * plan.particle


def room_of(lm: TorchLM) -> tuple[int, int]:
    """Return the bytes that are free, and those allocated, and count the most from here on."""
    lm.drop_cache()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.mem_get_info()[0], torch.cuda.memory_allocated()
