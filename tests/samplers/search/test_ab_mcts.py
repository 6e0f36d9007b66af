"""AB-MCTS: what its arms have seen, what it draws from them, and treequest's beside it.

Monte Carlo comparisons are within 4.5 standard errors (false alarms: 7e-6 each) or chi-squared
tests at 1e-4, on fixed seeds.
"""

from __future__ import annotations

from collections import Counter
from math import sqrt

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import treequest
from scipy import stats
from scipy.integrate import quad

from motes.models import FunctionReward, TableLM
from motes.ppl import nuts
from motes.samplers import AllParticlesDead, make_sampler
from motes.samplers.search.adaptive_branching import backed_up, branching_node
from motes.samplers.search.mixed_model import next_scores
from motes.samplers.search.score_models import Moments, beta_mean, gaussian, gaussian_mean
from motes.smc.arrays import float64

EOS, DEPTH = 2, 4


def moments(scores) -> Moments:
    return Moments(len(scores), sum(scores), sum(score**2 for score in scores))


def random_tree(random, size: int) -> tuple[np.ndarray, np.ndarray]:
    parents = np.array([-1, *(random.integers(i) for i in range(1, size))])
    return parents, random.random(size)


def test_what_the_arms_have_seen():
    """T8. Against a recursion; CONT sees nothing of direct children."""
    random = np.random.default_rng(0)
    for _ in range(10):
        parents, scores = random_tree(random, 40)
        seen = backed_up(parents, scores)
        children = {i: [j for j in range(40) if parents[j] == i] for i in range(40)}

        def below(i, children=children):
            return [x for j in children[i] for x in (j, *below(j))]

        for i in range(40):
            direct, deeper = children[i], [j for j in below(i) if j not in children[i]]
            subtree = [i, *below(i)] if i else below(0)
            for rows, which in ((0, direct), (1, deeper), (2, subtree)):
                expected = moments([scores[j] for j in which])
                assert seen[rows][i] == pytest.approx(np.array(expected), abs=1e-12)
        n = [part[:, 0] for part in seen]
        own = np.arange(40) > 0
        assert np.array_equal(n[0] + n[1] + own, n[2])


@pytest.mark.parametrize("scores", [(), (0.6,), (0.2, 0.9, 0.5)])
def test_the_gaussian_posterior_by_integration(scores):
    """The distribution of the mean, from the prior and the likelihood on a grid."""
    variances = np.exp(np.linspace(-9, 9, 700))[:, None]
    mus = np.linspace(-12, 12, 9601)[None, :]
    log_density = stats.invgamma.logpdf(variances, 0.5, scale=0.05) + np.log(variances)
    log_density = log_density + stats.norm.logpdf(mus, 0.0, np.sqrt(variances))
    for score in scores:
        log_density = log_density + stats.norm.logpdf(score, mus, np.sqrt(variances))
    density = np.exp(log_density - log_density.max()).sum(0)
    cdf = np.cumsum(density) / density.sum()
    m, kappa, nu, tau2 = gaussian(moments(scores))
    expected = stats.t.cdf(mus[0], nu, m, sqrt(tau2 / kappa))
    # without a score it is a Cauchy distribution: 0.8% lie beyond the grid on each side
    assert np.abs(cdf - expected).max() < (0.012 if not scores else 0.003)


def test_thompson_draws_are_of_the_mean_and_not_of_a_score():
    random = np.random.default_rng(1)
    scores = np.clip(random.normal(0.5, 0.1, 400), 0, 1)
    drawn = [gaussian_mean(moments(scores), random) for _ in range(1000)]
    assert np.std(drawn) == pytest.approx(0.1 / sqrt(400), rel=0.25)
    assert np.mean(drawn) == pytest.approx(scores.sum() / 401, abs=0.001)
    drawn = [beta_mean(moments([1.0] * 60 + [0.0] * 40), random) for _ in range(1000)]
    assert np.std(drawn) == pytest.approx(sqrt(0.6 * 0.4 / 102), rel=0.15)


def wins(first, second) -> float:
    """The probability that a draw of the first is the larger one."""
    spread = quad(lambda x: first.pdf(x) * second.cdf(x), -np.inf, 0.3)[0]
    return spread + quad(lambda x: first.pdf(x) * second.cdf(x), 0.3, np.inf)[0]


def chain(size: int) -> np.ndarray:
    return np.arange(-1, size - 1)


@pytest.mark.parametrize(("score_model", "known"), [("gaussian", 0.6731), ("beta", 0.5387)])
def test_whether_the_second_node_is_a_sibling(score_model, known):
    """T8. After one score of 0.6: GEN has seen it, CONT has not."""
    if score_model == "gaussian":
        exact = wins(stats.t(2, 0.3, sqrt(0.14 / 2)), stats.t(1, 0.0, sqrt(0.1)))
    else:
        first, second = stats.beta(1.1, 0.9), stats.beta(0.5, 0.5)
        exact = quad(lambda x: first.pdf(x) * second.cdf(x), 0, 1)[0]
    assert exact == pytest.approx(known, abs=1e-4)
    random, n = np.random.default_rng(2), 4000
    seen = backed_up(chain(2), np.array([0.0, 0.6]))
    extendable = np.ones(2, bool)
    siblings = sum(
        branching_node(chain(2), seen, extendable, score_model, random) == 0 for _ in range(n)
    )
    assert abs(siblings / n - exact) < 4.5 * sqrt(exact * (1 - exact) / n)


