"""The arms of an evaluation: methods, each with one or more budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from operator import index
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from ..models.identity import identify
from ..samplers.base import Sampler


class Arm(NamedTuple):
    """One method at one budget.

    Attributes:
        name: of the method, as the user calls it.
        budget: what tells it from the method's other budgets, in words; "" where there is one.
        settings: of the sampler, in plain values; its class is "sampler".

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.samplers import MajorityVote
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = {"vote": MajorityVote(samples=3)}
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> evaluation.arms[0].name, evaluation.arms[0].settings["samples"]
        ('vote', 3)
    """

    name: str
    budget: str
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        """The method, and its budget in brackets where it has several."""
        return f"{self.name} ({self.budget})" if self.budget else self.name

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other arms, whatever the other arms are."""
        return arm_key(self.name, self.settings)


def arm_key(name: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Return what tells an arm from others: its method's name, and its settings as a text."""
    return name, json.dumps(settings, sort_keys=True)


def labelled(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return the arms, with budgets in words by how each differs from its method's others."""
    found = []
    for arm in arms:
        of_method = [other.settings for other in arms if other.name == arm.name]
        found.append(arm._replace(budget=_budget(arm.settings, of_method)))
    return tuple(found)


def read_arms(samplers: object) -> list[tuple[Arm, Sampler]]:
    """Return methods and their budgets, in order, checked.

    Raises:
        TypeError, ValueError: they are something else; the message names the method.
    """
    if not isinstance(samplers, Mapping) or not all(
        isinstance(name, str) and name.strip() for name in samplers
    ):
        raise TypeError(f"samplers must map names to samplers, not {samplers!r:.100}")
    if not samplers:
        raise ValueError("samplers must hold at least one sampler")
    found = []
    for name, of_name in samplers.items():
        several = (
            list(of_name)
            if isinstance(of_name, Sequence) and not isinstance(of_name, str)
            else [of_name]
        )
        for sampler in several:
            if isinstance(sampler, type) or not isinstance(sampler, Sampler):
                raise TypeError(
                    f"samplers[{name!r}] must be a sampler or several (see "
                    f"motes.samplers.make_sampler), not {sampler!r:.100}"
                )
        settings = [{"sampler": type(sampler).__name__, **_fields(sampler)} for sampler in several]
        if not several or any(one in settings[:place] for place, one in enumerate(settings)):
            raise ValueError(
                f"samplers[{name!r}] must be one or more samplers that differ in their settings, "
                f"not {of_name!r:.100}"
            )
        found += [
            (Arm(name, _budget(one, settings), one), sampler)
            for one, sampler in zip(settings, several, strict=True)
        ]
    return found


def plain(value: object) -> Any:
    """Return a setting as JSON can hold it, different for different settings.

    Functions by what they do.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, SupportsIndex):
        return index(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__qualname__, **_fields(value)}
    return identify(value).text


def _fields(value: object) -> dict[str, Any]:
    """Return the fields of a dataclass in plain values.

    Fields that came later than files of results are left out at their defaults: what was done
    before they came stays done, with the seeds that it had.
    """
    if not is_dataclass(value):
        return {}
    found = {}
    for field in fields(value):
        own = getattr(value, field.name)
        if not (field.metadata.get("later") and own == field.default):
            found[field.name] = plain(own)
    return found


def _budget(own: dict[str, Any], all_of_method: Sequence[dict[str, Any]]) -> str:
    """Return the settings in which the method's budgets differ, in words."""
    missing = object()
    names = dict.fromkeys(name for settings in all_of_method for name in settings)
    differing = [
        name
        for name in names
        if any(settings.get(name, missing) != own.get(name, missing) for settings in all_of_method)
    ]
    return ", ".join(f"{name.replace('_', ' ')} {own[name]}" for name in differing if name in own)
