"""The posterior: what a run says about a question's answer.

A run leaves N trajectories x_i with normalised weights W_i, and everything is read off these:

    P(answer = a)  =  sum_i W_i 1[answer(x_i) = a]

with its Monte Carlo standard error, which `errors` knows (see `motes.ppl.posterior.errors`). A
trajectory that states no answer, or was truncated, keeps its probability under None.

A posterior is data. What is done with it are functions elsewhere; the few that everybody calls are
methods here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import nan
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models import Cost, Trajectory
from ...smc import History
from ...smc.variance import eves, living_eves
from ..answers import group, spelled
from .errors import NoErrors
from .mixing import Mixing, mixed
from .provenance import Evidence, Guarantee, Provenance
from .search_tree import SearchTree
from .weighted_trajectories import (
    answer_probabilities,
    distinct_trajectories,
    of_equal_trajectories,
)

if TYPE_CHECKING:
    from xarray import DataTree

    from ...diagnostics.findings import Finding


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Posterior:
    """A weighted sample of trajectories.

    Attributes:
        question: what was asked.
        trajectories: N of them, dead ones included; of C chains of S draws, C S = N, those of one
            chain after the other's; of pooled runs, those of one run after the other's.
        log_weights: normalised; minus infinity for a dead particle; float64, shape (N,).
        log_odds: for each trajectory the reward model's log-odds of its steps, float64, shape
            (steps,); empty where there is no reward model.
        extracted: for each trajectory the answer as it is spelled there; None where there is none.
        latents: what a program has drawn besides its steps, by name; float64, shape (N, ...); NaN
            where it has drawn nothing.
        log_density: log gamma(x) of the declared target, in nats; NaN for an open trajectory, or
            where it is not known; float64, shape (N,).
        log_evidence: estimate of log Z of the declared target, in nats; None for chains.
        errors: what its Monte Carlo errors are estimated from.
        provenance: where it comes from: facts about the sampler and the run.
        tree: what a search has written; None for what is no search.
        rates: how the run moved, by name: rates of acceptance, of swaps, of updates, ...
        settings: everything that the run was asked to do, in plain values.
        cost: what was computed.

    Raises:
        ValueError: there are no trajectories, or the attributes disagree about their number.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=64, max_steps=4, answer=first)
        >>> abs(sum(posterior.answers.values()) - 1.0) < 1e-9, posterior.probability("nine")
        (True, 0.0)
    """

    question: str
    trajectories: tuple[Trajectory, ...]
    log_weights: np.ndarray
    log_odds: tuple[np.ndarray, ...]
    extracted: tuple[str | None, ...]
    log_density: np.ndarray
    log_evidence: float | None
    latents: Mapping[str, np.ndarray] = field(default_factory=dict)
    errors: NoErrors = NoErrors()
    provenance: Provenance
    tree: SearchTree | None = None
    rates: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, object]
    cost: Cost

    def __post_init__(self) -> None:
        names = ("trajectories", "log_weights", "log_odds", "extracted", "log_density")
        sizes = {name: len(getattr(self, name)) for name in names}
        slots = None if self.history is None else self.history.ancestors.shape[1]
        fitting = slots is None or len(self.trajectories) % slots == 0
        if not self.trajectories or len(set(sizes.values())) > 1 or not fitting:
            sizes["history"] = slots or 0
            raise ValueError(
                "a posterior needs one or more trajectories and as much of everything else, not "
                f"{sizes}"
            )
        if len(self.trajectories) % self.rows:
            raise ValueError(
                f"{len(self.trajectories)} trajectories are not {self.rows} chains or runs of one "
                "length"
            )

    @property
    def sampler(self) -> str:
        """The name of the sampler."""
        return self.provenance.sampler

    @property
    def target(self) -> str:
        """What was to be sampled, in words."""
        return self.provenance.target

    @property
    def guarantee(self) -> Guarantee:
        """What holds of the weighted sample: "invariant", "consistent" or "heuristic"."""
        return self.provenance.guarantee

    @property
    def evidence(self) -> Evidence:
        """What holds of exp(log_evidence): "unbiased", "consistent" or "none"."""
        return self.provenance.evidence

    @property
    def paper(self) -> str:
        """Where the sampler is from."""
        return self.provenance.paper

    @property
    def step_cost(self) -> str:
        """What one of the sampler's steps costs, in words."""
        return self.provenance.step_cost

    @property
    def history(self) -> History | None:
        """What happened at each of the T steps of a filter; None for what is no filter.

        Its slots are the trajectories, unless a particle holds several of them.
        """
        return self.errors.history

    @property
    def chains(self) -> int:
        """C, how many chains the draws are; 0 for what is not chains."""
        return self.errors.chains

    @property
    def runs(self) -> tuple[Posterior, ...]:
        """The independent runs that it pools; see `motes.ppl.pool`."""
        return self.errors.runs

    @property
    def rows(self) -> int:
        """Chains, or runs that were pooled; 1 for what is neither."""
        return self.errors.rows

    @property
    def answer(self) -> str | None:
        """The most probable of the answers that were stated; None only if none was."""
        return next((answer for answer in self.answers if answer is not None), None)

    @property
    def answers(self) -> dict[str | None, float]:
        """The probability of each answer, the most probable first; None stands for no answer.

        Answers that mean the same count as one, under their commonest spelling. The probabilities
        sum to one.
        """
        return dict(self._answers)

    def probability(self, answer: object) -> float:
        """Return the probability of an answer, however it is spelled.

        Args:
            answer: a text or a number; 9, 9.0, "9" and "9.00" are the same answer. None stands for
                no answer.

        Returns:
            In [0, 1]; 0 where no trajectory of positive weight gives this answer.

        Raises:
            TypeError: it is neither a text, a number nor None.
            ValueError: it is a number that is not finite.
        """
        *labels, own = group([*self.extracted, spelled(answer)])
        agreeing = [label == own for label in labels]
        return min(float(np.exp(self.log_weights)[agreeing].sum()), 1.0)

    @property
    def answer_mcse(self) -> dict[str | None, float]:
        """The Monte Carlo standard error of each answer's probability, in the order of `answers`.

        Of a filter Chan and Lai's (2013), approximate unless resampling was multinomial; NaN where
        all particles descend from one first step; see `motes.smc.variance`. Of chains by their
        effective sample size; NaN where that is undefined. Of pooled runs by how these differ. NaN
        also where particles hold several trajectories each, and where all trajectories of positive
        weight give one answer: nothing tells how far that is from the truth.
        """
        return {
            answer: self.errors.mean(self._stated(answer), self.log_weights)
            for answer in self._answers
        }

    @cached_property
    def log_evidence_mcse(self) -> float:
        """The standard error of `log_evidence`, in nats; NaN where that is undefined.

        Of pooled runs by how these differ; of a filter that of Lee and Whiteley (2018), approximate
        unless resampling was multinomial, see `motes.smc.log_evidence_error`.
        """
        return nan if self.log_evidence is None else self.errors.log_evidence(self.log_weights)

    @cached_property
    def mixing(self) -> dict[str, Mixing]:
        """R-hat and effective sample size of chains, by quantity; empty for what is not chains.

        The quantities are "log_density" (nats), "length" (tokens), and for each answer whether a
        trajectory states it: "answer 17", "no answer". See `motes.ppl.posterior.mixing`.
        """
        if not self.chains:
            return {}
        quantities = {"log_density": self.merged_log_density, "length": self.lengths}
        for answer in self._answers:
            name = "no answer" if answer is None else f"answer {answer}"
            quantities[name] = self._stated(answer)
        return {name: mixed(values.reshape(self.chains, -1)) for name, values in quantities.items()}

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each trajectory, float64, shape (N,)."""
        return np.array([len(x.token_ids) for x in self.trajectories], np.float64)

    @property
    def merged_log_density(self) -> np.ndarray:
        """The log-density, the same for trajectories with the same tokens; shape (N,).

        The same trajectory drawn twice may differ by rounding, which ranks would take for movement.
        """
        return of_equal_trajectories(self.trajectories, self.log_density)

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """For each trajectory the key of its answer in `answers`."""
        return tuple(group(self.extracted))

    @property
    def best(self) -> Trajectory:
        """The most probable trajectory; those with the same tokens count as one."""
        return next(iter(self.distinct))

    @cached_property
    def distinct(self) -> Mapping[Trajectory, float]:
        """The different trajectories of positive weight, with probabilities, most probable first.

        Of those with the same tokens (and the same end) the first in `trajectories` stands for all.
        """
        return MappingProxyType(distinct_trajectories(self.trajectories, self.log_weights))

    @property
    def ess(self) -> np.ndarray:
        """Effective sample size, float64.

        Of a filter after each step's reweighing, before any resampling, shape (T,); of chains that
        of the log-density, shape (1,); of anything else, such as pooled runs, that of the weights,
        shape (1,).
        """
        log_density = self.merged_log_density if self.chains else self.log_density
        return self.errors.ess(self.log_weights, log_density)

    @property
    def genealogy(self) -> History | None:
        """The history, where its slots are the trajectories."""
        history = self.history
        if history is None or history.ancestors.shape[1] != len(self.trajectories):
            return None
        return history

    @property
    def eves(self) -> np.ndarray | None:
        """For each trajectory the slot, after the first step, from which it descends.

        Int64, shape (N,). None without a genealogy.
        """
        return None if self.genealogy is None else eves(self.genealogy)

    @property
    def living_eves(self) -> int | None:
        """From how many of the first steps the particles of positive weight descend.

        None without a genealogy.
        """
        return None if self.genealogy is None else living_eves(self.genealogy, self.log_weights)

    def check(self, *, success: bool | None = None) -> list[Finding]:
        """Return what speaks against believing the run, the most serious first.

        Each finding says what was seen, why it matters, and what to change.

        Empty where nothing was found, which is not proof that nothing is wrong. See
        `motes.diagnostics.findings`.

        Args:
            success: whether the reward model's scores are probabilities of final success; None for
                what the target implies.
        """
        from ...diagnostics.findings import check

        return check(self, success=success)

    def report(self, path: str | Path) -> Path:
        """Write a report to read in a browser: one HTML file that needs nothing else.

        See `motes.diagnostics.report`.

        Raises:
            OSError: the file cannot be written.
        """
        from ...diagnostics.report import report

        return report(self, path)

    def to_datatree(self, prior: Posterior | None = None) -> DataTree:
        """Return the posterior in ArviZ's schema; see `motes.ppl.posterior.posterior_tree`.

        Args:
            prior: draws from the prior, for its group: a posterior with equal weights, such as
                importance sampling of the same model without a reward model gives.

        Raises:
            ValueError: `prior` is weighted, or of another question.
        """
        from .posterior_tree import to_datatree

        return to_datatree(self, prior)

    def resampled(self, draws: int, seed: int = 0) -> Posterior:
        """Draw equally weighted trajectories, for what ignores weights.

        See `motes.ppl.posterior.pooling.resampled`.
        """
        from .pooling import resampled

        return resampled(self, draws, seed)

    def save(self, path: str | Path) -> None:
        """Write `to_datatree()`, which `xarray.open_datatree` reads; all of it or nothing.

        Args:
            path: a netCDF file; or, where it ends in ".zarr", a folder in that format (which needs
                the package zarr). What is there is replaced.

        Raises:
            OSError: it cannot be written.
            ImportError: it ends in ".zarr", and the package zarr is not installed.
        """
        from .saved_file import write_saved

        write_saved(Path(path), self.to_datatree)

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """Read what `save` wrote.

        Raises:
            OSError: there is no such file, or it cannot be read.
            ValueError: it is not a posterior that motes has saved; the message names the file.
            ImportError: it is a zarr folder, and the package zarr is not installed.
        """
        from .reading import load

        return load(path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and copy take: the attributes, without what is computed from them."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        views = {
            name: dict(value)
            for name, value in state.items()
            if isinstance(value, MappingProxyType)
        }
        return state | views

    def _repr_html_(self) -> str:
        from ...diagnostics.notebook import html

        return html(self)

    def __repr__(self) -> str:
        evidence = "" if self.log_evidence is None else f", log-evidence {self.log_evidence:.2f}"
        probability = f" ({self.answers[self.answer]:.2f})" if self.answer in self.answers else ""
        return (
            f"<Posterior of {len(self.trajectories)} trajectories: answer "
            f"{self.answer!r}{probability}{evidence}, {self.guarantee}>"
        )

    def _stated(self, answer: str | None) -> np.ndarray:
        """Return whether each trajectory states this answer, float64, shape (N,)."""
        return np.array([label == answer for label in self.labels], np.float64)

    @cached_property
    def _answers(self) -> dict[str | None, float]:
        return answer_probabilities(self.labels, self.log_weights)
