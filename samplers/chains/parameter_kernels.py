"""Kernels that move a program's parameters given its reasoning: NUTS and a random walk.

A density is traced anew at every iteration, since other reasoning means another function. Two of
them that differ in data alone share one compiled transition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ...aliases import Array, PRNGKey, PyTree
from ...ppl.programs.parameters import Density

normal_random_walk: Any = blackjax.additive_step_random_walk.normal_random_walk  # type: ignore[attr-defined]
KERNELS = ("nuts", "random_walk")


def transition(
    kernel: str, density: Density, key: PRNGKey, u: Array, step_size: float
) -> tuple[Any, float]:
    """Make one transition of a kernel that leaves a density invariant.

    Args:
        kernel: one of `KERNELS`.
        density: of the parameters.
        key: a JAX random key.
        u: where the chain is, in unconstrained coordinates.
        step_size: of the kernel, above 0.

    Returns:
        Where it is then, and the probability that the proposal was accepted.
    """
    return (_nuts if kernel == "nuts" else _random_walk)(density, key, u, step_size)


def _random_walk(density: Density, key: PRNGKey, u: Array, step_size: float) -> tuple[Any, float]:
    """Take one transition; run eagerly where the program cannot be traced."""
    try:
        return _transited("random_walk", density, key, u, step_size)
    except ValueError:
        place, rate = _walk(lambda place: density(place).log_density, key, u, step_size)
        return place, float(rate)


def _nuts(density: Density, key: PRNGKey, u: Array, step_size: float) -> tuple[Any, float]:
    """Take one transition."""
    return _transited("nuts", density, key, u, step_size)


_compiled: dict[tuple[str, str, int, str], Any] = {}


def _transited(
    kind: str, density: Density, key: PRNGKey, u: Array, step_size: float
) -> tuple[Any, float]:
    """Make one transition of a kernel, compiled once for densities that differ in data alone."""
    traced = jax.make_jaxpr(lambda place: density(place).log_density)(u)
    code = kind, str(traced.jaxpr), len(u), _inner_data(traced.jaxpr).hex()
    if code not in _compiled:
        _compiled[code] = jax.jit(partial(_transition, kind, traced.jaxpr))
    place, rate = _compiled[code](key, u, step_size, traced.consts)
    return place, float(rate)


def _inner_data(code: Any) -> bytes:
    """Digest the arrays that inner functions hold, and which a traced function's text hides."""
    digest = sha256()
    for equation in code.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                for array in getattr(inner, "consts", ()):
                    digest.update(np.asarray(array).tobytes())
                function = getattr(inner, "jaxpr", inner)
                if hasattr(function, "eqns"):
                    digest.update(_inner_data(function))
    return digest.digest()


def _transition(
    kind: str, code: Any, key: PRNGKey, u: Array, step_size: Array, data: PyTree
) -> tuple[Any, Any]:
    kernel = {"nuts": _hamiltonian, "random_walk": _walk}[kind]
    return kernel(lambda place: jaxpr_as_fun(ClosedJaxpr(code, data))(place)[0], key, u, step_size)


def _hamiltonian(
    log_density: Callable[[Array], Array], key: PRNGKey, u: Array, step_size: Array
) -> tuple[Any, Any]:
    kernel: Any = blackjax.nuts(log_density, step_size, jnp.ones(len(u)))
    state, info = kernel.step(key, kernel.init(u))
    return state.position, info.acceptance_rate


def _walk(
    log_density: Callable[[Array], Array], key: PRNGKey, u: Array, step_size: Array
) -> tuple[Any, Any]:
    kernel: Any = normal_random_walk(
        lambda place: jnp.nan_to_num(log_density(place), nan=-jnp.inf), jnp.full(len(u), step_size)
    )
    state, info = kernel.step(key, kernel.init(u))
    return state.position, info.acceptance_rate
