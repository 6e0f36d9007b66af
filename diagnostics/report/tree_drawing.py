"""The tree of a search as the page draws it, so that lines can be followed.

It is drawn as an ancestry is, with other words: a dot is a step, a column a depth.
"""

from __future__ import annotations

from typing import Any

from ...ppl.posterior.posterior import Posterior
from ..formatting import counted
from ..plots.shades import shades
from ..plots.tree_layout import TreeLayout, tree_layout
from .ancestry_drawing import ACROSS, DOWN, MARGIN, NODES, ROWS, Ancestry, Dot, Words, line
from .particles import rounded, visible

# what the numbers of a node are called
NAMES = {
    "dot": "node",
    "score": "value",
    "symbol": "",
    "weight": "visits",
    "final": "weight in the end",
    "lost": "nothing: given up",
}


def drawn_tree(posterior: Posterior) -> Ancestry | None:
    """Lay out the drawing; None where the posterior is of no search, or it drew nothing."""
    tree = posterior.tree
    if tree is None or len(tree) < 2:
        return None
    groups = shades(posterior)
    deepest = int(tree.depths.max())
    layout = tree_layout(tree, posterior, groups, max(1, min(ROWS, NODES // deepest)))
    data: dict[str, Any] = _numbers(posterior, layout)
    data["answers"] = [visible(group.name) for group in groups]
    data["names"] = NAMES
    dots: list[Dot] = []
    for i, (depth, row) in enumerate(zip(layout.depths, layout.rows, strict=True)):
        x, y = MARGIN + ACROSS * (int(depth) - 1), round(MARGIN + DOWN * float(row), 1)
        parent = data["parent"][i]  # drawn before its children
        to_parent = "" if parent < 0 else line((dots[parent].x, dots[parent].y), (x, y))
        dots.append(Dot(x, y, data["answer"][i], data["score"][i], False, to_parent))
    left_out = (
        f"Of {layout.of} lines {layout.lines} are drawn: those that lead to answers, the heaviest "
        "first, and then those of the greatest value."
    )
    return Ancestry(
        words=Words(
            title="Tree",
            introduction=(
                f"The search drew {counted(len(tree) - 1, 'step')}. Each dot is a step, each "
                "column a depth; a line joins a step to the one that it was drawn after, in the "
                "colour of the answer that it leads to. Equal siblings are one dot."
            ),
            lost="given up",
            dot="step",
            left_out=left_out if layout.lines < layout.of else "",
        ),
        kind="step",
        width=2 * MARGIN + ACROSS * (deepest - 1),
        height=2 * MARGIN + DOWN * (layout.lines - 1),
        dots=dots,
        columns=[(MARGIN + ACROSS * t, t + 1) for t in range(deepest)],
        resampled=[],
        whole=layout.lines == layout.of,
        scored=True,
        data=data,
    )


def _numbers(posterior: Posterior, layout: TreeLayout) -> dict[str, Any]:
    """Make the lists that the page's script needs; see `motes.diagnostics.report.particles`."""
    tree = posterior.tree
    assert tree is not None
    written = [visible(tree.texts[node]) for node in layout.nodes]
    texts: dict[str, int] = {}  # with their numbers
    for text in written:
        texts.setdefault(text, len(texts))
    return {
        "kind": "step",
        "parent": layout.parents.tolist(),
        "step": layout.depths.tolist(),
        "slot": layout.nodes.tolist(),
        "text": [texts[text] for text in written],
        "ended": [0] * len(written),
        "score": [rounded(value) for value in layout.value],
        "weight": layout.visits.tolist(),
        "final": [rounded(value) for value in layout.weight],
        "answer": layout.shade.tolist(),
        "texts": list(texts),
    }
