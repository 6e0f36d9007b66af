"""All laws of an evaluation, each as a section of a report.

A section has the law's numbers with their intervals, for every arm that it can be told of, and its
picture; or the one sentence that says why this evaluation does not tell it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from ..abstention import (
    ThresholdRule,
    calibrate_selective_risk,
    calibration_set,
    plot_threshold_rule,
)
from ..coverage_curve import coverage, plot_coverage
from ..law_rows import LawRow, LawSection
from ..results import Results
from ..risk import plot_risk, risk_of_arm
from .beta_coverage import (
    CoverageLaw,
    coverage_law_of_arm,
    coverage_law_of_draws,
    plot_coverage_law,
)
from .equivalent_flops import equivalent_flops_of_arms, plot_equivalent_flops
from .model_shape import ModelShape
from .rate_grid import FARTHEST
from .rival_law import never_solved
from .search_crossing import crossing_of_methods, plot_crossing
from .token_gains import arise_of_methods, plot_arise
from .verifier_limits import plot_verifier_limit, verifier_limit_of_arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 41  # of an extrapolated curve
RISK = 0.1  # of the rule for abstaining
NO_PAIR = (
    "a crossing needs a method that searches and one that samples from the prior, of two budgets "
    "or more each"
)
NO_SHAPE = "eFLOPs need the shape of the language model: see motes.evaluation.laws.model_shape"


class _Told(Protocol):
    """What has rows."""

    def rows(self) -> tuple[LawRow, ...]: ...


Law = TypeVar("Law", bound=_Told)
Plot = Callable[["Axes | None"], "Axes"]
Contents = tuple[tuple[LawRow, ...], Plot | None]


def law_sections(
    evaluation: Results, *, lm: ModelShape | None = None, prm: ModelShape | None = None
) -> tuple[LawSection, ...]:
    """Return what each law says of an evaluation, or why it says nothing.

    The laws: coverage of repeated runs and of draws, extrapolated, the limit of the reward model
    as a verifier, where searches lose to sampling, ARISE, risk against coverage, a rule for
    abstaining, and eFLOPs.

    Args:
        evaluation: finished or not; only problems that all arms are done with count.
        lm, prm: shapes of the language model, without which there are no eFLOPs, and of the reward
            model, which costs nothing when None.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import law_sections
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=3)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> risk = law_sections(evaluation)[6]
        >>> risk.title, [row.name for row in risk.rows]
        ('Risk against coverage', ['AURC', 'AUGRC', "AURC above the perfect order's"])
        >>> law_sections(evaluation)[5].missing
        'ARISE needs a method with two budgets or more'
    """
    makers = {**_MAKERS, "Equivalent FLOPs": partial(_equivalent_flops, lm=lm, prm=prm)}
    return tuple(_section(title, make, evaluation) for title, make in makers.items())


def _section(title: str, make: Callable[[Results], Contents], evaluation: Results) -> LawSection:
    """Return a law's section, with the reason where the law cannot be told."""
    try:
        rows, plot = make(evaluation)
    except ValueError as reason:
        return LawSection(title, missing=str(reason))
    return LawSection(title, rows, plot)


def _coverage(evaluation: Results) -> Contents:
    laws = coverage(evaluation)
    if evaluation.repeats < 2:
        raise ValueError("coverage of several runs needs an evaluation of two repeats or more")
    rows = tuple(row for law in laws for row in law.rows())
    return rows, lambda ax: plot_coverage(evaluation, ax=ax)


def _extrapolation(evaluation: Results) -> Contents:
    return _laws_and_rivals(_by_arm(evaluation, coverage_law_of_arm))


def _draws(evaluation: Results) -> Contents:
    laws = _by_arm(evaluation, coverage_law_of_draws)
    # one picture is of equally many draws
    most = max(law.runs for law in laws.values())
    return _laws_and_rivals({arm: law for arm, law in laws.items() if law.runs == most})


def _laws_and_rivals(laws: dict[str, CoverageLaw]) -> Contents:
    """Return what is said of laws of equally many runs, and their picture."""
    farthest = min(10 * next(iter(laws.values())).runs, FARTHEST)
    numbers = np.unique(np.geomspace(1, farthest, POINTS).round().astype(np.int64)).tolist()
    rows = ()
    for arm, law in laws.items():
        rows += _rows({arm: law}) + _rows({arm: never_solved(law)})
    return rows, lambda ax: plot_coverage_law(laws, numbers, ax=ax)


