"""Searches against their laws, against one another in limits, and against naive ones.

False alarms: chi-squared tests at 1e-4 each, on fixed seeds.
"""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from searches import DEPTH, EOS, closed, drawn_by, fits, tokens, winner

from motes.log_odds import sigmoid
from motes.models import FunctionReward
from motes.ppl import StateSpaceModel
from motes.samplers import SAMPLERS, AllParticlesDead, make_sampler
from motes.samplers.search.level_search import LevelSearch


def law_of_best(probs: dict, scores: dict, n: int) -> dict:
    """The law of the best of n draws: of equals the first."""
    law = {}
    for x, p in probs.items():
        below = sum(q for y, q in probs.items() if scores[y] < scores[x])
        equal = sum(q for y, q in probs.items() if scores[y] == scores[x])
        law[x] = ((below + equal) ** n - below**n) * p / equal
    return law


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 5])
def test_best_of_n_follows_its_law_with_ties(table, n):
    """T1. The score has three values, so ties are common; cut-off ones come last."""
    small = table(seed=1, levels=3)
    model, sampler = small.model(), make_sampler("best_of_n", particles=n)
    probs = dict(small.solutions())
    scores = {x: (x[-1] == EOS, small.log_odds(x)) for x in probs}
    law = law_of_best(probs, scores, n)
    assert sum(law.values()) == pytest.approx(1)
    counts = Counter(winner(sampler.run(model, seed=seed)) for seed in range(600))
    assert fits(counts, law)
    if n > 1:  # what a wrong rule for ties, or none at all, would give
        assert not fits(counts, law_of_best(probs, scores, n // 2))


@pytest.mark.parametrize("rule", ["last", "min", "product", "mean"])
def test_the_score_of_a_solution_is_what_the_rule_says(table, rule):
    small = table(seed=2)
    posterior = make_sampler("weighted_vote", particles=40, score=rule).run(small.model(), seed=1)
    votes = []
    for x in tokens(posterior):
        r = [float(sigmoid(small.log_odds(x[: t + 1]))) for t in range(len(x))]
        whole = {"last": r[-1], "min": min(r), "product": np.prod(r), "mean": np.mean(r)}
        votes.append(whole[rule])
    assert np.exp(posterior.log_weights) == pytest.approx(np.array(votes) / sum(votes))


@pytest.mark.statistics
def test_the_weighted_vote_by_enumeration(table):
    """T2. All ways in which three solutions can come out, each with its probability."""
    small = table(seed=3, levels=3)
    probs = dict(small.solutions())
    by_first = {x: str(x[0]) for x in probs}
    law: Counter = Counter()
    for drawn in product(probs, repeat=3):
        votes: Counter = Counter()
        for x in drawn:
            votes[by_first[x] if x[-1] == EOS else None] += float(sigmoid(small.log_odds(x)))
        stated = {a: round(v, 9) for a, v in votes.items() if a is not None}
        top = max(stated, key=lambda a: (stated[a], -int(a))) if stated else None
        law[top] += np.prod([probs[x] for x in drawn])
    model, sampler = small.model(), make_sampler("weighted_vote", particles=3)
    counts = Counter(sampler.run(model, seed=seed).answer for seed in range(600))
    assert fits(counts, dict(law))


def steps_law(small, prefix: tuple[int, ...], m: int) -> dict:
    probs = {t: float(p) for t, p in enumerate(small.next_probs(prefix)) if p > 0}
    return law_of_best(probs, {t: small.log_odds((*prefix, t)) for t in probs}, m)


def greedy_law(small, m: int) -> dict:
    """The law of a path that takes at every step the best of m draws."""
    law, going = {}, {(): 1.0}
    for _ in range(DEPTH):
        after: Counter = Counter()
        for prefix, p in going.items():
            for t, q in steps_law(small, prefix, m).items():
                after[(*prefix, t)] += p * q
        law |= {x: p for x, p in after.items() if x[-1] == EOS or len(x) == DEPTH}
        going = {x: p for x, p in after.items() if x not in law}
    return law


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dvts", {"particles": 6, "expansions": 3}),
        ("beam_search", {"particles": 3, "expansions": 3}),
    ],
)
def test_the_law_of_a_greedy_path(table, name, settings):
    """T3. DVTS: each subtree; beam with M = N: its one survivor, closed ones competing."""
    small = table(seed=4, levels=3)
    model, sampler = small.model(), make_sampler(name, **settings)
    law = greedy_law(small, 3)
    assert sum(law.values()) == pytest.approx(1)
    counts: Counter = Counter()
    for seed in range(500):
        posterior = sampler.run(model, seed=seed)
        assert len(posterior.trajectories) == sampler.survivors
        counts.update(tokens(posterior))
    assert fits(counts, law) and not fits(counts, greedy_law(small, 2))


