"""A model reads the solutions and decides: universal self-consistency and learned aggregators.

    universal self-consistency   a model is shown all solutions and names the most consistent one
                                 (Chen et al. 2023, arXiv:2311.17311). It depends on their order,
                                 so that they are shown in several orders, and the choices vote.
    aggregated                   a model reads a few solutions and writes an answer of its own
                                 (Qi et al. 2025, arXiv:2506.09014); of a pool, in groups, which
                                 vote.

The model is a function: from a question and texts to a choice, or to an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index

import numpy as np

from ... import checks
from ..answers import group
from .answer_pool import Pool
from .decision import Decision, decide

LAW = "heuristic: whatever the model that reads the solutions prefers"


def universal_self_consistency(
    pool: Pool,
    question: str,
    texts: Sequence[str],
    choose: Callable[[str, Sequence[str]], int],
    *,
    orders: int = 1,
    seed: int = 0,
) -> Decision:
    """Return the answer of the solution that a model finds the most consistent one.

    Args:
        pool: of N draws.
        question: what was asked.
        texts: of the draws, in the pool's order.
        choose: maps the question and N texts to the place of one of them.
        orders: in how many random orders the texts are shown; the choices vote.
        seed: of the orders, in [0, 2**32).

    Raises:
        TypeError, ValueError: an argument is not of its kind or out of its range; there are not N
            texts; or the model chooses something else than one of them.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.ppl.decisions import pool_of, universal_self_consistency
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = motes.samplers.MajorityVote(samples=6)
        >>> posterior = motes.solve("?", sampler=vote, lm=lm, prm=None, answer=first)
        >>> texts = [x.text for x in posterior.trajectories]
        >>> shortest = lambda question, texts: min(range(len(texts)), key=lambda i: len(texts[i]))
        >>> universal_self_consistency(pool_of(posterior), "?", texts, shortest, orders=3).value
        1.0
    """
    choose = checks.function("choose", choose, "a question and texts to the place of one of them")
    _check_texts(pool, texts)
    orders, rng = checks.count("orders", orders), np.random.default_rng(checks.seed(seed))
    votes: dict[str | None, float] = {}
    for number in range(orders):
        shown = np.arange(len(pool)) if number == 0 else rng.permutation(len(pool))
        place = index(choose(question, [texts[i] for i in shown.tolist()]))
        if not 0 <= place < len(pool):
            raise ValueError(f"choose must give a place in [0, {len(pool)}), not {place}")
        answer = pool.answers[shown[place]]
        votes[answer] = votes.get(answer, 0.0) + 1 / orders
    return decide(votes, law=f"{LAW}, in {orders} orders")


def aggregated(
    question: str,
    texts: Sequence[str],
    aggregator: Callable[[str, Sequence[str]], str | None],
    *,
    size: int | None = None,
) -> Decision:
    """Return the answer that a model writes after reading the solutions.

    Args:
        question: what was asked.
        texts: N solutions.
        aggregator: maps the question and some texts to an answer; None for no answer.
        size: how many it reads at a time, at least 1; None for all. The groups' answers vote.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or there are no texts.

    Example:
        >>> last_word = lambda question, texts: texts[-1].split()[-1]
        >>> aggregated("3 + 4?", ["It is 7", "So 9", "Thus 7.0"], last_word, size=1).answer
        '7'
    """
    aggregator = checks.function("aggregator", aggregator, "a question and texts to an answer")
    if not texts:
        raise ValueError("texts must hold at least one solution")
    size = len(texts) if size is None else checks.count("size", size)
    groups = [texts[start : start + size] for start in range(0, len(texts), size)]
    labels = group([aggregator(question, part) for part in groups])
    votes: dict[str | None, float] = {}
    for label in labels:
        votes[label] = votes.get(label, 0.0) + 1 / len(labels)
    return decide(votes, law=f"{LAW}, of {len(groups)} groups")


def _check_texts(pool: Pool, texts: Sequence[str]) -> None:
    """Raise ValueError where there is not one text for each draw."""
    if len(texts) != len(pool):
        raise ValueError(f"texts must be {len(pool)}, one for each draw, not {len(texts)}")
