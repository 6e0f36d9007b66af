"""Decoding in fixed shapes: the same draws, few shapes, each compiled once."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from grown_trees import OTHER, SHORT, grown, keys
from torch._dynamo.testing import CompileCounter
from waits import Waits

from motes.models import NGramDraft, Sampling, StepRule, TorchLM, load_lm
from motes.models.hosting import static_decoding
from motes.models.hosting.static_decoding import Captured, StaticDecoding
from motes.models.hosting.static_rows import COLUMNS, bucket
from motes.models.planning import memory_plan


def pair(model: Any, tokenizer: Any, rule: StepRule, kind: str = "static") -> list[TorchLM]:
    return [
        TorchLM(model, tokenizer, step=rule, probe=False, decoding=decoding)
        for decoding in ("plain", kind)
    ]


def fixed(lm: TorchLM) -> StaticDecoding:
    assert lm._static is not None
    return lm._static


@pytest.mark.parametrize("name", ["pocket64", "learned_positions64"])
def test_draws_are_those_of_plain_decoding(
    name: str, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    plain, static = pair(request.getfixturevalue(name), tokenizer, StepRule(cap=70))
    one, other = grown(plain), grown(static)
    assert [(x.token_ids, x.finished, x.truncated) for x in one] == [
        (x.token_ids, x.finished, x.truncated) for x in other
    ]
    assert [x.logprob for x in one] == pytest.approx([x.logprob for x in other], abs=1e-9)
    # a prompt of the tests and 3 steps of 70 tokens do not fit into 192 positions
    assert any(x.truncated for x in other) == (name == "learned_positions64")
    # rows were moved to wider shapes on the way
    assert len({shape.own for shape in fixed(static)._arena._steps}) > 1


def test_in_float32_the_sums_alone_are_in_another_order(pocket32: Any, tokenizer: Any) -> None:
    plain, static = (grown(lm) for lm in pair(pocket32, tokenizer, StepRule(cap=40)))
    assert [x.token_ids for x in plain] == [x.token_ids for x in static]
    for x, y in zip(plain, static, strict=True):
        assert x.logprob == pytest.approx(y.logprob, abs=1e-6 * len(x.token_ids))


def test_log_probabilities_are_those_of_one_plain_pass(pocket64: Any, tokenizer: Any) -> None:
    lm = pair(pocket64, tokenizer, StepRule(delimiter=None, tokens=12, cap=12))[1]
    for x in lm.extend([lm.start(SHORT), lm.start(OTHER), lm.start(OTHER)], keys(3, 3)):
        prompt = lm.rendered(x.question).token_ids
        with torch.no_grad():
            logits = pocket64(torch.tensor([[*prompt, *x.token_ids]])).logits[0]
        table = Sampling().log_probs(logits[len(prompt) - 1 : -1].numpy())
        total = table[np.arange(len(x.token_ids)), list(x.token_ids)].sum()
        assert x.logprob == pytest.approx(total, abs=1e-9)


def test_what_other_batches_left_behind_is_not_read(pocket64: Any, tokenizer: Any) -> None:
    """Also where it is NaN, which masked columns would spread: 0 times NaN is NaN."""
    plain, static = pair(pocket64, tokenizer, StepRule(cap=10))
    expected = grown(plain)
    grown(static)
    static._tree.drop()
    arena = fixed(static)._arena
    with torch.inference_mode():
        for side in [side for sides in [*arena._own, *arena._shared] for side in sides]:
            side.fill_(torch.nan)
    assert [x.token_ids for x in grown(static)] == [x.token_ids for x in expected]


def test_shapes_are_powers_of_two_and_their_memory_is_counted(
    pocket64: Any, tokenizer: Any
) -> None:
    lm = pair(pocket64, tokenizer, StepRule(cap=40))[1]
    for rows in range(1, 12, 3):
        lm.extend([lm.start(SHORT)] * rows, keys(rows, rows))
    arena = fixed(lm)._arena
    shapes = set(arena._steps)
    assert all(bucket(shape.rows) == shape.rows <= 16 for shape in shapes)
    assert len(shapes) <= 5
    assert {(shape.shared, shape.own) for shape in shapes} == {(COLUMNS, COLUMNS)}
    held = sum(side.nbytes for sides in arena._own for side in sides)
    heads, more = [lm.start(SHORT)] * 10, [lm.step.longest] * 10
    counted, without = (
        sum(lm._tree.row_bytes(heads, more, 100, padded=padded)) for padded in (True, False)
    )
    assert 0 < held <= counted - without
    lm.drop_cache()
    assert not arena._steps
    plans = [memory_plan("pocket", free=8 << 30, decoding=kind) for kind in ("plain", "static")]
    assert plans[1].particle - plans[0].particle == 2 * (2048 * 4096 + 373 * 16)


def test_the_host_waits_once_a_token(pocket32: Any, tokenizer: Any) -> None:
    counts = []
    for tokens in (5, 20):
        lm = pair(pocket32, tokenizer, StepRule(delimiter=None, tokens=tokens, cap=tokens))[1]
        root = lm.start(SHORT)
        with Waits() as waits:
            lm.extend([root] * 6, keys(2, 6))
        counts.append(waits.counts)
    assert counts[1] - counts[0] == {"cpu": 15}


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> CompileCounter:
    """Count what torch compiles; nothing is built of it."""
    counter, compiling = CompileCounter(), torch.compile

    def counted(function: Any, **options: Any) -> Any:
        return compiling(function, backend=counter, **options)

    monkeypatch.setattr(torch, "compile", counted)
    return counter


def test_a_shape_is_compiled_once_and_as_one_graph(
    learned_positions64: Any, tokenizer: Any, counter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_decoding, "MOST", 2)
    rule = StepRule(delimiter=None, tokens=4, cap=4)
    plain, lm = pair(learned_positions64, tokenizer, rule, "compiled")
    for lms in (plain, lm):
        lms._ending.end_ids = frozenset()
    counts = []
    for rows in (3, 4, 2, 5, 2):
        expected, found = (
            [x.token_ids for x in each.extend([each.start(SHORT)] * rows, keys(rows, rows))]
            for each in (plain, lm)
        )
        assert found == expected
        counts.append(counter.frame_count)
    # of 3 and 4 rows; of 2; 5 is a shape too many, and moves the memory of all
    assert counts == [1, 1, 2, 2, 2]
    assert len(fixed(lm).shapes) == 2


@pytest.mark.statistics
# torch's own compiler still uses what torch advises against
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_torch_compiles_draws_the_same(learned_positions64: Any, tokenizer: Any) -> None:
    rule = StepRule(delimiter=None, tokens=4, cap=4)
    lms = pair(learned_positions64, tokenizer, rule, "compiled")
    one, other = (lm.extend([lm.start(SHORT)] * 4, keys(0, 4)) for lm in lms)
    assert [x.token_ids for x in one] == [x.token_ids for x in other]
    assert [x.logprob for x in one] == pytest.approx([x.logprob for x in other], abs=1e-9)


def test_a_graph_is_captured_once_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's part is played by a graph that runs what was captured, into the same output."""
    events: list[str] = []
    place, output = torch.zeros(2), torch.zeros(2)

    def run(step: Any) -> torch.Tensor:
        assert step is place
        events.append("run")
        return output.copy_(step + 1)

    class Graph:
        def replay(self) -> None:
            events.append("replay")
            output.copy_(place + 1)

    class Stream:
        def wait_stream(self, other: Any) -> None:
            events.append("wait")

    @contextmanager
    def capturing(graph: Graph) -> Any:
        events.append("capture")
        yield

    for name, fake in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda aside: nullcontext(),
        "graph": capturing,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    captured = Captured(run)
    for value in (1.0, 2.0):
        place.fill_(value)
        assert captured(place).tolist() == [value + 1] * 2
    assert events == ["wait", *["run"] * 3, "wait", "capture", "run", "replay", "replay"]


def test_what_cannot_be_decoded_so_is_refused(
    pocket32: Any, sliding64: Any, tokenizer: Any
) -> None:
    for model, options, reason in [
        (sliding64, {"decoding": "static"}, "attends in windows"),
        (pocket32, {"decoding": "graphs"}, "needs a CUDA device"),
        (pocket32, {"decoding": "fast"}, "must be one of plain, static, compiled, graphs"),
        (pocket32, {"decoding": "static", "draft": NGramDraft()}, "beside a draft"),
    ]:
        with pytest.raises(ValueError, match=reason):
            TorchLM(model, tokenizer, probe=False, **options)
    with pytest.raises(ValueError, match="decodes in its own way"):
        load_lm("http://127.0.0.1:9", decoding="static")
