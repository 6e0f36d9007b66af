"""A program as a Feynman-Kac model: from observation to observation, all particles at a time.

    M_t   what each particle's program draws until it has observed something
    G_t   what it has observed, p/q of its steps, and the twist

At every site the requests of all particles go out together: those for steps that are sampled alike
in one batch, scores of a reward model in one, sub-inferences in one. The j-th draw of a generation
is drawn from part j of its slot's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan
from typing import Any

import jax
import numpy as np

from ...aliases import PRNGKeys
from ...models import Trajectory, calls
from ...models.mixture import Law
from ...smc import subkeys
from ...smc.keys import IMPL
from ..stepwise import Steps, first_of_equals
from . import memo
from .execution import Draw, Execution, Request, Unscored, Wanted
from .program_runner import Runner
from .runnable import Runnable
from .step_law import Step
from .subinference import SubInference, inferred

# Parts of keys for all draws of a generation but the first: twists and successors use lower ones.
LATER = 1 << 20


@dataclass(frozen=True, eq=False)
class ProgramSteps(Steps):
    """A program as a Feynman-Kac model; its attributes are those of `motes.ppl.stepwise.Steps`."""

    model: Runnable

    def initial(self, keys: PRNGKeys, slots: int) -> list[Execution]:
        """Return `slots` particles before their first draw.

        Raises:
            ValueError: the program draws nothing, or a condition is violated before it does.
        """
        root = self.root or self.model.root()
        if not root.open:
            message = f"the program {self.model.name!r} draws nothing"
            if self.model.given:
                message += " but what is given"
            if root.excluded:
                message += ": a condition is violated before it does"
            raise ValueError(message)
        return [root] * slots

    def step(
        self, proposal: Law | None, keys: PRNGKeys, particles: Sequence[Execution]
    ) -> list[Execution]:
        """Run each particle's program until it has observed something, or has ended, untwisted."""
        if any(x.length >= self.model.max_steps for x in particles):
            raise ValueError(
                f"the program {self.model.name!r} goes on after {self.model.max_steps} "
                "observations: raise max_steps"
            )
        runners = [Runner(self.model, x) for x in particles]
        requests: dict[int, Request] = {
            i: x.wanted for i, x in enumerate(particles) if x.wanted is not None
        }
        while requests:
            self._answer(proposal, keys, runners, requests)
            went = {i: runners[i].go() for i in requests}
            requests = {i: request for i, request in went.items() if request is not None}
        return [runner.result() for runner in runners]

    def log_potentials(self, particle: Execution) -> list[float]:
        """Compute log G_1, log G_2, ... of a particle, up to the first that is minus infinity.

        Twists of earlier steps cancel, and are left out.
        """
        values, path = [], particle.path
        for before, after in pairwise(path):
            twist = particle.log_twist if after is path[-1] else 0.0
            values.append(self._log_potential(0.0, before, after.twisted(twist)))
            if values[-1] == -inf:
                break
        return values

    def _log_potential(self, spent: float, before: Execution, after: Execution) -> float:
        if after.excluded:
            return -inf
        power = self.model.power
        first = before.length == 0  # what is observed before the first draw is weighed with it
        increment = after.log_ratio - (0.0 if first else before.log_ratio)
        if not increment > -inf:
            return self._twisted(-inf, spent, after)
        if power != 0:  # at power 0 the likelihood may be infinite
            earlier = 0.0 if first else before.log_likelihood
            increment += power * (after.log_likelihood - earlier)
        return self._twisted(increment, spent, after)

    def _answer(
        self,
        proposal: Law | None,
        keys: PRNGKeys,
        runners: Sequence[Runner],
        requests: Mapping[int, Request],
    ) -> None:
        """Get what the programs wait for, and give it to them."""
        unscored = [request for request in requests.values() if isinstance(request, Unscored)]
        score([(self.model, request) for request in unscored])
        wanted = {i: request for i, request in requests.items() if isinstance(request, Wanted)}
        steps: dict[Any, list[int]] = {}
        for i, (_, fn, shape) in wanted.items():
            if isinstance(fn, Step) and fn.trajectory.open and not shape:
                steps.setdefault((id(fn.lm), fn.prior), []).append(i)
        keys_of = self._keys(keys, runners, list(wanted))
        for slots in steps.values():
            self._extend(proposal, keys_of, runners, {i: wanted.pop(i) for i in slots})
        nested = {i: wanted.pop(i) for i in [*wanted] if isinstance(wanted[i].fn, SubInference)}
        if nested and self.model.power != 1:
            raise ValueError(
                f"the program {self.model.name!r} contains a sub-inference, which cannot be "
                "tempered"
            )
        inferences = [request.fn for request in nested.values()]
        results = inferred(self.model, inferences, [keys_of[i] for i in nested])
        for (i, request), result in zip(nested.items(), results, strict=True):
            runners[i].take(Draw(request.name, result, request.fn))
        for i, (name, fn, shape) in wanted.items():
            key = jax.random.wrap_key_data(jax.numpy.asarray(keys_of[i]), impl=IMPL)
            runners[i].take(Draw(name, key if fn is None else fn.sample(key, shape), fn))

    def _keys(
        self, keys: PRNGKeys, runners: Sequence[Runner], slots: list[int]
    ) -> dict[int, np.ndarray]:
        """Give key data for the next draw of these slots.

        For the first draw of a generation it is the slot's own key, for any other a part of it.
        """
        if not slots:
            return {}
        own = np.asarray(jax.random.key_data(keys))
        found = {i: own[i] for i in slots}
        if later := [i for i in slots if runners[i].draws]:
            parts = subkeys(keys, [LATER + len(runners[i].draws) for i in later], later)
            found |= dict(zip(later, np.asarray(jax.random.key_data(parts)), strict=True))
        return found

    def _extend(
        self,
        proposal: Law | None,
        keys: Mapping[int, Any],
        runners: Sequence[Runner],
        wanted: Mapping[int, Wanted],
    ) -> None:
        """Draw steps of one language model under one prior, in one batch.

        Equal ones become one node.
        """
        fns: list[Step] = [request.fn for request in wanted.values()]
        lm, prior = fns[0].lm, fns[0].prior
        self.model.meet_prior(prior)
        typed = jax.random.wrap_key_data(
            jax.numpy.asarray(np.array([keys[i] for i in wanted], np.uint32)), impl=IMPL
        )
        trajectories = [fn.trajectory for fn in fns]
        children = calls.extend(
            self.model.meet(lm), trajectories, typed, sampling=proposal, prior=prior
        )
        nodes: dict[
            int, list[tuple[Step, Trajectory]]
        ] = {}  # equal children share one, where they are read by the same rule
        for (slot, request), child, first in zip(
            wanted.items(), children, first_of_equals(children), strict=True
        ):
            fn = request.fn
            node = next(
                (node for other, node in nodes.get(first, []) if fn.reads_like(other)), None
            )
            if node is None:
                node = fn.closed(children[first])
                nodes.setdefault(first, []).append((fn, node))
            if proposal in (None, prior):
                log_ratio = 0.0
            else:
                log_ratio = child.step_logprob - child.step_proposal_logprob
            if isnan(log_ratio) or log_ratio == inf:
                raise FloatingPointError(
                    f"the language model {lm.name!r} gave a step log-probability "
                    f"{child.step_logprob} under the prior "
                    f"and {child.step_proposal_logprob} under the proposal in {child!r}"
                )
            runners[slot].take(Draw(request.name, node, fn, log_ratio))


def score(requests: Sequence[tuple[Runnable, Unscored]]) -> None:
    """Have the reward models score what is asked, those of one model in one batch."""
    by_model: dict[int, list[tuple[Runnable, Unscored]]] = {}
    for program, request in requests:
        by_model.setdefault(id(request.prm), []).append((program, request))
    for asked in by_model.values():
        program, first = asked[0]
        memo.judge(first.prm, [request.trajectory for _, request in asked], program.meet(first.prm))
