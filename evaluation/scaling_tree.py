"""A fit of accuracy against tokens as an `xarray.DataTree` in ArviZ's schema.

The schema: https://python.arviz.org/en/stable/schema/schema.html.

Dimensions: chain, draw, sampler = the S samplers by name, problem = the I problems, arm = the K
arms.

    posterior       (chain, draw)             mu_level, tau_level, ...: as in `scaling.POPULATION`
                    (chain, draw, sampler)    level, slope, ceiling
                    (chain, draw, problem)    difficulty
    sample_stats    (chain, draw)             diverging, lp, energy, acceptance_rate, n_steps
    observed_data   (problem, arm)            right
    constant_data   (arm)                     tokens: mean over problems; arm_sampler: whose it is

Attributes of the root: centre (log2 of tokens), seed, warmup, repeats (how many runs `right` is out
of), priors as JSON, and the schema's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from xarray import Dataset, DataTree

from ..ppl.posterior.tree_arrays import storable
from .scaling import BY_SAMPLER
from .scaling_draws import ScalingDraws

SAMPLE = ("chain", "draw")
DIMENSIONS = dict.fromkeys(BY_SAMPLER, (*SAMPLE, "sampler")) | {"difficulty": (*SAMPLE, "problem")}


def to_datatree(fit: ScalingDraws) -> DataTree:
    """Return the fit's data tree; see this module's description for what is in it."""
    problems, arms = map(np.arange, fit.right.shape)
    samplers = np.array([storable(name) for name in fit.samplers], dtype=object)
    of_arm = np.array([storable(name) for name in fit.arms], dtype=object)
    groups = {
        "posterior": _of_draws(fit.draws).assign_coords(sampler=samplers, problem=problems),
        "sample_stats": _of_draws(fit.stats),
        "observed_data": Dataset(
            {"right": (("problem", "arm"), fit.right)}, {"problem": problems, "arm": arms}
        ),
        "constant_data": Dataset(
            {"tokens": ("arm", fit.tokens), "arm_sampler": ("arm", of_arm)}, {"arm": arms}
        ),
    }
    tree = DataTree.from_dict(groups)
    tree.attrs.update(
        kind="fit of accuracy against tokens",
        centre=fit.centre,
        seed=fit.seed,
        warmup=fit.warmup,
        repeats=fit.repeats,
        priors=json.dumps(asdict(fit.priors)),
        created_at=datetime.now(UTC).isoformat(),
        creation_library="motes",
        creation_library_language="Python",
        inference_library="blackjax",
        inference_library_version=version("blackjax"),
    )
    return tree


def _of_draws(columns: Mapping[str, np.ndarray]) -> Dataset:
    chains, draws = next(iter(columns.values())).shape[:2]
    return Dataset(
        {name: (DIMENSIONS.get(name, SAMPLE), values) for name, values in columns.items()},
        {"chain": np.arange(chains), "draw": np.arange(draws)},
    )
