r"""Published generative verifiers: what each is asked, where its rationale ends and its verdict is.

    ThinkPRM   thinks the whole solution over; then "Is the solution correct?", Yes or No (Khalifa
               et al. 2025, arXiv:2504.16828)
    GenPRM     is given one paragraph a turn, each followed by what it wrote about it; it analyses
               the last one, then "\boxed{", Yes or No (Zhao et al. 2025, arXiv:2504.00891)

GenPRM may also write a program after its analysis, whose output it then reads. Programs that a
model writes are not run here: this is its published mode without them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import calls
from ..conversation import as_question
from ..prompt_forms import ChatPrompt
from ..protocols import token_facts
from ..sampling import Sampling
from ..trajectory import Trajectory

_NUMBER = re.compile(r"Step \d+:")


@dataclass(frozen=True, kw_only=True)
class VerifierForm:
    """How a family of generative verifiers is asked.

    Attributes:
        name: what `load_prm` calls it.
        models: published members.
        source: the paper.
        reads: what it reads and where it answers, for the table in the docs.
        called: a pattern of its names.
        prompt: of the language model; its prefill begins every rationale.
        messages: the turns, of the question, the steps, and what was written about all steps but
            the last.
        begin: what follows the prefill, of the last step's number.
        stops: texts that end a rationale, which are not read.
        cue: what follows the rationale, before the verdict.
        good: the verdict that means right.
        bad: the verdict that means wrong.
        sampling: how rationales are drawn.
        turn: what it wrote about a step as a turn of a conversation, of the step's number, the
            rationale and the verdict; None where it is not shown what it wrote.
    """

    name: str
    models: str
    source: str
    reads: str
    called: str
    prompt: ChatPrompt
    messages: Callable[[str, tuple[str, ...], tuple[str, ...]], list[dict[str, str]]]
    begin: Callable[[int], str] = lambda number: ""
    stops: tuple[str, ...]
    cue: str
    good: str
    bad: str
    sampling: Sampling
    turn: Callable[[int, str, str], str] | None = None


def _think_messages(
    question: str, steps: tuple[str, ...], earlier: tuple[str, ...]
) -> list[dict[str, str]]:
    lines = []
    for number, step in enumerate(steps, start=1):
        lines.append(f"Step {number}: {_NUMBER.sub('', step).strip()}")
    text = (
        "You are given a math problem and a proposed step-by-step solution:\n\n"
        f"[Math Problem]\n\n{question}\n\n[Solution]\n\n" + "\n".join(lines) + "\n\n"
        "Review and critique each step in the proposed solution to determine whether each step is "
        "correct. If the solution is incomplete, only verify the provided steps."
    )
    return [{"role": "user", "content": text}]


def _gen_messages(
    question: str, steps: tuple[str, ...], earlier: tuple[str, ...]
) -> list[dict[str, str]]:
    system = (
        "You are a math teacher. Your task is to review and critique the paragraphs in solution "
        "step by step."
    )
    turns = [{"role": "system", "content": system}]
    for number, step in enumerate(steps):
        asked = step.strip()
        if number == 0:
            asked = f"Question: {question}\n\n{asked}"
        turns.append({"role": "user", "content": asked})
        if number < len(earlier):
            turns.append({"role": "assistant", "content": earlier[number]})
    return turns


_ANALYSE = "<analyze>\nLet's analyze the Paragraph"
_JUDGEMENT = "\n</analyze>\n<output>\n**Judgement**: $\\boxed{"


def _gen_begin(number: int) -> str:
    return f" {number} step by step: "


def _gen_turn(number: int, rationale: str, verdict: str) -> str:
    begun = _ANALYSE + _gen_begin(number)
    return f"{begun}{rationale.strip()}{_JUDGEMENT}{verdict}}}$\n</output>"


FORMS: tuple[VerifierForm, ...] = (
    VerifierForm(
        name="thinkprm",
        models="ThinkPRM-1.5B, -7B and -14B",
        source="Khalifa et al. (2025), arXiv:2504.16828",
        reads="a user's turn with problem and numbered steps; a rationale; Yes or No behind "
        '"Is the solution correct?"',
        called=r"thinkprm",
        prompt=ChatPrompt(prefill="\nLet's verify step by step:"),
        messages=_think_messages,
        stops=("Is the solution correct?", "</think>"),
        cue="\nIs the solution correct?",
        good=" Yes",
        bad=" No",
        sampling=Sampling(temperature=0.7),
    ),
    VerifierForm(
        name="genprm",
        models="GenPRM-1.5B, -7B and -32B",
        source="Zhao et al. (2025), arXiv:2504.00891",
        reads="each step a user's turn, answered with what was written about it; an analysis of "
        "the last step; Yes or No in the box behind it",
        called=r"genprm",
        prompt=ChatPrompt(prefill=_ANALYSE),
        messages=_gen_messages,
        begin=_gen_begin,
        stops=("</analyze>",),
        cue=_JUDGEMENT,
        good="Yes",
        bad="No",
        sampling=Sampling(temperature=0.6, top_p=0.95, top_k=20),
        turn=_gen_turn,
    ),
)
FORM_NAMES = tuple(form.name for form in FORMS)


def form_of(name: str) -> VerifierForm | None:
    """Return the form of the verifiers whose name this is; None for others.

    Example:
        >>> form = form_of("launch/ThinkPRM-1.5B")
        >>> None if form is None else form.name
        'thinkprm'
    """
    end = "/".join(name.replace("\\", "/").split("/")[-2:])
    for form in FORMS:
        if re.search(form.called, end, re.IGNORECASE):
            return form
    return None


class FormReader:
    """Asks a language model in a verifier's form, in tokens of its tokenizer.

    Args:
        lm: the verifier; it must have the form's prompt, and show its tokenizer.
        form: how it is asked.

    Attributes:
        good: the token that means right.
        bad: the token that means wrong.
        chained: whether what was written about earlier steps is read before the last one.

    Raises:
        TypeError: the language model shows no tokenizer.
        ValueError: it has another prompt, or the two verdicts begin with the same token.
    """

    def __init__(self, lm: Any, form: VerifierForm) -> None:
        self.lm, self.form = lm, form
        self._tokens = token_facts(lm)
        if self._tokens.tokenizer is None:
            raise TypeError(
                f"lm must be a language model with a tokenizer, and {lm.name!r} shows none"
            )
        if self._tokens.prompt != form.prompt:
            raise ValueError(
                f"lm must have the prompt of the form {form.name!r}: load it with prompt="
                f"{form.prompt!r}"
            )
        self.chained = form.turn is not None
        self.cue, self.good, self.bad = self._verdict_tokens()

    def begin(self, question: str, steps: tuple[str, ...], earlier: tuple[str, ...]) -> Trajectory:
        """Return where the rationale about the last step begins.

        Raises:
            QuestionTooLong: the model's context does not hold it.
        """
        messages = self.form.messages(question, steps, earlier)
        root = calls.start(self.lm, as_question(messages))
        text = self.form.begin(len(steps))
        if not text:
            return root
        return root.child(text, self._ids(text), logprob=0.0, proposal_logprob=0.0)

    def room(self, beginning: Trajectory) -> int | None:
        """Return how many tokens of a rationale can be read before its verdict; None for any."""
        if self._tokens.context is None:
            return None
        prompt = len(self.lm.rendered(beginning.question).token_ids)
        before = prompt + len(beginning.token_ids)
        return self._tokens.context - before - len(self.cue) - 1

    def complete(self, rationale: Trajectory) -> bool:
        """Return whether a rationale has come to one of its ends."""
        return any(stop in rationale.text for stop in self.form.stops)

    def kept(self, beginning: Trajectory, rationale: Trajectory) -> tuple[int, ...]:
        """Return the tokens of a rationale without what ends it and blank space before that."""
        ids = rationale.token_ids[len(beginning.token_ids) :]
        text = self._text(ids)
        ends = [text.find(stop) for stop in self.form.stops if stop in text]
        said = text[: min(ends, default=len(text))].rstrip()
        count = bisect_left(range(len(ids)), len(said), key=lambda n: len(self._text(ids[:n])))
        if self._text(ids[:count])[len(said) :].strip():  # one token holds both: it goes
            count -= 1
        room = self.room(beginning)
        return ids[: count if room is None else min(count, room)]

    def turn(self, number: int, ids: Sequence[int], right: bool) -> str:
        """Return a rationale and its verdict as a turn of a conversation."""
        assert self.form.turn is not None
        verdict = self.form.good if right else self.form.bad
        return self.form.turn(number, self._text(ids), verdict)

    def _text(self, ids: Sequence[int]) -> str:
        return self._tokens.tokenizer.decode(list(ids), skip_special_tokens=True)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokens.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _verdict_tokens(self) -> tuple[tuple[int, ...], int, int]:
        """Return the cue's tokens and the first ones in which the two verdicts differ."""
        good = self._ids(self.form.cue + self.form.good)
        bad = self._ids(self.form.cue + self.form.bad)
        shared = 0
        while shared < min(len(good), len(bad)) and good[shared] == bad[shared]:
            shared += 1
        if shared == min(len(good), len(bad)):
            raise ValueError(
                f"the verdicts {self.form.good!r} and {self.form.bad!r} must have different tokens "
                f"in the tokenizer of {self.lm.name!r}"
            )
        return good[:shared], good[shared], bad[shared]
