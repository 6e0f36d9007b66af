"""A question in, a posterior out."""

from __future__ import annotations

from inspect import signature
from typing import Any

from .. import models
from ..models import LanguageModel, RewardModel, Sampling
from ..ppl.posterior import Posterior
from ..ppl.statespace import Answer, StateSpaceModel, check_declaration, check_lm, check_prm
from ..ppl.targets import Target
from ..smc import RunKeys
from .registry import Sampler, make_sampler


def solve(
    question: str,
    *,
    lm: str | LanguageModel = "pocket",
    prm: str | RewardModel | None = "pocket",
    sampler: str | Sampler = "particle_filter",
    particles: int = 16,
    seed: int = 0,
    target: str | Target = "product",
    beta: float = 1.0,
    prior: Sampling | None = None,
    proposal: Sampling | None = None,
    max_steps: int = 32,
    answer: Answer | None = None,
    resampling: str = "systematic",
    ess_threshold: float = 0.5,
    device: str = "auto",
    progress: bool = False,
) -> Posterior:
    """Sample the posterior over reasoning about a question.

    The same as building a `StateSpaceModel` and running a sampler on it. Every other argument is checked
    before a model is loaded.

    Args:
        question: what is asked.
        lm: the language model: "pocket", which ships with the package, a folder, a Hugging Face id, or a loaded model.
        prm: the reward model, likewise; None for no likelihood.
        sampler: a name of `motes.samplers.SAMPLERS`, or a sampler, which then brings its own settings.
        particles, resampling, ess_threshold, proposal: settings of a sampler given by name; see `ParticleFilter`.
        seed: in [0, 2**32); the same seed gives the same draws.
        target, beta, prior, max_steps, answer: what is to be sampled; see `StateSpaceModel`.
        device: where models given by name are loaded: "auto" (CUDA, then CPU), or a torch device.
        progress: show a progress bar.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; unknown names list the known ones.
        AllParticlesDead: no particle has any weight left; the message names the step.
    """
    prior = Sampling() if prior is None else prior
    check_declaration(question, target, beta, prior, max_steps, answer)
    RunKeys(seed)
    settings = {"particles": particles, "resampling": resampling, "ess_threshold": ess_threshold, "proposal": proposal}
    sampler = make_sampler(sampler, **settings) if isinstance(sampler, str) else _with_its_own_settings(sampler, settings)
    models.check_source(lm) if isinstance(lm, str) else check_lm(lm)
    models.check_source(prm) if isinstance(prm, str) else check_prm(prm)
    model = StateSpaceModel(
        question,
        lm=models.load_lm(lm, device=device) if isinstance(lm, str) else lm,
        prm=models.load_prm(prm, device=device) if isinstance(prm, str) else prm,
        target=target,
        beta=beta,
        prior=prior,
        max_steps=max_steps,
        answer=answer,
    )
    return sampler.run(model, seed=seed, progress=progress)


def _with_its_own_settings(sampler: Any, settings: dict[str, Any]) -> Sampler:
    """The sampler as it is, if nothing was asked of it that it would ignore."""
    if not isinstance(sampler, Sampler):
        raise TypeError(f"sampler must be a name or a sampler, not {sampler!r}")
    for name, value in settings.items():
        if value != signature(solve).parameters[name].default:
            raise ValueError(f"{name} must be left out beside {sampler!r}, which has settings of its own")
    return sampler
