"""Memory that runs out: batches become smaller, on a GPU and on the CPU, and nothing else
changes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from functools import wraps
from typing import Any
from weakref import ref

import jax
import pytest
import torch

from motes.models import (
    FunctionReward,
    NGramDraft,
    StepRule,
    TableLM,
    TorchLM,
    TorchPRM,
    Trajectory,
    load_lm,
    load_prm,
)
from motes.models.hosting import memory
from motes.models.hosting.kv import Rows
from motes.models.hosting.memory import in_halves, out_of_memory
from motes.models.population_memory import BYTES_OF_A_STEP, PopulationTooLarge, free_host_bytes
from motes.models.reward.readers import SeparatorReader
from motes.samplers import ParticleFilter, SuffixMetropolis, solve

QUESTION = "Ana has 7 pears. Ben has 5 more than Ana. How many pears does Ben have?"
ON_CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)"
)
RAN_OUT = [
    ON_CPU,
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you "
        "tried to allocate 1"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
]


def grown(lm: TorchLM, rows: int = 7) -> list[Trajectory]:
    """First steps of one question, second steps of some of them, and steps of another question."""
    first = lm.extend([lm.start(QUESTION)] * rows, jax.random.split(jax.random.key(0), rows))
    open_ones = [node for node in first if node.open][:2] * 3
    other = [lm.start("Cy has 3 apples. How many?")] * 2
    parents = [*open_ones, *other]
    return [*first, *lm.extend(parents, jax.random.split(jax.random.key(1), len(parents)))]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ref[Rows]]]:
    """Every batch that is made; Python does not look for circles meanwhile."""
    made: list[ref[Rows]] = []
    construct = Rows.__init__

    def noted(self: Rows, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        made.append(ref(self))

    monkeypatch.setattr(Rows, "__init__", noted)
    gc.disable()
    yield made
    gc.enable()


@pytest.mark.parametrize("options", [{}, {"decoding": "static"}, {"draft": NGramDraft()}], ids=str)
def test_a_batch_is_free_as_soon_as_nobody_reads_it(
    options: Any, batches: list[ref[Rows]], pocket64: Any, tokenizer: Any
) -> None:
    """Also one that memory ran out in: its halves need what it held."""
    lm = TorchLM(pocket64, tokenizer, step=StepRule(cap=12), probe=False, **options)
    model, held = lm.model, []

    def failing(*args: Any) -> None:
        hook.remove()
        held.append(len(batches))
        raise torch.OutOfMemoryError("CUDA out of memory")

    grown(lm)
    lm.drop_cache()
    assert batches and not [batch for batch in batches if batch() is not None]
    passes: list[list[int]] = []
    hook = model.register_forward_hook(failing)
    watching = model.register_forward_pre_hook(
        lambda *_: passes.append([i for i, batch in enumerate(batches) if batch() is not None])
    )
    grown(lm)
    watching.remove()
    # passes[0] is the one that failed
    assert held and all(i >= held[0] for i in passes[1])


@pytest.mark.parametrize("options", [{}, {"decoding": "static"}, {"draft": NGramDraft()}], ids=str)
def test_a_model_is_free_as_soon_as_nobody_uses_it(options: Any, tokenizer: Any) -> None:
    """Models are loaded one after the other in a notebook; a GPU holds one of them."""
    gc.disable()
    try:
        lm = load_lm("pocket", step=StepRule(cap=12), probe=False, **options)
        prm = load_prm("pocket")
        prm.score([step for step in grown(lm) if step.open])
        held = ref(lm.model), ref(prm.model)
        del lm, prm
        assert [model() for model in held] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("error", RAN_OUT, ids=lambda error: str(error)[-30:])
def test_every_way_of_running_out_halves_the_batch(error: BaseException) -> None:
    tried = []

    def run(rows: Any) -> list[int]:
        tried.append(len(rows))
        if len(rows) > 2:
            raise error
        return [10 * row for row in rows]

    assert in_halves(run, range(7)) == [0, 10, 20, 30, 40, 50, 60]
    assert tried == [7, 3, 1, 2, 4, 2, 2]


def test_a_row_that_does_not_fit_is_one_sentence_and_other_errors_are_themselves() -> None:
    def run(rows: Any) -> list[int]:
        raise ON_CPU

    with pytest.raises(
        MemoryError, match="memory ran out with a batch of one row .*: choose a smaller model"
    ) as caught:
        in_halves(run, range(3))
    assert caught.value.__cause__ is ON_CPU and "\n" not in str(caught.value)
    shapes = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not out_of_memory(shapes)

    def wrong(rows: Any) -> list[int]:
        raise shapes

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        in_halves(wrong, range(3))


def test_running_out_on_the_cpu_changes_no_draw(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = grown(TorchLM(pocket64, tokenizer))
    forward = type(pocket64).forward

    @wraps(forward)
    def short_of_memory(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].shape[0] > 3:
            raise ON_CPU
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(pocket64), "forward", short_of_memory)
    nodes = grown(TorchLM(pocket64, tokenizer, probe=False))
    assert [node.token_ids for node in nodes] == [node.token_ids for node in expected]


def test_what_was_not_written_is_not_read(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out while keys and values are stored: their slots are given back, and no later
    step sees them."""
    expected = grown(TorchLM(pocket64, tokenizer))
    lm = TorchLM(pocket64, tokenizer)
    at, calls = Rows.at, []

    def sometimes(self: Rows, rows: Any, columns: Any) -> Any:
        calls.append(len(rows))
        if len(calls) in (1, 3):
            raise MemoryError
        return at(self, rows, columns)

    monkeypatch.setattr(Rows, "at", sometimes)
    nodes = grown(lm)
    assert [node.token_ids for node in nodes] == [node.token_ids for node in expected]
    assert [node.logprob for node in nodes] == pytest.approx(
        [node.logprob for node in expected], abs=1e-9
    )
    kept = sum(len(entry.slots) for entry in lm._tree._store.cached)
    assert lm._tree.pool.owned == kept and len(calls) > 4


