"""Programs as declared posteriors: any NumPyro model over trajectories, for any sampler.

    gamma(draws) =    prod_sites p(value | what came before)
                    * prod_observations p(observed | what came before)
                    * prod_conditions 1[C]

where the first product is the prior, from which the draws are drawn (steps of a language model from
the sampler's proposal, if it has one), and the second is the likelihood, whose power tempering
changes. What the program returns is its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ... import checks
from ...models import Cost, LanguageModel, Sampling, Trajectory, behaviour
from ...models.mixture import Law
from ..interfaces import Proposal, Shared, Twist
from .execution import Execution, Unscored, numbers
from .handlers import Roots
from .log_probs import log_prior
from .program_runner import Runner
from .propagation import ProgramSteps, score
from .subinference import SubInference


class Return(NamedTuple):
    """What `step` returns to end a program in step form.

    Attributes:
        value: what the program returns.

    Example:
        >>> Return("9").value
        '9'
    """

    value: Any = None


class Program:
    """A NumPyro model with language-model sites as a declared posterior.

    Args:
        function: the model; or, in step form, what gives the first state.
        args, kwargs: what it is called with.
        step: in step form, `step(t, state)`, called for t = 1, 2, ..., which gives the next state,
            or `Return(value)`. States must not be changed in place: particles share them. Sites in
            it are called `name_t`.
        max_steps: generations that a run can have, at most: in step form it is over after so many
            calls, and returns None; a whole program must end by itself.

    A whole program is run again from its beginning at every observation; in step form only the
    present call of `step` is.

    Returned texts are answers, None is no answer, and anything else is an answer by its text.

    Raises:
        TypeError, ValueError: an argument is not of its kind.

    Example:
        >>> import numpyro
        >>> from motes import ppl
        >>> def solve(lm, prm, question):
        ...     x = ppl.start(lm, question)
        ...     while x.open:
        ...         x = numpyro.sample(f"step_{x.depth}", ppl.step(lm, x))
        ...         numpyro.sample(f"ok_{x.depth}", ppl.judgement(prm, x), obs=1)
        ...     return x.answer
        >>> program = ppl.Program(solve, lm, prm, "How many?")  # doctest: +SKIP
        >>> motes.samplers.ParticleFilter(particles=64).run(program, seed=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *args: Any,
        step: Callable[[int, Any], Any] | None = None,
        max_steps: int = 64,
        **kwargs: Any,
    ) -> None:
        for name, value in {
            "function": function,
            **({} if step is None else {"step": step}),
        }.items():
            if not callable(value):
                raise TypeError(f"{name} must be a function, not {value!r}")
        self.function, self.args, self.kwargs, self._step = function, args, kwargs, step
        self._max_steps = checks.count("max_steps", max_steps)
        self.power = 1.0
        self.given: Mapping[str, Any] = {}
        self.shared: Shared | None = None
        self._met: dict[int, tuple[Any, Any, Cost]] = {}
        self._priors: set[Sampling] = set()

    @property
    def question(self) -> str:
        """The first text among its arguments; its name, where there is none."""
        texts = [value for value in (*self.args, *self.kwargs.values()) if isinstance(value, str)]
        return texts[0] if texts else self.name

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def max_steps(self) -> int:
        """Generations, at most."""
        return self._max_steps

    @property
    def alpha(self) -> float:
        """The power of the prior, which is 1."""
        return 1.0

    @property
    def prior(self) -> None:
        """Each step declares its own."""
        return

    @property
    def target_name(self) -> str:
        """The program's name, and the power of its likelihood."""
        name = f"program {self.name}"
        if self.power != 1:
            name += f", likelihood to the power {self.power:g}"
        return name

    @property
    def cost(self) -> Cost:
        """What the models that it has met have computed since."""
        return sum((asked.cost - before for _, asked, before in self._met.values()), Cost())

    def tempered(self, power: float, alpha: float | None = None) -> Program:
        """Give the program with its likelihood to this power, and its conditions as they are.

        Raises:
            ValueError: `alpha`, the power of the prior, is neither 1 nor None.
        """
        if alpha not in (None, 1):
            raise ValueError(f"alpha must be 1 for a program, whose steps have priors, not {alpha}")
        return self._changed(power=self.power * power)

    def given_values(self, values: Mapping[str, Any]) -> Program:
        """Give the program in which these sites have these values: not drawn, but weighed."""
        return self._changed(given={**self.given, **values})

    def via(self, shared: Shared) -> Program:
        """Give the program over what stands for its models, which this one meets too."""
        return self._changed(shared=lambda model: shared(self.meet(model)), _met={})

    def meet(self, model: Any) -> Any:
        """Give what is to be asked in place of this model; its cost counts from now on."""
        if id(model) not in self._met:
            asked = model if self.shared is None else self.shared(model)
            self._met[id(model)] = model, asked, asked.cost
        return self._met[id(model)][1]

    def meet_prior(self, prior: Sampling) -> None:
        """Take note of how a step is declared to be sampled."""
        self._priors.add(prior)

    def covers(self, proposal: Law | None) -> bool:
        """Return whether the proposal can draw all that the priors that it has met can."""
        return proposal is None or all(map(proposal.covers, self._priors))

    def root(self, roots: Roots | None = None) -> Execution:
        """Give the program before its first draw; at roots of an earlier run, if they are given."""
        roots = {} if roots is None else roots
        runner = Runner(self, Execution(None, -1, Trajectory(question=self.question), roots))
        while isinstance(request := runner.go(), Unscored):
            score([(self, request)])
        root = runner.result()
        if roots:
            [*_, (_, trajectory)] = roots.values()
            root = root.placed(trajectory)
        return root

    def stepwise(
        self, proposal: Proposal, twist: Twist | None = None, root: Execution | None = None
    ) -> ProgramSteps:
        """Give the program as a filter samples it."""
        return ProgramSteps(self, proposal, twist, root)

    def log_likelihood(self, particle: Execution) -> float:
        """Compute the log-likelihood of a program that has ended, in nats, conditions included.

        It is to the program's power.
        """
        if particle.excluded:
            return -inf
        if self.power == 0:  # of a likelihood that may be infinite
            return 0.0
        return self.power * particle.log_likelihood

    def log_density(self, particle: Execution) -> float:
        """Compute log gamma of all that a program has drawn, in nats.

        NaN where a site's density is not known.
        """
        log_likelihood = self.log_likelihood(particle)
        if log_likelihood == -inf:
            return -inf
        return sum(map(log_prior, particle.all_draws)) + particle.log_given + log_likelihood

    def log_excess(self, particle: Execution) -> float:
        """Return the log of gamma over the prior, in nats.

        Raises:
            ValueError: it contains a sub-inference, whose weight is an estimate, of which no power
                is an unbiased one.
        """
        if any(isinstance(draw.fn, SubInference) for draw in particle.all_draws):
            raise ValueError(
                f"the program {self.name!r} contains a sub-inference, which cannot be tempered"
            )
        return self.log_likelihood(particle)

    def answer_of(self, particle: Execution) -> str | None:
        """Give what the program has returned, as a text; None for None."""
        value = particle.value
        if value is None or isinstance(value, str):
            return value
        return str(
            np.asarray(value).item() if np.ndim(value) == 0 and hasattr(value, "dtype") else value
        )

    def latents(self, particle: Execution) -> dict[str, Any]:
        """Give the numbers that the program has drawn or recorded, by site."""
        drawn = ((draw.name, draw.value) for draw in particle.all_draws)
        recorded = (item for x in particle.path for item in x.recorded)
        return {**numbers(drawn), **numbers(recorded)}

    def settings(self) -> dict[str, Any]:
        """Give what is declared, in plain values."""
        models = sorted({model.name for model, _, _ in self._met.values()})
        return {
            "program": self.name,
            "step_form": self._step is not None,
            "max_steps": self.max_steps,
            "lm": ", ".join(models),
        }

    def doubts(self, proposals: Sequence[Law | None]) -> list[str]:
        """List what is doubtful about how its language models draw, as clauses."""
        laws = [(proposal or prior, prior) for proposal in proposals for prior in self._priors]
        language_models = [
            model for model, _, _ in self._met.values() if isinstance(model, LanguageModel)
        ]
        return [doubt for lm in language_models for doubt in behaviour.doubts(lm, laws)]

    def functions(self) -> dict[str, Any]:
        """Return its functions, and what they are called with."""
        called_with = (self.args, self.kwargs, dict(self.given))
        return {"program": self.function, "program_step": self._step, "arguments": called_with}

    def called(self, calls: int, state: Any) -> Any:
        """Call the present function."""
        if calls == 0:
            return self.function(*self.args, **self.kwargs)
        assert self._step is not None
        return self._step(calls, state)

    def after(self, calls: int, returned: object) -> tuple[bool, Any, Any]:
        """Say whether the program is over, its next state, and what it returns.

        The present function has just returned.
        """
        if isinstance(returned, Return):
            return True, None, returned.value
        if self._step is None:
            return True, None, returned
        return calls >= self.max_steps, returned, None

    def site(self, name: str, calls: int) -> str:
        """Name a site in the whole run."""
        return f"{name}_{calls}" if self._step is not None and calls else name

    def _changed(self, **changes: Any) -> Program:
        other = object.__new__(Program)
        other.__dict__.update(self.__dict__ | changes)
        return other

    def __repr__(self) -> str:
        return f"<Program {self.name} of {self.question[:60]!r}>"
