"""What all samplers share: a run cut into steps, between which it can be bounded, watched, stopped and taken up again.

A sampler is a frozen configuration. What it does is written as four functions of a model, the run's
keys and a state,

    init     the state before the first step
    step     the state one step on: a generation of a filter, a rung of a ladder, an iteration of chains
    done     whether there is nothing left to do
    draws    what the state amounts to

which never change the state they are given; `run` takes care of everything else, the same for all.
"""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from operator import index
from pathlib import Path
from types import MappingProxyType
from typing import (
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    runtime_checkable,
)

import numpy as np
from tqdm.auto import tqdm

from .. import checks
from ..models import Cost, Sampling
from ..models.identity import Mark, check_vouched, identify
from ..models.own_time import own_seconds
from ..ppl.interfaces import Declared, Reasoning
from ..ppl.posterior.errors import errors_of
from ..ppl.posterior.posterior import Posterior
from ..ppl.posterior.provenance import Evidence, Guarantee, Provenance, Reason, Unit
from ..ppl.statespace import StateSpaceModel
from ..smc import History, RunKeys
from . import checkpoint as checkpoints
from .run_facts import (
    GENTLER,
    IN_WARMUP,
    INTERRUPTED,
    LIVELIER,
    Advice,
    missed,
    moves_of,
    remedies_of,
)

S = TypeVar("S")
Seed: TypeAlias = "int | tuple[int, int]"
"""In [0, 2**32), or such a seed and the number of one of several independent runs with it; a run is a function of it."""

UNCOMPARED = ("prompt_date",)  # a prompt that prints it differs by itself
SAVE_EVERY = 10.0  # seconds between checkpoints
GROWING = ("iterations", "budget")  # what a run may be given more of when it is taken up


class AllParticlesDead(RuntimeError):
    """Every particle has weight zero: the estimate of Z is 0, and there is no posterior to return.

    Attributes:
        step: the step at which the last of them died; the first is 1.
        particles: how many there were.
        tries: populations drawn, this one included, all of which died.
    """

    def __init__(self, step: int, particles: int, tries: int = 1) -> None:
        again = f", and of {tries - 1} populations before them" if tries > 1 else ""
        super().__init__(
            f"all {particles} particles are dead at step {step}: the target gives none of their "
            f"trajectories{again} any mass"
        )
        self.step, self.particles, self.tries = step, particles, tries

    def __reduce__(self) -> tuple[type[AllParticlesDead], tuple[int, int, int]]:
        return type(self), (self.step, self.particles, self.tries)


@runtime_checkable
class Sampler(Protocol):
    """A frozen configuration that samples a declared posterior."""

    def run(self, model: Declared, seed: Seed = 0, progress: bool = False) -> Posterior:
        """Sample the model's posterior."""
        ...


class Draws(NamedTuple):
    """What a run has come to.

    Attributes:
        particles: N of them.
        log_weights: normalised, shape (N,).
        log_evidence: log Z-hat, in nats; None where there is none.
        history: of a filter.
        chains: how many chains of one length the particles are; 0 for what is not chains.
        rates: how it moved, by name, in plain values.
        guarantee, evidence: where they are not the sampler's own.
    """

    particles: Sequence[Reasoning]
    log_weights: np.ndarray
    log_evidence: float | None = None
    history: History | None = None
    chains: int = 0
    rates: Mapping[str, Any] = MappingProxyType({})
    guarantee: Guarantee | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True)
