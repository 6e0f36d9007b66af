from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isnan, sqrt
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray

from motes.models import FunctionReward, TableLM
from motes.ppl import StateSpaceModel
from motes.samplers import ParticleFilter
from motes.smc import History


def test_answers_add_up_by_meaning(make_posterior) -> None:
    posterior = make_posterior()
    assert posterior.answers == pytest.approx({"17": 0.55, None: 0.25, "18": 0.2}, rel=1e-12)
    assert list(posterior.answers) == ["17", None, "18"]
    assert posterior.labels == ("17", "17", "18", None, "17", None)
    assert posterior.answer == "17"


def test_no_answer_keeps_its_probability_and_is_not_the_answer(make_posterior) -> None:
    silent = make_posterior(extracted=("17", None, None, None, None, None))
    assert list(silent.answers.items()) == [(None, pytest.approx(0.7)), ("17", pytest.approx(0.3))]
    assert silent.answer == "17"
    mute = make_posterior(extracted=(None,) * 6)
    assert mute.answers == {None: pytest.approx(1.0)}
    assert mute.answer is None


@pytest.mark.parametrize(
    "answer",
    [
        17,
        17.0,
        "17",
        "17.0",
        " 17 ",
        "\\frac{34}{2}",
        np.int64(17),
        np.float32(17),
        Fraction(34, 2),
        Decimal("17.00"),
    ],
)
def test_the_probability_of_an_answer_however_it_is_spelled(make_posterior, answer) -> None:
    assert make_posterior().probability(answer) == pytest.approx(0.55, rel=1e-12)


def test_the_probability_of_other_answers(make_posterior) -> None:
    posterior = make_posterior(extracted=("17", "17.0", "18", None, "17", "99"))
    assert posterior.probability(18) == pytest.approx(0.2)
    assert posterior.probability(None) == pytest.approx(0.25)
    assert posterior.probability(99) == 0.0  # dead
    assert posterior.probability("seventeen") == posterior.probability(1.7) == 0.0
    certain = make_posterior(extracted=("1/2",) * 6)
    assert certain.probability(0.5) == 1.0
    for bad, error in (
        (True, TypeError),
        ([17], TypeError),
        (np.nan, ValueError),
        (np.inf, ValueError),
    ):
        with pytest.raises(error, match="answer must be"):
            posterior.probability(bad)


def test_the_dead_have_no_say(make_posterior) -> None:
    assert "99" not in make_posterior(extracted=("17", "17.0", "18", None, "17", "99")).answers


def test_answers_are_the_callers_to_keep(make_posterior) -> None:
    posterior = make_posterior()
    posterior.answers.clear()
    assert posterior.answers


def test_equal_probabilities_are_ordered_by_answer(make_posterior) -> None:
    even = make_posterior(
        log_weights=np.full(6, -np.log(6)), extracted=("b", "a", None, "a", None, "b")
    )
    assert list(even.answers) == ["a", "b", None]


def test_best_sums_over_equal_tokens(make_posterior) -> None:
    posterior = make_posterior()
    heavy, again = posterior.trajectories[0], posterior.trajectories[4]
    assert posterior.best is heavy
    assert again not in posterior.distinct
    assert list(posterior.distinct.values()) == pytest.approx([0.45, 0.25, 0.2, 0.1])
    # the heaviest particle, 0.4, is not the heaviest trajectory, 0.25 + 0.25
    with np.errstate(divide="ignore"):
        split = make_posterior(log_weights=np.log([0.25, 0.0, 0.0, 0.4, 0.25, 0.1]))
    assert split.best is split.trajectories[0]


def test_standard_errors_by_hand(make_posterior) -> None:
    # eves 0 0 2 2 4 5; the deviations of each eve's particles are summed, then squared; one
    # resampling event
    by_hand = {
        "17": (0.4 * 0.45) ** 2 + (0.2 * -0.55 + 0.25 * -0.55) ** 2 + (0.15 * 0.45) ** 2,
        None: (0.4 * -0.25) ** 2 + (0.2 * -0.25 + 0.25 * 0.75) ** 2 + (0.15 * -0.25) ** 2,
        "18": (0.4 * -0.2) ** 2 + (0.2 * 0.8 + 0.25 * -0.2) ** 2 + (0.15 * -0.2) ** 2,
    }
    posterior = make_posterior()
    assert posterior.answer_mcse == pytest.approx(
        {answer: 6 / 5 * sqrt(square) for answer, square in by_hand.items()}, rel=1e-12
    )
    assert list(posterior.answer_mcse) == list(posterior.answers)
    assert posterior.eves.tolist() == [0, 0, 2, 2, 4, 5]
    assert posterior.living_eves == 3


