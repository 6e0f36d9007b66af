"""All findings of a run, the most serious first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...ppl.posterior.posterior import Posterior
from .acceptance import high_acceptance, low_acceptance, low_swaps, reference_sticks
from .bellman import contradicted
from .convergence import few_draws, not_mixed, stuck, unknown_mixing
from .degeneracy import degenerate, heavy_tail, one_heavy
from .disagreement import answers_disagree, evidence_disagrees
from .doubted_lines import doubted_best_line, low_evidence
from .endings import truncated, unfinished, unread
from .finding import Finding
from .guarantee import copies, no_guarantee
from .lineages import early_coalescence, few_first_steps
from .proposal import far_proposal
from .resampling import never_resampled
from .suspect_models import suspect_language_model, suspect_scores
from .uncertain_evidence import uncertain_evidence
from .uninformative_reward import flat_reward

CHECKS: tuple[Callable[[Posterior], Finding | None], ...] = (
    # what is sampled is not the target, or not yet
    no_guarantee,
    suspect_language_model,
    suspect_scores,
    unfinished,
    copies,
    # the draws are too few for any estimate
    degenerate,
    one_heavy,
    stuck,
    not_mixed,
    unknown_mixing,
    early_coalescence,
    # the errors are larger than stated, or not known
    heavy_tail,
    few_draws,
    few_first_steps,
    # the answers rest on part of the weight
    truncated,
    unread,
    # the run was wasteful
    far_proposal,
    low_acceptance,
    reference_sticks,
    low_swaps,
    uncertain_evidence,
    # the models say little, or what they say is bad
    doubted_best_line,
    low_evidence,
    flat_reward,
    high_acceptance,
    # what could have been done
    never_resampled,
)
IMPLIED = {
    "few first steps": "early coalescence",
    "acceptance near 1": "flat reward",
    "low evidence": "doubted best line",
}
"""Findings that another one says already, with more."""


def check(posterior: Posterior, *, success: bool | None = None) -> list[Finding]:
    """What is wrong with a run, the most serious first; nothing where nothing is.

    Runs that the posterior pools are compared with one another; what is wrong within one of them
    only `check` of that one tells.

    Args:
        posterior: of any sampler.
        success: whether the reward model's scores are probabilities that the solution turns out
            right, rather than that its last step is: scores are then compared with those of their
            continuations (see `motes.diagnostics.findings.bellman`). None for what the target
            implies, which is so for "final" alone.
    """
    of_runs = check_runs(posterior.runs, died=posterior.provenance.died)
    own = _found(finding(posterior) for finding in CHECKS)
    serious = [
        finding for finding in own if finding.name in ("no guarantee", "unfinished particles")
    ]
    others = [finding for finding in own if finding not in serious]
    return [*serious, *of_runs, *others, *_found([contradicted(posterior, success)])]


def check_runs(runs: Sequence[Posterior], *, died: int = 0) -> list[Finding]:
    """What independent runs of one sampler on one target show together, that none of them shows.

    Args:
        runs: with different seeds.
        died: runs besides that ended with all particles dead.
    """
    return _found([answers_disagree(runs), evidence_disagrees(runs, died)])


def _found(findings: Iterable[Finding | None]) -> list[Finding]:
    found = [finding for finding in findings if finding is not None]
    names = {finding.name for finding in found}
    return [finding for finding in found if IMPLIED.get(finding.name) not in names]