def shape(parents) -> str:
    return ",".join(map(str, parents))


BY_DEPTH = (0.0, 0.7, 0.3, 0.9, 0.5, 0.5)
NEW = 5  # nodes drawn


def own_shape(score_model: str, random) -> str:
    parents, depths = [-1], [0]
    while len(parents) <= NEW:
        scores = np.array([BY_DEPTH[depth] for depth in depths])
        seen = backed_up(np.array(parents), scores)
        extendable = np.ones(len(parents), bool)
        node = branching_node(np.array(parents), seen, extendable, score_model, random)
        parents.append(node)
        depths.append(depths[node] + 1)
    return shape(parents[1:])


def treequest_shape(score_model: str) -> str:
    """The state of a node is its number and its depth."""
    numbers, parents = iter(range(1, NEW + 1)), []

    def generate(parent):
        number, depth = (0, 0) if parent is None else parent
        parents.append(number)
        return (next(numbers), depth + 1), BY_DEPTH[depth + 1]

    algorithm = treequest.ABMCTSA(dist_type=score_model)
    tree = algorithm.init_tree()
    for _ in range(NEW):
        tree = algorithm.step(tree, {"draw": generate})
    return shape(parents)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("score_model", ["gaussian", "beta"])
def test_trees_have_the_shapes_of_treequest(score_model):
    """A chi-squared test of two samples; rare shapes are put together."""
    n, random = 600, np.random.default_rng(3)
    np.random.seed(4)
    ours = Counter(own_shape(score_model, random) for _ in range(n))
    theirs = Counter(treequest_shape(score_model) for _ in range(n))
    common = [x for x in {**ours, **theirs} if ours[x] + theirs[x] >= 20]
    table = np.array([[counts[x] for x in common] for counts in (ours, theirs)])
    table = np.column_stack([table, n - table.sum(1)])
    table = table[:, table.sum(0) > 0]
    assert table.shape[1] > 5
    assert stats.chi2_contingency(table).pvalue > 1e-4
    other = Counter(
        own_shape("beta" if score_model == "gaussian" else "gaussian", random) for _ in range(n)
    )
    table[0, : len(common)] = [other[x] for x in common]
    table[0, len(common) :] = n - table[0, : len(common)].sum()
    assert stats.chi2_contingency(table).pvalue < 1e-4


GROUPS = ((0.8, 0.7, 0.95), (0.2,), (0.5, 0.55))


def predictive(draws: int) -> np.ndarray:
    random = np.random.default_rng(5)
    groups = [moments(scores) for scores in GROUPS]
    return np.array([next_scores(groups, random) for _ in range(draws)])


def compared(ours: np.ndarray, theirs: np.ndarray, size: float) -> None:
    """Means, spreads, and which arm is the greatest, of two samples; `size` of the other one."""
    error = 4.5 * sqrt(1 / len(ours) + 1 / size)
    assert np.abs(ours.mean(0) - theirs.mean(0)).max() < error * ours.std(0).max()
    for i in range(ours.shape[1]):
        share = (ours.argmax(1) == i).mean()
        spread = sqrt(max(share * (1 - share), 1 / len(ours)))
        assert abs(share - (theirs.argmax(1) == i).mean()) < error * spread


@pytest.mark.slow
def test_the_mixed_model_by_weighted_draws_from_its_prior():
    """Next scores of all groups and of a new one, jointly."""
    random, n = np.random.default_rng(6), 1_000_000
    mu = random.normal(0.5, 0.2, n)
    spread, noise = (np.abs(random.normal(0, scale, n)) for scale in (0.2, 0.3))
    alphas = mu[:, None] + spread[:, None] * random.normal(size=(n, 4))
    log_weights = np.zeros(n)
    for group, scores in enumerate(GROUPS):
        for score in scores:
            log_weights += stats.norm.logpdf(score, alphas[:, group], noise)
    weights = np.exp(log_weights - log_weights.max())
    size = weights.sum() ** 2 / (weights**2).sum()
    assert size > 2000
    chosen = random.choice(n, 20_000, p=weights / weights.sum())
    theirs = random.normal(alphas[chosen], noise[chosen][:, None])
    compared(predictive(3000), theirs, size)


def mixed(groups, scores) -> None:
    mu = numpyro.sample("mu", dist.Normal(0.5, 0.2))
    spread = numpyro.sample("spread", dist.HalfNormal(0.2))
    noise = numpyro.sample("noise", dist.HalfNormal(0.3))
    with numpyro.plate("arms", 4):
        z = numpyro.sample("z", dist.Normal(0, 1))
    alphas = numpyro.deterministic("alphas", mu + spread * z)
    numpyro.sample("scores", dist.Normal(alphas[groups], noise), obs=scores)


