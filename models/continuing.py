"""Another past for what has been said: the steps of one trajectory behind the steps of another.

What a remainder's tokens are worth depends on all that precedes them, and so may its text (a character can begin in one step and
end in the next) and its end (a context may be full sooner). So nothing of it is taken over but its token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .protocols import TractableLanguageModel
from .sampling import Sampling
from .trajectory import Trajectory


@runtime_checkable
class Continues(Protocol):
    """A language model that can say itself how it would go on; `continued` asks it."""

    def continued(
        self, trajectories: Sequence[Trajectory], steps: Sequence[Trajectory], *, prior: Sampling, proposal: Sampling
    ) -> list[Trajectory | None]:
        """As the function `continued`."""
        ...


def continued(
    lm: TractableLanguageModel, trajectories: Sequence[Trajectory], steps: Sequence[Trajectory], *, prior: Sampling, proposal: Sampling
) -> list[Trajectory | None]:
    """Each trajectory, followed by steps with the token ids of these.

    Args:
        lm: it is asked itself if it has a method `continued`; otherwise the steps are taken to end where and as they did.
        trajectories: N open ones.
        steps: nodes of another trajectory, at least one, in order.
        prior: the declared prior.
        proposal: what the steps are to be thought of as drawn from.

    Returns:
        N trajectories as `extend` would have made them step by step, had it drawn these tokens, their log-probabilities under
        prior and proposal included; None where it could not have, since a step would have ended elsewhere.
    """
    if isinstance(lm, Continues):
        return lm.continued(trajectories, steps, prior=prior, proposal=proposal)
    heads = list(trajectories)
    for step in steps:
        tokens = [step.step_token_ids] * len(heads)
        log_p = lm.logprob(heads, tokens, prior=prior)
        log_q = log_p if proposal == prior else lm.logprob(heads, tokens, prior=proposal)
        heads = [
            head.child(
                step.step_text,
                step.step_token_ids,
                logprob=float(p),
                proposal_logprob=float(q),
                finished=step.finished,
                truncated=step.truncated,
                delimited=step.delimited,
            )
            for head, p, q in zip(heads, log_p, log_q, strict=True)
        ]
    return list(heads)
