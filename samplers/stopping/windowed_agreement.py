"""Early-stopping self-consistency: stop when all solutions of a window agree.

Windows of w solutions follow one another, m of them at most. With Q = sum_a P(a)^w,

    E[N] = w [sum_{i=0}^{m-2} Q (1 - Q)^i (i + 1) + (1 - Q)^(m-1) m]

and a window that stops gives a with probability P(a)^w / Q: a wrong answer is given early with
probability sum_{a wrong} P(a)^w in each window.
"""

from __future__ import annotations

from dataclasses import dataclass

from ... import checks
from .drawn_solutions import Solutions
from .stopping_rule import StoppingRule, Verdict


@dataclass(frozen=True, kw_only=True)
class WindowedAgreement(StoppingRule):
    """Stop as soon as all solutions of a window give the same answer, which is then the answer.

    The solutions before the window have no vote. Solutions of weight zero give no answer; other
    weights count only when no window has agreed, and all vote. Source: Li et al. (2024),
    arXiv:2401.10480, and its code; see this module for its exact law.

    Attributes:
        window: w, solutions in a window, at least 1.

    Raises:
        TypeError, ValueError: `window` is not an integer of at least 1.

    Example:
        >>> import numpy as np
        >>> rule = WindowedAgreement(window=2)
        >>> seen = Solutions(("17", "18", "18", "18"), np.zeros(4))
        >>> rule.stop(seen.first(3)), rule.stop(seen).voters
        (None, (2, 3))
    """

    window: int = 5

    name = "windowed_agreement"
    paper = "Li et al. (2024), arXiv:2401.10480"

    def __post_init__(self) -> None:
        checks.settle(self, window=checks.count("window", self.window))

    def stop(self, solutions: Solutions) -> Verdict | None:
        if len(solutions) % self.window:
            return None
        window = set(solutions.labels[-self.window :])
        if len(window) > 1 or None in window:
            return None
        answer = solutions.labels[-1]
        voters = tuple(range(len(solutions) - self.window, len(solutions)))
        said = (
            f"the last {self.window} of {len(solutions)} solutions all say {answer}, which is no "
            "error probability"
        )
        return Verdict(answer, said, voters)
