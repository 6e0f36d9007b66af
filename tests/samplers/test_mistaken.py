"""Arguments of other tools are errors that say what to write here."""

from __future__ import annotations

from inspect import signature

import pytest

import motes
from motes.samplers import SAMPLERS, ParticleFilter
from motes.samplers.mistaken import INSTEAD
from motes.samplers.registry import settings_of


@pytest.mark.parametrize("name", INSTEAD)
def test_every_way_says_what_to_write(name):
    advice = INSTEAD[name].format(name=name, value=3)
    asks = [
        lambda **given: motes.solve("?", **given),
        lambda **given: motes.solve("?", sampler=ParticleFilter(), **given),
        lambda **given: motes.solve_many(["?"], **given),
        lambda **given: motes.samplers.make_sampler("particle_filter", **given),
    ]
    if name not in signature(motes.evaluate).parameters:
        asks.append(
            lambda **given: motes.evaluate(
                [("?", 1)], samplers={"filter": ParticleFilter()}, **given
            )
        )
    for ask in asks:
        with pytest.raises((ValueError, TypeError)) as caught:
            ask(**{name: 3})
        assert name in str(caught.value) and advice in str(caught.value)


def test_temperature_points_to_the_prior():
    with pytest.raises(ValueError, match=r"prior=Sampling\(temperature=0.7\)"):
        motes.solve("?", temperature=0.7)


def test_no_advice_against_what_there_is():
    ours = {
        *signature(motes.solve).parameters,
        *(setting for name in SAMPLERS for setting in settings_of(name)),
    }
    assert not ours & set(INSTEAD)


def test_a_name_that_nobody_has():
    with pytest.raises(
        ValueError, match="colour is not a setting of 'particle_filter', which has budget"
    ):
        motes.solve("?", colour=3)
