"""Several language models that write one tree of trajectories, a step at a time.

A step is drawn by one model and read by all others: so every component of a mixture tells how
probable it is, whichever drew it. What prompts over one network draw, or read, is one batch of it;
other models have a batch each. Every model keeps a tree of its own, with its
own prompt and its own keys and values, and the *mirror* of a trajectory is the node with the same
steps there. A model that could not have drawn a step (its context was full sooner, say) has no
mirror from there on: it draws nothing, and the shares of the others grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from math import inf
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from ..aliases import PRNGKeys
from . import calls
from .asking import Question, asked
from .cost import Cost
from .mixture import Law, Mixture, components
from .panel_parts import check_parts, parts_of, widest
from .protocols import (
    LanguageModel,
    Reading,
    share_network,
)
from .randomness import CHOICE_OF_MODEL, SlotUniforms, raw_keys
from .sampling import Sampling
from .trajectory import Trajectory


class Stepped(NamedTuple):
    """A step behind a trajectory, as a panel sees it.

    Attributes:
        said: a node with the step's text, tokens and end.
        readings: what each model makes of it; None of a model that could not have drawn it.
        terms: its log-probability under each component, in nats.
        log_q: under the mixture.
    """

    said: Trajectory
    readings: list[Reading | None]
    terms: np.ndarray
    log_q: float


_Place: TypeAlias = tuple[Trajectory | None, tuple[int, ...], bool, bool, bool]


class _Asking(NamedTuple):
    """What a model is asked about steps.

    Attributes:
        places: for each step, where and how it stands; equal ones are asked about once.
        rows: the places that are asked about.
        question: about these.
    """

    places: list[_Place]
    rows: list[_Place]
    question: Question


class Panel:
    """The language models of a mixture, and the mirrors of trajectories in their trees.

    Args:
        mixture: the mixture.
        lm: the language model whose `Sampling`s stand among the components; the first of the panel.
            None where each component has its own.

    Attributes:
        parts: what each model draws, no model twice.

    Raises:
        TypeError: the model of a `Component` is none.
        ValueError: there is a `Sampling` and no model for it; or two models cannot write one tree.

    Example:
        >>> from motes.models import Component, TableLM
        >>> one, two = TableLM(lambda prefix: [0.5, 0.5]), TableLM(lambda prefix: [0.9, 0.1])
        >>> panel = Panel(Mixture([Component(two), Sampling(), Sampling(top_k=1)]), one)
        >>> [part.places for part in panel.parts]
        [[1, 2], [0]]
    """

    def __init__(self, mixture: Mixture, lm: LanguageModel | None) -> None:
        self.mixture, self.parts = mixture, parts_of(mixture, lm)
        check_parts(self.parts)
        self._mirrors: list[WeakKeyDictionary[Trajectory, Trajectory | None]] = [
            WeakKeyDictionary() for _ in self.parts
        ]
        self._asked = [Cost() for _ in self.parts]

    @property
    def cost(self) -> Cost:
        """What the first model has computed, and what was asked of others here.

        That counts as a draft's, unless they are the same weights under another prompt.
        """
        first, *others = self.parts
        total = first.lm.cost
        for part, own in zip(others, self._asked[1:], strict=True):
            total += own if share_network(part.lm, first.lm) else own.as_draft()
        return total

    def root(self, question: str) -> Trajectory:
        """Return a new root, whose opening is that of the first model's."""
        mirror = calls.start(self.parts[0].lm, question)
        root = replace(mirror)
        self._mirrors[0][root] = mirror
        return root

    def mirrors(self, k: int, trajectories: Sequence[Trajectory]) -> list[Trajectory | None]:
        """Return the nodes of model k's tree with the same steps; None where it has none.

        What it has not read yet, as of a run that is taken up again, it reads now.
        """
        known = self._mirrors[k]
        unread: dict[Trajectory, None] = {}
        for trajectory in trajectories:
            node: Trajectory | None = trajectory
            while node is not None and node not in known and node not in unread:
                unread[node] = None
                node = node.parent
        for depth, level in groupby(sorted(unread, key=_depth), key=_depth):
            nodes = list(level)
            if depth == 0:
                for node in nodes:
                    known[node] = self._start(k, node.question)
                continue
            parents = [node.parent for node in nodes if node.parent is not None]
            readings = self.read(k, parents, nodes, prior=widest(self.parts[k].law))
            for node, reading in zip(nodes, readings, strict=True):
                ends_alike = reading is not None and reading.node.open == node.open
                known[node] = reading.node if reading is not None and ends_alike else None
        return [known[trajectory] for trajectory in trajectories]

    def _start(self, k: int, question: str) -> Trajectory:
        lm = self.parts[k].lm
        before = lm.cost
        root = calls.start(lm, question)
        self._asked[k] += lm.cost - before
        return root

    def keep(self, k: int, trajectory: Trajectory, mirror: Trajectory | None) -> None:
        """Remember the mirror of a trajectory in model k's tree."""
        self._mirrors[k][trajectory] = mirror

    def child(self, parent: Trajectory, stepped: Stepped, *, logprob: float) -> Trajectory:
        """Return a trajectory with a step behind it, whose own log-probability this is."""
        child = parent.child(
            stepped.said.step_text,
            stepped.said.step_token_ids,
            logprob=logprob,
            proposal_logprob=stepped.log_q,
            finished=stepped.said.finished,
            truncated=stepped.said.truncated,
            delimited=stepped.said.delimited,
            component_logprobs=tuple(stepped.terms.tolist()),
        )
        for k, reading in enumerate(stepped.readings):
            self.keep(k, child, None if reading is None else reading.node)
        return child

    def log_shares(self, trajectory: Trajectory) -> np.ndarray:
        """Return the log-probability that each component draws the next step, as it is drawn here.

        Float64, shape (components,): those of the mixture, among the models that have a mirror.
        """
        log_shares = self.mixture.log_shares(trajectory)
        for k, part in enumerate(self.parts):
            if self.mirrors(k, [trajectory]) == [None]:
                log_shares[part.places] = -inf
        return log_shares - np.logaddexp.reduce(log_shares)

    def draw(
        self, trajectories: Sequence[Trajectory], keys: PRNGKeys, prior: Sampling | None = None
    ) -> list[Stepped]:
        """Draw a step behind each trajectory from the mixture.

        Args:
            trajectories: N open ones.
            keys: JAX random keys, shape (N,); what slot i draws depends on keys[i] alone.
            prior: what the first model's log-probabilities are of; any where None.
        """
        if not len(trajectories):
            return []
        raw, parts = raw_keys(keys, len(trajectories)), range(len(self.parts))
        log_shares = {x: self.log_shares(x) for x in dict.fromkeys(trajectories)}
        points = SlotUniforms(raw, len(trajectories)).at(CHOICE_OF_MODEL)
        chosen = [self._part(log_shares[x], u) for x, u in zip(trajectories, points, strict=True)]
        drawn: list[Trajectory] = list(trajectories)
        readings: list[list[Reading | None]] = [[None] * len(self.parts) for _ in trajectories]
        drawing = [(k, [i for i, other in enumerate(chosen) if other == k]) for k in parts]
        drawing = [(k, rows) for k, rows in drawing if rows]
        for (k, rows), found in zip(
            drawing, self._extended(drawing, trajectories, raw, prior), strict=True
        ):
            for i, reading in zip(rows, found, strict=True):
                drawn[i], readings[i][k] = reading.node, reading
        others = [[i for i, other in enumerate(chosen) if other != k] for k in parts]
        heads = [[trajectories[i] for i in rows] for rows in others]
        steps = [[drawn[i] for i in rows] for rows in others]
        for k, found in enumerate(self._readings(heads, steps, prior)):
            for i, reading in zip(others[k], found, strict=True):
                readings[i][k] = reading
        return [
            self._stepped(step, row, log_shares[x])
            for x, step, row in zip(trajectories, drawn, readings, strict=True)
        ]

    def follow(
        self, trajectories: Sequence[Trajectory], step: Trajectory, prior: Sampling | None = None
    ) -> list[Stepped | None]:
        """Put the last step of a trajectory behind each of others, as if the mixture had drawn it.

        None where no model could have drawn it.
        """
        parts = len(self.parts)
        steps = [[step] * len(trajectories)] * parts
        columns = self._readings([trajectories] * parts, steps, prior)
        found: list[Stepped | None] = []
        for trajectory, *row in zip(trajectories, *columns, strict=True):
            nodes = [reading.node for reading in row if reading is not None]
            if nodes:
                found.append(self._stepped(nodes[0], row, self.log_shares(trajectory)))
            else:
                found.append(None)
        return found

    def read(
        self,
        k: int,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        prior: Sampling | None = None,
        proposal: Law | None = None,
    ) -> list[Reading | None]:
        """Let model k read a step behind each trajectory; equal ones once.

        Args:
            k: the model's number.
            trajectories: N open ones.
            steps: N nodes, whose last steps are taken.
            prior: what `Reading.log_p` is of, of the first model.
            proposal: what its terms are of; the model's part of the mixture where None.
        """
        asking = self._asking(k, trajectories, steps, prior, proposal)
        [readings] = self._read([asking])
        return readings

    def log_probs(
        self, trajectories: Sequence[Trajectory], continuations: Sequence[Sequence[int]]
    ) -> np.ndarray:
        """Return the log-probability of a continuation of each trajectory under each component.

        Float64 (N, components), nats; minus infinity under those of a model without a mirror.
        """
        terms = np.full((len(trajectories), len(self.mixture.components)), -inf)
        questions, places = [], []
        for k, part in enumerate(self.parts):
            heads = self.mirrors(k, trajectories)
            rows = [i for i, head in enumerate(heads) if head is not None]
            if not rows:
                continue
            columns = [heads[i] for i in rows], [tuple(continuations[i]) for i in rows]
            for place, law in zip(part.places, components(part.law), strict=True):
                named = (("prior", law),)
                questions.append(Question(part.lm, "logprob", columns, named=named))
                places.append((rows, place))
        for (rows, place), values in zip(places, self._ask(questions), strict=True):
            terms[rows, place] = values
        return terms

    def _readings(
        self,
        trajectories: Sequence[Sequence[Trajectory]],
        steps: Sequence[Sequence[Trajectory]],
        prior: Sampling | None,
    ) -> list[list[Reading | None]]:
        """Let every model read steps, of its own trajectories and steps each; see `read`."""
        pairs = zip(trajectories, steps, strict=True)
        return self._read([self._asking(k, *pair, prior) for k, pair in enumerate(pairs)])

    def _asking(
        self,
        k: int,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        prior: Sampling | None,
        proposal: Law | None = None,
    ) -> _Asking:
        """Say what model k is asked about steps; equal ones once."""
        heads = self.mirrors(k, trajectories)
        rows: dict[_Place, tuple[Trajectory, Trajectory]] = {}
        places = [(head, x.step_token_ids, *_end(x)) for head, x in zip(heads, steps, strict=True)]
        for place, head, step in zip(places, heads, steps, strict=True):
            if head is not None and head.open:
                rows.setdefault(place, (head, step))
        law = proposal or self.parts[k].law
        told = prior if prior is not None and k == 0 else widest(law)
        named = (("prior", told), ("proposal", law))
        columns = tuple(map(list, zip(*rows.values(), strict=True)))
        question = Question(self.parts[k].lm, "read_steps", columns, named=named)
        return _Asking(places, list(rows), question)

    def _read(self, asked: Sequence[_Asking]) -> list[list[Reading | None]]:
        """Ask models about steps, in as few batches as can be."""
        found = iter(self._ask([reading.question for reading in asked if reading.rows]))
        results = []
        for places, rows, _ in asked:
            readings = dict(zip(rows, next(found), strict=True)) if rows else {}
            results.append([readings.get(place) for place in places])
        return results

    def _extended(
        self,
        drawing: Sequence[tuple[int, list[int]]],
        trajectories: Sequence[Trajectory],
        keys: np.ndarray,
        prior: Sampling | None,
    ) -> list[list[Reading]]:
        """Let models draw steps, in as few batches as can be.

        Args:
            drawing: the number of each model, and the rows that it draws.
            trajectories: of all rows.
            keys: of all rows.
            prior: what `Reading.log_p` is of, of the first model.
        """
        questions = []
        for k, rows in drawing:
            law = self.parts[k].law
            told = prior if prior is not None and k == 0 else widest(law)
            heads = self.mirrors(k, [trajectories[i] for i in rows])
            named = (("prior", told), ("sampling", law))
            columns = heads, list(keys[rows])
            questions.append(Question(self.parts[k].lm, "extend", columns, named=named))
        return [
            [_reading(head, node) for head, node in zip(question.rows[0], nodes, strict=True)]
            for question, nodes in zip(questions, self._ask(questions), strict=True)
        ]

    def _part(self, log_shares: np.ndarray, u: float) -> int:
        """Choose the model that draws a step."""
        shares = np.exp(log_shares)
        ends = np.cumsum([shares[part.places].sum() for part in self.parts])
        return int(np.searchsorted(ends, u * ends[-1], side="right"))

    def _stepped(
        self, step: Trajectory, row: Sequence[Reading | None], log_shares: np.ndarray
    ) -> Stepped:
        """Put together what all models say of a step: one that ends it otherwise had no such."""
        terms = np.full(len(self.mixture.components), -inf)
        readings: list[Reading | None] = [None] * len(row)
        for k, (part, reading) in enumerate(zip(self.parts, row, strict=True)):
            if reading is not None and _end(reading.node) == _end(step):
                readings[k], terms[part.places] = reading, reading.terms
        log_q = float(np.logaddexp.reduce(log_shares + terms))
        first = next(reading.node for reading in readings if reading is not None)
        return Stepped(first, readings, terms, log_q)

    def _ask(self, questions: Sequence[Question]) -> list[Any]:
        """Ask models, and count what that costs each."""
        before = [part.lm.cost for part in self.parts]
        answers = asked(questions)
        for k, part in enumerate(self.parts):
            self._asked[k] += part.lm.cost - before[k]
        return answers


