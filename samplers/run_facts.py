"""The provenance of a run: what its sampler, its declaration and its settings amount to.

This is the one place where settings and rates are read by name. Whoever reads a posterior finds
them in its `Provenance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import nan
from typing import Any, NamedTuple

from ..models import Sampling
from ..models.mixture import Law
from ..ppl.posterior.provenance import Move, Reason, Remedies, Stopping

INTERRUPTED = Reason(
    "it was interrupted", "let it end; one with a checkpoint is taken up where it stopped"
)
IN_WARMUP = Reason("its chains were stopped in their warm-up", "raise budget, or lower warmup")


class Advice(NamedTuple):
    """A piece of advice, left out where the user has followed it.

    Attributes:
        text: what to change; settings in braces become their names with their present values.
        only_if: a setting that must be set, and not zero or false, for the advice to make sense.
        unless: a setting that follows the advice when it is set, and not zero or false.
    """

    text: str
    only_if: str = ""
    unless: str = ""


GENTLER = (
    Advice("resample less often (lower {ess_threshold})", only_if="ess_threshold"),
    Advice("temper (sampler='tempered_smc')"),
    Advice("declare a flatter likelihood (beta < 1)"),
)
LIVELIER = (
    Advice("raise {moves}"),
    Advice("let replicas help (sampler='parallel_tempering', or 'particle_gibbs')"),
)


class Now(Mapping[str, str]):
    """Settings by name, each with its present value in words: "particles (16 now)".

    A setting that the run did not have is its name alone.

    Args:
        settings: of the run, in plain values.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    def __getitem__(self, name: str) -> str:
        value = self.settings.get(name)
        return name if value is None else f"{name} ({value} now)"

    def __iter__(self) -> Iterator[str]:
        return iter(self.settings)

    def __len__(self) -> int:
        return len(self.settings)


def remedies_of(
    settings: Mapping[str, Any],
    *,
    gentler: Sequence[Advice] = GENTLER,
    livelier: Sequence[Advice] = LIVELIER,
) -> Remedies:
    """Say what to change for which trouble, with the present values of the settings.

    Args:
        settings: of the run, in plain values.
        gentler: what makes a population keep more of itself.
        livelier: what makes chains move further in an iteration.
    """
    now = Now(settings)
    of_chains = "iterations" in settings
    return Remedies(
        more_draws=f"raise {now['iterations' if of_chains else 'particles']}",
        more_particles=f"raise {now['particles']}",
        more_steps=f"raise {now['max_steps']}",
        more_budget=f"raise {now['budget']}, or lower {now['particles']}",
        longer_chains=f"raise {now['iterations']} and {now['warmup']}",
        more_chains=f"raise {now['chains']}",
        threshold=now["ess_threshold"],
        gentler=in_words(gentler, now),
        livelier=in_words(livelier, now),
    )


def in_words(advice: Sequence[Advice], now: Now) -> str:
    """Join what is left of some advice: "this, that, or something else"."""
    left = []
    for text, only_if, unless in advice:
        makes_sense = not only_if or bool(now.settings.get(only_if))
        followed = bool(unless and now.settings.get(unless))
        if makes_sense and not followed:
            left.append(text.format_map(now))
    *first, last = left
    return f"{', '.join(first)}, or {last}" if first else last


def moves_of(
    rates: Mapping[str, Any], settings: Mapping[str, Any], draws: int, slots: int
) -> tuple[Move, ...]:
    """Give the rates of a run's moves, with where and of how many tries.

    Args:
        rates: of the run: "acceptance" by chain or by power, "acceptance_at_last" at the last rung,
            "promoted" by chain, "update_by_step" of a reference, "swap" between neighbouring
            powers.
        settings: of the run, in plain values.
        draws: of all chains, or trajectories of a population.
        slots: of a population; 0 without one.
    """
    moves = settings.get("moves")
    each = moves if isinstance(moves, int) else 1
    powers = rates.get("betas") or settings.get("betas") or []  # the first, where they were tuned
    found: list[Move] = []
    last = rates.get("acceptance_at_last")
    if isinstance(last, float) and slots:
        found.append(Move("acceptance", "at the last rung", last, each * slots))
    accepted = rates.get("acceptance")
    accepted = accepted if isinstance(accepted, list) else []
    for place, rate in enumerate(accepted):
        if powers:
            where = f"at power {powers[place]:g}"
            found.append(Move("acceptance", where, rate, each * draws, at_target=place == 0))
        else:
            where = f"in chain {place + 1}"
            found.append(Move("acceptance", where, rate, each * draws // len(accepted)))
    promoted = rates.get("promoted") or []
    for chain, rate in enumerate(promoted, 1):
        found.append(Move("promotion", f"in chain {chain}", rate, each * draws // len(promoted)))
    for step, rate in enumerate(rates.get("update_by_step") or [], 1):
        found.append(Move("update", f"step {step}", rate, draws))
    tries = draws if settings.get("swaps") == "sweep" else draws // 2  # else in turn
    for rate, (upper, lower) in zip(rates.get("swap") or [], pairwise(powers), strict=False):
        share = nan if rate is None else rate
        found.append(Move("swap", f"{upper:g} and {lower:g}", share, tries))
    return tuple(found)


def chosen_by_answers(stopping: Stopping) -> Reason:
    """Give the reason why a stopping rule makes a run heuristic: it looked at the answers."""
    return Reason(
        f"its number of draws was chosen by looking at them ({stopping.rule})",
        "draw a fixed number (stop=None) for probabilities; what the rule says of its answer holds",
    )


def missed(proposals: Sequence[Law | None], prior: Sampling | None) -> Iterator[Reason]:
    """Give the reason why a proposal makes a run heuristic, if one does.

    A program's steps have priors of their own; they are then held against the model itself.
    """
    declared = prior or Sampling()
    for proposal in proposals:
        # a mixture that cannot is refused
        if isinstance(proposal, Sampling) and not proposal.covers(declared):
            names = ("temperature", "top_p", "top_k")
            values = {name: getattr(proposal, name) for name in names}
            shown = ", ".join(
                f"{name}={value}" for name, value in values.items() if value is not None
            )
            yield Reason(
                f"its proposal, {shown}, cannot draw all that the prior can",
                "declare it as the prior, or draw without top-p and top-k",
            )
            return
