"""Momentum uncertainty against the law of its paths, enumerated, and its trap at the first steps.

False alarms: chi-squared tests at 1e-4 each, on fixed seeds.
"""

from __future__ import annotations

from collections import Counter
from math import exp, log

import pytest
from searches import DEPTH, EOS, Table, fits, tokens

from motes.models import TableLM
from motes.samplers import MomentumUncertainty, make_sampler

K = 3


def best_law(small: Table, prefix: tuple[int, ...], probs: dict) -> dict:
    """The law of the best of K draws; of equals the first."""
    scores = {t: small.log_odds((*prefix, t)) for t in probs}
    law = {}
    for token, p in probs.items():
        below = sum(q for other, q in probs.items() if scores[other] < scores[token])
        equal = sum(q for other, q in probs.items() if scores[other] == scores[token])
        law[token] = ((below + equal) ** K - below**K) * p / equal
    return law


def sure(small: Table, path: tuple[int, ...], a: float, g: float, corrected: bool) -> bool:
    """The published condition, in plain arithmetic: one token a step."""
    logprobs = [log(small.next_probs(path[:t])[path[t]]) for t in range(len(path))]
    momentum = 0.0
    for t, value in enumerate(logprobs[:-1]):
        momentum = a * momentum + (1 - a) * value
        level = momentum / (1 - a ** (t + 1)) if corrected else momentum
    return len(path) == 1 or not exp(logprobs[-1]) < g * exp(level)


def path_law(small: Table, a: float, g: float, corrected: bool) -> dict:
    law, going = {}, {(): 1.0}
    for _ in range(DEPTH):
        after: Counter = Counter()
        for prefix, mass in going.items():
            probs = {t: float(p) for t, p in enumerate(small.next_probs(prefix)) if p > 0}
            kept = {t: sure(small, (*prefix, t), a, g, corrected) for t in probs}
            unsure = sum(p for t, p in probs.items() if not kept[t])
            for token, p in best_law(small, prefix, probs).items():
                after[(*prefix, token)] += mass * (probs[token] * kept[token] + unsure * p)
        law |= {x: p for x, p in after.items() if x[-1] == EOS or len(x) == DEPTH}
        going = {x: p for x, p in after.items() if x not in law}
    return law


@pytest.mark.slow
@pytest.mark.parametrize(("a", "g", "corrected"), [(0.9, 0.9, False), (0.5, 0.7, True)])
def test_the_law_of_a_path(table, a, g, corrected):
    """T4. The first step is the prior's; later ones are replaced where they are not sure."""
    small = table(seed=4, levels=3)
    settings = {"momentum": a, "scaling": g, "corrected": corrected}
    sampler = make_sampler("momentum_uncertainty", particles=8, candidates=K, **settings)
    law = path_law(small, a, g, corrected)
    assert sum(law.values()) == pytest.approx(1)
    counts: Counter = Counter()
    for seed in range(100):
        counts.update(tokens(sampler.run(small.model(), seed=seed)))
    assert fits(counts, law)
    assert not fits(counts, dict(small.solutions()))  # the prior's
    assert not fits(counts, path_law(small, a, g, not corrected))


def test_what_is_thrown_away_is_paid_for(table):
    small = table(seed=4, levels=3)
    posterior = MomentumUncertainty(particles=8, candidates=K).run(small.model(), seed=0)
    nodes = len(posterior.tree.parents) - 1
    assert posterior.cost.generated_tokens == nodes > sum(map(len, tokens(posterior)))


def test_full_confidence_at_the_start_replaces_steps_that_are_as_sure_as_all_others():
    """The same signal at every step: the published momentum replaces steps 2 to 25 all the same."""
    lm = TableLM(lambda prefix: [0.25, 0.25, 0.25, 0.25])
    x = lm.start("?")
    replaced: dict[bool, list[int]] = {False: [], True: []}
    for t in range(1, 40):
        x = x.child("0", (0,), logprob=log(0.25), proposal_logprob=log(0.25))
        for corrected, steps in replaced.items():
            if not MomentumUncertainty(corrected=corrected).sure(x):
                steps.append(t)
    assert replaced[True] == []
    # .25 < .9 exp((1 - .9^(t-1)) log .25) while .9^(t-1) > log .9 / log .25
    assert replaced[False] == [t for t in range(2, 40) if 0.9 ** (t - 1) > log(0.9) / log(0.25)]
    assert replaced[False][-1] == 25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": 1}, "candidates must be at least 2"),
        ({"momentum": 1.0}, "momentum must be"),
        ({"scaling": 0.0}, "scaling must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MomentumUncertainty(**settings)
