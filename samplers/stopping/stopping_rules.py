"""Stopping rules by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .agreement import Agreement
from .calibrated_confidence import Confidence
from .certificate import Certificate
from .optimal_stopping import OptimalStopping
from .published_certificate import PublishedCertificate
from .saturation import Saturation
from .stopping_rule import StoppingRule
from .windowed_agreement import WindowedAgreement

RULES: dict[str, type[StoppingRule]] = {
    rule.name: rule
    for rule in (
        Certificate,
        PublishedCertificate,
        Agreement,
        WindowedAgreement,
        OptimalStopping,
        Confidence,
        Saturation,
    )
}


def stopping_rule(rule: object) -> StoppingRule:
    """Return the stopping rule that this stands for.

    Args:
        rule: a rule, a name of `RULES`, or a mapping {"rule": name, setting: value, ...}.

    Raises:
        TypeError: it is something else, or a setting is not of its kind.
        ValueError: the name or a setting is unknown, or a value out of its range.

    Example:
        >>> stopping_rule({"rule": "certificate", "error": 0.01})
        Certificate(error=0.01)
    """
    if isinstance(rule, StoppingRule):
        return rule
    settings: dict[str, Any] = dict(rule) if isinstance(rule, Mapping) else {"rule": rule}
    name = settings.pop("rule", None)
    if not isinstance(name, str):
        raise TypeError(
            f"stop must be a stopping rule, its name, or a mapping with its name as 'rule', not "
            f"{rule!r}"
        )
    if name not in RULES:
        raise ValueError(
            f"stop must be one of {', '.join(RULES)}, not {name!r} (where steps end is the "
            "language model's: load_lm(..., step=StepRule(...)))"
        )
    known = [field.name for field in fields(RULES[name])]
    for setting in settings:
        if setting not in known:
            raise ValueError(
                f"{setting} is not a setting of the stopping rule {name!r}, which has "
                f"{', '.join(known) or 'none'}"
            )
    return RULES[name](**settings)
