"""Small table models for searches, everything that they can write, and what a search drew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.stats import chi2

from motes.models import Cost, FunctionReward, TableLM
from motes.ppl import StateSpaceModel

EOS, DEPTH = 2, 4


class Table:
    """A language model of three tokens, one a step, and a reward for every prefix.

    Attributes:
        seed: of its numbers.
        levels: how many different rewards there are, so that ties come up; None for no ties.
        fixed: whether all solutions have `DEPTH` steps.
    """

    def __init__(self, seed: int = 0, levels: int | None = None, fixed: bool = False) -> None:
        self.seed, self.levels, self.fixed = seed, levels, fixed
        self.next_probs = cache(self._next_probs)
        self.log_odds = cache(self._log_odds)

    def _next_probs(self, prefix: tuple[int, ...]) -> np.ndarray:
        probs = np.random.default_rng([self.seed, 3, *prefix]).dirichlet([1.5, 1.5, 1.0])
        if self.fixed:
            ends = len(prefix) == DEPTH - 1
            probs = np.array([0.0, 0.0, 1.0]) if ends else np.array([*probs[:2], 0.0])
        return probs / probs.sum()

    def _log_odds(self, prefix: tuple[int, ...]) -> float:
        drawn = np.random.default_rng([self.seed, 4, *prefix])
        if self.levels is None:
            return float(drawn.normal())
        return float(drawn.integers(self.levels)) - 1.0

    def model(self, **settings: object) -> StateSpaceModel:
        given = {
            "lm": TableLM(self.next_probs, eos=EOS),
            "prm": FunctionReward(lambda x: self.log_odds(x.token_ids)),
            "max_steps": DEPTH,
            "answer": by_first_token,
            "stop_at_answer": False,
        }
        return StateSpaceModel("?", **given | settings)

    def solutions(self, prefix: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], float]]:
        """Give every complete token sequence after a prefix, with its probability given that."""
        if len(prefix) == DEPTH or (prefix and prefix[-1] == EOS):
            yield prefix, 1.0
            return
        for token, p in enumerate(self.next_probs(prefix)):
            if p > 0:
                for end, rest in self.solutions((*prefix, token)):
                    yield end, float(p) * rest


def by_first_token(x) -> str | None:
    return str(x.token_ids[0]) if x.finished else None


class Exhaustive(TableLM):
    """Gives siblings of one batch each token once, in order, instead of drawing them."""

    def extend(self, trajectories, keys, *, sampling=None, prior=None):
        self.cost += Cost(generated_tokens=len(trajectories), forward_passes=1)
        before: Counter = Counter()
        children = []
        for x in trajectories:
            token = before[x]
            before[x] += 1
            p = float(np.log(self.next_probs(x.token_ids)[token]))
            ends = token == self.eos
            children.append(
                x.child(str(token), (token,), logprob=p, proposal_logprob=p, finished=ends)
            )
        return children


def tokens(posterior) -> list[tuple[int, ...]]:
    return [x.token_ids for x in posterior.trajectories]


def winner(posterior) -> tuple[int, ...]:
    return posterior.trajectories[int(np.argmax(posterior.log_weights))].token_ids


def fits(counts: Counter, law: dict) -> bool:
    """Whether counts may come from a law; cells of few expected draws are put together."""
    n = sum(counts.values())
    assert set(counts) <= {x for x, p in law.items() if p > 0}
    large = [x for x, p in law.items() if n * p >= 5]
    seen = [counts[x] for x in large]
    asked = [n * law[x] for x in large]
    seen, asked = [*seen, n - sum(seen)], [*asked, n - sum(asked)]
    terms = [(s - a) ** 2 / a for s, a in zip(seen, asked, strict=True) if a > 1e-9]
    return sum(terms) < chi2.ppf(1 - 1e-4, max(1, len(terms) - 1))


def closed(x: tuple[int, ...]) -> bool:
    return len(x) == DEPTH or x[-1:] == (EOS,)


def drawn_by(posterior) -> dict:
    """What each slot of each round drew, read off the tree."""
    tree, table = posterior.tree, {}
    order: Counter = Counter()
    for node in range(1, len(tree)):
        path = tree.path(node)
        prefix = tuple(int(tree.texts[i]) for i in path[1:-1])
        rank = order[int(tree.rounds[node])]
        order[int(tree.rounds[node])] += 1
        table[int(tree.rounds[node]), rank] = (prefix, int(tree.texts[node]))
    return table
