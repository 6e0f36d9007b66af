"""A finding: something that a run shows, and that its reader should act on."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What is wrong with a run, in clauses; `str(finding)` makes a paragraph of them.

    Attributes:
        name: the same in every run; see docs/findings.md.
        seen: what was seen, with figures of this run.
        why: why it matters.
        change: what to change, by the names of this sampler's settings.

    Example:
        >>> import motes
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.9, 0.1])
        >>> prm = FunctionReward(lambda x: 5.0 * x.step_token_ids[0])
        >>> posterior = motes.solve("?", lm=lm, prm=prm, particles=4, max_steps=6, seed=0)
        >>> [finding.name for finding in posterior.check()][:2]
        ['few first steps', 'truncated trajectories']
    """

    name: str
    seen: str
    why: str
    change: str

    def __str__(self) -> str:
        return f"{_capital(self.name)}: {self.seen}. {_capital(self.why)}. {_capital(self.change)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