@pytest.mark.statistics
def test_subtrees_of_dvts_are_independent(table):
    small = table(seed=4)
    law = greedy_law(small, 2)
    pairs = {(x, y): p * q for x, p in law.items() for y, q in law.items()}
    sampler, model = make_sampler("dvts", particles=4, expansions=2), small.model()
    assert fits(Counter(tuple(tokens(sampler.run(model, seed=s))) for s in range(500)), pairs)


class Ahead:
    """A reward that scores a prefix by where the greedy continuation of k steps ends."""

    def __init__(self, small, k: int) -> None:
        self.small, self.k = small, k

    def __call__(self, x) -> float:
        prefix = x.token_ids
        for _ in range(self.k):
            if prefix[-1] == EOS or len(prefix) == DEPTH:
                break
            prefix = (*prefix, int(np.argmax(self.small.next_probs(prefix))))
        return self.small.log_odds(prefix)


@pytest.mark.parametrize(("name", "plain"), [("lookahead_search", "beam_search"), ("dvts", "dvts")])
@pytest.mark.long(quick=1)
@pytest.mark.parametrize("k", [1, 2, DEPTH])
def test_looking_ahead_is_search_with_another_score(table, name, plain, k):
    """T4. The same keys, the same draws; and not those of a search that does not look ahead."""
    small = table(seed=5)
    settings = {"particles": 8, "expansions": 4}
    ahead = make_sampler(name, look_ahead=k, **settings)
    model, differ = small.model(), 0
    other = StateSpaceModel(
        "?",
        lm=model.lm,
        prm=FunctionReward(Ahead(small, k)),
        max_steps=DEPTH,
        answer=model.answer,
        stop_at_answer=False,
    )
    for seed in range(40):
        found = ahead.run(model, seed=seed)
        expected = make_sampler(plain, **settings).run(other, seed=seed)
        assert tokens(found) == tokens(expected)
        assert found.log_weights == pytest.approx(expected.log_weights)
        differ += tokens(found) != tokens(make_sampler(plain, **settings).run(model, seed=seed))
        assert found.tree.tokens_aside == found.cost.generated_tokens - found.tree.tokens.sum()
    assert differ > 5


def test_no_steps_ahead_is_beam_search(table):
    model = table(seed=5).model()
    for seed in range(5):
        found = make_sampler("lookahead_search", particles=8, look_ahead=0).run(model, seed=seed)
        expected = make_sampler("beam_search", particles=8).run(model, seed=seed)
        assert tokens(found) == tokens(expected) and found.cost.generated_tokens == (
            expected.cost.generated_tokens
        )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("beam_search", {"expansions": 1, "finished": "compete"}),
        ("beam_search", {"expansions": 1, "finished": "shrink"}),
        ("dvts", {"expansions": 1}),
        ("importance_sampling", {}),
    ],
)
def test_what_draws_one_step_of_each_is_best_of_n(table, name, settings):
    """T5. The same seed, the same token ids and the same cost."""
    model = table(seed=6).model()
    for seed in range(20):
        one = make_sampler("best_of_n", particles=5).run(model, seed=seed)
        other = make_sampler(name, particles=5, **settings).run(model, seed=seed)
        assert tokens(one) == tokens(other)
        assert one.cost.generated_tokens == other.cost.generated_tokens


def naive_beam(small, draw, n: int, m: int, finished: str) -> list[tuple[int, ...]]:
    """Beam search in plain Python: texts in lists, no tree and no model of motes.

    `draw(round, slot, prefix)` gives the token that this slot draws.
    """
    beam, kept, done = [((), n)], n // m, []
    rounds = 0
    while any(not closed(x) for x, _ in beam):
        rounds += 1
        found, slot = [], 0
        for x, width in beam:
            if closed(x):
                if x not in done or finished == "compete":
                    found.append((slot, x))
                slot += width
                continue
            for j in range(width):
                found.append((slot + j, (*x, draw(rounds, slot + j, x))))
            slot += width
        ranked = sorted(found, key=lambda each: (-small.log_odds(each[1]), each[0]))
        beam = [(x, m) for _, x in sorted(ranked[:kept])]
    return [x for x, _ in beam]


