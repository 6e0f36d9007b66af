"""A language model that is a mixture: several temperatures, prompts or models as one prior.

Where a mixture is the proposal of a run, what is sampled stays the run's own. Here the mixture is
what is declared,

    per step         p(x_t | x_1:t-1) = sum_j a_j p_j(x_t | x_1:t-1)
    per trajectory   p(x_1:tau) = sum_j a_j p_j(x_1:tau)

so that a posterior is over what any of several readers of the question would write, and the
evidence that of their mixture: votes over temperatures (Wu et al. 2025, arXiv:2510.02611) and
over perturbed prompts (Wang et al. 2025, arXiv:2502.11027) draw from laws of the second kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...aliases import PRNGKeys
from ..cost import Cost
from ..identity import identify
from ..mixture import Law, Mixture
from ..panel import Panel, put_behind
from ..protocols import Capabilities, LanguageModel, capabilities
from ..sampling import Sampling
from ..trajectory import Trajectory


class MixtureLM:
    """A language model whose law is a mixture of the laws of others.

    It has this law alone: no temperature changes it, so that prior and proposal are `Sampling()`.
    The components' prompts must begin the solution alike, by a common prefill or by none.

    Args:
        mixture: the law.
        lm: the language model of those components that have none of their own.
        name: what reports call it; None for the names of its models with "mixture of".

    Raises:
        ValueError: a component has no model; or the models cannot write one tree, since they do not
            write the same tokens, end their steps alike, or score what others wrote.

    Example:
        >>> from motes.models import Component, TableLM
        >>> fair, loaded = TableLM(lambda seen: [0.5, 0.5]), TableLM(lambda seen: [0.9, 0.1])
        >>> lm = MixtureLM(Mixture([Component(fair), Component(loaded)], per="trajectory"))
        >>> lm.logprob([lm.start("?")], [[1]]).round(3)  # half of 0.5 and half of 0.1
        array([-1.204])
    """

    def __init__(
        self, mixture: Mixture, lm: LanguageModel | None = None, *, name: str | None = None
    ) -> None:
        self.mixture, self.panel = mixture, Panel(mixture, lm)
        names = dict.fromkeys(part.lm.name for part in self.panel.parts)
        self.name = name or f"mixture of {' and '.join(names)}"

    @property
    def cost(self) -> Cost:
        """What its models have computed."""
        total = Cost()
        for part in self.panel.parts:
            total += part.lm.cost
        return total

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: draw from its one law, and score."""
        known = [capabilities(part.lm) for part in self.panel.parts]
        return Capabilities(
            sampling=False,
            scoring=True,
            continuation=True,
            step_rule=known[0].step_rule,
            seeds=all(can.seeds for can in known),
            law=self.mixture,
        )

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        parts = [(identify(part.lm).text, repr(part.law)) for part in self.panel.parts]
        return repr([parts, self.mixture.weights, self.mixture.per])

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`.

        Raises:
            ValueError: the components' prompts begin the solution in different ways.
        """
        root = self.panel.root(question)
        for k, part in enumerate(self.panel.parts):
            [mirror] = self.panel.mirrors(k, [root])
            if mirror is None or mirror.opening != root.opening:
                raise ValueError(
                    f"the prompts of {part.lm.name!r} and {self.panel.parts[0].lm.name!r} begin "
                    "the solution in different ways: give both the same prefill"
                )
        return root

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step of each trajectory; see `LanguageModel.extend`."""
        steps = self.panel.draw(trajectories, keys)
        pairs = zip(trajectories, steps, strict=True)
        return [self.panel.child(x, step, logprob=step.log_q) for x, step in pairs]

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probability of each continuation as one step.

        See `LanguageModel.logprob`. Of several steps it is `continued` that tells it.
        """
        terms = self.panel.log_probs(trajectories, continuations)
        shares = np.array([self.panel.log_shares(x) for x in trajectories]).reshape(terms.shape)
        return np.logaddexp.reduce(shares + terms, axis=1)

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`."""
        return put_behind(trajectories, steps, self._put)

    def _put(self, nodes: Sequence[Trajectory], step: Trajectory) -> list[Trajectory | None]:
        """Put a step behind each of these nodes; None where no model could have drawn it."""
        return [
            None if found is None else self.panel.child(x, found, logprob=found.log_q)
            for x, found in zip(nodes, self.panel.follow(nodes, step), strict=True)
        ]
