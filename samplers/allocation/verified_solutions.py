"""A question solved and verified within one budget, by `SolveOrVerify`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from ... import checks
from ...models import Cost, RewardModel, Trajectory
from ...models.calls import score
from ...ppl.answers import group
from ...ppl.statespace import StateSpaceModel
from ..search.majority_vote import MajorityVote
from .solve_or_verify import Action, SolveOrVerify, Verdicts


class Verified(NamedTuple):
    """What a budget of solutions and verifications has come to.

    Attributes:
        answer: the one that is most probably right; None where no solution states any.
        beliefs: the probability that each answer is right, under the rule's rates; None stands for
            an answer that no solution stated.
        counts: solutions with each answer.
        verdicts: of each answer that was verified.
        solutions: all that were drawn.
        spent: of the budget, in solutions.
        cost: of the language model, and of the verifier as that of a reward model.
    """

    answer: str | None
    beliefs: dict[str | None, float]
    counts: dict[str, int]
    verdicts: dict[str, Verdicts]
    solutions: tuple[Trajectory, ...]
    spent: float
    cost: Cost


def solve_and_verify(
    model: StateSpaceModel,
    verifier: RewardModel,
    rule: SolveOrVerify,
    *,
    seed: int = 0,
    repeats: int = 1,
) -> Verified:
    """Draw solutions and have them verified, whichever is worth more, until a budget is used up.

    Args:
        model: the declared question; its reward model is not asked.
        verifier: a reward model of any kind. A solution passes where the log-odds of its last step
            are above 0.
        rule: what is bought, and at which price.
        seed: of the run, in [0, 2**32).
        repeats: how often one solution can be verified: 1 where the verifier's verdict is always
            the same, more where it draws one, as generative verifiers do.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.5, 0] if not prefix else [0, 0, 1], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> model = StateSpaceModel("?", lm=lm, prm=None, answer=first)
        >>> judge = FunctionReward(lambda x: 2.0 if x.token_ids[0] == 1 else -2.0)
        >>> solve_and_verify(model, judge, SolveOrVerify(budget=12, price=0.5)).answer
        '1'
    """
    checks.seed(seed)
    work = _Work(replace(model, prm=None), verifier, checks.count("repeats", repeats))
    before = model.lm.cost, verifier.cost
    spent, round, action = 0.0, 0, Action(None, rule.least, 0.0)
    while True:
        left = rule.budget - spent
        if action.answer is None:
            count = min(action.times, int(left + 1e-9))
            work.solve(count, (seed, round))
            spent += count
        else:
            spent += rule.price * work.verify(action.answer, action.times)
        round += 1
        left = rule.budget - spent
        action = rule.next(work.counts, work.verdicts, work.able(left / rule.price))
        if action.answer is None and left < 1 - 1e-9:
            break
    beliefs = rule.beliefs(work.counts, work.verdicts)
    stated = {each: belief for each, belief in beliefs.items() if each is not None}
    best = max(stated, key=lambda each: stated[each]) if stated else None
    cost = (model.lm.cost - before[0]) + (verifier.cost - before[1])
    found = tuple(work.found)
    return Verified(best, beliefs, work.counts, work.verdicts, found, spent, cost)


class _Work:
    """What was drawn and verified so far."""

    def __init__(self, model: StateSpaceModel, verifier: RewardModel, repeats: int) -> None:
        self.model, self.verifier, self.repeats = model, verifier, repeats
        self.found: list[Trajectory] = []
        self.asked: list[int] = []  # verifications of each solution
        self.labels: tuple[str | None, ...] = ()
        self.verdicts: dict[str, Verdicts] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Solutions with each answer."""
        return dict(Counter(label for label in self.labels if label is not None))

    def solve(self, count: int, seed: tuple[int, int]) -> None:
        """Draw solutions."""
        drawn = MajorityVote(samples=count).run(self.model, seed=seed)
        self.found += drawn.trajectories
        self.asked += [0] * count
        labels = tuple(group([x.answer if x.finished else None for x in self.found]))
        self.verdicts = _renamed(self.verdicts, self.labels, labels)
        self.labels = labels

    def verify(self, answer: str, count: int) -> int:
        """Verify solutions with an answer, those first that were least often; say how many."""
        places = [i for i, label in enumerate(self.labels) if label == answer]
        turns = [(turn, i) for i in places for turn in range(self.asked[i], self.repeats)]
        chosen = [i for _, i in sorted(turns)[:count]]
        values = score(self.verifier, [self.found[i] for i in chosen])
        passes = int((values > 0).sum())
        for i in chosen:
            self.asked[i] += 1
        now = self.verdicts.get(answer, Verdicts())
        after = Verdicts(now.passes + passes, now.failures + len(chosen) - passes)
        self.verdicts = {**self.verdicts, answer: after}
        return len(chosen)

    def able(self, most: float) -> dict[str, int]:
        """Return how many verifications of each answer can be had, and be paid for."""
        left = dict.fromkeys(self.counts, 0)
        for label, asked in zip(self.labels, self.asked, strict=True):
            if label is not None:
                left[label] += self.repeats - asked
        return {answer: min(count, int(most + 1e-9)) for answer, count in left.items()}


def _renamed(
    verdicts: dict[str, Verdicts],
    before: tuple[str | None, ...],
    after: tuple[str | None, ...],
) -> dict[str, Verdicts]:
    """Return verdicts under new labels: further solutions may change how an answer is spelled."""
    renamed: dict[str, Verdicts] = {}
    for old, new in dict.fromkeys(zip(before, after, strict=False)):
        if old in verdicts and new is not None:
            now, more = renamed.get(new, Verdicts()), verdicts[old]
            renamed[new] = Verdicts(now.passes + more.passes, now.failures + more.failures)
    return renamed