class SteppedSampler(ABC, Generic[S]):
    """A sampler that goes step by step, with states of type S.

    Attributes:
        proposal: what steps are drawn from; the model's prior when None.
        budget: tokens generated after which no new step is begun (of a run that finishes what it
            began: no new whole); None for no limit.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    proposal: Sampling | None = None
    budget: int | None = None

    name: ClassVar[str]
    guarantee: ClassVar[Guarantee]
    evidence: ClassVar[Evidence]
    paper: ClassVar[str]
    step_cost: ClassVar[str]
    unit: ClassVar[Unit] = "step"

    # What whoever reads a posterior may want to know of its sampler; see `Provenance`.
    independent: ClassVar[bool] = False
    bent_by_budget: ClassVar[bool] = True  # which draws a budget spares depends on what they wrote
    # nothing but the score enters the weight of a prior's step
    weighs_by_score: ClassVar[bool] = False
    published_of: ClassVar[str] = ""  # the sampler of a declared target that this procedure is not
    gentler: ClassVar[tuple[Advice, ...]] = GENTLER
    livelier: ClassVar[tuple[Advice, ...]] = LIVELIER

    def __post_init__(self) -> None:
        if self.proposal is not None and not isinstance(self.proposal, Sampling):
            raise TypeError(f"proposal must be a Sampling or None, not {self.proposal!r}")
        if self.budget is not None:
            checks.settle(self, budget=checks.count("budget", self.budget))
            if self.budget < self.least_tokens:
                raise ValueError(
                    f"budget must be at least the {self.least_tokens} tokens of one step of all, "
                    f"not {self.budget}"
                )

    @property
    @abstractmethod
    def least_tokens(self) -> int:
        """The fewest tokens that a first step can cost."""

    @abstractmethod
    def init(self, model: Declared, keys: RunKeys) -> S:
        """The state before the first step."""

    @abstractmethod
    def step(self, model: Declared, keys: RunKeys, state: S) -> S:
        """The state one step on."""

    @abstractmethod
    def done(self, model: Declared, state: S) -> bool:
        """Whether there is nothing left to do."""

    @abstractmethod
    def draws(self, model: Declared, state: S, complete: bool) -> Draws:
        """What the state amounts to; not `complete` where the run was stopped before it was done."""

    @abstractmethod
    def count(self, state: S) -> int:
        """Steps taken."""

    @abstractmethod
    def total(self, model: Declared) -> int | None:
        """Steps there will be, at most; None where that is unknown."""

    def proposed(self, model: Declared) -> Sampling | None:
        """What steps are drawn from; None for what each is declared to be."""
        return self.proposal or model.prior

    def proposals(self, model: Declared) -> Sequence[Sampling | None]:
        """All that steps are drawn from, where that changes on the way."""
        return [self.proposed(model)]

    def check(self, model: Declared) -> None:
        """Raise what is wrong with this sampler for this model."""

    def whole(self, state: S) -> bool:
        """Whether a budget may end the run here."""
        return True

    def vitals(self, state: S) -> Mapping[str, Any]:
        """A few figures to watch."""
        return {}

    @property
    def suffix_moves(self) -> bool:
        """Whether moves draw the remainder of a trajectory from the prior."""
        return False

    def run(
        self,
        model: Declared,
        seed: Seed = 0,
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Posterior:
        """Sample the model's posterior.

        An interrupt (Ctrl-C) after the first step ends the run early instead of losing it: a
        RuntimeWarning says so, and what there is comes back. Of a filter that is a population with
        open particles, under no answer, heuristic and without evidence; of chains the iterations
        done.

        Args:
            model: the declared posterior.
            seed: the same seed gives the same draws; see `Seed`.
            progress: show a progress bar, in steps.
            checkpoint: a file in which the state is kept while the run goes on and when it ends,
                and from which the same run is taken up again if it is there. More iterations, or a
                larger budget, continue a run that was done. What a step cost that was not finished
                is not counted when the run is taken up.

        Raises:
            AllParticlesDead: no particle has any weight left; the message names the step.
            FloatingPointError: a model gave something that is not a number; the message names model
                and trajectory.
            ValueError: the model is not one that this sampler can sample, or the checkpoint is
                another run's.
            OSError: the checkpoint cannot be read or written.
        """
        if not isinstance(model, Declared):
            raise TypeError(f"model must be a StateSpaceModel or a Program, not {model!r}")
        if checkpoint is not None and not isinstance(model, StateSpaceModel):
            raise ValueError(
                f"checkpoint is for runs of a StateSpaceModel: the state of {model!r} is not kept"
            )
        keys = run_keys(seed)
        self.check(model)
        before, began = model.cost, own_seconds()
        marks = self._marks(model)
        texts = {name: mark.text for name, mark in marks.items() if mark.text is not None}
        settings = {**self._settings(model), "identity": texts}
        kept = None
        if checkpoint is not None:
            check_vouched(marks, "checkpoint")
            place = {
                "sampler": self.name,
                "question": model.question,
                "seed": [keys.seed, keys.run],
            }
            kept = _Keeper(checkpoint, place | self._settings(model) | texts)
        state, spent = (kept and kept.load()) or (None, Cost())

        def cost() -> Cost:
            return spent + replace(model.cost - before, seconds=own_seconds() - began)

        stopped, so_far = "", spent  # so far: at the end of the last whole step
        try:
            if state is None:
                state, so_far = self.init(model, keys), cost()
            with tqdm(
                total=self.total(model),
                desc=self.name.replace("_", " "),
                unit=self.unit,
                disable=not progress,
            ) as bar:
                while not self.done(model, state):
                    if (
                        self.budget is not None
                        and self.whole(state)
                        and so_far.generated_tokens >= self.budget
                    ):
                        stopped = "budget"
                        break
                    state, so_far = self.step(model, keys, state), cost()
                    if self.budget is not None and not so_far.generated_tokens:
                        raise ValueError(
                            "a budget needs a language model that counts cost.generated_tokens, "
                            f"and {model.settings()['lm']!r} does not"
                        )
                    bar.set_postfix(self.vitals(state), refresh=False)
                    bar.update(self.count(state) - bar.n)
                    if kept:
                        kept.save(state, so_far)
        except KeyboardInterrupt:
            if state is None or not self.count(state):
                raise
            stopped = "interrupt"
        finally:
            if kept and state is not None:
                kept.save(state, so_far, now=True)
        assert state is not None
        draws = self.draws(model, state, complete=not stopped)
        settings |= {"seed": _plain(seed), "stopped": stopped}
        if doubts := model.doubts(self.proposals(model)):
            settings["doubts"] = doubts
        posterior = self._posterior(model, draws, settings, cost())
        if stopped == "interrupt":
            left = (
                "the posterior is unfinished and heuristic"
                if posterior.guarantee == "heuristic"
                else "the posterior is of these"
            )
            message = f"interrupted after {self.count(state)} {self.unit}s: {left}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return posterior

    def _posterior(
        self, model: Declared, draws: Draws, settings: Mapping[str, Any], cost: Cost
    ) -> Posterior:
        trajectories = tuple(particle.trajectory for particle in draws.particles)
        heuristic = "heuristic" in (draws.guarantee, self.guarantee) or not all(
            map(model.covers, self.proposals(model))
        )
        densities = [float("nan") if x.open else model.log_density(x) for x in draws.particles]
        return Posterior(
            question=model.question,
            trajectories=trajectories,
            log_weights=draws.log_weights,
            log_odds=tuple(np.array(particle.log_odds, np.float64) for particle in draws.particles),
            extracted=tuple(map(model.answer_of, draws.particles)),
            latents=by_name([model.latents(x) for x in draws.particles]),
            log_density=np.array(densities, np.float64),
            log_evidence=draws.log_evidence,
            errors=errors_of(draws.history, draws.chains),
            provenance=self._provenance(model, draws, settings, heuristic),
            rates=draws.rates,
            settings=settings,
            cost=cost,
        )

    def _provenance(
        self, model: Declared, draws: Draws, settings: Mapping[str, Any], heuristic: bool
    ) -> Provenance:
        """Say what made the posterior; `heuristic` where nothing is guaranteed."""
        plain = list(self.proposals(model)) == [model.prior]
        stopped: Any = settings["stopped"]
        judged = settings.get("prm") is not None
        program = "program" in settings
        slots = 0 if draws.history is None else draws.history.ancestors.shape[1]
        seed = run_keys(
            settings["seed"] if isinstance(settings["seed"], int) else tuple(settings["seed"])
        )
        return Provenance(
            sampler=self.name,
            target=model.target_name,
            guarantee="heuristic" if heuristic else draws.guarantee or self.guarantee,
            evidence="none" if heuristic else draws.evidence or self.evidence,
            paper=self.paper,
            step_cost=self.step_cost,
            unit=self.unit,
            stopped=stopped,
            reasons=tuple(self._reasons(model, draws, stopped)),
            independent=self.independent,
            from_prior=self.independent and plain and not stopped,
            plain_weights=self.weighs_by_score and plain and judged and not program,
            program=program,
            judged=judged,
            alpha=model.alpha,
            look_ahead=bool(settings.get("look_ahead")),
            ess_threshold=float(settings.get("ess_threshold") or 0.0),
            resampled_freely=settings.get("resampling") == "multinomial",
            suffix_moves=self.suffix_moves,
            moves=moves_of(draws.rates, settings, len(draws.particles), slots),
            ladder=tuple(draws.rates.get("powers", ())),
            betas=tuple(settings.get("betas") or ()),
            round_trips=int(draws.rates.get("round_trips", 0)),
            doubts=tuple(settings.get("doubts", ())),
            seed=(seed.seed, seed.run),
            identity=settings.get("identity", {}),
            remedies=remedies_of(settings, gentler=self.gentler, livelier=self.livelier),
        )

    def _reasons(self, model: Declared, draws: Draws, stopped: str) -> Iterator[Reason]:
        """Say what makes a run heuristic, and what to change."""
        if self.published_of:
            yield Reason(
                f"{self.name!r} is a procedure as published, which samples no declared target",
                f"use sampler={self.published_of!r}",
            )
        yield from missed(self.proposals(model), model.prior)
        if stopped == "interrupt":
            yield INTERRUPTED
        elif self.budget is not None and self.bent_by_budget:
            yield Reason(
                (
                    f"it has a budget of {self.budget} tokens, and what that spares depends on "
                    "what "
                    "was written"
                ),
                (
                    "bound the run by particles and max_steps instead, or use "
                    "sampler='importance_sampling', which finishes what it began"
                ),
            )
        elif draws.chains and not draws.rates:
            yield IN_WARMUP

    def _marks(self, model: Declared) -> dict[str, Mark]:
        """Models and functions by what they do: this sampler's, and those of the declaration."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        functions = {name: value for name, value in own.items() if callable(value)}
        return {name: identify(value) for name, value in (functions | model.functions()).items()}

    def _settings(self, model: Declared) -> dict[str, Any]:
        """Everything that the run is asked to do, in plain values."""
        own = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        first, *others = map(_plain, self.proposals(model))
        return {
            **own,
            "sampler": self.name,
            "proposal": [first, *others] if others else first,
            **model.settings(),
        }


