"""Findings: whether to believe a run, and what to change where it should not be believed.

    from motes.diagnostics import findings
    for finding in findings.check(posterior):
        print(finding)

Every finding says what was seen, with this run's figures, why it matters, and which setting of this
sampler to change. There is none where nothing is wrong. The tests are cautious: each threshold is a
constant of its module with its reason or its source, and what cannot be known from a run (Pareto's
k-hat of few draws, R-hat of one chain, the evidence's error after systematic resampling) is left
out, or reported as unknown, and never guessed.

    degeneracy            degenerate, carried by one particle, of infinite variance
    lineages              resampling has left one first step, or few
    disagreement          independent runs differ by more than they should
    convergence           stuck, not mixed, few effective draws, or unknown
    acceptance            rates of acceptance, updates and swaps: too low, or suspiciously high
    endings               weight on trajectories that are open, cut off or without a readable answer
    guarantee             why nothing is guaranteed
    proposal              far from the prior
    uncertain_evidence    an uncertain log-evidence
    uninformative_reward  a reward model whose scores do not distinguish what was written
    suspect_models        a model that seems to misunderstand what it is asked
    bellman               a reward model that contradicts its own later scores
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
