"""Steps, judgements and conditions as NumPyro distributions; values are trajectories and truths.

    x  = ppl.start(lm, question)                                      the trajectory without steps
    x  = numpyro.sample("step", ppl.step(lm, x))                      x_t ~ p(. | question, x_1:t-1)
    ok = numpyro.sample("ok", ppl.judgement(prm, x), obs=1)           o_t ~ Bernoulli(r_t^power)
    ppl.condition("short", x.depth < 5)                               1[C(x)]

They are for NumPyro's handlers, which run a model once and eagerly, and for `Program`, which runs
it for many particles at a time. A trajectory is not an array: what would stack several (plate,
vmap, Predictive with several samples) or trace them (jit) is refused.
"""

from __future__ import annotations

from math import exp, inf, isnan, log, log1p
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.core import Tracer
from numpyro.distributions import Distribution, constraints

from ... import checks
from ...aliases import Array, PRNGKey
from ...log_odds import log_sigmoid
from ...models import (
    LanguageModel,
    RewardModel,
    Sampling,
    Trajectory,
    calls,
    capabilities,
    continued,
)
from ...smc.keys import IMPL
from ..answers import Answer, settled, stated
from ..statespace import check_lm, check_prm
from . import memo
from .handlers import rooted

STACKED = (
    "a trajectory is not an array: {what} needs several at a time, "
    "and a step of a language model is drawn one by one"
)
TRACED = (
    "a step of a language model cannot be drawn in a function that JAX traces "
    "(jit, vmap, Predictive with several samples)"
)


def start(lm: LanguageModel, question: str) -> Trajectory:
    """Give the trajectory without steps: where a program's reasoning about a question begins.

    In a run of a program all particles begin at the same one, so that the question is read once.

    Raises:
        TypeError, ValueError: `lm` is not a language model, or the question is empty or too long
            for it.

    Example:
        >>> from motes.models import TableLM
        >>> start(TableLM(lambda prefix: [1.0]), "2 + 2?").question
        '2 + 2?'
    """
    check_lm(lm)
    return rooted(lm, question)


def step(
    lm: LanguageModel,
    trajectory: Trajectory,
    *,
    prior: Sampling = Sampling(),
    answer: Answer | None = None,
    stop_at_answer: bool = True,
) -> Step:
    """Make the distribution of a trajectory with one more step, written by the language model.

    Of a trajectory that is closed already it is that trajectory itself.

    Args:
        lm: the language model.
        trajectory: what comes before.
        prior: how it is sampled, by declaration.
        answer: reads what a trajectory answers, into its attribute `answer`; `motes.ppl.stated`
            where None.
        stop_at_answer: whether a trajectory is finished by the first step after which an answer can
            be read.

    Raises:
        TypeError: an argument is not of its kind.

    Example:
        >>> import motes
        >>> import numpyro
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> def one_step():
        ...     return numpyro.sample("x", motes.ppl.step(lm, motes.ppl.start(lm, "?"))).text
        >>> program = motes.ppl.Program(one_step)
        >>> len(motes.samplers.ParticleFilter(particles=4).run(program).trajectories)
        4
    """
    check_lm(lm)
    if not isinstance(trajectory, Trajectory):
        raise TypeError(
            f"trajectory must be a Trajectory, such as ppl.start gives, not {trajectory!r}"
        )
    if not isinstance(prior, Sampling):
        raise TypeError(f"prior must be a Sampling, not {prior!r}")
    if answer is not None:
        checks.function("answer", answer, "a trajectory to a str or None")
    stop_at_answer = checks.flag("stop_at_answer", stop_at_answer)
    return Step(lm, trajectory, prior, answer or stated, stop_at_answer)


