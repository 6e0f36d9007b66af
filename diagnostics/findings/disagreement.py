"""Findings on independent runs that disagree: the error that no run sees by itself.

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
    """Find answer probabilities that differ between runs by more than their ESS allows."""
    if len(runs) < 2:
        return None
    names, probabilities = _probabilities(runs)
    sizes = np.array([_draws(run) for run in runs])
    seen = _distance(probabilities, sizes)
    pool = sizes @ probabilities / sizes.sum()
    random = np.random.default_rng(0)
    distances = np.empty(SIMULATED)
    for i in range(SIMULATED):
        counts = random.multinomial(sizes, pool)
        distances[i] = _distance(counts / sizes[:, None], sizes)
    if seen <= MATTERS or np.mean(distances >= seen) > CHANCE:
        return None
    widest = int(np.argmax(np.ptp(probabilities, axis=0)))
    low, high = probabilities[:, widest].min(), probabilities[:, widest].max()
    return Finding(
        "runs disagree",
        f"the answers of {len(runs)} runs are {seen:.2f} from their mean in total variation, where "
        f"runs of their ESS would be {distances.mean():.2f}; {_named(names[widest])} has from "
        f"{low:.2f} to {high:.2f}",
        "every run is less certain than its own ESS and standard errors say",
        (
            f"{runs[0].provenance.remedies.more_draws} of each run, and until they agree take the "
            "spread between them for the error"
        ),
    )


def evidence_disagrees(runs: Sequence[Posterior], died: int = 0) -> Finding | None:
    """Find that log Z-hat has a standard deviation above 1 nat over independent runs.

    Also where some runs died: their estimate is zero.
    """
    evidence = [run.log_evidence for run in runs if run.log_evidence is not None]
    known = np.array(evidence, np.float64)
    known = known[np.isfinite(known)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    if not len(known) or (spread <= SPREAD and not died):
        return None
    log_shares = normalise(known)[0]
    largest = float(np.exp(log_shares.max()))
    deaths = f"; {counted(died, 'run')} died, with an estimate of zero" if died else ""
    return Finding(
        "log-evidence disagrees",
        f"the log-evidence of {counted(len(known), 'run')} goes from {known.min():.2f} to "
        f"{known.max():.2f}, with a standard deviation of {spread:.2f} nats; one run has "
        f"{largest:.2f} of the pool{deaths}",
        f"runs are pooled in proportion to their evidence: {len(known) + died} are worth "
        f"{ess(log_shares):.1f}, and their mean may still be far too low",
        f"{runs[0].provenance.remedies.more_draws} of each run rather than the number of runs",
    )


def _probabilities(runs: Sequence[Posterior]) -> tuple[list[str | None], np.ndarray]:
    """Return the answers of all runs, and their probabilities, shape (runs, answers)."""
    labels = iter(group([answer for run in runs for answer in run.extracted]))
    columns: dict[str | None, int] = {}
    rows = []
    for run in runs:
        places = [columns.setdefault(next(labels), len(columns)) for _ in run.extracted]
        rows.append((places, np.exp(run.log_weights)))
    table = np.array([np.bincount(*row, minlength=len(columns)) for row in rows])
    return list(columns), table / table.sum(axis=1, keepdims=True)


def _draws(run: Posterior) -> int:
    """Return the number of independent draws that a run is worth by its own ESS.

    Where the ESS of chains is undefined, each chain counts as one draw.
    """
    if run.chains:
        effective = float(run.ess[-1])
        if np.isnan(effective):
            return run.chains
        return max(round(effective), 1)
    effective = float(ess(run.log_weights))
    if run.history is not None and len(run.history.ess):
        # waste-free SMC: the last row is of its chains, fewer than the particles
        effective = min(effective, float(run.history.ess[-1]))
    return max(round(effective), 1)


def _distance(probabilities: np.ndarray, sizes: np.ndarray) -> float:
    """Average the total variation of runs from their pool.

    `probabilities` has shape (runs, answers), `sizes` shape (runs,).
    """
    pool = sizes @ probabilities / sizes.sum()
    return 0.5 * float(np.abs(probabilities - pool).sum(axis=1).mean())


def _named(answer: str | None) -> str:
    return "no answer" if answer is None else f"the answer {printable(answer)!r}"
