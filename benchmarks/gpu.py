"""A language model on a GPU: tokens a second beside `generate`, vLLM and the memory roofline.

For 16, 64 and 256 particles of one question, each of which writes one step of the same length (the
full vocabulary, no end of text, log-probabilities returned), medians of rounds after a warm one:

1. tokens a second of motes' `extend`, plain and with CUDA graphs, of transformers' `generate`, and
   of vLLM where it is installed;
2. the roofline: what memory allows if every token of the batch reads the weights once, the prompt's
   keys and values once and each row's own once, at the bandwidth of a large copy, measured here;
3. the most memory that was allocated, and the time outside forward passes (from events on the
   device around each pass, so that what the host does meanwhile is not counted against it);
4. the seconds of plain decoding over those of decoding in fixed shapes (as they are, compiled, as
   CUDA graphs), round by round, one after the other in one run;
5. the memory plan of the language model and the reward model together, and the peak of a particle
   filter that uses both.

Run: python benchmarks/gpu.py [--lm SOURCE] [--prm SOURCE] [--tokens 256]
`random_weights.py` makes a SOURCE of a published size where there are no published weights.
Without a GPU it says so. `--device cpu --smoke` runs all of it on the pocket in some seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any, NamedTuple

import jax
import torch

import motes
from motes.models import Sampling, StepRule, TorchLM
from motes.models.hosting.memory_plan import Footprint, footprint_of
from motes.models.hosting.static_decoding import KINDS
from motes.models.pocket import problems

GIGABYTE = 1e9
SHARED_STEPS = 4  # of the filter that uses both models


class Size(NamedTuple):
    """How much is measured.

    Attributes:
        particles: of each measurement.
        tokens: that each particle writes.
        rounds: measured, after one that is not.
        copied: bytes of the copy that measures bandwidth.
    """

    particles: tuple[int, ...]
    tokens: int
    rounds: int
    copied: int


FULL = Size((16, 64, 256), 256, 3, 1 << 30)
SMOKE = Size((2, 4), 8, 1, 1 << 24)


class PassTimes:
    """Seconds inside a model's forward passes, as its device counts them."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self.device = device
        self.marks: list[Any] = []
        self._hooks = [
            model.register_forward_pre_hook(lambda *_: self._mark()),
            model.register_forward_hook(lambda *_: self._mark()),
        ]

    def _mark(self) -> None:
        if self.device.type != "cuda":
            self.marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append(event)

    def seconds(self) -> float:
        """Return the sum, and forget it."""
        wait(self.device)
        marks, self.marks = self.marks, []
        pairs = list(zip(marks[::2], marks[1::2], strict=True))
        if self.device.type != "cuda":
            return sum(end - begin for begin, end in pairs)
        return sum(begin.elapsed_time(end) for begin, end in pairs) / 1000

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    args = parsed(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured (--device cpu --smoke runs all of it, tiny)")
        return 0
    size = SMOKE if args.smoke else FULL
    size = size if args.tokens is None else size._replace(tokens=args.tokens)
    device = torch.device(args.device)
    problem = next(problems("test", seed=0, steps=6))
    rule = StepRule(delimiter=None, tokens=size.tokens, cap=size.tokens)
    lm = motes.load_lm(args.lm, device=args.device, dtype=args.dtype, step=rule)
    endless(lm)
    captured = None
    if device.type == "cuda":
        captured = TorchLM(lm.model, lm.tokenizer, step=rule, probe=False, decoding="graphs")
        endless(captured)
    bandwidth = copied_bytes_a_second(device, size.copied)
    footprint = footprint_of(lm.model, outputs=True)
    print(
        f"torch {torch.__version__}, {named(device)}, {args.lm} in {lm.model.dtype}, "
        f"{size.tokens} tokens a particle, medians of {size.rounds}; "
        f"a large copy moves {bandwidth / GIGABYTE:.0f} GB/s\n"
    )
    print("particles  motes tok/s  graphs  generate  vLLM  roofline  outside passes  peak GB")
    # a name that is known here alone, such as "pocket", is a folder elsewhere
    folder = lm.tokenizer.name_or_path
    engine = engine_of(folder) if device.type == "cuda" else None
    for particles in size.particles:
        print(row(lm, captured, engine, problem.question, particles, size, bandwidth, footprint))
    print()
    print_decodings(args, problem.question, max(size.particles), size, device)
    print()
    print_shared(args, problem.question, max(size.particles), size, device)
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="tokens a second on a GPU")
    parser.add_argument("--lm", default="pocket", help="language model, as motes.load_lm takes it")
    parser.add_argument("--prm", default="pocket", help="reward model, as motes.load_prm takes it")
    parser.add_argument("--device", default="cuda", help="a torch device")
    parser.add_argument("--dtype", default="auto", help="type of the weights")
    parser.add_argument("--tokens", type=int, help="tokens that each particle writes")
    parser.add_argument("--smoke", action="store_true", help="next to nothing of everything")
    return parser.parse_args(arguments)


