from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from motes.cli import main
from motes.models import Trajectory
from motes.ppl import Posterior
from motes.ppl.posterior.reading import from_datatree
from motes.ppl.posterior.tree_arrays import storable
from motes.smc import History


def node(trajectory: Trajectory) -> dict[str, object]:
    """The fields of one node, but its parent, and its answer, which `make_posterior` leaves out."""
    return {
        field.name: getattr(trajectory, field.name)
        for field in fields(trajectory)
        if field.name not in ("parent", "answer")
    }


def assert_equal(first: Posterior, second: Posterior) -> None:
    for field in fields(Posterior):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "trajectories":
            for x, y in zip(one, other, strict=True):
                assert [{**node(a), "step_text": storable(a.step_text)} for a in x.path] == [
                    node(b) for b in y.path
                ]
        elif field.name == "errors":
            assert type(one) is type(other) and (one.chains, one.runs) == (other.chains, other.runs)
            for x, y in zip(one.history or (), other.history or (), strict=True):
                np.testing.assert_array_equal(x, y)
                assert x.dtype == y.dtype
        elif field.name == "log_odds":
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


@pytest.mark.long(quick=1)
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
    assert [node(x) for x in from_datatree(posterior.to_datatree()).trajectories] == [
        node(x) for x in trajectories
    ]


def netcdf(path: Path) -> None:
    xarray.Dataset({"x": 1}).to_netcdf(path, engine="h5netcdf")


def of_another_library(path: Path) -> None:
    tree = xarray.DataTree(xarray.Dataset({"x": 1}, attrs={"creation_library": "PyMC"}))
    tree.to_netcdf(path, engine="h5netcdf")


def half(path: Path) -> None:
    netcdf(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=[1.0])


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# How the file is made, and what is said of it behind its name.
OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "other.nc": (netcdf, "a data set of another program"),
    "pymc.nc": (of_another_library, "a data set of PyMC"),
    "half.nc": (half, "cut off, damaged, or of another layout"),
    "plain.h5": (hdf5, "cut off, damaged, or of another layout"),
    "classic.nc": (written(b"CDF\x01" + bytes(40)), "cut off, damaged, or of another layout"),
    "text.nc": (written(b"not netCDF"), "neither netCDF nor zarr"),
    "empty.nc": (written(b""), "an empty file"),
    "results.jsonl": (written(b'{"motes evaluation": 1}\n'), "results of motes.evaluate"),
    "run.json": (written(b'{"motes": 1}'), "the checkpoint of a run"),
    "page.html": (written(b"<!DOCTYPE html>\n<html>"), "a web page"),
    "folder": (Path.mkdir, "a folder, and not one in zarr's format"),
    "folder.zarr": (Path.mkdir, "a folder, and not one in zarr's format"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, said = OTHERS[name]
    make(tmp_path / name)
    with pytest.raises(
        ValueError, match=f"{name}' is not a posterior that motes has saved: it is .*{said}"
    ):
        Posterior.load(tmp_path / name)
    assert main(["report", str(tmp_path / name), "--out", str(tmp_path / "out.html")]) == 2
    out, err = capsys.readouterr()
    if name == "results.jsonl":  # of which there is a report too, were it whole
        said = "is not a file of results of this version of motes"
    assert out == "" and err.count("\n") == 1 and name in err and said in err
    assert not (tmp_path / "out.html").exists()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no posterior to read at '.*nothing.nc'"):
        Posterior.load(tmp_path / "nothing.nc")


def test_our_own_file_with_a_group_missing(make_posterior, tmp_path: Path) -> None:
    tree = make_posterior().to_datatree()
    del tree["answers"], tree["constant_data"]
    tree.to_netcdf(tmp_path / "less.nc", engine="h5netcdf")
    with pytest.raises(
        ValueError,
        match=r"less.nc' is a posterior that is damaged, or of another version of motes \(KeyError",
    ):
        Posterior.load(tmp_path / "less.nc")


def test_zarr_is_named_where_it_is_missing(
    make_posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_posterior().save(tmp_path / "run.zarr")
    monkeypatch.setattr("motes.ppl.posterior.saved_file.find_spec", lambda name: None)
    for use in (
        lambda: Posterior.load(tmp_path / "run.zarr"),
        lambda: make_posterior().save(tmp_path / "again.zarr"),
    ):
        with pytest.raises(ImportError, match=r"pip install 'motes\[zarr\]'"):
            use()
    assert not (tmp_path / "again.zarr").exists()