def test_batches_are_no_larger_than_the_free_memory(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU a batch too large may end the process: it is not tried."""
    lm = TorchLM(pocket64, tokenizer)
    expected = grown(lm)
    one = lm._tree.row_bytes([lm.start(QUESTION)], [lm.step.longest], lm.model.config.vocab_size)[0]
    monkeypatch.setattr(memory, "free_bytes", lambda device: 3 * one)
    sizes: list[int] = []
    hook = pocket64.register_forward_pre_hook(
        lambda model, args, kwargs: sizes.append(kwargs["input_ids"].shape[0]), with_kwargs=True
    )
    nodes = grown(TorchLM(pocket64, tokenizer, probe=False))
    hook.remove()
    assert max(sizes) == 2  # of three rows 0.8 may be used
    assert [node.token_ids for node in nodes] == [node.token_ids for node in expected]
    monkeypatch.setattr(memory, "free_bytes", lambda device: one // 4)
    said = r"one row of a batch needs about 0.0 GB of keys, values and logits, and 0.0 GB are free"
    with pytest.raises(MemoryError, match=said):
        lm.extend([lm.start(QUESTION)], jax.random.split(jax.random.key(0), 1))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1)
    prm = TorchPRM(pocket64, SeparatorReader(tokenizer, separator="<|step|>"))
    with pytest.raises(MemoryError, match="one row of a batch"):
        prm.score(expected[:1])


def test_the_estimate_of_a_row_covers_what_it_takes(
    pocket64: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = TorchLM(pocket64, tokenizer, step=StepRule(cap=40))
    root, rows, taken = lm.start(QUESTION), 5, []
    init = Rows.__init__

    def watched(self: Rows, keys: torch.Tensor, values: torch.Tensor, *rest: Any) -> None:
        init(self, keys, values, *rest)
        taken.append(keys.nbytes + values.nbytes)

    monkeypatch.setattr(Rows, "__init__", watched)
    lm.extend([root] * rows, jax.random.split(jax.random.key(0), rows))
    vocabulary = lm.model.config.vocab_size
    estimate = sum(lm._tree.row_bytes([root] * rows, [lm.step.longest] * rows, vocabulary))
    assert max(taken) <= estimate <= 20 * max(taken)


def test_a_population_beyond_the_memory_is_refused_before_it_is_tried() -> None:
    """With the figures, and before a model is asked anything."""
    asked = []

    def law(prefix: tuple[int, ...]) -> list[float]:
        asked.append(prefix)
        return [0.5, 0.5]

    said = (
        "1000000000000 particles of up to 32 steps need about 32000000.0 GB of memory, "
        r"and .* GB are free: choose at most \d+"
    )
    for sampler in (
        ParticleFilter(particles=10**12),
        SuffixMetropolis(chains=10**12, iterations=2, starts=1),
    ):
        for kind in (ValueError, MemoryError, PopulationTooLarge):
            with pytest.raises(kind, match=said) as caught:
                solve("Heads?", lm=TableLM(law), prm=FunctionReward(lambda x: 0.0), sampler=sampler)
            assert "\n" not in str(caught.value)
    assert not asked


def test_what_a_step_is_thought_to_take_is_of_the_right_size(pocket64: Any, tokenizer: Any) -> None:
    """Within a factor of four of what Python says of a trajectory's nodes and their entries in the
    caches."""
    lm = TorchLM(pocket64, tokenizer)
    root = lm.start(QUESTION)
    lm.extend([root] * 4, jax.random.split(jax.random.key(0), 4))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    nodes = lm.extend([root] * 200, jax.random.split(jax.random.key(1), 200))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert BYTES_OF_A_STEP / 4 < (after - before) / len(nodes) < 4 * BYTES_OF_A_STEP
    free = free_host_bytes()
    assert free is None or free > 10**8
