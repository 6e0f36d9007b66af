"""Findings: what a run says about whether to believe it, and what to change where it says no.

    from motes.diagnostics import findings
    for finding in findings.check(posterior):
        print(finding)

Every finding says what was seen, with this run's figures, why it matters, and which setting of this
sampler to change. There is none where nothing is wrong. The tests behind them are sparing: each
threshold is a constant of its module with its reason or its source, and what cannot be told from a
run (Pareto's k-hat of few draws, R-hat of one chain, the evidence's error after systematic
resampling) is left out, or reported as unknown, and never guessed.

    degeneracy            degenerate, carried by one particle, of infinite variance
    lineages              resampling has left one first step, or few
    disagreement          independent runs differ by more than they should
    convergence           stuck, not mixed, few effective draws, or nothing to tell it by
    acceptance            rates of acceptance, of updates and of swaps that are too low, or too high to be true
    endings               weight on trajectories that are open, were cut off, or whose answer could not be read
    guarantee             why nothing is guaranteed
    proposal              far from the prior
    uncertain_evidence    an uncertain log-evidence
    uninformative_reward  a reward model that tells nothing apart
    suspect_models        a model that seems to misunderstand what it is asked
    bellman               a reward model at odds with its own later judgement
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
