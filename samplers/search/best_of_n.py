"""Independent solutions, judged at their end: best-of-N, and the vote weighted by scores."""

from __future__ import annotations

from dataclasses import dataclass

from .level_search import Chosen, LevelSearch, Round
from .search_sampler import PrefixSearch


@dataclass(frozen=True, kw_only=True)
class BestOfN(PrefixSearch, LevelSearch):
    """N independent solutions from the proposal, of which the best is the answer.

    The law of the answer is known for any N. With F the distribution function of the score R of a
    solution under the proposal p (cut-off solutions below all others),

        P(x) = [F(R_x)^N - F(R_x-)^N] p(x) / p(all with the score R_x)

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of one step for each open solution, and the reward model's pass over the
    new tokens of each distinct one. Source: Cobbe et al. (2021), arXiv:2110.14168; Snell et al.
    (2024), arXiv:2408.03314, for the last step's score.

    Attributes:
        particles: N, at least 1.
        value, score, rollouts: what a solution is worth; see `PrefixSearch`.
        choice: "best"; "weighted" and "vote" are the weighted and the plain vote.
        proposal: what steps are drawn from; the model's prior when None.
        budget: generated tokens after which no new step is begun. The finished solutions are then
            the answers: the short ones. None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = BestOfN(particles=8, score="product").run(model, seed=0)
        >>> len(posterior.trajectories), int((posterior.log_weights == 0).sum())
        (8, 1)
    """

    choice: str = "best"

    name = "best_of_n"
    paper = "Cobbe et al. (2021), arXiv:2110.14168"
    step_cost = (
        "one step's tokens for each open solution; the reward model reads the new tokens of each "
        "distinct one"
    )

    def select(self, round: Round) -> Chosen:
        return Chosen([candidate.keep(1) for candidate in round.found])


@dataclass(frozen=True, kw_only=True)
class WeightedVote(BestOfN):
    """N independent solutions from the proposal, each with its score as its vote.

    The probability of an answer is its share of the scores R, which are probabilities and are not
    normalised otherwise: "weighted best-of-N". As N grows it tends to the share of E_p[R 1(answer)]
    under the proposal p.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of one step for each open solution, and the reward model's pass over the
    new tokens of each distinct one. Source: Li et al. (2023), arXiv:2206.02336; Wu et al. (2025),
    arXiv:2408.00724, theorem 2.

    Attributes:
        particles: N, at least 1.
        value, score, rollouts: what a solution is worth; see `PrefixSearch`.
        choice: "weighted".
        proposal: what steps are drawn from; the model's prior when None.
        budget: as of `BestOfN`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = WeightedVote(particles=8).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('heuristic', 8)
    """

    choice: str = "weighted"

    name = "weighted_vote"
    paper = "Li et al. (2023), arXiv:2206.02336"
