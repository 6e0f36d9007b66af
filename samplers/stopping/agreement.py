"""Adaptive consistency: stop when a posterior of the answers' probabilities is sure of the first.

With counts a >= b of the two commonest answers, under a uniform prior of the leader's probability q
among the two,

    beta        P(q > 1/2) = 1 - I_1/2(a + 1, b + 1)
    dirichlet   P(the leader's probability is the largest), of the five commonest answers,
                of which the posterior is Dirichlet(counts + 1)

The rule as published; its level is not an error probability. The two answers are chosen after
looking, and it looks again and again: where two answers have probability 1/2 each, it stops "95%
confident" in 42% of runs of 40 solutions, and of probabilities .45 and .55 it gives the wrong one
in 28% of runs, after 27 solutions (the vote of all 40 in 26%).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, gammainc, gammaincinv

from ... import checks
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule, Verdict

CRITERIA = {"beta": 0.95, "dirichlet": 0.95, "entropy": 0.75, "share": 0.8}
TOP = 5  # answers that the Dirichlet criterion compares
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True, kw_only=True)
class Agreement(StoppingRule):
    """Adaptive consistency: stop as soon as the answers seem to agree.

    Where solutions are weighted, an answer counts as many solutions as its weight is worth (see
    `Solutions.tallies`), which the paper does not do. Source: Aggarwal et al. (2023),
    arXiv:2305.11860, and its code; the Dirichlet criterion is computed exactly here, and by Monte
    Carlo there.

    Attributes:
        criterion: "beta" or "dirichlet" (see this module's description), "entropy" of the counts
            over its maximum, or the leader's "share" of the answers.
        level: the probability or the share from which on it stops, the entropy up to which it does;
            the paper's 0.95, 0.95, 0.75 and 0.8 where None.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import TableLM
        >>> from motes.samplers import solve
        >>> lm = TableLM(lambda prefix: [0.9, 0.1], eos=1)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "answer": lambda x: "18"}
        >>> posterior = solve("?", sampler="majority_vote", stop=Agreement(), **ask)
        >>> len(posterior.trajectories)
        4
    """

    criterion: str = "beta"
    level: float | None = None

    name = "agreement"
    paper = "Aggarwal et al. (2023), arXiv:2305.11860"

    def __post_init__(self) -> None:
        checks.choice("criterion", self.criterion, CRITERIA)
        if self.level is not None:
            checks.settle(self, level=checks.number("level", self.level, above=0, below=1))

    def stop(self, solutions: Solutions) -> Verdict | None:
        counts = np.array([tally.worth for tally in solutions.tallies])
        if not len(counts):
            return None
        level = CRITERIA[self.criterion] if self.level is None else self.level
        figure, enough = self._judge(counts, level)
        if not enough:
            return None
        answer = solutions.tallies[0].answer
        return Verdict(
            answer,
            f"{len(solutions)} solutions agree on {answer} by the criterion {self.criterion!r} "
            f"({figure:.3g}, level {level:g}), which is not an error probability",
        )

    def _judge(self, counts: np.ndarray, level: float) -> tuple[float, bool]:
        """Return the criterion's figure of descending counts, and whether it is enough."""
        match self.criterion:
            case "beta":
                figure = probability_of_lead(*counts[:1], *counts[1:2])
                return figure, figure >= level
            case "dirichlet":
                figure = probability_of_largest(counts[:TOP])
                return figure, figure >= level
            case "entropy":
                figure = relative_entropy(counts)
                return figure, counts.sum() > 1 and figure <= level
            case _:
                figure = float(counts[0] / counts.sum())
                return figure, counts.sum() > 1 and figure >= level


def probability_of_lead(a: float, b: float = 0.0) -> float:
    """Return P(q > 1/2) of a Beta(a + 1, b + 1) variable q.

    Example:
        >>> probability_of_lead(4, 0), probability_of_lead(3, 3)
        (0.96875, 0.5)
    """
    return float(betainc(b + 1, a + 1, 0.5))


def probability_of_largest(counts: np.ndarray) -> float:
    """Return the probability that the first of Dirichlet(counts + 1) variables is the largest.

    The variables are Gamma(c_k + 1) over their sum, so that it is E prod_k F_k(g) over the first
    one's g: an integral of one dimension. Under three answers it is the Beta criterion.

    Example:
        >>> round(probability_of_largest(np.array([2.0, 2.0, 2.0])), 6)
        0.333333
    """
    if len(counts) < 3:
        return probability_of_lead(*counts)
    g = gammaincinv(counts[0] + 1, (NODES + 1) / 2)
    below = np.prod([gammainc(count + 1, g) for count in counts[1:]], axis=0)
    return float(NODE_WEIGHTS @ below / 2)


def relative_entropy(counts: np.ndarray) -> float:
    """Return the entropy of the counts over that of equal ones.

    A single answer gets a rival that was seen once, as in the paper's code.

    Example:
        >>> relative_entropy(np.array([5.0, 5.0]))
        1.0
    """
    several = counts if len(counts) > 1 else np.append(counts, 1.0)
    shares = several / several.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(shares)))