def judgement(prm: RewardModel, trajectory: Trajectory, *, power: Array = 1.0) -> Judgement:
    """Make the law of the truth that a trajectory's last step is right: Bernoulli(r^power).

    r is the reward model's probability.

    Args:
        prm: the reward model, which gives r as log-odds.
        trajectory: of one step or more.
        power: of the probability r (not of its odds), at least 0; a number, or a scalar that JAX
            traces. At 0, r^0 = 1 even where r = 0.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, Trajectory
        >>> law = {"logprob": -0.7, "proposal_logprob": -0.7}
        >>> x = Trajectory(question="2 + 2?").child("It is 4.", (5,), **law)
        >>> judge = FunctionReward(lambda x: 2.0)
        >>> round(float(judgement(judge, x).log_prob(1)), 3)
        -0.127
    """
    check_prm(prm)
    if prm is None or not isinstance(trajectory, Trajectory):
        raise TypeError(
            f"a judgement needs a reward model and a Trajectory, not {prm!r} and {trajectory!r}"
        )
    if trajectory.parent is None:
        raise ValueError("a judgement needs a trajectory of one step or more")
    if np.shape(power) != ():
        raise ValueError(f"power must be one number, not of shape {np.shape(power)}")
    if not isinstance(power, Tracer):
        plain = np.asarray(power).item() if hasattr(power, "dtype") else power
        # a latent far out may be infinite, and is no fault of the program
        power = inf if plain == inf else checks.number("power", plain, least=0)
    return Judgement(prm, trajectory, power)


def condition(name: str, allowed: object) -> None:
    """Allow what follows only where this is true: a hard constraint, unchanged by tempering.

    In a run of a program a particle that violates it is dead, and its program goes no further.

    Args:
        name: of the site.
        allowed: true or false.

    Raises:
        TypeError: `allowed` is neither.

    Example:
        >>> import motes
        >>> import numpyro
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> def two_words():
        ...     x = motes.ppl.start(lm, "?")
        ...     while x.open and x.depth < 3:
        ...         x = numpyro.sample(f"x{x.depth}", motes.ppl.step(lm, x))
        ...     condition("long", x.depth > 1)
        ...     return str(x.depth)
        >>> posterior = motes.samplers.ParticleFilter(particles=8).run(motes.ppl.Program(two_words))
        >>> "1" in posterior.answers
        False
    """
    if not isinstance(allowed, bool | np.bool_ | jax.Array) or np.shape(allowed) != ():
        raise TypeError(f"condition {name!r} needs True or False, not {allowed!r}")
    numpyro.sample(
        name, Condition(allowed), obs=jnp.asarray(True) if isinstance(allowed, Tracer) else True
    )  # type: ignore[arg-type]


class _Trajectories(constraints.Constraint):
    """The set of trajectories: discrete, each of them one event."""

    is_discrete = True

    def __call__(self, x: Array) -> bool:
        return isinstance(x, Trajectory)

    def feasible_like(self, prototype: Array) -> Any:
        raise NotImplementedError

    def tree_flatten(self) -> Any:
        return (), ((), {})


