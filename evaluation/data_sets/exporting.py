"""Runs as rows with the columns that the field uses, in Parquet or as a Hugging Face data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np

from ...files import replacing
from ...ppl.decisions import Pool, pool_of
from ...ppl.decisions.decision import leaders, totals
from ..records import Record
from ..results import Results

Row = dict[str, Any]


def export(
    evaluation: Results, path: str | Path, problems: Sequence[Mapping[str, Any]] | None
) -> Path:
    """Write every run as a row; see `Evaluation.export`."""
    place, rows = Path(path), exported_rows(evaluation, problems)
    if not rows:
        raise ValueError("there is nothing to export: no run is done")
    _warn_of_missing_texts(evaluation)
    if place.suffix.lower() == ".parquet":
        _write_parquet(rows, place)
    else:
        _write_folder(rows, place)
    return place


def _warn_of_missing_texts(evaluation: Results) -> None:
    """Warn of runs whose completions are empty, because nobody asked for texts when they ran."""
    ended = [record for record in evaluation.records if record.draws is not None]
    missing = sum(record.texts is None for record in ended)
    if missing:
        warn(
            f"{missing} of {len(ended)} runs keep no texts, so that their completions are empty: "
            "run them with texts=True (--texts), into a file of their own",
            RuntimeWarning,
            stacklevel=4,
        )


def exported_rows(
    evaluation: Results, problems: Sequence[Mapping[str, Any]] | None = None
) -> list[Row]:
    r"""Return every run as a row, by problem, arm and repeat.

    A row has the problem's own columns, and those by which search-and-learn publishes its runs:
    `completions` (what each of N draws says; None where texts were not kept), `scores` (of each
    draw, the reward model's probabilities of its steps), `agg_scores` (the last of them), and for n
    = 1, 2, 4, ..., N, from the first n draws and as \boxed{answer}, the predictions `pred_naive@n`
    (the answer of the best score), `pred_weighted@n` (a vote weighted by scores) and `pred_maj@n`
    (a plain vote). Fewer than N draws mean something of independent ones alone: of others there are
    predictions for n = N only. Besides: `method`, `budget`, `repeat`, `seed`, `weights` of the
    draws, `answer_predicted`, `right`, `tokens`, `prm_tokens`, `seconds`, `log_evidence`, `error`.

    Args:
        evaluation: finished or not.
        problems: in order, whose columns the rows get; None for none.

    Raises:
        ValueError: there is another number of problems.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> problems = [{"question": "?", "answer": 0}, {"question": "!", "answer": 0}]
        >>> evaluation = motes.evaluate(
        ...     problems,
        ...     samplers={"vote": motes.samplers.MajorityVote(samples=4)},
        ...     answer=lambda x: str(x.token_ids[0]) if x.finished else None,
        ...     lm=TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2),
        ...     prm=None, max_steps=3, progress=False, texts=True,
        ...     results=Path(tempfile.mkdtemp()) / "results.jsonl",
        ... )
        >>> row = exported_rows(evaluation, problems)[0]
        >>> row["question"], row["method"], len(row["completions"]), "pred_maj@4" in row
        ('?', 'vote', 4, True)
    """
    if problems is not None and len(problems) != evaluation.problems:
        raise ValueError(
            f"problems must be the {evaluation.problems} of the evaluation, not {len(problems)}"
        )
    rows = []
    for record in evaluation.records:
        arm = evaluation.arms[record.arm]
        own = {} if problems is None else dict(problems[record.problem])
        rows.append(own | {"method": arm.name, "budget": arm.budget} | _columns(record))
    return rows


def _columns(record: Record) -> Row:
    """Return what a record says as columns."""
    row: Row = {
        "right_answer": record.right_answer,
        "repeat": record.repeat,
        "seed": record.seed,
        "answer_predicted": record.answer,
        "right": record.right,
        "tokens": record.tokens,
        "prm_tokens": record.cost.get("prm_tokens"),
        "seconds": record.seconds,
        "log_evidence": record.log_evidence,
        "error": record.error,
        "completions": record.texts,
        "scores": None,
        "agg_scores": None,
        "weights": None,
    }
    if record.draws is None:
        return row
    pool = pool_of(record)
    row["weights"] = pool.weights.tolist()
    if any(map(len, pool.log_odds)):
        scores = [(1 / (1 + np.exp(-odds))).tolist() for odds in pool.log_odds]
        row["scores"] = scores
        row["agg_scores"] = [steps[-1] if steps else None for steps in scores]
    return row | dict(_predictions(pool, row["agg_scores"]))


def _predictions(pool: Pool, scores: list[float | None] | None) -> Iterator[tuple[str, str]]:
    """Give the predictions from the first n draws, for each n that means something."""
    last = len(pool)
    sizes = [last]
    if pool.independent:
        sizes = sorted({2**k for k in range(last.bit_length()) if 2**k < last} | {last})
    known = np.array([-1.0 if score is None else score for score in scores or [1.0] * last])
    for n in sizes:
        first = pool if n == last else pool.first(n)
        best = first.answers[int(known[:n].argmax())]
        yield f"pred_naive@{n}", _boxed(best)
        yield f"pred_weighted@{n}", _boxed(_winner(first, np.maximum(known[:n], 0)))
        yield f"pred_maj@{n}", _boxed(_winner(first, np.ones(n)))


def _winner(pool: Pool, weights: np.ndarray) -> str | None:
    """Return the answer of the greatest sum of weights; of a tie the first by spelling."""
    first = leaders(totals(pool, weights))
    return first[0] if first else None


def _boxed(answer: str | None) -> str:
    return f"\\boxed{{{answer or ''}}}"


def _write_parquet(rows: list[Row], path: Path) -> None:
    try:
        from pyarrow import Table
        from pyarrow.parquet import write_table
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Parquet needs pyarrow: pip install 'motes[data]'") from error
    with replacing(path) as partial:
        write_table(Table.from_pylist(_level(rows)), partial)


def _write_folder(rows: list[Row], path: Path) -> None:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a folder of the datasets library needs datasets: pip install 'motes[data]'"
        ) from error
    datasets.Dataset.from_list(_level(rows)).save_to_disk(path)


def _drawn(name: str) -> int:
    """Return n of a column named `...@n`; 0 of any other."""
    number = name.rpartition("@")[2]
    return int(number) if name.startswith("pred_") and number.isdigit() else 0


def _level(rows: list[Row]) -> list[Row]:
    """Give all rows the same columns, in the order in which they first occur; of @n, by n."""
    names = sorted(dict.fromkeys(name for row in rows for name in row), key=_drawn)
    return [{name: row.get(name) for name in names} for row in rows]
