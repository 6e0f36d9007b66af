"""The certificate: its e-values, its rate of false certificates, and the published one's."""

from __future__ import annotations

from itertools import product
from math import log, pi

import numpy as np
import pytest
from scipy.special import betainc, betaln

from motes.samplers.stopping import Certificate, PublishedCertificate, Solutions
from motes.samplers.stopping.certificate import log_e_value

STREAMS, LOOKS, ERROR = 10_000, 400, 0.05


def said(*answers: str | None) -> Solutions:
    return Solutions(answers, np.zeros(len(answers)), log_bound=0.0)


def closed_form(wins: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """log of 2^(s+f) int_{1/2}^1 q^s (1-q)^f dBeta(1/2, 1/2 | q > 1/2)."""
    a, b = wins + 0.5, losses + 0.5
    mass = np.log(betainc(b, a, 0.5)) + betaln(a, b) - betaln(0.5, 0.5) + log(2)
    return (wins + losses) * log(2) + mass


def test_e_values_are_the_closed_form():
    for wins, losses in product((0, 1, 5, 40, 200), (0, 1, 4, 30, 150)):
        value = log_e_value(np.ones(wins), np.ones(losses))
        exact = float(closed_form(np.array(float(wins)), np.array(float(losses))))
        # the mixture is of 128 bets and not of all: exactly valid, and as strong where it matters
        assert value == pytest.approx(exact, abs=2e-2) or (value < -2 and exact < -2)


def test_weighted_e_values_are_martingales_under_the_null():
    """The mean of E over every weighted outcome is 1 at a tie, whatever the weights' law."""
    outcomes = [  # (probability, weight for, weight against): the means of both are equal
        (0.2, 0.9, 0.0),
        (0.3, 0.0, 0.4),
        (0.15, 0.0, 0.4),
        (0.35, 0.0, 0.0),
    ]
    assert sum(p * pro for p, pro, _ in outcomes) == pytest.approx(
        sum(p * contra for p, _, contra in outcomes)
    )
    mean = 0.0
    for path in product(outcomes, repeat=5):
        pro = np.array([outcome[1] for outcome in path])
        contra = np.array([outcome[2] for outcome in path])
        mean += float(np.prod([outcome[0] for outcome in path]) * np.exp(log_e_value(pro, contra)))
    assert mean == pytest.approx(1, abs=1e-12)


def test_it_stops_at_the_eighth_of_one_mind():
    rule = Certificate(error=0.05)
    assert rule.stop(said(*"aaaaaaa")) is None
    verdict = rule.stop(said(*"aaaaaaaa"))
    assert verdict.said == (
        "the model's most probable answer is a, error probability at most 0.05; that is not that "
        "it is right"
    )
    # what has no answer neither helps nor harms; an answer seen second needs more
    assert rule.stop(said(None, *"aaa", None, *"aaaaa")) is not None
    assert rule.stop(said("b", *"aaaaaaaa")) is None


def test_weights_are_held_against_their_bound():
    rule = Certificate()
    answers = ("a",) * 40
    small = Solutions(answers, np.full(40, log(0.5)), log_bound=0.0)
    counts = [n for n in range(1, 41) if rule.stop(small.first(n)) is not None]
    assert counts[0] > 8  # bounded by 1 they say less than if they were known to be equal
    equal = Solutions(answers, np.full(40, log(0.5)), log_bound=log(0.5))
    assert next(n for n in range(1, 41) if rule.stop(equal.first(n)) is not None) == 8
    assert rule.stop(Solutions(("a",) * 9, np.full(9, -np.inf), 0.0)) is None
    with pytest.raises(ValueError, match="needs weights with a known bound"):
        rule.check(scored=True, bounded=False)


def certified(streams: np.ndarray, answers: int, error: float) -> np.ndarray:
    """For each stream and answer whether it is ever certified at any look: (streams, answers).

    The rule as its description has it, of all answers and not of the leader alone, on arrays, with
    the closed form; the package has it on one stream at a time.
    """
    n, looks = streams.shape
    first = np.full((n, answers), looks)
    for answer in range(answers):
        hits = streams == answer
        first[:, answer] = np.where(hits.any(1), hits.argmax(1), looks)
    rank = first.argsort(1, kind="stable").argsort(1) + 1
    bar = np.log(pi**2 * rank**2 / (6 * error))
    after = [np.arange(looks) > first[:, [answer]] for answer in range(answers)]
    counts = np.arange(looks + 1.0)
    table = closed_form(counts[:, None], counts[None, :])
    found = np.zeros((n, answers), bool)
    for i in range(answers):
        wins = ((streams == i) & after[i]).cumsum(1)
        value = np.full((n, looks), np.inf)
        for j in range(answers):
            if j != i:
                value = np.minimum(value, table[wins, ((streams == j) & after[i]).cumsum(1)])
        found[:, i] = ((value >= bar[:, [i]]) & after[i]).any(1)
    return found


def test_the_array_form_is_the_rule():
    rng = np.random.default_rng(1)
    streams = rng.choice(3, p=[0.6, 0.25, 0.15], size=(40, 80))
    arrays = certified(streams, 3, 0.2)
    rule = Certificate(error=0.2)
    for stream, found in zip(streams, arrays, strict=True):
        answers = tuple(map(str, stream))
        verdicts = [rule.stop(said(*answers[:n])) for n in range(1, 81)]
        named = {verdict.answer for verdict in verdicts if verdict is not None}
        # the leader alone: never more than the rule for all answers
        assert named <= {str(k) for k in np.flatnonzero(found)}
        assert bool(named) == bool(found.any())


@pytest.mark.parametrize(
    "law", [(0.5, 0.5), (0.34, 0.33, 0.33), (0.4, 0.4, 0.1, 0.1), (0.45, 0.55)]
)
def test_false_certificates_are_rare_at_every_look(law):
    """10,000 streams, 400 looks each: the rate stays under the error, ties included.

    At a tie no answer is the only mode, and certificates of all of them count as false here: the
    bound holds for each against the other.
    False alarm: a rate of .05 exactly would exceed the bar in 1 of 10,000 such tests; the rates
    seen are .0006 to .027.
    """
    rng = np.random.default_rng(len(law))
    streams = rng.choice(len(law), p=law, size=(STREAMS, LOOKS))
    found = certified(streams, len(law), ERROR)
    top = max(law)
    tied = sum(p == top for p in law) > 1
    wrong = [k for k, p in enumerate(law) if tied or p < top]
    rate = found[:, wrong].any(1).mean()
    assert rate <= ERROR + 3.72 * np.sqrt(ERROR * (1 - ERROR) / STREAMS)


def test_it_certifies_in_the_end():
    rng = np.random.default_rng(5)
    streams = rng.choice(3, p=[0.8, 0.1, 0.1], size=(400, 100))
    assert certified(streams, 3, ERROR)[:, 0].mean() > 0.99


def published_crossings(streams: np.ndarray) -> np.ndarray:
    """Whether the published rule ever stops, by its description, on streams of two answers."""
    n, looks = streams.shape
    counts = np.zeros((n, 2), int)
    pair, rest = np.zeros((n, 2), int), np.zeros((n, 2), int)
    log_pair, log_rest = np.zeros(n), np.zeros(n)
    stopped = np.zeros(n, bool)
    for t in range(looks):
        draw = streams[:, t]
        seen = counts.sum(1) > 0
        leader = np.where(counts[:, 0] >= counts[:, 1], 0, 1)
        second_seen = counts.min(1) > 0
        won = draw == leader
        for tally, log_value, active in (
            (pair, log_pair, seen & (won | second_seen)),
            (rest, log_rest, seen & (won | ~second_seen)),
        ):
            if tally is pair:
                active = active & second_seen
            q = np.clip((tally[:, 0] + 0.5) / (tally.sum(1) + 1), 0.50001, 0.99999)
            tally[active & won, 0] += 1
            tally[active & ~won, 1] += 1
            value = tally.sum(1) * log(2) + tally[:, 0] * np.log(q) + tally[:, 1] * np.log1p(-q)
            log_value[active] = value[active]
        counts[np.arange(n), draw] += 1
        now = np.where(counts[:, 0] >= counts[:, 1], 0, 1)
        enough = (pair.sum(1) >= 2) & (rest.sum(1) >= 2) & (log_pair >= log(20))
        stopped |= enough & (log_rest >= log(20)) & (now == leader) & seen
    return stopped


def test_the_published_certificate_is_as_it_is_described():
    rng = np.random.default_rng(2)
    streams = rng.integers(0, 2, size=(60, 60))
    streams[30:] = rng.random((30, 60)) < 0.2
    arrays = published_crossings(streams)
    rule = PublishedCertificate(error=0.05)
    for stream, found in zip(streams, arrays, strict=True):
        answers = tuple(map(str, stream))
        stops = [n for n in range(1, 61) if rule.stop(said(*answers[:n])) is not None]
        assert bool(stops) == bool(found)
    assert arrays[30:].all()


def test_the_published_certificate_fails_at_400_looks():
    """The planted fault: at a tie it certifies more often than it claims, where ours does not.

    The rate is .08. False alarm of the lower bar: a rate of .05 would pass it in 1 of 10,000 such
    tests.
    """
    streams = np.random.default_rng(3).integers(0, 2, size=(STREAMS, LOOKS))
    rate = published_crossings(streams).mean()
    assert rate > ERROR + 3.72 * np.sqrt(ERROR * (1 - ERROR) / STREAMS)