class Step(Distribution):
    """A trajectory with one more step; see `step`."""

    _support = _Trajectories()
    pytree_aux_fields = ("lm", "trajectory", "prior", "answer", "stop_at_answer")

    def __init__(
        self,
        lm: LanguageModel,
        trajectory: Trajectory,
        prior: Sampling,
        answer: Answer,
        stop_at_answer: bool,
    ) -> None:
        self.lm, self.trajectory, self.prior, self.answer, self.stop_at_answer = (
            lm,
            trajectory,
            prior,
            answer,
            stop_at_answer,
        )
        self._batch_shape = self._event_shape = ()

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        if sample_shape:
            raise TypeError(STACKED.format(what="sample_shape"))
        if not self.trajectory.open:
            return self.trajectory
        keys = one_key(key)
        [child] = calls.extend(self.lm, [self.trajectory], keys, prior=self.prior)
        return self.closed(child)

    def closed(self, child: Trajectory) -> Trajectory:
        """Draw a new step of the trajectory, closed where it states its answer.

        Its probability is remembered.
        """
        value = settled(child, self.answer, self.stop_at_answer)
        memo.remember_logprob(value, self.lm, self.prior, child.step_logprob)
        return value

    def is_like(self, other: object) -> bool:
        """Return whether another distribution gives each step the same probability."""
        if not isinstance(other, Step):
            return False
        return (
            self.lm is other.lm
            and self.prior == other.prior
            and self.trajectory is other.trajectory
            and self.reads_like(other)
        )

    def reads_like(self, other: Step) -> bool:
        """Say whether another distribution ends trajectories and reads answers as this one does."""
        return self.stop_at_answer == other.stop_at_answer and _same_rule(self.answer, other.answer)

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        """Compute log p(x_t | question, x_1:t-1) in nats; minus infinity where it cannot be drawn.

        It is not computed again where it is known.

        Raises:
            TypeError: the value is not a trajectory.
            ValueError: the probability is not known, and the language model cannot tell it.
        """
        here = self.trajectory
        if not isinstance(value, Trajectory):
            raise TypeError(f"the value of a step must be a Trajectory, not {value!r}")
        if not here.open:
            return (
                0.0
                if value is here or (_said(value) == _said(here) and value.depth == here.depth)
                else -inf
            )
        if value.parent is not here and (
            value.depth != here.depth + 1
            or value.parent is None
            or _said(value.parent) != _said(here)
        ):
            return -inf
        if (logprob := memo.known_logprob(value, self.lm, self.prior)) is None:
            logprob = self._asked(value)
            memo.remember_logprob(value, self.lm, self.prior, logprob)
        if isnan(logprob):
            raise ValueError(
                f"the language model {self.lm.name!r} does not tell how probable its steps are"
            )
        return logprob

    def _asked(self, value: Trajectory) -> float:
        if not capabilities(self.lm).scoring:
            raise ValueError(
                f"the probability of {value!r} is not known, and the language model "
                f"{self.lm.name!r} has no method `logprob`"
            )
        [end] = continued(
            self.lm, [self.trajectory], [value], prior=self.prior, proposal=self.prior
        )
        if end is None:
            return -inf
        end = settled(end, self.answer, self.stop_at_answer)
        return (
            end.step_logprob
            if (end.finished, end.truncated) == (value.finished, value.truncated)
            else -inf
        )

    def expand(self, batch_shape: Any) -> Step:
        if tuple(batch_shape):
            raise TypeError(STACKED.format(what="plate"))
        return self

    def mask(self, mask: Array) -> Any:
        if np.shape(mask):
            raise TypeError(STACKED.format(what=f"a mask of shape {np.shape(mask)}"))
        return super().mask(mask if isinstance(mask, Tracer) else bool(mask))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Step({self.lm.name!r}, {self.trajectory!r})"


class Judgement(Distribution):
    """Bernoulli(r^power) with a reward model's r; see `judgement`."""

    _support = constraints.boolean
    has_enumerate_support = True
    pytree_aux_fields = ("prm", "trajectory")
    pytree_data_fields = ("power",)

    def __init__(self, prm: RewardModel, trajectory: Trajectory, power: Array) -> None:
        self.prm, self.trajectory, self.power = prm, trajectory, power
        self._batch_shape = self._event_shape = ()

    @property
    def log_odds(self) -> float:
        """The reward model's, which is asked where it has not scored the trajectory yet."""
        memo.judge(self.prm, [self.trajectory])
        log_odds = memo.judged(self.prm, self.trajectory)
        assert log_odds is not None
        return log_odds

    @property
    def probs(self) -> Any:
        """r^power."""
        return jnp.exp(self.log_prob(1))

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        return jax.random.bernoulli(key, self.probs, sample_shape).astype(int)

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        """Return log r^power of 1, log(1 - r^power) of 0, in nats, from log-odds in log space."""
        plain = isinstance(self.power, float)
        if plain and isinstance(value, bool | int):
            return self.log_r if value else _log_fail(self.log_odds, self.power)
        if plain:
            right, wrong = self.log_r, _log_fail(self.log_odds, self.power)
        else:
            right, wrong = _traced(log_sigmoid(self.log_odds), self.power)
        return jnp.where(jnp.asarray(value) == 1, right, wrong)

    @property
    def log_r(self) -> float:
        """log r^power, where the power is a number."""
        return self.power * log_sigmoid(self.log_odds) if self.power else 0.0

    def enumerate_support(self, expand: bool = True) -> Any:
        return jnp.arange(2)

    def __repr__(self) -> str:
        return f"Judgement({self.prm.name!r}, {self.trajectory!r}, power={self.power})"


