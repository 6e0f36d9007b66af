"""The language model of a run whose proposal is a mixture of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from ..aliases import PRNGKeys
from . import calls
from .confidence import Top
from .cost import Cost
from .mixture import Law, Mixture
from .panel import Panel, Stepped, put_behind
from .protocols import Capabilities, LanguageModel, Reading, capabilities
from .sampling import Sampling
from .trajectory import Trajectory


class ProposedByMixture:
    """A language model whose steps may be drawn from a mixture of it and others.

    Its law is the model's; that of the mixture is the proposal's. Each step is drawn by one model,
    and read by all others, so that it is weighed by the mixture's law. What is drawn from another
    law than the mixture is the model's own business.

    Args:
        lm: the language model, at least one of whose `Sampling`s is a component.
        mixture: the proposal.

    Raises:
        ValueError: the mixture's models cannot write one tree (see `motes.models.panel`), or none
            of its components is the model's.

    Example:
        >>> import jax
        >>> from motes.models import Component, TableLM
        >>> target = TableLM(lambda prefix: [0.5, 0.5], eos=1)
        >>> draft = TableLM(lambda prefix: [0.1, 0.9], eos=1)
        >>> mixture = Mixture([Component(draft), Sampling()], weights=[3, 1])
        >>> lm = ProposedByMixture(target, mixture)
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> [x] = lm.extend([lm.start("?")], keys, sampling=mixture)
        >>> x.token_ids, round(x.logprob, 3), round(x.proposal_logprob, 3)
        ((1,), -0.693, -0.223)
    """

    def __init__(self, lm: LanguageModel, mixture: Mixture) -> None:
        if not any(isinstance(component, Sampling) for component in mixture.components):
            raise ValueError(
                "one component of a mixture must be the run's own language model: add Sampling() "
                "to them"
            )
        self.lm, self.mixture, self.name = lm, mixture, lm.name
        self.panel = Panel(mixture, lm)

    @property
    def stands_for(self) -> LanguageModel:
        """The language model itself."""
        return self.lm

    @property
    def cost(self) -> Cost:
        """What has been computed, other models' part as a draft's; see `Panel.cost`."""
        return self.panel.cost

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: what the language model can, and draw from the mixture."""
        return replace(
            capabilities(self.lm),
            continuation=True,
            mixtures=True,
            models=True,
            reading=False,
            laws=self._check_laws,
            seeds=all(capabilities(part.lm).seeds for part in self.panel.parts),
        )

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        return self.panel.root(question)

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step of each trajectory; see `LanguageModel.extend`."""
        prior = prior or Sampling()
        if sampling == self.mixture:
            steps = self.panel.draw(trajectories, keys, prior)
            return [self._followed(x, step) for x, step in zip(trajectories, steps, strict=True)]
        heads = self._heads(trajectories)
        drawn = calls.extend(self.lm, heads, keys, sampling=sampling, prior=prior)
        return [
            self._adopted(x, node, node.step_logprob, node.step_proposal_logprob)
            for x, node in zip(trajectories, drawn, strict=True)
        ]

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probability of each continuation; see `LanguageModel.logprob`."""
        heads = self._heads(trajectories)
        return calls.logprob(self.lm, heads, continuations, prior=prior or Sampling())

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`."""
        return put_behind(
            trajectories, steps, lambda nodes, step: self._put(nodes, step, prior, proposal)
        )

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure the language model was of every token, of those it is given the text."""
        asked: Any = self.lm
        return asked.token_confidences(trajectories, top=top)

    def _check_laws(self, proposal: Any, prior: Sampling) -> None:
        """Raise ValueError where the language model cannot do its part under these."""
        laws = capabilities(self.lm).laws
        if laws is not None:
            own = self.panel.parts[0].law if proposal == self.mixture else proposal
            laws(own, prior)

    def _put(
        self, nodes: Sequence[Trajectory], step: Trajectory, prior: Sampling, proposal: Law
    ) -> list[Trajectory | None]:
        """Put a step behind each of these nodes; None where the model could not have drawn it."""
        if proposal == self.mixture:
            followed = self.panel.follow(nodes, step, prior)
            return [
                None if found is None or found.readings[0] is None else self._followed(x, found)
                for x, found in zip(nodes, followed, strict=True)
            ]
        readings = self.panel.read(0, nodes, [step] * len(nodes), prior, proposal)
        return [
            None if reading is None else self._read(x, reading, proposal)
            for x, reading in zip(nodes, readings, strict=True)
        ]

    def _read(self, parent: Trajectory, reading: Reading, proposal: Law) -> Trajectory:
        log_q = reading.terms[0]
        if isinstance(proposal, Mixture):
            log_q = proposal.log_density(parent, reading.terms)
        return self._adopted(parent, reading.node, reading.log_p, log_q)

    def _followed(self, parent: Trajectory, stepped: Stepped) -> Trajectory:
        """Return a trajectory with a step of the mixture behind it.

        Its probability is zero where the language model could not have drawn it.
        """
        own = stepped.readings[0]
        return self.panel.child(parent, stepped, logprob=-inf if own is None else own.log_p)

    def _adopted(
        self, parent: Trajectory, node: Trajectory, log_p: float, log_q: float
    ) -> Trajectory:
        """Return a trajectory with a step of the language model alone; the others read it later."""
        child = parent.child(
            node.step_text,
            node.step_token_ids,
            logprob=log_p,
            proposal_logprob=log_q,
            finished=node.finished,
            truncated=node.truncated,
            delimited=node.delimited,
            component_logprobs=node.component_logprobs,
        )
        self.panel.keep(0, child, node)
        return child

    def _heads(self, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
        """Return the language model's own nodes for trajectories that it can have written."""
        heads = []
        for trajectory, head in zip(trajectories, self.panel.mirrors(0, trajectories), strict=True):
            if head is None:
                raise ValueError(
                    f"the language model {self.name!r} could not have written {trajectory!r}"
                )
            heads.append(head)
        return heads
