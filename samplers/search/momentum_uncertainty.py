"""Momentum uncertainty: draw several candidates where a step is less sure than those before it.

The signal of a step is its mean token log-probability s_t, and its momentum is

    M_t = a M_{t-1} + (1 - a) s_t,    M_0 = 0.

After the first step, a step with exp(s_t) < g exp(M_{t-1}) is thrown away, and K candidates are
drawn in its place, of which the best is kept. M_0 = 0 stands for full confidence, so that early
momenta are too high: with the same signal at every step the first steps are all replaced.
`corrected` divides M_t by 1 - a^t, the weight of what has been seen, and replaces none of those.

A step's law is p(s) 1[sure] + nu b(s), with nu the probability that a step is not sure and b the
law of the best of K. That is no tempering and no posterior of the declared target: where the signal
falls, steps of high score are preferred, and elsewhere the prior is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

from ... import checks
from ...models import Trajectory, capabilities
from ...ppl.interfaces import Declared
from ...ppl.statespace import StateSpaceModel
from .level_search import Candidate, Chosen, Kept, LevelSearch, Place, Round, best
from .search_sampler import PrefixSearch


@dataclass(frozen=True, kw_only=True)
class MomentumUncertainty(PrefixSearch, LevelSearch):
    """Trajectories whose unsure steps are replaced by the best of several candidates.

    It stops no run: it says, inside each trajectory, where a step deserves more tokens.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: its tokens, and those of K candidates where it is not sure. Source: Yan et al.
    (2025), arXiv:2507.14958, and its code.

    Attributes:
        particles: N, trajectories, each on its own.
        candidates: K, drawn for a step that is not sure, at least 2.
        momentum: a, how much of the momentum stays at each step, in (0, 1).
        scaling: g, in (0, 1]: the smaller, the fewer steps are replaced.
        corrected: whether momenta are divided by 1 - a^t; False as published.
        value, score, rollouts: by which the best candidate is chosen; see `PrefixSearch`.
        choice: "vote" over trajectories; "best" or "weighted".
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
        >>> posterior = MomentumUncertainty(particles=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('heuristic', 4)
    """

    particles: int = 1
    candidates: int = 4
    momentum: float = 0.9
    scaling: float = 0.9
    corrected: bool = False
    choice: str = "vote"

    name = "momentum_uncertainty"
    paper = "Yan et al. (2025), arXiv:2507.14958"
    step_cost = "the tokens of a step, and those of K candidates where it is not sure"

    def __post_init__(self) -> None:
        checks.settle(
            self,
            candidates=checks.count("candidates", self.candidates, least=2),
            momentum=checks.number("momentum", self.momentum, above=0, below=1),
            scaling=checks.number("scaling", self.scaling, above=0, most=1),
            corrected=checks.flag("corrected", self.corrected),
        )
        super().__post_init__()

    def check(self, model: Declared) -> None:
        super().check(model)
        assert isinstance(model, StateSpaceModel)
        if not capabilities(model.lm).probabilities:
            raise model.unknown_logprob(repr(self.name))

    def sure(self, trajectory: Trajectory) -> bool:
        """Return whether the last step of a trajectory is as sure as those before it.

        The first step is, whatever its signal.
        """
        before, level = 0.0, 0.0
        nodes = trajectory.path[1:]
        for t, node in enumerate(nodes[:-1], 1):
            before = self.momentum * before + (1 - self.momentum) * signal(node)
            level = before / (1 - self.momentum**t) if self.corrected else before
        return len(nodes) < 2 or signal(trajectory) >= log(self.scaling) + level

    def select(self, round: Round) -> Chosen:
        redrawn = {place.node for place in round.state.frontier if place.width > 1 and place.node}
        groups: dict[int, list[Candidate]] = {}
        kept: list[Kept] = []
        for each in round.found:
            node = round.tree.node(each.node)
            if node.parent in redrawn:
                groups.setdefault(node.parent, []).append(each)
            elif self.sure(node.particle.trajectory):
                kept.append(_kept(each))
            else:
                kept.append(Kept(each.slot, Place(node.parent, self.candidates)))
        kept += [_kept(best(group, 1)[0]) for group in groups.values()]
        return Chosen(kept)


def signal(trajectory: Trajectory) -> float:
    """Return s_t, the mean token log-probability of the last step, in nats.

    Example:
        >>> root = Trajectory(question="?")
        >>> signal(root.child("a b", (1, 2), logprob=-3.0, proposal_logprob=-3.0))
        -1.5
    """
    return trajectory.step_logprob / max(1, len(trajectory.step_token_ids))


def _kept(each: Candidate) -> Any:
    """Return the place of a step that is gone on with, or of an answer for good."""
    return each.keep(1, settled=not each.open)
