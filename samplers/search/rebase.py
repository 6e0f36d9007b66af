"""Reward balanced search: every open node gets children in proportion to its reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from ... import checks
from .level_search import Candidate, Chosen, LevelSearch, Round
from .search_sampler import PrefixSearch

ALLOCATIONS = ("sequential", "round")
SLACK = 1e-9  # by which a share that is a whole number may come out too large


def shares(log_values: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(R / T) of values R = exp(log_values), shape (K,).

    Example:
        >>> shares(np.log([0.5, 0.5]), 0.1)
        array([0.5, 0.5])
    """
    scaled = np.exp(log_values) / temperature
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def sequential_widths(log_values: np.ndarray, budget: int, temperature: float) -> np.ndarray:
    """Share a budget of children out among nodes, the best first; int64, shape (K,), of sum B.

    Each takes the ceiling of its share of what is left, and the last what remains. So the last ones
    may get nothing, be they as good as the first.

    Args:
        log_values: log R of the nodes, in the order of their slots.
        budget: B.
        temperature: T of softmax(R / T).

    Example:
        >>> sequential_widths(np.log([0.9, 0.8, 0.7, 0.2]), 8, 0.2)
        array([4, 3, 1, 0])
    """
    weights = shares(log_values, temperature)
    # of equals the first slot comes first
    order = sorted(range(len(weights)), key=lambda i: (-log_values[i], i))
    widths = np.zeros(len(weights), np.int64)
    left, mass = budget, float(weights.sum())
    for i in order[:-1]:
        share = left * weights[i] / mass if mass > 0 else 0.0
        widths[i] = min(left, ceil(share - SLACK))
        left -= int(widths[i])
        mass -= float(weights[i])
    widths[order[-1]] = left
    return widths


def rounded_widths(log_values: np.ndarray, budget: int, temperature: float) -> np.ndarray:
    """Round each node's share of a budget; int64, shape (K,), whose sum may be more or less.

    Args:
        log_values: log R of the nodes.
        budget: B.
        temperature: T of softmax(R / T).

    Example:
        >>> rounded_widths(np.log([0.9, 0.8, 0.7, 0.2]), 8, 0.2)
        array([4, 2, 1, 0])
    """
    return np.round(budget * shares(log_values, temperature)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Rebase(PrefixSearch, LevelSearch):
    """REBASE: share N children out among the open nodes of a level by softmax(R / T).

    A closed node is an answer, and the budget of later levels is smaller by one. So a run has N
    answers, but for nodes that die. As T grows every open node gets one child and this is
    best-of-N; as T falls to 0 all children go to the best node.

    The paper rounds shares (`allocation="round"`, T = 0.1), whose sum may miss the budget, and be 0
    for all; its code takes ceilings one after the other (`allocation="sequential"`, T = 0.2), whose
    sum is the budget.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of as many steps as there are answers missing, and the reward model's pass
    over the new tokens of each distinct one. Source: Wu et al. (2025), arXiv:2408.00724, eq. 1.

    Attributes:
        particles: N, answers to be found, and children of the root.
        balance_temperature: T, above 0.
        allocation: "sequential" or "round".
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how answers are weighed: "weighted", "best" or "vote".
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new step is begun. Answers found by then are
            returned; where there are none, the open nodes. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = Rebase(particles=8).run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (8, 'heuristic')
    """

    balance_temperature: float = 0.2
    allocation: str = "sequential"

    name = "rebase"
    paper = "Wu et al. (2025), arXiv:2408.00724"
    step_cost = (
        "the tokens of as many steps as there are answers missing; the reward model reads the new "
        "tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self,
            balance_temperature=checks.positive("balance_temperature", self.balance_temperature),
        )
        checks.choice("allocation", self.allocation, ALLOCATIONS)
        super().__post_init__()

    def select(self, round: Round) -> Chosen:
        closed = [each for each in round.found if not each.open]
        going = [each for each in round.found if each.open]
        widths = self.widths(round, going, self.particles - round.settled - len(closed))
        return Chosen(
            [
                *(each.keep(1, settled=True) for each in closed),
                *(
                    each.keep(width)
                    for each, width in zip(going, widths.tolist(), strict=True)
                    if width
                ),
            ]
        )

    def widths(self, round: Round, going: Sequence[Candidate], budget: int) -> np.ndarray:
        """Give how many children each open node gets, int64, shape (K,)."""
        if not going or budget <= 0:
            return np.zeros(len(going), np.int64)
        allocate = sequential_widths if self.allocation == "sequential" else rounded_widths
        return allocate(
            np.array([each.log_value for each in going]), budget, self.balance_temperature
        )
