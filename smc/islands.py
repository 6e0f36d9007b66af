"""Islands: independent groups of particles, put together by their evidence.

(Vergé, Dubarry, Del Moral and Moulines 2015.)

Group k of K ends with weights W_k^i and an unbiased Z-hat_k. Together they stand for

    Z-hat                              =  (1/K) sum_k Z-hat_k
    weight of particle i of group k    =  W_k^i Z-hat_k / sum_l Z-hat_l

so that E[Z-hat sum W f] = gamma(f) still: to weigh the groups equally would not be consistent for a
fixed number of particles in each. A group that died counts, with Z-hat_k = 0. Groups never meet, so
they can run apart, and their spread is an honest error of the estimate.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from ..aliases import Array, PRNGKey
from .arrays import float64, namespace
from .collectors import Collector, Collectors
from .driver import check_increment
from .feynman_kac import FeynmanKac, Hosted
from .keys import RunKeys, TracedKeys, traced_key
from .resampling import Resampling
from .running import Run, on_host, run, scan
from .weights import log_mean_exp, normalise


class Islands(NamedTuple):
    """Groups put together.

    Attributes:
        log_weights: of all particles, normalised over all groups, float64, shape (K, N); all minus
            infinity where all groups died.
        log_evidence: log Z-hat of all groups, in nats.
        log_evidence_error: the relative standard error of Z-hat over groups, which is that of its
            log to first order; NaN for one group, or where all died.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> _, together = smc.islands(model, seed=0, groups=4, slots=50, steps=3)
        >>> bool(together.log_evidence_error > 0)
        True
    """

    log_weights: Array
    log_evidence: Any
    log_evidence_error: Any


def combine(log_weights: Array, log_evidences: Array) -> Islands:
    """Put independent groups together; may be traced.

    Args:
        log_weights: of each group, normalised in it, shape (K, N).
        log_evidences: log Z-hat_k, in nats, shape (K,); minus infinity for a group that died.

    Example:
        >>> import numpy as np
        >>> result = combine(np.array([[1.0], [3.0]]), np.log([1.0, 1.0]))
        >>> type(result).__name__
        'Islands'
    """
    xp, groups = namespace(log_evidences), len(log_evidences)
    with float64():
        shares, total = normalise(log_evidences)
        relative = groups * xp.exp(shares)  # Z-hat_k over their mean
        error = (
            xp.sqrt(((relative - 1) ** 2).sum() / (groups - 1) / groups) if groups > 1 else np.nan
        )
        error = xp.where(total > -np.inf, error, np.nan)[()]
        return Islands(log_weights + shares[:, None], log_mean_exp(log_evidences), error)


def islands(
    model: FeynmanKac[Any],
    seed: int,
    groups: int,
    slots: int,
    steps: int | None = None,
    resampling: Resampling = Resampling(),
    collect: Collectors = MappingProxyType({}),
) -> tuple[list[Run], Islands]:
    """Run K independent filters, and put together what they say.

    Args:
        model: traced, and then the groups are one vectorised computation; or hosted, and then they
            run one after another.
        seed: in [0, 2**32). Group k is the run `RunKeys(seed, run=k)` of a hosted model,
            `TracedKeys(...).island(k)` of a traced.
        groups: K.
        slots, steps, resampling, collect: as `motes.smc.run` takes them.

    Returns:
        The K runs, and their combination.

    Raises:
        FloatingPointError, ValueError: as `motes.smc.run` does.

    Example:
        >>> import jax
        >>> from motes import smc
        >>> model = smc.Model(
        ...     initial=lambda key, slots: jax.random.normal(key, (slots,)),
        ...     move=lambda t, key, x: x + jax.random.normal(key, x.shape),
        ...     log_potential=lambda t, before, after: -0.5 * after**2,
        ...     density=lambda t, before, after: -0.5 * (after - before) ** 2,
        ... )
        >>> runs, together = islands(model, seed=0, groups=4, slots=50, steps=3)
        >>> len(runs), bool(together.log_evidence_error > 0)
        (4, True)
    """
    if isinstance(model, Hosted):
        runs = [
            run(model, RunKeys(seed, run=group), slots, steps, resampling, collect)
            for group in range(groups)
        ]
        states = [finished.state for finished in runs]
        log_weights = np.stack([state.log_weights for state in states])
        log_evidences = np.array([state.log_evidence for state in states])
        return runs, combine(log_weights, log_evidences)
    if steps is None:
        raise ValueError("steps must be given: a traced model does not say when it is over")
    together = _compiled(
        model, traced_key(seed), groups, slots, steps, resampling, tuple(collect.items())
    )
    for increments in np.asarray(together.log_increments).tolist():
        for t, increment in enumerate(increments, 1):
            check_increment(increment, t, resampling)
    runs = [on_host(jax.tree.map(itemgetter(group), together)) for group in range(groups)]
    return runs, combine(
        np.asarray(together.state.log_weights), np.asarray(together.state.log_evidence)
    )


@partial(jax.jit, static_argnums=(0, 2, 3, 4, 5, 6))
def _compiled(
    model: FeynmanKac[Any],
    key: PRNGKey,
    groups: int,
    slots: int,
    steps: int,
    resampling: Resampling,
    collect: tuple[tuple[str, Collector], ...],
) -> Run:
    keys = jax.vmap(lambda group: TracedKeys(key).island(group).key)(jax.numpy.arange(groups))
    return jax.vmap(lambda key: scan(model, key, slots, steps, resampling, dict(collect)))(keys)
