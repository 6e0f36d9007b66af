"""A reward model that reads less than the language model writes: a declared outcome, the same in
every run.

A step beyond its context has r = 1/2, for nothing is known of it, and a trajectory still open there
is truncated.
"""

from __future__ import annotations

from itertools import product
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from motes.evaluation import evaluate
from motes.models import (
    FunctionReward,
    QuestionTooLong,
    TableLM,
    Tampered,
    TorchPRM,
    Trajectory,
    load_lm,
    load_prm,
)
from motes.models.pocket import problems
from motes.ppl import StateSpaceModel
from motes.samplers import ImportanceSampling, ParticleFilter, SuffixMetropolis, solve, solve_many

PROBLEMS = [
    problem for problem, _ in zip(problems("test", seed=5, steps=4), range(3), strict=False)
]
BITS = (0.6, 0.4)
LOG_ODDS = 1.3  # of a step that is 0; minus that of a step that is 1


class ShortSighted(FunctionReward):
    """Reads `steps` steps, and fails if it is shown more."""

    def __init__(self, steps: int) -> None:
        super().__init__(lambda x: LOG_ODDS if x.token_ids[-1] == 0 else -LOG_ODDS)
        self.steps = steps

    def can_read(self, trajectory: Trajectory) -> bool:
        return trajectory.depth <= self.steps if trajectory.depth else self.steps > 0

    def score(self, trajectories: Any) -> np.ndarray:
        assert all(trajectory.depth <= self.steps for trajectory in trajectories)
        return super().score(trajectories)


def last_bit(trajectory: Trajectory) -> str | None:
    """The answer is the number of ones, once three zeros have been written at the end."""
    ids = trajectory.token_ids
    return str(sum(ids)) if ids[-3:] == (0, 0, 0) else None


def exact(readable: int) -> tuple[float, dict[tuple[int, ...], float]]:
    """log Z and the posterior over token ids, by enumeration of the declared target."""
    weights = {}
    for bits in product((0, 1), repeat=readable + 1):
        ends = [t for t in range(3, len(bits) + 1) if bits[t - 3 : t] == (0, 0, 0)]
        bits = bits[: min([*ends, readable + 1])]
        read = bits[:readable]
        right = sum(-np.log1p(np.exp(-LOG_ODDS if bit == 0 else LOG_ODDS)) for bit in read)
        unread = log(0.5) * (len(bits) - len(read))
        weights[bits] = sum(log(BITS[bit]) for bit in bits) + right + unread
    total = logsumexp(list(weights.values()))
    return total, {bits: np.exp(weight - total) for bits, weight in weights.items()}


