"""What a reward model reads, as a tree of tokens in which conversations share what they begin with.

A reader gives the ids of a whole conversation. Behind one more step they mostly begin with those of
the trajectory before it, so that only the rest is new. Where they do not, since the new step's text
changes how what stands before it is encoded, the conversation goes on from the nearest trajectory
before it whose ids it does begin with.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from ..trajectory import Trajectory


class ReadingTree:
    """Nodes that stand for the ids of conversations, for a `TreeCache`.

    Args:
        conversation: the ids that are read of a trajectory, at least one.

    Example:
        >>> tree = ReadingTree(lambda x: (1, *x.token_ids))
        >>> root = Trajectory(question="?")
        >>> node = tree.node(root.child("a", (5, 6), logprob=-1.0, proposal_logprob=-1.0))
        >>> node.parent is tree.node(root), node.step_token_ids, node.token_ids
        (True, (5, 6), (1, 5, 6))
    """

    def __init__(self, conversation: Callable[[Trajectory], tuple[int, ...]]) -> None:
        self._conversation = conversation
        self._nodes: WeakKeyDictionary[Trajectory, Trajectory] = WeakKeyDictionary()

    def node(self, trajectory: Trajectory) -> Trajectory:
        """Return the node whose path has the ids of the trajectory's conversation."""
        for ancestor in trajectory.path:
            if ancestor not in self._nodes:
                self._nodes[ancestor] = self._new(ancestor)
        return self._nodes[trajectory]

    def _new(self, trajectory: Trajectory) -> Trajectory:
        ids = self._conversation(trajectory)
        before = trajectory.parent
        while before is not None:
            parent = self._nodes[before]
            known = parent.token_ids
            if len(known) < len(ids) and ids[: len(known)] == known:
                return self._behind(parent, ids[len(known) :], trajectory)
            before = before.parent
        return self._behind(None, ids, trajectory)

    def _behind(
        self, parent: Trajectory | None, ids: tuple[int, ...], trajectory: Trajectory
    ) -> Trajectory:
        return Trajectory(
            question="",
            parent=parent,
            depth=0 if parent is None else parent.depth + 1,
            step_token_ids=ids,
            finished=trajectory.finished,
            truncated=trajectory.truncated,
        )
