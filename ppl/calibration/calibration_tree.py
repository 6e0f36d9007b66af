"""A calibration as an `xarray.DataTree` in ArviZ's schema, and back.

The schema: https://python.arviz.org/en/stable/schema/schema.html

Dimensions: chain, draw, step = the n judged steps, depth = the depths that occur (the coordinate
tells which), problem = the J problems that occur, numbered.

    posterior              (chain, draw)            intercept, slope, sigma_depth, sigma_problem,
                                                    false_positive, false_negative
                           (chain, draw, depth)     depth_effect
                           (chain, draw, problem)   problem_effect
    sample_stats           (chain, draw)            diverging, lp, energy, acceptance_rate, n_steps
    posterior_predictive   (chain, draw, step)      right: labels drawn anew, for at most a thousand
                                                    of the draws
    observed_data          (step)                   right
    constant_data          (step)                   log_odds: of the reward model, not clipped;
                                                    judged_depth; judged_problem
                           (problem)                question

Attributes of the root: the reward model's name (prm) and mark, seed, warmup, priors as JSON,
and the schema's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from xarray import Dataset, DataTree

from ..posterior.tree_arrays import storable
from .calibration_draws import CalibrationDraws
from .labels import Labels
from .predictive import replicated
from .reliability import POPULATION, Priors

SAMPLE = ("chain", "draw")
EFFECTS = {"depth_effect": (*SAMPLE, "depth"), "problem_effect": (*SAMPLE, "problem")}
KIND = "calibration of a reward model"


def to_datatree(calibration: CalibrationDraws) -> DataTree:
    """Give the calibration's data tree; this module's description says what is in it."""
    labels, (chains, draws) = calibration.labels, calibration.draws["slope"].shape
    _, right = replicated(calibration)
    right = right.reshape(chains, -1, len(labels.right))
    kept = (np.arange(right.shape[1]) * 2 + 1) * draws // (2 * right.shape[1])
    groups = {
        "posterior": _of_draws(calibration.draws).assign_coords(
            depth=labels.depths, problem=np.arange(len(labels.questions))
        ),
        "sample_stats": _of_draws(calibration.stats),
        "posterior_predictive": Dataset(
            {"right": ((*SAMPLE, "step"), right)}, {"chain": np.arange(chains), "draw": kept}
        ),
        "observed_data": Dataset({"right": ("step", labels.right)}),
        "constant_data": _constant(labels),
    }
    tree = DataTree.from_dict(groups)
    tree.attrs.update(
        kind=KIND,
        prm=storable(calibration.prm),
        mark=calibration.mark,
        seed=calibration.seed,
        warmup=calibration.warmup,
        priors=json.dumps(asdict(calibration.priors)),
        created_at=datetime.now(UTC).isoformat(),
        creation_library="motes",
        creation_library_language="Python",
        inference_library="blackjax",
        inference_library_version=version("blackjax"),
    )
    return tree


def fields_of(tree: DataTree) -> dict[str, Any]:
    """Read the attributes of the calibration that `to_datatree` wrote.

    They are the same but for what netCDF cannot hold in its texts.

    Raises:
        ValueError: it is of something else.
    """
    if tree.attrs.get("kind") != KIND:
        raise ValueError("tree must be what the to_datatree of a calibration made")
    labels = Labels(
        log_odds=_values(tree, "constant_data/log_odds"),
        depth=_values(tree, "constant_data/judged_depth"),
        problem=_values(tree, "constant_data/judged_problem"),
        right=_values(tree, "observed_data/right").astype(bool),
        depths=_values(tree, "posterior/depth"),
        questions=tuple(map(str, _values(tree, "constant_data/question"))),
    )
    return {
        "prm": tree.attrs["prm"],
        "mark": str(tree.attrs.get("mark", "")),
        "labels": labels,
        "priors": Priors(**json.loads(tree.attrs["priors"])),
        "draws": {name: _values(tree, f"posterior/{name}") for name in (*POPULATION, *EFFECTS)},
        "stats": {
            name: _values(tree, f"sample_stats/{name}")
            for name in map(str, tree["sample_stats"].data_vars)
        },
        "seed": int(tree.attrs["seed"]),
        "warmup": int(tree.attrs["warmup"]),
    }


def _of_draws(columns: Mapping[str, np.ndarray]) -> Dataset:
    chains, draws = next(iter(columns.values())).shape[:2]
    return Dataset(
        {name: (EFFECTS.get(name, SAMPLE), values) for name, values in columns.items()},
        {"chain": np.arange(chains), "draw": np.arange(draws)},
    )


def _constant(labels: Labels) -> Dataset:
    by_step = {
        "log_odds": labels.log_odds,
        "judged_depth": labels.depth,
        "judged_problem": labels.problem,
    }
    questions = np.array([storable(question) for question in labels.questions], dtype=object)
    return Dataset(
        {name: ("step", values) for name, values in by_step.items()}
        | {"question": ("problem", questions)}
    )


def _values(tree: DataTree, path: str) -> np.ndarray:
    return np.asarray(tree[path])
