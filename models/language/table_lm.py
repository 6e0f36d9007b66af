"""Models given by plain functions.

A language model by a table of next-token probabilities, a reward by a formula.

They need no weights and no tensors, and everything about them can be enumerated, so they are what
samplers are checked with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isnan, log, log1p
from numbers import Real
from typing import Any

import numpy as np

from ... import checks
from ...aliases import PRNGKeys
from ..confidence import Top, confidence
from ..cost import Cost
from ..mixture import Law, Mixture, chosen, components, weighed
from ..protocols import Capabilities, Reading, nan_score
from ..randomness import SlotUniforms
from ..sampling import Sampling
from ..trajectory import Trajectory

NO_SAMPLING = Sampling()


class TableLM:
    """A language model given by a function from a prefix to next-token probabilities.

    One token is one step.

    Args:
        next_probs: maps the tuple of token ids so far to the probabilities of all V tokens, shape
            (V,), not negative, with a positive sum (they are normalised).
        eos: the id that ends a trajectory; None where only `max_steps` does.
        name: what reports call it.

    Example:
        >>> import jax
        >>> lm = TableLM(lambda prefix: [0.5, 0.5], eos=1)
        >>> x = lm.start("a coin")
        >>> [y] = lm.extend([x], jax.random.split(jax.random.key(0), 1))
        >>> y.depth, round(y.logprob, 4)
        (1, -0.6931)
    """

    capabilities = Capabilities(
        scoring=True, continuation=True, confidences=True, mixtures=True, reading=True
    )

    def __init__(
        self,
        next_probs: Callable[[tuple[int, ...]], Any],
        *,
        eos: int | None = None,
        name: str = "table",
    ) -> None:
        self.next_probs = checks.function(
            "next_probs", next_probs, "a tuple of token ids to the probabilities of the next"
        )
        self.eos = None if eos is None else checks.count("eos", eos, least=0)
        self.name = name
        self.cost = Cost()

    @property
    def end_ids(self) -> frozenset[int]:
        """The ids that end a trajectory."""
        return frozenset() if self.eos is None else frozenset([self.eos])

    def start(self, question: str) -> Trajectory:
        """Return the root; a table reads no question."""
        return Trajectory(question=question)

    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one token for each trajectory; see `LanguageModel.extend`."""
        if closed := [trajectory for trajectory in trajectories if not trajectory.open]:
            raise ValueError(f"only open trajectories can be extended, not {closed[0]!r}")
        if not trajectories:
            return []
        prior = prior or Sampling()
        sampling = sampling or prior
        slots = SlotUniforms(keys, len(trajectories))
        choices = chosen(sampling, trajectories, slots)
        self.cost += Cost(generated_tokens=len(trajectories), forward_passes=1)
        return [
            self._draw(trajectory, u, choice, sampling, prior)
            for trajectory, u, choice in zip(trajectories, slots.at(0), choices, strict=True)
        ]

    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probability of each continuation; see `LanguageModel.logprob`."""
        prior = prior or Sampling()
        totals = np.zeros(len(trajectories))
        for i, (trajectory, continuation) in enumerate(
            zip(trajectories, continuations, strict=True)
        ):
            prefix = trajectory.token_ids
            for token in continuation:
                totals[i] += self._log_prob(prior, prefix, token, trajectory)
                prefix = (*prefix, token)
        self.cost += Cost(
            rescored_tokens=sum(map(len, continuations)),
            forward_passes=max(map(len, continuations), default=0),
        )
        return totals

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`."""
        self.cost += Cost(rescored_tokens=len(steps) * len(trajectories), forward_passes=len(steps))
        heads: list[Trajectory | None] = list(trajectories)
        for i, head in enumerate(trajectories):
            for step in steps:
                heads[i] = head = (
                    self._child(head, step.step_token_ids[0], proposal, prior)
                    if head.open
                    else None
                )
                if head is None:
                    break
        return heads

    def read_steps(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Reading | None]:
        """Put a step behind each trajectory; see `motes.models.calls.read_steps`."""
        self.cost += Cost(rescored_tokens=len(steps), forward_passes=1)
        return [
            self._reading(x, step.step_token_ids, proposal, prior)
            for x, step in zip(trajectories, steps, strict=True)
        ]

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure it was of every token; see `motes.models.token_confidences`."""
        rows = []
        for trajectory in trajectories:
            tokens, values = trajectory.token_ids, []
            for place in range(len(tokens)):
                law = NO_SAMPLING.log_probs(self._logits(tokens[:place], trajectory))
                values.append(confidence(law, top))
            rows.append(np.array(values, np.float64))
        self.cost += Cost(rescored_tokens=sum(map(len, rows)))
        return rows

    def _log_prob(
        self, law: Sampling, prefix: tuple[int, ...], token: int, trajectory: Trajectory
    ) -> float:
        log_probs = law.log_probs(self._logits(prefix, trajectory))
        checks.count(
            f"a token of the language model {self.name!r}", token, least=0, most=len(log_probs) - 1
        )
        return float(log_probs[token])

    def _draw(
        self, trajectory: Trajectory, u: float, choice: int, sampling: Law, prior: Sampling
    ) -> Trajectory:
        law = components(sampling)[choice]
        cumulative = np.cumsum(
            np.exp(law.log_probs(self._logits(trajectory.token_ids, trajectory)))
        )
        token = np.searchsorted(cumulative, u * cumulative[-1], side="right")
        return self._child(
            trajectory, int(min(token, np.argmax(cumulative == cumulative[-1]))), sampling, prior
        )

    def _child(
        self, trajectory: Trajectory, token: int, sampling: Law, prior: Sampling
    ) -> Trajectory:
        logits = self._logits(trajectory.token_ids, trajectory)
        terms = {law: float(law.log_probs(logits)[token]) for law in (prior, *components(sampling))}
        return trajectory.child(
            f"{token} ",
            (token,),
            logprob=terms[prior],
            finished=token == self.eos,
            **weighed(sampling, trajectory, [terms[law] for law in components(sampling)]),
        )

    def _reading(
        self, trajectory: Trajectory, tokens: tuple[int, ...], proposal: Law, prior: Sampling
    ) -> Reading | None:
        if not trajectory.open or len(tokens) != 1:
            return None
        log_p, *terms = [
            self._log_prob(law, trajectory.token_ids, tokens[0], trajectory)
            for law in (prior, *components(proposal))
        ]
        node = trajectory.child(
            f"{tokens[0]} ",
            tokens,
            logprob=0.0,
            proposal_logprob=0.0,
            finished=tokens[0] == self.eos,
            component_logprobs=tuple(terms) if isinstance(proposal, Mixture) else (),
        )
        return Reading(node, log_p, tuple(terms))

    def _logits(self, prefix: tuple[int, ...], trajectory: Trajectory) -> np.ndarray:
        probs = np.asarray(self.next_probs(prefix), dtype=np.float64)
        with np.errstate(over="ignore"):
            right = probs.ndim == 1 and np.all(probs >= 0) and 0 < probs.sum() < np.inf
        if not right:
            raise FloatingPointError(
                f"the language model {self.name!r} gave probabilities {probs} after {trajectory!r}"
            )
        with np.errstate(divide="ignore"):
            return np.log(probs)


class FunctionReward:
    """A reward model given by a function.

    Args:
        fn: maps a trajectory to the log-odds logit(r) that its last step is right, a number; may be
            minus or plus infinity. Of a probability or a truth make a reward model by
            `from_probability`.
        name: what reports call it.

    Example:
        >>> root = TableLM(lambda prefix: [1.0]).start("?")
        >>> FunctionReward(lambda x: 2.0 - x.depth).score([root])
        array([2.])
    """

    def __init__(self, fn: Callable[[Trajectory], float], *, name: str = "function") -> None:
        self.fn = checks.function("fn", fn, "a trajectory to the log-odds of its last step")
        self.name = name
        self.cost = Cost()

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`."""
        scores = np.array(
            [self._log_odds(trajectory) for trajectory in trajectories], dtype=np.float64
        )
        self.cost += Cost(prm_tokens=len(trajectories), prm_forward_passes=1)
        return scores

    @classmethod
    def from_probability(
        cls, fn: Callable[[Trajectory], float], *, name: str = "function"
    ) -> FunctionReward:
        """Make the reward model of a function that gives a probability.

        Args:
            fn: maps a trajectory to the probability r in [0, 1] that its last step is right; True
                counts as 1, False as 0.
            name: what reports call it.

        Returns:
            The reward model, whose score raises a ValueError where the function gives no
            probability.

        Example:
            >>> root = TableLM(lambda prefix: [1.0]).start("?")
            >>> FunctionReward.from_probability(lambda x: 0.5).score([root])
            array([0.])
        """

        def log_odds(trajectory: Trajectory) -> float:
            probability = fn(trajectory)
            if not isinstance(probability, Real | np.bool_) or not 0 <= probability <= 1:
                raise ValueError(
                    f"the reward model {name!r} must give a probability in [0, 1], not "
                    f"{probability!r} for {trajectory!r}"
                )
            if probability in (0, 1):
                return inf if probability else -inf
            return log(probability) - log1p(-probability)

        return cls(log_odds, name=name)

    def _log_odds(self, trajectory: Trajectory) -> float:
        value = self.fn(trajectory)
        if isinstance(value, bool | np.bool_):
            raise TypeError(
                f"the reward model {self.name!r} gave {value} for {trajectory!r}, where log-odds "
                "are meant: return logit(r), "
                "or make it by FunctionReward.from_probability"
            )
        try:
            log_odds = float(value) if not isinstance(value, str | bytes) else None
        except (TypeError, ValueError, OverflowError):
            log_odds = None
        if log_odds is None:
            raise TypeError(
                f"the reward model {self.name!r} must give a number, not {value!r} for "
                f"{trajectory!r}"
            )
        if isnan(log_odds):
            raise nan_score(self.name, trajectory)
        return log_odds
