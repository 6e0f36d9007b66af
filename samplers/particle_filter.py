"""The particle filter: reasoning paths that compete while they are written.

N particles start at the question. At every step each open particle writes one more step, is weighed by the
target's increment, and when the weights have become uneven (ESS < kappa N) the population is resampled, so that
promising paths are continued several times and others dropped (Gordon, Salmond and Smith 1993; for language
models under process reward models, Puri et al. 2025, without the three biases of their procedure: here a finished
trajectory is weighed once, weights are spent once, and what is sampled is the declared target).
"""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass, replace
from operator import index

import numpy as np
from tqdm.auto import tqdm

from ..models import Sampling
from ..ppl.posterior import Posterior
from ..ppl.statespace import StateSpaceModel, StepwiseModel
from ..smc import HISTORY, History, Recorder, Resampling, RunKeys, State, ess, start, steps


class AllParticlesDead(RuntimeError):
    """Every particle has weight zero: the estimate of Z is 0, and there is no posterior to return.

    Attributes:
        step: the step at which the last of them died; the first is 1.
    """

    def __init__(self, step: int, particles: int) -> None:
        super().__init__(f"all {particles} particles are dead at step {step}: the target gives none of their trajectories any mass")
        self.step = step


@dataclass(frozen=True, kw_only=True)
class ParticleFilter:
    """Sequential Monte Carlo over reasoning steps.

    Target: the model's, whatever it declares. Guarantee: consistent as N grows; heuristic where the proposal misses
    part of the prior's support, and when interrupted. Evidence: unbiased for Z, adaptive resampling included (so its
    log is biased down by about half the variance of the log); none where heuristic, though `log_evidence` then still
    estimates the mass inside the proposal's support. Cost of a step: the tokens of one step for each open living
    particle, and the reward model's pass over the new tokens of each distinct one. At N = 1, or at kappa = 0, it is
    sequential importance sampling. Source: Gordon, Salmond and Smith (1993); Puri et al. (2025), arXiv:2502.01618.

    Attributes:
        particles: N, at least 1.
        resampling: one of `motes.smc.SCHEMES`.
        ess_threshold: kappa in [0, 1]: resample when ESS < kappa N; at 0 never, at 1 before every step but the first.
        proposal: what steps are drawn from; the model's prior when None.

    Raises:
        TypeError, ValueError: an attribute is not of its kind, or out of its range.
    """

    particles: int = 64
    resampling: str = "systematic"
    ess_threshold: float = 0.5
    proposal: Sampling | None = None

    def __post_init__(self) -> None:
        if isinstance(self.particles, bool) or not hasattr(self.particles, "__index__"):
            raise ValueError(f"particles must be an integer, not {self.particles!r}")
        if index(self.particles) < 1:
            raise ValueError(f"particles must be at least 1, not {self.particles}")
        Resampling(self.resampling, self.ess_threshold)
        if self.proposal is not None and not isinstance(self.proposal, Sampling):
            raise TypeError(f"proposal must be a Sampling or None, not {self.proposal!r}")

    def run(self, model: StateSpaceModel, seed: int = 0, progress: bool = False) -> Posterior:
        """Sample the model's posterior.

        An interrupt (Ctrl-C) after the first step ends the run early instead of losing it: a RuntimeWarning says so, and
        the population as it stood comes back, its open particles under no answer, heuristic and without evidence.

        Args:
            model: the declared posterior.
            seed: in [0, 2**32); the same seed gives the same draws.
            progress: show a progress bar, in steps.

        Raises:
            AllParticlesDead: no particle has any weight left; the message names the step.
            FloatingPointError: a model gave something that is not a number; the message names model and trajectory.
        """
        if not isinstance(model, StateSpaceModel):
            raise TypeError(f"model must be a StateSpaceModel, not {model!r}")
        keys, proposal = RunKeys(seed), self.proposal or model.prior
        cost, began = model.cost, time.perf_counter()
        state, history, interrupted = self._filter(StepwiseModel(model, proposal), keys, progress)
        if state.dead:
            raise AllParticlesDead(state.t, self.particles)
        exact = proposal.covers(model.prior) and not interrupted
        particles = state.particles
        return Posterior(
            question=model.question,
            trajectories=tuple(particle.trajectory for particle in particles),
            log_weights=state.log_weights,
            log_odds=tuple(np.array(particle.log_odds, np.float64) for particle in particles),
            extracted=tuple(model.extract(particle.trajectory) for particle in particles),
            log_evidence=None if interrupted else state.log_evidence,
            history=history,
            sampler="particle_filter",
            target=model.target_name,
            guarantee="consistent" if exact else "heuristic",
            evidence="unbiased" if exact else "none",
            settings=_settings(self, model) | {"seed": index(seed), "interrupted": interrupted},
            cost=replace(model.cost - cost, seconds=time.perf_counter() - began),
        )

    def _filter(self, model: StepwiseModel, keys: RunKeys, progress: bool) -> tuple[State, History, bool]:
        """The last state, what led to it, and whether an interrupt made it the last."""
        state = start(model, keys, index(self.particles))
        recorder, interrupted = Recorder(HISTORY, state), False
        with tqdm(total=model.model.max_steps, desc="particle filter", unit="step", disable=not progress) as bar:
            try:
                for step in steps(model, state, keys, Resampling(self.resampling, self.ess_threshold)):
                    recorder.record(step)
                    state = step.state
                    bar.set_postfix(open=sum(map(model.open, state.particles)), ess=f"{ess(state.log_weights):.1f}", refresh=False)
                    bar.update()
            except KeyboardInterrupt:
                if not state.t:
                    raise
                message = f"interrupted after {state.t} steps: the posterior is unfinished and heuristic"
                warnings.warn(message, RuntimeWarning, stacklevel=3)
                interrupted = True
        history = History.of(recorder.collected(), len(state.particles))
        return state, History(*(rows[: state.t] for rows in history)), interrupted  # an interrupt may have come while recording


def _settings(sampler: ParticleFilter, model: StateSpaceModel) -> dict[str, object]:
    """Everything that the run was asked to do, in plain values."""
    return {
        "particles": index(sampler.particles),
        "resampling": sampler.resampling,
        "ess_threshold": sampler.ess_threshold,
        "proposal": asdict(sampler.proposal or model.prior),
        "prior": asdict(model.prior),
        "likelihood": repr(model.likelihood),
        "max_steps": index(model.max_steps),
        "stop_at_answer": model.stop_at_answer,
        "lm": model.lm.name,
        "prm": None if model.prm is None else model.prm.name,
    }
