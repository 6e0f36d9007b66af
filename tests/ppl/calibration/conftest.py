"""A fit made by hand, so that what is done with one can be checked without fitting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from motes.ppl.calibration import Calibration, Labels, Priors
from motes.ppl.calibration.reliability import POPULATION

CHAINS, DRAWS = 2, 6


@pytest.fixture
def make_calibration() -> Callable[..., Calibration]:
    """Nine judged steps of two problems at depths 1, 2 and 4; twelve draws that differ much from
    one another."""

    def make(**changes: object) -> Calibration:
        random = np.random.default_rng(5)
        shape = (CHAINS, DRAWS)
        draws = {
            "intercept": random.normal(size=shape),
            "slope": np.exp(random.normal(size=shape) / 2),
            "sigma_depth": random.uniform(0.5, 1.5, shape),
            "sigma_problem": random.uniform(0.5, 1.5, shape),
            "false_positive": random.uniform(0.01, 0.2, shape),
            "false_negative": random.uniform(0.01, 0.2, shape),
            "depth_effect": random.normal(size=(*shape, 3)),
            "problem_effect": random.normal(size=(*shape, 2)),
        }
        assert draws.keys() == {*POPULATION, "depth_effect", "problem_effect"}
        names = ("lp", "energy", "acceptance_rate")
        stats = {name: random.normal(size=shape) for name in names} | {
            "diverging": np.zeros(shape, bool),
            "n_steps": np.full(shape, 7),
        }
        labels = Labels(
            log_odds=np.array([-np.inf, 0.3, 1.2, np.inf, -2.0, 0.1, 40.0, 2.5, -0.4]),
            depth=np.array([0, 1, 2, 0, 1, 2, 0, 1, 0]),
            problem=np.array([0, 0, 0, 1, 1, 1, 0, 0, 1]),
            right=np.array([False, True, True, True, False, False, True, True, False]),
            depths=np.array([1, 2, 4]),
            questions=("first?", "second? \u00e4"),
        )
        return Calibration(
            **(
                {
                    "prm": "recorder",
                    "labels": labels,
                    "priors": Priors(),
                    "draws": draws,
                    "stats": stats,
                    "seed": 3,
                    "warmup": 9,
                }
                | changes
            )
        )

    return make
