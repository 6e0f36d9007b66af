"""Questions in, posteriors out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal, cast

from tqdm.auto import tqdm

from .. import checks
from ..models import LanguageModel, RewardModel, Sampling, Trajectory, run_batched
from ..models.conversation import Message
from ..models.mixture import Law
from ..models.pairing import AUTO, POCKET
from ..ppl.answers import Answer
from ..ppl.declaration import Declaration
from ..ppl.posterior.posterior import Posterior
from ..ppl.statespace import StateSpaceModel
from ..ppl.targets import Target
from .allocation.allocated_runs import allocated, check_allocated
from .allocation.allocation_base import Allocation
from .allocation.allocation_rules import allocation_rule
from .base import AllParticlesDead, Sampler, Seed, run_keys
from .forecast import step_bar
from .given_models import checked_models, load_models
from .mistaken import instead
from .registry import configured, sampler_class, setting_names
from .repeated_runs import repeated
from .stopping.stopping_rule import StoppingRule
from .stopping.stopping_rules import stopping_rule

# what else is declared beside the question and the prior
DECLARED = (
    "target",
    "beta",
    "alpha",
    "max_steps",
    "max_tokens",
    "stop_strings",
    "answer",
    "constraint",
)


def solve(
    question: str | Sequence[Message],
    *,
    lm: str | LanguageModel | Callable[[], LanguageModel] = POCKET,
    prm: str | RewardModel | None = AUTO,
    sampler: str | Sampler = "particle_filter",
    particles: int = 16,
    runs: int = 1,
    seed: Seed = 0,
    target: str | Target = "product",
    beta: float = 1.0,
    alpha: float = 1.0,
    prior: Sampling | None = None,
    proposal: Law | None = None,
    max_steps: int = 32,
    max_tokens: int | None = None,
    stop_strings: str | Sequence[str] = (),
    answer: Answer | None = None,
    constraint: Callable[[Trajectory], bool] | None = None,
    resampling: str | None = None,
    ess_threshold: float = 0.5,
    stop: StoppingRule | str | Mapping[str, Any] | None = None,
    batch: int = 4,
    device: str = "auto",
    progress: bool = False,
    checkpoint: str | Path | None = None,
    **settings: Any,
) -> Posterior:
    """Sample the posterior over reasoning about a question.

    The same as building a `StateSpaceModel` and running a sampler on it. Every other argument is
    checked before a model is loaded.

    Args:
        question: what is asked; a text, or the messages of a chat, each {"role": ..., "content":
            ...}, of which the user's is the last.
        lm: the language model: "pocket", which ships with the package, a folder, a Hugging Face id,
            a loaded model, or a function that loads one, called when everything else has been
            checked.
        prm: the reward model, as a name or a loaded model; None for no likelihood. "auto" is the
            pocket's beside lm="pocket"; any other language model needs a choice.
        sampler: a name of `motes.samplers.SAMPLERS`, or a sampler, which then brings its own
            settings.
        particles, resampling, ess_threshold, proposal: settings of a sampler given by name, where
            it has them; `resampling` is the sampler's own default where None.
        runs: how many independent runs are pooled by their evidence; see `motes.samplers.repeated`.
        stop: a stopping rule (see `motes.samplers.stopping`), its name, or a mapping: of a sampler
            of independent solutions, which has it as a setting, or of `runs` where they are
            several. `particles`, `samples` or `runs` is then the most that are drawn.
        batch: how many are drawn at a time with a stopping rule.
        seed: in [0, 2**32), or such a seed and the number of a run; the same seed gives the same
            draws.
        target, beta, alpha, prior, max_steps, max_tokens, stop_strings, answer, constraint: what is
            to be sampled; see `StateSpaceModel`.
        device: where models given by name are loaded: "auto" (CUDA, then CPU), or a torch device.
        progress: show a progress bar; of a hosted model a second one within each step, and how long
            the run may take at most.
        checkpoint: a file in which the run's state is kept, and from which it is taken up again;
            given more `iterations` or `budget`, a run that was done goes on.
        settings: further settings of a sampler given by name: `iterations`, `chains`, `budget`,
            ...; see its class.

    Raises:
        TypeError, ValueError: an argument is not of its kind, or out of its range; unknown names
            list the known ones.
        AllParticlesDead: no particle has any weight left; the message names the step.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> posterior = solve("?", lm=lm, prm=prm, particles=64, max_steps=4, answer=first)
        >>> sorted(posterior.answers, key=str)
        ['0', '1', '2', None]
        >>> posterior.guarantee, posterior.evidence
        ('consistent', 'unbiased')
    """
    declaration = Declaration(
        question,
        target=target,
        beta=beta,
        alpha=alpha,
        prior=prior or Sampling(),
        max_steps=max_steps,
        max_tokens=max_tokens,
        stop_strings=stop_strings,
        answer=answer,
        constraint=constraint,
    )
    run_keys(seed)
    runs = checks.count("runs", runs)
    if runs > 1 and (checkpoint is not None or not hasattr(seed, "__index__")):
        raise ValueError(
            "several runs have no checkpoint, and seeds (seed, 0), (seed, 1), ... of their own: "
            "seed must be one number"
        )
    given = {
        "particles": particles,
        "resampling": resampling,
        "ess_threshold": ess_threshold,
        "proposal": proposal,
    }
    rule = None if stop is None else stopping_rule(stop)
    if runs == 1:
        given |= {"stop": rule, "batch": batch}
    chosen = _sampler(sampler, given, settings)
    model = StateSpaceModel.of(declaration, *load_models(*checked_models(lm, prm), device, answer))
    with step_bar(model.lm, max_steps, progress):
        if runs > 1:
            return repeated(chosen, model, runs, cast("int", seed), progress, rule, batch)
        return chosen.run(
            model,
            seed=seed,
            progress=progress,
            **({} if checkpoint is None else {"checkpoint": checkpoint}),
        )


def solve_many(
    questions: Iterable[str | Sequence[Message]],
    *,
    lm: str | LanguageModel | Callable[[], LanguageModel] = POCKET,
    prm: str | RewardModel | None = AUTO,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
    at_once: int = 16,
    dead: Literal["raise", "keep"] = "raise",
    allocation: Allocation | Mapping[str, Any] | None = None,
    **arguments: Any,
) -> list[Any]:
    """Sample the posteriors of several questions, whose particles share forward passes.

    Resampling and evidence stay with each question: posterior i is that of `solve(questions[i],
    ..., seed=(seed, i))`, draw for draw (to rounding, where larger batches round otherwise). Its
    cost is what falls to it, seconds included: those of all posteriors add up to the time that
    passed.

    Args:
        questions: what is asked.
        lm, prm, device: as `solve` takes them.
        seed: in [0, 2**32).
        progress: show a progress bar, in questions.
        at_once: questions under way at any time, at most.
        dead: what becomes of a question all of whose particles died: "raise" the error, or "keep"
            it in the posterior's place.
        allocation: a rule of `motes.samplers.allocation` that shares one budget of solutions among
            the questions, or a mapping with its name as "rule" and its "budget"; of a sampler of
            independent solutions, whose number of them is then the most that a question gets. The
            draws of a question are the first of those that it has without a rule. `at_once` is then
            the rule's `width`. None for as many for each as the sampler says.
        arguments: any other argument of `solve`, the same for all questions, but `checkpoint` and
            `runs`.

    Returns:
        Posteriors, in the order of the questions; `AllParticlesDead` in the place of some if they
        are to be kept.

    Raises:
        TypeError, ValueError, AllParticlesDead: as `solve`; no model is loaded for bad arguments.

    Example:
        >>> from motes.models import FunctionReward, TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> prm = FunctionReward(lambda x: 1.0 - x.token_ids[-1])
        >>> both = solve_many(["?", "!"], lm=lm, prm=prm, particles=4, max_steps=4)
        >>> [posterior.question for posterior in both]
        ['?', '!']
    """
    if isinstance(questions, str):
        raise TypeError("questions must be several texts, not one: see solve")
    questions = list(questions)
    at_once = checks.count("at_once", at_once)
    if dead not in ("raise", "keep"):
        raise ValueError(f"dead must be 'raise' or 'keep', not {dead!r}")
    if names := [name for name in ("checkpoint", "runs") if name in arguments]:
        raise ValueError(f"{names[0]} is for one question: see solve")
    defaults = {name: parameter.default for name, parameter in signature(solve).parameters.items()}
    rule = None if allocation is None else allocation_rule(allocation)
    own = {
        name: arguments.pop(name, defaults[name])
        for name in (
            "sampler",
            "particles",
            "resampling",
            "ess_threshold",
            "proposal",
            "stop",
            "batch",
        )
    }
    prior = arguments.pop("prior", None) or Sampling()
    of_model = {name: arguments.pop(name, defaults[name]) for name in DECLARED}
    declarations = [Declaration(question, prior=prior, **of_model) for question in questions]
    run_keys((seed, 0))
    chosen = _sampler(own.pop("sampler"), own, arguments)
    if rule is not None:
        check_allocated(chosen)

    loaded = load_models(*checked_models(lm, prm), device, of_model["answer"])
    if rule is not None:
        models = [StateSpaceModel.of(each, *loaded) for each in declarations]
        with tqdm(total=rule.budget, desc="solutions", disable=not progress) as bar:
            seeds = [(seed, number) for number in range(len(models))]
            outcomes = allocated(chosen, models, rule, seeds, bar.update)
        deaths = [each.death for each in outcomes if each.death is not None]
        if deaths and dead == "raise":
            raise deaths[0]
        return [each.death if each.posterior is None else each.posterior for each in outcomes]

    def run(number: int, shared: Any) -> Any:
        try:
            model = StateSpaceModel.of(declarations[number], *map(shared, loaded))
            return chosen.run(model, seed=(seed, number))
        except AllParticlesDead as death:
            if dead == "raise":
                raise
            return death

    with (
        tqdm(total=len(questions), desc="questions", unit="question", disable=not progress) as bar,
        step_bar(loaded[0], of_model["max_steps"], progress),
    ):
        runs = [partial(run, number) for number in range(len(questions))]
        return run_batched(runs, at_once=at_once, ended=lambda *_: bar.update())


def _is(value: Any, default: Any) -> bool:
    """Say whether a setting was left at its default; an array, which has no one truth, was not."""
    return not getattr(value, "ndim", 0) and value == default


def _sampler(sampler: Any, given: dict[str, Any], settings: dict[str, Any]) -> Sampler:
    """Return the sampler of this name with the settings it has.

    Or the sampler as it is, if nothing was asked of it that it would ignore.
    """
    defaults = {name: parameter.default for name, parameter in signature(solve).parameters.items()}
    changed = {name: value for name, value in given.items() if not _is(value, defaults[name])}
    if isinstance(sampler, str):
        kind = sampler_class(sampler)
        known = setting_names(kind)
        own = {name: value for name, value in given.items() if name in known and value is not None}
        return configured(sampler, kind, own | changed | settings)
    if isinstance(sampler, type) or not isinstance(sampler, Sampler):
        raise TypeError(f"sampler must be a name or a sampler, not {sampler!r}")
    for name, value in {**changed, **settings}.items():
        further = instead(name, value) or "which has settings of its own"
        raise ValueError(f"{name} must be left out beside {sampler!r}, {further}")
    return sampler
