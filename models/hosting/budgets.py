"""How much of a trajectory was thought and how much was said."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from ..step_rule import StepRule
from ..trajectory import Trajectory


class Spent(NamedTuple):
    """Where a trajectory stands.

    Attributes:
        thinks: whether the model is thinking after it.
        thought: tokens of its steps of thinking.
        answered: tokens of its other steps.
    """

    thinks: bool
    thought: int = 0
    answered: int = 0


class Budgets:
    """Keeps for each trajectory where it stands, computed from its parent's.

    Args:
        rule: where steps end.

    Example:
        >>> from motes.models import Opening, StepRule, Thinking
        >>> budgets = Budgets(StepRule(thinking=Thinking(max_tokens=3)))
        >>> root = Trajectory(question="?", opening=Opening(begin="<think>", end="</think>"))
        >>> x = root.child("<think>So", (1, 2), logprob=0.0, proposal_logprob=0.0)
        >>> budgets.of(x)
        Spent(thinks=True, thought=2, answered=0)
    """

    def __init__(self, rule: StepRule) -> None:
        self.rule, self.thinking = rule, rule.thinking
        self._spent: WeakKeyDictionary[Trajectory, Spent] = WeakKeyDictionary()

    def of(self, trajectory: Trajectory) -> Spent:
        """Return where a trajectory stands."""
        if self.thinking is None:
            return Spent(thinks=False)
        for node in trajectory.path:
            if node not in self._spent:
                self._spent[node] = self._after(node)
        return self._spent[trajectory]

    def are_spent(self, trajectory: Trajectory) -> bool:
        """Return whether an open trajectory is out of tokens for what it would go on with."""
        if self.thinking is None:
            return False
        spent = self.of(trajectory)
        if spent.thinks:
            return spent.thought >= (self.thinking.max_tokens or spent.thought + 1)
        return spent.answered >= (self.thinking.max_answer_tokens or spent.answered + 1)

    def _after(self, node: Trajectory) -> Spent:
        thinks = node.opening.still_thinks(node.text)
        if node.parent is None:
            return Spent(thinks)
        before = self._spent[node.parent]
        written = len(node.step_token_ids)
        if self.rule.governing(node.step_text, thinks=before.thinks).thinks:
            return Spent(thinks, before.thought + written, before.answered)
        return Spent(thinks, before.thought, before.answered + written)
