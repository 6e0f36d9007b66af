"""Counting, on a CPU, the places where the host would wait for a GPU.

On a CPU nothing waits, but the calls that would are the same: a tensor's values are asked for
(`cpu`, `item`, a truth, an index of truths, whose shape depends on values), or something goes to
the device from the host's ordinary memory (`torch.tensor`, and in motes' own code `to(device)` that
does not say that it need not wait; transformers' is of what is on the device already).
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

ASKED = ("cpu", "item", "tolist", "__array__", "__bool__", "__int__", "__float__", "__index__")
VALUED = ("nonzero", "masked_select", "unique", "equal", "argwhere", "is_nonzero", "allclose")
SENT = ("tensor", "as_tensor")
COUNTED = {*ASKED, *VALUED, *SENT}


class Waits(TorchFunctionMode):
    """Counts, by the name of the call, while it lasts.

    Attributes:
        counts: how often the host would have waited, by call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        by_truth = name in ("__getitem__", "__setitem__") and _by_truth(args[1])
        ours = sys._getframe(1).f_globals.get("__name__", "").startswith("motes.")
        moved = ours and name == "to" and _moves(args, kwargs or {})
        if name in COUNTED or by_truth or moved:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def _by_truth(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in parts)


def _moves(args: Any, kwargs: Any) -> bool:
    to_device = any(
        isinstance(arg, str | torch.device) for arg in (*args[1:], kwargs.get("device"))
    )
    return to_device and not kwargs.get("non_blocking", False)