def test_beam_search_against_a_naive_one(table):
    """The naive one is given the steps that were drawn, in order, and must keep the same."""
    small = table(seed=7, levels=4)
    for seed in range(30):
        posterior = make_sampler("beam_search", particles=6, expansions=3).run(
            small.model(), seed=seed
        )
        told = drawn_by(posterior)
        ranks: Counter = Counter()

        def draw(t, slot, prefix, told=told, ranks=ranks):
            parent, token = told[t, ranks[t]]
            ranks[t] += 1
            assert parent == prefix
            return token

        assert naive_beam(small, draw, 6, 3, "compete") == tokens(posterior)
        assert sum(ranks.values()) == len(posterior.tree) - 1


def test_a_narrowing_beam_keeps_what_it_has_found(table):
    small = table(seed=8)
    for seed in range(20):
        posterior = make_sampler("beam_search", particles=6, expansions=2, finished="shrink").run(
            small.model(), seed=seed
        )
        tree = posterior.tree
        assert len(posterior.trajectories) == 3
        for t in range(2, int(tree.rounds.max()) + 1):
            before = [node for node in np.flatnonzero(tree.draws >= 0) if tree.rounds[node] < t]
            assert (tree.rounds == t).sum() == 2 * (3 - len(before))


def test_a_refilled_beam_draws_n_every_round_and_ends_with_n_answers(table):
    small = table(seed=9)
    for seed in range(20):
        posterior = make_sampler("beam_search", particles=6, expansions=2, finished="refill").run(
            small.model(), seed=seed
        )
        counts = np.bincount(posterior.tree.rounds)[1:]
        assert set(counts) == {6} and len(posterior.trajectories) <= 6
        assert all(not x.open for x in posterior.trajectories)


def test_of_equal_values_the_first_slot_wins(table):
    small = table(seed=9)
    alike = small.model(prm=FunctionReward(lambda x: 0.0))
    for seed in range(10):
        posterior = make_sampler("best_of_n", particles=8).run(alike, seed=seed)
        finished = [x.finished for x in posterior.trajectories]
        assert int(np.argmax(posterior.log_weights)) == finished.index(True)


def test_no_answer_is_copied_to_fill_the_vote(table):
    """A refilled beam most of whose nodes die finds fewer answers than it was asked for."""
    small = table(seed=9)
    dying = FunctionReward(lambda x: -np.inf if x.token_ids[-1] != EOS and x.depth > 1 else 0.0)
    sampler = make_sampler("beam_search", particles=6, expansions=2, finished="refill")
    few = 0
    for seed in range(30):
        try:
            posterior = sampler.run(small.model(prm=dying), seed=seed)
        except AllParticlesDead:
            continue
        assert (posterior.tree.draws >= 0).sum() == len(posterior.trajectories)
        few += len(posterior.trajectories) < 6
    assert few > 5


@pytest.mark.parametrize("name", ["best_of_n", "beam_search", "dvts"])
def test_tokens_of_solutions_of_one_length(table, name):
    """T6. Fixed length T: N T tokens, of which the tree knows where each went."""
    posterior = make_sampler(name, particles=8).run(table(seed=1, fixed=True).model(), seed=2)
    tree = posterior.tree
    assert posterior.cost.generated_tokens == 8 * DEPTH == tree.tokens.sum()
    assert posterior.cost.generated_tokens == tree.tokens[tree.kept].sum() + tree.idle_tokens
    assert np.bincount(tree.rounds)[1:].tolist() == [8] * DEPTH


def test_siblings_draw_with_keys_of_their_own(table):
    """If they shared keys, the best of M would collapse to one draw."""
    small = table(seed=10)
    tree = (
        make_sampler("beam_search", particles=64, expansions=64)
        .run(small.model(max_steps=1), seed=0)
        .tree
    )
    drawn = np.array([int(text) for text in tree.texts[1:]])
    assert fits(Counter(drawn.tolist()), dict(enumerate(small.next_probs(()))))
    assert tree.reused == 64 - 3


