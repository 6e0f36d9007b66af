"""The facts of a run in plain values and words: what the command line, JSON and notebooks show.

Probabilities carry their Monte Carlo standard error, and what speaks against them is said in words
(see `motes.diagnostics.findings`).
"""

from __future__ import annotations

from math import isfinite, isnan, nan
from typing import Any

import numpy as np

from ..models import Cost
from ..ppl.posterior.mixing import RARE
from ..ppl.posterior.pooling import pooled_interval
from ..ppl.posterior.posterior import Posterior
from ..smc import pareto_smooth
from .findings import check


def facts(posterior: Posterior) -> dict[str, Any]:
    """Give what is to be known of a posterior, in values that JSON can hold.

    Answers come with their probability, Monte Carlo standard error, and, of pooled runs, 95%
    credible interval over runs (see `motes.ppl.posterior.pooling.pooled_interval`); the
    log-evidence with its standard error. What is not finite or not known is None: an undefined
    standard error, a log-evidence that chains do not have, the answer of trajectories without one,
    a k-hat of what are not independent draws or too few.
    """
    errors = posterior.answer_mcse
    return {
        "question": posterior.question,
        "answer": posterior.answer,
        "answers": [
            {
                "answer": answer,
                "probability": probability,
                "mcse": _finite(errors[answer]),
                "interval": list(pooled_interval(posterior, answer) or ()) or None
                if posterior.runs
                else None,
            }
            for answer, probability in posterior.answers.items()
        ],
        "reasoning": _reasoning(posterior),
        "log_evidence": _finite(posterior.log_evidence),
        "log_evidence_mcse": _finite(posterior.log_evidence_mcse),
        "evidence": posterior.evidence,
        "guarantee": posterior.guarantee,
        "sampler": posterior.sampler,
        "target": posterior.target,
        "trajectories": len(posterior.trajectories),
        "distinct_trajectories": len(posterior.distinct),
        "distinct_answers": len(posterior.answers) - (None in posterior.answers),
        "first_steps": posterior.living_eves,
        "ess": [_finite(value) for value in posterior.ess.tolist()],
        "k_hat": _finite(k_hat(posterior)),
        "resampled": [] if posterior.history is None else posterior.history.resampled.tolist(),
        "chains": posterior.chains,
        "runs": [
            {"log_evidence": _finite(run.log_evidence), "answer": run.answer}
            for run in posterior.runs
        ],
        "mixing": {
            name: {key: _finite(value) for key, value in of._asdict().items()}
            for name, of in posterior.mixing.items()
        },
        "rates": dict(posterior.rates),
        "paper": posterior.paper,
        "step_cost": posterior.step_cost,
        "findings": [finding._asdict() for finding in check(posterior)],
        "settings": dict(posterior.settings),
        "cost": posterior.cost.asdict(),
    }


def k_hat(posterior: Posterior) -> float:
    """The shape of the largest weights' tail (Vehtari et al. 2024); not a number where draws are not independent, or are too few."""
    independent = posterior.provenance.independent and not posterior.runs
    return float(pareto_smooth(posterior.log_weights).k_hat) if independent else nan


def _worst_r_hat(posterior: Posterior) -> tuple[str, float] | None:
    """The quantity that has mixed worst, and its R-hat; None where none is defined. Rare answers, which chains may miss, are left out."""
    rare = {
        f"answer {answer}"
        for answer, probability in posterior.answers.items()
        if probability < RARE
    }
    defined = {
        name: of.r_hat
        for name, of in posterior.mixing.items()
        if name not in rare and not isnan(of.r_hat)
    }
    return max(defined.items(), key=lambda item: item[1]) if defined else None


def mixing_in_words(posterior: Posterior) -> str:
    """R-hat, ESS and rates of chains; "" for what is not chains."""
    if not posterior.chains:
        return ""
    draws, worst, ess = (
        len(posterior.trajectories) // posterior.chains,
        _worst_r_hat(posterior),
        posterior.mixing["log_density"].ess,
    )
    words = (
        f"{posterior.chains} chain{'s' * (posterior.chains != 1)} of {draws} "
        f"draw{'s' * (draws != 1)}"
    )
    words += f"; ESS of the log-density {'undefined' if isnan(ess) else f'{ess:.0f}'}"
    return words + (f"; R-hat at most {worst[1]:.2f}" if worst else "")


def rates_in_words(posterior: Posterior) -> str:
    """Rates of acceptance, swaps and the like."""
    return "; ".join(
        f"{name.replace('_', ' ')} {_in_words(value)}" for name, value in posterior.rates.items()
    )


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return "?" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def evidence_in_words(posterior: Posterior) -> str:
    """The log-evidence and what is known of it; "" for chains."""
    if posterior.log_evidence is None:
        return ""
    known = {
        "unbiased": "unbiased for Z, so too low in the log by about half its variance",
        "consistent": "consistent for Z, and biased with few particles",
        "none": "without a guarantee",
    }
    error = posterior.log_evidence_mcse
    shown = f"{posterior.log_evidence:.2f}" + ("" if isnan(error) else f" ± {error:.2f}")
    over = f" over {len(posterior.runs) + posterior.provenance.died} runs" if posterior.runs else ""
    return f"{shown}{over}, an estimate: {known[posterior.evidence]}"


def population_in_words(posterior: Posterior) -> str:
    """How many trajectories there are, and how different they are."""
    words = f"{len(posterior.trajectories)} trajectories, {len(posterior.distinct)} distinct"
    living = posterior.living_eves
    return words if living is None else f"{words}, from {living} first step{'s' * (living != 1)}"


def cost_in_words(cost: Cost) -> str:
    """Tokens and seconds."""
    rescored = f", {cost.rescored_tokens:,} rescored" * (cost.rescored_tokens > 0)
    judged = f"; {cost.prm_tokens:,} by the reward model" * (cost.prm_tokens > 0)
    return (
        f"{cost.generated_tokens:,} tokens generated, {cost.prompt_tokens:,} of "
        f"prompt{rescored}{judged}; {cost.seconds:.2f} s"
    )


def _reasoning(posterior: Posterior) -> dict[str, Any]:
    """The most probable trajectory among those that state the answer."""
    labels = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    chosen = next(
        (trajectory for trajectory in posterior.distinct if labels[trajectory] == posterior.answer),
        posterior.best,
    )
    log_odds = posterior.log_odds[posterior.trajectories.index(chosen)]
    rewards = [*_sigmoid(log_odds), *[None] * (chosen.depth - len(log_odds))]
    return {
        "probability": posterior.distinct[chosen],
        "logprob": _finite(chosen.logprob),
        "finished": chosen.finished,
        "truncated": chosen.truncated,
        "steps": [
            {"text": text, "reward": reward}
            for text, reward in zip(chosen.steps, rewards, strict=True)
        ],
    }


def _sigmoid(log_odds: np.ndarray) -> list[float]:
    return np.exp(-np.logaddexp(0.0, -log_odds)).tolist()


def _finite(number: float | None) -> float | None:
    return None if number is None or not isfinite(number) else number
