"""Models that are asked in turn: when they stop, and who votes, against the enumerated law."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product
from math import prod

import numpy as np
import pytest

from motes.models import Component, Sampling, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import AllParticlesDead, model_switch

ONE, TWO, SAMPLES, RUNS = [0.6, 0.3, 0.1], [0.2, 0.1, 0.7], 2, 250


def table(law, name="table"):
    """States the first of three answers, then ends."""
    return TableLM(lambda prefix: [0, 0, 0, 1] if prefix else [*law, 0], eos=3, name=name)


def declared(law, **settings):
    first = lambda x: str(x.token_ids[0]) if x.finished else None
    return StateSpaceModel("?", lm=table(law, "one"), max_steps=3, answer=first, **settings)


def test_it_stops_and_votes_by_the_law():
    """Votes (how many models, which answers) of 250 runs: each of the 15 kinds of more than 2% is
    within 4.5 standard errors of its probability, which a right one misses with 1e-4."""
    model, other, found = declared(ONE), table(TWO, "two"), Counter()
    for seed in range(RUNS):
        posterior = model_switch(model, [other], samples=SAMPLES, seed=seed)
        votes = tuple(sorted(map(str, posterior.extracted)))
        found[len(posterior.runs), votes] += 1
        assert np.allclose(posterior.log_weights, -np.log(len(votes)))
    law: dict[tuple[int, tuple[str, ...]], float] = defaultdict(float)
    for x in product(range(3), repeat=SAMPLES):
        p = prod(ONE[a] for a in x)
        if len(set(x)) == 1:
            law[1, tuple(map(str, sorted(x)))] += p
            continue
        for y in product(range(3), repeat=SAMPLES):
            law[2, tuple(map(str, sorted(x + y)))] += p * prod(TWO[a] for a in y)
    assert sum(law.values()) == pytest.approx(1)
    assert found.keys() <= law.keys()
    for kind, p in law.items():
        if p > 0.02:
            assert abs(found[kind] / RUNS - p) < 4.5 * (p * (1 - p) / RUNS) ** 0.5


def test_a_result_says_what_it_is():
    posterior = model_switch(declared([0.5, 0.5, 0]), [Component(table(TWO), Sampling(top_k=1))])
    assert posterior.extracted[-5:] == ("2",) * 5
    assert (posterior.guarantee, posterior.evidence) == ("heuristic", "none")
    assert posterior.log_evidence is None and posterior.sampler == "model_switch"
    assert posterior.settings["lm"] == ["one", "table"]
    assert posterior.cost.generated_tokens == 20
    assert any("2 of 2 language models voted" in str(finding) for finding in posterior.check())


def test_a_model_without_an_allowed_solution_has_no_vote():
    model = declared([1, 0, 0], constraint=lambda x: x.token_ids[0] == 2)
    assert set(model_switch(model, [table([0, 0, 1])]).extracted) == {"2"}
    with pytest.raises(AllParticlesDead):
        model_switch(model, [table([0, 1, 0])])
    with pytest.raises(ValueError, match="samples"):
        model_switch(model, [], samples=0)
    with pytest.raises(TypeError, match="model must be a StateSpaceModel"):
        model_switch("?", [])  # pyright: ignore
