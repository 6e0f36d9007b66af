"""The facts of a run in plain values and words: what the command line, JSON and notebooks show.

Probabilities come with their Monte Carlo standard error, and with the findings that speak against
them (see `motes.diagnostics.findings`).
"""

from __future__ import annotations

from itertools import zip_longest
from math import isfinite, isnan, nan
from typing import Any

import numpy as np

from ..log_odds import sigmoid
from ..models import Cost
from ..ppl.posterior.mixing import RARE
from ..ppl.posterior.pooling import pooled_interval
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.search_tree import SearchTree
from ..smc import pareto_smooth
from .findings import check
from .formatting import counted


def facts(posterior: Posterior) -> dict[str, Any]:
    """Collect what a reader should know of a posterior, in values that JSON can hold.

    Answers come with their probability, Monte Carlo standard error, and, of pooled runs, 95%
    credible interval over runs (see `motes.ppl.posterior.pooling.pooled_interval`); the
    log-evidence with its standard error. What is not finite or not known is None: an undefined
    standard error, a log-evidence that chains do not have, the answer of trajectories without one,
    a k-hat of draws that are not independent or too few.
    """
    return {
        "question": posterior.question,
        "answer": posterior.answer,
        "answers": _answers(posterior),
        "reasoning": _reasoning(posterior),
        "log_evidence": _finite(posterior.log_evidence),
        "log_evidence_mcse": _finite(posterior.log_evidence_mcse),
        "evidence": posterior.evidence,
        "guarantee": posterior.guarantee,
        "stopping": _stopping(posterior),
        "sampler": posterior.sampler,
        "target": posterior.target,
        "trajectories": len(posterior.trajectories),
        "distinct_trajectories": len(posterior.distinct),
        "distinct_answers": len(posterior.answers) - (None in posterior.answers),
        "first_steps": posterior.living_eves,
        "ess": [_finite(value) for value in posterior.ess.tolist()],
        "k_hat": _finite(k_hat(posterior)),
        "resampled": [] if posterior.history is None else posterior.history.resampled.tolist(),
        "tree": None if posterior.tree is None else tree_figures(posterior.tree),
        "chains": posterior.chains,
        "runs": [
            {"log_evidence": _finite(run.log_evidence), "answer": run.answer}
            for run in posterior.runs
        ],
        "mixing": _mixing(posterior),
        "rates": dict(posterior.rates),
        "paper": posterior.paper,
        "step_cost": posterior.step_cost,
        "findings": [finding._asdict() for finding in check(posterior)],
        "settings": dict(posterior.settings),
        "cost": posterior.cost.asdict(),
    }


def _answers(posterior: Posterior) -> list[dict[str, Any]]:
    """Collect each answer's probability, its standard error, and its interval over pooled runs."""
    errors = posterior.answer_mcse
    rows = []
    for answer, probability in posterior.answers.items():
        interval = pooled_interval(posterior, answer) if posterior.runs else None
        row = {
            "answer": answer,
            "probability": probability,
            "mcse": _finite(errors[answer]),
            "interval": list(interval) if interval else None,
        }
        rows.append(row)
    return rows


def _mixing(posterior: Posterior) -> dict[str, dict[str, float | None]]:
    """Collect R-hat and the effective sample sizes of each quantity of chains."""
    rows = {}
    for name, mixing in posterior.mixing.items():
        rows[name] = {key: _finite(value) for key, value in mixing._asdict().items()}
    return rows


def k_hat(posterior: Posterior) -> float:
    """Estimate the shape of the largest weights' tail (Vehtari et al. 2024).

    NaN where draws are not independent, or are too few.
    """
    if posterior.runs or not posterior.provenance.independent:
        return nan
    return float(pareto_smooth(posterior.log_weights).k_hat)


def _worst_r_hat(posterior: Posterior) -> float | None:
    """Return the largest R-hat of all quantities but rare answers, which chains may miss.

    None where none is defined.
    """
    worst = None
    for name, mixing in posterior.mixing.items():
        answer = name.removeprefix("answer ")
        rare = name != answer and posterior.answers.get(answer, 1.0) < RARE
        if rare or isnan(mixing.r_hat):
            continue
        if worst is None or mixing.r_hat > worst:
            worst = mixing.r_hat
    return worst