def row(
    lm: TorchLM,
    captured: TorchLM | None,
    engine: Any,
    question: str,
    particles: int,
    size: Size,
    bandwidth: float,
    footprint: Footprint,
) -> str:
    """Measure one number of particles, and return its line of the table."""
    device, count = lm.model.device, particles * size.tokens
    passes, inside = PassTimes(lm.model, device), []

    def extend(seed: int) -> None:
        keys = jax.random.split(jax.random.key(seed), particles)
        steps = lm.extend([lm.start(question)] * particles, keys, sampling=Sampling())
        assert all(len(step.token_ids) == size.tokens for step in steps)
        inside.append(passes.seconds())

    forget_peak(device)
    ours = timed(extend, size.rounds, device)
    peak = peak_bytes(device)
    passes.close()

    theirs = timed(partial(generate, lm, question, particles, size.tokens), size.rounds, device)
    graphs = "-"
    if captured is not None:
        in_graphs = timed(partial(extended, captured, question, particles), size.rounds, device)
        graphs = f"{count / median(in_graphs):.0f}"
    outside = median(1 - part / whole for part, whole in zip(inside[1:], ours, strict=True))
    prompt = len(lm.rendered(question).token_ids)
    # a row's own tokens are half written on average
    read = footprint.weights + footprint.token * (prompt + particles * size.tokens / 2)
    vllm = "-"
    if engine is not None:
        in_vllm = partial(drawn_by, engine, lm, question, particles, size)
        in_its = timed(in_vllm, size.rounds, device)
        vllm = f"{count / median(in_its):.0f}"
    shown = "-" if peak is None else f"{peak / GIGABYTE:.2f}"
    plainly, generated = (f"{count / median(each):.0f}" for each in (ours, theirs))
    return (
        f"{particles:9d}  {plainly:>11}  {graphs:>6}  {generated:>8}  {vllm:>4}  "
        f"{particles * bandwidth / read:8.0f}  {outside:14.1%}  {shown:>7}"
    )


def print_decodings(
    args: argparse.Namespace, question: str, particles: int, size: Size, device: torch.device
) -> None:
    """Print what each way to decode in fixed shapes is worth beside the plain one."""
    kinds = KINDS if device.type == "cuda" else ("plain", "static")
    rule = StepRule(delimiter=None, tokens=size.tokens, cap=size.tokens)
    seconds: dict[str, list[float]] = {}
    lms = {}
    for kind in kinds:
        lms[kind] = motes.load_lm(
            args.lm, device=args.device, dtype=args.dtype, step=rule, decoding=kind
        )
        endless(lms[kind])
    for seed in range(size.rounds + 1):
        for kind, lm in lms.items():
            work = partial(extended, lm, question, particles, seed)
            seconds.setdefault(kind, []).append(spent(work, device))
    for kind in kinds[1:]:
        first, *others = seconds[kind]
        ratios = [a / b for a, b in zip(seconds["plain"][1:], others, strict=True)]
        print(
            f"{kind:9} {particles} particles, plain over it {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), the first time {first:.1f} s"
        )


