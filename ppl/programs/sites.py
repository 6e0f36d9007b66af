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

from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.core import Tracer

from ... import checks
from ...aliases import Array
from ...models import LanguageModel, RewardModel, Sampling, Trajectory
from ..answers import Answer, stated
from ..statespace import check_lm, check_prm
from .handlers import rooted
from .step_law import Step
from .truth_laws import Condition, Judgement


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
    true: Any = jnp.asarray(True) if isinstance(allowed, Tracer) else True
    numpyro.sample(name, Condition(allowed), obs=true)
