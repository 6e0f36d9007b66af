"""The draft model of a sampler that has one: as it is given, loaded, and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from .. import models
from ..aliases import PRNGKeys
from ..models import Cost, LanguageModel, Sampling, Trajectory, calls, capabilities
from ..models.protocols import token_facts, underlying
from ..ppl.statespace import check_lm
from .given_models import is_loader

Draft: TypeAlias = "str | LanguageModel | Callable[[], LanguageModel] | None"
"""A draft model as `motes.solve` takes a language model; None for the language model itself."""

# what names and functions stand for, as long as the language model lives that they draft for
_LOADED: WeakKeyDictionary[Any, dict[Any, LanguageModel]] = WeakKeyDictionary()


class Metered:
    """A language model whose cost is what was asked of it through this object alone.

    Args:
        lm: the language model, which others may ask as well.

    Example:
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [1.0])
        >>> lm.cost += Cost(generated_tokens=5)
        >>> Metered(lm).cost.generated_tokens
        0
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.name, self.cost, self.original = lm.name, Cost(), lm
        self.capabilities = replace(capabilities(lm), checked=True, scoring=False, reading=False)

    @property
    def stands_for(self) -> LanguageModel:
        """The model itself."""
        return self.original

    def start(self, question: str) -> Trajectory:
        """Return the root of a new tree."""
        return calls.start(self.original, question)

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Sampling | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step of each trajectory; see `LanguageModel.extend`."""
        before = self.original.cost
        children = calls.extend(self.original, trajectories, keys, sampling=sampling, prior=prior)
        self.cost += self.original.cost - before
        return children


def check_draft(draft: object) -> None:
    """Raise what is wrong with a draft model as it is given; nothing is loaded."""
    if isinstance(draft, str):
        models.check_source(draft)
    elif draft is not None and not is_loader(draft):
        check_lm(draft, "draft")


def loaded_draft(draft: Draft, lm: LanguageModel, *, told: bool) -> LanguageModel | None:
    """Return the draft model, loaded where it is a name or a function.

    By name it is loaded to where the language model is, and with its prompt and its rule for steps.

    Args:
        draft: as it is given.
        lm: the language model that it drafts for.
        told: whether the draft must tell the probability of what it drafts.

    Returns:
        The draft model; None where the language model drafts for itself.

    Raises:
        TypeError: a function returned something else than a model.
        ValueError: the two do not read the same tokens, or do not end steps alike; or one does not
            tell a probability that is needed.
        OSError: as `motes.load_lm`.
    """
    target = underlying(lm)
    if isinstance(draft, str) or is_loader(draft):
        draft = _loaded(draft, target)
    if draft is None or draft is target:
        return None
    assert isinstance(draft, LanguageModel)
    _check_pair(draft, target, told)
    return draft


def _loaded(draft: Any, target: Any) -> LanguageModel:
    loaded = _LOADED.setdefault(target, {})
    if draft not in loaded:
        if isinstance(draft, str):
            facts = token_facts(target)
            rule = capabilities(target).step_rule
            loaded[draft] = models.load_lm(
                draft, device=facts.device, step=rule, prompt=facts.prompt
            )
        else:
            loaded[draft] = draft()
            check_lm(loaded[draft], "draft")
    return loaded[draft]


def _check_pair(draft: LanguageModel, lm: Any, told: bool) -> None:
    """Raise ValueError where one model cannot draft for the other."""
    pair = f"{draft.name!r} for the language model {lm.name!r}"
    if not capabilities(lm).scoring:
        raise ValueError(
            f"draft cannot be {pair}, which has no method `logprob` to read what was drafted"
        )
    if told and not capabilities(draft).probabilities:
        raise ValueError(
            f"draft cannot be {pair}, since it does not tell the probability of its drafts"
        )
    if capabilities(draft).step_rule != capabilities(lm).step_rule:
        raise ValueError(f"draft cannot be {pair}, which ends its steps by another rule")
    own, other = token_facts(draft), token_facts(lm)
    written = None not in (own.tokenizer, other.tokenizer)
    if written and own.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise ValueError(f"draft cannot be {pair}, whose tokens are others")
    if own.context is not None and other.context is not None and own.context < other.context:
        raise ValueError(
            f"draft cannot be {pair}, whose context of {other.context} tokens is longer than its "
            f"{own.context}"
        )
