"""Sites whose names become equal in a file are kept apart there, and have their own names again
afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray

from motes.ppl import Posterior, Program
from motes.ppl.posterior.draw_groups import DIMENSIONS, OWN
from motes.ppl.posterior.variable_names import variable_names
from motes.samplers import ImportanceSampling

HARD = (
    "a/b a.b a\\b a.b_ a/b_ answer answer_ depth tokens logprob chain draw step token "
    "answer_dim_0 . .. .zattrs .zgroup / // _ "
    "__ x x_dim_0 x_dim_1 x_dim_0_ log_weight posterior site_1 lp weight"
).split()
HARDEST = [
    *HARD,
    "",
    " ",
    "a b",
    " a b",
    "a\0b",
    "a\x01b",
    "\ud800",
    "\udfff",
    "é",
    "e\u0301",
    "ü" * 300,
    "ü" * 301,
    "日本/語",
    "日本.語",
]
SHAPES = {"x": (2, 3), "a/b": (2,), "answer": (4,)}


def sampled(names):
    def program():
        for place, name in enumerate(names):
            shape = SHAPES.get(name, ())
            numpyro.sample(name, dist.Normal(float(place), 1.0).expand(shape).to_event(len(shape)))
        return "done"

    return ImportanceSampling(particles=4).run(Program(program), seed=0)


def test_names_are_different_and_kept_where_they_can_be():
    names = variable_names(
        dict.fromkeys(HARDEST, 0) | {"x": 2, "a/b": 1}, taken=[*OWN, *DIMENSIONS]
    )
    assert list(names) == list(HARDEST) and len(set(names.values())) == len(HARDEST)
    assert {"answer", "depth", "chain"}.isdisjoint(names.values()) and "" not in names.values()
    kept = {site for site, name in names.items() if site == name}
    assert {"a.b", "a.b_", "answer_", "x", "lp", "a b"} <= kept and "x_dim_0" not in kept
    assert all(
        "/" not in name and "\0" not in name and not name.startswith(".") for name in names.values()
    )


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["nc", "zarr"])
@pytest.mark.parametrize("order", [1, -1])
def test_what_is_saved_has_its_own_names_again(tmp_path, ending, order):
    posterior = sampled(HARDEST[::order])
    assert set(posterior.latents) == set(HARDEST)
    posterior.save(tmp_path / f"run.{ending}")
    again = Posterior.load(tmp_path / f"run.{ending}")
    assert list(again.latents) == list(posterior.latents)
    for name, values in posterior.latents.items():
        np.testing.assert_array_equal(again.latents[name], values)
    assert again.answers == posterior.answers


def test_a_file_names_what_it_can_as_the_program_does(tmp_path):
    posterior = sampled(["mu", "a/b", "answer"])
    posterior.save(tmp_path / "run.nc")
    with xarray.open_datatree(tmp_path / "run.nc", engine="h5netcdf") as tree:
        names = {name for name in tree["posterior"].data_vars if name not in OWN}
        assert names == {"mu", "a.b", "answer_"} and tree["posterior/a.b"].dims == (
            "chain",
            "draw",
            "a.b_dim_0",
        )


def test_a_thousand_sites_fit(tmp_path):
    names = [f"a_rather_long_name_of_a_site/{number}" for number in range(1_000)]
    values = {name: np.full(4, float(place)) for place, name in enumerate(names)}
    posterior = replace(sampled(["mu"]), latents=values)
    tree = posterior.to_datatree()
    assert len(tree["posterior"].data_vars) == 1_000 + len(OWN)
    # which is all that HDF5 allows
    assert max(len(str(value)) for value in tree.attrs.values()) < 60_000
