"""All findings on a run, the most serious first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...ppl.posterior.posterior import Posterior
from .acceptance import (
    draft_misses,
    few_round_trips,
    high_acceptance,
    low_acceptance,
    low_swaps,
    reference_sticks,
)
from .bellman import contradicted
from .convergence import few_draws, not_mixed, stuck, unknown_mixing
from .degeneracy import degenerate, heavy_tail, one_heavy
from .disagreement import answers_disagree, evidence_disagrees
from .doubted_lines import doubted_best_line, low_evidence
from .endings import truncated, unfinished, unread
from .finding import Finding
from .guarantee import copies, no_guarantee
from .lineages import early_coalescence, few_first_steps
from .proposal import far_proposal, idle_component
from .resampling import never_resampled
from .searches import flat_early_values, one_first_step, search_dying, search_unanswered
from .suspect_models import suspect_language_model, suspect_scores
from .uncertain_evidence import uncertain_evidence
from .uninformative_reward import flat_reward

CHECKS: tuple[Callable[[Posterior], Finding | None], ...] = (
    # what is sampled is not the target, or not yet
    no_guarantee,
    suspect_language_model,
    suspect_scores,
    search_unanswered,
    unfinished,
    copies,
    # the draws are too few for any estimate
    degenerate,
    one_heavy,
    stuck,
    not_mixed,
    unknown_mixing,
    draft_misses,
    early_coalescence,
    search_dying,
    one_first_step,
    # the errors are larger than stated, or not known
    heavy_tail,
    few_draws,
    few_first_steps,
    # the answers rest on part of the weight
    truncated,
    unread,
    # the run was wasteful
    far_proposal,
    idle_component,
    low_acceptance,
    reference_sticks,
    low_swaps,
    few_round_trips,
    uncertain_evidence,
    # the models say little, or what they say is bad
    doubted_best_line,
    low_evidence,
    flat_early_values,
    flat_reward,
    high_acceptance,
    # what could have been done
    never_resampled,
)
FIRST = ("no guarantee", "unfinished particles")
"""Findings that come before those on the differences between runs."""
IMPLIED = {
    "few first steps": "early coalescence",
    "acceptance near 1": "flat reward",
    "low evidence": "doubted best line",
    "unfinished particles": "search without an answer",
}
"""A finding, and the one that says it already and says more: then only that one is reported."""


def check(posterior: Posterior, *, success: bool | None = None) -> list[Finding]:
    """List what is wrong with a run, the most serious first; an empty list where nothing is.

    Runs that the posterior pools are compared with one another; to see what is wrong within one of
    them, check that run.

    Args:
        posterior: of any sampler.
        success: whether the reward model's scores are probabilities that the solution turns out
            right, rather than that its last step is: scores are then compared with those of their
            continuations (see `motes.diagnostics.findings.bellman`). None for what the target
            implies, which is so for "final" alone.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=4, max_steps=1)
        >>> [finding.name for finding in check(posterior)][:1]
        ['few first steps']
    """
    findings = _reported(examine(posterior) for examine in CHECKS)
    first = [finding for finding in findings if finding.name in FIRST]
    others = [finding for finding in findings if finding.name not in FIRST]
    between_runs = check_runs(posterior.runs, died=posterior.provenance.died)
    return [*first, *between_runs, *others, *_reported([contradicted(posterior, success)])]


def check_runs(runs: Sequence[Posterior], *, died: int = 0) -> list[Finding]:
    """List what independent runs of one sampler on one target show only together.

    Args:
        runs: with different seeds.
        died: how many further runs ended with all particles dead.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "particles": 8, "max_steps": 4}
        >>> runs = [motes.solve("?", seed=seed, **ask) for seed in (1, 2)]
        >>> isinstance(check_runs(runs), list)
        True
    """
    return _reported([answers_disagree(runs), evidence_disagrees(runs, died)])


def _reported(findings: Iterable[Finding | None]) -> list[Finding]:
    """Leave out what was not found, and what another finding implies."""
    present = [finding for finding in findings if finding is not None]
    names = {finding.name for finding in present}
    return [finding for finding in present if IMPLIED.get(finding.name) not in names]
