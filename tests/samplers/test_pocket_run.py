"""A particle filter over the pocket's two models: what is computed, counted where it is
computed."""

from __future__ import annotations

from typing import Any

import motes
from motes.models.pocket import problems
from motes.ppl import Posterior


class Given:
    """Tokens that a model is really given: those its attention mask admits, in the columns being
    computed."""

    def __init__(self, model: Any) -> None:
        self.tokens = self.passes = 0
        self.hook = model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.tokens += int(kwargs["attention_mask"][:, -kwargs["input_ids"].shape[1] :].sum())
        self.passes += 1


def test_a_run_computes_every_token_once() -> None:
    lm, prm = motes.load_lm("pocket"), motes.load_prm("pocket")
    problem = next(problems("test", seed=3, steps=4))
    prompt = len(lm._tokens_of(lm.start(problem.question)))
    given_lm, given_prm = Given(lm.model), Given(prm.model)
    model = motes.ppl.StateSpaceModel(problem.question, lm=lm, prm=prm)
    posterior: Posterior = motes.samplers.ParticleFilter(particles=24, ess_threshold=1.0).run(
        model, seed=1
    )
    cost = posterior.cost
    assert posterior.history.resampled[1:].all(), "forks are what this is about"
    assert cost.prompt_tokens == prompt and cost.rescored_tokens == 0
    assert given_lm.tokens <= prompt + cost.generated_tokens
    assert given_lm.passes == cost.forward_passes
    assert given_prm.tokens == cost.prm_tokens and given_prm.passes == cost.prm_forward_passes
    # one pass for the prompt, then one a step: no step is scored twice, and no prefix read again
    assert cost.prm_forward_passes == len(posterior.ess) + 1
    assert 0 < cost.forward_seconds < cost.seconds
