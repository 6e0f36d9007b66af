"""Votes of a judge that writes: the law of the counts, and that a score is a function of a text."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom, chisquare

from motes import solve
from motes.models import TableLM, Trajectory
from motes.models.identity import identify
from motes.models.reward.voting_judge import VotingJudge, last_verdict

PROMPT = "{question} {steps}"
RIGHT, NEITHER = 0.45, 0.25  # of the judge's first token: right, no verdict, wrong


def judge(**settings: object) -> VotingJudge:
    """A judge that writes a verdict, then goes on with probability 1/2 a token."""

    def law(prefix: tuple[int, ...]) -> list[float]:
        if prefix:
            return [0.5, 0.0, 0.0, 0.5]
        return [RIGHT, NEITHER, 1 - RIGHT - NEITHER, 0.0]

    lm = TableLM(law, eos=3)
    first = {"0": True, "2": False}
    given = {"verdict": lambda text: first.get(text.split()[0]), "prompt": PROMPT, "rationales": 4}
    return VotingJudge(lm, **(given | settings))  # pyright: ignore[reportArgumentType]


def solutions(count: int) -> list[Trajectory]:
    root, law = Trajectory(question="?"), {"logprob": 0.0, "proposal_logprob": 0.0}
    return [root.child(str(number), (number,), **law) for number in range(count)]


def test_counts_have_the_law_of_votes() -> None:
    """Chi-square at 1e-4, the seed being fixed: solutions have independent rationales."""
    right, wrong = judge()._counts(solutions(400))
    cast = (right + wrong).astype(int)
    expected = 400 * binom.pmf(range(5), 4, 1 - NEITHER)
    observed = np.bincount(cast, minlength=5)
    merged = [observed[:2].sum(), *observed[2:]], [expected[:2].sum(), *expected[2:]]
    assert chisquare(*merged).pvalue > 1e-4
    share = right.sum() / cast.sum()
    p = RIGHT / (1 - NEITHER)
    assert abs(share - p) < 3.9 * np.sqrt(p * (1 - p) / cast.sum())


def test_scores_and_errors_are_those_of_the_posterior() -> None:
    prm, some = judge(), solutions(30)
    right, wrong = prm._counts(some)
    assert prm.score(some) == pytest.approx(np.log((right + 0.5) / (wrong + 0.5)))
    for y, n, error in list(zip(right, wrong, prm.errors(some), strict=True))[:3]:
        draws = beta.rvs(y + 0.5, n + 0.5, size=200_000, random_state=1)
        draws = np.clip(draws, 1e-300, 1 - 1e-16)
        # of 200,000 draws of a heavy-tailed logit: within 2%
        assert np.std(np.log(draws) - np.log1p(-draws)) == pytest.approx(error, rel=0.02)


def test_a_score_is_a_function_of_the_text_alone() -> None:
    some = solutions(12)
    at_once = judge().score(some)
    prm = judge()
    alone = [float(prm.score([x])[0]) for x in reversed(some)]
    assert alone[::-1] == at_once.tolist()
    assert len(set(at_once.tolist())) > 2
    spent = prm.cost
    assert spent.prm_tokens > 0
    assert identify(prm).text == identify(judge()).text  # whatever it has been asked
    assert identify(prm).text != identify(judge(seed=1)).text
    again = solutions(12)  # other nodes with the same texts
    assert prm.score(again).tolist() == at_once.tolist()
    assert prm.cost == spent
    assert judge(seed=1).score(some).tolist() != at_once.tolist()


def test_a_rationale_stops_at_its_budget() -> None:
    prm = judge(max_steps=1)
    prm.score(solutions(5))
    assert prm.lm.cost.generated_tokens == 5 * 4


def test_the_last_verdict_counts() -> None:
    assert last_verdict("Yes, but no.") is False
    assert last_verdict("It is incorrect? No: \\boxed{Correct}") is True
    assert last_verdict("I know nothing of yesterday") is None


def test_a_filter_runs_with_it() -> None:
    lm = TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2)
    posterior = solve("?", lm=lm, prm=judge(), particles=8, max_steps=3, progress=False)
    assert np.isfinite(posterior.log_evidence)
    assert posterior.cost.prm_tokens > 0


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError, match="lm must be a language model, not 'pocket'"):
        VotingJudge("pocket")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="rationales must be"):
        judge(rationales=0)
    with pytest.raises(ValueError, match=r"prompt must have \{steps\}"):
        judge(prompt="Right?")
    with pytest.raises(ValueError, match="must have at least one step"):
        judge().score([Trajectory(question="?")])
