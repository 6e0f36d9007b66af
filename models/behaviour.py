"""What can only be seen of a language model by watching it: whether it draws as it is asked.

A plain object of the user's that declares no `capabilities` is watched while it draws, until it has
shown that

    it heeds `sampling`     other steps, or other probabilities, than under `Sampling()` with the
                            same keys
    it heeds its keys       two slots with the same past draw different steps

What it has not shown becomes a doubt, which the run reports as a finding; slots that draw alike
against all odds are an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from ..aliases import PRNGKeys
from .mixture import Law
from .protocols import LanguageModel
from .sampling import Sampling
from .trajectory import Trajectory

ROWS = 4  # of a batch, drawn once more to compare
BATCHES = 3  # compared, at most: a first step may be the same under every law
CERTAIN = 1e-9  # nats: a step of a larger log-probability than minus this had no alternative
# nats: a coincidence of one in a thousand, of one in a billion
SUSPICIOUS, IMPOSSIBLE = -6.9, -20.7

Laws = tuple[Law, Sampling]


@dataclass
class Record:
    """What has been seen of a language model.

    Attributes:
        compared: by law, batches in which it drew as under `Sampling()`.
        heeds_sampling: whether it has drawn otherwise under any law.
        heeds_keys: whether slots with one past have drawn different steps.
        coincidence: log-probability, by its own account, that slots with one past all drew alike,
            as they did; in nats.
    """

    compared: dict[Laws, int] = field(default_factory=dict)
    heeds_sampling: bool = False
    heeds_keys: bool = False
    coincidence: float = 0.0


_records: dict[int, tuple[Any, Record]] = {}


def watch(
    lm: LanguageModel,
    trajectories: Sequence[Trajectory],
    keys: PRNGKeys,
    children: Sequence[Trajectory],
    sampling: Law,
    prior: Sampling,
) -> None:
    """Learn what a batch of draws shows of a language model.

    Args:
        lm: the language model.
        trajectories, keys, sampling, prior: what it was asked with.
        children: what it drew.

    Raises:
        ValueError: slots with one past drew alike, which by its own account has a probability below
            one in a billion.
    """
    record = _record(lm)
    if not record.heeds_keys:
        _watch_keys(lm, record, children)
    law, plain = (sampling, prior), Sampling()
    if law == (plain, plain) or record.heeds_sampling or record.compared.get(law, 0) >= BATCHES:
        return
    rows = range(min(ROWS, len(trajectories)))
    again = lm.extend(
        [trajectories[i] for i in rows], keys[: len(rows)], sampling=plain, prior=plain
    )
    pairs = [(children[i], other) for i, other in zip(rows, again, strict=True)]
    if not all(_alike(child, other) for child, other in pairs):
        record.heeds_sampling = True
    elif any(child.step_logprob < -CERTAIN for child, _ in pairs):
        record.compared[law] = record.compared.get(law, 0) + 1


def doubts(lm: LanguageModel, laws: Sequence[Laws]) -> list[str]:
    """Return what is doubtful about a language model's draws under these laws, as clauses.

    Nothing where nothing is.

    Args:
        lm: the language model.
        laws: (proposal, prior) that it was asked with.
    """
    record = _record(lm)
    found = []
    ignored = [law for law in laws if record.compared.get(law)]
    if ignored and not record.heeds_sampling:
        sampling, prior = ignored[0]
        found.append(
            f"the language model {lm.name!r} draws the same steps with the same probabilities "
            f"under {sampling!r} (prior {prior!r}) "
            "as under Sampling(): it seems to ignore sampling and prior"
        )
    if not record.heeds_keys and record.coincidence < SUSPICIOUS:
        found.append(
            f"the language model {lm.name!r} drew the same step in every slot with the same past: "
            "it seems to ignore that each "
            "slot has a key of its own"
        )
    return found


def _watch_keys(lm: LanguageModel, record: Record, children: Sequence[Trajectory]) -> None:
    of_parent: dict[int, Trajectory] = {}
    for child in children:
        first = of_parent.setdefault(id(child.parent), child)
        if first is child:
            continue
        if (first.step_token_ids, first.step_text) != (child.step_token_ids, child.step_text):
            record.heeds_keys = True
            return
        if child.step_proposal_logprob < 0:  # false of NaN
            record.coincidence += child.step_proposal_logprob
    if record.coincidence < IMPOSSIBLE:
        raise ValueError(
            f"the language model {lm.name!r} drew the same step in every slot with the same past, "
            "which by its own log-probabilities "
            "is all but impossible: extend must draw step i with keys[i]"
        )


def _alike(one: Trajectory, other: Trajectory) -> bool:
    said = one.step_token_ids == other.step_token_ids
    probable = one.step_logprob == other.step_logprob
    return said and probable and one.step_proposal_logprob == other.step_proposal_logprob


def _record(lm: LanguageModel) -> Record:
    """Return the model's record, which is forgotten with it."""
    known = _records.get(id(lm))
    if known is not None and known[0]() is lm:
        return known[1]
    record = Record()
    # an object that cannot be referred to weakly is watched anew at every batch
    with suppress(TypeError):
        _records[id(lm)] = ref(lm, lambda _, place=id(lm): _records.pop(place, None)), record
    return record
