"""Runs together: the same draws as alone, in fewer batches, at a cost that adds up."""

from __future__ import annotations

import threading
from functools import cache, partial
from weakref import WeakValueDictionary

import jax
import numpy as np
import pytest

from motes.models import (
    Cost,
    FunctionReward,
    Sampling,
    TableLM,
    capabilities,
    continued,
    run_batched,
)
from motes.models.batching import RunGroup


@cache
def next_probs(prefix):
    return np.random.default_rng([5, *prefix]).dirichlet([1.5, 1.5, 0.7])


def models():
    return TableLM(next_probs, eos=2), FunctionReward(lambda x: float(x.depth))


def over(lm, prm, runs, **settings):
    """Runs of functions of these two models, together."""
    return run_batched(
        [lambda shared, run=run: run(shared(lm), shared(prm)) for run in runs], **settings
    )


def keys(seed, count=2):
    return jax.random.split(jax.random.key(seed), count)


def walk(steps, seed, lm, prm):
    """Two trajectories of at most `steps` steps, scored step by step."""
    ends, scores = [lm.start("?")] * 2, []
    for step in range(steps):
        going = [i for i, x in enumerate(ends) if x.open]
        moved = lm.extend([ends[i] for i in going], keys(seed * 100 + step)[np.array(going, int)])
        for i, x in zip(going, moved, strict=True):
            ends[i] = x
        scores.append(prm.score(ends).tolist())
    return [x.token_ids for x in ends], scores


def test_each_run_draws_what_it_would_alone_in_fewer_batches():
    alone = [walk(steps, seed, *models()) for seed, steps in enumerate((3, 1, 5, 2))]
    lm, prm = models()
    runs = [partial(walk, steps, seed) for seed, steps in enumerate((3, 1, 5, 2))]
    assert over(lm, prm, runs) == alone
    assert (lm.cost.forward_passes, prm.cost.prm_forward_passes) == (5, 5)
    lm, prm = models()
    assert over(lm, prm, runs, at_once=2) == alone
    assert 5 < lm.cost.forward_passes < 11


def test_nested_runs_share_batches_too():
    lm, prm = models()
    runs = [partial(walk, 3, seed) for seed in range(4)]
    nested = [lambda lm, prm, part=part: over(lm, prm, part) for part in (runs[:2], runs[2:])]
    assert [result for part in over(lm, prm, nested) for result in part] == [
        walk(3, seed, *models()) for seed in range(4)
    ]
    assert lm.cost.forward_passes == 3


def test_the_cost_is_shared_out_and_adds_up():
    lm, prm = models()

    def run(steps, lm, prm):
        tokens, _ = walk(steps, steps, lm, prm)
        return lm.cost, prm.cost, sum(map(len, tokens))

    told = over(lm, prm, [partial(run, steps) for steps in (1, 2, 5)])
    assert sum((cost for cost, _, _ in told), Cost()) == lm.cost
    assert sum((cost for _, cost, _ in told), Cost()) == prm.cost
    for cost, _, tokens in told:
        assert cost.generated_tokens == tokens


def test_log_probabilities_and_continuations_are_batched_by_what_they_ask():
    lm, prm = models()
    calls = []
    plain = lm.logprob
    lm.logprob = lambda xs, ys, *, prior=None: calls.append(len(xs)) or plain(xs, ys, prior=prior)
    step = lm.start("?").child("0 ", (0,), logprob=0.0, proposal_logprob=0.0)

    def run(temperature, lm, prm):
        [x] = lm.extend([lm.start("?")], keys(1, 1))
        prior = Sampling(temperature=temperature)
        [there] = continued(lm, [lm.start("?")], [step], prior=prior, proposal=prior)
        return float(lm.logprob([lm.start("?")], [x.token_ids], prior=prior)[0]), there.logprob

    told = over(lm, prm, [partial(run, temperature) for temperature in (1.0, 2.0, 1.0)])
    assert told[0] == told[2] != told[1] and sorted(calls) == [1, 2]
    assert told[0][1] == pytest.approx(np.log(next_probs(())[0]))


def test_no_reward_model_and_a_language_model_that_does_not_tell():
    class Silent:
        name, cost = "silent", Cost()

        def start(self, question):
            return models()[0].start(question)

        def extend(self, trajectories, keys, *, sampling=None, prior=None):
            return [
                x.child("a", (0,), logprob=np.nan, proposal_logprob=np.nan, finished=True)
                for x in trajectories
            ]

    def run(lm, prm):
        assert prm is None and not capabilities(lm).scoring
        return lm.extend([lm.start("?")], keys(0, 1))[0].finished

    assert over(Silent(), None, [run, run]) == [True, True]


def test_empty_questions_are_not_asked():
    lm, prm = models()
    assert over(lm, prm, [lambda lm, prm: (lm.extend([], keys(0, 0)), len(prm.score([])))]) == [
        ([], 0)
    ]
    assert lm.cost.forward_passes == 0
    assert over(lm, prm, []) == []


