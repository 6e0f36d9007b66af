"""Equivalent FLOPs: what a run costs a machine, with attention and with what it reads from memory.

Tokens leave out that a token costs the more the longer its context is. A model of P parameters,
query width D_q and key width D_kv (over all layers) that writes N samples of L_1, ..., L_N tokens
after a prompt of l tokens computes

    2 P (l + sum L_i)                            products with the weights,
    2 D_q (l^2 + sum (2 l + L_i) L_i)            attention: 4 D_q for each token before a token,

and reads, with b bytes a number, the prompt's keys and values once for all samples,

    b D_kv (2 l max L_i + sum L_i^2)             bytes.

A byte counts as I FLOPs, the ratio of a machine's compute to its bandwidth; weights are read once
for many requests and left out. The sum is in eFLOPs: Sadhukhan et al. (2025), arXiv:2506.05333
(without the prompt's own pass, which is counted here). For small models and long samples the bytes
are most of it.

A run of particles, a chain or a search also writes what it throws away: its G generated tokens and
those that were scored again count at the mean context of the draws it kept,
l + sum L_i^2 / (2 sum L_i); so do the tokens of a reward model. For independent draws that is the
formula above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ... import checks
from ...diagnostics.plots.canvas import frame, legend, one
from ...diagnostics.plots.shades import NAMED, readable
from ...ppl.decisions import pool_of
from ..law_rows import LawRow
from .model_shape import ModelShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..records import Record
    from ..results import Results

INTENSITY = 562.5  # FLOPs a byte, of an accelerator of 2025 (arXiv:2506.05333)
LEVEL = 0.975
WORDS = (
    "Floating-point operations a problem, with attention, the prompt and the reward model, and "
    "bytes read of keys and values counted as operations."
)
SHARE = "The share of attention and of its reads in these: what tokens do not show."


class EquivalentFlops(NamedTuple):
    """What a run costs, in FLOPs.

    Attributes:
        linear: products with the weights.
        attention: products of queries with keys, and of their weights with values.
        memory: bytes of keys and values that are read, times the intensity.

    Example:
        >>> from motes.evaluation.laws import EquivalentFlops
        >>> EquivalentFlops(linear=3.0, attention=1.0, memory=4.0).total
        8.0
    """

    linear: float
    attention: float
    memory: float

    @property
    def total(self) -> float:
        """All of it, in eFLOPs."""
        return self.linear + self.attention + self.memory


class ArmFlops(NamedTuple):
    """What an arm costs a problem, mean over problems.

    Attributes:
        arm: the method, and its budget in brackets where it has several.
        mean: of each part.
        low, high: ends of the 95% interval of the total over problems, by Student's t; NaN for one
            problem.

    Example:
        >>> from motes.evaluation.laws import ArmFlops, EquivalentFlops
        >>> costs = ArmFlops("vote", EquivalentFlops(3e9, 1e9, 4e9), 7e9, 9e9)
        >>> [row.estimate for row in costs.rows()]
        [8000000000.0, 0.625]
    """

    arm: str
    mean: EquivalentFlops
    low: float
    high: float

    def rows(self) -> tuple[LawRow, ...]:
        """Return the total, and how much of it the tokens do not show."""
        total = self.mean.total
        hidden = (self.mean.attention + self.mean.memory) / total
        nan = float("nan")
        return (
            LawRow("eFLOPs a problem", total, self.low, self.high, WORDS, self.arm),
            LawRow("of which attention and its reads", hidden, nan, nan, SHARE, self.arm),
        )


def equivalent_flops(
    lengths: ArrayLike,
    shape: ModelShape,
    *,
    prompt: float = 0,
    written: float | None = None,
    intensity: float = INTENSITY,
) -> EquivalentFlops:
    """Return what it costs a model to write samples side by side after one prompt.

    Args:
        lengths: tokens of each sample that is left at the end, shape (N,), N at least 1.
        shape: of the model.
        prompt: l, tokens of the prompt.
        written: all tokens that were computed after the prompt; those of the samples when None.
        intensity: I, FLOPs that a byte counts as.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or negative; there are no samples.

    Source: Sadhukhan et al. (2025), arXiv:2506.05333, section 3.

    Example:
        >>> from motes.evaluation.laws import ModelShape, equivalent_flops
        >>> shape = ModelShape(parameters=1e9, query_width=32768, key_width=8192)
        >>> costs = equivalent_flops([8000] * 32, shape, prompt=200)
        >>> [f"{part:.2g}" for part in costs]
        ['5.1e+14', '1.4e+14', '1.9e+16']
    """
    sizes = np.asarray(lengths, np.float64)
    prompt = checks.number("prompt", prompt, least=0)
    intensity = checks.number("intensity", intensity, least=0)
    if sizes.ndim != 1 or not sizes.size or not np.all(np.isfinite(sizes) & (sizes >= 0)):
        raise ValueError("lengths must be the tokens of one sample or more, not negative")
    tokens = float(sizes.sum()) if written is None else checks.number("written", written, least=0)
    own = _own_context(sizes)
    return EquivalentFlops(
        linear=2 * shape.parameters * (prompt + tokens),
        attention=4 * shape.query_width * (prompt**2 / 2 + tokens * (prompt + own)),
        memory=intensity * 2 * shape.bytes_each * shape.key_width
        * (prompt * float(sizes.max()) + tokens * own),
    )  # fmt: skip


def equivalent_flops_of_arms(
    evaluation: Results,
    lm: ModelShape,
    prm: ModelShape | None = None,
    *,
    prompt: float | Sequence[float] | None = None,
    intensity: float = INTENSITY,
) -> tuple[ArmFlops, ...]:
    """Return what each arm costs a problem, as if each of its runs was done by itself.

    Args:
        evaluation: at least one of whose problems all arms are done with.
        lm: the shape of the language model.
        prm: of the reward model; None where there is none, or where it is not to count.
        prompt: tokens of the prompt, or of each of `evaluation.whole`; when None, what the runs on
            a problem computed of it together, which is its length where one call of `evaluate` did
            them all.
        intensity: FLOPs that a byte counts as.

    Returns:
        One for each arm, in order.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; no problem is
            done, or draws were not kept.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.evaluation.laws import ModelShape, equivalent_flops_of_arms
        >>> from motes.models import TableLM
        >>> evaluation = motes.evaluate(
        ...     [("?", 1), ("!", 0)],
        ...     samplers={"vote": [motes.samplers.MajorityVote(samples=n) for n in (1, 8)]},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> one, eight = equivalent_flops_of_arms(evaluation, ModelShape(1e9, 32768, 8192))
        >>> one.mean.total < eight.mean.total
        True
    """
    if not evaluation.whole:
        raise ValueError("eFLOPs need at least one problem that all samplers are done with")
    rows = {number: row for row, number in enumerate(evaluation.whole)}
    prompts = _prompts(evaluation, rows, prompt)
    parts = np.zeros((len(rows), len(evaluation.arms), 3))
    for record in evaluation.records:
        if record.problem in rows:
            row = rows[record.problem]
            spent = _of_run(record, lm, prm, float(prompts[row]), intensity)
            parts[row, record.arm] += np.array(spent) / evaluation.repeats
    return tuple(_summary(arm.title, parts[:, place]) for place, arm in enumerate(evaluation.arms))


def plot_equivalent_flops(arms: Sequence[ArmFlops], *, ax: Axes | None = None) -> Axes:
    """Plot what each arm costs a problem, in parts.

    Args:
        arms: in order, from the top.
        ax: where to draw; on a new figure when None.

    Returns:
        The axes.

    Raises:
        ValueError: there are no arms.

    Example:
        >>> from motes.evaluation.laws import ArmFlops, EquivalentFlops, plot_equivalent_flops
        >>> costs = ArmFlops("vote", EquivalentFlops(3e9, 1e9, 4e9), 7e9, 9e9)
        >>> plot_equivalent_flops([costs]).get_xlabel()
        'eFLOPs a problem'
    """
    if not arms:
        raise ValueError("arms must hold at least one arm")
    ax = one(ax, 6.4, 1.2 + 0.4 * len(arms))
    places, left, handles = np.arange(len(arms)), np.zeros(len(arms)), []
    for colour, part in zip(NAMED, EquivalentFlops._fields, strict=False):
        widths = np.array([getattr(arm.mean, part) for arm in arms])
        handles.append(ax.barh(places, widths, left=left, color=colour, label=part, height=0.6))
        left += widths
    ends = np.array([(arm.low, arm.high) for arm in arms]).T
    ax.errorbar(left, places, xerr=np.abs(ends - left), fmt="none", ecolor="0.2", capsize=3)
    ax.set_yticks(places, [readable(arm.arm) for arm in arms])
    ax.invert_yaxis()
    frame(ax, title="eFLOPs (95% intervals of totals)", x="eFLOPs a problem", y="", grid="x")
    legend(ax, handles)
    return ax


def _prompts(
    evaluation: Results, rows: dict[int, int], prompt: float | Sequence[float] | None
) -> np.ndarray:
    """Return the tokens of each problem's prompt, shape (I',)."""
    if prompt is None:
        lengths = np.zeros(len(rows))
        for record in evaluation.records:
            if record.problem in rows:
                lengths[rows[record.problem]] += record.cost["prompt_tokens"]
        return lengths
    given = np.asarray(prompt, np.float64)
    if given.shape not in ((), (len(rows),)) or not np.all(np.isfinite(given) & (given >= 0)):
        raise ValueError(
            f"prompt must be a number of tokens, or one for each of {len(rows)} problems"
        )
    return np.broadcast_to(given, len(rows))


def _of_run(
    record: Record, lm: ModelShape, prm: ModelShape | None, prompt: float, intensity: float
) -> EquivalentFlops:
    """Return what a run costs by itself."""
    # of a run all of whose particles died nothing is left: its tokens count as one sample's
    lengths = [float(record.tokens)] if record.draws is None else pool_of(record).tokens
    if record.draws is None and record.error is None:
        raise ValueError("eFLOPs need records that keep their draws")
    # records of before drafts have no count of what these cost
    discarded = record.cost.get("discarded_tokens", 0)
    written = record.cost["generated_tokens"] + record.cost["rescored_tokens"] + discarded
    spent = equivalent_flops(lengths, lm, prompt=prompt, written=written, intensity=intensity)
    if prm is None:
        return spent
    # it reads prompt and steps in whole passes, and keeps what it has read
    read, context = record.cost["prm_tokens"], prompt + _own_context(np.asarray(lengths))
    return EquivalentFlops(
        spent.linear + 2 * prm.parameters * read,
        spent.attention + 4 * prm.query_width * read * context,
        spent.memory,
    )


def _own_context(lengths: np.ndarray) -> float:
    """Return how many tokens of its own sample a token has before it, mean over all tokens."""
    total = float(lengths.sum())
    return float(np.sum(lengths**2.0)) / (2 * total) if total else 0.0


def _summary(name: str, parts: np.ndarray) -> ArmFlops:
    """Return the mean over problems of the parts (I', 3), with the interval of the total."""
    from scipy.special import stdtrit

    totals = parts.sum(axis=1)
    mean = EquivalentFlops(*parts.mean(axis=0).tolist())
    if len(totals) < 2:
        return ArmFlops(name, mean, float("nan"), float("nan"))
    spread = float(stdtrit(len(totals) - 1, LEVEL) * totals.std(ddof=1) / np.sqrt(len(totals)))
    return ArmFlops(name, mean, mean.total - spread, mean.total + spread)
