"""Findings on searches: how their trees grew, and whether their values had anything to say."""

from __future__ import annotations

import numpy as np

from ...ppl.posterior.posterior import Posterior
from ...ppl.posterior.search_tree import OPEN, SearchTree
from ..formatting import counted
from .finding import Finding

MOSTLY = 0.5  # of all steps drawn: from there on most of the search was for nothing
EARLY = 1 / 3  # of the deepest node's depth
# of the value, in [0, 1]: a first step worth less than the chosen one by that much was a worse one
CLOSE = 0.1
FLAT = 0.02  # standard deviation of the values of siblings, which are in [0, 1]
FEWEST = 2  # parents with different children from which that is told


def search_unanswered(posterior: Posterior) -> Finding | None:
    """Find that a search's budget was spent before anything had ended."""
    tree = posterior.tree
    if tree is None or posterior.provenance.stopped != "budget":
        return None
    ends = tree.draws >= 0
    if (tree.statuses[ends] != OPEN).any():
        return None
    return Finding(
        "search without an answer",
        (
            f"the budget was spent after {counted(len(tree) - 1, 'step')}, when no line of "
            f"reasoning had ended; the deepest has {counted(int(tree.depths.max()), 'step')}"
        ),
        "what comes back is what the search was about to go on with, which answers nothing",
        "raise budget, or search more narrowly",
    )


def search_dying(posterior: Posterior) -> Finding | None:
    """Find that at least half of the steps that a search drew were ruled out."""
    tree = posterior.tree
    if tree is None or len(tree) < 2:
        return None
    share = float(tree.dead[1:].mean())
    if share < MOSTLY:
        return None
    return Finding(
        "dying frontier",
        f"{share:.0%} of the {counted(len(tree) - 1, 'step')} that were drawn are worth nothing",
        (
            "they break the constraint, have a score of zero, or lie outside the prior's support: "
            "the search chose among the few that were left"
        ),
        (
            "look at what the constraint and the reward model rule out, and draw from a proposal "
            "that avoids it"
        ),
    )


def one_first_step(posterior: Posterior) -> Finding | None:
    """Find that all answers of a search come from one of several first steps of like value."""
    tree = posterior.tree
    if tree is None or (tree.draws >= 0).sum() < 2:
        return None
    same = tree.merged
    firsts = {int(same[node]) for node in np.flatnonzero(tree.depths == 1)}
    ends = np.flatnonzero((tree.draws >= 0) & (tree.depths > 1))
    kept = {int(same[tree.path(int(node))[1]]) for node in ends}
    if len(kept) != 1:
        return None
    [chosen] = kept
    values = np.exp(tree.log_values)
    like = [node for node in firsts - kept if values[node] >= values[chosen] - CLOSE]
    if not like:
        return None
    return Finding(
        "one first step",
        (
            f"all {len(ends)} answers go on from one of {len(firsts)} different first steps, of "
            f"which {len(like)} more had a value within {CLOSE:g} of it"
        ),
        (
            "one choice, made when there was least to judge by, is in all of them: that they agree "
            "says little"
        ),
        f"{posterior.provenance.remedies.gentler}, or keep subtrees apart (sampler='dvts')",
    )


def flat_early_values(posterior: Posterior) -> Finding | None:
    """Find that a search pruned by values that were the same for all early siblings."""
    tree = posterior.tree
    if tree is None:
        return None
    early = (tree.depths >= 1) & (tree.depths <= max(1.0, EARLY * tree.depths.max()))
    if not (tree.pruned & early & ~tree.dead).any():
        return None
    spreads = _spreads(tree, early)
    if len(spreads) < FEWEST or float(np.mean(spreads)) >= FLAT:
        return None
    return Finding(
        "flat early values",
        (
            f"the values of different steps after one prefix differ by {np.mean(spreads):.3f} "
            f"(standard deviation, over {len(spreads)} prefixes) in the first third of the depth"
        ),
        "what was pruned there was pruned by chance, and cannot come back",
        (
            "score by what prefixes lead to (value='rollouts', or look_ahead), or weigh instead of "
            "pruning (sampler='particle_filter')"
        ),
    )


def _spreads(tree: SearchTree, chosen: np.ndarray) -> list[float]:
    """Give the standard deviation of the values of each parent's different children."""
    same = tree.merged
    values: dict[int, list[float]] = {}
    for node in np.flatnonzero(chosen & np.isfinite(tree.log_values)).tolist():
        if same[node] == node:
            parent = int(same[tree.parents[node]])
            values.setdefault(parent, []).append(float(np.exp(tree.log_values[node])))
    return [float(np.std(row)) for row in values.values() if len(row) > 1]