@pytest.mark.statistics
def test_the_mixed_model_by_mcmc():
    """As it is declared in NumPyro, by the no-U-turn sampler; the fourth arm has no scores."""
    groups = np.array([i for i, scores in enumerate(GROUPS) for _ in scores])
    scores = np.array([score for scores in GROUPS for score in scores])
    with float64():
        keys = jax.random.split(jax.random.key(0), 4)
        drawn, facts = nuts.chains(keys, mixed, (groups, scores), 1000, 2000)
    assert not np.asarray(facts["diverging"]).mean() > 0.01
    alphas = np.asarray(drawn["alphas"]).reshape(-1, 4)
    noise = np.asarray(drawn["noise"]).reshape(-1, 1)
    theirs = np.random.default_rng(7).normal(alphas, noise)
    compared(predictive(6000), theirs, len(theirs) / 8)  # autocorrelation: 8 draws count as one


def test_equal_scores_do_not_break_the_mixed_model():
    drawn = [next_scores([moments([0.5] * 6)], np.random.default_rng(i)) for i in range(50)]
    assert np.isfinite(drawn).all() and np.std(np.array(drawn)[:, 0]) < 0.05


def tokens(posterior) -> list[tuple[int, ...]]:
    return [x.token_ids for x in posterior.trajectories]


def test_all_in_one_batch_is_best_of_n(table):
    """T5. Nothing has been seen, so all are fresh: the same draws, slot by slot."""
    model = table(seed=1).model()
    sampler = make_sampler("ab_mcts", nodes="solution", iterations=6, batch=6)
    for seed in range(10):
        other = make_sampler("best_of_n", particles=6).run(model, seed=seed)
        assert sorted(tokens(sampler.run(model, seed=seed))) == sorted(tokens(other))


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("score_model", ["gaussian", "beta", "mixed"])
@pytest.mark.parametrize("batch", [1, 3])
def test_an_iteration_is_a_node(table, score_model, batch):
    """Over steps none follows a closed node; over solutions all are whole."""
    small = table(seed=2)
    settings = {"iterations": 60, "batch": batch, "score_model": score_model}
    steps = make_sampler("ab_mcts", **settings).run(small.model(), seed=0).tree
    assert len(steps) - 1 == 60 == steps.visits[0]
    assert (np.bincount(steps.rounds)[1:] <= batch).all()
    whole = make_sampler("ab_mcts", nodes="solution", **settings).run(small.model(), seed=0)
    assert len(whole.trajectories) == 60 and not any(x.open for x in whole.trajectories)
    assert whole.cost.generated_tokens == whole.tree.tokens.sum()
    # rewritten ones begin as others do: fewer first steps than solutions
    assert (whole.tree.parents == 0).sum() < 60


def test_a_table_at_which_going_on_pays(table):
    """Only what begins with 1 is worth going on with: most of the search goes there."""
    lm = TableLM(lambda prefix: [0.5, 0.5, 0.0] if len(prefix) < 3 else [0.4, 0.4, 0.2], eos=EOS)

    def reward(x):
        return 3.0 if x.token_ids[0] == 1 else -3.0

    model = table().model(lm=lm, prm=FunctionReward(reward))
    for score_model in ("gaussian", "beta", "mixed"):
        sampler = make_sampler("ab_mcts", iterations=80, score_model=score_model)
        tree = sampler.run(model, seed=3).tree
        first = {"0": 0, "1": 0}
        for node in np.flatnonzero(tree.parents == 0):
            first[tree.texts[node].strip()] += tree.visits[node]
        assert first["1"] > 2 * first["0"]


def test_too_few_iterations_still_come_to_an_end(table):
    endless = TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=EOS)
    model = table(seed=2).model(lm=endless, max_steps=12)
    posterior = make_sampler("ab_mcts", iterations=6).run(model, seed=0)
    assert [x.depth for x in posterior.trajectories] == [12]
    assert len(posterior.tree) - 1 < 6 + 12


def test_where_nothing_is_worth_anything(table):
    endless = TableLM(lambda prefix: [0.5, 0.5, 0.0], eos=EOS)
    dead = FunctionReward(lambda x: -np.inf if x.depth > 1 else 0.0)
    for nodes in ("step", "solution"):
        with pytest.raises(AllParticlesDead):
            make_sampler("ab_mcts", nodes=nodes).run(table().model(lm=endless, prm=dead))


def test_settings():
    for setting, value, message in (
        ("iterations", 0, "iterations must be at least 1"),
        ("nodes", "answer", "nodes must be one of step, solution"),
        ("score_model", "m", "score_model must be one of gaussian, beta, mixed"),
        ("batch", 0, "batch must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            make_sampler("ab_mcts", **{setting: value})
