"""A language model that is asked in batches which it may share with others over its network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...aliases import PRNGKeys
from ..asking import Question
from ..hosting.row_laws import RowLaw
from ..mixture import Law
from ..protocols import Reading
from ..randomness import raw_keys
from ..sampling import Sampling
from ..trajectory import Trajectory
from .joint_batch import JointBatch, answered_jointly
from .tokenized_lm import TokenizedLM


class JointLM(TokenizedLM, ABC):
    """What draws, scores and reads steps as questions of one batch; see `joint_batch`."""

    @property
    @abstractmethod
    def shared_network(self) -> Any:
        """The network that it shares forward passes of with its prompts; None where it may not."""

    @abstractmethod
    def _answers(self) -> Mapping[str, Callable[[JointBatch], Sequence[Any]]]:
        """Return what answers each method, a row of a batch each."""

    def answer_together(self, questions: Sequence[Question]) -> list[list[Any]]:
        """Answer one question each to language models of its network, in one batch.

        Args:
            questions: of one method: `extend`, `logprob` or `read_steps`.

        Returns:
            What each model would answer by itself.
        """
        return answered_jointly(questions, self._answers()[questions[0].method])

    def own_batch(self, heads: Sequence[Trajectory], given: Sequence[Any]) -> JointBatch:
        """Return rows of this language model alone, which ask for no law."""
        law = RowLaw(Sampling(), Sampling())
        return JointBatch([self] * len(heads), heads, given, [law] * len(heads))

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory, in one batch; see `LanguageModel.extend`.

        A trajectory that fills the model's context is returned truncated.
        """
        columns = trajectories, list(raw_keys(keys, len(trajectories)))
        return self._answer("extend", columns, prior=prior, sampling=sampling)

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probability of each continuation; see `LanguageModel.logprob`."""
        values = self._answer("logprob", (trajectories, continuations), prior=prior)
        return np.array(values, np.float64)

    def read_steps(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Reading | None]:
        """Put a step behind each trajectory; see `motes.models.calls.read_steps`.

        What has been read of it is kept, so that the next step goes on from there.
        """
        return self._answer("read_steps", (trajectories, steps), prior=prior, proposal=proposal)

    def _answer(self, method: str, columns: tuple[Sequence[Any], ...], **named: Any) -> list[Any]:
        question = Question(self, method, columns, named=tuple(named.items()))
        [answer] = self.answer_together([question])
        return answer
