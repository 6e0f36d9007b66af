"""Refinement loops: their laws where the language model ignores prompts, and what they ask of it.

False alarms: chi-squared tests at 1e-4 each, on fixed seeds.
"""

from __future__ import annotations

from collections import Counter

import pytest
from searches import Table, fits

from motes.models import TableLM
from motes.ppl.refinement import (
    ThoughtPrompts,
    graph_of_thoughts,
    iterative_decoding,
    parallel_refinement,
)
from motes.samplers import ImportanceSampling

EOS = 2


def said(x) -> str | None:
    """The whole text, once it has ended."""
    if x.token_ids[-1] != EOS:
        return None
    return "".join("abc"[token] for token in x.token_ids)


class Asked(TableLM):
    """Remembers every prompt that it was asked."""

    def __init__(self, next_probs) -> None:
        super().__init__(next_probs, eos=EOS)
        self.prompts: list[str] = []

    def start(self, question):
        self.prompts.append(question)
        return super().start(question)


def lm_of(small: Table) -> Asked:
    return Asked(lambda prefix: small.next_probs(prefix) if len(prefix) < 3 else [0.0, 0.0, 1.0])


def leaves(lm, prefix=()) -> dict[tuple[int, ...], float]:
    if prefix and prefix[-1] == EOS:
        return {prefix: 1.0}
    found: Counter = Counter()
    for token, p in enumerate(lm.next_probs(prefix)):
        if p > 0:
            for end, rest in leaves(lm, (*prefix, token)).items():
                found[end] += float(p) * rest
    return dict(found)


@pytest.mark.slow
def test_feedback_that_is_ignored_leaves_the_best_of_all_draws():
    """T1: with n = 2 and T = 3 the law is that of the best of 6, and not of the best of 2."""
    small = Table(seed=3)
    lm = lm_of(small)
    loop = iterative_decoding(
        "?",
        lm=lm,
        score=lambda x: small.log_odds(x.token_ids),
        prompt=lambda question, best, worst: question,
        rounds=3,
        candidates=2,
        answer=said,
    )
    runs = ImportanceSampling(particles=300).run(loop, seed=1)
    probs = leaves(lm)

    def best_of(n: int) -> dict[str, float]:
        law = {}
        for x, p in probs.items():
            below = sum(q for y, q in probs.items() if small.log_odds(y) < small.log_odds(x))
            law["".join("abc"[t] for t in x)] = (below + p) ** n - below**n
        return law

    counts = Counter(runs.extracted)
    assert fits(counts, best_of(6)) and not fits(counts, best_of(2))


def test_the_best_is_never_given_up():
    small = Table(seed=4)
    seen = []

    def prompt(question, best, worst):
        seen.append(best.score)
        assert worst.score <= best.score
        return f"{question} Best {best.score:.3f}, worst {worst.score:.3f}."

    lm = lm_of(small)
    loop = iterative_decoding(
        "?",
        lm=lm,
        score=lambda x: small.log_odds(x.token_ids),
        prompt=prompt,
        rounds=4,
        candidates=1,
        answer=said,
    )
    ImportanceSampling(particles=1).run(loop, seed=2)
    # a whole program is run again from its beginning, and then says the same again
    last = seen[-4:]
    assert last == sorted(last) and len(set(last)) > 1
    assert any(text.startswith("? Best") for text in lm.prompts)


def test_a_constant_workspace_leaves_independent_draws():
    lm = lm_of(Table(seed=5))
    loop = parallel_refinement(
        "?",
        lm=lm,
        drafts=(2, 1),
        distil=lambda question, drafts: "",
        prompt=lambda question, workspace: question,
        answer=said,
    )
    runs = ImportanceSampling(particles=300).run(loop, seed=1)
    law = {"".join("abc"[t] for t in x): p for x, p in leaves(lm).items()}
    assert fits(Counter(runs.extracted), law)


def test_the_workspace_is_made_anew_and_cut():
    lm = lm_of(Table(seed=6))
    made: list[int] = []

    def distil(question, drafts):
        made.append(len(drafts))
        return "x" * 50

    loop = parallel_refinement(
        "?",
        lm=lm,
        drafts=(3, 2, 1),
        distil=distil,
        prompt=lambda question, workspace: f"{question} [{workspace}]",
        longest=10,
        answer=said,
    )
    ImportanceSampling(particles=1).run(loop, seed=0)
    assert made[-3:] == [3, 2, 1]
    assert set(lm.prompts) == {"? []", f"? [{'x' * 10}]"}


def prompts_of(complex_tasks: bool, asked: list[str]) -> ThoughtPrompts:
    def noted(kind: str):
        def prompt(first, *more):
            if (kind, first) == ("propose", "?"):  # a program is run again from its beginning
                asked.clear()
            asked.append(kind)
            return f"{kind}: {first}"

        return prompt

    return ThoughtPrompts(
        propose=noted("propose"),
        tasks=lambda text: ["a?", "b?", "c?", "d?"],
        judge=noted("judge"),
        is_complex=lambda text: complex_tasks,
        answer=noted("answer"),
        synthesise=noted("synthesise"),
    )


@pytest.mark.parametrize(("hard", "calls"), [(False, (1, 3, 3, 1)), (True, (4, 12, 9, 4))])
def test_how_often_a_graph_asks(hard, calls):
    """One layer of three tasks: three judgements, three answers, a synthesis; where each is complex
    it is a graph of its own, once."""
    asked: list[str] = []
    lm = lm_of(Table(seed=7))
    loop = graph_of_thoughts(
        "?", lm=lm, prompts=prompts_of(hard, asked), layers=1, tasks=3, depth=1, answer=said
    )
    posterior = ImportanceSampling(particles=1).run(loop, seed=0)
    counts = Counter(asked)
    seen = tuple(counts[kind] for kind in ("propose", "judge", "answer", "synthesise"))
    assert seen == calls
    assert posterior.extracted[0] is not None


def test_what_they_need():
    lm = lm_of(Table())
    with pytest.raises(ValueError, match="drafts must end with 1"):
        parallel_refinement("?", lm=lm, distil=str, prompt=str, drafts=(4, 4))
    with pytest.raises(TypeError, match="score must be a function"):
        iterative_decoding("?", lm=lm, score=1, prompt=str)
    with pytest.raises(TypeError, match="prompts must be ThoughtPrompts"):
        graph_of_thoughts("?", lm=lm, prompts={})