def test_an_error_ends_all_runs_and_leaves_no_thread():
    lm, prm = models()
    before = threading.active_count()

    def fail(lm, prm):
        lm.extend([lm.start("?")], keys(0, 1))
        raise LookupError("one run failed")

    with pytest.raises(LookupError, match="one run failed"):
        over(lm, prm, [partial(walk, 5, 1), fail, partial(walk, 5, 2)])
    assert threading.active_count() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_an_error_of_a_model_ends_all_runs(error):
    lm, _ = models()
    before = threading.active_count()

    def fail(x):
        raise error

    with pytest.raises(error):
        over(lm, FunctionReward(fail), [partial(walk, 5, seed) for seed in range(3)])
    assert threading.active_count() == before


def test_results_are_told_as_they_come():
    lm, prm = models()
    ended = []
    over(
        lm,
        prm,
        [partial(walk, steps, 0) for steps in (4, 1, 2)],
        ended=lambda number, result: ended.append(number),
    )
    assert ended == [1, 2, 0]


def test_too_few_answers_are_an_error():
    lm, prm = models()
    lm.extend = lambda trajectories, keys, **settings: []
    with pytest.raises(
        ValueError,
        match=(
            "extend of the language model 'table' must return one for each of the 2 trajectories, "
            "and returned 0"
        ),
    ):
        over(lm, prm, [partial(walk, 1, 0)])


def test_runs_that_ask_the_same_question_begin_at_one_root():
    lm, prm = models()
    one, two, other = over(lm, prm, [lambda lm, prm, q=q: lm.start(q) for q in ("?", "?", "!")])
    assert one is two is not other and lm.start("?") is not one


def together(group, turns):
    """Turns of a group, and what its runs returned or raised, in the order in which they ended."""
    ended = []
    for _ in range(turns):
        for run in group.go_on():
            try:
                ended.append(run.returned())
            except Exception as error:
                ended.append(str(error))
        group.answer()
    return ended


def joined(group, run, lm, prm, heard=None):
    return group.join(lambda shared: run(shared(lm), shared(prm)), heard)


def test_runs_join_others_under_way():
    lm, prm = models()
    alone = [walk(steps, seed, *models()) for seed, steps in enumerate((5, 2))]
    group = RunGroup()
    joined(group, partial(walk, 5, 0), lm, prm)
    first = together(group, 3)
    joined(group, partial(walk, 2, 1), lm, prm)
    assert first + together(group, 20) == sorted(alone, key=lambda result: len(result[1]))
    assert not group.runs and lm.cost.forward_passes == 5  # the second run added no call


def test_a_question_that_a_model_fails_at_ends_the_run_that_asked_it_alone():
    lm, _ = models()

    def score(x):
        return np.nan if x.question == "bad" else float(x.depth)

    def ask(question, lm, prm):
        [x] = lm.extend([lm.start(question)], keys(1, 1))
        return prm.score([x]).tolist()

    before, group = threading.active_count(), RunGroup()
    for question in ("good", "bad", "fine"):
        joined(group, partial(ask, question), lm, FunctionReward(score))
    good, bad, fine = together(group, 4)
    assert good == fine == [1.0]
    assert bad.startswith("the reward model 'function' gave a score that is NaN")
    assert threading.active_count() == before


def test_runs_that_leave_are_given_up_and_the_others_go_on():
    lm, prm = models()
    before, group = threading.active_count(), RunGroup()
    joined(group, partial(walk, 5, 0), lm, prm)
    nested = joined(group, lambda lm, prm: over(lm, prm, [partial(walk, 5, 1)] * 2), lm, prm)
    assert together(group, 2) == [] and threading.active_count() == before + 4
    group.leave(nested)
    assert threading.active_count() == before + 1
    assert together(group, 20) == [walk(5, 0, *models())]
    joined(group, partial(walk, 5, 0), lm, prm)
    together(group, 1)
    group.close()
    assert threading.active_count() == before and not group.runs


def test_what_a_run_was_answered_is_told():
    lm, prm = models()
    told, group = [], RunGroup()
    heard = lambda method, rows, answers: told.append((method, rows, answers))
    joined(group, partial(walk, 1, 0), lm, prm, heard)
    joined(group, partial(walk, 1, 1), lm, prm)
    [[ends, [scores]], _] = together(group, 4)
    [(extend, (parents, _), children), (score, (scored,), log_odds)] = told
    assert (extend, score) == ("extend", "score") and log_odds.tolist() == scores
    assert [x.token_ids for x in children] == ends == [x.token_ids for x in scored]
    assert all(child.parent is parent for child, parent in zip(children, parents, strict=True))


def test_roots_are_kept_as_long_as_a_run_holds_them():
    lm, prm = models()
    kept = WeakValueDictionary()
    group = RunGroup(kept)
    for steps in (1, 3):
        joined(group, partial(walk, steps, 0), lm, prm)
    together(group, 2)
    assert len(kept) == 1
    together(group, 20)
    assert len(kept) == 0
