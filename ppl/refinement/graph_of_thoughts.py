"""Adaptive graphs of thoughts: sub-questions in layers, hard ones with a graph of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ... import checks
from ...models import LanguageModel, Sampling, Trajectory
from ..answers import Answer
from ..programs.program import Program
from .whole_solution import solution


class Thought(NamedTuple):
    """A sub-question that was answered.

    Attributes:
        task: the sub-question.
        answer: the text that answers it.
    """

    task: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class ThoughtPrompts:
    """What the language model is asked, and how its texts are read.

    Attributes:
        propose: (question, thoughts so far) -> a prompt for further sub-questions.
        tasks: reads the sub-questions in a text; none where the question can be answered.
        judge: a sub-question -> a prompt whether it needs a graph of its own.
        is_complex: reads that judgement.
        answer: (sub-question, thoughts so far) -> a prompt for its answer.
        synthesise: (question, all thoughts) -> a prompt for the final answer.

    Example:
        >>> prompts = ThoughtPrompts(
        ...     propose=lambda question, thoughts: f"What must be known for: {question}",
        ...     tasks=lambda text: text.splitlines(),
        ...     judge=lambda task: f"Is this hard? {task}",
        ...     is_complex=lambda text: text.startswith("yes"),
        ...     answer=lambda task, thoughts: task,
        ...     synthesise=lambda question, thoughts: f"{question} Known: {thoughts}",
        ... )
        >>> prompts.answer("2 + 2?", [])
        '2 + 2?'
    """

    propose: Callable[[str, Sequence[Thought]], str]
    tasks: Callable[[str], Sequence[str]]
    judge: Callable[[str], str]
    is_complex: Callable[[str], bool]
    answer: Callable[[str, Sequence[Thought]], str]
    synthesise: Callable[[str, Sequence[Thought]], str]


def graph_of_thoughts(
    question: str,
    *,
    lm: LanguageModel,
    prompts: ThoughtPrompts,
    layers: int = 3,
    tasks: int = 3,
    depth: int = 1,
    most_steps: int = 32,
    prior: Sampling = Sampling(),
    answer: Answer | None = None,
) -> Program:
    """Make the program of an adaptive graph of thoughts (AGoT).

    In each layer sub-questions are proposed, given all thoughts so far. Each is judged: a complex
    one gets a graph of its own, as long as the nesting is less deep than `depth`, another one is
    answered. Where nothing is proposed, or after the last layer, an answer is made of all thoughts.

    Args:
        question: what is asked.
        lm: the language model.
        prompts: what it is asked, and how it is read.
        layers: at most.
        tasks: sub-questions of a layer, at most.
        depth: graphs within graphs, at most; 0 for none.
        most_steps: of each text.
        prior, answer: as of `motes.ppl.step`.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Source: Pandey et al. (2025), arXiv:2502.05078.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prompts = ThoughtPrompts(
        ...     propose=lambda question, thoughts: question,
        ...     tasks=lambda text: ["first?", "second?"],
        ...     judge=lambda task: task,
        ...     is_complex=lambda text: False,
        ...     answer=lambda task, thoughts: task,
        ...     synthesise=lambda question, thoughts: f"{question} {len(thoughts)}",
        ... )
        >>> loop = graph_of_thoughts("?", lm=lm, prompts=prompts, layers=1)
        >>> runs = motes.samplers.ImportanceSampling(particles=2).run(loop)
        >>> len(runs.trajectories)
        2
    """
    if not isinstance(prompts, ThoughtPrompts):
        raise TypeError(f"prompts must be ThoughtPrompts, not {prompts!r}")
    layers, tasks = checks.count("layers", layers), checks.count("tasks", tasks)
    depth = checks.count("depth", depth, least=0)
    most_steps = checks.count("most_steps", most_steps)

    def text(name: str, prompt: str) -> Trajectory:
        return solution(name, lm, prompt, most_steps=most_steps, prior=prior, answer=answer)

    def solved(asked: str, name: str, nesting: int) -> Trajectory:
        thoughts: list[Thought] = []
        for layer in range(1, layers + 1):
            here = f"{name}_{layer}"
            proposed = text(f"{here}_tasks", prompts.propose(asked, thoughts)).text
            found = list(prompts.tasks(proposed))[:tasks]
            if not found:
                break
            known = tuple(thoughts)  # the sub-questions of a layer do not see one another
            for i, task in enumerate(found, 1):
                judged = text(f"{here}_judge_{i}", prompts.judge(task)).text
                if nesting < depth and prompts.is_complex(judged):
                    reply = solved(task, f"{here}_graph_{i}", nesting + 1)
                else:
                    reply = text(f"{here}_answer_{i}", prompts.answer(task, known))
                thoughts.append(Thought(task, reply.text))
        return text(f"{name}_final", prompts.synthesise(asked, thoughts))

    def graph_of_thoughts(asked: str) -> str | None:
        return solved(asked, "layer", 0).answer

    return Program(graph_of_thoughts, question)
