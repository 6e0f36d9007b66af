"""Drafts that are weighed as if the language model had written them: GSI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from ... import checks
from ...log_odds import sigmoid
from ...ppl.particle import Particle
from ...smc.resampling import pick_at
from .published import last_scores
from .step_drafts import StepDrafts


@dataclass(frozen=True, kw_only=True)
class GSI(StepDrafts):
    """Guided speculative inference: soft best-of-n of drafts, or of the language model's steps.

    With r in [0, 1] the reward of a step and r~(s) = r(s) + log(p(s) / q(s)) / beta, each step is
    written so:

    1. The draft model q writes n; one of them, s, is chosen in proportion to exp(beta r~), which is
       p(s) / q(s) exp(beta r(s)).
    2. It is kept if r~(s) is at least the threshold.
    3. Otherwise the language model p writes n, and one is chosen in proportion to exp(beta r).

    Let A be the law of the choice among drafts and B that among steps of p:

        A(s) = n q(s) w(s) E[1 / (w(s) + w(s_2) + ... + w(s_n))],   w = exp(beta r~), s_i ~ q
        law of a step = A(s) 1[r~(s) >= threshold] + nu B(s),       nu = A(r~ < threshold)

    and B as A, with p for q and exp(beta r) for w. As n grows both A and B tend to the tilted law
    pi(s) in proportion to p(s) exp(beta r(s)), but the law of a step tends to

        pi(s) (1[r~(s) >= threshold] + nu),     nu = pi(r~ < threshold)

    at a total variation of nu (1 - nu) from pi. So more drafts do not make it exact; a threshold
    that refuses none does, in the limit. (The published bound is on the path that accepts.) The
    published code also stops where all rewards are below 0.1, which is left out here. A step of
    reward zero ends its trajectory, which is no answer.

    Target: none that it would declare; what the model declares is not sampled, only compared with.
    Guarantee: heuristic. Evidence: none. Cost of a step: for each open trajectory the tokens of n
    drafts (`posterior.cost.draft_tokens`), which the language model reads in one pass
    (`rescored_tokens`), and of n steps of its own where the chosen one is refused
    (`generated_tokens`); the reward model reads them all. Source: Geuter et al. (2025),
    arXiv:2506.04118. The exact filter is `motes.samplers.ParticleFilter`.

    Attributes:
        particles: N, trajectories, drawn independently; at least 1.
        draft: as of `RSD`; it must also tell the probabilities of its drafts. None lets the
            language model draft for itself, so that p / q is 1.
        candidates: n, at least 1.
        inverse_temperature: beta, above 0; that of the declared target has no part in it.
        threshold: in units of r; a very low one keeps every draft.
        proposal: what the steps of both models are drawn from; the model's prior when None.
        budget: as of `ParticleFilter`; tokens of a draft model do not count.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> draft = TableLM(lambda prefix: [0.2, 0.3, 0.5], eos=2)
        >>> prm = FunctionReward(lambda x: 2.0 - 2 * x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=prm, max_steps=4)
        >>> posterior = GSI(particles=8, draft=draft).run(model, seed=0)
        >>> cost = posterior.cost
        >>> posterior.guarantee, cost.draft_tokens == 4 * posterior.rates["drafted_steps"]
        ('heuristic', True)
        >>> cost.generated_tokens == 4 * posterior.rates["rewritten_steps"]
        True
    """

    candidates: int = 4
    inverse_temperature: float = 20.0
    threshold: float = 0.5

    name = "gsi"
    paper = "Geuter et al. (2025), arXiv:2506.04118"

    def __post_init__(self) -> None:
        checks.settle(
            self,
            candidates=checks.count("candidates", self.candidates),
            inverse_temperature=checks.positive("inverse_temperature", self.inverse_temperature),
            threshold=checks.number("threshold", self.threshold),
        )
        super().__post_init__()

    @property
    def width(self) -> int:
        return self.candidates

    def weighs_drafts(self) -> bool:
        return True

    def kept(self, drafts: Sequence[Particle], log_ratios: np.ndarray, uniform: float) -> int:
        tilted = sigmoid(last_scores(drafts)) + log_ratios / self.inverse_temperature
        if tilted.max() == -inf:  # the language model can write none of them
            return -1
        choice = pick_at(uniform, self.inverse_temperature * tilted)
        return choice if tilted[choice] >= self.threshold else -1

    def chosen(self, written: Sequence[Particle], uniform: float) -> int:
        return pick_at(uniform, self.inverse_temperature * sigmoid(last_scores(written)))
