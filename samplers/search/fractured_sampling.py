"""Fractured sampling: thoughts cut at several depths, and several solutions behind each cut.

A language model that thinks before it answers writes n thoughts T_1, ..., T_n. Depth h of H cuts
thought i at the last end of a step at or before h / H of its tokens; there the end of thinking is
written for the model, which then writes m solutions. Let a_ij be their answers. The shares

    P-hat_h(a) = (1/n) sum_i (1/m) sum_j 1[a_ij = a]

are unbiased for P_h(a) = E[P(a | T cut at depth h, end of thinking)], a law of each depth's own:
the cut looks at how long the thought became. At h = H nothing is cut and nothing is written, so
that P_H = P, the model's own law of answers, and P-hat_H is never worse than n whole solutions (Rao
and Blackwell):

    Var P-hat_H(a) = Var P(a | T) / n + E Var(1[a] | T) / (n m)

To mix depths is to vote: its law is the mean of the P_h, which no model was asked for. To stop
where consecutive depths have one answer is to look at the answers: what is then the commonest one
follows no law that is stated here. Source: arXiv:2505.12992, which cuts at tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import NamedTuple

import numpy as np

from ... import checks
from ...models import Cost, Trajectory, capabilities
from ...models.own_time import own_seconds
from ...models.protocols import token_facts, underlying
from ...models.written_text import Encode, encoded
from ...ppl.answers import group
from ...ppl.particle import Particle
from ...ppl.statespace import StateSpaceModel
from ...ppl.stepwise import StepwiseModel
from ...smc import RunKeys, subkeys
from ..base import Seed, run_keys
from ..moves import complete


class Depth(NamedTuple):
    """What the solutions behind the cuts of one depth answer.

    Attributes:
        depth: h, from 1 to H.
        solutions: m of each of the n thoughts. Their log-probabilities are of what the model drew,
            without what was written for it.
        answers: P-hat_h(a) of each answer, the commonest first; None is that of solutions without
            one.
        mcse: the standard error of each share, over thoughts; NaN where nothing tells it: of one
            thought, or where all say the same.
    """

    depth: int
    solutions: tuple[tuple[Trajectory, ...], ...]
    answers: dict[str | None, float]
    mcse: dict[str | None, float]

    @property
    def answer(self) -> str | None:
        """The commonest answer; None where no solution states any."""
        return next((answer for answer in self.answers if answer is not None), None)


@dataclass(frozen=True, kw_only=True)
class Fractured:
    """What thoughts cut at several depths have come to.

    Attributes:
        thoughts: n, each whole.
        depths: those that were drawn, the shallowest first.
        agreed: whether it stopped because depths agreed.
        cost: of all of it.

    Example:
        >>> Fractured(thoughts=(), depths=(), agreed=False, cost=Cost()).answer is None
        True
    """

    thoughts: tuple[Trajectory, ...]
    depths: tuple[Depth, ...]
    agreed: bool
    cost: Cost

    @property
    def answer(self) -> str | None:
        """The commonest answer at the deepest depth that was drawn."""
        return self.depths[-1].answer if self.depths else None

    def vote(self) -> dict[str | None, float]:
        """Return each answer's mean share over depths, the commonest first; see the module."""
        total: dict[str | None, float] = {}
        for depth in self.depths:
            for answer, share in depth.answers.items():
                total[answer] = total.get(answer, 0.0) + share / len(self.depths)
        return dict(sorted(total.items(), key=lambda item: -item[1]))


