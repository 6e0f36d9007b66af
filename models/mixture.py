"""Mixtures: several temperatures, prompts or models at once, weighed as one proposal.

A component j of a mixture is a next-token law, of the run's language model or of another one that
writes the same tokens (a draft, or the same weights under another prompt), and has a share a_j.
Steps are drawn from one
component each, but weighed by the law of the mixture, whichever component drew them (the balance
heuristic of Veach and Guibas 1995, doi:10.1145/218380.218498; Owen and Zhou 2000,
doi:10.1080/01621459.2000.10473909):

    per step         q(x_t | x_1:t-1) = sum_j a_j q_j(x_t | x_1:t-1)
    per trajectory   q(x_1:t) = sum_j a_j q_j(x_1:t), or step by step
                     q(x_t | x_1:t-1) = sum_j a_j(x_1:t-1) q_j(x_t | x_1:t-1)

where a_j(x_1:t) is the posterior of the component, given what has been written: a_j times
q_j(x_1:t), normalised. Both are laws of a step given the steps before it, so that every sampler
that takes a proposal takes a mixture. A weight p / q is at most 1 / a_j per step, if component j is
the prior, where the q_j of a truncated or cold component alone may be zero or tiny.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from math import fsum
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from .. import checks
from .randomness import CHOICE, SlotUniforms
from .sampling import Sampling
from .trajectory import Trajectory

Per = Literal["step", "trajectory"]


@dataclass(frozen=True)
class Component:
    """A component of a mixture with a language model of its own.

    Attributes:
        lm: the language model, which brings its own prompt. It must write the tokens of the run's
            language model, end its steps alike, and score what others wrote.
        sampling: how it is sampled.

    Raises:
        TypeError: `sampling` is no `Sampling`. Where `lm` is no language model, whoever draws from
            the mixture says so.

    Example:
        >>> from motes.models import TableLM
        >>> draft = TableLM(lambda prefix: [0.5, 0.5], name="draft")
        >>> Component(draft, Sampling(temperature=0.8)).sampling.temperature
        0.8
    """

    lm: Any
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        if not isinstance(self.sampling, Sampling):
            raise TypeError(f"sampling must be a Sampling, not {checks.shown(self.sampling)}")


@dataclass(frozen=True)
class Mixture:
    """A proposal that draws each step from one of several components.

    Attributes:
        components: at least one: a `Sampling` of the run's own language model, or a `Component`
            with another one.
        weights: the share of each, above 0; they are normalised. Equal where None.
        per: "step" draws the component of every step anew; "trajectory" draws whole trajectories
            from one component each. As a resampled trajectory is shared by particles, its
            component is drawn again before every step, given what has been written: the law of the
            trajectories is the same.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> mixture = Mixture([Sampling(temperature=0.5), Sampling()], weights=[3, 1])
        >>> mixture.weights, mixture.per
        ((0.75, 0.25), 'step')
        >>> mixture.covers(Sampling()), Mixture([Sampling(top_k=1)]).covers(Sampling())
        (True, False)
    """

    components: Sequence[Sampling | Component]
    _: KW_ONLY
    weights: Sequence[float] | None = None
    per: Per = "step"

    def __post_init__(self) -> None:
        components = _listed("components", self.components)
        for component in components:
            if not isinstance(component, Sampling | Component):
                raise TypeError(
                    f"components must hold Samplings or Components, not {checks.shown(component)}"
                )
        if not components:
            raise ValueError("components must hold at least one Sampling or Component")
        given = [1.0] * len(components) if self.weights is None else self.weights
        weights = [checks.positive("weights", weight) for weight in _listed("weights", given)]
        if len(weights) != len(components):
            raise ValueError(
                f"weights must hold a number for each of the {len(components)} components, not "
                f"{len(weights)}"
            )
        largest = max(weights)  # the sum of the largest floats would be infinite
        total = fsum(weight / largest for weight in weights)
        shares = tuple(weight / largest / total for weight in weights)
        if not min(shares):
            raise ValueError(f"weights must not differ by more than floats do, as {weights} do")
        checks.choice("per", self.per, get_args(Per))
        checks.settle(self, components=components, weights=shares)

    @property
    def has_models(self) -> bool:
        """Whether a component has a language model of its own."""
        return any(isinstance(component, Component) for component in self.components)

    def covers(self, prior: Sampling) -> bool:
        """Say whether one of the components can draw all that `prior` can, whatever the logits.

        Of another language model that is not known.
        """
        own = [component for component in self.components if isinstance(component, Sampling)]
        return any(sampling.covers(prior) for sampling in own)

    def log_shares(self, trajectory: Trajectory) -> np.ndarray:
        """Return the log-probability that each component draws the step after a trajectory.

        Float64, shape (components,).

        Raises:
            ValueError: it is a mixture per trajectory, and a step was drawn from something else.
        """
        log_shares = np.log(np.array(self.weights, np.float64))
        if self.per == "step" or trajectory.parent is None:
            return log_shares
        for node in trajectory.path[1:]:
            if len(node.component_logprobs) != len(self.components):
                raise ValueError(
                    "a mixture per trajectory needs steps that were drawn from it, unlike the last "
                    f"one of {node!r}: use one per step here"
                )
            log_shares += node.component_logprobs
        return log_shares - np.logaddexp.reduce(log_shares)

    def log_density(self, trajectory: Trajectory, terms: Sequence[float]) -> float:
        """Return the log-probability of a step after a trajectory, in nats.

        Args:
            trajectory: what was written before it.
            terms: its log-probability under each component.

        Example:
            >>> mixture = Mixture([Sampling(top_k=1), Sampling()])
            >>> round(mixture.log_density(Trajectory(question="?"), [0.0, np.log(0.5)]), 4)
            -0.2877
        """
        return float(np.logaddexp.reduce(self.log_shares(trajectory) + np.array(terms)))

    def drew(self, trajectory: Trajectory) -> np.ndarray:
        """Return how probably each component drew a trajectory's steps, in the mean over them.

        Float64, shape (components,), given what was written; NaN where no step was drawn from it,
        and of a mixture per trajectory where one was not.

        Example:
            >>> mixture = Mixture([Sampling(top_k=1), Sampling()])
            >>> root = Trajectory(question="?")
            >>> law = weighed(mixture, root, [-np.inf, -1.0])
            >>> mixture.drew(root.child("4.", (5,), logprob=-1.0, **law))
            array([0., 1.])
        """
        steps = [x for x in trajectory.path if len(x.component_logprobs) == len(self.components)]
        whole = self.per == "trajectory"
        if not steps or (whole and len(steps) < trajectory.depth):
            return np.full(len(self.components), np.nan)
        if whole:
            return np.exp(self.log_shares(trajectory))
        terms = np.log(np.array(self.weights)) + [x.component_logprobs for x in steps]
        return np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True)).mean(axis=0)


Law: TypeAlias = Sampling | Mixture
"""What steps may be drawn from."""


def components(law: Law) -> tuple[Sampling, ...]:
    """Return the samplings of one model that steps are drawn from under a law.

    Example:
        >>> len(components(Sampling())), len(components(Mixture([Sampling(), Sampling()])))
        (1, 2)
    """
    if not isinstance(law, Mixture):
        return (law,)
    samplings = [component for component in law.components if isinstance(component, Sampling)]
    assert len(samplings) == len(law.components)  # no model is asked for another's components
    return tuple(samplings)


def chosen(law: Law, trajectories: Sequence[Trajectory], uniforms: SlotUniforms) -> np.ndarray:
    """Draw the component that the next step of each trajectory is drawn from.

    Int64, shape (N,): a function of each slot's key and its trajectory.

    Raises:
        ValueError: as `Mixture.log_shares`.
    """
    choices = np.zeros(len(trajectories), np.int64)
    if len(components(law)) == 1:
        return choices
    assert isinstance(law, Mixture)
    points, of_node = uniforms.at(CHOICE), {}
    for i, trajectory in enumerate(trajectories):
        if id(trajectory) not in of_node:
            of_node[id(trajectory)] = np.cumsum(np.exp(law.log_shares(trajectory)))
        cumulative = of_node[id(trajectory)]
        choices[i] = np.searchsorted(cumulative, points[i] * cumulative[-1], side="right")
    return choices


def weighed(law: Law, parent: Trajectory, terms: Sequence[float]) -> dict[str, Any]:
    """Say to `Trajectory.child` what law a step was drawn from.

    Args:
        law: what the step was drawn from.
        parent: what was written before it.
        terms: the step's log-probability under each of the law's components, in nats.

    Example:
        >>> weighed(Sampling(), Trajectory(question="?"), [-0.5])
        {'proposal_logprob': -0.5}
    """
    if not isinstance(law, Mixture):
        return {"proposal_logprob": terms[0]}
    return {
        "proposal_logprob": law.log_density(parent, terms),
        "component_logprobs": tuple(terms),
    }


def _listed(name: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise TypeError(f"{name} must be a sequence, not {checks.shown(value)}")
    return tuple(value)
