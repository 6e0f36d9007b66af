r"""Prompts that published results were had with, by name.

A preset is a form of prompt like any other. Texts are those of its source, to the letter; where a
source leaves the place of a text open, `about` says what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

from .prompt_forms import PLACE, ChatPrompt, PromptForm
from .worked_examples import GRADE_SCHOOL

BOXED = r"Please reason step by step, and put your final answer within \boxed{}."
NUMBERED_STEPS = r"""Solve the following math problem efficiently and clearly:

- For simple problems (2 steps or fewer):
Provide a concise solution with minimal explanation.

- For complex problems (3 steps or more):
Use this step-by-step format:

## Step 1: [Concise description]
[Brief explanation and calculations]

## Step 2: [Concise description]
[Brief explanation and calculations]

...

Regardless of the approach, always conclude with:

Therefore, the final answer is: $\boxed{answer}$. I hope it is correct.

Where [answer] is just the final number or expression that solves the problem."""
# the source doubles the braces, since it fills its place by `format`
LAST_LINE = (
    "Solve the following math problem efficiently and clearly.  The last line of your response "
    "should be of the following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope "
    "it is correct' (without quotes) where ANSWER is just the final number or expression that "
    "solves the problem. Think step by step before answering."
)


@dataclass(frozen=True, kw_only=True)
class Preset:
    r"""A prompt of the field.

    Attributes:
        form: the prompt.
        about: what it is for, and what it says.
        source: where it was published.

    Example:
        >>> PRESETS["qwen2.5-math"].form.system
        'Please reason step by step, and put your final answer within \\boxed{}.'
    """

    form: ChatPrompt | str
    about: str
    source: str


def _turns_of_text(pairs: tuple[tuple[str, str], ...]) -> str:
    """Return solved examples and a place for the question, as one text."""
    shown = [f"Q: {question}\nA: {answer}\n\n" for question, answer in pairs]
    return "".join(shown) + f"Q: {PLACE}\nA:"


PRESETS: dict[str, Preset] = {
    "qwen2.5-math": Preset(
        form=ChatPrompt(system=BOXED),
        about="Qwen2.5-Math-Instruct's system prompt: step by step, answer in a box",
        source="Yang et al. (2024), arXiv:2409.12122; card of Qwen/Qwen2.5-Math-7B-Instruct",
    ),
    "deepseek-r1": Preset(
        form=ChatPrompt(user=f"{PLACE}\n{BOXED}"),
        about="the same words in the user's turn, on a line after the question, and no system "
        "prompt: what DeepSeek-R1 and Qwen3 advise for mathematics",
        source="DeepSeek-AI (2025), arXiv:2501.12948; card of deepseek-ai/DeepSeek-R1",
    ),
    "search-and-learn": Preset(
        form=ChatPrompt(system=NUMBERED_STEPS),
        about='Llama\'s system prompt of steps that begin "## Step 1:"',
        source="Beeching, Tunstall and Rush (2024), Scaling test-time compute with open models; "
        "huggingface/search-and-learn, src/sal/config.py",
    ),
    "aime": Preset(
        form=ChatPrompt(user=f"{LAST_LINE}\n\n{PLACE}"),
        about="the user's turn of AIME and MATH-500 in lighteval and open-r1: the answer in a box "
        "on the last line",
        source="Grattafiori et al. (2024), arXiv:2407.21783; huggingface/lighteval, tasks of AIME",
    ),
    "gsm8k": Preset(
        form=_turns_of_text(GRADE_SCHOOL),
        about="eight solved examples, for models without a chat template",
        source="Wei et al. (2022), arXiv:2201.11903, appendix G",
    ),
    "gsm8k-chat": Preset(
        form=ChatPrompt(examples=GRADE_SCHOOL),
        about="the same eight examples, as turns of a chat",
        source="Wei et al. (2022), arXiv:2201.11903, appendix G",
    ),
}
"""Prompts by name."""


def chosen_form(prompt: PromptForm) -> PromptForm:
    r"""Return the form of prompt that is meant: a preset's, or the form itself.

    Args:
        prompt: a form, or the name of a preset.

    Raises:
        TypeError: it is no form.
        ValueError: it is a text that neither names a preset nor has {question} in it.

    Example:
        >>> chosen_form("Q: {question}\nA:")
        'Q: {question}\nA:'
        >>> chosen_form("qwen2.5-math").system == BOXED
        True
        >>> try:
        ...     chosen_form("Q:")
        ... except ValueError as error:
        ...     print(str(error)[:40])
        prompt must have {question} in its text,
    """
    if isinstance(prompt, str) and PLACE not in prompt:
        if prompt in PRESETS:
            return PRESETS[prompt].form
        raise ValueError(
            f"prompt must have {PLACE} in its text, where the question goes, or be one of "
            f"{', '.join(PRESETS)}, not {prompt!r:.100}"
        )
    if isinstance(prompt, str | ChatPrompt) or prompt is None or callable(prompt):
        return prompt
    raise TypeError(
        f"prompt must be a function from a question to a text, a text with {PLACE} in it, the name "
        f"of a preset, a ChatPrompt or None, not {prompt!r:.100}"
    )