@pytest.mark.long(quick=2)
@pytest.mark.parametrize(
    "sampler", [ParticleFilter(particles=4000), ImportanceSampling(particles=4000)]
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_posterior_is_that_of_the_declared_target(sampler: Any, wrapped: bool) -> None:
    """Five standard errors of 4,000 draws, by the effective number of them."""
    prm: Any = ShortSighted(3)
    prm = Tampered(prm, noise=0.0) if wrapped else prm
    model = StateSpaceModel(
        "Bits?", lm=TableLM(lambda prefix: BITS), prm=prm, max_steps=9, answer=last_bit
    )
    posterior = sampler.run(model, seed=2)
    log_z, law = exact(3)
    assert posterior.log_evidence == pytest.approx(log_z, abs=0.08)
    found: dict[tuple[int, ...], float] = {}
    for trajectory, log_weight in zip(posterior.trajectories, posterior.log_weights, strict=True):
        found[trajectory.token_ids] = found.get(trajectory.token_ids, 0.0) + np.exp(log_weight)
        assert trajectory.finished == (trajectory.token_ids[-3:] == (0, 0, 0))
        assert trajectory.truncated == (not trajectory.finished) and trajectory.depth <= 4
    assert set(found) == set(law)
    for bits, probability in law.items():
        assert found[bits] == pytest.approx(
            probability, abs=5 * np.sqrt(probability / posterior.ess[-1])
        )


@pytest.fixture(scope="module")
def lm() -> Any:
    return load_lm("pocket")


def shortened(tokens: int) -> TorchPRM:
    """The pocket's reward model, as if its context were so short."""
    prm = load_prm("pocket")
    prm.context = tokens
    return prm


def test_a_run_goes_on_and_says_that_it_truncated(lm: Any) -> None:
    question = PROBLEMS[0].question
    prompt = len(load_prm("pocket").reader.prompt(question))
    roomy = solve(question, lm=lm, prm="pocket", particles=8, seed=1)
    tight = solve(question, lm=lm, prm=(prm := shortened(prompt + 20)), particles=8, seed=1)
    assert not any(trajectory.truncated for trajectory in roomy.trajectories)
    assert any(trajectory.truncated for trajectory in tight.trajectories)
    unread = []
    for trajectory, log_odds in zip(tight.trajectories, tight.log_odds, strict=True):
        *steps, last = trajectory.path[1:]
        assert all(prm.can_read(node) for node in steps)
        if not prm.can_read(last):
            assert log_odds[-1] == 0.0 and not trajectory.open
            unread.append(trajectory)
    with pytest.raises(ValueError, match="whose context holds"):
        prm.score(unread[:1])


@pytest.mark.slow
def test_the_outcome_does_not_depend_on_company_or_sampler(lm: Any) -> None:
    questions = [problem.question for problem in PROBLEMS]
    prompt = min(len(load_prm("pocket").reader.prompt(question)) for question in questions)
    prm = shortened(prompt + 40)
    together = solve_many(questions, lm=lm, prm=prm, particles=4, seed=3)
    for i, question in enumerate(questions):
        alone = solve(question, lm=lm, prm=shortened(prompt + 40), particles=4, seed=(3, i))
        assert [x.text for x in alone.trajectories] == [x.text for x in together[i].trajectories]
        assert [x.truncated for x in alone.trajectories] == [
            x.truncated for x in together[i].trajectories
        ]
    chain = SuffixMetropolis(iterations=6).run(
        StateSpaceModel(questions[0], lm=lm, prm=prm), seed=0
    )
    assert all(x.truncated or x.finished for x in chain.trajectories)


def test_a_question_too_long_is_one_clear_error(lm: Any) -> None:
    question = PROBLEMS[0].question
    prompt = len(load_prm("pocket").reader.prompt(question))
    said = "the question is too long for the reward model 'pocket': it leaves no room for a step"
    with pytest.raises(QuestionTooLong, match=said):
        solve(question, lm=lm, prm=shortened(prompt), particles=4)
    root = lm.start(question)
    with pytest.raises(
        QuestionTooLong, match="the question is too long for 'pocket': its prompt has"
    ):
        lm.start(question * 40)
    assert shortened(prompt + 1).can_read(root) and not shortened(prompt).can_read(root)


def test_an_evaluation_records_it_and_goes_on(lm: Any, tmp_path: Path) -> None:
    """One problem is too long for the language model, one for the reward model; the third is
    solved."""
    prompts = [len(load_prm("pocket").reader.prompt(problem.question)) for problem in PROBLEMS]
    of_lm = {"question": PROBLEMS[0].question * 40, "answer": 1}
    of_prm = {"question": PROBLEMS[0].question + " So tell me." * 8, "answer": 1}
    solved = {"question": PROBLEMS[1].question, "answer": PROBLEMS[1].answer}
    evaluation = evaluate(
        problems=[of_lm, of_prm, solved],
        samplers={"filter": ParticleFilter(particles=4)},
        lm=lm,
        prm=shortened(max(prompts) + 20),
        results=tmp_path / "results.jsonl",
        progress=False,
        seed=1,
    )
    errors = [record.error for record in evaluation.records]
    assert errors[0] is not None and "too long for 'pocket'" in errors[0]
    assert errors[1] is not None and "too long for the reward model 'pocket'" in errors[1]
    assert errors[2] is None and evaluation.complete
