"""Who descends from whom: lineages, coalescence, and the storage of paths.

Resampling makes a filter's N particles a forest: particle i of generation t has the parent a_t^i in
generation t-1, and slot i of the last generation T descends from

    b_T^i = i,    b_t-1^i = a_t^(b_t^i).

Going back, lineages meet and never part. Under multinomial resampling with equal weights two of
them meet with probability 1/N a generation, so that all have met some 2N generations back (Kingman
1982, *The coalescent*), and of the T N particles that were ever made no more than T + O(N log N)
have descendants today, on average (Jacob, Murray and Rubenthaler 2015, *Path storage in the
particle filter*). `PathStore` holds these and no others.

An *eve* is the particle of some early generation from which a final one descends (Lee and Whiteley
2018). Which generation depends on where the particles become independent draws. Where x_0 is random
that is generation 0, and a resampling before step 1, when all weights are still equal, loses some
of it as any other does. Where x_0 is the same for all, as the prompt of a language model is,
generation 0 holds N copies of one point, it makes no difference which is whose parent, and
particles first differ in generation 1. So the generation is an argument, `since`: 0 is right for
every model; 1 is right where x_0 is not random, and leaves more eves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..aliases import Particles


def lineages(ancestors: np.ndarray) -> np.ndarray:
    """Give the slot at each generation from which each final slot descends.

    int64, shape (T + 1, N).

    Args:
        ancestors: for each step, the parent's slot of each slot, shape (T, N).

    Example:
        >>> import numpy as np
        >>> lineages(np.array([[0, 0, 2], [0, 1, 1]]))
        array([[0, 0, 0],
               [0, 1, 1],
               [0, 1, 2]])
    """
    steps, slots = ancestors.shape
    lineage = np.empty((steps + 1, slots), np.int64)
    lineage[steps] = np.arange(slots)
    for t in range(steps, 0, -1):
        lineage[t - 1] = ancestors[t - 1, lineage[t]]
    return lineage


def eves(ancestors: np.ndarray, *, since: int = 0) -> np.ndarray:
    """Give the slot at generation `since` from which each final slot descends; int64, shape (N,).

    Args:
        ancestors: shape (T, N).
        since: a generation; 0 counts a resampling before step 1, 1 does not (see above). The final
            slots themselves where it is T or later.
    """
    lineage = np.arange(ancestors.shape[1])
    for row in ancestors[since:]:
        lineage = lineage[row]
    return lineage


def distinct_ancestors(ancestors: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """Count the particles of each generation from which the living final ones descend.

    int64, shape (T + 1,).

    It never falls from one generation to the next; the last entry is the number of living
    particles.

    Args:
        ancestors: shape (T, N).
        log_weights: final, shape (N,); minus infinity for a dead particle.

    Example:
        >>> import numpy as np
        >>> distinct_ancestors(np.array([[0, 0, 2], [0, 1, 1]]), np.zeros(3))
        array([1, 2, 3])
    """
    living = np.sort(lineages(ancestors)[:, np.asarray(log_weights) > -np.inf], axis=1)
    return (np.diff(living, axis=1, prepend=-1) != 0).sum(axis=1)


def coalescence_time(ancestors: np.ndarray, log_weights: np.ndarray) -> int | None:
    """Count the generations back to the last common ancestor of the living final particles.

    The smallest d >= 0 such that they all descend from one slot of generation T - d: 0 where one
    particle is left. None if there is no such generation, which includes that all are dead.
    Different slots of generation 0 count as different, also where the model starts them all alike.

    Args:
        ancestors: shape (T, N).
        log_weights: final, shape (N,); minus infinity for a dead particle.

    Example:
        >>> import numpy as np
        >>> coalescence_time(np.array([[0, 0, 2], [0, 1, 1]]), np.zeros(3))
        2
    """
    common = np.flatnonzero(distinct_ancestors(ancestors, log_weights) == 1)
    return len(ancestors) - int(common[-1]) if len(common) else None


class PathStore:
    """The paths of the current particles, each particle held once.

    A particle is held only while a current one descends from it.

    Nodes lie in arrays: a node's parent, how many children it has, and its particle. A generation
    is added by counting children, then taking away childless particles of the generation before,
    then those of their parents that this leaves childless, and so on back; the freed nodes are used
    again.

    Args:
        particles: generation 0: a pytree of arrays with a leading axis of N, whose shapes and types
            all later generations share. Python objects go into arrays of type object.
        alive: which of them hold a path; bool, shape (N,); all where it is left out.

    Attributes:
        alive: which of the current particles hold a path; bool, shape (N,).
        generation: the current one, T.

    Raises:
        ValueError: the leaves disagree about N, or there are none.

    Example:
        >>> import numpy as np
        >>> store = PathStore(np.array([10, 20]))
        >>> store.generation, store.alive
        (0, array([ True,  True]))
    """

    def __init__(self, particles: Particles, *, alive: np.ndarray | None = None) -> None:
        leaves, self._structure = _flatten(particles)
        if len({leaf.shape[:1] for leaf in leaves}) != 1 or not leaves[0].ndim:
            raise ValueError(
                "particles must be arrays with one leading axis in common, not of shapes "
                f"{[leaf.shape for leaf in leaves]}"
            )
        slots = len(leaves[0])
        self.generation = 0
        self.alive = _mask(np.ones(slots, bool) if alive is None else alive, slots)
        self._particles = [np.empty((0, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        self._parents = np.empty(0, np.int64)
        self._children = np.empty(0, np.int64)
        self._free = np.empty(0, np.int64)
        self._tips = np.full(slots, -1)  # the node of each current particle, -1 for a dead one
        self._insert(leaves, np.full(slots, -1))

    @property
    def size(self) -> int:
        """How many particles are held."""
        return self.capacity - len(self._free)

    @property
    def capacity(self) -> int:
        """For how many particles there is room: at most twice as many as were ever held at once."""
        return len(self._parents)

    def append(
        self, ancestors: np.ndarray, particles: Particles, *, alive: np.ndarray | None = None
    ) -> None:
        """Add a generation.

        Args:
            ancestors: the slot of each particle's parent in the generation before, shape (N,).
            particles: a pytree as in the constructor.
            alive: which particles hold a path, shape (N,); where it is left out, those whose parent
                does.

        Raises:
            ValueError: the particles differ in structure, shape or type from those before, an
                ancestor is not one of the N slots, or a living particle has a dead parent.
        """
        leaves, ancestors, slots = self._fitting(particles), np.asarray(ancestors), len(self._tips)
        if (
            ancestors.shape != (slots,)
            or ancestors.dtype.kind not in "iu"
            or not np.all((ancestors >= 0) & (ancestors < slots))
        ):
            raise ValueError(f"ancestors must be {slots} slots below {slots}, not {ancestors}")
        living = self.alive[ancestors]
        alive = living if alive is None else _mask(alive, slots)
        if np.any(alive & ~living):
            raise ValueError(
                f"slot {np.flatnonzero(alive & ~living)[0]} lives, but its parent is dead"
            )
        parents, before = self._tips[ancestors], self._tips[self.alive]
        np.add.at(self._children, parents[alive], 1)
        self._prune(before)
        self.alive, self.generation = alive, self.generation + 1
        self._insert(leaves, parents)

    def paths(self) -> Any:
        """Give the paths of the `alive` particles, L of them in the order of their slots.

        Returns:
            A pytree of arrays of shape (T + 1, L, ...), generation 0 first.
        """
        from jax import tree

        nodes = np.empty((self.generation + 1, int(self.alive.sum())), np.int64)
        nodes[-1] = self._tips[self.alive]
        for t in range(self.generation, 0, -1):
            nodes[t - 1] = self._parents[nodes[t]]
        return tree.unflatten(self._structure, [leaf[nodes] for leaf in self._particles])

    def _fitting(self, particles: Particles) -> list[np.ndarray]:
        """Give the leaves of these particles, if they match those that are held."""
        leaves, structure = _flatten(particles)
        kinds = [(held.shape[1:], held.dtype) for held in self._particles]
        fits = (
            structure == self._structure
            and [(leaf.shape[1:], leaf.dtype) for leaf in leaves] == kinds
        )
        if not fits or {leaf.shape[:1] for leaf in leaves} != {self._tips.shape}:
            raise ValueError(
                f"particles must be {len(self._tips)} as before, {self._structure} of {kinds}"
            )
        return leaves

    def _insert(self, leaves: list[np.ndarray], parents: np.ndarray) -> None:
        count = int(self.alive.sum())
        if count > len(self._free):
            self._grow(max(self.capacity, count - len(self._free)))
        nodes, self._free = np.split(self._free, [count])
        self._tips = np.full(len(self.alive), -1)
        self._tips[self.alive] = nodes
        self._parents[nodes] = parents[self.alive]
        for held, leaf in zip(self._particles, leaves, strict=True):
            held[nodes] = leaf[self.alive]

    def _prune(self, candidates: np.ndarray) -> None:
        """Free the childless nodes among these of one generation, and then their parents."""
        while len(childless := candidates[self._children[candidates] == 0]):
            for held in self._particles:
                if held.dtype == object:
                    held[childless] = None  # let go of what was held
            self._free = np.concatenate([self._free, childless])
            parents = self._parents[childless]
            parents = parents[parents >= 0]
            np.subtract.at(self._children, parents, 1)
            candidates = np.unique(parents)

    def _grow(self, extra: int) -> None:
        capacity = self.capacity
        self._free = np.concatenate([self._free, np.arange(capacity, capacity + extra)])
        self._parents = _extended(self._parents, extra)
        self._children = _extended(self._children, extra)
        self._particles = [_extended(leaf, extra) for leaf in self._particles]


def _extended(array: np.ndarray, extra: int) -> np.ndarray:
    return np.concatenate([array, np.zeros((extra, *array.shape[1:]), array.dtype)])


def _flatten(particles: Particles) -> tuple[list[np.ndarray], Any]:
    from jax import tree  # a second, and only who stores paths needs it

    leaves, structure = tree.flatten(particles)
    return [np.asarray(leaf) for leaf in leaves], structure


def _mask(alive: np.ndarray, slots: int) -> np.ndarray:
    alive = np.array(alive)
    if alive.shape != (slots,) or alive.dtype != bool:
        raise ValueError(f"alive must be {slots} booleans, not {alive}")
    return alive
