"""Models whose filters can be computed exactly, by recursions that share nothing with the
engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motes.smc import Model


@pytest.fixture(autouse=True, scope="module")
def quick_to_compile():
    """Compiling is most of the work here: half as much of it, for programs half as fast."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def log(x):
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(x, np.float64))


@dataclass
class HiddenMarkov:
    """K hidden states, x_0 random, T observations; the potential of step t is g[t - 1, x_t-1, x_t],
    zero here and there."""

    initial: np.ndarray = field(default_factory=lambda: np.array([0.6, 0.4]))
    transition: np.ndarray = field(default_factory=lambda: np.array([[0.7, 0.3], [0.2, 0.8]]))
    potentials: np.ndarray = field(
        default_factory=lambda: np.array(
            [[[0.9, 0.1], [0.2, 0.6]], [[0.5, 0.0], [0.3, 0.7]], [[0.1, 0.8], [0.4, 0.2]]]
        )
    )

    @property
    def steps(self):
        return len(self.potentials)

    @property
    def paths(self):
        return list(product(range(len(self.initial)), repeat=self.steps + 1))

    def mass(self, x):
        """gamma_T(x)."""
        steps = [
            self.transition[a, b] * self.potentials[t, a, b] for t, (a, b) in enumerate(pairwise(x))
        ]
        return float(self.initial[x[0]] * np.prod(steps))

    @property
    def masses(self):
        return np.array([self.mass(x) for x in self.paths])

    @property
    def twists(self):
        """psi_t(x_t), the exact expected future, by the backward recursion; shape (T + 1, K)."""
        psi = [np.ones(len(self.initial))]
        for g in self.potentials[::-1]:
            psi.append((self.transition * g) @ psi[-1])
        return np.array(psi[::-1])

    @property
    def filters(self):
        """gamma_t(x_t) by the forward recursion; shape (T + 1, K)."""
        alpha = [self.initial]
        for g in self.potentials:
            alpha.append(alpha[-1] @ (self.transition * g))
        return np.array(alpha)

    @property
    def evidence(self):
        return float(self.initial @ self.twists[0])

    def model(self):
        """The particle is the state, an int32."""
        log_initial, log_transition, log_g = (
            jnp.asarray(log(x)) for x in (self.initial, self.transition, self.potentials)
        )

        def move(t, key, x):
            return jax.random.categorical(key, log_transition[x]).astype(jnp.int32)

        return Model(
            lambda key, slots: jax.random.categorical(key, log_initial, shape=(slots,)).astype(
                jnp.int32
            ),
            move,
            lambda t, before, after: log_g[t - 1, before, after],
            lambda t, before, after: log_transition[before, after],
        )

    def path_model(self):
        """The particle is all of the path so far, int32 of shape (T + 1,), zeros behind its end."""
        chain, steps = self.model(), self.steps
        return Model(
            lambda key, slots: (
                jnp.zeros((slots, steps + 1), jnp.int32).at[:, 0].set(chain.initial(key, slots))
            ),
            lambda t, key, x: x.at[:, t].set(chain.move(t, key, x[:, t - 1])),
            lambda t, before, after: chain.log_potential(t, before[:, t - 1], after[:, t]),
        )


@dataclass
class LinearGaussian:
    """x_t = a x_t-1 + noise of variance q, y_t = x_t + noise of variance r, x_0 standard normal."""

    y: np.ndarray
    a: float = 0.9
    q: float = 0.5
    r: float = 0.4

    def kalman(self):
        """Filtering means and variances at 0..T, and the log-evidence."""
        means, variances, total = [0.0], [1.0], 0.0
        for y in self.y:
            mean, variance = self.a * means[-1], self.a**2 * variances[-1] + self.q
            spread = variance + self.r
            total -= 0.5 * ((y - mean) ** 2 / spread + np.log(2 * np.pi * spread))
            gain = variance / spread
            means.append(mean + gain * (y - mean))
            variances.append((1 - gain) * variance)
        return np.array(means), np.array(variances), total

    def smoother(self):
        """Rauch, Tung and Striebel: smoothing means and variances at 0..T, and covariances of
        neighbours."""
        means, variances, _ = self.kalman()
        smooth_means, smooth_variances, covariances = [means[-1]], [variances[-1]], []
        for mean, variance in zip(means[-2::-1], variances[-2::-1], strict=True):
            predicted = self.a**2 * variance + self.q
            gain = self.a * variance / predicted
            covariances.append(gain * smooth_variances[-1])
            smooth_means.append(mean + gain * (smooth_means[-1] - self.a * mean))
            smooth_variances.append(variance + gain**2 * (smooth_variances[-1] - predicted))
        return (
            np.array(smooth_means[::-1]),
            np.array(smooth_variances[::-1]),
            np.array(covariances[::-1]),
        )

    def model(self):
        y = jnp.asarray(np.concatenate([[0.0], self.y]))

        def normal(x, variance):
            return -0.5 * (x**2 / variance + np.log(2 * np.pi * variance))

        return Model(
            lambda key, slots: jax.random.normal(key, (slots,)),
            lambda t, key, x: self.a * x + np.sqrt(self.q) * jax.random.normal(key, x.shape),
            lambda t, before, after: normal(y[t] - after, self.r),
            lambda t, before, after: normal(after - self.a * before, self.q),
        )


@pytest.fixture(scope="session")
def hmm():
    return HiddenMarkov()


@pytest.fixture(scope="session")
def random_hmm():
    """Three states, four steps, everything random."""
    rng = np.random.default_rng(5)
    return HiddenMarkov(
        rng.dirichlet(np.ones(3)),
        rng.dirichlet(np.ones(3), size=3),
        rng.uniform(0.05, 1, (4, 3, 3)),
    )


@pytest.fixture(scope="session")
def linear_gaussian():
    return LinearGaussian(np.random.default_rng(3).normal(size=20).cumsum() * 0.6)
