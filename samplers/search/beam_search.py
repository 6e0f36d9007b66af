"""Beam search over steps, by the reward model's score of a prefix or of what it leads to."""

from __future__ import annotations

from dataclasses import dataclass

from ... import checks
from .level_search import Chosen, Expanding, Round, best
from .search_sampler import PrefixSearch

FINISHED_RULES = ("compete", "shrink", "refill")


@dataclass(frozen=True, kw_only=True)
class BeamSearch(PrefixSearch, Expanding):
    """Beam search by a reward model: keep the best N / M of N prefixes, and draw M steps of each.

    What becomes of closed nodes is a rule of its own, on which cost and law depend:

        "compete"  they stay in the beam as long as no other node is better
        "shrink"   once kept they are answers for good, and the beam is narrower by one
        "refill"   they leave it at once as answers, and the best open ones fill it up, until there
                   are N answers. The first N to finish favour short solutions

    With M = 1 nothing is pruned, and but for "refill" this is best-of-N; with M = N one node is
    left, step by step the best of N.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of N steps, fewer where closed nodes hold places, and the reward model's
    pass over the new tokens of each distinct one. Source: Snell et al. (2024), arXiv:2408.03314,
    section 5.2.

    Attributes:
        particles: N, prefixes after every step; a multiple of M.
        expansions: M, steps drawn from each prefix that is kept.
        finished: "compete", "shrink" or "refill".
        value, score, rollouts: what a prefix is worth; see `PrefixSearch`.
        choice: how the N / M answers are weighed: "weighted", "best" or "vote".
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new step is begun. Answers found by then are
            returned; where there are none, the open beam. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = BeamSearch(particles=8, expansions=4).run(model, seed=0)
        >>> len(posterior.trajectories), posterior.guarantee
        (2, 'heuristic')
    """

    finished: str = "compete"

    name = "beam_search"
    paper = "Snell et al. (2024), arXiv:2408.03314"
    step_cost = (
        "the tokens of N steps, fewer where closed nodes hold places; the reward model reads the "
        "new tokens of each distinct one"
    )

    def __post_init__(self) -> None:
        checks.choice("finished", self.finished, FINISHED_RULES)
        super().__post_init__()

    def select(self, round: Round) -> Chosen:
        if self.finished == "refill":
            return self._refilled(round)
        shrinks = self.finished == "shrink"
        kept = best(round.found, self.survivors - round.settled)
        return Chosen(
            [each.keep(self.expansions, settled=shrinks and not each.open) for each in kept]
        )

    def _refilled(self, round: Round) -> Chosen:
        answers = [each.node for each in round.found if not each.open]
        missing = self.particles - len(round.state.answers)
        kept = best([each for each in round.found if each.open], self.survivors)
        if len(answers) >= missing or not kept:
            return Chosen([], answers[:missing])
        # N slots again: what does not divide goes to the first of them
        width, more = divmod(self.particles, len(kept))
        return Chosen([each.keep(width + (i < more)) for i, each in enumerate(kept)], answers)


@dataclass(frozen=True, kw_only=True)
class LookaheadSearch(BeamSearch):
    """Beam search by what prefixes lead to: each is scored k greedy steps further on.

    It is beam search with the score r(s + greedy continuation of s by k steps) in the place of
    r(s). The continuation ends early where it closes; its text is thrown away. With k = 0 it is
    beam search.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: as of `BeamSearch`, and the tokens of k greedy steps of each distinct open prefix,
    which both models read. Source: Snell et al. (2024), arXiv:2408.03314, section 5.2.

    Attributes:
        particles, expansions, finished: as of `BeamSearch`.
        look_ahead: k, at least 0.
        value, score, rollouts: what the end of the continuation is worth; only "prm" looks ahead.
        choice: how answers are weighed.
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
        >>> posterior = LookaheadSearch(particles=8, expansions=4, look_ahead=2).run(model, seed=0)
        >>> posterior.tree.tokens_aside > 0
        True
    """

    look_ahead: int = 3

    name = "lookahead_search"
    step_cost = (
        "the tokens of N steps, and of k greedy steps of each distinct open prefix; the reward "
        "model reads both"
    )

    def __post_init__(self) -> None:
        checks.settle(self, look_ahead=checks.count("look_ahead", self.look_ahead, least=0))
        super().__post_init__()

    @property
    def greedy_steps(self) -> int:
        return self.look_ahead
