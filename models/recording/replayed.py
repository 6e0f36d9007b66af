"""Models that answer from a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...aliases import PRNGKeys
from ..confidence import Top
from ..cost import Cost
from ..opening import Opening
from ..prompts import Prompt
from ..protocols import Capabilities, QuestionTooLong
from ..randomness import raw_keys
from ..sampling import Sampling
from ..trajectory import Trajectory
from .recording_file import law, read_answers, read_header, request, rule_from


class NotRecorded(LookupError):
    """A recording holds no answer to a request.

    Example:
        >>> import tempfile
        >>> from motes.models import TableLM, recorded
        >>> path = Path(tempfile.mkdtemp()) / "coin.jsonl"
        >>> _ = recorded(TableLM(lambda prefix: [1.0]), path).start("Heads?")
        >>> try:
        ...     replayed(path).start("Tails?")
        ... except NotRecorded as error:
        ...     print(str(error).split(": ")[1])
        start of the question 'Tails?'
    """


def replayed(path: str | Path) -> Any:
    """Return the model of a recording, which answers what it answered then.

    Nothing is computed: neither weights nor a GPU are needed. What is asked a second time, and was
    then asked twice, is given the second answer; after the last answer the last is given again.

    Args:
        path: what `recorded` wrote.

    Returns:
        A language model or a reward model, whatever was recorded, under the same name. It can do
        what that one could, and is taken for the same model wherever results are compared. Its
        counted costs are those of the recording; its seconds are its own.

    Raises:
        ValueError: the file is not a recording, or is damaged.
        OSError: it cannot be read.
        NotRecorded: (when it is asked) it was not asked this when it was recorded: another
            question, seed, sampler, law or setting.

    Example:
        >>> import tempfile
        >>> from motes.models import FunctionReward, recorded
        >>> path = Path(tempfile.mkdtemp()) / "judge.jsonl"
        >>> judge = recorded(FunctionReward(lambda x: 2.0 * x.depth), path)
        >>> step = Trajectory(question="?").child("7", (7,), logprob=-1.0, proposal_logprob=-1.0)
        >>> judge.score([step]), replayed(path).score([step])
        (array([2.]), array([2.]))
    """
    place = Path(path)
    header = read_header(place)
    return ReplayedLM(place, header) if "capabilities" in header else ReplayedPRM(place, header)


class Replayed:
    """What replayed models have in common.

    Args:
        path: the recording.
        header: what its first line says.

    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path, self.name, self._header = path, header["name"], header
        self.cost = Cost()
        self._answers = read_answers(path)
        self._times: Counter[str] = Counter()

    @property
    def recorded_mark(self) -> str:
        """What tells the model that was recorded from others, see `motes.models.identity`."""
        return self._header["mark"]

    @property
    def recorded_digest(self) -> bytes:
        """The digest of the model that was recorded."""
        return bytes.fromhex(self._header["digest"])

    def _answer(self, name: str, described: Callable[[], str]) -> Any:
        entries = self._answers.get(name)
        if entries is None:
            raise NotRecorded(
                f"the recording {str(self.path)!r} of {self.name!r} holds no answer to this "
                f"request: {described()}"
            )
        entry = entries[min(self._times[name], len(entries) - 1)]
        self._times[name] += 1
        self.cost += Cost(**entry.cost)
        return entry.answer


class ReplayedLM(Replayed):
    """A language model that answers from a recording; see `replayed`."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        super().__init__(path, header)
        can = dict(header["capabilities"])
        rule = rule_from(can.pop("step_rule"))
        self.capabilities = Capabilities(step_rule=rule, **can)

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        root = Trajectory(question=question)
        answer = self._started(root)
        if "too long" in answer:
            raise QuestionTooLong(answer["too long"])
        prompt = self.rendered(question)
        return root if prompt is None else replace(root, opening=prompt.opening)

    def rendered(self, question: str) -> Prompt | None:
        """Return the prompt that the model read, as it was then; None where it showed none."""
        prompt = self._started(Trajectory(question=question)).get("prompt")
        if prompt is None:
            return None
        text, token_ids, date, *opening = prompt  # recordings of before there were openings
        return Prompt(text, tuple(token_ids), date, *(Opening(*fields) for fields in opening))

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Return the steps that were drawn then; see `LanguageModel.extend`."""
        laws = law(sampling or prior), law(prior)
        children = []
        for trajectory, key in zip(
            trajectories, raw_keys(keys, len(trajectories)).tolist(), strict=True
        ):

            def described(trajectory: Trajectory = trajectory, key: list[int] = key) -> str:
                return f"extend {trajectory!r} with the key {key} by {sampling or prior}"

            step = self._answer(request("extend", trajectory, key, *laws), described)
            children.append(child_of(trajectory, step))
        return children

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probabilities given then; see `TractableLanguageModel.logprob`."""
        values = []
        for trajectory, tokens in zip(trajectories, continuations, strict=True):

            def described(trajectory: Trajectory = trajectory, tokens: Any = tokens) -> str:
                return f"logprob of the tokens {list(tokens)} after {trajectory!r} under {prior}"

            name = request("logprob", trajectory, list(tokens), law(prior))
            values.append(self._answer(name, described))
        return np.array(values, np.float64)

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Sampling,
    ) -> list[Trajectory | None]:
        """Return the trajectories made then; see `motes.models.continued`."""
        ids = [step.step_token_ids for step in steps]
        ends: list[Trajectory | None] = []
        for trajectory in trajectories:

            def described(trajectory: Trajectory = trajectory) -> str:
                return f"continued with the steps {ids} after {trajectory!r}"

            name = request("continued", trajectory, ids, law(prior), law(proposal))
            answer = self._answer(name, described)
            end: Trajectory | None = None if answer is None else trajectory
            for step in answer or []:
                assert end is not None
                end = child_of(end, step)
            ends.append(end)
        return ends

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Return how sure it was then; see `motes.models.token_confidences`."""
        rows = []
        for trajectory in trajectories:

            def described(trajectory: Trajectory = trajectory) -> str:
                return f"token_confidences of {trajectory!r}, top {top}"

            name = request("token_confidences", trajectory, list(trajectory.token_ids), top)
            rows.append(np.array(self._answer(name, described), np.float64))
        return rows

    def _started(self, root: Trajectory) -> Any:
        return self._answer(
            request("start", root), lambda: f"start of the question {root.question!r}"
        )


class ReplayedPRM(Replayed):
    """A reward model that answers from a recording; see `replayed`."""

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the reward model's context held a trajectory."""
        return request("can_read", trajectory) not in self._answers

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds given then; see `RewardModel.score`."""
        return np.array([self._score(x) for x in trajectories], np.float64)

    def _score(self, trajectory: Trajectory) -> float:
        return self._answer(request("score", trajectory), lambda: f"score of {trajectory!r}")


def child_of(parent: Trajectory, step: Sequence[Any]) -> Trajectory:
    """Return a trajectory and one more step, as `recorded.step_record` wrote it down."""
    text, token_ids, log_p, log_q, finished, truncated, delimited = step
    return parent.child(
        text,
        tuple(token_ids),
        logprob=log_p,
        proposal_logprob=log_q,
        finished=finished,
        truncated=truncated,
        delimited=delimited,
    )
