"""Why nothing is guaranteed of a heuristic run, and of draws that were only copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...models import Sampling
from ...ppl.posterior.posterior import Posterior
from .finding import Finding, counted

PUBLISHED = {"puri2025": "particle_filter", "giannone2025": "entropic_particle_filter"}


def no_guarantee(posterior: Posterior) -> Finding | None:
    """The posterior is heuristic; with every reason for it that the settings show."""
    if posterior.guarantee != "heuristic":
        return None
    reasons = list(_reasons(posterior)) or [("its sampler promises nothing", "use one that states a guarantee (`motes samplers`)")]
    evidence = ", and it estimates no evidence" if posterior.log_evidence is None else ", nor its log-evidence to that target's"
    return Finding(
        "no guarantee",
        "the run is heuristic: " + "; ".join(reason for reason, _ in reasons),
        f"its weights do not converge to the declared target, however many particles there are{evidence}",
        "; ".join(change for _, change in reasons),
    )


def copies(posterior: Posterior) -> Finding | None:
    """The draws were made from another posterior's, by `motes.ppl.Posterior.resampled`: nothing here shows how good those were."""
    if "resampled" not in posterior.settings:
        return None
    return Finding(
        "copies",
        f"the {len(posterior.trajectories)} draws are copies of {counted(len(posterior.distinct), 'trajectory', 'trajectories')} of "
        "another posterior, drawn by weight",
        "they weigh the same whatever the weights were before, and their number says nothing of precision",
        "check the posterior from which they were drawn",
    )


def _reasons(posterior: Posterior) -> Iterator[tuple[str, str]]:
    """What makes it heuristic, and what to change."""
    settings, stopped = posterior.settings, posterior.settings.get("stopped")
    if exact := PUBLISHED.get(posterior.sampler):
        yield f"{posterior.sampler!r} is a procedure as published, which samples no declared target", f"use sampler={exact!r}"
    if missed := _missed(settings.get("proposal"), settings.get("prior")):
        yield f"its proposal, {missed}, cannot draw all that the prior can", "declare it as the prior, or draw without top-p and top-k"
    if stopped == "interrupt":
        yield "it was interrupted", "let it end; one with a checkpoint is taken up where it stopped"
    elif settings.get("budget") is not None and posterior.sampler != "importance_sampling" and not posterior.chains:
        yield (
            f"it has a budget of {settings['budget']} tokens, and what that spares depends on what was written",
            "bound the run by particles and max_steps instead, or use sampler='importance_sampling', which finishes what it began",
        )
    elif posterior.chains and not posterior.rates:
        yield "its chains were stopped in their warm-up", "raise budget, or lower warmup"


def _missed(proposals: Any, prior: Any) -> str:
    """Those of the proposals that miss part of the prior, in words; "" where none does. A program's steps have priors of their own."""
    declared = Sampling(**prior) if isinstance(prior, dict) else Sampling()
    for proposal in proposals if isinstance(proposals, list) else [proposals]:
        if isinstance(proposal, dict) and not Sampling(**proposal).covers(declared):
            return ", ".join(f"{name}={proposal[name]}" for name in ("temperature", "top_p", "top_k") if proposal.get(name) is not None)
    return ""
