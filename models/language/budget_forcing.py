"""Budget forcing: a language model that is not let end too soon, nor think too long.

Where the model ends its text before the least number of tokens, the end is dropped and "Wait" is
written in its place, at most so many times; where it is still writing at the most, the words that
ask for the answer are written, and the next step is the last. Both edit the text by its tokens
alone, so that what comes out is a language model again, with a law of its own: the mass of the end
of text goes to "Wait", and what would follow beyond the most is cut. It is another prior, and is
declared by being the language model of a run; no sampler corrects for it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import nan

from ... import checks
from ...aliases import PRNGKeys
from ..cost import Cost
from ..protocols import Capabilities, LanguageModel, capabilities, token_facts
from ..sampling import Sampling
from ..trajectory import Trajectory
from ..written_text import Encode, encoded


class BudgetForcing:
    """A language model whose solutions are made longer, or cut short, to a budget of tokens.

    The probability of what it writes is not known (NaN): a step in which something was written for
    the model may also be one that it could have drawn. It serves wherever no weight depends on it,
    as under a reward model alone. A state-space model that stops at an answer ends a solution
    itself, before this can (`stop_at_answer=False` there leaves the end to the model). Source:
    Muennighoff et al. (2025), arXiv:2501.19393, whose end is that of thinking.

    Args:
        lm: the language model.
        least: tokens before which the end of text is replaced; 0 for none.
        most: tokens from which on the answer is asked for; None for no limit.
        waits: how often the end is replaced in one solution, at most.
        wait: what is written in place of an end.
        final: what is written at the most.
        encode: a function from a text to token ids; None for the model's own tokenizer.
        end_ids: the ids that end a text; None for those that the model names.
        name: what reports call it; None for the model's name with "forced".

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; the model has no
            tokenizer and `encode` is None.

    Example:
        >>> from motes.models import load_lm
        >>> lm = BudgetForcing(load_lm("pocket", probe=False), least=64, waits=2)
        >>> lm.name, lm.capabilities.probabilities
        ('pocket, forced', False)
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        least: int = 0,
        most: int | None = None,
        waits: int = 1,
        wait: str = "Wait",
        final: str = "\nFinal Answer:",
        encode: Encode | None = None,
        end_ids: Collection[int] | None = None,
        name: str | None = None,
    ) -> None:
        self.lm, self.least = lm, checks.count("least", least, least=0)
        self.most = None if most is None else checks.count("most", most, least=max(1, least))
        self.waits, self.name = checks.count("waits", waits), name or f"{lm.name}, forced"
        facts = token_facts(lm)
        tokenizer = facts.tokenizer
        if encode is None and tokenizer is None:
            raise TypeError(
                f"encode must be a function from a text to token ids, as the language model "
                f"{lm.name!r} has no tokenizer of its own"
            )
        self.wait, self.final = wait, final
        self._wait = encoded("wait", wait, encode, tokenizer)
        self._final = encoded("final", final, encode, tokenizer)
        if self._wait == self._final:
            raise ValueError(f"wait and final must differ, and both are {wait!r}")
        self.end_ids = frozenset(facts.end_ids if end_ids is None else end_ids)

    @property
    def cost(self) -> Cost:
        """What the model has computed."""
        return self.lm.cost

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: draw steps, of unknown probability."""
        can = capabilities(self.lm)
        return Capabilities(sampling=can.sampling, probabilities=False, step_rule=can.step_rule)

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        return self.lm.start(question)

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory, and write what is forced; see `LanguageModel`."""
        drawn = self.lm.extend(trajectories, keys, sampling=sampling, prior=prior)
        return [self._edited(x, child) for x, child in zip(trajectories, drawn, strict=True)]

    def _edited(self, parent: Trajectory, child: Trajectory) -> Trajectory:
        """Return the step with what is forced upon it."""
        written = len(parent.token_ids) + len(child.step_token_ids)
        if _ends_with(parent, self._final):  # this step is the answer
            return _step(parent, child, finished=not child.truncated)
        early = child.finished and written < self.least
        if early and self._waited(parent) < self.waits:
            ids = child.step_token_ids
            kept = ids[:-1] if ids and ids[-1] in self.end_ids else ids
            return _written(parent, child.step_text + self.wait, (*kept, *self._wait))
        if child.open and self.most is not None and written >= self.most:
            ids = (*child.step_token_ids, *self._final)
            return _written(parent, child.step_text + self.final, ids)
        return _step(parent, child, finished=child.finished)

    def _waited(self, trajectory: Trajectory) -> int:
        """Return after how many steps "Wait" stands."""
        return sum(_ends_with(node, self._wait) for node in trajectory.path)


def _ends_with(node: Trajectory, ids: tuple[int, ...]) -> bool:
    """Return whether a step ends with these tokens."""
    return node.step_token_ids[-len(ids) :] == ids


def _written(parent: Trajectory, text: str, ids: tuple[int, ...]) -> Trajectory:
    """Return an open step in which something was written for the model."""
    return parent.child(text, ids, logprob=nan, proposal_logprob=nan, delimited=False)


def _step(parent: Trajectory, child: Trajectory, *, finished: bool) -> Trajectory:
    """Return a step as the model drew it, of unknown probability."""
    return parent.child(
        child.step_text,
        child.step_token_ids,
        logprob=nan,
        proposal_logprob=nan,
        finished=finished,
        truncated=child.truncated,
        delimited=child.delimited,
    )