def _verifier(evaluation: Results) -> Contents:
    limits = _by_arm(evaluation, verifier_limit_of_arm)
    return _rows(limits), lambda ax: plot_verifier_limit(limits, ax=ax)


def _crossing(evaluation: Results) -> Contents:
    if not evaluation.whole:
        raise ValueError("a crossing needs at least one problem that all samplers are done with")
    searches, samplings = _searches_and_samplings(evaluation)
    found, reasons = [], [NO_PAIR]
    for search in searches:
        for sampling in samplings:
            try:
                found.append(crossing_of_methods(evaluation, search, sampling))
            except ValueError as reason:
                reasons.append(str(reason))
    if not found:
        raise ValueError(reasons[-1])
    rows = tuple(row for one in found for row in one.rows())
    return rows, lambda ax: plot_crossing(found, ax=ax)


def _searches_and_samplings(evaluation: Results) -> tuple[list[str], list[str]]:
    """Return the methods of two budgets or more: others, and those that draw from the prior."""
    arms = Counter(arm.name for arm in evaluation.arms)
    sampling = {name: True for name, count in arms.items() if count > 1}
    for record in evaluation.records:
        if record.draws is not None and not record.draws["from_prior"]:
            sampling[record.sampler] = False
    several = [name for name in arms if arms[name] > 1]
    return (
        [name for name in several if not sampling[name]],
        [name for name in several if sampling[name]],
    )


def _arise(evaluation: Results) -> Contents:
    scores = arise_of_methods(evaluation)
    if not scores:
        raise ValueError("ARISE needs a method with two budgets or more")
    rows = tuple(row for score in scores for row in score.rows())
    return rows, lambda ax: plot_arise(evaluation, ax=ax)


def _risk(evaluation: Results) -> Contents:
    curves = _by_arm(evaluation, risk_of_arm)
    return _rows(curves), lambda ax: plot_risk(curves, ax=ax)


def _abstention(evaluation: Results) -> Contents:
    rules = _by_arm(evaluation, _rule_of_arm)
    first = next(iter(rules.values()))
    plot = partial(_plot_rule, first) if len(rules) == 1 else None
    return _rows(rules), plot


def _rule_of_arm(evaluation: Results, arm: int) -> ThresholdRule:
    """Return the rule for abstaining that is calibrated on the first run on each problem."""
    whole = set(evaluation.whole)
    if not whole:
        raise ValueError("a rule needs at least one problem that all samplers are done with")
    records = []
    for record in evaluation.records:
        if record.arm == arm and record.repeat == 0 and record.problem in whole:
            records.append(record)
    return calibrate_selective_risk(calibration_set(records), RISK)


def _plot_rule(rule: ThresholdRule, ax: Axes | None) -> Axes:
    return plot_threshold_rule(rule, ax=ax)


def _equivalent_flops(
    evaluation: Results, lm: ModelShape | None, prm: ModelShape | None
) -> Contents:
    if lm is None:
        raise ValueError(NO_SHAPE)
    arms = equivalent_flops_of_arms(evaluation, lm, prm)
    rows = tuple(row for arm in arms for row in arm.rows())
    return rows, lambda ax: plot_equivalent_flops(arms, ax=ax)


_MAKERS: dict[str, Callable[[Results], Contents]] = {
    "Coverage of repeated runs": _coverage,
    "Coverage of more runs than there were": _extrapolation,
    "Coverage of more draws than there were": _draws,
    "The reward model as a verifier": _verifier,
    "Where search loses to sampling": _crossing,
    "ARISE": _arise,
    "Risk against coverage": _risk,
    f"Answering so that at most {RISK:.0%} of the answers are wrong": _abstention,
}


def _by_arm(evaluation: Results, make: Callable[[Results, int], Law]) -> dict[str, Law]:
    """Return the law of each arm that it can be told of, by the arm's title.

    Raises:
        ValueError: it can be told of none; the reason is the first arm's.
    """
    laws, reasons = {}, []
    for place, arm in enumerate(evaluation.arms):
        try:
            laws[arm.title] = make(evaluation, place)
        except ValueError as reason:
            reasons.append(reason)
    if not laws:
        raise reasons[0]
    return laws


def _rows(laws: Mapping[str, _Told]) -> tuple[LawRow, ...]:
    """Return the rows of all laws, each with its arm."""
    found = []
    for arm, law in laws.items():
        found += [row._replace(arm=arm) for row in law.rows()]
    return tuple(found)
