"""Parallel, distil, refine: many drafts, what is worth keeping of them, and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ... import checks
from ...models import LanguageModel, Sampling, Trajectory
from ..answers import Answer
from ..programs.program import Program
from .whole_solution import solution

Distil: TypeAlias = Callable[[str, Sequence[Trajectory]], str]
"""(question, drafts) -> the workspace that the next round reads."""


def parallel_refinement(
    question: str,
    *,
    lm: LanguageModel,
    distil: Distil,
    prompt: Callable[[str, str], str],
    drafts: Sequence[int] = (4, 4, 1),
    longest: int = 4000,
    most_steps: int = 32,
    prior: Sampling = Sampling(),
    answer: Answer | None = None,
) -> Program:
    """Make the program of parallel-distill-refine (PDR).

    Round r draws M_r drafts from a prompt with the workspace of the round before, which is empty at
    first. The workspace is made anew after every round, and not kept. The last round draws one, and
    that is the answer. With one draft in every round this is sequential refinement; where
    `distil` gives a constant, the drafts are independent.

    Args:
        question: what is asked.
        lm: the language model.
        distil: makes a workspace of a round's drafts.
        prompt: makes a prompt of the question and a workspace.
        drafts: M_1, ..., M_R, the last of which is 1.
        longest: characters of a workspace, beyond which it is cut.
        most_steps: of a draft.
        prior, answer: as of `motes.ppl.step`.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Source: Madaan et al. (2025), arXiv:2510.01123.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> loop = parallel_refinement(
        ...     "?", lm=lm, drafts=(3, 1), answer=lambda x: str(x.token_ids[0]),
        ...     distil=lambda question, drafts: drafts[0].text,
        ...     prompt=lambda question, workspace: f"{question} Known: {workspace}",
        ... )
        >>> runs = motes.samplers.ImportanceSampling(particles=4).run(loop)
        >>> len(runs.trajectories)
        4
    """
    for name, value in {"distil": distil, "prompt": prompt}.items():
        if not callable(value):
            raise TypeError(f"{name} must be a function, not {value!r}")
    counts = [checks.count("each of drafts", number) for number in drafts]
    if not counts or counts[-1] != 1:
        raise ValueError(f"drafts must end with 1, the draft that answers, not {list(drafts)!r}")
    longest = checks.count("longest", longest, least=0)
    most_steps = checks.count("most_steps", most_steps)

    def parallel_refinement(asked: str) -> str | None:
        workspace, last = "", None
        for r, count in enumerate(counts, 1):
            text = prompt(asked, workspace)
            drawn = []
            for i in range(1, count + 1):
                x = solution(
                    f"draft_{r}_{i}", lm, text, most_steps=most_steps, prior=prior, answer=answer
                )
                drawn.append(x)
            last = drawn[-1]
            workspace = distil(asked, drawn)[:longest]
        assert last is not None
        return last.answer

    return Program(parallel_refinement, question)
