"""Independent runs that disagree: the error that no run sees by itself.

Answers. Were run r as good as its ESS n_r says, its answer probabilities would be those of n_r
independent draws. So runs of n_r draws from the pooled probabilities are simulated, and the runs'
mean total variation from their own pool is compared with that of the simulated ones. It is larger
where resampling left few lineages, chains stand in different places, or no run has found all that
matters.

Evidence. Runs are pooled in proportion to Z-hat. Where log Z-hat is normal with standard deviation
s, that is worth exp(-s^2) of the runs; filters whose Z-hat drives another sampler are best tuned to
s of about 1 to 1.7 (Doucet, Pitt, Deligiannidis and Kohn 2015, doi:10.1093/biomet/asu075).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ppl.answers import group
from ...ppl.posterior.posterior import Posterior
from ...smc import ess, normalise
from ..formatting import counted, printable
from .finding import Finding

CHANCE = 0.01  # of a simulated set of runs to lie further apart: one false alarm in a hundred pools
# total variation from the pool: below it no answer's probability is off by more than that
MATTERS = 0.05
SIMULATED = 2000  # sets of runs: of one in a hundred some 20, known to a quarter
SPREAD = 1.0  # nats: the pool is then worth 37% of its runs


def answers_disagree(runs: Sequence[Posterior]) -> Finding | None:
    """The answer probabilities of independent runs differ by more than their ESS allows."""
    if len(runs) < 2:
        return None
    names, probabilities = _probabilities(runs)
    sizes = np.array([_draws(run) for run in runs])
    seen = _distance(probabilities, sizes)
    pool = sizes @ probabilities / sizes.sum()
    random = np.random.default_rng(0)
    distances = np.array(
        [
            _distance(random.multinomial(sizes, pool) / sizes[:, None], sizes)
            for _ in range(SIMULATED)
        ]
    )
    if seen <= MATTERS or np.mean(distances >= seen) > CHANCE:
        return None
    widest = int(np.argmax(np.ptp(probabilities, axis=0)))
    low, high = probabilities[:, widest].min(), probabilities[:, widest].max()
    return Finding(
        "runs disagree",
        f"the answers of {len(runs)} runs are {seen:.2f} from their mean in total variation, "
        "where runs of their ESS would be "
        f"{distances.mean():.2f}; {_named(names[widest])} has from {low:.2f} to {high:.2f}",
        "every run is less certain than its own ESS and standard errors say",
        (
            f"{runs[0].provenance.remedies.more_draws} of each run, and until they agree take the "
            "spread between them for the error"
        ),
    )


def evidence_disagrees(runs: Sequence[Posterior], died: int = 0) -> Finding | None:
    """The standard deviation of log Z-hat over independent runs is above 1 nat, or some died, with an estimate of zero."""
    known = np.array(
        [
            run.log_evidence
            for run in runs
            if run.log_evidence is not None and np.isfinite(run.log_evidence)
        ],
        np.float64,
    )
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    if not len(known) or (spread <= SPREAD and not died):
        return None
    shares = np.exp(normalise(known)[0])
    return Finding(
        "log-evidence disagrees",
        f"the log-evidence of {counted(len(known), 'run')} goes from {known.min():.2f} to "
        f"{known.max():.2f}, with a standard deviation of "
        f"{spread:.2f} nats; one run has {shares.max():.2f} of the pool"
        + f"; {counted(died, 'run')} died, with an estimate of zero"
        * (died > 0),
        f"runs are pooled in proportion to their evidence: {len(known) + died} are worth "
        f"{ess(normalise(known)[0]):.1f}, and their mean "
        "may still be far too low",
        f"{runs[0].provenance.remedies.more_draws} of each run rather than the number of runs",
    )


def _probabilities(runs: Sequence[Posterior]) -> tuple[list[str | None], np.ndarray]:
    """The answers of all runs, and their probabilities in each, shape (runs, answers)."""
    labels = group([answer for run in runs for answer in run.extracted])
    weights = [np.exp(run.log_weights) for run in runs]
    number = {answer: i for i, answer in enumerate(dict.fromkeys(labels))}
    columns = np.array([number[label] for label in labels])
    table = [
        np.bincount(own, weights=of_run, minlength=len(number))
        for own, of_run in zip(
            np.split(columns, np.cumsum([len(w) for w in weights])[:-1]), weights, strict=True
        )
    ]
    probabilities = np.array(table)
    return list(number), probabilities / probabilities.sum(axis=1, keepdims=True)


def _draws(run: Posterior) -> int:
    """What a run says it is worth, in independent draws; where chains cannot tell, one a chain."""
    if run.chains:
        effective = float(run.ess[-1])
        return max(run.chains, 1) if np.isnan(effective) else max(round(effective), 1)
    # of chains, if waste-free
    last = [] if run.history is None or not len(run.history.ess) else [float(run.history.ess[-1])]
    return max(
        round(min(float(ess(run.log_weights)), *last))
        if last
        else round(float(ess(run.log_weights))),
        1,
    )


def _distance(probabilities: np.ndarray, sizes: np.ndarray) -> float:
    """Mean total variation of runs from their pool; of probabilities of shape (runs, answers)."""
    pool = sizes @ probabilities / sizes.sum()
    return 0.5 * float(np.abs(probabilities - pool).sum(axis=1).mean())


def _named(answer: str | None) -> str:
    return "no answer" if answer is None else f"the answer {printable(answer)!r}"
