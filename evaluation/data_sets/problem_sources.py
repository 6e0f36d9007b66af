"""Load problems from wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import checks
from .known import DATA_SETS
from .row_files import FORMATS, Row, read_rows

SPLITS = ("test", "validation", "train")  # the first that there is, where none is named


def load_problems(
    source: str | Path,
    *,
    subset: str | None = None,
    split: str | None = None,
    count: int | None = None,
) -> list[Row]:
    r"""Return the problems of a data set, as `motes.evaluate` takes them, with all their columns.

    Args:
        source: a name of `DATA_SETS` ("gsm8k", "math500", "aime24", ...); a file of JSON Lines,
            JSON, Parquet or CSV, by the end of its name; a folder that `datasets` saved, or that
            holds such files; or a Hugging Face id, "OWNER/NAME".
        subset: of a Hugging Face data set that has several.
        split: of what has several; the first of test, validation and train where None.
        count: how many to take, from the first on; all where None.

    Returns:
        A row for each problem. What `motes.evaluate` reads of it are `question` (or `problem`) and
        `answer` (or `solution`); other columns, such as MATH's level, can split its table.

    Raises:
        FileNotFoundError: there is no such file or folder, and it is not an id.
        ValueError: the file is not what its name says; or there is no such split.
        ModuleNotFoundError: what it needs is not installed: motes[data].

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "two.csv"
        >>> _ = file.write_text("question,answer\n1 + 1?,2\n2 + 3?,5\n")
        >>> load_problems(file, count=1)
        [{'question': '1 + 1?', 'answer': '2'}]
    """
    count = None if count is None else checks.count("count", count)
    place = Path(source)
    if str(source) == "-" or place.is_file():
        _check_whole(source, subset, split)
        rows = read_rows(place, "problems")
    else:
        rows = _from_datasets(str(source), subset, split)
    return rows[:count]


def _check_whole(source: object, subset: str | None, split: str | None) -> None:
    """Raise ValueError where a part of a file is asked for."""
    for name, value in (("subset", subset), ("split", split)):
        if value is not None:
            raise ValueError(
                f"{name} must be left out for the file {str(source)!r}, which has none"
            )


def _from_datasets(source: str, subset: str | None, split: str | None) -> list[Row]:
    """Return the rows of a known data set, of a folder, or of a Hugging Face id."""
    folder = Path(source).is_dir()
    known = None if folder else DATA_SETS.get(source)
    if known is not None:
        source, subset, split = known.repository, subset or known.subset, split or known.split
    elif not folder and (source.count("/") != 1 or Path(source).suffix.lower() in FORMATS):
        raise FileNotFoundError(
            f"there is no file {source!r}, and it is neither a Hugging Face id, OWNER/NAME, nor "
            f"one of {', '.join(DATA_SETS)}"
        )
    datasets = _library()
    if folder and _saved(Path(source)):
        found = datasets.load_from_disk(source)
    else:
        found = datasets.load_dataset(source, subset)
    if not isinstance(found, Mapping):
        _check_whole(source, None, split)
        return list(found)
    return list(found[_split(source, list(found), split)])


def _saved(folder: Path) -> bool:
    """Say whether a folder is one that `save_to_disk` wrote."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))


def _split(source: str, there: list[str], split: str | None) -> str:
    """Return the name of the split that is meant."""
    if split is None:
        split = next((name for name in SPLITS if name in there), there[0])
    if split not in there:
        raise ValueError(f"split must be one of {', '.join(there)} of {source!r}, not {split!r}")
    return split


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "data sets of Hugging Face need datasets: pip install 'motes[data]'"
        ) from error
    return datasets
