"""Iterative agent decoding: draw, score, and draw again with the best and the worst in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ... import checks
from ...models import LanguageModel, Sampling
from ..answers import Answer
from ..programs.program import Program
from .whole_solution import Scored, ScoreOf, solution

Feedback: TypeAlias = Callable[[str, Scored, Scored], str]
"""(question, best so far, worst of the last round) -> the next round's prompt."""


def iterative_decoding(
    question: str,
    *,
    lm: LanguageModel,
    score: ScoreOf,
    prompt: Feedback,
    rounds: int = 3,
    candidates: int = 4,
    most_steps: int = 32,
    prior: Sampling = Sampling(),
    answer: Answer | None = None,
) -> Program:
    """Make the program of iterative agent decoding (IAD).

    In each round n candidates are drawn, the first round's from the question, later ones' from a
    prompt that holds the best so far and the worst of the round before. The best is replaced only
    by a better one, and is what the program answers. Where the language model ignores the prompt,
    this is the best of n T draws, exactly.

    Args:
        question: what is asked.
        lm: the language model.
        score: the verifier.
        prompt: makes later rounds' prompts.
        rounds: T.
        candidates: n.
        most_steps: of a candidate.
        prior, answer: as of `motes.ppl.step`.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Source: Chakraborty et al. (2025), arXiv:2504.01931.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> loop = iterative_decoding(
        ...     "?", lm=lm, score=lambda x: len(x.token_ids), rounds=2, candidates=3,
        ...     prompt=lambda question, best, worst: f"{question} Better than {best.score}.",
        ...     answer=lambda x: str(len(x.token_ids)),
        ... )
        >>> runs = motes.samplers.ImportanceSampling(particles=4).run(loop)
        >>> len(runs.trajectories)
        4
    """
    for name, value in {"score": score, "prompt": prompt}.items():
        if not callable(value):
            raise TypeError(f"{name} must be a function, not {value!r}")
    rounds, candidates = checks.count("rounds", rounds), checks.count("candidates", candidates)
    most_steps = checks.count("most_steps", most_steps)

    def candidate(name: str, text: str) -> Scored:
        x = solution(name, lm, text, most_steps=most_steps, prior=prior, answer=answer)
        return Scored(x, float(score(x)))

    def iterative_decoding(asked: str) -> str | None:
        text, kept = asked, list[Scored]()  # the best so far, once there is one
        for t in range(1, rounds + 1):
            drawn = [candidate(f"candidate_{t}_{i}", text) for i in range(1, candidates + 1)]
            best = max([*kept, *drawn], key=lambda each: each.score)  # of equals the first
            worst = min(drawn, key=lambda each: each.score)
            text, kept = prompt(asked, best, worst), [best]
        [best] = kept
        return best.trajectory.answer

    return Program(iterative_decoding, question)
