from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import arviz_base
import arviz_stats
import numpy as np
import pytest
import xarray

from motes.ppl.posterior.equal_draws import effective_draws
from motes.ppl.posterior.tree_arrays import padded, storable
from motes.smc import History, ess


def test_numbers(make_posterior) -> None:
    posterior = make_posterior()
    tree = posterior.to_datatree()
    assert {**tree["population"].sizes} == {"chain": 1, "particle": 6, "step": 2}
    assert tree["population/answer"].values.tolist() == [[0, 0, 1, -1, 0, -1]]
    assert tree["answers/answer"].values.tolist() == ["17", "18"]
    np.testing.assert_allclose(tree["answers/probability"], [0.55, 0.2])
    np.testing.assert_array_equal(
        tree["answers/mcse"], [posterior.answer_mcse["17"], posterior.answer_mcse["18"]]
    )
    assert tree.attrs["no_answer_probability"] == pytest.approx(0.25)
    assert tree.attrs["no_answer_mcse"] == posterior.answer_mcse[None]
    assert tree["population/depth"].values.tolist() == [[2, 2, 2, 2, 2, 1]]
    assert tree["population/tokens"].values.tolist() == [[5, 5, 5, 4, 5, 0]]
    np.testing.assert_allclose(tree["population/logprob"], [[-1.1, -3.1, -2.1, -2.1, -1.1, -3.0]])
    np.testing.assert_array_equal(tree["population/log_weight"], posterior.log_weights[None])
    np.testing.assert_allclose(tree["population/weight"], [[0.3, 0.1, 0.2, 0.25, 0.15, 0.0]])
    assert tree["population/eve"].values.tolist() == [[0, 0, 2, 2, 4, 5]]
    assert tree["population/truncated"].values.tolist() == [
        [False, False, False, True, False, False]
    ]


def test_draws_may_be_taken_at_face_value(make_posterior) -> None:
    """Summaries that know nothing of weights are of the posterior, within the error that is
    stated."""
    random = np.random.default_rng(0)
    root = make_posterior().best.path[0]
    logprobs = random.normal(-8.0, 2.0, 2000)
    lines = tuple(
        root.child("x", (i,), logprob=v, proposal_logprob=v, finished=True)
        for i, v in enumerate(logprobs.tolist())
    )
    log_weights = -logprobs / 2 - np.logaddexp.reduce(-logprobs / 2)
    rows = {"log_odds": (np.zeros(0),) * 2000, "extracted": ("1",) * 2000, "log_density": logprobs}
    history = History(
        np.array([1.0]), np.array([False]), np.zeros(1), np.arange(2000)[None], log_weights[None]
    )
    tree = make_posterior(
        trajectories=lines, log_weights=log_weights, history=history, **rows
    ).to_datatree()
    weighted, effective = float(np.exp(log_weights) @ logprobs), float(ess(log_weights))
    summary = arviz_stats.summary(tree, var_names=["logprob"], round_to="none").loc["logprob"]
    stated = tree["posterior/logprob"].attrs["mcse"]
    assert 0.05 < stated < 0.3
    assert abs(summary["mean"] - weighted) < 4 * stated < abs(logprobs.mean() - weighted)
    assert (
        tree["posterior"].sizes["draw"] == int(effective)
        and 0.5 * effective < summary["ess_bulk"] < 1.5 * effective
    )
    population = tree["population"]
    assert float((population["logprob"] * population["weight"]).sum()) == pytest.approx(weighted)


def test_lineages_count(make_posterior) -> None:
    """By hand: W = (.3, .1, .2, .25, .15, 0), and the first steps are worth (.4, .45, .15)."""
    posterior = make_posterior()
    worth = (1 / (0.4**2 + 0.45**2 + 0.15**2), 1 / (0.09 + 0.01 + 0.04 + 0.0625 + 0.0225))
    expected = 2 / (1 / worth[0] + 1 / worth[1])
    assert effective_draws(posterior.log_weights, posterior.errors) == pytest.approx(expected)
    assert posterior.to_datatree()["posterior"].sizes["draw"] == 3


def test_copies_are_worth_what_they_copy(make_posterior) -> None:
    tree = make_posterior().resampled(4000).to_datatree()
    assert tree["posterior"].sizes["draw"] <= 5 and tree["population"].sizes["particle"] == 4000


def test_rewards_are_padded(make_posterior) -> None:
    tree = make_posterior().to_datatree()
    np.testing.assert_array_equal(
        tree["population/log_odds"][0, [0, 2, 5]], [[3, 2], [-1, np.inf], [-np.inf, np.nan]]
    )
    log_r = tree["log_likelihood/prm"]
    odds = ([3, 2], [3, -1], [-1, np.inf], [-1, 0], [3, 2])
    for slot, row in zip(tree["sample_stats/particle"].values[0], log_r.values[0], strict=True):
        np.testing.assert_allclose(row, -np.log1p(np.exp(-np.array(odds[slot], float))))
    assert log_r["step"].values.tolist() == [1, 2]


def test_no_reward_model(make_posterior) -> None:
    tree = make_posterior(log_odds=(np.zeros(0),) * 6).to_datatree()
    assert "log_likelihood" not in tree
    assert "log_odds" not in tree["sample_stats"] and "log_odds" not in tree["population"]


