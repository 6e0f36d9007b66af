"""A posterior read back from its data tree: the inverse of `motes.ppl.posterior.posterior_tree`.

Trajectories that shared a prefix share its nodes again. Nothing is lost but what netCDF cannot hold
in its texts.
"""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from xarray import DataTree

from ...models import Cost, Opening, Trajectory
from ...smc import History, normalise
from .errors import errors_of
from .pooling import pool
from .posterior import Posterior
from .posterior_tree import TREE_COLUMNS
from .provenance import Provenance
from .saved_file import read_saved
from .search_tree import SearchTree


def load(path: str | Path) -> Posterior:
    """Return what `Posterior.save` wrote there.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not a posterior that motes has saved.
        ImportError: it is a zarr folder, and the package zarr is not installed.
    """
    return read_saved(Path(path), from_datatree)


def from_datatree(tree: DataTree) -> Posterior:
    """Make the posterior that `to_datatree` made this of."""
    if "population" not in tree:  # of chains, or of before there was such a group
        draws = xarray.merge([_dataset(tree, "posterior"), _dataset(tree, "sample_stats")])
        attributes = tree.attrs
        groups = {name: group.to_dataset() for name, group in tree.children.items()}
        tree = DataTree.from_dict({**groups, "population": draws})
        tree.attrs = attributes
    if "runs" in tree:
        runs = [_run(tree, row) for row in range(tree["runs"].sizes["chain"])]
        died = _provenance(tree, _dataset(tree, "constant_data")).died
        cost = Cost(**json.loads(_text(tree, "constant_data/cost")))
        return replace(pool(runs, died=died), cost=cost)
    history = _history(tree, 0, tree["smc"].sizes["smc_step"]) if "smc" in tree else None
    log_evidence = float(tree.attrs["log_evidence"])
    return _posterior(
        tree,
        slice(None),
        log_weights=_values(tree, "population/log_weight"),
        log_evidence=None if isnan(log_evidence) else log_evidence,
        errors=errors_of(history, int(tree.attrs["chains"])),
        provenance=_provenance(tree, _dataset(tree, "constant_data")),
        tree=_search_tree(tree) if "tree" in tree else None,
        settings=json.loads(_text(tree, "constant_data/settings")),
        cost=json.loads(_text(tree, "constant_data/cost")),
    )


def _run(tree: DataTree, row: int) -> Posterior:
    """Return one of several runs that were pooled."""
    steps = int(np.asarray(tree["runs/steps"])[row])
    log_weights, _ = normalise(np.asarray(tree["population/log_weight"], np.float64)[row])
    return _posterior(
        tree,
        slice(row, row + 1),
        log_weights=log_weights,
        log_evidence=float(np.asarray(tree["runs/log_evidence"])[row]),
        errors=errors_of(_history(tree, row, steps) if steps >= 0 else None),
        provenance=_provenance(tree, _dataset(tree, "runs").isel(chain=row)),
        settings=json.loads(str(np.asarray(tree["runs/settings"])[row])),
        cost=json.loads(str(np.asarray(tree["runs/cost"])[row])),
    )


def _search_tree(tree: DataTree) -> SearchTree:
    group = _dataset(tree, "tree")
    columns = {field: np.asarray(group[name]) for name, field in TREE_COLUMNS.items()}
    texts = tuple(str(text) for text in group["text"].values)
    return SearchTree(**columns, texts=texts, tokens_aside=int(group.attrs["tokens_aside"]))


def _posterior(tree: DataTree, rows: slice, /, *, cost: dict[str, Any], **parts: Any) -> Posterior:
    """Return the posterior of some of the chains."""
    question = _text(tree, "constant_data/question")
    depths = _values(tree, "population/depth", rows)
    log_odds = np.zeros((len(depths), 0))
    if "log_odds" in tree["population"]:
        log_odds = _values(tree, "population/log_odds", rows)
    answers = zip(
        _values(tree, "text/answer", rows).tolist(),
        _values(tree, "text/stated", rows).tolist(),
        strict=True,
    )
    latents = {}
    for name, site in json.loads(_text(tree, "constant_data/sites")).items():
        latents[site] = _values(tree, f"population/{name}", rows)
    return Posterior(
        question=question,
        trajectories=_trajectories(tree, question, _opening(parts["settings"]), rows),
        log_odds=tuple(row[~np.isnan(row)] for row in log_odds),
        extracted=tuple(str(answer) if stated else None for answer, stated in answers),
        latents=latents,
        log_density=_values(tree, "population/lp", rows),
        rates=json.loads(_text(tree, "constant_data/rates")),
        cost=Cost(**cost),
        **parts,
    )


