r"""A judge that writes: a language model thinks a solution over, and its verdicts are counted.

For models that answer with text alone; where one tells probabilities, a `GenerativeVerifier` reads
that of the verdict. Of n rationales with a verdict, y say that the solution is right; the log-odds
and their Monte Carlo standard error are those of the posterior Beta(y + 1/2, n - y + 1/2) ::

    logit r(x) = log (y + 1/2) / (n - y + 1/2)
    error(x)   = sqrt( psi'(y + 1/2) + psi'(n - y + 1/2) ),    psi' the trigamma function

The random keys come from the seed, the question and the solution's text (see `rationales`), so that
samplers are exact for the likelihood that these n rationales declare. That is not the judge's own
probability, from which it is off by the error above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import polygamma

from ... import checks
from .. import calls
from ..cost import Cost
from ..identity import identify
from ..protocols import LanguageModel
from ..sampling import Sampling
from ..trajectory import Trajectory
from .judge_reader import JUDGING_PROMPT, check_judging_prompt, judging_text
from .rationales import Content, content_of, written

_VERDICT = re.compile(r"\b(yes|no|correct|incorrect)\b", re.IGNORECASE)


def last_verdict(text: str) -> bool | None:
    r"""Return whether the last verdict in a text says right: Yes or No, correct or incorrect.

    None where there is none.

    Example:
        >>> last_verdict(r"Step 1 is \boxed{correct}. Step 2 is \boxed{incorrect}.")
        False
        >>> last_verdict("Let me see.") is None
        True
    """
    found = _VERDICT.findall(text)
    return found[-1].lower() in ("yes", "correct") if found else None


class VotingJudge:
    """A reward model that counts the verdicts of a language model.

    Args:
        lm: the judge. Where it is the model that writes the solutions too, give it a host of its
            own, or its cost is counted twice.
        prompt: what it is asked, see `motes.models.reward.judge_reader.judging_text`.
        verdict: reads a rationale: True for right, False for wrong, None for no verdict, which does
            not count.
        rationales: how many are written for each solution.
        max_steps: the most steps of a rationale; one that is not finished by then is read as it is.
        sampling: how they are drawn; as the language model is where None.
        seed: another seed gives other rationales.
        name: what reports call it.

    Raises:
        TypeError: `lm` is not a language model, or `prompt` not a text.
        ValueError: a number is below 1, or `prompt` does not show the solution.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.0, 1.0], eos=1)
        >>> judge = VotingJudge(lm, verdict=lambda text: True, rationales=4)
        >>> x = lm.start("2 + 2?").child("4", (0,), logprob=0.0, proposal_logprob=0.0)
        >>> judge.score([x]).round(3), judge.errors([x]).round(3)  # log 4.5 / 0.5
        (array([2.197]), array([2.277]))
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        prompt: str = JUDGING_PROMPT,
        verdict: Callable[[str], bool | None] = last_verdict,
        rationales: int = 8,
        max_steps: int = 64,
        sampling: Sampling | None = None,
        seed: int = 0,
        name: str = "",
    ) -> None:
        if not isinstance(lm, LanguageModel):
            raise TypeError(f"lm must be a language model, not {lm!r}")
        self.lm, self.prompt, self.verdict = lm, check_judging_prompt(prompt), verdict
        self.rationales = checks.count("rationales", rationales)
        self.max_steps = checks.count("max_steps", max_steps)
        self.sampling = sampling
        self.seed = checks.count("seed", seed, least=0)
        self.name = name or f"votes of {lm.name}"
        self._votes: dict[Content, tuple[int, int]] = {}

    @property
    def cost(self) -> Cost:
        """What the judge has read and written, as a reward model's cost."""
        return self.lm.cost.as_reward_model()

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        settings = (self.rationales, self.max_steps, self.sampling, self.seed)
        parts = (self.lm, self.prompt, self.verdict, *settings)
        return repr([identify(part).text for part in parts])

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`.

        Raises:
            ValueError: a trajectory has no step.
        """
        right, wrong = self._counts(trajectories)
        return np.log(right + 0.5) - np.log(wrong + 0.5)

    def errors(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the Monte Carlo standard error of each score, nats, shape (N,)."""
        right, wrong = self._counts(trajectories)
        return np.sqrt(polygamma(1, right + 0.5) + polygamma(1, wrong + 0.5))

    def _counts(self, trajectories: Sequence[Trajectory]) -> tuple[np.ndarray, np.ndarray]:
        """Return how many rationales say right of each trajectory, and how many say wrong."""
        contents = [content_of(trajectory) for trajectory in trajectories]
        new = [content for content in dict.fromkeys(contents) if content not in self._votes]
        if new:
            self._vote(new)
        votes = [self._votes[content] for content in contents]
        counts = np.array(votes, np.float64).reshape(len(votes), 2)
        return counts[:, 0], counts[:, 1]

    def _vote(self, contents: list[Content]) -> None:
        roots = []
        for question, steps in contents:
            roots.append(calls.start(self.lm, judging_text(self.prompt, question, steps)))
        rationales = written(
            self.lm,
            contents,
            roots,
            seed=self.seed,
            count=self.rationales,
            max_steps=self.max_steps,
            sampling=self.sampling,
        )
        for content, own in zip(contents, rationales, strict=True):
            verdicts = [self.verdict(rationale.answer_text) for rationale in own]
            self._votes[content] = verdicts.count(True), verdicts.count(False)
