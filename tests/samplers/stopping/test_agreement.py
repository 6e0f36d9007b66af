"""Agreement of answers: criteria against independent computations, runs against exact laws."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import comb

import numpy as np
import pytest
from count_laws import exact_law
from scipy.integrate import quad

from motes.samplers.stopping import Agreement, Solutions, WindowedAgreement
from motes.samplers.stopping.agreement import (
    probability_of_largest,
    probability_of_lead,
    relative_entropy,
)


def said(*answers: str | None) -> Solutions:
    return Solutions(answers, np.zeros(len(answers)), log_bound=0.0)


def of_counts(counts: tuple[int, ...]) -> Solutions:
    answers = [str(k) for k, count in enumerate(counts) for _ in range(count)]
    return said(*answers)


@pytest.mark.parametrize("counts", [(1, 0), (4, 0), (7, 2), (20, 19)])
def test_the_beta_criterion_is_its_integral(counts):
    a, b = counts
    mass = [quad(lambda q: q**a * (1 - q) ** b, low, 1, epsabs=0)[0] for low in (0.5, 0.0)]
    assert probability_of_lead(a, b) == pytest.approx(mass[0] / mass[1], rel=1e-9)


def test_the_dirichlet_criterion_is_the_share_of_dirichlet_draws():
    counts = np.array([6.0, 3.0, 2.0, 0.0])
    draws = np.random.default_rng(0).dirichlet(counts + 1, size=200_000)
    share = (draws.argmax(1) == 0).mean()
    # 5 standard errors of a share of 200,000: false alarm 6e-7
    assert abs(probability_of_largest(counts) - share) < 5 * np.sqrt(share * (1 - share) / 200_000)
    for equal in (3, 4, 5):
        assert probability_of_largest(np.full(equal, 7.0)) == pytest.approx(1 / equal, abs=1e-9)


def test_published_stops():
    assert Agreement().stop(said(*"aaa")) is None
    assert Agreement().stop(said(*"aaaa")).answer == "a"  # .96875, at 4 as the paper has it
    assert Agreement(criterion="share").stop(said("a")) is None  # not at the first look
    assert Agreement(criterion="share").stop(said(*"abaaa")).answer == "a"
    # one answer alone gets a rival that was seen once, as in the code: 4 to 1 is .72
    assert relative_entropy(np.array([4.0])) == pytest.approx(0.7219, abs=1e-4)
    assert Agreement(criterion="entropy").stop(said(*"aaa")) is None
    assert Agreement(criterion="entropy").stop(said(*"aaaa")) is not None
    assert Agreement().stop(said(None, None)) is None


def test_weights_count_as_solutions():
    heavy = Solutions(tuple("aaaab"), np.log([1.0, 1.0, 1.0, 1.0, 1e-9]), 0.0)
    dead = Solutions(tuple("aaaab"), np.array([0.0, 0.0, 0.0, -np.inf, 0.0]), 0.0)
    assert [round(tally.worth, 6) for tally in heavy.tallies] == [4.0, 0.0]
    assert [tally.worth for tally in dead.tallies] == [3.0, 1.0]
    # the effective sample size of unequal weights, by its definition
    weights = np.array([0.2, 1.0, 0.5])
    uneven = Solutions(tuple("aab"), np.log(weights), 0.0)
    ess = weights.sum() ** 2 / (weights**2).sum()
    assert uneven.tallies[0].worth == pytest.approx(ess * 1.2 / 1.7)


@cache
def beta_law(p: float, most: int = 40) -> dict[tuple[int, int, bool], float]:
    stops = cache(lambda counts: Agreement().stop(of_counts(counts)) is not None)
    return exact_law(stops, (p, 1 - p), most)


def test_what_the_beta_criterion_really_does():
    """The figures that the module's description and the docs state."""
    tie = beta_law(0.5)
    assert sum(tie.values()) == pytest.approx(1)
    stopped = sum(mass for (_, _, early), mass in tie.items() if early)
    assert stopped == pytest.approx(0.42, abs=0.005)
    uneven = beta_law(0.45)
    wrong = sum(mass for (_, answer, _), mass in uneven.items() if answer == 0)
    draws = sum(n * mass for (n, _, _), mass in uneven.items())
    vote = sum(comb(40, k) * 0.45**k * 0.55 ** (40 - k) for k in range(21, 41))
    vote += comb(40, 20) * (0.45 * 0.55) ** 20 / 2
    assert wrong == pytest.approx(0.28, abs=0.005)
    assert draws == pytest.approx(27.5, abs=0.05)
    assert vote == pytest.approx(0.26, abs=0.005)


def test_the_law_by_counts_is_that_of_all_sequences():
    """Dynamic programming over counts against every sequence of three answers, one by one."""
    probabilities, most, rule = (0.6, 0.3, 0.1), 7, Agreement(criterion="dirichlet", level=0.85)
    by_counts = exact_law(
        cache(lambda counts: rule.stop(of_counts(counts)) is not None), probabilities, most
    )
    stops = cache(lambda prefix: rule.stop(said(*prefix)))
    ends = np.zeros(most + 1)
    for sequence in product("012", repeat=most):
        first = (n for n in range(1, most + 1) if stops(sequence[:n]) is not None)
        n = next(first, 0)
        ends[n] += np.prod([probabilities[int(answer)] for answer in sequence])
    for n in range(1, most + 1):
        mass = sum(mass for (m, _, early), mass in by_counts.items() if m == n and early)
        assert ends[n] == pytest.approx(mass, abs=1e-12)
    assert ends[1:].sum() > 0.5  # the rule does stop


def test_the_exact_law_of_windowed_agreement():
    """The published formula of E[N], and of the early answers, against every sequence."""
    probabilities, window, windows = (0.7, 0.2, 0.1), 2, 3
    rule, most = WindowedAgreement(window=window), window * windows
    expected, early = 0.0, dict.fromkeys("012", 0.0)
    for sequence in product("012", repeat=most):
        mass = float(np.prod([probabilities[int(answer)] for answer in sequence]))
        verdicts = (rule.stop(said(*sequence[:n])) for n in range(1, most + 1))
        stopped = [(n, verdict) for n, verdict in enumerate(verdicts, 1) if verdict is not None]
        n, verdict = stopped[0] if stopped else (most, None)
        expected += n * mass
        if verdict is not None:
            assert verdict.voters == (n - 2, n - 1)
            early[verdict.answer] += mass
    q = sum(p**window for p in probabilities)
    series = sum(q * (1 - q) ** i * (i + 1) for i in range(windows - 1))
    assert expected == pytest.approx(window * (series + (1 - q) ** (windows - 1) * windows))
    for answer, p in zip("012", probabilities, strict=True):
        reached = sum((1 - q) ** i for i in range(windows))
        assert early[answer] == pytest.approx(reached * p**window)


def test_a_window_needs_answers():
    rule = WindowedAgreement(window=2)
    assert rule.stop(said(None, None)) is None and rule.stop(said("a", None)) is None
    dead = Solutions(("a", "a"), np.array([0.0, -np.inf]), 0.0)
    assert rule.stop(dead) is None
    assert rule.stop(said("17", "17.0")).answer == "17"
    assert rule.exhausted(said("a", "b", "b")).answer == "b"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "votes"}, "criterion must be one of"),
        ({"level": 1.5}, "level must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Agreement(**settings)
    with pytest.raises(ValueError, match="window must be at least 1"):
        WindowedAgreement(window=0)
