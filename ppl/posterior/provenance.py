"""Where a posterior comes from: facts about its sampler and its run.

A sampler says once what it is. Whoever reads a posterior asks this record, and never for the name
of a sampler, a setting or a rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple, TypeAlias

Guarantee: TypeAlias = Literal["invariant", "consistent", "heuristic"]
Evidence: TypeAlias = Literal["unbiased", "consistent", "none"]
Unit: TypeAlias = Literal["step", "rung", "iteration"]
Stopped: TypeAlias = Literal["", "budget", "interrupt"]


class Reason(NamedTuple):
    """A reason why nothing is guaranteed.

    Attributes:
        seen: what makes the run heuristic.
        change: what to change, so that it is not.
    """

    seen: str
    change: str


class Move(NamedTuple):
    """How often one kind of move was accepted.

    Attributes:
        kind: "acceptance" of proposed trajectories, "promotion" of such to a second stage, "update"
            of a step of a reference, or "swap" of neighbouring replicas.
        place: where, in words that follow "were accepted".
        rate: the share accepted; NaN where it was never tried.
        tries: how many moves that is a share of.
        at_target: whether these moves are of the declared target, and not of a flatter one.
    """

    kind: Literal["acceptance", "promotion", "update", "swap"]
    place: str
    rate: float
    tries: int
    at_target: bool = True


class Drew(NamedTuple):
    """What one component of a mixture of proposals drew.

    Attributes:
        component: what it is, in words.
        weight: its weight in the mixture.
        share: of the result that it drew, by weight.
    """

    component: str
    weight: float
    share: float


class Stopping(NamedTuple):
    """How a stopping rule has ended a run of independent draws.

    Attributes:
        rule: the rule with its settings, as it is written in Python.
        said: what the rule shows, in words.
        answer: the rule's answer; None for none.
        draws: the draws that were enough, which the posterior holds; all, where none were.
        most: how many would have been drawn without the rule.
        unused: draws of the last batch that came after those, and are left out.
        enough: whether the rule has stopped the run.
    """

    rule: str
    said: str
    answer: str | None
    draws: int
    most: int
    unused: int
    enough: bool


@dataclass(frozen=True, kw_only=True)
class Remedies:
    """What to change for which trouble, by the names of the sampler's own settings.

    Attributes:
        more_draws: makes more draws.
        more_particles: makes more first steps.
        more_steps: lets trajectories grow longer.
        more_budget: lets a run end that its budget stopped.
        threshold: the setting below which ESS a filter resamples.
        longer_chains: makes chains longer.
        more_chains: makes more chains.
        gentler: makes a population keep more of itself.
        livelier: makes chains move further in an iteration.
    """

    more_draws: str = "raise particles"
    more_particles: str = "raise particles"
    more_steps: str = "raise max_steps"
    more_budget: str = "raise budget, or lower particles"
    threshold: str = "ess_threshold"
    longer_chains: str = "raise iterations and warmup"
    more_chains: str = "raise chains"
    gentler: str = "declare a flatter likelihood (beta < 1)"
    livelier: str = "raise moves"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made a posterior.

    Attributes:
        sampler: its name.
        target: what was to be sampled, in words.
        guarantee: what holds of the weighted sample: "invariant", "consistent" or "heuristic".
        evidence: what holds of exp(log_evidence): "unbiased", "consistent" or "none".
        paper: where the sampler is from.
        step_cost: what one of its steps costs, in words.
        unit: what its steps are: a step of reasoning, a rung of a ladder, an iteration of chains.
        stopped: what ended the run before it was done; "" for nothing.
        stopping: how a stopping rule ended it; None without such a rule.
        reasons: why it is heuristic, if it is.
        independent: whether the trajectories were drawn independently and weighted at their end.
        from_prior: whether they are independent draws from the prior.
        plain_weights: whether each step was drawn from the prior and weighted by its score alone.
        program: whether a program was sampled, whose end is not its trajectory's.
        judged: whether there is a reward model.
        alpha: the power of the prior.
        look_ahead: whether a step is known before it is chosen, so that ancestors run one step
            late.
        ess_threshold: kappa: resampled when ESS < kappa N; 0 for never.
        resampled_freely: whether resampling was multinomial, of which the genealogy tells the error
            of the log-evidence.
        suffix_moves: whether moves draw the remainder of a trajectory from the prior.
        moves: how often moves were accepted.
        drew: what each component of a mixture of proposals drew; empty without one.
        ladder: powers of the likelihood by rung, from 0 to 1; empty without one.
        betas: powers of the likelihood of replicas; empty without replicas.
        round_trips: of replicas between the ends of the powers.
        largest_log_weight: of what a chain saw, the most that the target exceeded the cheap one by
            which it screens, both normalised, in nats; 0 where it does not screen.
        died: independent runs besides those that are pooled, all of whose particles died.
        copies: draws that were copied from another posterior by weight; 0 where they were drawn.
        doubts: what was seen of the language model that casts doubt on it, in clauses.
        seed: (seed, run), or None where it is not known.
        identity: what was asked for, fingerprints of models and functions included.
        remedies: what to change for which trouble.
    """

    sampler: str
    target: str
    guarantee: Guarantee
    evidence: Evidence
    paper: str = ""
    step_cost: str = ""
    unit: Unit = "step"
    stopped: Stopped = ""
    stopping: Stopping | None = None
    reasons: tuple[Reason, ...] = ()
    independent: bool = False
    from_prior: bool = False
    plain_weights: bool = False
    program: bool = False
    judged: bool = False
    alpha: float = 1.0
    look_ahead: bool = False
    ess_threshold: float = 0.0
    resampled_freely: bool = False
    suffix_moves: bool = False
    moves: tuple[Move, ...] = ()
    drew: tuple[Drew, ...] = ()
    ladder: tuple[float, ...] = ()
    betas: tuple[float, ...] = ()
    round_trips: int = 0
    largest_log_weight: float = 0.0
    died: int = 0
    copies: int = 0
    doubts: tuple[str, ...] = ()
    seed: tuple[int, int] | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    remedies: Remedies = Remedies()

    @property
    def generations_apart(self) -> bool:
        """Whether a generation is something else than one step of reasoning."""
        return self.unit == "rung" or self.program

    def asdict(self) -> dict[str, Any]:
        """Give all of it in plain values, as JSON can hold them."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {
            "stopping": None if self.stopping is None else self.stopping._asdict(),
            "reasons": [reason._asdict() for reason in self.reasons],
            "moves": [move._asdict() for move in self.moves],
            "drew": [drew._asdict() for drew in self.drew],
            "doubts": list(self.doubts),
            "identity": dict(self.identity),
            "remedies": asdict(self.remedies),
        }

    @classmethod
    def fromdict(cls, plain: Mapping[str, Any]) -> Provenance:
        """Read what `asdict` gave, after JSON; names that are not known are left out."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        for name in ("ladder", "betas", "doubts"):
            values[name] = tuple(values.get(name, ()))
        if values.get("seed") is not None:
            values["seed"] = tuple(values["seed"])
        if values.get("stopping") is not None:
            values["stopping"] = Stopping(**values["stopping"])
        values["reasons"] = tuple(Reason(**reason) for reason in values.get("reasons", ()))
        values["moves"] = tuple(Move(**move) for move in values.get("moves", ()))
        values["drew"] = tuple(Drew(**drew) for drew in values.get("drew", ()))
        values["remedies"] = Remedies(**values.get("remedies", {}))
        return cls(**values)
