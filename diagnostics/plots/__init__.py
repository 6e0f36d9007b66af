"""Pictures of posteriors: functions that draw one with matplotlib, in the manner of arviz-plots.

    from motes.diagnostics import plots
    plots.plot_answers(posterior)

Each takes axes to draw on (`ax=`, or `axes=` where it has several panels), makes a figure of its
own where it gets none, and returns the axes. None shows anything or changes a setting of
matplotlib. Weights are always used: a picture is of the posterior and not of the particles,
wherever the two can differ. A posterior that lacks what a picture needs is refused.

    plot_answers        probability of each answer, with its standard error
    plot_scores         the reward model's probabilities along trajectories
    plot_ancestry       who descends from whom                                 filters
    plot_ess            effective sample size and entropy by step              filters
    plot_lorenz         how few particles carry the weight                     weighted particles
    plot_log_evidence   log-evidence of several independent runs               whatever estimates it
    plot_powers         the path from the prior to the target                  tempered SMC
    plot_swaps          how often neighbours change places                     parallel tempering
    plot_trace          where chains have been                                 chains
    plot_rank           whether chains have been at the same places            chains
    plot_reliability    predicted probabilities against what happened          arrays

An answer has one colour in all pictures of a posterior: six colours for the most probable (Okabe
and Ito 2008, *Color universal design*, which colour-blind people can tell apart), brown for the
others together, grey for no answer.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