class Condition(Distribution):
    """True with probability 1 where it is allowed, 0 elsewhere; see `condition`."""

    _support = constraints.boolean
    pytree_data_fields = ("allowed",)

    def __init__(self, allowed: Array) -> None:
        self.allowed = allowed
        self._batch_shape = self._event_shape = ()

    def sample(self, key: PRNGKey, sample_shape: tuple[int, ...] = ()) -> Any:
        return jnp.broadcast_to(jnp.asarray(self.allowed), sample_shape)

    def log_prob(self, value: Array, intermediates: Array | None = None) -> Any:
        if isinstance(self.allowed, bool | np.bool_) and isinstance(value, bool):
            return 0.0 if bool(self.allowed) == value else -inf
        return jnp.where(jnp.asarray(self.allowed) == jnp.asarray(value), 0.0, -inf)


def one_key(key: PRNGKey) -> Any:
    """Put a typed JAX random key into an array of one, from what a handler gives.

    Raises:
        ValueError: there is none.
        TypeError: it is traced.
    """
    if key is None:
        raise ValueError(
            "a step of a language model needs a random key: run the program under "
            "numpyro.handlers.seed, or by a sampler"
        )
    if isinstance(key, Tracer):
        raise TypeError(TRACED)
    typed = jnp.issubdtype(jnp.asarray(key).dtype, jax.dtypes.prng_key)
    data = np.asarray(jax.random.key_data(key) if typed else key, np.uint32).reshape(-1)[:2]
    return jax.random.wrap_key_data(jnp.asarray(data[None]), impl=IMPL)


def _same_rule(one: Answer, other: Answer) -> bool:
    """Return whether two rules are one, or the same code with the same values about it."""
    if one is other:
        return True
    code = getattr(one, "__code__", None)
    if code is None or code is not getattr(other, "__code__", None):
        return False
    for a, b in zip(_held(one), _held(other), strict=True):
        if a is not b and not (isinstance(a, str | int | float | bool) and a == b):
            return False
    return True


def _held(rule: Any) -> list[Any]:
    """Return the values that a function of Python keeps: its defaults, and what it closes over."""
    return [rule.__defaults__, *(cell.cell_contents for cell in rule.__closure__ or ())]


def _said(trajectory: Trajectory) -> tuple[Any, ...]:
    return trajectory.question, trajectory.token_ids


def _traced(log_r: float, power: Array) -> tuple[Any, Any]:
    """Return log r^power and log(1 - r^power), differentiable in the power where they are finite.

    What is infinite is chosen by its own branch, so that it leaves no trace in another's gradient;
    log r is an array of one number, which a trace holds as data and not as a literal of its code.
    """
    known = jnp.asarray(np.array([log_r]))[0]
    certain, impossible = known == 0, known == -inf
    within = jnp.where(certain | impossible, -1.0, known)
    product = power * within
    right = jnp.where(
        power == 0, 0.0, jnp.where(certain, 0.0, jnp.where(impossible, -inf, product))
    )
    inside = jnp.where(
        power == 0, -1.0, jnp.minimum(product, -jnp.finfo(jnp.result_type(float)).tiny)
    )
    wrong = jnp.where(
        power == 0,
        -inf,
        jnp.where(certain, -inf, jnp.where(impossible, 0.0, jnp.log(-jnp.expm1(inside)))),
    )
    return right, wrong


def _log_fail(log_odds: float, power: Real | float) -> float:
    """Return log(1 - r^power)."""
    if power == 1:
        return log_sigmoid(-log_odds)
    log_r = float(power) * log_sigmoid(log_odds) if power else 0.0
    if log_r == 0:
        return -inf
    return log(-np.expm1(log_r)) if log_r > -0.6931 else log1p(-exp(log_r))
