"""An anytime-valid certificate of the model's most probable answer.

Let w_t <= 1 be the weight of solution t over its bound (1 for plain solutions), and let answer i be
seen first in solution T_i, as the rho-th answer. For a rival j, after T_i,

    E_ij = mean_lambda prod_t (1 + lambda w_t (1[a_t = i] - 1[a_t = j]))

is a test martingale of "j is at least as probable as i" for every lambda in (0, 1), and so for any
mixture of them fixed in advance; here lambda = cos(theta), theta uniform in (0, pi/2): of s
solutions for i and f for j, all of weight 1, that is

    E_ij = 2^(s+f) int_{1/2}^1 q^s (1-q)^f dBeta(1/2, 1/2 | q > 1/2).

Answer i is certified when min_j E_ij >= 1 / alpha_i, alpha_i = error * 6 / (pi^2 rho^2). For every
wrong i the most probable answer is one fixed rival, so by Ville's inequality and a union bound

    P(a wrong answer is ever certified) <= error,

at whatever moments one looks. An answer that was never seen is a rival too, with f = 0; any that
was seen binds at least as much. What is certified is the mode of the answers' law, and not that it
is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi

import numpy as np

from ... import checks
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule, Verdict

NODES = 128
BETS = np.cos((np.arange(NODES) + 0.5) / NODES * pi / 2)  # lambda, equally probable


@dataclass(frozen=True, kw_only=True)
class Certificate(StoppingRule):
    """Stop when the model's most probable answer is known, up to an error probability.

    Valid for independent solutions from one law, at every moment, whatever the number of answers,
    and for weighted solutions whose weights have a known bound: then of the posterior's mode. Where
    two answers are equally probable it stops, with probability 1 - error at least, never. Source:
    derived here, from Ramdas et al. (2023), doi:10.1214/23-STS894, section 4, as a repair of
    `PublishedCertificate`.

    Attributes:
        error: the most that the probability of a wrong certificate may be, in (0, 1).

    Raises:
        TypeError, ValueError: `error` is not of its kind, or out of its range.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.samplers import solve
        >>> lm = TableLM(lambda prefix: [0.9, 0.1], eos=1)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "answer": lambda x: "18"}
        >>> posterior = solve("?", sampler="majority_vote", samples=64, stop="certificate", **ask)
        >>> posterior.provenance.stopping.draws
        8
        >>> posterior.provenance.stopping.said[:40]
        "the model's most probable answer is 18, "
    """

    error: float = 0.05

    name = "certificate"
    paper = "derived; Ramdas et al. (2023), doi:10.1214/23-STS894"
    needs_bound = True

    def __post_init__(self) -> None:
        checks.settle(self, error=checks.number("error", self.error, above=0, below=1))

    def stop(self, solutions: Solutions) -> Verdict | None:
        if not solutions.tallies:
            return None
        answer = solutions.tallies[0].answer  # no other is certified, so that the vote agrees
        labels = solutions.labels
        order = list(dict.fromkeys(label for label in labels if label is not None))
        rank = order.index(answer) + 1
        after = labels.index(answer) + 1
        weights = np.exp(solutions.log_weights[after:] - solutions.log_bound)
        rivals = [
            [label == other for label in labels[after:]] for other in order if other != answer
        ]
        stated = np.array([label == answer for label in labels[after:]], bool)
        log_e = log_e_value(weights[stated], np.zeros(0))  # against an answer never seen
        for rival in rivals:
            log_e = min(log_e, log_e_value(weights[stated], weights[np.array(rival, bool)]))
        if log_e < log(pi**2 * rank**2 / (6 * self.error)):
            return None
        return Verdict(
            answer,
            f"the model's most probable answer is {answer}, error probability at most "
            f"{self.error:g}; that is not that it is right",
        )

    def exhausted(self, solutions: Solutions) -> Verdict:
        return super().exhausted(solutions)._replace(said=_uncertain(len(solutions)))


def log_e_value(pro: np.ndarray, contra: np.ndarray) -> float:
    """Return log E_ij of the weights for answer i and for its rival j, each in [0, 1].

    Example:
        >>> round(float(np.exp(log_e_value(np.ones(1), np.zeros(0)))), 4)  # 1 + 2 / pi
        1.6366
    """
    gains = np.log1p(np.outer(pro, BETS)).sum(0) + np.log1p(-np.outer(contra, BETS)).sum(0)
    return float(np.logaddexp.reduce(gains)) - log(NODES)


def _uncertain(count: int) -> str:
    return (
        f"after all {count} solutions the model's most probable answer is not certain: the answer "
        "is their vote"
    )
