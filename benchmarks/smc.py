"""The filter's own speed: traced against cuthbert and BlackJAX, hosted in milliseconds a step.

Traced: a bootstrap filter of a linear-Gaussian model, systematic resampling at every step, the
whole run compiled, float32 particles. Every tool does the same work (moves, weights, ancestors,
log-evidence), in one process, one after the other within each repetition, so that the ratio is one
of neighbours in time. cuthbert resamples on the CPU with Numba.

Hosted: the driver's time for a step of N Python objects, with a kernel and a potential that cost
nothing.

    python benchmarks/smc.py    # N = 10^3 .. 10^6, T = 1000: some five minutes; --quick to try it
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motes.smc import Model, Resampling, RunKeys, scan, start, steps

A, Q, R = 0.9, 0.5, 0.4


def ours(y: jax.Array, slots: int) -> Callable[[Any], Any]:
    """motes, with all particles drawn at once."""
    observed = jnp.concatenate([jnp.zeros(1), y])
    model = Model(
        lambda key, slots: jax.random.normal(key, (slots,)),
        lambda t, key, x: A * x + jnp.sqrt(Q) * jax.random.normal(key, x.shape),
        lambda t, before, after: -0.5 * ((observed[t] - after) ** 2 / R + jnp.log(2 * jnp.pi * R)),
    )
    filtered = jax.jit(lambda key: scan(model, key, slots, len(y), Resampling("systematic", 1)))
    return lambda key: filtered(key).state.log_evidence


def cuthbert_filter(y: jax.Array, slots: int) -> Callable[[Any], Any]:
    """cuthbert's filter, of which nothing but the last state is kept."""
    from cuthbert.smc.particle_filter import build_filter
    from cuthbertlib.resampling import systematic

    built = build_filter(
        init_sample=lambda key: jax.random.normal(key, ()),
        propagate_sample=lambda key, state, model_inputs: (
            A * state + jnp.sqrt(Q) * jax.random.normal(key, ())
        ),
        log_potential=lambda state_prev, state, model_inputs: (
            -0.5 * ((model_inputs - state) ** 2 / R + jnp.log(2 * jnp.pi * R))
        ),
        n_filter_particles=slots,
        resampling_fn=systematic.resampling,
    )

    def step(state: Any, at: Any) -> Any:
        observed, key = at
        return built.filter_combine(state, built.filter_prepare(observed, key=key)), None

    @jax.jit
    def filtered(key: Any) -> Any:
        state = built.init_prepare(key=key)._replace(model_inputs=y[0])
        return jax.lax.scan(step, state, (y, jax.random.split(key, len(y))))[
            0
        ].log_normalizing_constant

    return filtered


def blackjax_filter(y: jax.Array, slots: int) -> Callable[[Any], Any]:
    """BlackJAX's SMC step: its update draws the transition, its weights are the likelihood."""
    from blackjax.smc import base, resampling

    def step(carry: Any, at: Any) -> Any:
        state, total = carry
        observed, key = at

        def update(keys: Any, particles: Any, _: Any) -> Any:
            return A * particles + jnp.sqrt(Q) * jax.vmap(lambda key: jax.random.normal(key, ()))(
                keys
            ), None

        def weigh(particles: Any) -> Any:
            return -0.5 * ((observed - particles) ** 2 / R + jnp.log(2 * jnp.pi * R))

        state, info = base.step(key, state, update, weigh, resampling.systematic)
        return (state, total + info.log_likelihood_increment), None

    @jax.jit
    def filtered(key: Any) -> Any:
        first = base.init(jax.random.normal(key, (slots,)), {})
        (_, total), _ = jax.lax.scan(
            step, (first, jnp.zeros(())), (y, jax.random.split(key, len(y)))
        )
        return total

    return filtered


def compare(slots: int, length: int, repetitions: int) -> None:
    """One row of the table: milliseconds a step of each tool, and ours against the fastest peer."""
    y = jnp.asarray(np.random.default_rng(0).normal(size=length).cumsum() * 0.3)
    tools = {
        "motes": ours(y, slots),
        "cuthbert": cuthbert_filter(y, slots),
        "blackjax": blackjax_filter(y, slots),
    }
    values = {name: float(tool(jax.random.key(0))) for name, tool in tools.items()}  # compiles
    times: dict[str, list[float]] = {name: [] for name in tools}
    for repetition in range(repetitions):
        for name, tool in tools.items():
            began = time.perf_counter()
            jax.block_until_ready(tool(jax.random.key(repetition)))
            times[name].append((time.perf_counter() - began) / length * 1e3)
    ratios = [min(peer) / own for own, *peer in zip(*times.values(), strict=True)]
    shown = "  ".join(f"{name} {median(row):9.4f}" for name, row in times.items())
    evidence = ", ".join(f"{value:.1f}" for value in values.values())
    print(
        (
            f"N = {slots:>8}  {shown}   ratio {median(ratios):5.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f})   log Z-hat {evidence}"
        ),
        flush=True,
    )


class Nothing:
    """A hosted model that costs nothing: 200 steps, potentials known beforehand."""

    def __init__(self, slots: int) -> None:
        self.potentials = np.random.default_rng(0).normal(size=slots)

    def initial(self, keys: Any, slots: int) -> Any:
        """Objects."""
        return [object() for _ in range(slots)]

    def open(self, particle: Any) -> bool:
        """Always."""
        return True

    def move(self, t: int, keys: Any, particles: Any) -> Any:
        """Nowhere."""
        return particles

    def log_potential(self, t: int, before: Any, after: Any) -> np.ndarray:
        """Uneven enough to resample."""
        return self.potentials[: len(after)]


def hosted(slots: int) -> None:
    """Milliseconds a step of the host-side driver, resampling at every step."""
    model, keys = Nothing(slots), RunKeys(0)
    times, began = [], time.perf_counter()
    for _ in steps(model, start(model, keys, slots), keys, Resampling(ess_threshold=1), 220):
        times.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
    print(
        (
            f"N = {slots:>5}  {median(times[20:]):.3f} ms a step (median of 200; 90% below "
            f"{np.quantile(times[20:], 0.9):.3f})"
        ),
        flush=True,
    )


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two sizes and 50 steps")
    quick = parser.parse_args().quick
    print(
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}\n\ntraced, milliseconds a step; "
        "ratio: fastest peer over motes"
    )
    for slots in (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        compare(slots, 50 if quick else 1_000, 3 if slots < 10**6 else 1)
    print("\nhosted, the driver alone")
    for slots in (16, 64, 256, 1024):
        hosted(slots)


if __name__ == "__main__":
    main()
