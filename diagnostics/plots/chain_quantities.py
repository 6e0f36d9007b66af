"""What chains are followed by: the log-density, the length, and which answer is stated."""

from __future__ import annotations

from math import isnan
from typing import NamedTuple

import numpy as np

from ...ppl.posterior.mixing import mixed
from ...ppl.posterior.posterior import Posterior
from .shades import shade_numbers, shades


class Quantity(NamedTuple):
    """A number that every draw has.

    Attributes:
        name: as it is printed.
        unit: as it is printed; "" where it has none.
        values: shape (C, S) for C chains of S draws.
    """

    name: str
    unit: str
    values: np.ndarray


def measures(posterior: Posterior) -> list[Quantity]:
    """Give the log-density and the length of every draw."""
    chains = posterior.chains
    return [
        Quantity("log-density", "nats", posterior.merged_log_density.reshape(chains, -1)),
        Quantity("length", "tokens", posterior.lengths.reshape(chains, -1)),
    ]


def indicators(posterior: Posterior) -> list[Quantity]:
    """Whether a draw states an answer, for each group of answers that has a colour."""
    groups = shades(posterior)
    numbers = shade_numbers(posterior, groups).reshape(posterior.chains, -1)
    names = [
        shade.name if shade.answers[0] is None or len(shade.answers) > 1 else f"answer {shade.name}"
        for shade in groups
    ]
    return [Quantity(name, "", (numbers == i).astype(np.float64)) for i, name in enumerate(names)]


def heading(quantity: Quantity) -> str:
    """Its name with R-hat and ESS; see `motes.ppl.posterior.mixing`."""
    found = mixed(quantity.values)
    r_hat, ess = (
        "?" if isnan(value) else f"{value:{form}}"
        for value, form in ((found.r_hat, ".2f"), (found.ess, ".0f"))
    )
    return f"{quantity.name}: R-hat {r_hat}, ESS {ess}"


def chain_colours(chains: int) -> np.ndarray:
    """A colour for each chain, from dark blue to green, none of them an answer's; shape (C, 4)."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0.0, 0.8, chains))