def fractured(
    model: StateSpaceModel,
    *,
    thoughts: int = 16,
    depths: int = 16,
    solutions: int = 4,
    agreeing: int = 0,
    end: str | None = None,
    encode: Encode | None = None,
    seed: Seed = 0,
) -> Fractured:
    """Write thoughts, cut them at several depths, and have solutions written behind each cut.

    The reward model is not asked, and the prior's power does not count. Depths are drawn one after
    another, the shallowest first. A thought ends with the first step after which the model does not
    think; where it ends its text there, that is its only solution. What is written for the model
    counts as a step. See the module for the law of each depth.

    Args:
        model: the declared question, whose language model thinks (`StepRule(thinking=Thinking())`).
        thoughts: n.
        depths: H; 1 for whole thoughts alone.
        solutions: m, behind each cut.
        agreeing: stop as soon as so many consecutive depths, at least 2, have one commonest answer;
            0 for never.
        end: what is written where thinking is cut; None for its marker and a blank line.
        encode: a function from a text to token ids; None for the model's own tokenizer.
        seed: of the run.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; the language
            model does not think, or nobody can write its marker; or there is a constraint.

    Example:
        >>> from motes.models import Capabilities, Opening, StepRule, TableLM, Thinking
        >>> class Thinker(TableLM):
        ...     capabilities = Capabilities(step_rule=StepRule(thinking=Thinking(end="1 ")))
        ...     def start(self, question):
        ...         opening = Opening(begin="<think>", end="1 ", thinks=True)
        ...         return Trajectory(question=question, opening=opening)
        >>> lm = Thinker(lambda x: [0, 0, 0.7, 0.3] if 1 in x else [0.5, 0.5, 0, 0])
        >>> answer = lambda x: str(x.token_ids[-1]) if x.token_ids[-1] > 1 else None
        >>> model = StateSpaceModel("?", lm=lm, answer=answer)
        >>> found = fractured(model, depths=2, end="1 ", encode=lambda text: [1])
        >>> [depth.answer for depth in found.depths]
        ['2', '2']
    """
    numbers = {
        name: checks.count(name, value)
        for name, value in (("thoughts", thoughts), ("depths", depths), ("solutions", solutions))
    }
    if agreeing:
        checks.count("agreeing", agreeing, least=2)
    keys = run_keys(seed)
    scissors = _scissors(model, end, encode)
    plain = replace(model, prm=None, alpha=1.0)
    before, began = model.lm.cost, own_seconds()
    stepwise = plain.stepwise(None)
    whole = _thoughts(stepwise, keys, numbers["thoughts"])
    drawn: list[list[list[Trajectory]]] = []
    agreed = False
    for h in range(1, numbers["depths"] + 1):
        heads = [scissors.cut(plain, x, h, numbers["depths"]) for x in whole]
        drawn.append(_solutions(stepwise, keys, h, heads, numbers["solutions"]))
        agreed = _agree(drawn, agreeing)
        if agreed:
            break
    seconds = own_seconds() - began
    return Fractured(
        thoughts=tuple(x.trajectory for x in whole),
        depths=tuple(_described(drawn)),
        agreed=agreed,
        cost=replace(model.lm.cost - before, seconds=seconds),
    )


class _Scissors(NamedTuple):
    """Cuts thoughts.

    Attributes:
        inside: what is written where the model thinks: text and token ids.
        outside: what is written where it has not begun to.
    """

    inside: tuple[str, tuple[int, ...]]
    outside: tuple[str, tuple[int, ...]]

    def cut(self, model: StateSpaceModel, thought: Particle, depth: int, depths: int) -> Particle:
        """Return a thought cut at a depth, with the end of thinking behind it."""
        if depth == depths:
            return thought
        path = thought.trajectory.path
        ends = np.cumsum([len(node.step_token_ids) for node in path])
        kept = int(np.flatnonzero(ends * depths <= depth * ends[-1])[-1])
        head = path[kept]
        thinks = head.opening.still_thinks(head.text)
        text, ids = self.inside if thinks else self.outside
        written = head.child(text, ids, logprob=0.0, proposal_logprob=0.0, delimited=False)
        return Particle(model.close(written), ())


