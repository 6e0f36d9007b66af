"""Models that write down what they are asked and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from ...aliases import PRNGKeys
from .. import calls
from ..confidence import Top, token_confidences
from ..cost import Cost
from ..identity import digest, identify
from ..prompts import Prompt, prompt_of
from ..protocols import Capabilities, LanguageModel, QuestionTooLong, RewardModel, capabilities
from ..randomness import raw_keys
from ..sampling import Sampling
from ..trajectory import Trajectory
from .recording_file import FORMAT, Entry, begin, law, request, rule_record, shares, write


@overload
def recorded(model: LanguageModel, path: str | Path) -> RecordedLM: ...
@overload
def recorded(model: RewardModel, path: str | Path) -> RecordedPRM: ...
def recorded(model: LanguageModel | RewardModel, path: str | Path) -> RecordedLM | RecordedPRM:
    """Return a model that does what this one does, and writes it down.

    A run with it can be repeated by `replayed` where the model is not: on a laptop, in a test, in a
    class. Its draws, weights and counted costs are then the same to the last bit.

    Args:
        model: a language model or a reward model.
        path: the file to write, one for each model; compressed if it ends in ".gz". Where it holds
            a recording of the same model already, this one is added to it.

    Raises:
        TypeError: `model` is neither.
        ValueError: the file is the recording of another model, or is no recording; or the model's
            steps end by a predicate, which cannot be written down.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> import motes
        >>> from motes.models import TableLM, replayed
        >>> path = Path(tempfile.mkdtemp()) / "coins.jsonl.gz"
        >>> lm = recorded(TableLM(lambda prefix: [0.5, 0.5], eos=1), path)
        >>> first = motes.solve("?", lm=lm, prm=None, particles=4, max_steps=3, seed=0)
        >>> again = motes.solve("?", lm=replayed(path), prm=None, particles=4, max_steps=3, seed=0)
        >>> [x.text for x in first.trajectories] == [x.text for x in again.trajectories]
        True
    """
    if isinstance(model, LanguageModel):
        return RecordedLM(model, Path(path))
    if isinstance(model, RewardModel):
        return RecordedPRM(model, Path(path))
    raise TypeError(f"model must be a language model or a reward model, not {model!r}")


class Recorded:
    """What recorded models have in common.

    Args:
        model: what is asked.
        path: where its answers are written.
        role: "language model" or "reward model".
        more: what else the first line says.
    """

    def __init__(self, model: Any, path: Path, role: str, **more: Any) -> None:
        self.model, self.path, self.name = model, path, model.name
        header = {"motes recording": FORMAT, "role": role, "name": model.name}
        marks = {"mark": identify(model).text, "digest": digest(model).hex()}
        begin(path, {**header, **marks, **more})

    @property
    def cost(self) -> Cost:
        """What the model has computed since it was made."""
        return self.model.cost

    @property
    def stands_for(self) -> Any:
        """The model itself: results with it are results of that model."""
        return self.model

    def _noted(
        self, asked: str, requests: Sequence[str], before: Cost, answers: Sequence[Any]
    ) -> None:
        parts = shares(self.cost - before, len(requests)) if requests else []
        write(
            self.path,
            [
                Entry(asked, name, answer, part)
                for name, answer, part in zip(requests, answers, parts, strict=True)
            ],
        )


class RecordedLM(Recorded):
    """A language model that writes down what it is asked and answers; see `recorded`."""

    def __init__(self, model: LanguageModel, path: Path) -> None:
        can = capabilities(model)
        abilities = {
            "sampling": can.sampling,
            "probabilities": can.probabilities,
            "scoring": can.scoring,
            "continuation": can.continuation,
            "confidences": can.confidences,
            "top_confidences": can.top_confidences,
            "step_rule": rule_record(can.step_rule),
        }
        super().__init__(model, path, "language model", capabilities=abilities)
        # a step's log-probabilities under several samplings have no place in a recording
        self.capabilities: Capabilities = replace(can, mixtures=False, reading=False)

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        before, asked = self.cost, [request("start", Trajectory(question=question))]
        try:
            root = calls.start(self.model, question)
        except QuestionTooLong as error:
            self._noted("start", asked, before, [{"too long": str(error)}])
            raise
        prompt: Prompt | None = prompt_of(self.model, question)
        self._noted("start", asked, before, [{"prompt": prompt}])
        return root

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory; see `LanguageModel.extend`."""
        before, laws = self.cost, (law(sampling or prior), law(prior))
        children = self.model.extend(trajectories, keys, sampling=sampling, prior=prior)
        words = raw_keys(keys, len(trajectories)).tolist()
        asked = [
            request("extend", x, key, *laws) for x, key in zip(trajectories, words, strict=True)
        ]
        self._noted("extend", asked, before, [step_record(child) for child in children])
        return children

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Compute log-probabilities; see `TractableLanguageModel.logprob`."""
        before = self.cost
        values = np.asarray(
            self.model.logprob(trajectories, continuations, prior=prior), np.float64
        )
        asked = [
            request("logprob", x, list(tokens), law(prior))
            for x, tokens in zip(trajectories, continuations, strict=True)
        ]
        self._noted("logprob", asked, before, values.tolist())
        return values

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Sampling,
    ) -> list[Trajectory | None]:
        """Put steps after each trajectory; see `motes.models.continued`."""
        before = self.cost
        ends = self.model.continued(trajectories, steps, prior=prior, proposal=proposal)
        ids = [step.step_token_ids for step in steps]
        asked = [request("continued", x, ids, law(prior), law(proposal)) for x in trajectories]
        answers = []
        for trajectory, end in zip(trajectories, ends, strict=True):
            if end is None:
                answers.append(None)
            else:
                answers.append([step_record(node) for node in end.path[trajectory.depth + 1 :]])
        self._noted("continued", asked, before, answers)
        return list(ends)

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure it was of every token; see `motes.models.token_confidences`."""
        before = self.cost
        rows = token_confidences(self.model, trajectories, top=top)
        asked = [request("token_confidences", x, list(x.token_ids), top) for x in trajectories]
        self._noted("token_confidences", asked, before, [row.tolist() for row in rows])
        return rows


class RecordedPRM(Recorded):
    """A reward model that writes down what it is asked and answers; see `recorded`."""

    def __init__(self, model: RewardModel, path: Path) -> None:
        super().__init__(model, path, "reward model")
        self._unread: set[str] = set()

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the reward model's context holds a trajectory."""
        if calls.can_read(self.model, trajectory):
            return True
        name = request("can_read", trajectory)
        if name not in self._unread:  # asked again and again, and always answered alike
            self._unread.add(name)
            self._noted("can_read", [name], self.cost, [False])
        return False

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`."""
        before = self.cost
        scores = np.asarray(self.model.score(trajectories))
        self._noted("score", [request("score", x) for x in trajectories], before, scores.tolist())
        return scores


def step_record(child: Trajectory) -> list[Any]:
    """Return the last step of a trajectory as JSON has it."""
    parent = child.parent
    assert parent is not None
    return [
        child.step_text,
        list(child.step_token_ids),
        _term(parent.logprob, child.logprob),
        _term(parent.proposal_logprob, child.proposal_logprob),
        child.finished,
        child.truncated,
        child.delimited,
    ]


def _term(before: float, after: float) -> float:
    """Return the number that gives `after` when it is added to `before`, rounding included."""
    term = after - before
    # rounded to the nearest, the difference may miss the sum by one unit in its last place
    for candidate in (term, np.nextafter(term, -np.inf), np.nextafter(term, np.inf)):
        if before + float(candidate) == after:
            return float(candidate)
    return term