def _reading(head: Trajectory, node: Trajectory) -> Reading:
    """Return what a model makes of a step that it drew itself."""
    terms = node.component_logprobs or (node.step_proposal_logprob,)
    log_p = node.step_logprob
    if log_p == -inf:  # what follows has log-probabilities of its own, and no difference
        node = replace(node, logprob=head.logprob)
    return Reading(node, log_p, terms)


def put_behind(
    trajectories: Sequence[Trajectory],
    steps: Sequence[Trajectory],
    put: Callable[[Sequence[Trajectory], Trajectory], Sequence[Trajectory | None]],
) -> list[Trajectory | None]:
    """Put steps one after another behind each trajectory.

    Args:
        trajectories: N nodes.
        steps: nodes, whose last steps are taken, in order.
        put: puts one step behind each of some open nodes, in one batch; None where it cannot.

    Returns:
        N nodes; None where a step could not be put, or was to come after the end.
    """
    heads: list[Trajectory | None] = list(trajectories)
    for step in steps:
        going = [(i, x) for i, x in enumerate(heads) if x is not None and x.open]
        heads = [None] * len(heads)
        if not going:
            break
        for (i, _), child in zip(going, put([x for _, x in going], step), strict=True):
            heads[i] = child
    return heads


def _end(node: Trajectory) -> tuple[bool, bool, bool]:
    return node.finished, node.truncated, node.delimited


def _depth(node: Trajectory) -> int:
    return node.depth
