r"""Ask an instruction-tuned language model whether a solution is right so far: a judge.

The model reads one question about a problem and the beginning of its solution, and answers Yes or
No. With l the logits of the next token where its answer begins, the log-odds are ::

    logit r(x) = l[Yes] - l[No],    r(x) = P(Yes | Yes or No)

Nothing is sampled, so a score is a function of the trajectory alone, and samplers are exact for the
likelihood that it declares (Zheng et al. 2023, arXiv:2306.05685; Kadavath et al. 2022,
arXiv:2207.05221, for P(True)). The judge need not be calibrated: see `motes.ppl.calibration`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from ...aliases import Tokenizer
from ..hosting.chat_template import rendered
from ..hosting.text_encoder import TextEncoder
from ..trajectory import Trajectory
from .readers import PLACE
from .verdicts import Labels

JUDGING_PROMPT = """You are checking the solution of a problem. It may not be finished yet.

Problem:
{question}

Solution so far:
{steps}

Is everything in the solution so far correct? Answer with one word, Yes or No."""
_FIELD = re.compile(r"\{(question|steps|step)\}")


def check_judging_prompt(prompt: object) -> str:
    """Return a judging prompt, a text that shows the solution.

    Raises:
        TypeError: it is not a text.
        ValueError: it has neither {steps} nor {step} in it.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be a text with {{steps}} in it, not {prompt!r}")
    if not {"steps", "step"} & set(_FIELD.findall(prompt)):
        raise ValueError(
            f"prompt must have {{steps}} or {{step}} in it, where the solution stands, not "
            f"{prompt!r}"
        )
    return prompt


def judging_text(prompt: str, question: str, steps: tuple[str, ...]) -> str:
    """Fill in a judging prompt.

    Args:
        prompt: in it {question} is the problem, {steps} the solution so far, {step} its last step;
            other braces are text.
        question: the problem.
        steps: of the solution so far.

    Example:
        >>> judging_text("{question} {steps} Right?", "2 + 2?", ("It is ", "4."))
        '2 + 2? It is 4. Right?'
    """
    last = steps[-1] if steps else ""
    texts = {"question": question, "steps": "".join(steps).strip(), "step": last.strip()}
    return _FIELD.sub(lambda field: texts[field.group(1)], prompt)


class JudgeReader:
    """For causal language models that are asked whether a solution is right.

    Where the tokenizer has a chat template, the prompt is the user's turn and the answer is read
    where the assistant's begins; otherwise behind the prompt and a line break. Conversations share
    what stands before the solution; the solution itself is read again for each further step, since
    the question about it stands behind it.

    Args:
        tokenizer: the model's tokenizer.
        prompt: what it is asked, see `judging_text`.
        good: the answer that means right.
        bad: the answer that means wrong. Of answers of several tokens the first ones are compared.
        system: what the system's turn says; None for no such turn.
        arguments: what the chat template is given besides, such as enable_thinking=False for a
            model that would think before it answers.

    Raises:
        TypeError, ValueError: the prompt does not show the solution, or the two answers begin with
            the same token or with none of their own.

    Example:
        >>> from motes.models import TorchPRM, load_lm
        >>> lm = load_lm("pocket", probe=False)
        >>> judge = TorchPRM(lm.model, JudgeReader(lm.tokenizer), probe=False)  # the same weights
        >>> step = lm.start("How many?").child("4.", (5,), logprob=0.0, proposal_logprob=0.0)
        >>> judge.score([step]).shape
        (1,)
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        prompt: str = JUDGING_PROMPT,
        good: str = "Yes",
        bad: str = "No",
        system: str | None = None,
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.tokenizer, self.prompt = tokenizer, check_judging_prompt(prompt)
        self.system, self.arguments = system, dict(arguments)
        self._encoder = TextEncoder(tokenizer)
        right, wrong = self._first_tokens(good, bad)
        self.verdict = Labels(right=(right,), wrong=(wrong,))

    def conversation(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids up to where the judge answers."""
        question = self._encoder.quoted(trajectory.asked)
        steps = tuple(map(self._encoder.quoted, trajectory.solution_steps))
        if steps:
            return self._ids(self._asked(judging_text(self.prompt, question, steps)))
        before = self._asked(judging_text(self.prompt, question, (PLACE,))).partition(PLACE)[0]
        return self._ids(before) or self._ids(self._asked(""))[:1]

    def log_odds(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the good answer's logit minus the bad one's."""
        return self.verdict.log_odds(outputs)

    def _asked(self, text: str) -> str:
        if not self.tokenizer.chat_template:
            return text + "\n"
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        turns = [*messages, {"role": "user", "content": text}]
        return rendered(self.tokenizer, turns, self.arguments)

    def _ids(self, text: str) -> tuple[int, ...]:
        ids = self._encoder.encode(text)
        # a chat template writes the beginning of text itself, where there is one
        return ids if self.tokenizer.chat_template else (*self._encoder.begin, *ids)

    def _first_tokens(self, good: str, bad: str) -> tuple[int, int]:
        """Return the tokens that the two answers begin with."""
        text = self._asked(judging_text(self.prompt, "x", ("y",)))
        before = self._ids(text)
        first = []
        for answer in (good, bad):
            ids = self._ids(text + self._encoder.quoted(answer))
            if ids[: len(before)] != before or len(ids) == len(before):
                raise ValueError(
                    "good and bad must begin with tokens of their own where the judge answers, and "
                    f"{answer!r} does not"
                )
            first.append(ids[len(before)])
        if first[0] == first[1]:
            raise ValueError(
                f"good and bad must begin with different tokens, and {good!r} and {bad!r} begin "
                "with the same"
            )
        return first[0], first[1]
