"""Which tokens are read in one row of a forward pass: chains of nodes, each down to a fork."""

from __future__ import annotations

from ..trajectory import Trajectory


def chains_of(pending: dict[Trajectory, None]) -> list[list[Trajectory]]:
    """Return the pending nodes that can be read now.

    From each whose parent is not pending down to the next fork.
    """
    children: dict[Trajectory | None, list[Trajectory]] = {None: []}
    for node in pending:
        children.setdefault(node.parent if node.parent in pending else None, []).append(node)
    chains = []
    for top in children[None]:
        chain = [top]
        below = children.get(top, [])
        while len(below) == 1:
            chain.append(below[0])
            below = children.get(chain[-1], [])
        chains.append(chain)
    return chains
