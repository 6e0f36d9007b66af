"""Drafts that are kept where their score is high: RSD and SpecReason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import checks
from ...log_odds import sigmoid
from ...ppl.particle import Particle
from .published import last_scores
from .step_drafts import StepDrafts

ROUNDING = 1e-9  # of a score that is at the threshold


@dataclass(frozen=True, kw_only=True)
class RSD(StepDrafts):
    """Reward-guided speculative decoding: keep a drafted step if its reward is high enough.

    Before each step the draft model q writes one. It is kept where the reward model's r of it is at
    least the threshold; otherwise the language model p writes the step, whatever that is worth. The
    law of a step s after a prefix is

        q(s) h(s) + nu p(s),    h(s) = 1[r(s) >= threshold],    nu = sum_s q(s) (1 - h(s))

    and a trajectory's is the product over its steps. It is not p, nor p tilted by r, at any
    threshold but those that refuse every draft (then it is p). A draft that the language model's
    prior cannot write is refused. A step of reward zero ends its trajectory, which is no answer.

    Target: none that it would declare; what the model declares is not sampled, only compared with.
    Guarantee: heuristic. Evidence: none. Cost of a step: for each open trajectory the tokens of a
    draft (`posterior.cost.draft_tokens`), which the language model reads where it is kept
    (`rescored_tokens`, one pass for all), and those of a step of its own where it is not
    (`generated_tokens`). Source: Liao et al. (2025), arXiv:2501.19324. The exact filter is
    `motes.samplers.ParticleFilter`.

    Attributes:
        particles: N, trajectories, drawn independently; at least 1.
        draft: the draft model: a name or a folder, a language model, or a function that loads one.
            It must have the tokens of the language model, its rule for steps, and its context. None
            lets the language model draft for itself: a second try where the first is bad.
        threshold: in [0, 1].
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
        >>> posterior = RSD(particles=8, draft=draft).run(model, seed=0)
        >>> cost = posterior.cost
        >>> posterior.guarantee, cost.draft_tokens == posterior.rates["drafted_steps"]
        ('heuristic', True)
        >>> cost.generated_tokens == posterior.rates["rewritten_steps"]
        True
    """

    threshold: float = 0.7

    name = "rsd"
    paper = "Liao et al. (2025), arXiv:2501.19324"

    def __post_init__(self) -> None:
        checks.settle(self, threshold=checks.fraction("threshold", self.threshold))
        super().__post_init__()

    def kept(self, drafts: Sequence[Particle], log_ratios: np.ndarray, uniform: float) -> int:
        return 0 if float(sigmoid(last_scores(drafts))[0]) >= self.threshold - ROUNDING else -1


@dataclass(frozen=True, kw_only=True)
class SpecReason(RSD):
    """Speculative reasoning: the language model judges drafted steps, and replaces bad ones.

    As `RSD`, but the first steps may be the language model's own, and the judge is meant to be the
    language model itself, declared as the reward model. As published it is asked for the utility of
    the last step, a digit d from 0 to 9, of which 7 is enough (9 in some of its experiments):
    `motes.solve(..., prm="self-score")`, where r = d / 9, d being the likeliest token or the mean
    of the ten digits (see `motes.models.reward.digit_reader`, which says what is not as published).
    With prm="self-judge" r is its P(yes), and any other reward model takes the judge's place; none
    of that is published. Also as published: the draft is kept at the threshold or above it, the
    first steps can be the language model's own, and nothing is kept of a draft that is refused.
    With h(s) = 1[r(s) >= threshold] and nu = sum_s q(s) (1 - h(s)) the law of a step s is

        p(s)                    among the first `first` steps
        q(s) h(s) + nu p(s)     after them

    Target: none that it would declare; what the model declares is not sampled, only compared with.
    Guarantee: heuristic. Evidence: none. Cost of a step: as of `RSD`; the judge reads every draft,
    and here what the language model writes as well, so that all steps have a score. Source: Pan et
    al. (2025), arXiv:2504.07891. The exact filter is `motes.samplers.ParticleFilter`.

    Attributes:
        particles, draft, proposal, budget: as of `RSD`.
        threshold: of r, in [0, 1].
        first: steps that the language model writes without a draft, at least 0.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> from motes.ppl import StateSpaceModel
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> draft = TableLM(lambda prefix: [0.2, 0.3, 0.5], eos=2)
        >>> judge = FunctionReward(lambda x: 2.0 - 2 * x.token_ids[-1])
        >>> model = StateSpaceModel("?", lm=lm, prm=judge, max_steps=4)
        >>> posterior = SpecReason(particles=8, draft=draft, first=1).run(model, seed=0)
        >>> posterior.guarantee, posterior.rates["rewritten_steps"] >= 8
        ('heuristic', True)
    """

    threshold: float = 7 / 9
    first: int = 0

    name = "spec_reason"
    paper = "Pan et al. (2025), arXiv:2504.07891"

    def __post_init__(self) -> None:
        checks.settle(self, first=checks.count("first", self.first, least=0))
        super().__post_init__()

    def drafts(self, t: int) -> bool:
        return t > self.first