def mixing_in_words(posterior: Posterior) -> str:
    """Word the number of chains, their ESS and their worst R-hat; "" where there are no chains."""
    if not posterior.chains:
        return ""
    chains = counted(posterior.chains, "chain")
    draws = counted(len(posterior.trajectories) // posterior.chains, "draw")
    ess = posterior.mixing["log_density"].ess
    worth = "undefined" if isnan(ess) else f"{ess:.0f}"
    words = f"{chains} of {draws}; ESS of the log-density {worth}"
    worst = _worst_r_hat(posterior)
    return words if worst is None else f"{words}; R-hat at most {worst:.2f}"


def rates_in_words(posterior: Posterior) -> str:
    """Word the rates of acceptance, of swaps and of whatever else the sampler counted."""
    rates = posterior.rates.items()
    return "; ".join(f"{name.replace('_', ' ')} {_in_words(value)}" for name, value in rates)


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    if value is None:
        return "?"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def evidence_in_words(posterior: Posterior) -> str:
    """Word the log-evidence and how good an estimate it is; "" for chains."""
    if posterior.log_evidence is None:
        return ""
    quality = {
        "unbiased": "unbiased for Z, so too low in the log by about half its variance",
        "consistent": "consistent for Z, and biased with few particles",
        "none": "without a guarantee",
    }
    words = f"{posterior.log_evidence:.2f}"
    if not isnan(posterior.log_evidence_mcse):
        words += f" ± {posterior.log_evidence_mcse:.2f}"
    if posterior.runs:
        words += f" over {len(posterior.runs) + posterior.provenance.died} runs"
    return f"{words}, an estimate: {quality[posterior.evidence]}"


def _stopping(posterior: Posterior) -> dict[str, Any] | None:
    """Collect what a stopping rule did and showed; None without one."""
    stopping = posterior.provenance.stopping
    return None if stopping is None else stopping._asdict()


def stopping_in_words(posterior: Posterior) -> str:
    """Word what a stopping rule showed, after how many draws; "" without such a rule."""
    stopping = posterior.provenance.stopping
    if stopping is None:
        return ""
    words = f"{stopping.said}; {stopping.draws} of {stopping.most} draws"
    if stopping.unused:
        words += f", and {stopping.unused} more in the last batch, left out"
    return f"{words}; rule: {stopping.rule}"


def population_in_words(posterior: Posterior) -> str:
    """Word how many trajectories there are, and how different they are."""
    words = f"{len(posterior.trajectories)} trajectories, {len(posterior.distinct)} distinct"
    living = posterior.living_eves
    return words if living is None else f"{words}, from {counted(living, 'first step')}"


def tree_figures(tree: SearchTree) -> dict[str, int]:
    """Count what a search did."""
    return {
        "steps": len(tree) - 1,
        "expanded": int(tree.expanded[1:].sum()),
        "pruned": int(tree.pruned.sum()),
        "reused": tree.reused,
        "dead": int(tree.dead.sum()),
        "depth": int(tree.depths.max()),
        "tokens": int(tree.tokens.sum()) + tree.tokens_aside,
        "tokens_aside": tree.tokens_aside,
        "idle_tokens": tree.idle_tokens,
    }


def tree_in_words(posterior: Posterior) -> str:
    """Word what a search did; "" for what is no search."""
    if posterior.tree is None:
        return ""
    of = tree_figures(posterior.tree)
    words = (
        f"{counted(of['steps'], 'step')} drawn, {of['expanded']:,} of them gone on with, "
        f"{of['pruned']:,} given up, {of['reused']:,} equal to a sibling; depth {of['depth']}; "
        f"{of['idle_tokens']:,} of {of['tokens']:,} tokens are in no answer"
    )
    return f"{words}, {of['tokens_aside']:,} of them in rollouts" if of["tokens_aside"] else words


def cost_in_words(cost: Cost) -> str:
    """Word a cost: tokens and seconds."""
    words = f"{cost.generated_tokens:,} tokens generated, {cost.prompt_tokens:,} of prompt"
    if cost.rescored_tokens:
        words += f", {cost.rescored_tokens:,} rescored"
    if cost.discarded_tokens:
        words += f", {cost.discarded_tokens:,} drafted in vain"
    if cost.prm_tokens:
        words += f"; {cost.prm_tokens:,} by the reward model"
    if cost.draft_tokens:
        words += f"; {cost.draft_tokens:,} by a draft model"
    return f"{words}; {cost.seconds:.2f} s"


def _reasoning(posterior: Posterior) -> dict[str, Any]:
    """Describe the most probable trajectory among those that state the answer."""
    labels = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    stating = (x for x in posterior.distinct if labels[x] == posterior.answer)
    trajectory = next(stating, posterior.best)
    log_odds = posterior.log_odds[posterior.trajectories.index(trajectory)]
    rewards = _sigmoid(log_odds)  # the last steps may have none
    steps = [
        {"text": text, "reward": reward} for text, reward in zip_longest(trajectory.steps, rewards)
    ]
    return {
        "probability": posterior.distinct[trajectory],
        "logprob": _finite(trajectory.logprob),
        "finished": trajectory.finished,
        "truncated": trajectory.truncated,
        "steps": steps,
    }


def _sigmoid(log_odds: np.ndarray) -> list[float]:
    return sigmoid(log_odds).tolist()


def _finite(number: float | None) -> float | None:
    """Return a number that is finite; None in place of any other."""
    return None if number is None or not isfinite(number) else number
