"""What every language model does that reads and writes the token ids of a local tokenizer.

It writes prompts, knows how much room a trajectory has left, and puts given tokens after a
trajectory as its own steps. Where its numbers come from is another matter: a network of torch, an
engine, or a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...aliases import Tokenizer
from ..cost import Cost
from ..hosting.decoding import StepEnding
from ..hosting.detokenizer import Detokenizer
from ..identity import identify
from ..mixture import Law, weighed
from ..prompt_forms import PromptForm
from ..prompts import Prompt
from ..protocols import QuestionTooLong
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .prompt_writer import PromptWriter


class TokenizedLM:
    """A language model's tokenizer, prompts and steps.

    Args:
        tokenizer: a transformers tokenizer.
        step: when a step ends; part of the declared prior.
        prompt: what it reads before it writes; see `motes.load_lm`.
        name: what reports call it.
        end_ids: the token ids that end a text.
        vocabulary: how many ids the model can draw.
        context: how many tokens a prompt and a trajectory may have together.

    Raises:
        TypeError, ValueError: `prompt` is no form of a prompt, or no step could end by this rule.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        step: StepRule | None,
        prompt: PromptForm | None,
        name: str,
        end_ids: frozenset[int],
        vocabulary: int,
        context: int,
    ) -> None:
        self.tokenizer, self.step, self.prompt = tokenizer, step or StepRule(), prompt
        self.name, self.context, self.end_ids = name, context, end_ids
        self.cost = Cost()
        thinking = self.step.thinking
        self._prompts = PromptWriter(tokenizer, end_ids, prompt, thinking=thinking)
        self._ending = StepEnding(Detokenizer(tokenizer, self.step, vocabulary), end_ids)

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree; see `LanguageModel.start`."""
        if not question.strip():
            raise ValueError("question must be a text that is not blank")
        root = Trajectory(question=question, opening=self.rendered(question).opening)
        length = len(self._tokens_of(root))
        if length >= self.context:
            raise QuestionTooLong(
                f"the question is too long for {self.name!r}: its prompt has {length} tokens of "
                f"the {self.context} in the model's context"
            )
        return root

    def rendered(self, question: str) -> Prompt:
        """Return the prompt of a question.

        Its text, its ids, and the date that its template was told.
        """
        return self._prompts(question)

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: weights, tokenizer, prompt, and where its steps end.

        See `motes.models.identity`.
        """
        return str(identify(self).text)

    def _tokens_of(self, node: Trajectory) -> tuple[int, ...]:
        """Return the tokens that a node adds to those before it: a root's are its prompt's."""
        if node.parent is not None:
            return node.step_token_ids
        return self._prompts(node.question).token_ids

    def room(self, trajectory: Trajectory) -> int:
        """Count how many more tokens fit into the model's context."""
        return self.context - sum(len(self._tokens_of(node)) for node in trajectory.path)

    def _said(
        self,
        head: Trajectory,
        steps: Sequence[Trajectory],
        terms: Sequence[Sequence[float]],
        proposal: Law,
    ) -> Trajectory | None:
        """Give the trajectory that has these steps after `head`; None if their ends were others.

        The terms are the log-probabilities of its tokens: under the prior, then under each
        component of the proposal; those under the prior alone where it is the proposal.
        """
        first = 0
        for step in steps:
            tokens = step.step_token_ids
            last = first + len(tokens)
            if not head.open:
                return None
            log_p, *log_q = [float(sum(values[first:last])) for values in terms]
            law = weighed(proposal, head, log_q or [log_p])
            child = self.step_said(head, tokens, logprob=log_p, **law)
            if child is None:
                return None
            head, first = child, last
        return head

    def step_said(self, head: Trajectory, tokens: tuple[int, ...], **law: Any) -> Trajectory | None:
        """Give the child of an open trajectory that these tokens make; None if they make none."""
        room = self.room(head)
        if not 0 < len(tokens) <= self._ending.longest:
            return None
        if any(self._ends(head, tokens[:k], room) for k in range(1, len(tokens))):
            return None
        return self._ending.child(head, tokens, full=len(tokens) >= room, **law)

    def _ends(self, head: Trajectory, tokens: Sequence[int], room: int) -> bool:
        """Return whether a step after `head` is complete with the last of these tokens."""
        count = len(tokens)
        if not (self._ending.may_be(np.array(tokens[-1]), count) or count >= room):
            return False
        return self._ending.child(head, tokens, 0.0, 0.0, full=count >= room) is not None


def check_open(trajectories: Sequence[Trajectory]) -> None:
    """Raise ValueError where a trajectory that is to be extended is not open."""
    for trajectory in trajectories:
        if not trajectory.open:
            raise ValueError(f"only open trajectories can be extended, not {trajectory!r}")


def end_ids(*sources: object) -> frozenset[int]:
    """Return the ids that end a text, of which there may be several.

    Args:
        sources: what may have an attribute `eos_token_id`: configurations and a tokenizer.

    Example:
        >>> from types import SimpleNamespace
        >>> sorted(end_ids(SimpleNamespace(eos_token_id=[1, 3]), SimpleNamespace(eos_token_id=2)))
        [1, 2, 3]
    """
    ids: set[int] = set()
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        ids |= {value} if isinstance(value, int) else set(value or ())
    return frozenset(ids)
