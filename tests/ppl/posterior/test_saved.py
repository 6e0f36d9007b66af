from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import xarray

from motes.models import Trajectory
from motes.ppl import Posterior
from motes.ppl.posterior.posterior_tree import storable
from motes.ppl.posterior.reading import from_datatree
from motes.smc import History


def node(trajectory: Trajectory) -> dict[str, object]:
    """The fields of one node, but its parent, and its answer, which `make_posterior` leaves out."""
    return {field.name: getattr(trajectory, field.name) for field in fields(trajectory) if field.name not in ("parent", "answer")}


def assert_equal(first: Posterior, second: Posterior) -> None:
    for field in fields(Posterior):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "trajectories":
            for x, y in zip(one, other, strict=True):
                assert [{**node(a), "step_text": storable(a.step_text)} for a in x.path] == [node(b) for b in y.path]
        elif field.name in ("log_odds", "history"):
            for x, y in zip(one, other, strict=True):
                np.testing.assert_array_equal(x, y)
                assert x.dtype == y.dtype
        elif field.name in ("log_weights", "log_density"):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, field.name
            assert type(one) is type(other), field.name


CASES = {
    "as it is": {},
    "nothing stated": {"extracted": (None,) * 6},
    "an empty answer": {"extracted": ("", None, "None", "", "ü", None)},
    "chains": {"log_evidence": None},
    "no rewards": {"log_odds": (np.zeros(0),) * 6},
    "a step without a score": {"log_odds": (np.array([1.0]),) * 5 + (np.zeros(0),)},
    "no steps of the filter": {"history": History.of({}, 6)},
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_saved_is_loaded(make_posterior, case: str, tmp_path: Path) -> None:
    posterior = make_posterior(**CASES[case])
    posterior.save(tmp_path / "posterior.nc")
    loaded = Posterior.load(tmp_path / "posterior.nc")
    assert_equal(posterior, loaded)
    assert loaded.answers == posterior.answers
    assert loaded.best.text == posterior.best.text


def test_forks_share_their_prefix_again(make_posterior) -> None:
    loaded = from_datatree(make_posterior().to_datatree())
    heavy, other, false, silent, again, dead = loaded.trajectories
    assert heavy is again
    assert heavy.parent is other.parent
    assert false.parent is silent.parent is not heavy.parent
    assert len({id(x.path[0]) for x in (heavy, false, dead)}) == 1


def test_roots(make_posterior) -> None:
    root = Trajectory(question="?")
    trajectories = (root, root.close(truncated=True), root.close(finished=True))
    posterior = make_posterior(
        question="?",
        trajectories=trajectories,
        log_weights=np.log([0.5, 0.25, 0.25]),
        log_odds=(np.zeros(0),) * 3,
        extracted=(None,) * 3,
        history=History.of({}, 3),
    )
    assert [node(x) for x in from_datatree(posterior.to_datatree()).trajectories] == [node(x) for x in trajectories]


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Posterior.load(tmp_path / "nothing.nc")
    xarray.Dataset({"x": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"other.nc' is not a posterior that motes has saved"):
        Posterior.load(tmp_path / "other.nc")
    (tmp_path / "text.nc").write_text("not netCDF")
    with pytest.raises(OSError, match="signature"):
        Posterior.load(tmp_path / "text.nc")