def _provenance(tree: DataTree, group: xarray.Dataset) -> Provenance:
    """Read the provenance of one run.

    Files of before it was kept have a part of it as attributes.
    """
    if "provenance" in group:
        return Provenance.fromdict(json.loads(str(group["provenance"].item())))
    names = ("sampler", "target", "guarantee", "evidence", "paper", "step_cost")
    kept = {name: tree.attrs[name] for name in names}
    settings = json.loads(str(group["settings"].item()))
    seed = settings.get("seed", 0)
    first = seed if isinstance(seed, list) else [seed, 0]
    known = {"stopped": settings.get("stopped", ""), "seed": first, "died": settings.get("died", 0)}
    return Provenance.fromdict(kept | known)


def _dataset(tree: DataTree, name: str) -> xarray.Dataset:
    group = tree[name]
    assert isinstance(group, DataTree)
    return group.to_dataset()


def _text(tree: DataTree, path: str) -> str:
    return str(tree[path].item())


def _values(tree: DataTree, path: str, rows: slice = slice(None)) -> np.ndarray:
    """Return a variable of all draws of some chains, one chain's after the other's."""
    values = np.asarray(tree[path])[rows]
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])


def _history(tree: DataTree, row: int, steps: int) -> History:
    names = ("ess", "resampled", "log_increment", "ancestor", "log_weight")
    return History(*(np.asarray(tree[f"smc/{name}"])[row, :steps] for name in names))


def _opening(settings: dict[str, Any]) -> Opening:
    return Opening(*settings.get("opening", ()))


def _trajectories(
    tree: DataTree, question: str, opening: Opening, rows: slice
) -> tuple[Trajectory, ...]:
    names = (
        "population/depth",
        "population/finished",
        "population/truncated",
        "text/step_text",
        "text/step_tokens",
        "text/step_delimited",
        "text/token_id",
        "population/prefix_logprob",
        "population/prefix_proposal_logprob",
        "text/stated",
        "text/answer",
    )
    root = Trajectory(question=question, opening=opening)
    nodes: dict[tuple[object, ...], Trajectory] = {}
    columns = [_values(tree, name, rows).tolist() for name in names]
    return tuple(_trajectory(root, nodes, *row) for row in zip(*columns, strict=True))


def _trajectory(
    root: Trajectory,
    nodes: dict[tuple[object, ...], Trajectory],
    depth: int,
    finished: bool,
    truncated: bool,
    step_texts: list[str],
    step_tokens: list[int],
    step_delimited: list[bool],
    token_ids: list[int],
    logprobs: list[float],
    proposal_logprobs: list[float],
    stated: bool,
    answer: str,
) -> Trajectory:
    """Return the node of one row; a node that an earlier row has made is taken again."""
    node, start = root, 0
    for step in range(depth):
        last = step == depth - 1
        end = start + step_tokens[step]
        status = (
            finished and last,
            truncated and last,
            answer if finished and last and stated else None,
        )
        said = (step_texts[step], tuple(token_ids[start:end]), step_delimited[step])
        key = (id(node), *said, logprobs[step], proposal_logprobs[step], status)
        if key not in nodes:
            nodes[key] = Trajectory(
                question=root.question,
                parent=node,
                depth=step + 1,
                step_text=step_texts[step],
                step_token_ids=tuple(token_ids[start:end]),
                logprob=logprobs[step],
                proposal_logprob=proposal_logprobs[step],
                finished=status[0],
                truncated=status[1],
                delimited=step_delimited[step],
                answer=status[2],
                opening=root.opening,
            )
        node, start = nodes[key], end
    return node if depth else root.close(finished=finished, truncated=truncated)
