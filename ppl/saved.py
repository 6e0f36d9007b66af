"""A posterior read back from its data tree: the inverse of `motes.ppl.datatree`.

Trajectories that shared a prefix share its nodes again. Nothing is lost but what netCDF cannot hold in its texts.
"""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import numpy as np
import xarray
from xarray import DataTree

from ..models import Cost, Trajectory
from ..smc import History
from .posterior import Posterior


def load(path: str | Path) -> Posterior:
    """What `Posterior.save` wrote there.

    Raises:
        OSError: the file cannot be read, or is not netCDF.
        ValueError: it holds something else.
    """
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        if tree.attrs.get("creation_library") != "motes" or "sample_stats" not in tree:
            raise ValueError(f"{str(path)!r} is not a posterior that motes has saved")
        return from_datatree(tree.load())


def from_datatree(tree: DataTree) -> Posterior:
    """The posterior that `to_datatree` made this of."""
    question, log_evidence = str(tree["constant_data/question"].item()), float(tree.attrs["log_evidence"])
    log_weights = _values(tree, "sample_stats/log_weight")
    log_odds = _values(tree, "sample_stats/log_odds") if "log_likelihood" in tree else np.zeros((len(log_weights), 0))
    answers = zip(_values(tree, "text/answer").tolist(), _values(tree, "text/stated").tolist(), strict=True)
    return Posterior(
        question=question,
        trajectories=_trajectories(tree, question),
        log_weights=log_weights,
        log_odds=tuple(row[~np.isnan(row)] for row in log_odds),
        extracted=tuple(str(answer) if stated else None for answer, stated in answers),
        latents={site: _values(tree, f"posterior/{name}") for name, site in json.loads(tree.attrs["latents"]).items()},
        log_density=_values(tree, "sample_stats/lp"),
        log_evidence=None if isnan(log_evidence) else log_evidence,
        history=_history(tree) if "smc" in tree else None,
        chains=int(tree.attrs["chains"]),
        rates=json.loads(tree.attrs["rates"]),
        sampler=tree.attrs["sampler"],
        target=tree.attrs["target"],
        guarantee=tree.attrs["guarantee"],
        evidence=tree.attrs["evidence"],
        paper=tree.attrs["paper"],
        step_cost=tree.attrs["step_cost"],
        settings=json.loads(tree.attrs["settings"]),
        cost=Cost(**json.loads(tree.attrs["cost"])),
    )


def _values(tree: DataTree, path: str) -> np.ndarray:
    """A variable of all draws, one chain's behind the other's."""
    values = np.asarray(tree[path])
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])


def _history(tree: DataTree) -> History:
    return History(*(np.asarray(tree[f"smc/{name}"])[0] for name in ("ess", "resampled", "log_increment", "ancestor", "log_weight")))


def _trajectories(tree: DataTree, question: str) -> tuple[Trajectory, ...]:
    names = (
        "posterior/depth",
        "sample_stats/finished",
        "sample_stats/truncated",
        "text/step_text",
        "text/step_tokens",
        "text/token_id",
        "sample_stats/prefix_logprob",
        "sample_stats/prefix_proposal_logprob",
    )
    root, nodes = Trajectory(question=question), {}
    return tuple(_trajectory(root, nodes, *row) for row in zip(*(_values(tree, name).tolist() for name in names), strict=True))


def _trajectory(
    root: Trajectory,
    nodes: dict[tuple[object, ...], Trajectory],
    depth: int,
    finished: bool,
    truncated: bool,
    step_texts: list[str],
    step_tokens: list[int],
    token_ids: list[int],
    logprobs: list[float],
    proposal_logprobs: list[float],
) -> Trajectory:
    """The node of one row, under nodes that earlier rows have made where they are the same."""
    node, start = root, 0
    for step in range(depth):
        last = step == depth - 1
        end = start + step_tokens[step]
        status = (finished and last, truncated and last)
        key = (id(node), step_texts[step], tuple(token_ids[start:end]), logprobs[step], proposal_logprobs[step], status)
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
            )
        node, start = nodes[key], end
    return node if depth else root.close(finished=finished, truncated=truncated)
