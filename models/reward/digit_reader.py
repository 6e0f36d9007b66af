r"""Ask a language model for a digit: how good the last step of a solution is, from 0 to 9.

As the judge of SpecReason (Pan et al. 2025, arXiv:2504.07891; its code, `get_score` and
`process_logprobs` of spec_reason.py) the model reads the problem as the user's turn, the solution
so far as its own, and a question of the user's about the last step; its answer is begun for it, up
to where the digit stands. One token is looked at, with l its logits there:

    greedy      d = the likeliest token where that is a digit, and else 0
    average     d = sum_j j p_j,   p_j proportional to exp(l[j]), over the ten digits

and r = d / 9, so that a threshold of 7 is one of 7 / 9. Both are as published, but for three
things. Published is the average over those digits that are among the ten likeliest tokens; here it
is over all ten. Published prompts tell the solver how to write, and open a <think> before the
solution and before the answer, which `prefill` can; the problem stands here as it was asked.
And a greedy 0 counts as 1/2: r = 0 would rule out a step that the language model wrote itself, of
which the published procedure asks no score.

Nothing is sampled, so that a score is a function of the trajectory alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from ... import checks
from ...aliases import Tokenizer
from ..hosting.chat_template import rendered
from ..hosting.text_encoder import TextEncoder
from ..trajectory import Trajectory
from .readers import PLACE

HIGHEST, LEAST = 9, 0.5  # LEAST: as what a greedy 0 counts
SCORES = ("greedy", "average")
ASK = (
    "Evaluate the last reasoning step solely based on factual correctness and logical validity. "
    "Ignore style, phrasing, or overall usefulness\N{EM DASH}only judge whether the step is "
    "objectively correct and logically follows from prior steps. Assign a score from 0 to 9."
)
PREFILL = "I think the quality score is: "


@dataclass(frozen=True)
class Digits:
    """The tokens of ten digits, and what is made of their logits.

    Attributes:
        tokens: of 0 to 9.
        score: "greedy" or "average", see the module.

    Example:
        >>> outputs = torch.zeros(1, 12)
        >>> outputs[0, 7] = 3.0
        >>> for score in ("greedy", "average"):
        ...     r = torch.sigmoid(Digits(tuple(range(10)), score).log_odds(outputs))
        ...     print(round(9 * r.item(), 2))
        7.0
        6.14
    """

    tokens: tuple[int, ...]
    score: str

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return log d / (9 - d), float64 (N,), from logits (N, vocabulary)."""
        wide, tokens = outputs.double(), torch.tensor(self.tokens, device=outputs.device)
        digits = torch.arange(HIGHEST + 1, dtype=torch.float64, device=outputs.device)
        if self.score == "average":
            logits = wide[:, tokens]
            up, down = digits.log(), (HIGHEST - digits).log()
            return (logits + up).logsumexp(dim=1) - (logits + down).logsumexp(dim=1)
        said = wide.argmax(dim=1)[:, None] == tokens
        number = said.long().argmax(dim=1)  # the first, which is 0, where none was said
        digit = digits[number].clamp(min=LEAST)
        return digit.log() - (HIGHEST - digit).log()


class DigitReader:
    """For causal language models that give the last step of a solution a digit.

    Args:
        tokenizer: the model's tokenizer. Where it has a chat template, the problem, the solution
            and the question are turns; else they are lines.
        score: "greedy" or "average", see the module.
        ask: what is asked about the last step.
        prefill: how the answer begins, up to the digit.
        arguments: what the chat template is given besides.

    Raises:
        TypeError: `ask` or `prefill` is not a text.
        ValueError: `score` is unknown, or a digit is not a token of its own behind `prefill`.

    Example:
        >>> from motes.models import TorchPRM, load_lm
        >>> lm = load_lm("pocket", probe=False)
        >>> judge = TorchPRM(lm.model, DigitReader(lm.tokenizer, score="average"), probe=False)
        >>> step = lm.start("How many?").child("4.", (5,), logprob=0.0, proposal_logprob=0.0)
        >>> bool(abs(judge.score([step])[0]) < 10)
        True
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        score: str = "greedy",
        ask: str = ASK,
        prefill: str = PREFILL,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        for name, text in (("ask", ask), ("prefill", prefill)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a text, not {text!r}")
        self.tokenizer, self.ask, self.prefill = tokenizer, ask, prefill
        self.arguments = dict(arguments)
        self._encoder = TextEncoder(tokenizer)
        self.verdict = Digits(self._digits(), checks.choice("score", score, SCORES))

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids up to where the digit stands."""
        question = self._encoder.quoted(trajectory.asked)
        steps = "".join(map(self._encoder.quoted, trajectory.solution_steps)).strip()
        if steps:
            # a digit's token may hold the blank before it as well
            return self._ids(self._text(question, steps) + "0")[:-1]
        before = self._text(question, PLACE).partition(PLACE)[0]
        return self._ids(before) or self._ids(self._text("", ""))[:1]

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the log-odds of d / 9; see the module."""
        return self.verdict.log_odds(outputs)

    def _text(self, question: str, steps: str) -> str:
        if not self.tokenizer.chat_template:
            return "\n".join([question, steps, self.ask, self.prefill])
        turns = [("user", question), ("assistant", steps), ("user", self.ask)]
        messages = [{"role": role, "content": text} for role, text in turns]
        return rendered(self.tokenizer, messages, self.arguments) + self.prefill

    def _ids(self, text: str) -> tuple[int, ...]:
        ids = self._encoder.encode(text)
        # a chat template writes the beginning of text itself, where there is one
        return ids if self.tokenizer.chat_template else (*self._encoder.begin, *ids)

    def _digits(self) -> tuple[int, ...]:
        """Return the tokens that the digits are behind the beginning of the answer."""
        text = self._text("x", "y")
        answers = [self._ids(f"{text}{digit}") for digit in range(HIGHEST + 1)]
        tokens = tuple(ids[-1] for ids in answers)
        if len({ids[:-1] for ids in answers}) > 1 or len(set(tokens)) < len(tokens):
            raise ValueError(
                "prefill must end where every digit is a token of its own, and not with "
                f"{self.prefill!r}"
            )
        return tokens
