r"""Implicit reward models: a causal language model against the one that it was trained from.

A model pi trained with outcome labels on beta log pi / pi_ref is a process reward model as it is
(Yuan et al. 2024, arXiv:2412.01981; EurusPRM: Cui et al. 2025, arXiv:2502.01456). Of the tokens
y_1:n of the solution up to a step's end, behind the question q, the log-odds are ::

    logit r(x) = beta sum_i [ log pi(y_i | q, y_<i) - log pi_ref(y_i | q, y_<i) ]

The sum runs over the whole solution so far, not over the last step alone, as published. With the
published beta of 0.001 a hundred nats of difference move the log-odds by 0.1: as a likelihood that
is nearly flat, and a larger beta is a sharper one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ... import checks
from ...aliases import Tokenizer
from .. import calls
from ..cost import Cost
from ..hosting.text_encoder import TextEncoder
from ..identity import identify
from ..prompts import prompt_of
from ..protocols import (
    Capabilities,
    TractableLanguageModel,
    capabilities,
    nan_score,
    token_facts,
)
from ..sampling import Sampling
from ..trajectory import Trajectory

BETA = 0.001  # of EurusPRM


class NumberedSteps:
    r"""The ids of a solution in the layout of EurusPRM: "Step 1: ...", a blank line, "Step 2:".

    A blank line follows every step but the last one of a finished solution. A step that already
    begins with its number keeps its text.

    Example:
        >>> from motes.models import load_lm
        >>> tokenizer = load_lm("pocket", probe=False).tokenizer
        >>> x = Trajectory(question="2 + 2?").child("4.", (9,), logprob=0.0, proposal_logprob=0.0)
        >>> tokenizer.decode(NumberedSteps(tokenizer)(x))
        'Step 1: 4.\n\n'
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._encoder = TextEncoder(tokenizer)

    def __call__(self, trajectory: Trajectory) -> tuple[int, ...]:
        """Return the ids of a trajectory's steps."""
        parts = []
        for number, step in enumerate(trajectory.solution_steps, start=1):
            text, begin = step.strip(), f"Step {number}:"
            parts.append(text if text.startswith(begin) else f"{begin} {text}")
        text = "\n\n".join(parts)
        if parts and not trajectory.finished:
            text += "\n\n"
        return self._encoder.encode(self._encoder.quoted(text))


class _Read(NamedTuple):
    """What was read of a trajectory.

    Attributes:
        node: a trajectory of the two language models, which their caches hang on.
        token_ids: of the solution.
        ratio: the sum of the log ratios, nats.
    """

    node: Trajectory
    token_ids: tuple[int, ...]
    ratio: float


