"""Readers of layouts in which something that the reader writes ends each step of one text."""

from __future__ import annotations

import re

import torch

from ...aliases import Tokenizer
from ..hosting.chat_template import rendered
from ..hosting.text_encoder import TextEncoder
from ..trajectory import Trajectory
from .readers import bare, marked, verdict_tokens
from .verdicts import Labels, Logit, Verdict

_NUMBERED = re.compile(r"Step\s*\d+\s*[:.]")


class MarkedReader:
    r"""A text in which each step ends with a mark, behind which the model is asked.

        question  opening  step  before  mark  between  step  before  mark ...

    Math-Shepherd (Wang et al. 2024) writes "{question} Step 1: ... ки\nStep 2: ... ки" and compares
    two tokens where the model would go on; other models vary what stands between.

    Args:
        tokenizer: the model's tokenizer.
        mark: what ends a step.
        opening: what stands between the question and the first step.
        before: what stands between a step and its mark.
        between: what stands between a mark and the next step.
        numbered: whether a step that does not begin "Step k:" is given that beginning.
        verdict: reads the outputs; None for the tokens `good` and `bad`.
        good: the token that says a step is right, with the blank space before it.
        bad: the token that says it is wrong.

    Raises:
        ValueError: `good` or `bad` is not one token where the model answers.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        mark: str = "ки",
        opening: str = " ",
        before: str = " ",
        between: str = "\n",
        numbered: bool = False,
        verdict: Verdict | None = None,
        good: str = " +",
        bad: str = " -",
    ) -> None:
        visible = mark.strip()
        self.tokenizer, self.mark, self.numbered = tokenizer, mark, numbered
        self.opening, self.before, self.between = opening, before, between
        self._encoder = TextEncoder(tokenizer, written=[visible], marker=visible)
        self._mark = marked(mark)
        self.verdict = verdict or self._token_pair(good, bad)

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the question and the steps, up to the last step's mark."""
        text = self._encoder.quoted(trajectory.asked)
        for number, step in enumerate(trajectory.solution_steps, start=1):
            text += self.opening if number == 1 else self.between
            text += self._step(number, step) + self.before + self._mark
        return self._encoder.begin + self._encoder.encode(text)

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return what the verdict makes of the outputs."""
        return self.verdict.log_odds(outputs)

    def _step(self, number: int, step: str) -> str:
        text = bare(step, self.mark)
        if self.numbered and not _NUMBERED.match(text):
            text = f"Step {number}: {text}"
        return self._encoder.quoted(text)

    def _token_pair(self, good: str, bad: str) -> Labels:
        blank = good[: len(good) - len(good.lstrip())]
        right, wrong = verdict_tokens(
            self.tokenizer,
            (good.strip(), bad.strip()),
            lambda text: self._encoder.encode(f"{self._mark}{blank}{text}"),
        )
        return Labels(right=(right,), wrong=(wrong,))


class LineReader:
    """For Skywork-o1-Open-PRM: every line of the solution ends with a line break, and is scored.

    The beginning of text, the question and a line break are one piece, each line another. A step of
    several lines is as right as its last one says.

    Args:
        tokenizer: the model's tokenizer, which must have a beginning of text.

    Raises:
        ValueError: it has none.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not tokenizer.bos_token:
            raise ValueError("the tokenizer has no beginning of text, with which the layout begins")
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer)
        self._break = self._encoder.encode("\n")

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the question and the lines, with a line break behind each."""
        question = self._encoder.quoted(trajectory.asked)
        ids = self._encoder.encode(f"{self.tokenizer.bos_token}{question}\n")
        for step in trajectory.solution_steps:
            for line in step.strip().split("\n"):
                ids += self._encoder.encode(self._encoder.quoted(line)) + self._break
        return ids

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the one output."""
        return Logit().log_odds(outputs)


class CompletedReader:
    """For Universal-PRM (Tan et al. 2025): what has been written so far, as an answer that ended.

    The chat's question says that there is no reference answer; the steps and an end of text follow
    as the assistant's turn. One number is read at the end. Since the next prefix does not begin
    with that end, it is read again from there.

    Args:
        tokenizer: the model's tokenizer, with a chat template.
    """

    SYSTEM = "You are a helpful assistant."
    NO_REFERENCE = (
        "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
    )

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer)

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the chat, the steps so far and the end."""
        question = self._encoder.quoted(trajectory.asked) + self.NO_REFERENCE
        turns = [{"role": "system", "content": self.SYSTEM}, {"role": "user", "content": question}]
        ids = self._encoder.encode(rendered(self.tokenizer, turns))
        if not trajectory.solution_steps:
            return ids
        said = "".join(
            f"{self._encoder.quoted(step.strip())}\n\n" for step in trajectory.solution_steps
        )
        return (*ids, *self._encoder.encode(said), self.tokenizer.eos_token_id)

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the one output."""
        return Logit().log_odds(outputs)


class SeparatedReader:
    r"""For ReasonEval (Xia et al. 2024): steps encoded between separators that are then left out.

    The text is "Question:\n{question}\nAnswer:\nLet's think step by step.\n" and the steps, as they
    are encoded where the padding token stands behind each. A step is read at its last token, under
    three labels: wrong, neutral, and right. A neutral step counts as valid, as published.

    Args:
        tokenizer: the model's tokenizer, which must have a padding token.

    Raises:
        ValueError: it has none.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not tokenizer.pad_token:
            raise ValueError("the tokenizer has no padding token, at which the layout is cut")
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer, written=[tokenizer.pad_token])

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of the question and the steps, without separators."""
        separator = self.tokenizer.pad_token
        text = f"Question:\n{self._encoder.quoted(trajectory.asked)}\nAnswer:\n"
        text += f"Let's think step by step.\n{separator}"
        for step in trajectory.solution_steps:
            text += self._encoder.quoted(step.strip()) + separator
        ids = self._encoder.encode(text)
        kept = tuple(token for token in ids if token != self.tokenizer.pad_token_id)
        return self._encoder.begin + kept

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return right or neutral against wrong."""
        return Labels(right=(1, 2), wrong=(0,)).log_odds(outputs)