def _scissors(model: StateSpaceModel, end: str | None, encode: Encode | None) -> _Scissors:
    """Return what cuts the thoughts of a model, or raise why nothing can."""
    if not isinstance(model, StateSpaceModel):
        raise TypeError(f"model must be a StateSpaceModel, not {model!r}")
    rule = capabilities(model.lm).step_rule
    thinking = None if rule is None else rule.thinking
    if thinking is None:
        raise ValueError(
            f"fractured sampling cuts thinking short, and the language model {model.lm.name!r} has "
            "none: load it with step=StepRule(thinking=Thinking())"
        )
    if model.constraint is not None:
        raise ValueError("fractured sampling follows the language model, under no constraint")
    facts = token_facts(underlying(model.lm))
    if encode is None and facts.tokenizer is None:
        raise ValueError(
            "encode must be a function from a text to token ids, as the language model "
            f"{model.lm.name!r} has no tokenizer of its own"
        )
    text = f"{thinking.end}\n\n" if end is None else end
    if thinking.end not in text:
        raise ValueError(f"end must contain {thinking.end!r}, which ends thinking, not {end!r}")
    both = f"{thinking.begin}\n{text}"
    ids = [encoded("end", each, encode, facts.tokenizer) for each in (text, both)]
    return _Scissors((text, ids[0]), (both, ids[1]))


def _thoughts(stepwise: StepwiseModel, keys: RunKeys, count: int) -> list[Particle]:
    """Write thoughts, each up to the first step after which the model does not think."""
    particles = stepwise.initial(None, count)
    own = keys.moves(0, count, range(count))
    for number in range(stepwise.model.max_steps):
        going = [i for i, x in enumerate(particles) if x.open and _thinks(x.trajectory)]
        if not going:
            break
        moved = stepwise.step(None, subkeys(own, number, going), [particles[i] for i in going])
        for i, particle in zip(going, moved, strict=True):
            particles[i] = particle
    return particles


def _thinks(node: Trajectory) -> bool:
    """Return whether a trajectory is a thought under way; before its first step any is."""
    return not node.depth or node.opening.still_thinks(node.text)


def _solutions(
    stepwise: StepwiseModel, keys: RunKeys, depth: int, heads: Sequence[Particle], each: int
) -> list[list[Trajectory]]:
    """Write so many solutions behind each head, all in one batch."""
    count = len(heads) * each
    rows = [head for head in heads for _ in range(each)]
    drawn = complete(stepwise, None, keys.moves(depth, count, range(count)), rows)
    nodes = [x.trajectory for x in drawn]
    return [nodes[first : first + each] for first in range(0, count, each)]


def _agree(drawn: Sequence[Sequence[Sequence[Trajectory]]], agreeing: int) -> bool:
    """Return whether the last so many depths have one commonest answer."""
    if not agreeing or len(drawn) < agreeing:
        return False
    answers = {depth.answer for depth in _described(drawn)[-agreeing:]}
    return len(answers) == 1 and None not in answers


def _described(drawn: Sequence[Sequence[Sequence[Trajectory]]]) -> list[Depth]:
    """Say what each depth's solutions answer, under one label where they mean the same."""
    rows_of_all = [row for rows in drawn for row in rows]
    labels = iter(group([x.answer for row in rows_of_all for x in row]))
    described = []
    for h, rows in enumerate(drawn, 1):
        named = [[next(labels) for _ in row] for row in rows]
        common = Counter(answer for row in named for answer in row)
        shares = {a: np.array([row.count(a) / len(row) for row in named]) for a in common}
        answers = {a: float(share.mean()) for a, share in shares.items()}
        ranked = dict(sorted(answers.items(), key=lambda item: -item[1]))
        mcse = {a: _standard_error(shares[a]) for a in ranked}
        described.append(Depth(h, tuple(map(tuple, rows)), ranked, mcse))
    return described


def _standard_error(shares: np.ndarray) -> float:
    """Return that of the mean of independent shares; NaN where they do not differ."""
    if len(shares) < 2 or np.ptp(shares) == 0:
        return nan
    return float(shares.std(ddof=1) / np.sqrt(len(shares)))
