"""The models that a user gives: as objects, as names that are loaded, or as functions that load."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from .. import models
from ..models import LanguageModel, RewardModel
from ..models.pairing import AGREEMENT, OF_THE_LM, paired
from ..ppl.answers import Answer, group, stated
from ..ppl.statespace import check_lm, check_prm


def checked_models(lm: object, prm: object) -> tuple[Any, Any]:
    """Return what `load_models` takes, with the reward model that "auto" stands for.

    Nothing is loaded.

    Raises:
        TypeError, ValueError: one of them is no model, or a name where none can be, or no reward
            model was chosen.
        FileNotFoundError: one of them is a folder or file without a model.
    """
    if isinstance(lm, str):
        models.check_source(lm)
    elif not is_loader(lm):
        check_lm(lm)
    prm = paired(lm, prm)
    if isinstance(prm, str):
        models.check_source(prm)
    elif not is_loader(prm):
        check_prm(prm)
    return lm, prm


def load_models(
    lm: str | LanguageModel | Callable[[], LanguageModel],
    prm: str | RewardModel | Callable[[], RewardModel] | None,
    device: str,
    answer: Answer | None = None,
) -> tuple[LanguageModel, RewardModel | None]:
    """Return the models, loaded where they are names or functions.

    Args:
        lm, prm, device: as `motes.solve` takes them.
        answer: reads the answers that a reward model counts; `motes.ppl.stated` where None.

    Raises:
        TypeError, ValueError, OSError: as `motes.load_lm` and `motes.load_prm`; a function returned
            something else than a model.
    """
    loaded = _loaded_lm(lm, device)
    return loaded, _loaded_prm(prm, loaded, device, answer)


def load_own_reward(name: str, lm: LanguageModel, answer: Answer | None) -> RewardModel:
    """Return the reward model of `OF_THE_LM` that a language model is itself.

    Answers that it counts are read by this rule, and are the same where posteriors take them to be.

    Raises:
        TypeError: the language model cannot be that.
    """
    counted = {"answer": answer or stated, "group": group} if name == AGREEMENT else {}
    return models.load_prm(name, lm=lm, **counted)


def _loaded_lm(lm: Any, device: str) -> LanguageModel:
    if isinstance(lm, str):
        return models.load_lm(lm, device=device)
    if not is_loader(lm):
        return lm
    lm = lm()
    check_lm(lm)
    return lm


def _loaded_prm(
    prm: Any, lm: LanguageModel, device: str, answer: Answer | None
) -> RewardModel | None:
    if isinstance(prm, str):
        if prm in OF_THE_LM:
            return load_own_reward(prm, lm, answer)
        return models.load_prm(prm, device=device)
    if not is_loader(prm):
        return prm
    prm = prm()
    check_prm(prm)
    return prm


def is_loader(model: object) -> bool:
    """Return whether this is a function that loads a model: one that needs no argument.

    Example:
        >>> is_loader(lambda: models.load_lm("pocket")), is_loader(lambda trajectory: 0.0)
        (True, False)
    """
    if not callable(model) or isinstance(model, LanguageModel | RewardModel | type):
        return False
    try:
        signature(model).bind()
    except TypeError:
        return False
    except ValueError:  # it is built in, and does not say what it needs
        return True
    return True
