"""The claims on published models and data, on one GPU: is particle filtering better than search?

Puri et al. (2025, arXiv:2502.01618) claim that particle filtering with 64 particles is more
accurate than best of n, the weighted vote and DVTS at an equal budget, on MATH-500 and AIME 2024.

Protocol, fixed before any run.

    models       `real_setups.py`: Qwen2.5-Math-1.5B- and -7B-Instruct with Qwen2.5-Math-PRM-7B;
                 Llama-3.2-1B-Instruct with RLHFlow's Llama3.1-8B-PRM-Deepseek-Data, and with
                 Qwen's, which the published numbers are of
    problems     MATH-500 or AIME 2024, all; with --problems the first ones
    law          temperature 0.8; a step ends at a blank line, at most 512 tokens; at most 64 steps;
                 Qwen's own prompt, and search-and-learn's for Llama. A solution that fills the
                 context of either model is cut there
    methods      budgets 4, 16 and 64: the particle filter as published (puri2025), the exact filter
                 of the declared target, DVTS; from one pool of 64 independent scored draws, the
                 first n each time: majority vote, best of n and weighted vote, by the last score,
                 and the vote that stops when answers agree (at most n), which uses no reward model
    comparison   the published filter at the largest budget minus best of n, weighted vote and DVTS,
                 paired over problems; 95% intervals by a bootstrap over problems; sign tests,
                 Holm's correction over the three
    support      supported if the filter is surely above all three, after Holm; contradicted if it
                 is surely below one; else undecided at this size
    seeds        one run of each method on each problem: the seed is 20 and what `evaluate` adds

It cannot speak of other models. Tokens of both models stand beside each accuracy; the vote that
stops is the number to beat, since it costs least.

Run: python benchmarks/claims/real.py --configuration qwen2.5-math-1.5b --data math500
It prints what it will cost and asks before it loads anything (--yes goes on at once), and goes on
where it was stopped. Without --configuration it prints the cost of everything, and runs nothing.
--record FOLDER keeps what both models answered, and --replay FOLDER repeats the run from that,
without weights or a GPU.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from real_cost import GPUS, Estimate, described, estimated
from real_report import report
from real_setups import SETUPS, Setup, samplers

import motes
from motes.evaluation import Evaluation, load_problems
from motes.models import Sampling, StepRule, recorded, replayed

RESULTS = Path(__file__).parents[2] / "build" / "claims" / "real"
DATA = {"math500": 500, "aime24": 30}
SEED, TEMPERATURE = 20, 0.8


def main(arguments: list[str] | None = None) -> int:
    """Print the cost; then, if it is agreed to, run what is missing and print the claim's line."""
    args = parsed(arguments)
    if args.configuration is None:
        print(costs(args))
        print("nothing was run: choose one with --configuration and --data")
        return 0
    setup, data = chosen(args), args.data
    problems = load_problems(args.file or data, count=args.problems)
    if args.replay is None:
        print(f"{args.configuration} on {data}, {len(problems)} problems")
        estimate = estimate_of(setup, data, args, len(problems))
        print(described(estimate, args.gpu, args.utilisation, solution_tokens(setup, data, args)))
        if not estimate.plan.particles:
            print(f"the models do not fit: one {args.gpu} has not enough memory (--gpu)")
            return 1
        if not agreed(args):
            print("nothing was run: --yes goes on")
            return 0
    evaluation = run(setup, problems, args)
    print(evaluation.table())
    report(evaluation, args.budgets, setup, data)
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configuration", choices=SETUPS)
    parser.add_argument("--data", choices=DATA, default="math500")
    parser.add_argument("--file", type=Path, help="of problems, where there is no hub")
    parser.add_argument("--problems", type=positive, help="how many of them, from the first on")
    parser.add_argument("--budgets", type=budgets, default=[4, 16, 64], help="such as 4,16,64")
    parser.add_argument("--lm", help="where the language model is, if not at the hub")
    parser.add_argument("--prm", help="where the reward model is, if not at the hub")
    parser.add_argument("--device", default="auto", help="as motes.load_lm takes it")
    parser.add_argument("--dtype", default="auto", help="as motes.load_lm takes it")
    parser.add_argument("--step-tokens", type=positive, default=512)
    parser.add_argument("--max-steps", type=positive, default=64)
    parser.add_argument("--at-once", type=positive, default=4, help="runs that share batches")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    parser.add_argument("--record", type=Path, metavar="FOLDER")
    parser.add_argument("--replay", type=Path, metavar="FOLDER")
    parser.add_argument("--gpu", choices=GPUS, default="H100", help="for the estimate alone")
    parser.add_argument("--utilisation", type=share, default=0.1, help="for the estimate alone")
    parser.add_argument("--solution-tokens", type=positive, help="for the estimate alone")
    parser.add_argument("--yes", action="store_true", help="run without asking")
    args = parser.parse_args(arguments)
    if args.record is not None and args.replay is not None:
        parser.error("--record and --replay exclude one another")
    return args


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def share(text: str) -> float:
    """Return a number in (0, 1]."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return number


def budgets(text: str) -> list[int]:
    """Return the numbers of a list such as 4,16,64, in order."""
    return sorted({positive(part) for part in text.split(",")})


def chosen(args: argparse.Namespace) -> Setup:
    """Return the configuration, with copies in the places that were given."""
    setup = SETUPS[args.configuration]
    return setup._replace(lm=args.lm or setup.lm, prm=args.prm or setup.prm)


def solution_tokens(setup: Setup, data: str, args: argparse.Namespace) -> int:
    """Return how long solutions are taken to be."""
    return args.solution_tokens or setup.solution_tokens[data]


def estimate_of(setup: Setup, data: str, args: argparse.Namespace, problems: int) -> Estimate:
    """Return what a configuration costs on so many problems."""
    return estimated(
        setup.lm,
        setup.prm,
        args.budgets,
        problems=problems,
        solution=solution_tokens(setup, data, args),
        gpu=GPUS[args.gpu],
        utilisation=args.utilisation,
        at_once=args.at_once,
    )


def costs(args: argparse.Namespace) -> str:
    """Return a table of what each configuration costs on each data set."""
    head = f"hours on one {args.gpu} at {args.utilisation:.0%}"
    lines = [
        f"| configuration | data | runs | tokens | FLOPs | {head} | GB of weights | in one batch |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, setup in SETUPS.items():
        for data, most in DATA.items():
            found = estimate_of(setup, data, args, min(args.problems or most, most))
            weights = sum(model.weights for model in found.plan.models.values()) / 1e9
            cells = [name, data, f"{found.runs:,}", f"{found.lm_tokens / 1e6:,.0f} million"]
            cells += [f"{found.flops:.1e}", f"{found.hours:.1f}", f"{weights:.1f}"]
            lines.append(f"| {' | '.join([*cells, str(found.plan.particles)])} |")
    return "\n".join(lines)


def agreed(args: argparse.Namespace) -> bool:
    """Ask whether to go on; no where nobody can answer."""
    if args.yes:
        return True
    return sys.stdin.isatty() and input("go on? [y/N] ").strip().lower() in ("y", "yes")


def run(setup: Setup, problems: list[Any], args: argparse.Namespace) -> Evaluation:
    """Do the runs that the file of results lacks; return all of them."""
    name = f"{args.configuration}-{args.data}"
    args.results.mkdir(parents=True, exist_ok=True)
    lm, prm = partial(language_model, setup, name, args), partial(reward_model, setup, name, args)
    return motes.evaluate(
        problems,
        samplers=samplers(args.budgets),
        lm=lm,
        prm=prm,
        prior=Sampling(temperature=TEMPERATURE),
        max_steps=args.max_steps,
        seed=SEED,
        results=args.results / f"{name}.jsonl",
        at_once=args.at_once,
    )


def language_model(setup: Setup, name: str, args: argparse.Namespace) -> Any:
    """Load the language model, or open its recording."""
    if args.replay is not None:
        return replayed(args.replay / f"{name}-lm.jsonl.gz")
    lm = motes.load_lm(
        setup.lm,
        device=args.device,
        dtype=args.dtype,
        prompt=setup.prompt,
        step=StepRule(cap=args.step_tokens),
    )
    return lm if args.record is None else kept(lm, args.record / f"{name}-lm.jsonl.gz")


def reward_model(setup: Setup, name: str, args: argparse.Namespace) -> Any:
    """Load the reward model, or open its recording."""
    if args.replay is not None:
        return replayed(args.replay / f"{name}-prm.jsonl.gz")
    prm = motes.load_prm(setup.prm, family=setup.family, device=args.device, dtype=args.dtype)
    return prm if args.record is None else kept(prm, args.record / f"{name}-prm.jsonl.gz")


def kept(model: Any, path: Path) -> Any:
    """Return a model that writes down what it is asked and answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return recorded(model, path)


if __name__ == "__main__":
    sys.exit(main())
