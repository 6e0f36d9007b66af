"""What to change, in the names of the sampler's own settings."""

from __future__ import annotations

from ...ppl.posterior.posterior import Posterior

GENTLER = {
    "tempered_smc": "make more moves between powers (moves{moves}), take smaller steps (a higher target_ess, or a ladder with more rungs)",
    "importance_sampling": "weigh on the way (sampler='particle_filter'), or move whole solutions (sampler='tempered_smc')",
    "entropic_particle_filter": "resample less often (lower diversity{diversity}), look further (raise look_ahead{look_ahead})",
    "puri2025": "use sampler='particle_filter', which resamples only where its weights ask for it",
    "giannone2025": "use sampler='entropic_particle_filter', which carries the weights that annealing leaves",
}
FILTER = (
    "resample less often (lower ess_threshold{ess_threshold}), temper (sampler='tempered_smc'), or declare a flatter likelihood (beta < 1)"
)


def now(posterior: Posterior, *names: str) -> str:
    """Of these settings those that the run had, with their values: "particles (16 now)"; the first name where it had none."""
    known = [f"{name}{_now(posterior, name)}" for name in names if name in posterior.settings]
    return " or ".join(known) or names[0]


def more(posterior: Posterior) -> str:
    """What makes more draws."""
    return f"raise {now(posterior, 'iterations' if posterior.chains else 'particles')}"


def gentler(posterior: Posterior) -> str:
    """What makes a population keep more of itself."""
    words = GENTLER.get(posterior.sampler, FILTER)
    named = ("moves", "diversity", "look_ahead", "ess_threshold")
    return words.format(**{name: _now(posterior, name) for name in named})


def livelier(posterior: Posterior) -> str:
    """What makes chains move further in an iteration."""
    match posterior.sampler:
        case "particle_gibbs":
            return f"raise {now(posterior, 'particles')}, set ancestor_sampling=True if the language model can score a text, or temper"
        case "parallel_tempering":
            return f"raise {now(posterior, 'moves')}, or put powers closer together (betas)"
        case _:
            return f"raise {now(posterior, 'moves')}, or let replicas help (sampler='parallel_tempering', or 'particle_gibbs')"


def _now(posterior: Posterior, name: str) -> str:
    return f" ({value} now)" if (value := posterior.settings.get(name)) is not None else ""
