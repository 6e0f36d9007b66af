"""Programs inside programs: a sub-inference with particles of its own.

An inner program is sampled by a particle filter, which gives an estimate Z-hat of its evidence and
a draw x of its posterior, by weight. The pair is *properly weighted* (Naesseth, Lindsten and Schon
2015):

    E[Z-hat f(x)] = sum_x gamma(x) f(x)    for every f

so a program that uses x, and is weighed by Z-hat, has the same posterior as one that contained the
inner program's sites itself, however few particles the inner filter has.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import numpyro
from numpyro.distributions import Distribution, Unit, constraints

from ... import checks
from ...aliases import Array, PRNGKey
from ...models import run_batched
from ...smc import Resampling, RunKeys, start, steps
from ...smc.resampling import pick
from .handlers import alone
from .runnable import Runnable
from .sites import condition
from .step_law import STACKED, one_key

if TYPE_CHECKING:
    from .execution import Execution


class Inferred(NamedTuple):
    """What a sub-inference has come to.

    Attributes:
        particle: a draw from the inner program's posterior; None where all its particles died.
        log_evidence: log Z-hat, in nats; then minus infinity.
    """

    particle: Execution | None
    log_evidence: float

    @property
    def shape(self) -> tuple[()]:
        """As the value of a random variable it is a scalar."""
        return ()


def infer(
    name: str,
    program: Runnable,
    *,
    particles: int = 8,
    resampling: str = "systematic",
    ess_threshold: float = 0.5,
) -> Any:
    """Return what another program returns, sampled with particles of its own.

    The present program is weighed by the other's evidence.

    Args:
        name: of the site; the weight is a site called `name_evidence`.
        program: the inner one, which may depend on what has been drawn.
        particles: N of the inner filter, at least 1. More of them make the weight less variable,
            not the result less biased.
        resampling, ess_threshold: of the inner filter; see `motes.samplers.ParticleFilter`.

    Returns:
        What the inner program has returned in the particle that was drawn.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> import motes
        >>> from motes import ppl
        >>> def inner():
        ...     x = ppl.start(lm, "?")
        ...     x = numpyro.sample("word", ppl.step(lm, x))
        ...     ppl.condition("not_zero", x.token_ids[0] > 0)
        ...     return x.token_ids[0]
        >>> def outer():
        ...     return infer("first", ppl.Program(inner), particles=4)
        >>> posterior = motes.samplers.ParticleFilter(particles=8).run(ppl.Program(outer), seed=0)
        >>> sorted(posterior.answers)
        ['1', '2']
    """
    found: Any = numpyro.sample(
        name, SubInference(program, particles, Resampling(resampling, ess_threshold))
    )
    condition(f"{name}_possible", found.log_evidence > -inf)
    numpyro.sample(f"{name}_evidence", Unit(found.log_evidence), obs=np.zeros(0))  # type: ignore[arg-type]
    return None if found.particle is None else found.particle.value


class SubInference(Distribution):
    """The law of what an inner particle filter comes to, an `Inferred`."""

    _support = constraints.dependent
    pytree_aux_fields = ("program", "particles", "resampling")

    def __init__(self, program: Runnable, particles: int, resampling: Resampling) -> None:
        if not isinstance(program, Runnable):
            raise TypeError(f"a sub-inference needs a Program, not {program!r}")
        self.program = program
        self.particles = checks.count("particles", particles)
        self.resampling = resampling
        self._batch_shape = self._event_shape = ()

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        if sample_shape:
            raise TypeError(STACKED.format(what="sample_shape"))
        with alone({}):
            [found] = inferred(None, [self], [np.asarray(jax.random.key_data(one_key(key)))[0]])
        return found

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        raise NotImplementedError(
            "the density of a sub-inference's result is not known, only its weight: "
            "run the program by a sampler"
        )

    def expand(self, batch_shape: Any) -> SubInference:
        if tuple(batch_shape):
            raise TypeError(STACKED.format(what="plate"))
        return self

    def filtered(self, key: np.ndarray, shared: Any = None) -> Inferred:
        """Return one run of the inner filter, from these key data."""
        program = self.program if shared is None else self.program.via(shared)
        root = program.root()
        if not root.open:
            if root.excluded:
                return Inferred(None, -inf)
            return Inferred(root, root.log_ratio + root.log_likelihood)
        keys, model = RunKeys(int(key[0]), run=int(key[1])), program.stepwise(None, root=root)
        state = start(model, keys, self.particles)
        for happened in steps(model, state, keys, self.resampling):
            state = happened.state
        if state.dead:
            return Inferred(None, -inf)
        return Inferred(
            state.particles[pick(keys.choice(0), state.log_weights)], float(state.log_evidence)
        )


def inferred(
    outer: Runnable | None, wanted: Sequence[SubInference], keys: Sequence[np.ndarray]
) -> list[Inferred]:
    """Run several sub-inferences, whose requests go out together."""
    route = (lambda model: model) if outer is None else outer.meet
    if len(wanted) <= 1:
        return [
            fn.filtered(np.asarray(key, np.uint32), route)
            for fn, key in zip(wanted, keys, strict=True)
        ]
    runs = [
        lambda shared, fn=fn, key=key: fn.filtered(
            np.asarray(key, np.uint32), lambda model: shared(route(model))
        )
        for fn, key in zip(wanted, keys, strict=True)
    ]
    return run_batched(runs)
