from __future__ import annotations

import arviz_base
import numpy as np
import pytest
import xarray
from judged import Recorder, tree

from motes.ppl.calibration import CalibratedReward, Calibration, Priors


def same(one: Calibration, other: Calibration) -> None:
    assert (one.prm, one.priors, one.seed, one.warmup) == (
        other.prm,
        other.priors,
        other.seed,
        other.warmup,
    )
    assert one.labels.questions == other.labels.questions
    for name in ("log_odds", "depth", "problem", "right", "depths"):
        np.testing.assert_array_equal(getattr(one.labels, name), getattr(other.labels, name))
    for mine, theirs in ((one.draws, other.draws), (one.stats, other.stats)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])
            assert mine[name].dtype == theirs[name].dtype


def test_groups(make_calibration):
    calibration = make_calibration()
    tree_of = calibration.to_datatree()
    assert set(tree_of.children) == {
        "posterior",
        "sample_stats",
        "posterior_predictive",
        "observed_data",
        "constant_data",
    }
    assert tree_of["posterior"].sizes == {"chain": 2, "draw": 6, "depth": 3, "problem": 2}
    assert tree_of["posterior/depth_effect"].dims == ("chain", "draw", "depth")
    assert tree_of["posterior/depth"].values.tolist() == [1, 2, 4]
    assert tree_of["sample_stats/diverging"].dtype == bool
    assert tree_of["posterior_predictive/right"].sizes == {"chain": 2, "draw": 6, "step": 9}
    assert tree_of["observed_data/right"].values.tolist() == calibration.labels.right.tolist()
    assert tree_of["constant_data/question"].values.tolist() == ["first?", "second? \u00e4"]
    assert tree_of["constant_data/log_odds"].values[0] == -np.inf
    # ArviZ can read it
    assert arviz_base.extract(tree_of, var_names="slope").sizes == {"sample": 12}


def test_replicated_labels_keep_the_draws_they_are_of(make_calibration):
    """At most a thousand: every chain thinned alike, and labelled with the draws' own numbers."""
    draws = {
        name: np.tile(values, (1, 500, *[1] * (values.ndim - 2)))
        for name, values in make_calibration().draws.items()
    }
    draws["slope"] = np.arange(6000.0).reshape(2, 3000)
    calibration = make_calibration(
        draws=draws,
        stats={name: np.tile(v, (1, 500)) for name, v in make_calibration().stats.items()},
    )
    right = calibration.to_datatree()["posterior_predictive/right"]
    assert right.sizes == {"chain": 2, "draw": 500, "step": 9}
    np.testing.assert_array_equal(
        draws["slope"][:, right["draw"].values].ravel(), calibration.evenly(1000)["slope"]
    )


def test_round_trip(make_calibration, tmp_path):
    calibration = make_calibration(priors=Priors(slope=0.3, false_positive=(2, 5.5)))
    same(Calibration.from_datatree(calibration.to_datatree()), calibration)
    calibration.to_datatree().to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as kept:
        same(Calibration.from_datatree(kept), calibration)
        reward = CalibratedReward.from_datatree(Recorder(lambda x: 0.4), kept, held=12)
    nodes = tree("first?", 3) + tree("never seen?", 3)
    np.testing.assert_array_equal(
        reward.score(nodes),
        CalibratedReward(Recorder(lambda x: 0.4), calibration, held=12).score(nodes),
    )


def test_what_is_something_else(make_calibration):
    with pytest.raises(ValueError, match="tree must be what the to_datatree of a calibration made"):
        CalibratedReward.from_datatree(Recorder(lambda x: 0.4), xarray.DataTree())
    with pytest.raises(ValueError, match="is of the reward model 'recorder', not of 'another'"):
        CalibratedReward.from_datatree(
            Recorder(lambda x: 0.4, "another"), make_calibration().to_datatree(), held=12
        )
