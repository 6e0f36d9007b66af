"""Steps that a draft model writes, and that the language model writes anew where they are refused.

The small model q and the large model p write one trajectory together. Before every step q drafts
it; a rule that belongs to the sampler keeps the draft or refuses it, and p writes a step that was
refused. Let h(s) be the probability that a draft s is kept after a prefix. Where p is not looked
at, the step's law is

    q(s) h(s) + nu p(s),    nu = 1 - sum_s q(s) h(s)

which is neither p nor a tilted p: it equals p only where q does, or where h is zero. So these
samplers are heuristic. Trajectories are drawn independently, in one batch, each with equal weight.

Both models write the same tree: the draft goes on from steps of p as it does from its own. They
must read the same token ids, and end their steps alike.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log
from typing import Any, NamedTuple

import numpy as np

from ...models import Cost, Mixture, Sampling, Trajectory, calls
from ...models.randomness import SlotUniforms
from ...ppl.interfaces import Declared
from ...ppl.particle import Particle
from ...ppl.posterior.provenance import Reason
from ...ppl.statespace import StateSpaceModel
from ...ppl.stepwise import StepwiseModel
from ...smc import RunKeys, subkeys
from ...smc.arrays import objects
from ..base import AllParticlesDead, PopulationSampler
from ..bound import BoundSampler, Draws
from ..given_draft import Draft, Metered, check_draft, loaded_draft
from ..run_facts import Advice
from .published import check_scored, no_target
from .value import ruled_out


class Written(NamedTuple):
    """Trajectories that two models write.

    Attributes:
        particles: N.
        steps: taken.
        drafted: steps that were drafted, of all trajectories.
        kept: of those, the steps whose draft was kept.
        rewritten: steps that the language model wrote.
    """

    particles: Any
    steps: int = 0
    drafted: int = 0
    kept: int = 0
    rewritten: int = 0


@dataclass(frozen=True, kw_only=True)
class StepDrafts(PopulationSampler):
    """N independent trajectories, each written by a draft model and a language model.

    Attributes:
        draft: the draft model: as `motes.solve` takes `lm`. Where it is None the language model
            drafts for itself, which spares nothing.
        proposal: what both models' steps are drawn from; the model's prior when None.
        budget: as of `ParticleFilter`; a draft model's tokens do not count.
    """

    draft: Draft = None

    gentler = (Advice("use sampler='particle_filter', which weighs what it keeps"),)
    guarantee = "heuristic"
    evidence = "none"
    step_cost = (
        "for each open trajectory the tokens of its drafts, by the draft model, and, where none is "
        "kept, of as many steps of the language model; the reward model reads them all"
    )

    def __post_init__(self) -> None:
        check_draft(self.draft)
        super().__post_init__()
        if isinstance(self.proposal, Mixture):
            raise TypeError(
                f"proposal cannot be a Mixture in {self.name}: its law rests on one sampling of "
                "each model"
            )

    @property
    def width(self) -> int:
        """How many drafts a step has, and how many steps the language model writes for it."""
        return 1

    @property
    def least_tokens(self) -> int:
        return self.particles * self.width

    def drafts(self, t: int) -> bool:
        """Say whether step t is drafted at all."""
        return True

    def weighs_drafts(self) -> bool:
        """Say whether the language model reads drafts."""
        return False

    @abstractmethod
    def kept(self, drafts: Sequence[Particle], log_ratios: np.ndarray, uniform: float) -> int:
        """Give the number of the draft that is kept, or -1 where none is.

        Args:
            drafts: of one step, `width` of them.
            log_ratios: log p(s) / q(s) of each, where `weighs_drafts`, else zeros.
            uniform: a random number in [0, 1).
        """

    def chosen(self, written: Sequence[Particle], uniform: float) -> int:
        """Choose among the steps that the language model wrote."""
        return 0

    def check(self, model: Declared) -> None:
        check_scored(self.name, model)

    def reasons(self) -> Iterator[Reason]:
        yield no_target(self.name, "particle_filter")

    def bind(self, model: Declared, keys: RunKeys) -> BoundDrafts:
        assert isinstance(model, StateSpaceModel)
        proposed = self.proposed(model)
        draft = loaded_draft(self.draft, model.lm, told=self.weighs_drafts())
        drafter = None if draft is None else Metered(draft)
        drafting = model if drafter is None else replace(model, lm=drafter)
        return BoundDrafts(
            replace(self, draft=draft),
            model,
            keys,
            proposed,
            model.stepwise(proposed),
            drafting.stepwise(proposed),
            drafter,
        )


@dataclass(frozen=True, eq=False)
class BoundDrafts(BoundSampler[Written]):
    """A sampler of drafted steps on a state-space model.

    Attributes:
        stepwise: the model, step by step.
        drafting: the same with the draft model for its language model.
        drafter: the draft model; None where the language model drafts.
    """

    stepwise: StepwiseModel
    drafting: StepwiseModel
    drafter: Metered | None

    @property
    def cost(self) -> Cost:
        return self.model.cost + (Cost() if self.drafter is None else self.drafter.cost.as_draft())

    def init(self) -> Written:
        return Written(objects([self.model.root()] * self.sampler.particles))

    def step(self, state: Written) -> Written:
        t, n, sampler = state.steps + 1, self.sampler.particles, self.sampler
        keys = self.keys.moves(t, n, range(n))
        going = [i for i, x in enumerate(state.particles) if x.open and not is_dead(x)]
        uniforms = SlotUniforms(subkeys(keys, 2 * sampler.width), n)
        drafted = going if sampler.drafts(t) else []
        after = self._kept(keys, state.particles, drafted, uniforms.at(0))
        kept = len(after)
        refused = [i for i in going if i not in after]
        rows = self._successors(self.stepwise, keys, state.particles, refused, sampler.width)
        for i, row in zip(refused, rows, strict=True):
            after[i] = row[sampler.chosen(row, float(uniforms.at(1)[i]))]
        particles = objects([after.get(i, x) for i, x in enumerate(state.particles)])
        if all(map(is_dead, particles)):
            raise AllParticlesDead(t, n)
        return Written(
            particles,
            t,
            state.drafted + len(drafted),
            state.kept + kept,
            state.rewritten + len(refused),
        )

    def done(self, state: Written) -> bool:
        return not any(x.open and not is_dead(x) for x in state.particles)

    def count(self, state: Written) -> int:
        return state.steps

    def vitals(self, state: Written) -> Mapping[str, Any]:
        return {"kept": f"{state.kept} of {state.drafted}"}

    def draws(self, state: Written, complete: bool) -> Draws:
        n = len(state.particles)
        living = [not (is_dead(x) or ruled_out(self.stepwise, x)) for x in state.particles]
        if not any(living):
            raise AllParticlesDead(state.steps, n)
        log_weights = np.where(living, -log(sum(living)), -inf)
        rates = {
            "drafted_steps": state.drafted,
            "kept_drafts": state.kept,
            "rewritten_steps": state.rewritten,
        }
        return Draws(list(state.particles), log_weights, rates=rates)

    def _successors(
        self,
        stepwise: StepwiseModel,
        keys: Any,
        particles: Sequence[Particle],
        chosen: Sequence[int],
        part: int,
    ) -> list[list[Particle]]:
        """Draw `width` next steps of each chosen particle; none where there is none."""
        if not chosen:
            return []
        width = self.sampler.width
        return stepwise.successors(self.proposed, keys, particles, width, chosen, part)

    def _kept(
        self, keys: Any, particles: Sequence[Particle], drafted: Sequence[int], uniforms: np.ndarray
    ) -> dict[int, Particle]:
        """Draft a step of each of these particles; give those of which a draft is kept."""
        rows = self._successors(self.drafting, keys, particles, drafted, 0)
        log_ratios = [np.zeros(len(row)) for row in rows]
        weighs = self.sampler.weighs_drafts()
        if weighs:
            rows, log_ratios = self._read_rows(rows)
        kept = {}
        for i, row, ratios in zip(drafted, rows, log_ratios, strict=True):
            choice = self.sampler.kept(row, ratios, float(uniforms[i]))
            if choice >= 0:
                kept[i] = row[choice]
        if not weighs:
            kept = dict(zip(kept, self._read([*kept.values()]), strict=True))
        return {i: x for i, x in kept.items() if _is_writable(x)}

    def _read_rows(
        self, rows: Sequence[Sequence[Particle]]
    ) -> tuple[list[list[Particle]], list[np.ndarray]]:
        """Return rows of drafts as the language model reads them, and log p / q of each."""
        width = self.sampler.width
        read = self._read([x for row in rows for x in row])
        found = [read[first : first + width] for first in range(0, len(read), width)]
        if self.drafter is None:
            return found, [np.zeros(width) for _ in found]
        nodes = [x.trajectory for x in read]
        log_q = np.array([node.step_proposal_logprob for node in nodes])
        log_p = np.array([node.step_logprob for node in nodes])
        assert not isinstance(self.proposed, Mixture)
        if self.proposed is not None and self.proposed != self.stepwise.model.prior:
            log_p = self._log_p(nodes, self.proposed)
        return found, list((log_p - log_q).reshape(-1, width))

    def _log_p(self, nodes: Sequence[Trajectory], law: Sampling) -> np.ndarray:
        """Return the language model's log-probability of each node's step, shape (K,)."""
        parents = [parent_of(node) for node in nodes]
        tokens = [node.step_token_ids for node in nodes]
        return calls.logprob(self.stepwise.model.lm, parents, tokens, prior=law)

    def _read(self, drafts: Sequence[Particle]) -> list[Particle]:
        """Return drafts with the log-probabilities that the language model gives them.

        Equal ones, which share their trajectory, are read once.
        """
        if self.drafter is None or not drafts:
            return list(drafts)
        nodes = {id(x.trajectory): x.trajectory for x in drafts}
        log_p = self._log_p([*nodes.values()], self.stepwise.model.prior)
        told = {
            place: replace(node, logprob=parent_of(node).logprob + p)
            for (place, node), p in zip(nodes.items(), log_p.tolist(), strict=True)
        }
        return [x._replace(trajectory=told[id(x.trajectory)]) for x in drafts]


def is_dead(particle: Particle) -> bool:
    """Return whether a step is outside the prior's support, or its reward is zero."""
    return particle.impossible or particle.log_odds[-1:] == (-inf,)


def parent_of(node: Trajectory) -> Trajectory:
    """Return the trajectory before a node's step."""
    assert node.parent is not None
    return node.parent


def _is_writable(draft: Particle) -> bool:
    """Return whether the language model could write a draft, and the reward model has read it."""
    return not draft.impossible and len(draft.log_odds) == draft.length
