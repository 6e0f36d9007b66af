"""The file of a posterior: writing it whole, and opening one that may be anything.

Whatever is wrong with a file, one sentence names it: it is missing, of another format, cut off, or
written by another program.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import xarray
from xarray import DataTree

from ...files import replacing

T = TypeVar("T")

# How files that motes itself writes begin, and what they are.
OTHERS = {
    b'{"motes evaluation"': (
        "results of motes.evaluate, which motes.evaluation.Evaluation.load reads"
    ),
    b'{"motes": ': "the checkpoint of a run, which the same call with checkpoint= takes up",
    b"<!doctype html": (
        "a web page, perhaps a report; a report is written of the posterior that --save wrote"
    ),
}


def read_saved(path: Path, read: Callable[[DataTree], T]) -> T:
    """Return what `read` makes of the data tree in a file that `Posterior.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError: it cannot be read.
        ImportError: it is a zarr folder, and the package zarr is not installed.
        ValueError: it is not a posterior that motes has saved.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no posterior to read at {str(path)!r}")
    if path.is_dir():
        need_zarr()
    tree = _opened(path)
    try:
        return read(tree)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"{str(path)!r} is a posterior that is damaged, or of another version of motes "
            f"({reason:.200})"
        ) from error


def write_saved(path: Path, make: Callable[[], DataTree]) -> None:
    """Write the data tree that `make` makes; all of it or nothing. See `Posterior.save`.

    Raises:
        OSError: it cannot be written.
        ImportError: it ends in ".zarr", and the package zarr is not installed.
    """
    zarr = path.suffix == ".zarr"
    if zarr:
        need_zarr()
    tree = make()
    with replacing(path) as partial:
        if zarr:
            # version 3 of the format has no texts yet that others could read
            tree.to_zarr(partial, zarr_format=2)
        else:
            tree.to_netcdf(partial, engine="h5netcdf")


def need_zarr() -> None:
    """Raise ImportError, with what to install, where the package zarr is not there."""
    if find_spec("zarr") is None:
        raise ImportError(
            "folders that end in .zarr need the package zarr: pip install 'motes[zarr]'"
        )


def _opened(path: Path) -> DataTree:
    """Return the data tree in a file, read whole."""
    try:
        with xarray.open_datatree(path, engine="zarr" if path.is_dir() else "h5netcdf") as tree:
            ours = tree.attrs.get("creation_library") == "motes" and "sample_stats" in tree
            loaded = tree.load() if ours else None
    except PermissionError:
        raise
    # xarray, h5netcdf, h5py and zarr raise many kinds on what they cannot read
    except Exception as error:
        raise _not_one(path, f"it is {_kind(path)}") from error
    if loaded is None:
        library = str(tree.attrs.get("creation_library", "")) or "another program"
        raise _not_one(path, f"it is a data set of {library}")
    return loaded


def _not_one(path: Path, reason: str) -> ValueError:
    return ValueError(f"{str(path)!r} is not a posterior that motes has saved: {reason}")


def _kind(path: Path) -> str:
    """Return what a file is that cannot be opened, in words."""
    if path.is_dir():
        return "a folder, and not one in zarr's format"
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "an empty file"
    if start.startswith((b"\x89HDF", b"CDF")):
        return "a netCDF or HDF5 file that is cut off, damaged, or of another layout"
    for beginning, kind in OTHERS.items():
        if start.lstrip().lower().startswith(beginning.lower()):
            return kind
    return "neither netCDF nor zarr"
