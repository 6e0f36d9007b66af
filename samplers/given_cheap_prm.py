"""The cheap reward model of a sampler that screens by one: as it is given, loaded, and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from .. import models
from ..models import Capabilities, Cost, LanguageModel, RewardModel, Trajectory, calls
from ..models.pairing import AGREEMENT, OF_THE_LM
from ..models.protocols import token_facts, underlying
from ..ppl.answers import Answer
from ..ppl.statespace import check_prm
from .given_models import is_loader, load_own_reward

CheapReward: TypeAlias = "str | RewardModel | Callable[[], RewardModel] | None"
"""A cheap reward model as `motes.solve` takes a reward model; None for the declared one itself."""

# what names and functions stand for, as long as the language model lives whose steps they judge
_LOADED: WeakKeyDictionary[Any, dict[Any, RewardModel]] = WeakKeyDictionary()


class Screen:
    """A reward model in the place of another, whose trajectories it judges.

    Where a trajectory ends may depend on what a reward model can read. That is the other's affair,
    so that both targets are of the same trajectories; a step that this one cannot read has r = 1/2.

    Args:
        prm: the reward model, which others may ask as well.
        declared: the one that it stands for.

    Attributes:
        cost: what was asked of it through this object alone.

    Example:
        >>> from motes.models import FunctionReward
        >>> screen = Screen(FunctionReward(lambda x: 2.0), FunctionReward(lambda x: 0.0))
        >>> screen.score([Trajectory(question="?")]), screen.cost.prm_tokens
        (array([2.]), 1)
    """

    capabilities = Capabilities(limited=True, checked=True)

    def __init__(self, prm: RewardModel, declared: RewardModel) -> None:
        self.name, self.cost, self.original, self.declared = prm.name, Cost(), prm, declared

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the declared reward model's context holds a trajectory."""
        return calls.can_read(self.declared, trajectory)

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`."""
        before = self.original.cost
        scores = calls.score(self.original, trajectories)
        self.cost += self.original.cost - before
        return scores


def check_cheap_prm(prm: object) -> None:
    """Raise what is wrong with a cheap reward model as it is given; nothing is loaded."""
    if isinstance(prm, str):
        models.check_source(prm)
    elif prm is not None and not is_loader(prm):
        check_prm(prm, "cheap_prm")


def loaded_cheap_prm(
    prm: CheapReward,
    lm: LanguageModel,
    draft: LanguageModel | None,
    answer: Answer | None = None,
) -> RewardModel | None:
    """Return the cheap reward model, loaded where it is a name or a function.

    Args:
        prm: as it is given.
        lm: the declared language model, to whose device a name is loaded.
        draft: its draft model, of which a reward model is made that a language model is itself.
        answer: reads the answers that a reward model counts; `motes.ppl.stated` where None.

    Raises:
        TypeError: a function returned something else than a reward model.
        ValueError, OSError: as `motes.load_prm`.
    """
    if not (isinstance(prm, str) or is_loader(prm)):
        return prm  # pyright: ignore[reportReturnType] (it is no loader, and was checked)
    target = underlying(lm)
    loaded = _LOADED.setdefault(target, {})
    meant = (prm, answer) if prm == AGREEMENT else prm
    if meant not in loaded:
        if not isinstance(prm, str):
            loaded[meant] = prm()  # pyright: ignore[reportOptionalCall, reportCallIssue]
            check_prm(loaded[meant], "cheap_prm")
        elif prm in OF_THE_LM:
            loaded[meant] = load_own_reward(prm, target if draft is None else draft, answer)
        else:
            loaded[meant] = models.load_prm(prm, device=token_facts(target).device)
    return loaded[meant]
