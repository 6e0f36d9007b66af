"""The pictures that a report may show, each with a few words that teach how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ...ppl.posterior.posterior import Posterior
from ..facts import mixing_in_words
from ..plots.shades import shades


class Kind(NamedTuple):
    """A picture that a posterior may have.

    Attributes:
        name: of the function, without "plot_".
        title: the heading; where it is empty, that of the axes.
        caption: how to read it.
        height: in inches, of a posterior.
        panels: how many axes it needs, of a posterior; 0 where it draws on one and takes it as
            `ax`.
        columns: in which they stand.
        layout: of the panels, as matplotlib's `subplots` takes it.
        of: what the function draws, of a posterior.
        settings: what else it takes, of a posterior.
        alt: its numbers in words, of a posterior, for those who cannot see it.
    """

    name: str
    title: str
    caption: str
    height: Callable[[Posterior], float]
    panels: Callable[[Posterior], int] = lambda posterior: 0
    columns: int = 1
    layout: Mapping[str, Any] = MappingProxyType({})
    of: Callable[[Posterior], Any] = lambda posterior: posterior
    settings: Callable[[Posterior], dict[str, Any]] = lambda posterior: {}
    alt: Callable[[Posterior], str] = lambda posterior: ""


def _ess(posterior: Posterior) -> str:
    ess = posterior.ess.tolist()
    return (
        f"the effective sample size after each step: {', '.join(f'{value:.1f}' for value in ess)}"
    )


KINDS = (
    Kind(
        "ess",
        "Effective sample size and entropy",
        "How many equally weighted particles the weights amount to after each step, and their "
        "entropy, which tells the same on another scale. Slow decline is normal; a fall to a few "
        "means that the rest of the run rests on them. A rise at a dotted line is resampling, "
        "which makes weights equal by copying: it does not bring back what was lost.",
        lambda posterior: 4.2,
        lambda posterior: 2,
        layout={"sharex": True},
        alt=_ess,
    ),
    Kind(
        "scores",
        "",
        "What the reward model thought of each step: a line is one line of reasoning, wide where "
        "it is probable, in the colour of its answer. Look for the step at which answers part. "
        "Where lines of different answers lie together, the reward model does not tell them apart, "
        "and the answer is the language model's opinion.",
        lambda posterior: 3.5,
    ),
    Kind(
        "ancestry",
        "",
        "All particles, from the first step on the left to the last: a line that reaches the right "
        "edge survived. Few long lines on the left mean that all answers descend from few "
        "beginnings. The nearer a dot's grey is to the ink, the better its score.",
        lambda posterior: 5.2,
    ),
    Kind(
        "tree",
        "",
        "All steps that the search drew, equal ones as one dot: lines in colour lead to answers, "
        "the light ones were given up. The nearer a dot's grey is to the ink, the more the search "
        "took the prefix to be worth. Light dots on a coloured line are steps that the search went "
        "on with against its own judgement; dark ones that were given up had better neighbours.",
        lambda posterior: 5.2,
    ),
    Kind(
        "lorenz",
        "",
        "Which share of the weight the lightest particles hold together. Near the diagonal all "
        "count alike; a curve that hugs the lower right corner says that a few particles are the "
        "answer. The Gini coefficient is 0 for equal weights and almost 1 for one particle.",
        lambda posterior: 4.2,
    ),
    Kind(
        "powers",
        "",
        "How the run went from the language model's own opinion (power 0) to the declared target "
        "(power 1). Small steps are where the reward model changes most; an ESS far below its "
        "neighbours' marks a step that was too large.",
        lambda posterior: 3.2,
    ),
    Kind(
        "trace",
        "Traces of the chains",
        "Where each chain has been, draw by draw. Chains that have mixed look alike and move "
        "often: there is no telling them apart. A flat line is a chain that stands still; a chain "
        "with a level or a colour of its own has not found what the others have.",
        lambda posterior: 5.4 + 0.14 * posterior.chains,
        lambda posterior: 3,
        layout={"sharex": True},
        alt=mixing_in_words,
    ),
    Kind(
        "rank",
        "Ranks of the chains' draws",
        "All draws ranked together, and how each chain's ranks are spread. Bars near the dashed "
        "line say that the chain has been where all chains have been; a slope, or a step, that it "
        "has been lower or higher than the others. R-hat above 1.01 says the same in a number.",
        lambda posterior: (0.85 + 0.22 * posterior.chains) * (3 + len(shades(posterior))) / 2,
        lambda posterior: 2 + len(shades(posterior)),
        columns=2,
        alt=mixing_in_words,
    ),
    Kind(
        "swaps",
        "",
        "How often neighbouring replicas changed places. Rates of about the same height are what "
        "is wanted; one near zero is a gap that hardly anything crosses, so that what the flattest "
        "replica finds does not reach the target.",
        lambda posterior: 3.2,
    ),
    Kind(
        "log_evidence",
        "",
        "The same question with other seeds: how far the dots lie apart is how far one run can be "
        "trusted. The log of an estimate that is right on average lies too low on average, so the "
        "pooled value is above the middle of the dots.",
        lambda posterior: 3.4,
        of=lambda posterior: posterior.runs,
        settings=lambda posterior: {"died": posterior.provenance.died},
    ),
)
