"""Programs over a small table model, and their masses by formulas of their own. On the tests' path:
see pyproject.toml."""

from __future__ import annotations

from functools import cache
from math import exp, inf, log, log1p

import numpy as np
import numpyro

from motes import ppl
from motes.models import FunctionReward, TableLM

EOS, MAX_STEPS = 2, 3


@cache
def next_probs(prefix: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([25, *prefix]).dirichlet([1.5, 1.5, 1.0])


@cache
def log_odds(prefix: tuple[int, ...]) -> float:
    """Zero midway, certainty, and everything between."""
    random = np.random.default_rng([1112, *prefix])
    return float(random.choice([-inf, inf, random.normal(0, 1.5)], p=[0.15, 0.1, 0.75]))


@cache
def other_log_odds(prefix: tuple[int, ...]) -> float:
    return float(np.random.default_rng([77, *prefix]).normal())


def log_r(log_odds: float) -> float:
    return (
        -log1p(exp(-log_odds))
        if log_odds >= 0
        else (log_odds - log1p(exp(log_odds)) if log_odds > -inf else -inf)
    )


LM = TableLM(next_probs, eos=EOS)
PRM = FunctionReward(lambda x: log_odds(x.token_ids))
OTHER = FunctionReward(lambda x: other_log_odds(x.token_ids))


def first_token(x) -> str:
    return str(x.token_ids[0])


def written(x):
    """One more step."""
    return numpyro.sample(
        f"step_{x.depth}", ppl.step(LM, x, answer=first_token, stop_at_answer=False)
    )


def solve(question):
    """The state-space model with target `product`, as a program."""
    x = ppl.start(LM, question)
    for _ in range(MAX_STEPS):
        if not x.open:
            break
        x = written(x)
        numpyro.sample(f"ok_{x.depth}", ppl.judgement(PRM, x), obs=1)
    return x.answer


def begin(question):
    return ppl.start(LM, question)


def go_on(t, x):
    x = numpyro.sample("step", ppl.step(LM, x, answer=first_token, stop_at_answer=False))
    numpyro.sample("ok", ppl.judgement(PRM, x), obs=1)
    return x if x.open else ppl.Return(x.answer)


def built_in(**settings):
    defaults = {
        "lm": LM,
        "prm": PRM,
        "max_steps": MAX_STEPS,
        "answer": first_token,
        "stop_at_answer": False,
    }
    return ppl.StateSpaceModel("?", **{**defaults, **settings})


def paths(steps: int = MAX_STEPS):
    """Every complete trajectory's tokens with log p."""

    def grown(prefix, log_p):
        if prefix and (prefix[-1] == EOS or len(prefix) == steps):
            yield prefix, log_p
            return
        for token, p in enumerate(next_probs(prefix)):
            yield from grown((*prefix, token), log_p + log(p))

    yield from grown((), 0.0)


def log_rs(tokens, of=log_odds):
    """log r of each step."""
    return [log_r(of(tokens[: t + 1])) for t in range(len(tokens))]