def extended(lm: TorchLM, question: str, particles: int, seed: int) -> None:
    """Draw a step for each particle."""
    keys = jax.random.split(jax.random.key(seed), particles)
    lm.extend([lm.start(question)] * particles, keys, sampling=Sampling())


def print_shared(
    args: argparse.Namespace, question: str, particles: int, size: Size, device: torch.device
) -> None:
    """Print the plan for both models on one device, and what a filter of both took.

    Of random weights no step would end by itself: the filter has a few steps of a known length.
    """
    rule = StepRule(delimiter=None, tokens=size.tokens // 4, cap=size.tokens)
    lm = motes.load_lm(args.lm, device=args.device, dtype=args.dtype, step=rule)
    prm = motes.load_prm(args.prm, device=args.device, dtype=args.dtype)
    free = None if device.type == "cuda" else int(8 * GIGABYTE)
    print(
        motes.models.memory_plan(
            args.lm, args.prm, device=args.device, dtype=args.dtype, free=free
        ).text
    )
    forget_peak(device)
    posterior = motes.solve(
        question, lm=lm, prm=prm, particles=particles, seed=0, max_steps=SHARED_STEPS
    )
    peak = peak_bytes(device)
    shown = "" if peak is None else f", at most {peak / GIGABYTE:.2f} GB allocated"
    print(
        f"a filter of {particles} particles, {SHARED_STEPS} steps: "
        f"{posterior.cost.seconds:.1f} s{shown}"
    )


def endless(lm: TorchLM) -> None:
    """Let no token end the text, so that all rows are equally long."""
    lm._ending.end_ids = frozenset()
    lm._ending._may_end[:] = False


@torch.no_grad()
def generate(lm: TorchLM, question: str, particles: int, tokens: int, seed: int) -> None:
    """Let transformers write the same number of tokens, with their log-probabilities."""
    torch.manual_seed(seed)
    prompt = torch.tensor([lm.rendered(question).token_ids] * particles, device=lm.model.device)
    output = lm.model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=True,
        top_k=0,
        max_new_tokens=tokens,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    drawn = output.sequences[:, prompt.shape[1] :]
    for place, logits in enumerate(output.logits):
        torch.log_softmax(logits.float(), dim=-1).gather(1, drawn[:, place, None])
    assert drawn.shape == (particles, tokens)


def engine_of(source: str) -> Any:
    """Return vLLM with this model; None where it is not installed."""
    if find_spec("vllm") is None:
        return None
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    # half of the card is the other host's
    return LLM(model=source, gpu_memory_utilization=0.45)


def drawn_by(
    engine: Any, lm: TorchLM, question: str, particles: int, size: Size, seed: int
) -> None:
    """Let vLLM write the same number of tokens, with their log-probabilities."""
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

    law = SamplingParams(
        n=particles, max_tokens=size.tokens, ignore_eos=True, logprobs=0, seed=seed
    )
    [answer] = engine.generate([{"prompt_token_ids": list(lm.rendered(question).token_ids)}], law)
    assert sum(len(output.token_ids) for output in answer.outputs) == particles * size.tokens


def timed(work: Callable[[int], None], rounds: int, device: torch.device) -> list[float]:
    """Return the seconds of each round, after one that warms up."""
    return [spent(partial(work, seed), device) for seed in range(rounds + 1)][1:]


def spent(work: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of some work on a device."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def copied_bytes_a_second(device: torch.device, size: int) -> float:
    """Return how many bytes a large copy on the device reads and writes a second."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy(_: int) -> None:
        target.copy_(source)

    return 2 * size / median(timed(copy, 5, device))


def named(device: torch.device) -> str:
    """Return what a device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    """Count the most memory from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """Return the most memory allocated; None where torch does not count it."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


if __name__ == "__main__":
    raise SystemExit(main())