@dataclass(frozen=True, kw_only=True)
class PopulationSampler(SteppedSampler[S]):
    """A sampler whose steps are taken by N trajectories at a time.

    Attributes:
        particles: N, at least 1.
    """

    particles: int = 64

    def __post_init__(self) -> None:
        checks.settle(self, particles=checks.count("particles", self.particles))
        super().__post_init__()

    @property
    def least_tokens(self) -> int:
        return self.particles

    def total(self, model: Declared) -> int | None:
        return model.max_steps


class _Keeper:
    """Keeps a run's state in a file. Raises FileNotFoundError where there is no folder for it."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        if not Path(path).parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint needs a folder that exists, and {str(Path(path).parent)!r} does not"
            )
        self.path, self.saved = path, time.perf_counter()
        self.identity = {
            name: value for name, value in identity.items() if name not in GROWING + UNCOMPARED
        }

    def load(self) -> tuple[Any, Cost] | None:
        return checkpoints.load(self.path, self.identity)

    def save(self, state: Any, cost: Cost, now: bool = False) -> None:
        """Write the state, if it is time for that."""
        if now or time.perf_counter() - self.saved > SAVE_EVERY:
            checkpoints.save(self.path, self.identity, state, cost)
            self.saved = time.perf_counter()


def run_keys(seed: Any) -> RunKeys:
    """The keys of a run.

    Raises:
        TypeError, ValueError: it is not a seed.
    """
    number, run = cast(
        "tuple[int, int]", seed if isinstance(seed, tuple) and len(seed) == 2 else (seed, 0)
    )
    return RunKeys(number, run=checks.count("the number of a run", run, least=0, most=2**32 - 1))


def by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Numbers of N particles by name, shape (N, ...); not a number where a particle has none of this name, or of another shape."""
    values = [{name: np.asarray(value, np.float64) for name, value in row.items()} for row in rows]
    shapes = {name: value.shape for row in reversed(values) for name, value in row.items()}
    table = {name: np.full((len(rows), *shape), np.nan) for name, shape in sorted(shapes.items())}
    for i, row in enumerate(values):
        for name, value in row.items():
            if value.shape == shapes[name]:
                table[name][i] = value
    return table


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str | float):
        return value
    if hasattr(value, "__index__"):
        return index(value)
    if isinstance(value, Sampling):
        return asdict(value)
    return getattr(value, "__qualname__", None) or repr(value)
