"""Diverse verifier tree search: independent greedy searches, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ... import checks
from .level_search import Chosen, Expanding, Round, best
from .search_sampler import PrefixSearch


@dataclass(frozen=True, kw_only=True)
class DVTS(PrefixSearch, Expanding):
    """N / M independent subtrees, each of which keeps the best of M steps drawn from its prefix.

    The law of a subtree's path is known: at every step that of the best of M draws. With M = 1 this
    is best-of-N, with M = N beam search that keeps one node.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of M steps for each open subtree, and the reward model's pass over the new
    tokens of each distinct one. Source: Beeching, Tunstall and Rush (2024), "Scaling test-time
    compute with open models".

    Attributes:
        particles: N, prefixes after every step; a multiple of M.
        expansions: M, steps drawn from the prefix of each subtree.
        look_ahead: k, greedy steps further on at which a prefix is scored; 0 for none.
        last_round: whether all finished candidates of a subtree's last round are answers, or its
            best one alone. (As published all of the last round are, finished or not.)
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how answers are weighed: "weighted", "best" or "vote".
        proposal: what steps are drawn from; the model's prior when None.
        budget: as of `BeamSearch`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = DVTS(particles=8, expansions=4).run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (2, 'heuristic')
    """

    look_ahead: int = 0
    last_round: bool = False

    name = "dvts"
    paper = "Beeching, Tunstall and Rush (2024), Scaling test-time compute with open models"
    step_cost = (
        "the tokens of M steps for each open subtree; the reward model reads the new tokens of "
        "each distinct one"
    )

    def __post_init__(self) -> None:
        checks.settle(
            self,
            look_ahead=checks.count("look_ahead", self.look_ahead, least=0),
            last_round=checks.flag("last_round", self.last_round),
        )
        super().__post_init__()

    def select(self, round: Round) -> Chosen:
        kept, answers = [], []
        # a subtree holds M slots in a row, from the first round on
        for _, group in groupby(round.found, key=lambda each: each.slot // self.expansions):
            candidates = list(group)
            [chosen] = best(candidates, 1)
            kept.append(chosen.keep(self.expansions, settled=not chosen.open))
            if self.last_round and not chosen.open:
                others = [each.node for each in candidates if each is not chosen]
                answers += [node for node in others if round.tree.finished(node)]
        return Chosen(kept, answers)

    @property
    def greedy_steps(self) -> int:
        return self.look_ahead
