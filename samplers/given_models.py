"""The models that a user gives: as objects, as names that are loaded, or as functions that load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import models
from ..models import LanguageModel, RewardModel
from ..models.pairing import paired
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
    else:
        check_prm(prm)
    return lm, prm


def load_models(
    lm: str | LanguageModel | Callable[[], LanguageModel],
    prm: str | RewardModel | None,
    device: str,
) -> tuple[LanguageModel, RewardModel | None]:
    """Return the models, loaded where they are names or functions.

    Raises:
        TypeError, ValueError, OSError: as `motes.load_lm` and `motes.load_prm`.
    """
    return _loaded_lm(lm, device), models.load_prm(prm, device=device) if isinstance(
        prm, str
    ) else prm


def _loaded_lm(lm: Any, device: str) -> LanguageModel:
    if isinstance(lm, str):
        return models.load_lm(lm, device=device)
    return lm() if is_loader(lm) else lm


def is_loader(lm: object) -> bool:
    """Return whether this is a function that loads a language model."""
    return callable(lm) and not isinstance(lm, LanguageModel | type)