class ImplicitReward:
    """A reward model made of two language models; see the module for its equation.

    Only the tokens of new steps are scored. Where a new step changes how the text before it is
    encoded, the solution is read again from the last step that it does not change.

    Args:
        policy: the trained language model.
        reference: the one it was trained from. Both must have one vocabulary.
        encode: gives the ids of a trajectory's solution; those that were generated where None.
        beta: the factor before the log ratio.
        name: what reports call it.

    Raises:
        TypeError: one of the two is not a language model that tells a text's probability.
        ValueError: `beta` is not a positive finite number.

    Example:
        >>> from motes.models import TableLM
        >>> policy = TableLM(lambda prefix: [0.8, 0.2])
        >>> prm = ImplicitReward(policy, TableLM(lambda prefix: [0.4, 0.6]), beta=1.0)
        >>> x = policy.start("?").child("0", (0,), logprob=0.0, proposal_logprob=0.0)
        >>> prm.score([x]).round(3)  # log 0.8 / 0.4
        array([0.693])
    """

    capabilities = Capabilities(limited=True)

    def __init__(
        self,
        policy: TractableLanguageModel,
        reference: TractableLanguageModel,
        *,
        encode: Callable[[Trajectory], tuple[int, ...]] | None = None,
        beta: float = BETA,
        name: str = "",
    ) -> None:
        for argument, lm in (("policy", policy), ("reference", reference)):
            if not isinstance(lm, TractableLanguageModel) or not capabilities(lm).scoring:
                raise TypeError(
                    f"{argument} must be a language model with a method logprob, which tells the "
                    f"probability of a given text, not {lm!r}"
                )
        self.beta = checks.number("beta", beta)
        if self.beta <= 0:
            raise ValueError(f"beta must be above 0, not {beta!r}")
        self.policy, self.reference = policy, reference
        self.encode = encode
        self.name = name or f"{policy.name} against {reference.name}"
        self._read: WeakKeyDictionary[Trajectory, _Read] = WeakKeyDictionary()

    @property
    def cost(self) -> Cost:
        """What both language models have computed, as a reward model's cost."""
        return (self.policy.cost + self.reference.cost).as_reward_model()

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        parts = (self.policy, self.reference, self.encode, self.beta)
        return repr([identify(part).text for part in parts])

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether both contexts hold a trajectory; of one without steps, with room for one.

        A language model that has no attribute `context` holds any length.
        """
        length = max(len(self._ids(trajectory)), 1)
        for lm in (self.policy, self.reference):
            prompt, context = prompt_of(lm, trajectory.question), token_facts(lm).context
            if prompt is None or context is None:
                continue
            if len(prompt.token_ids) + length > context:
                return False
        return True

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`.

        Raises:
            ValueError: a trajectory has no step.
            FloatingPointError: both language models say that a solution is impossible.
        """
        levels: dict[int, dict[Trajectory, None]] = {}
        for trajectory in trajectories:
            if trajectory.parent is None:
                raise ValueError("trajectories must have at least one step to be scored")
            for node in trajectory.path:
                if node not in self._read:
                    levels.setdefault(node.depth, {})[node] = None
        for depth in sorted(levels):
            self._read_level(list(levels[depth]))
        return self.beta * np.array([self._read[node].ratio for node in trajectories], np.float64)

    def _ids(self, trajectory: Trajectory) -> tuple[int, ...]:
        return trajectory.token_ids if self.encode is None else self.encode(trajectory)

    def _read_level(self, level: list[Trajectory]) -> None:
        """Read trajectories of one depth, those of the depths before it being read."""
        if level[0].parent is None:
            for root in level:
                self._read[root] = _Read(calls.start(self.policy, root.question), (), 0.0)
            return
        ids = [self._ids(trajectory) for trajectory in level]
        known = [self._beginning(*pair) for pair in zip(level, ids, strict=True)]
        rest = [own[len(read.token_ids) :] for own, read in zip(ids, known, strict=True)]
        ratios = self._ratios([read.node for read in known], rest)
        for i, trajectory in enumerate(level):
            ratio = known[i].ratio + ratios[i]
            if ratio != ratio:
                raise nan_score(self.name, trajectory)
            node = known[i].node.child("", rest[i], logprob=0.0, proposal_logprob=0.0)
            self._read[trajectory] = _Read(node, ids[i], ratio)

    def _beginning(self, trajectory: Trajectory, ids: tuple[int, ...]) -> _Read:
        """Return the nearest trajectory before this one whose ids its own begin with."""
        before = trajectory.parent
        while before is not None:
            read = self._read[before]
            if len(read.token_ids) < len(ids) and ids[: len(read.token_ids)] == read.token_ids:
                return read
            before = before.parent
        raise ValueError(f"encode must give at least one token of {trajectory!r}, and gave none")

    def _ratios(self, heads: list[Trajectory], rest: list[tuple[int, ...]]) -> list[float]:
        law = Sampling()
        log_policy = calls.logprob(self.policy, heads, rest, prior=law)
        log_reference = calls.logprob(self.reference, heads, rest, prior=law)
        with np.errstate(invalid="ignore"):  # both minus infinity: the caller names the trajectory
            return (log_policy - log_reference).tolist()
