"""Where a run's time goes, and how fast tokens are drawn beside transformers' own `generate`.

On the pocket with 64 particles, in a warm process, medians of five:

1. the share of a particle filter's wall time that is neither a forward pass nor the moving of keys
and values; 2. tokens a second of one `extend` against `generate` on equal work: the same prompt, 64
rows, 64 tokens, no end
   of text, the full vocabulary, both returning log-probabilities. Each round runs both, one after
   the other, and the ratio is taken round by round;
3. the CPU seconds of plain decoding over those of decoding in fixed shapes, as they are and
   compiled, on the same work, round by round; what compiling takes comes before.

Run: python benchmarks/hosting.py [--decoding]      (with it, the third alone)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import jax
import torch

import motes
from motes.models import Sampling, StepRule, TorchLM
from motes.models.pocket import problems

ROUNDS, ROWS, TOKENS = 5, 64, 64
DECODINGS = ("plain", "static", "compiled")


def main() -> None:
    """Print all figures."""
    if "--decoding" not in sys.argv[1:]:
        print_hosting()
    print_decoding()


def print_decoding() -> None:
    """Print what fixed shapes and compiling are worth."""
    rule = StepRule(delimiter=None, tokens=TOKENS, cap=TOKENS)
    question = next(problems("test", seed=0, steps=6)).question
    lms = {kind: motes.load_lm("pocket", step=rule, decoding=kind) for kind in DECODINGS}
    seconds: dict[str, list[float]] = {kind: [] for kind in DECODINGS}
    for lm in lms.values():
        lm._ending.end_ids = frozenset()
    for seed in range(ROUNDS + 1):
        for kind, lm in lms.items():
            seconds[kind].append(_cpu_seconds(lambda lm=lm, seed=seed: _extend(lm, question, seed)))
    print(f"\n{ROWS} rows of {TOKENS} tokens, CPU seconds, medians of {ROUNDS}:")
    for kind, all_of_it in seconds.items():
        first, *others = all_of_it
        ratios = [a / b for a, b in zip(seconds["plain"][1:], others, strict=True)]
        print(
            f"  {kind:9} {median(others):6.2f} s ({first:.0f} s the first time), plain over it "
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def print_hosting() -> None:
    """Print the first two figures."""
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    problem = next(problems("test", seed=0, steps=6))
    print(
        f"torch {torch.__version__} on {torch.get_num_threads()} threads, {ROWS} rows, medians of "
        f"{ROUNDS}\n"
    )

    runs = [
        motes.solve(problem.question, lm=lm, prm=prm, particles=ROWS, seed=seed).cost
        for seed in range(ROUNDS + 1)
    ][1:]
    shares = [1 - (cost.forward_seconds + cost.cache_seconds) / cost.seconds for cost in runs]
    print(f"particle filter: {median(cost.seconds for cost in runs):.2f} s a run, of which")
    print(
        "  forward passes           "
        f"{median(cost.forward_seconds / cost.seconds for cost in runs):.1%}"
    )
    print(
        "  moving keys and values   "
        f"{median(cost.cache_seconds / cost.seconds for cost in runs):.1%}"
    )
    print(
        f"  everything else          {median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"
    )
    for name in (
        "prompt_tokens",
        "generated_tokens",
        "rescored_tokens",
        "prm_tokens",
        "forward_passes",
        "prm_forward_passes",
        "idle_rows",
    ):
        print(f"  {name:24s} {median(getattr(cost, name) for cost in runs):.0f}")

    bare = TorchLM(lm.model, lm.tokenizer, step=StepRule(delimiter=None, tokens=TOKENS, cap=TOKENS))
    bare.end_ids = frozenset()
    ours, theirs = [], []
    for seed in range(ROUNDS + 1):
        ours.append(_seconds(lambda seed=seed: _extend(bare, problem.question, seed)))
        theirs.append(_seconds(lambda seed=seed: _generate(lm, problem.question, seed)))
    ratios = [b / a for a, b in zip(ours[1:], theirs[1:], strict=True)]
    count = ROWS * TOKENS
    print(f"\n{ROWS} rows of {TOKENS} tokens, one forward pass a token in both:")
    print(f"  motes     {count / median(ours[1:]):8.0f} tokens/s")
    print(f"  generate  {count / median(theirs[1:]):8.0f} tokens/s")
    print(f"  ratio     {median(ratios):8.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def _extend(lm: TorchLM, question: str, seed: int) -> None:
    children = lm.extend(
        [lm.start(question)] * ROWS,
        jax.random.split(jax.random.key(seed), ROWS),
        sampling=Sampling(),
    )
    assert all(len(child.token_ids) == TOKENS for child in children)


@torch.no_grad()
def _generate(lm: TorchLM, question: str, seed: int) -> None:
    torch.manual_seed(seed)
    prompt = lm.tokenizer.apply_chat_template(
        [[{"role": "user", "content": question}]] * ROWS,
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = lm.model.generate(
        **prompt,
        do_sample=True,
        top_k=0,
        max_new_tokens=TOKENS,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = output.sequences[:, prompt["input_ids"].shape[1] :]
    logprobs = torch.stack(
        [torch.log_softmax(logits.float(), dim=-1) for logits in output.logits], dim=1
    )
    assert logprobs.gather(2, tokens[:, :, None]).shape == (ROWS, TOKENS, 1)


def _cpu_seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
