"""Claims judged from one pool of draws: arithmetic, and that the page says what they print."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import compute_optimal_choice as choice
import coverage_law
import draws_pool
import half_the_samples
import numpy as np
import power_sampling
import published_procedures as published
import pytest
import verifier_ceiling
from kept_records import read
from paired import flip_test, nested_means
from scipy.stats import binom

import motes
from motes.ppl.decisions.exact_laws import vote_law

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pools():
    return draws_pool.kept()


def test_the_permutation_test_is_that_of_all_signs():
    # 10,000 drawn signs: the standard error of p is at most 0.005, and 0.02 is four of them
    differences = np.array([0.5, -0.25, 0.0, 1.0, 0.25, 0.25, -0.5, 1.0, 0.75])
    told = differences[differences != 0]
    sums = [abs(np.dot(signs, told)) for signs in product((-1, 1), repeat=len(told))]
    exact = np.mean(np.array(sums) >= abs(told.sum()) - 1e-12)
    assert flip_test(differences) == pytest.approx(exact, abs=0.02)


def test_the_hierarchical_bootstrap_has_the_variance_of_two_stages():
    # of a mean of P problems with K parts: (variance between + mean variance within / K) / P.
    # The variance of 2,000 samples has a standard error of 3%, and 15% is five of these
    between, within = np.random.default_rng(2), np.random.default_rng(3)
    values = between.normal(size=(7, 1)) + 3 * within.normal(size=(7, 4))
    means = nested_means(values)
    wanted = (values.mean(axis=1).var() + values.var(axis=1).mean() / 4) / 7
    assert means.var() == pytest.approx(wanted, rel=0.15)
    assert means.mean() == pytest.approx(values.mean(), abs=5 * np.sqrt(wanted / 2000))


def test_draws_that_are_worth_two_need_half():
    curve = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    doubled = np.append(curve[1:], 0.8)  # with n draws what the vote has with 2 n
    assert half_the_samples.ratio(np.array([curve, doubled]), 1) == pytest.approx(2)
    assert half_the_samples.ratio(np.array([curve, curve]), 1) == pytest.approx(1)


def test_the_verdict_on_half_of_the_samples_follows_the_protocol():
    said = half_the_samples.verdict
    assert said((2.1, 1.2, 3.0)) == "supported"
    assert said((1.0, 0.8, 1.9)) == "contradicted"
    assert said((1.5, 0.9, 2.4)) == "undecided at this size"


def test_decisions_of_the_records_are_those_of_the_pool(pools):
    rows = half_the_samples.kept()
    assert len(rows) == len(pools)
    assert np.array(half_the_samples.credits(pools[0])) == pytest.approx(rows[0], abs=2e-6)


def test_a_coverage_that_follows_the_law_is_predicted():
    def of(sizes):
        return np.exp(-1.5 * np.array(sizes, float) ** -0.4)[None]

    found = coverage_law.errors(of(coverage_law.FITTED), of(coverage_law.TOLD))
    assert found == pytest.approx(np.zeros(3), abs=1e-12)
    bend = coverage_law.fitted(of(coverage_law.ALL)[0], coverage_law.ALL, 2)[0]
    assert bend == pytest.approx(0, abs=1e-9)


def test_rates_of_a_flat_tail_fail_like_one_over_k():
    # rates uniform on (0, 1): E (1 - p)^k = 1 / (k + 1), so the failures' slope is nearly -1
    rates = (np.arange(4000) + 0.5) / 4000
    failing = np.array([np.mean((1 - rates) ** k) for k in (64, 128)])
    assert np.diff(np.log(failing)) == pytest.approx(-np.log(2), abs=0.02)
    right = np.random.default_rng(1).random((4000, 128)) < rates[:, None]
    # the least unbiased coverage is 1/2: its standard error over problems is below 0.005
    found = coverage_law.coverages(right, (1, 4, 16)).mean(axis=0)
    assert found == pytest.approx([1 / 2, 4 / 5, 16 / 17], abs=0.025)


def test_the_verdict_on_the_law_of_coverage_follows_the_protocol():
    def said(error):
        rows = {f"power law, {size} draws": error for size in coverage_law.TOLD}
        return coverage_law.verdict(rows)

    assert said((0.005, -0.01, 0.015, 0.6)) == "supported"
    assert said((0.03, 0.01, 0.05, 0.01)) == "contradicted"
    assert said((0.01, 0.001, 0.019, 0.01)) == "supported"
    assert said((0.01, -0.03, 0.05, 0.6)) == "undecided at this size"


def test_the_formula_is_what_drawing_until_one_passes_gives():
    # all sequences of three draws from a pool with replacement
    right, passing = np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 0], bool)
    good = []
    for sequence in product(range(5), repeat=3):
        first = next((i for i in sequence if passing[i]), None)
        good.append(first is not None and right[first])
    told = verifier_ceiling.said(right[None], passing[None], 3)
    assert told == pytest.approx([np.mean(good)])
    # with one problem only, one e1 and one e0 for all are its own
    assert verifier_ceiling.said(right[None], passing[None], 3, shared=True) == pytest.approx(told)


def test_what_is_found_is_the_mean_over_all_orders():
    right, passing = np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    good = []
    for order in permutations(range(5), 2):
        first = next((i for i in order if passing[i]), None)
        good.append(first is not None and right[first])
    assert verifier_ceiling.found(right[None], passing[None], 2) == pytest.approx([np.mean(good)])


def test_the_verdict_on_the_ceiling_follows_the_protocol():
    def said(lead, error):
        key = verifier_ceiling.OURS
        return verifier_ceiling.verdict({(key, "coverage"): lead, (key, "formula"): error})

    near, far = (0.0, -0.02, 0.02, 0.9, 9), (0.1, 0.06, 0.14, 0.01, 9)
    sure, none = (0.2, 0.1, 0.3, 0.01, 9), (0.0, -0.01, 0.01, 0.9, 2)
    assert said(sure, near) == "supported"
    assert said(none, near) == "contradicted"
    assert said(sure, far) == "undecided at this size"


@pytest.mark.parametrize("alpha", [1.0, 2.0, 4.0])
def test_the_power_law_of_answers_is_exact_where_all_paths_were_drawn(alpha):
    # 400 draws miss a path of probability 0.15 with probability 1e-28
    p = np.array([0.4, 0.3, 0.15, 0.15])
    paths = np.random.default_rng(4).choice(4, size=400, p=p)
    names, law = power_sampling.answer_law(
        paths, np.log(p)[paths], np.array(["a", "b", "a", "b"])[paths], alpha
    )
    powered = p**alpha / np.sum(p**alpha)
    assert names.tolist() == ["a", "b"]
    assert law == pytest.approx([powered[0] + powered[2], powered[1] + powered[3]], abs=1e-9)


def test_simulated_votes_have_the_exact_law():
    # 4,000 votes: a standard error of at most 0.008, and 0.04 is five of these
    law, right = np.array([0.5, 0.3, 0.2]), np.array([False, True, False])
    found = power_sampling.vote_accuracy(law, right, 5, np.random.default_rng(1))
    assert found == pytest.approx(vote_law(law.tolist(), 5)[1], abs=0.04)


def test_the_verdict_on_power_sampling_follows_the_protocol():
    def said(single, vote):
        return power_sampling.verdict({(4.0, "single"): single, (4.0, "vote of 64"): vote})

    up, down = (0.1, 0.05, 0.2, 0.01, 9), (-0.1, -0.2, -0.05, 0.01, 9)
    level, unsure = (0.0, -0.01, 0.01, 0.9, 3), (0.0, -0.1, 0.1, 0.9, 9)
    assert said(up, down) == "supported"
    assert said(up, level) == said(level, down) == said(up, up) == "contradicted"
    assert said(up, unsure) == "undecided at this size"


def test_the_pool_is_whole(pools):
    assert [drawn.steps for drawn in pools] == [4, 5, 6, 7, 8] * (len(pools) // 5)
    assert {len(drawn.pool) for drawn in pools} == {draws_pool.DRAWS}
    for drawn in pools:
        # a path's probability is that of all its draws together, so distinct ones sum to at most 1
        _, first = np.unique(drawn.pool.paths, return_index=True)
        assert np.exp(drawn.pool.logprobs[first]).sum() < 1 + 1e-3


def test_the_reference_weighs_distinct_paths_by_prior_and_likelihood():
    # all three paths were drawn, surely: p L / pi is p L
    said = {
        "steps": 4,
        "answer": "7",
        "path": [0] * 60 + [1] * 50 + [2] * 18,
        "answers": ["7", "9", "7"],
        "ends": "fff",
        "logprobs": np.log([0.45, 0.35, 0.2]).tolist(),
        "tokens": [5, 5, 5],
        "log_odds": [[0.0], [0.0, 0.0], [np.log(3)]],
        "prompt": 3,
        "read": 4,
    }
    law = published.reference(draws_pool.drawn(said))
    seven, nine = 0.45 / 2 + 0.2 * 0.75, 0.35 / 4
    assert law["7"] == pytest.approx(seven / (seven + nine), abs=1e-9)
    assert sum(law.values()) == pytest.approx(1)


def test_exact_draws_are_as_far_as_their_number_says():
    # of two answers the distance is |k / n - p|: here by all k. The mean of 500 has a standard
    # error below 0.004, and 0.02 is five of these
    k, p = np.arange(9), 0.3
    exact = np.sum(binom.pmf(k, 8, p) * np.abs(k / 8 - p))
    assert published.of_exact_draws({"1": p, "2": 1 - p}, 8.2, 1) == pytest.approx(exact, abs=0.02)


def test_the_verdict_on_published_procedures_follows_the_protocol():
    def said(farther, own):
        rows = dict.fromkeys(((name, "distance") for name in published.PUBLISHED), farther)
        return published.verdict(rows | {(published.FILTER, "distance"): own})

    sure, none = (0.2, 0.1, 0.3, 0.01, 9), (0.0, -0.01, 0.01, 0.9, 9)
    wide = (0.05, -0.1, 0.2, 0.6, 9)
    assert said(sure, none) == "supported"
    assert said(none, none) == "contradicted"
    assert said(sure, wide) == said(wide, none) == "undecided at this size"


def test_a_choice_by_difficulty_that_knows_everything_is_right_on_the_other_fold():
    # one method for easy problems and one for hard ones, and each fails on the others
    easy = np.arange(40) % 2 == 0
    right = np.stack([easy, ~easy], axis=1).astype(float)
    bins = choice.quantiles(easy.astype(float), 2)
    assert choice.chosen(right, np.ones((40, 2)), bins).tolist() == [1.0] * 40
    alone = choice.chosen(right, np.ones((40, 2)), np.zeros(40, np.int64))
    assert alone.mean() == pytest.approx(0.5, abs=0.15)


def test_the_verdict_on_the_choice_follows_the_protocol():
    def said(quarter, equal):
        key = "predicted"
        return choice.verdict({(key, "best of 64"): quarter, (key, "best of 16"): equal})

    level, above = (0.0, -0.01, 0.01, 0.9, 9), (0.1, 0.05, 0.2, 0.01, 9)
    below, wide = (-0.1, -0.2, -0.05, 0.01, 9), (0.0, -0.1, 0.1, 0.9, 9)
    assert said(level, above) == "supported"
    assert said(below, above) == said(level, level) == "contradicted"
    assert said(wide, above) == said(level, wide) == "undecided at this size"


@pytest.mark.statistics
def test_the_pool_is_drawn_again_from_its_seed(pools):
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    again = draws_pool.drawn(draws_pool.row(draws_pool.asked()[0], 0, lm, prm))
    assert again.pool.answers == pools[0].pool.answers
    assert again.right.tolist() == pools[0].right.tolist()
    assert again.pool.logprobs == pytest.approx(pools[0].pool.logprobs, abs=2e-3)


REPORTED = {
    "half_the_samples": (half_the_samples, lambda pools: [half_the_samples.kept()]),
    "published": (published, lambda pools: [read(published.RECORDS)["problems"], pools]),
    "coverage_law": (coverage_law, lambda pools: [pools]),
    "verifier_ceiling": (verifier_ceiling, lambda pools: [pools]),
    "power_sampling": (power_sampling, lambda pools: [pools]),
    "choice": (choice, lambda pools: [pools]),
}


@pytest.mark.long(quick=("half_the_samples", "published", "verifier_ceiling"))
@pytest.mark.parametrize("name", REPORTED)
def test_the_page_says_what_the_claim_prints(name, pools, capsys, tmp_path, monkeypatch):
    claim, records = REPORTED[name]
    monkeypatch.setattr(claim, "FIGURE", tmp_path / "figure.png")
    claim.report(*records(pools))
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for line in filter(None, capsys.readouterr().out.splitlines()):
        assert line in page
    assert (tmp_path / "figure.png").stat().st_size > 5_000
