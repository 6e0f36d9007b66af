"""Adaptive foresight: beams chosen by where their completions lead, without a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, log
from typing import Any

import numpy as np

from ... import checks
from ...models import capabilities
from ...ppl.interfaces import Declared
from ...ppl.particle import Particle
from ...ppl.statespace import StateSpaceModel
from ...smc import normalise
from .clusters import CLUSTERS, Embedding, cluster_labels
from .growing_tree import GrowingTree
from .level_search import Candidate, Chosen, Expanding, Round
from .random_choice import drawn_without_replacement
from .search_sampler import BoundSearch, Drawn
from .value import Valued, rolled_out, ruled_out

VARIANTS = ("paper", "code")
CLUSTER_COUNT = 3  # of k-means
BACK = 0.1  # temperature at which pruned steps are drawn back, in the published code


@dataclass(frozen=True, kw_only=True)
class PhiDecoding(Expanding):
    """phi-Decoding: choose beams by what a completion of each gains, and by how many agree with it.

    In every round N / M beams draw M steps each. *In width* a step is pruned whose mean token
    log-probability is more than `pruning` standard deviations below the mean of all N. The others
    are completed once; F is the mean token log-probability of what the completion adds. With the
    advantage A = F - F(parent) and the alignment C, the share of completions in the same cluster,

        R = softmax(A / T1) + softmax(C / T2)

    N / M beams are drawn without replacement, in proportion to exp(R / T), with T = T1 = T2 = 0.6.
    The published code draws in proportion to softmax(A / 0.1) + softmax(C), and draws pruned steps
    back where fewer than the beams are left. *In depth* choosing stops where the largest cluster
    holds the share `agreement`, or after `most_steps`; the beams are then completed, and one is
    picked by the same weights, which are the posterior's.

    No reward model is asked; where there is one, it scores the steps of the tree, to be looked at.
    A closed node, which nothing can be added to, has its own last step in
    the place of a completion; once it is drawn it is an answer for good.

    Target: none; the declared one is only compared with. Guarantee: heuristic. Evidence: none. Cost
    of a step: the tokens of N steps and of a whole completion of each that is not pruned. Source:
    Xu et al. (2025), arXiv:2503.13288, algorithm 1.

    Attributes:
        particles: N, steps drawn in a round; a multiple of M.
        expansions: M, steps drawn from each beam.
        least_steps, most_steps: rounds before which choosing does not stop, and after which it
            does.
        agreement: the share of completions in one cluster at which choosing stops.
        pruning: standard deviations below the mean at which a step is pruned.
        clusters: "text", completions that are equal; "tfidf", k-means of their words (scikit-
            learn); or a function from texts to vectors or labels.
        variant: "paper" or "code".
        choice: "weighted" by the weights above; "best" or "vote".
        proposal: what steps and completions are drawn from; the model's prior when None.
        budget: as of `BeamSearch`.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = PhiDecoding(particles=8, expansions=4).run(model, seed=0)
        >>> posterior.guarantee, len(posterior.trajectories)
        ('heuristic', 2)
    """

    least_steps: int = 4
    most_steps: int = 8
    agreement: float = 0.7
    pruning: float = 1.0
    clusters: str | Embedding = "text"
    variant: str = "paper"

    name = "phi_decoding"
    paper = "Xu et al. (2025), arXiv:2503.13288"
    step_cost = "the tokens of N steps, and of a whole completion of each that is not pruned"

    def __post_init__(self) -> None:
        checks.settle(
            self,
            least_steps=checks.count("least_steps", self.least_steps),
            most_steps=checks.count("most_steps", self.most_steps),
            agreement=checks.fraction("agreement", self.agreement),
            pruning=checks.number("pruning", self.pruning, least=0),
        )
        if not callable(self.clusters):
            checks.choice("clusters", self.clusters, CLUSTERS)
        checks.choice("variant", self.variant, VARIANTS)
        super().__post_init__()

    def check(self, model: Declared) -> None:
        super().check(model)
        assert isinstance(model, StateSpaceModel)
        if not capabilities(model.lm).probabilities:
            raise model.unknown_logprob(repr(self.name))

    def valued(self, bound: BoundSearch[Any], drawn: Drawn) -> Valued:
        children = drawn.children
        alive = [i for i, x in enumerate(children) if not ruled_out(bound.stepwise, x)]
        log_values = np.full(len(children), -inf)
        if drawn.completing:
            for i in alive:
                start = _start(drawn.tree, drawn.parents[i], drawn.completing)
                log_values[i] = mean_logprob(drawn.tree.node(start).particle, children[i])
            return Valued(log_values)
        # NaN says that a step was pruned, and not completed
        log_values[alive] = np.nan
        kept = [alive[i] for i in self._unpruned(bound, drawn.round, [children[i] for i in alive])]
        keys = bound.keys.rejuvenation(drawn.round, drawn.of, [drawn.slots[i] for i in kept])
        before = [children[i] for i in kept]
        most = bound.model.max_steps
        # completions are not judged: their text is thrown away
        assert isinstance(bound.model, StateSpaceModel)
        unjudged = replace(bound.model, prm=None).stepwise(bound.proposed)
        ends, tokens = rolled_out(unjudged, bound.proposed, keys, before, most)
        texts = [""] * len(children)
        for i, start, end in zip(kept, before, ends, strict=True):
            log_values[i] = mean_logprob(start, end)
            texts[i] = added_text(start, end)
        return Valued(log_values, tokens, texts)

    def _unpruned(self, bound: BoundSearch[Any], t: int, children: Sequence[Particle]) -> list[int]:
        """Give the steps that are not pruned in width, as positions."""
        if not children:
            return []
        means = np.array([mean_logprob(x, x) for x in children])
        # a step as likely as the others must not fall to a rounding error
        stays = means >= means.mean() - self.pruning * means.std() - 1e-12
        kept = np.flatnonzero(stays).tolist()
        missing = min(self.survivors, len(children)) - len(kept)
        if self.variant == "code" and missing > 0:
            log_weights = np.where(stays, -inf, means / BACK)
            key = bound.keys.resampling(t)
            kept += drawn_without_replacement(key, log_weights, missing, self.particles)
        return sorted(kept)

    def select(self, round: Round) -> Chosen:
        first = round.state.tree.length
        texts = [round.valued.texts[each.node - first] for each in round.found]
        labels = self._labels(texts)
        advantages = [_advantage(round.tree, each.node, each.node) for each in round.found]
        log_weights = self.drawing_weights(np.array(advantages), alignment(labels))
        drawn = drawn_without_replacement(
            round.bound.keys.choice(round.number),
            log_weights,
            self.survivors - round.settled,
            self.particles,
        )
        agreed = float(np.bincount(labels).max()) >= self.agreement * len(labels)
        stops = round.number >= self.most_steps or (round.number >= self.least_steps and agreed)
        width = 1 if stops else self.expansions
        kept: list[Candidate] = [round.found[i] for i in drawn]
        return Chosen([each.keep(width, settled=not each.open) for each in kept], completing=stops)

    def drawing_weights(self, advantages: np.ndarray, alignments: np.ndarray) -> np.ndarray:
        """Give the logarithms of the weights by which beams are drawn, shape (K,)."""
        if self.variant == "code":
            return np.log((_softmax(advantages / 0.1) + _softmax(alignments)) / 2)
        return (_softmax(advantages / 0.6) + _softmax(alignments / 0.6)) / 0.6

    def log_weights(
        self, tree: GrowingTree, chosen: Sequence[int], completing: int = 0
    ) -> np.ndarray:
        if self.choice != "weighted" or np.isnan(tree.log_values(chosen)).any():
            return super().log_weights(tree, chosen, completing)
        starts = [_start(tree, node, completing) for node in chosen]
        texts = [
            added_text(tree.node(start).particle, tree.node(node).particle)
            for start, node in zip(starts, chosen, strict=True)
        ]
        advantages = [
            _advantage(tree, start, node) for start, node in zip(starts, chosen, strict=True)
        ]
        weights = self.drawing_weights(np.array(advantages), alignment(self._labels(texts)))
        return normalise(weights)[0]

    def _labels(self, texts: Sequence[str]) -> np.ndarray:
        return cluster_labels(self.clusters, texts, count=CLUSTER_COUNT)


def mean_logprob(start: Particle, end: Particle) -> float:
    """Return the mean token log-probability of what was added, in nats.

    Where nothing was, of the last step.
    """
    x, y = start.trajectory, end.trajectory
    if x is y and x.parent is not None:
        x = x.parent
    return (y.logprob - x.logprob) / max(1, len(y.token_ids) - len(x.token_ids))


def added_text(start: Particle, end: Particle) -> str:
    """Return the text that was added; where nothing was, the last step's."""
    x, y = start.trajectory, end.trajectory
    return y.step_text if x is y else y.text[len(x.text) :]


def alignment(labels: np.ndarray) -> np.ndarray:
    """Return for each of K texts the share of them in its cluster, shape (K,)."""
    return np.bincount(labels)[labels] / len(labels)


def _advantage(tree: GrowingTree, start: int, end: int) -> float:
    """Give what a completion of `start`, whose value is that of `end`, gains on its parent's."""
    parent = tree.node(start).parent
    before = tree.node(parent).log_value if parent > 0 else 0.0
    return tree.node(end).log_value - before


def _start(tree: GrowingTree, node: int, completing: int) -> int:
    """Give the node that was last drawn by choice on the way to this one.

    That of the round `completing`, or itself, where it was an answer by then.
    """
    while completing and tree.node(node).round > completing:
        node = tree.node(node).parent
    return node


def _softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values - log(np.exp(values - values.max()).sum()) - values.max())
