"""Allocations by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .allocation_base import Allocation, EqualShares
from .knowledge_gradient import KnowledgeGradient
from .thompson import Thompson

ALLOCATIONS: dict[str, type[Allocation]] = {
    rule.name: rule for rule in (KnowledgeGradient, Thompson, EqualShares)
}


def allocation_rule(rule: object) -> Allocation:
    """Return the allocation that this stands for.

    Args:
        rule: an allocation, or a mapping {"rule": name, "budget": solutions, setting: value, ...}
            with a name of `ALLOCATIONS`.

    Raises:
        TypeError: it is something else, or a setting is not of its kind.
        ValueError: the name or a setting is unknown, or a value out of its range.

    Example:
        >>> allocation_rule({"rule": "thompson", "budget": 64}).budget
        64
    """
    if isinstance(rule, Allocation):
        return rule
    settings: dict[str, Any] = dict(rule) if isinstance(rule, Mapping) else {}
    name = settings.pop("rule", None)
    if not isinstance(name, str) or "budget" not in settings:
        raise TypeError(
            "allocation must be an allocation, or a mapping with its name as 'rule' and its "
            f"'budget', not {rule!r}"
        )
    if name not in ALLOCATIONS:
        raise ValueError(f"allocation must be one of {', '.join(ALLOCATIONS)}, not {name!r}")
    known = [field.name for field in fields(ALLOCATIONS[name])]
    for setting in settings:
        if setting not in known:
            raise ValueError(
                f"{setting} is not a setting of the allocation {name!r}, which has "
                f"{', '.join(known)}"
            )
    return ALLOCATIONS[name](**settings)