def test_the_filter(make_posterior) -> None:
    history, tree = make_posterior().history, make_posterior().to_datatree()
    for name, values in zip(
        ("ess", "resampled", "log_increment", "ancestor", "log_weight"), history, strict=True
    ):
        np.testing.assert_array_equal(tree[f"smc/{name}"], values[None])


def test_texts_and_attributes(make_posterior) -> None:
    tree = make_posterior().to_datatree()
    assert tree["text/step_text"].values[0, [1, 3, 5]].tolist() == [
        ["Ben has 7 + 3 = 10.\n\n", "The answer is 17.0."],
        ["Ben has 7 + 3 = 11.\n\n", "So\u2400 wh\u00e4t? ?\n\n"],
        ["", ""],
    ]
    assert tree["text/answer"].values.tolist() == [["17", "17.0", "18", "", "17", ""]]
    assert tree["constant_data/question"].item() == make_posterior().question
    assert json.loads(tree["constant_data/settings"].item()) == {
        "particles": 6,
        "prm": None,
        "proposal": {"temperature": 1.0},
    }
    assert json.loads(tree["constant_data/cost"].item())["prm_tokens"] == 60
    assert (tree.attrs["guarantee"], tree.attrs["evidence"], tree.attrs["log_evidence"]) == (
        "consistent",
        "unbiased",
        -1.25,
    )
    assert isnan(make_posterior(log_evidence=None).to_datatree().attrs["log_evidence"])


CASES = {
    "as it is": {},
    "nothing stated": {"extracted": (None,) * 6},
    "an empty answer": {"extracted": ("", None, "None", "\0", "\ud800", "ü")},
    "an empty question": {"question": "", "settings": {}, "target": "", "log_evidence": -np.inf},
    "chains": {"log_evidence": None},
    "no steps of the filter": {"history": History.of({}, 6)},
    "no rewards": {"log_odds": (np.zeros(0),) * 6},
}


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("case", CASES)
def test_netcdf_holds_all_of_it(make_posterior, tmp_path: Path, case: str) -> None:
    tree = make_posterior(**CASES[case]).to_datatree()
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as loaded:
        xarray.testing.assert_identical(loaded, tree)
        for node in tree.subtree:
            for name, values in node.data_vars.items():
                kinds = [
                    {"U": "O"}.get(found.dtype.kind, found.dtype.kind)
                    for found in (loaded[node.path][name], values)
                ]
                assert kinds[0] == kinds[1], name


def test_netcdf_of_trajectories_without_steps(make_posterior, tmp_path: Path) -> None:
    root = make_posterior().best.path[0]
    posterior = make_posterior(
        trajectories=(root,) * 6,
        log_odds=(np.zeros(0),) * 6,
        extracted=(None,) * 6,
        history=History.of({}, 6),
    )
    tree = posterior.to_datatree()
    assert tree["text/step_text"].shape == (1, 6, 0)
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xarray.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as loaded:
        xarray.testing.assert_equal(loaded, tree)


def test_arviz_reads_it(make_posterior, tmp_path: Path) -> None:
    make_posterior().save(tmp_path / "tree.nc")
    tree = arviz_base.convert_to_datatree(str(tmp_path / "tree.nc"))
    draws = arviz_base.extract(
        tree, group="posterior", var_names="logprob", combined=True, keep_dataset=True
    )
    # the ESS of the weights is 4.4
    assert len(draws["logprob"]) == 3 and set(draws["logprob"].values) <= {-1.1, -2.1, -3.1}
    tree.close()


def test_tokens(make_posterior) -> None:
    tree = make_posterior().to_datatree()
    assert tree["text/token_id"].values[0, [0, 3, 5]].tolist() == [
        [1, 2, 3, 5, 0],
        [1, 2, 4, 8, -1],
        [-1] * 5,
    ]
    assert tree["text/step_tokens"].values[0, [0, 3, 5]].tolist() == [[3, 2], [3, 1], [0, 0]]
    np.testing.assert_array_equal(
        tree["population/prefix_logprob"][0, [0, 5]], [[-1.0, -1.1], [-3.0, np.nan]]
    )


def test_a_step_without_a_score(make_posterior) -> None:
    # a step outside the prior's support is dead already and never scored
    tree = make_posterior(log_odds=(np.array([1.0]),) * 5 + (np.zeros(0),)).to_datatree()
    np.testing.assert_array_equal(
        tree["population/log_odds"][0, [0, 5]], [[1.0, np.nan], [np.nan, np.nan]]
    )


def test_padded() -> None:
    np.testing.assert_array_equal(
        padded([[1.0], [], [2.0, 3.0]], 2), [[1, np.nan], [np.nan, np.nan], [2, 3]]
    )
    np.testing.assert_array_equal(padded([[1], []], 2, -1), [[1, -1], [-1, -1]])
    assert padded([["a"], []], 2, "").tolist() == [["a", ""], ["", ""]]


def test_storable() -> None:
    assert storable("a\0b\ud800ü\u2028") == "a\u2400b?ü\u2028"
