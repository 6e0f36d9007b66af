r"""Likelihoods that need no reward model: a language model's own certainty, votes, and tests.

Each is a `RewardModel`, a function of the trajectory (and of a seed), so that every sampler targets
what it declares, p(x) prod_t r_t for `product`:

    certainty   r_t = sigmoid(scale (C_t - m) / s): C_t is the mean confidence of the model in the
                tokens of step t (self-certainty: Kang et al. 2025, arXiv:2502.18581), m and s its
                mean and standard deviation over the steps of a pilot sample of the same question
    tail entropy    the same, of minus the mean entropy of the step's last tokens (Giannone et al.
                2026, arXiv:2606.08850, filter particles by a tail entropy adjusted for length; a
                mean over tokens is our adjustment, and theirs was not to be had)
    agreement   r = (v + 1/2) / (n + 1) at the end of a trajectory, whose answer v of n pilot
                solutions give, and 1 before. The answers' probabilities become those of the model,
                times their own: a vote that is sharper than majority. Which answers are the same is
                for a function to say, as `motes.solve` has one
    tests       r = (passed + 1/2) / (n + 1) at the end, and 1 before

Pilot samples are drawn with keys of the seed and the question alone. Were they the other particles
of the same run, the target would depend on how many particles there are, and nobody could say which
it is. Given the seed a sampler is exact for the likelihood above; another seed gives another pilot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from ... import checks
from .. import calls
from ..confidence import Top, checked_top_of, token_confidences
from ..cost import Cost
from ..identity import identify
from ..protocols import LanguageModel
from ..trajectory import Trajectory
from .rationales import written

Group: TypeAlias = Callable[[Sequence[str | None]], list[str | None]]
"""Gives answers that mean the same one label."""

TAIL = 32  # how many of a step's last tokens its tail has, where nobody says otherwise


class Pilot:
    """Solutions of a question, drawn with keys of a seed and the question.

    Args:
        lm: writes them.
        count: how many.
        max_steps: the most steps of one.
        seed: another seed gives others.

    Example:
        >>> from motes.models import TableLM
        >>> pilot = Pilot(TableLM(lambda prefix: [0.5, 0.5], eos=1), count=3, max_steps=4, seed=0)
        >>> len(pilot("?"))
        3
    """

    def __init__(self, lm: LanguageModel, *, count: int, max_steps: int, seed: int) -> None:
        if not isinstance(lm, LanguageModel):
            raise TypeError(f"lm must be a language model, not {lm!r}")
        self.lm = lm
        self.count = checks.count("pilot", count)
        self.max_steps = checks.count("max_steps", max_steps)
        self.seed = checks.count("seed", seed, least=0)
        self._known: dict[str, list[Trajectory]] = {}

    def __call__(self, question: str) -> list[Trajectory]:
        """Return the solutions of a question."""
        if question not in self._known:
            [self._known[question]] = written(
                self.lm,
                [(question, ())],
                [calls.start(self.lm, question)],
                seed=self.seed,
                count=self.count,
                max_steps=self.max_steps,
                sampling=None,
            )
        return self._known[question]

    @property
    def settings(self) -> list[str]:
        """What tells it from others."""
        parts = (self.lm, self.count, self.max_steps, self.seed)
        return [str(identify(part).text) for part in parts]


class StepCertainty:
    """A reward model that is a language model's certainty of its own steps; see the module.

    What it computes is counted in the cost of the language model. A trajectory is read from its
    beginning at every step.

    Args:
        lm: the language model, whose capabilities have `confidences`.
        top: how many of the likeliest tokens count (Fu et al. 2025, arXiv:2508.15260); None for
            self-certainty, "entropy" for minus the entropy.
        tail: how many of a step's last tokens count; None for all.
        scale: how sharp the likelihood is; 1 makes one standard deviation one nat of log-odds.
        pilot: how many solutions tell what is usual for a question.
        max_steps: the most steps of one.
        seed: another seed gives another pilot.
        name: what reports call it.

    Raises:
        TypeError: the language model cannot tell its confidence.
        ValueError: a number is out of its range, or `top` more than the language model tells.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.5] if prefix else [0.9, 0.1], eos=1)
        >>> prm = StepCertainty(lm, pilot=8)
        >>> first = lm.start("?").child("0 ", (0,), logprob=-0.1, proposal_logprob=-0.1)
        >>> second = first.child("0 ", (0,), logprob=-0.7, proposal_logprob=-0.7)
        >>> bool(np.diff(prm.score([second, first])) > 0)  # it was surer of the first
        True
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        top: Top = None,
        tail: int | None = None,
        scale: float = 1.0,
        pilot: int = 8,
        max_steps: int = 64,
        seed: int = 0,
        name: str = "self-certainty",
    ) -> None:
        self.pilot = Pilot(lm, count=pilot, max_steps=max_steps, seed=seed)
        self.top: Top = checked_top_of(lm, top)
        self.tail = None if tail is None else checks.count("tail", tail)
        self.scale = checks.positive("scale", scale)
        self.name, self.cost = name, Cost()
        self._usual: dict[str, tuple[float, float]] = {}
        self._scores: WeakKeyDictionary[Trajectory, float] = WeakKeyDictionary()

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        return repr([*self.pilot.settings, self.top, self.tail, self.scale])

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`.

        Raises:
            ValueError: a trajectory has no step.
        """
        new = [x for x in dict.fromkeys(trajectories) if x not in self._scores]
        for trajectory in new:
            if not trajectory.step_token_ids:
                raise ValueError("trajectories must have at least one step to be scored")
        if new:
            rows = token_confidences(self.pilot.lm, new, top=self.top)
            for trajectory, row in zip(new, rows, strict=True):
                mean, spread = self.usual(trajectory.question)
                value = self._of_step(row[-len(trajectory.step_token_ids) :]) - mean
                self._scores[trajectory] = self.scale * value / spread if spread else 0.0
        return np.array([self._scores[trajectory] for trajectory in trajectories], np.float64)

    def usual(self, question: str) -> tuple[float, float]:
        """Return mean and standard deviation of a step's certainty in the pilot, nats."""
        if question not in self._usual:
            pilot = self.pilot(question)
            values = []
            for x, row in zip(
                pilot, token_confidences(self.pilot.lm, pilot, top=self.top), strict=True
            ):
                ends = np.cumsum([len(node.step_token_ids) for node in x.path[1:]])
                values += [self._of_step(step) for step in np.split(row, ends[:-1])]
            self._usual[question] = float(np.mean(values)), float(np.std(values))
        return self._usual[question]

    def _of_step(self, confidences: np.ndarray) -> float:
        kept = confidences if self.tail is None else confidences[-self.tail :]
        return float(kept.mean())


class Agreement:
    """A reward model that asks how many pilot solutions give the same answer; see the module.

    What the pilot computes is counted in the cost of the language model.

    Args:
        lm: the language model.
        answer: maps a finished trajectory to its answer, or None, as in `motes.solve`.
        group: gives answers that mean the same one label: N texts, None among them, to N labels, as
            `motes.ppl.group` does. None for the same text alone. `motes.solve` with
            prm="agreement", and the command line, give their own rules for both.
        pilot: how many solutions vote.
        max_steps: the most steps of one.
        seed: another seed gives another pilot.
        name: what reports call it.

    Raises:
        TypeError: `lm` is not a language model, or `answer` or `group` no function.
        ValueError: a number is out of its range.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.0, 1.0], eos=1)
        >>> prm = Agreement(lm, answer=lambda x: x.text.strip(), pilot=4)
        >>> x = lm.start("?").child("1 ", (1,), logprob=0.0, proposal_logprob=0.0, finished=True)
        >>> prm.score([x]).round(3)  # log 4.5 / 0.5
        array([2.197])
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        answer: Callable[[Trajectory], str | None],
        group: Group | None = None,
        pilot: int = 16,
        max_steps: int = 64,
        seed: int = 0,
        name: str = "agreement",
    ) -> None:
        self.pilot = Pilot(lm, count=pilot, max_steps=max_steps, seed=seed)
        self.answer = checks.function("answer", answer, "a trajectory to its answer")
        self.group: Group = list
        if group is not None:
            self.group = checks.function("group", group, "answers to their labels")
        self.name, self.cost = name, Cost()
        self._answers: dict[str, list[str]] = {}

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        rules = (self.answer, self.group)
        return repr([*self.pilot.settings, *(str(identify(rule).text) for rule in rules)])

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory; see `RewardModel.score`."""
        return np.array([self._log_odds(trajectory) for trajectory in trajectories], np.float64)

    def votes(self, question: str) -> Counter[str]:
        """Return how many pilot solutions give each answer; those without one are left out.

        Answers that mean the same count as one, under their label.
        """
        return Counter(x for x in self.group(self._given(question)) if x is not None)

    def _log_odds(self, trajectory: Trajectory) -> float:
        if trajectory.open:
            return inf
        answer, agreeing = self.answer(trajectory), 0
        if answer is not None:
            *labels, own = self.group([*self._given(trajectory.question), answer])
            agreeing = labels.count(own)
        return _smoothed(agreeing, self.pilot.count)

    def _given(self, question: str) -> list[str]:
        """Return the answers of the pilot solutions that have one."""
        if question not in self._answers:
            answers = [self.answer(solution) for solution in self.pilot(question)]
            self._answers[question] = [answer for answer in answers if answer is not None]
        return self._answers[question]


class UnitTests:
    """A reward model that runs your tests on what a finished trajectory answers; see the module.

    A test that raises an exception has failed. Tests run in this process: one that runs code which
    a model wrote must shut it in by itself.

    Args:
        tests: each maps the text of a solution to whether it passes.
        text: maps a trajectory to that text; the solution without thinking where None.
        name: what reports call it.

    Raises:
        TypeError: one of them is no function.
        ValueError: there is no test.

    Example:
        >>> prm = UnitTests([lambda text: "4" in text, lambda text: int(text) == 4])
        >>> root, law = Trajectory(question="2 + 2?"), {"logprob": 0.0, "proposal_logprob": 0.0}
        >>> texts = ["4", "It is 4.", "5"]
        >>> prm.score([root.child(text, (1,), finished=True, **law) for text in texts]).round(3)
        array([ 1.609,  0.   , -1.609])
    """

    def __init__(
        self,
        tests: Sequence[Callable[[str], object]],
        *,
        text: Callable[[Trajectory], str] | None = None,
        name: str = "unit tests",
    ) -> None:
        if not tests:
            raise ValueError("tests must have at least one test in it")
        checked = []
        for test in tests:
            checked.append(checks.function("tests", test, "a text to whether it passes"))
        self.tests, self.text = tuple(checked), text
        self.name, self.cost = name, Cost()

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory; see `RewardModel.score`."""
        return np.array([self._log_odds(trajectory) for trajectory in trajectories], np.float64)

    def _log_odds(self, trajectory: Trajectory) -> float:
        if trajectory.open:
            return inf
        text = trajectory.answer_text if self.text is None else self.text(trajectory)
        passed = sum(_passes(test, text) for test in self.tests)
        return _smoothed(passed, len(self.tests))


def _passes(test: Callable[[str], object], text: str) -> bool:
    try:
        return bool(test(text))
    except Exception:  # whatever a test raises, the solution has not passed it
        return False


def _smoothed(right: int, count: int) -> float:
    return float(np.log(right + 0.5) - np.log(count - right + 0.5))