def test_last_round_answers_are_finished(table):
    """The published procedure also returns candidates that have not ended; here they may not."""
    small = table(seed=14)
    more = 0
    for seed in range(20):
        settings = {"particles": 8, "expansions": 4}
        one = make_sampler("dvts", **settings).run(small.model(), seed=seed)
        whole = make_sampler("dvts", last_round=True, **settings).run(small.model(), seed=seed)
        assert all(x.finished for x in whole.trajectories if x.token_ids not in tokens(one))
        more += len(whole.trajectories) > len(one.trajectories)
    assert more > 5


LEVELS = [name for name, kind in SAMPLERS.items() if issubclass(kind, LevelSearch)]


@pytest.mark.long(quick=4)
@pytest.mark.parametrize("name", LEVELS)
def test_dead_ends_leave_answers_or_say_so(table, name):
    """Four nodes of ten are ruled out, some of them the last ones of a search that has answers."""
    ended = 0
    for seed in range(25):
        small = table(seed=seed)
        dies = lambda x: np.random.default_rng([seed, 9, *x.token_ids]).random() < 0.4
        model = small.model(
            prm=FunctionReward(lambda x, small=small: small.log_odds(x.token_ids)),
            constraint=lambda x, dies=dies: not dies(x),
        )
        try:
            posterior = make_sampler(name, particles=4).run(model, seed=seed)
        except AllParticlesDead:
            continue
        alive = posterior.log_weights > -np.inf
        ends = [x for x, living in zip(posterior.trajectories, alive, strict=True) if living]
        assert ends and not any(x.open or dies(x) for x in ends)
        ended += 1
    assert ended > 5


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", LEVELS)
def test_what_is_left_may_die_when_there_are_answers(table, name):
    """Only solutions of one step are allowed: whatever goes on dies in the end."""
    ended = 0
    for seed in range(20):
        small = table(seed=seed)
        model = small.model(constraint=lambda x: x.depth == 1)
        try:
            posterior = make_sampler(name, particles=16).run(model, seed=seed)
        except AllParticlesDead:
            continue
        living = posterior.log_weights > -np.inf
        kept = [x for x, alive in zip(posterior.trajectories, living, strict=True) if alive]
        assert kept and all(x.depth == 1 for x in kept)
        ended += 1
    assert ended > 2


def test_values_of_other_kinds(table):
    small = table(seed=12)
    likely = make_sampler("beam_search", particles=16, expansions=16, value="logprob")
    x = winner(likely.run(small.model(prm=None, max_steps=1), seed=0))
    assert x == (int(np.argmax(small.next_probs(()))),)
    own = make_sampler(
        "beam_search",
        particles=16,
        expansions=16,
        value=lambda xs: [x.token_ids[-1] / 2 for x in xs],
    )
    assert winner(own.run(small.model(), seed=0)) == (2,)
    with pytest.raises(ValueError, match="value must map 16 trajectories to as many numbers"):
        make_sampler("beam_search", value=lambda xs: [2.0] * len(xs), particles=16).run(
            small.model()
        )


@pytest.mark.slow
def test_rollouts_estimate_the_mean_score_of_completions(table):
    """Unbiased for E[R | prefix]: the mean over many rollouts within 4.5 standard errors."""
    small = table(seed=13)
    sampler = make_sampler("best_of_n", particles=3, value="rollouts", rollouts=4000)
    tree = sampler.run(small.model(), seed=1).tree
    first = {(int(tree.texts[node]),): np.exp(tree.log_values[node]) for node in (1, 2, 3)}
    for prefix, value in first.items():
        scores = [(p, float(sigmoid(small.log_odds(x)))) for x, p in small.solutions(prefix)]
        mean = sum(p * r for p, r in scores)
        spread = np.sqrt(sum(p * (r - mean) ** 2 for p, r in scores))
        assert abs(value - mean) <= 4.5 * spread / np.sqrt(4000) + 1e-12


def test_what_a_search_needs(table):
    model = table().model()
    with pytest.raises(ValueError, match="particles must be a multiple of expansions, which is 4"):
        make_sampler("beam_search", particles=6)
    with pytest.raises(ValueError, match="'dvts' needs a value for its prefixes: a reward model"):
        make_sampler("dvts", particles=4).run(table().model(prm=None))
    with pytest.raises(ValueError, match="value must be one of prm, rollouts, logprob"):
        make_sampler("beam_search", value="luck")
    dead = table().model(prm=FunctionReward(lambda x: -np.inf))
    with pytest.raises(AllParticlesDead, match="all 4 particles are dead at step 1"):
        make_sampler("beam_search", particles=4).run(dead)
    assert model is not None
