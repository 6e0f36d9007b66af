"""Results can be pickled, copied, and sent to other processes, and are then what they were."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from io import BytesIO

import numpy as np
import pytest
import table_models

from motes.models import Cost, FunctionReward, Sampling, StepRule, TableLM, Trajectory
from motes.ppl.posterior.posterior import Posterior
from motes.samplers import AllParticlesDead, ParticleFilter, SuffixMetropolis, repeated

DEEP = 60_000  # steps: Python gives up at 1,000 calls within calls


def chain(depth, fork_at=None):
    """Two leaves that share their first `fork_at` steps."""
    node = Trajectory(question="?")
    fork = node
    for number in range(depth):
        fork = node if number == fork_at else fork
        node = node.child(f"{number} ", (number,), logprob=-0.5, proposal_logprob=-0.25)
    other = fork.child("x", (7,), logprob=-1.0, proposal_logprob=float("nan"))
    return node.close(finished=True, answer="a"), other.close(truncated=True)


def pickled(value):
    return pickle.loads(pickle.dumps(value))


def written_in_python(value):
    """By the pickler that is written in Python, which runs out of calls within calls first."""
    file = BytesIO()
    pickle._Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return pickle._Unpickler(BytesIO(file.getvalue())).load()


def said(x):
    return [
        (n.step_text, n.step_token_ids, n.logprob, n.depth, n.finished, n.truncated, n.answer)
        for n in x.path
    ]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_trajectories_of_any_length_are_pickled_and_share_their_parents(protocol):
    deep, other = chain(3_000, fork_at=1_700)
    one, two, again = pickle.loads(pickle.dumps([deep, other, deep], protocol))
    assert said(one) == said(deep) and said(two) == said(other)
    assert (
        one is again
        and two.path[1_700] is one.path[1_700]
        and two.path[1_701] is not one.path[1_701]
    )
    two_first = pickle.loads(pickle.dumps((other, deep), protocol))
    assert two_first[0].path[1_700] is two_first[1].path[1_700]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 1023, 1024, 1025, 4095])
def test_the_pickler_in_python_does_not_run_out_of_calls(depth):
    leaf, _ = chain(depth)
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(400)
        assert said(written_in_python(leaf)) == said(leaf)
    finally:
        sys.setrecursionlimit(before)


def test_a_very_long_trajectory_is_pickled_in_linear_space():
    leaf, _ = chain(DEEP)
    content = pickle.dumps(leaf)
    assert pickle.loads(content).token_ids == leaf.token_ids and len(content) < 150 * DEEP


def test_a_copy_of_a_trajectory_is_itself():
    leaf, other = chain(2_000, fork_at=3)
    assert copy.copy(leaf) is leaf and copy.deepcopy([leaf, other]) == [leaf, other]
    assert len({leaf, copy.deepcopy(leaf), pickled(leaf)}) == 2  # equal is who is the same


def posteriors():
    model = table_models.model()
    filtered = ParticleFilter(particles=6).run(model, seed=3)
    chains = SuffixMetropolis(chains=2, iterations=8).run(model, seed=3)
    return [filtered, chains, repeated(ParticleFilter(particles=4), model, runs=3, seed=1)]


def equal(one, other) -> None:
    """Assert that two values are the same throughout."""
    if isinstance(one, Trajectory):
        assert said(one) == said(other)
    elif is_dataclass(one):
        assert type(one) is type(other)
        for each in fields(one):
            equal(getattr(one, each.name), getattr(other, each.name))
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for name in one:
            equal(one[name], other[name])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            equal(*pair)
    else:
        np.testing.assert_equal(one, other)  # for which NaN equals NaN


def same(one: Posterior, other: Posterior) -> None:
    equal(one, other)
    assert one.answers == other.answers and list(one.distinct.values()) == list(
        other.distinct.values()
    )
    np.testing.assert_equal(dict(one.answer_mcse), dict(other.answer_mcse))
    assert [str(finding) for finding in one.check()] == [str(finding) for finding in other.check()]


@pytest.mark.parametrize(
    "how", [pickled, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
@pytest.mark.parametrize("touched", [False, True])
def test_posteriors_are_what_they_were(how, touched):
    for posterior in posteriors():
        if touched:  # what is computed once and kept
            assert (
                posterior.best
                and posterior.check() is not None
                and posterior.labels
                and posterior.mixing is not None
            )
        same(how(posterior), posterior)
    pooled = how(posteriors()[2])
    shared = {id(x) for run in pooled.runs for x in run.trajectories}
    assert {id(x) for x in pooled.trajectories} == shared  # a pool's trajectories are its runs'


def test_values_are_equal_to_their_copies():
    values = [
        Sampling(temperature=0.5, top_k=3),
        StepRule(delimiter="."),
        Cost(seconds=1.5),
        ParticleFilter(particles=3),
    ]
    for value in values:
        for how in (pickled, copy.copy, copy.deepcopy):
            assert how(value) == value and hash(how(value)) == hash(value)


def test_findings_are_kept():
    found = ParticleFilter(particles=1, ess_threshold=0).run(table_models.model(), seed=0).check()
    assert found and pickled(found) == found and hash(pickled(found[0])) == hash(found[0])


def test_an_error_keeps_its_figures():
    error = pickled(AllParticlesDead(3, 8))
    assert (error.step, error.particles, str(error)) == (3, 8, str(AllParticlesDead(3, 8)))


def test_other_processes_are_given_and_give_results():
    """By "spawn": a new interpreter, which gets everything by pickle."""
    posterior = posteriors()[0]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(table_models.filtered, (table_models.model(),))
        same(replace(there, cost=posterior.cost), posterior)  # seconds differ
        same(pool.apply(copy.copy, (posterior,)), posterior)
        with pytest.raises(AllParticlesDead, match="all 2 particles are dead at step 1"):
            pool.apply(table_models.filtered, (table_models.hopeless(), 2))


def test_models_by_functions_can_be_sent():
    lm, prm = TableLM(table_models.next_probs, eos=2), FunctionReward(table_models.log_odds)
    assert (
        pickled(lm).next_probs is table_models.next_probs
        and pickled(prm).fn is table_models.log_odds
    )
