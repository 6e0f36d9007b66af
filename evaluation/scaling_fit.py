"""A fitted model of accuracy against tokens: its draws, ratios of tokens, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from xarray import DataTree

from ..ppl.nuts_fit import sampling_complaints
from ..ppl.posterior.mixing import Mixing, mixed
from .ratio import Ratio, common_accuracy, ratio
from .scaling import BY_SAMPLER, POPULATION
from .scaling_draws import ScalingDraws
from .scaling_tree import to_datatree


@dataclass(frozen=True, eq=False, kw_only=True)
class ScalingFit(ScalingDraws):
    """The posterior of how the accuracy of S samplers grows with tokens.

    Its attributes are `ScalingDraws`'.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import motes
        >>> from motes.models import TableLM
        >>> from motes.samplers import MajorityVote
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> vote = {f"vote of {n}": MajorityVote(samples=n) for n in (1, 3)}
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")  # two problems and so few draws are not enough
        ...     fit = evaluation.fit(chains=1, warmup=20, draws=10)
        >>> fit.samplers
        ('vote of 1', 'vote of 3')
    """

    def ratio(self, a: str, b: str, accuracy: float | None = None) -> Ratio:
        """Return how many times fewer tokens sampler a needs than b for the same accuracy.

        See `motes.evaluation.ratio`.

        Args:
            a, b: names of two samplers.
            accuracy: between 0 and 1; by default one that both reach within what was measured of
                them, as far as the fit can tell.

        Raises:
            ValueError: a sampler is unknown, or the accuracy out of its range.
        """
        if accuracy is None:
            accuracy = common_accuracy(self, a, b)
        if not 0 < accuracy < 1:
            raise ValueError(f"accuracy must lie between 0 and 1, not {accuracy!r}")
        return ratio(self, a, b, float(accuracy))

    @cached_property
    def mixing(self) -> dict[str, Mixing]:
        """R-hat, ESS and standard error of each parameter but the problems' own.

        See `motes.ppl.posterior.mixing`.
        """
        by_name = {name: mixed(self.draws[name]) for name in POPULATION}
        for place, sampler in enumerate(self.samplers):
            for name in BY_SAMPLER:
                by_name[f"{name} of {sampler}"] = mixed(self.draws[name][..., place])
        return by_name

    def check(self) -> list[str]:
        """Say in sentences what is wrong with the fit, or was not measured.

        Empty where nothing is known to be.
        """
        complaints = sampling_complaints(self, self.mixing)
        single = [name for name in self.samplers if self.arms.count(name) == 1]
        if single:
            complaints.append(
                f"one budget cannot tell how {', '.join(map(repr, single))} grows with tokens: "
                "its slope is the others' and the priors'"
            )
        always = bool((self.right == self.repeats).all())
        if always or not self.right.any():
            verdict = "right" if always else "wrong"
            complaints.append(f"every answer is {verdict}: of the rest only the priors speak")
        return complaints

    def to_datatree(self) -> DataTree:
        """Give the fit in ArviZ's schema; see `motes.evaluation.scaling_tree`."""
        return to_datatree(self)

    def __repr__(self) -> str:
        chains, size = self.shape
        return (
            f"<ScalingFit of {', '.join(self.samplers)} on {len(self.right)} problems: {chains} "
            f"chains of {size} draws>"
        )
