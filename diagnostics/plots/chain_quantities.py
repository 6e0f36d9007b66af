"""The quantities that pictures of chains show: log-density, length, and which answer is stated."""

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
    """Give, for each group of answers with a colour, whether each draw states one of them."""
    groups = shades(posterior)
    numbers = shade_numbers(posterior, groups).reshape(posterior.chains, -1)
    quantities = []
    for i, shade in enumerate(groups):
        one_answer = len(shade.answers) == 1 and shade.answers[0] is not None
        name = f"answer {shade.name}" if one_answer else shade.name
        quantities.append(Quantity(name, "", (numbers == i).astype(np.float64)))
    return quantities


def heading(quantity: Quantity) -> str:
    """Word a panel's title: the quantity's name with R-hat and ESS.

    See `motes.ppl.posterior.mixing`.
    """
    mixing = mixed(quantity.values)
    r_hat = "?" if isnan(mixing.r_hat) else f"{mixing.r_hat:.2f}"
    ess = "?" if isnan(mixing.ess) else f"{mixing.ess:.0f}"
    return f"{quantity.name}: R-hat {r_hat}, ESS {ess}"


def chain_colours(chains: int) -> np.ndarray:
    """Give a colour to each chain, from dark blue to green, none of them an answer's; (C, 4)."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0.0, 0.8, chains))