def test_standard_errors_are_undefined_with_one_eve(make_posterior) -> None:
    history = make_posterior().history._replace(ancestors=np.array([[0, 1, 2, 3, 4, 5], [1] * 6]))
    assert all(map(isnan, make_posterior(history=history).answer_mcse.values()))


def test_before_any_step(make_posterior) -> None:
    unmoved = make_posterior(history=History.of({}, 6))
    assert unmoved.ess.shape == (0,)
    assert unmoved.living_eves == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"extracted": ("17",)},
        {"log_weights": np.zeros(2)},
        {"trajectories": ()},
        {"history": History.of({}, 5)},
    ],
)
def test_sizes_must_agree(make_posterior, changes) -> None:
    with pytest.raises(
        ValueError,
        match=r"a posterior needs one or more trajectories and as much of everything else",
    ):
        make_posterior(**changes)


def test_repr_is_short(make_posterior) -> None:
    assert (
        repr(make_posterior())
        == "<Posterior of 6 trajectories: answer '17' (0.55), log-evidence -1.25, consistent>"
    )
    assert (
        repr(make_posterior(log_evidence=None, extracted=(None,) * 6))
        == "<Posterior of 6 trajectories: answer None (1.00), consistent>"
    )


def test_save(make_posterior, tmp_path: Path) -> None:
    path = tmp_path / "posterior.nc"
    path.write_text("something older")
    make_posterior().save(path)
    assert list(tmp_path.iterdir()) == [path]
    with xarray.open_datatree(path, engine="h5netcdf") as saved:
        xarray.testing.assert_equal(saved, make_posterior().to_datatree())


def test_a_failed_save_leaves_what_was_there(
    make_posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "posterior.nc"
    path.write_text("something older")

    def write_half(self: object, partial: Path, **_: object) -> None:
        partial.write_text("half")
        raise OSError("the disk is full")

    monkeypatch.setattr(xarray.DataTree, "to_netcdf", write_half)
    with pytest.raises(OSError, match="disk is full"):
        make_posterior().save(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("posterior.nc", "something older")
    ]
    with pytest.raises(FileNotFoundError):
        make_posterior().save(tmp_path / "nowhere" / "posterior.nc")


def test_of_a_particle_filter() -> None:
    """What a sampler returns is a posterior that agrees with exact enumeration."""
    # Two coins, of which the second leans with the first; heads is judged right with odds 3.
    # P(second is heads) by enumeration:
    # P(heads), and of the second given the first
    first, second = {0: 0.5, 1: 0.5}, {0: 0.2, 1: 0.7}
    likelihood = {0: 0.25, 1: 0.75}
    joint = {
        (x, y): first[x] * (second[x] if y else 1 - second[x]) * likelihood[x] * likelihood[y]
        for x in (0, 1)
        for y in (0, 1)
    }
    exact = sum(mass for (_, y), mass in joint.items() if y) / sum(joint.values())
    lm = TableLM(
        lambda prefix: [0.5, 0.5] if not prefix else [1 - second[prefix[0]], second[prefix[0]]]
    )
    prm = FunctionReward(lambda x: np.log(3.0) if x.token_ids[-1] else -np.log(3.0))
    model = StateSpaceModel(
        "two coins",
        lm=lm,
        prm=prm,
        max_steps=2,
        stop_at_answer=True,
        answer=lambda x: "heads" if x.depth == 2 and x.token_ids[-1] else None,
    )
    posterior = ParticleFilter(particles=400, resampling="multinomial", ess_threshold=1.0).run(
        model, seed=3
    )
    error = posterior.answer_mcse["heads"]
    assert 0 < error < 0.1
    assert abs(posterior.answers["heads"] - exact) < 4 * error  # normal: a false alarm in 16000
    assert sum(posterior.answers.values()) == pytest.approx(1.0)
    assert np.array_equal(posterior.ess, posterior.history.ess)
    assert isinstance(posterior.history.log_weights, np.ndarray) and not isinstance(
        posterior.log_weights, jax.Array
    )
