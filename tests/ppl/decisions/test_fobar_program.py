"""FOBAR read as inference: a backward sub-inference in a program weighs each answer by how often it
recovers the masked number, and that target can be enumerated."""

from __future__ import annotations

import numpy as np
import numpyro
import pytest
from pools import make_pool

from motes import ppl
from motes.models import TableLM
from motes.ppl.decisions import answer_likelihood
from motes.samplers import ParticleFilter

FORWARD = np.array([0.5, 0.3, 0.2])  # of the answers
BACKWARD = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]])  # of the masked number
MASKED = 2  # what it is
TARGET = FORWARD * BACKWARD[:, MASKED] / (FORWARD @ BACKWARD[:, MASKED])

ASKED = TableLM(lambda prefix: FORWARD)


def solve_backwards(answer: int) -> ppl.Program:
    """What the masked number is, if this is the answer; allowed where it is right."""
    backward = TableLM(lambda prefix: BACKWARD[answer])

    def program() -> int:
        x = ppl.start(backward, "If the answer is so, what is x?")
        x = numpyro.sample("number", ppl.step(backward, x))
        ppl.condition("recovered", x.token_ids[0] == MASKED)
        return x.token_ids[0]

    return ppl.Program(program)


def solve_forwards() -> str:
    x = ppl.start(ASKED, "How many?")
    x = numpyro.sample("answer", ppl.step(ASKED, x))
    answer = x.token_ids[0]
    ppl.infer("backwards", solve_backwards(answer), particles=4)
    return str(answer)


def test_the_program_and_the_decision_have_the_enumerated_target():
    posterior = ParticleFilter(particles=256, ess_threshold=0.0).run(
        ppl.Program(solve_forwards), seed=0
    )
    pool = make_pool([str(i) for i in range(3)], weights=FORWARD)
    likelihood = {str(i): BACKWARD[i, MASKED] for i in range(3)}
    exact = answer_likelihood(pool, likelihood).shares
    for i in range(3):
        # the standard error is at most 0.05: four of them, for a seed in 15,000
        assert posterior.probability(str(i)) == pytest.approx(TARGET[i], abs=0.2)
        assert exact[str(i)] == pytest.approx(TARGET[i])
    assert posterior.log_evidence == pytest.approx(np.log(FORWARD @ BACKWARD[:, MASKED]), abs=0.25)
