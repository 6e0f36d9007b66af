"""Process reward models hosted with torch and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch

from ... import checks
from ...aliases import Network
from ..cost import Cost
from ..hosting.memory import in_batches
from ..hosting.probe import declared_context, lawful_context
from ..hosting.tree_cache import Tokens, TreeCache
from ..identity import identify
from ..protocols import Capabilities, nan_score
from ..trajectory import Trajectory
from .readers import Reader
from .reading_tree import ReadingTree


class TorchPRM:
    """A process reward model with a causal backbone, as a `RewardModel`.

    A step is scored from the keys and values of its prefix: every token, markers included, is
    computed once, as long as a longer conversation's encoding begins with the shorter one's (see
    `ReadingTree`). A node's score is computed once as well and remembered as long as the node
    lives.

    Args:
        model: the model, on its device, in evaluation mode.
        reader: how the model is asked (see `readers`).
        name: what reports call it.
        cache_bytes: the most bytes of keys and values to keep between calls; they are recomputed
            when dropped.
        probe: whether to find out that a score does not depend on what else is in a batch (see
            `motes.models.hosting.probe`).

    Attributes:
        context: how many tokens it can read of a question and its steps, markers included.

    Raises:
        ValueError: the model is not one whose prefixes can be kept (see `make_pool`), or its scores
            depend on company.

    Example:
        >>> from motes.models import load_prm
        >>> type(load_prm("pocket")).__name__
        'TorchPRM'
    """

    capabilities = Capabilities(limited=True)

    def __init__(
        self,
        model: Network,
        reader: Reader,
        *,
        name: str = "",
        cache_bytes: int = 2 << 30,
        probe: bool = True,
    ) -> None:
        self.model, self.reader = model, reader
        self.name = name or type(model).__name__
        self.cost = Cost()
        self.context = declared_context(model.config)
        kept = checks.count("cache_bytes", cache_bytes)
        self._reading = ReadingTree(reader.conversation)
        self._tree = TreeCache(
            model, _tokens_of, budget=kept, on_forward=self._forwarded, on_move=self._moved
        )
        if probe:
            self.context = lawful_context(model, name=self.name, context=self.context)
        self._scores: WeakKeyDictionary[Trajectory, float] = WeakKeyDictionary()

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the model's context holds a trajectory.

        Of one without steps, with room for one.
        """
        length = self._length(trajectory)
        return length < self.context if trajectory.parent is None else length <= self.context

    @torch.inference_mode()
    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`.

        Raises:
            ValueError: a trajectory has no step, or does not fit into the model's context.
        """
        new = list(
            dict.fromkeys(
                trajectory for trajectory in trajectories if trajectory not in self._scores
            )
        )
        if new:
            nodes = [self._reading.node(trajectory) for trajectory in new]
            sizes = self._tree.row_bytes(nodes, [0] * len(new), 0)
            values = in_batches(
                lambda rows: self._log_odds([new[i] for i in rows]),
                range(len(new)),
                sizes,
                self._tree.device,
            )
            for trajectory, value in zip(new, values, strict=True):
                if value != value:
                    raise nan_score(self.name, trajectory)
                self._scores[trajectory] = value
        return np.array([self._scores[trajectory] for trajectory in trajectories], dtype=np.float64)

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: weights, and how its reader asks it.

        See `motes.models.identity`.
        """
        return str(identify(self).text)

    def drop_cache(self) -> None:
        """Forget all keys and values; they are computed again where they are needed."""
        self._tree.drop()

    def _log_odds(self, trajectories: list[Trajectory]) -> list[float]:
        for trajectory in trajectories:
            if trajectory.parent is None:
                raise ValueError("trajectories must have at least one step to be scored")
            if not self.can_read(trajectory):
                length = self._length(trajectory)
                raise ValueError(
                    f"{trajectory!r} has {length} tokens for {self.name!r}, whose context holds "
                    f"{self.context}"
                )
        outputs = self._tree.logits_at(
            [self._reading.node(trajectory) for trajectory in trajectories]
        ).logits
        return self.reader.log_odds(outputs).double().tolist()

    def _length(self, trajectory: Trajectory) -> int:
        """Count the tokens that the model reads for a trajectory."""
        return self._tree.length(self._reading.node(trajectory))

    def _forwarded(self, tokens: Tokens, seconds: float) -> None:
        self.cost += Cost(
            prm_tokens=tokens.roots + tokens.steps + tokens.again,
            prm_forward_passes=1,
            forward_seconds=seconds,
        )

    def _moved(self, seconds: float) -> None:
        self.cost += Cost(cache_seconds=seconds)


def _tokens_of(node: Trajectory) -> tuple[int, ...]:
    return node.step_token_ids
