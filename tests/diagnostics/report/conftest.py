"""Posteriors to report on, and a reader of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from posteriors import posterior_of

from motes.models import Cost, FunctionReward, TableLM, Trajectory
from motes.ppl import Posterior, StateSpaceModel
from motes.samplers import make_sampler
from motes.samplers.registry import settings_of
from motes.smc import History, ess

SMALL = {
    "particles": 8,
    "iterations": 6,
    "warmup": 1,
    "chains": 3,
    "starts": 4,
    "moves": 1,
    "ess_threshold": 0.9,
}
EMPTY = {"br", "col", "hr", "img", "input", "meta", "link"}
# of SVG, closed where they open
DRAWN = {"path", "rect", "circle", "use", "line", "polygon", "image"}

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\"'><svg onload=alert(1)> {{ 7 * 7 }} {% raw %} <!-- --> ]]>",
    "$x^2$ \\(\\frac{1}{2}\\) \\[\\sum_i\\] $5 and $6",
    (
        "\u202eright to left\u202c zero\u200bwidth \ufeff\u2066isolate\u2069 nul\0 esc\x1b[31m "
        "\ud800 "
        "\uffff"
    ),
    "unbreakable" * 120,
    "many characters in one step, " * 345,  # some 10,000
    "Z" + "\u0300" * 400,
)


@pytest.fixture(scope="session")
def sampled() -> Callable[..., Posterior]:
    """The posterior of a sampler by name, of a table model of two tokens and an end; drawn once for
    all tests."""

    @cache
    def run(name: str, **settings: Any) -> Posterior:
        prm = (
            None
            if settings.get("prm", True) is None
            else FunctionReward(lambda x: 1.5 - x.token_ids[-1] - 0.3 * x.depth)
        )
        lm = TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.5, 0.5, 0.0], eos=2)
        model = StateSpaceModel(
            "?",
            lm=lm,
            prm=prm,
            max_steps=4,
            answer=lambda x: str(x.token_ids[0]),
            stop_at_answer=False,
        )
        known = {key: value for key, value in SMALL.items() if key in settings_of(name)}
        own = {key: value for key, value in settings.items() if key not in ("prm", "seed")}
        return make_sampler(name, **known | own).run(model, seed=settings.get("seed", 2))

    return run


@pytest.fixture(scope="session")
def forked() -> Callable[..., Posterior]:
    """A filter of many particles and steps, resampled before steps 3 and 5, random throughout;
    every seventh dead."""

    def make(
        slots: int = 24, steps: int = 6, texts: tuple[str, ...] = ("a step\n",), **changes: Any
    ) -> Posterior:
        generator = np.random.default_rng([slots, steps])
        ancestors = np.tile(np.arange(slots), (steps, 1))
        for t in (t for t in (2, 4) if t < steps):
            ancestors[t] = generator.integers(0, slots, slots)
        weights = generator.gamma(0.5, size=slots) + 1e-6
        weights[6::7] = 0.0
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights / weights.sum())
        trajectories = tuple(
            _written(slot, int(generator.integers(1, steps + 1)), texts) for slot in range(slots)
        )
        attributes = {
            "question": texts[0],
            "trajectories": trajectories,
            "log_weights": log_weights,
            "log_odds": tuple(generator.normal(0, 2, x.depth) for x in trajectories),
            "extracted": tuple(
                texts[slot % len(texts)] + str(slot % 30) if x.finished else None
                for slot, x in enumerate(trajectories)
            ),
            "log_density": np.zeros(slots),
            "log_evidence": -1.0,
            "history": History(
                ess=np.full(steps, float(ess(log_weights))),
                resampled=np.array([t in (2, 4) for t in range(steps)]),
                log_increments=np.zeros(steps),
                ancestors=ancestors,
                log_weights=np.tile(log_weights, (steps, 1)),
            ),
            "sampler": "particle_filter",
            "target": "product",
            "guarantee": "consistent",
            "evidence": "unbiased",
            "settings": {"seed": 0},
            "cost": Cost(),
        }
        return posterior_of(**attributes | changes)

    return make


@pytest.fixture
def hostile(forked) -> Posterior:
    """A posterior whose every text wants to break the page."""
    named = "<b>'\"&</b>{{ name }}</style></title>"
    return forked(
        texts=HOSTILE,
        sampler=named,
        target=named,
        paper=HOSTILE[0],
        step_cost=HOSTILE[1],
        settings={"seed": 0, HOSTILE[0]: {HOSTILE[1]: list(HOSTILE)}},
        rates={HOSTILE[0]: HOSTILE[1]},
        latents={f"a<b>/{HOSTILE[0]}": np.linspace(0, 1, 24)},
    )


def _written(slot: int, depth: int, texts: tuple[str, ...]) -> Trajectory:
    """A trajectory of this depth; every fifth is truncated."""
    x = Trajectory(question="?")
    for t in range(depth):
        last = t == depth - 1
        law = {"logprob": -1.0, "proposal_logprob": -1.0}
        text = texts[(slot + t) % len(texts)]
        x = x.child(
            text, (slot, t), **law, finished=last and slot % 5 > 0, truncated=last and slot % 5 == 0
        )
    return x


class Reader(HTMLParser):
    """Checks that elements nest; collects texts, tags, identifiers and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.tags, self.attributes, self.scripts, self.styles = "", [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open
        self.ids = [value for _, name, value in self.attributes if name == "id"]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        assert tag in DRAWN or tag == "g" or "svg" in self.open
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" in self.open:
            self.styles.append(data)
        else:
            self.text += data


@pytest.fixture
def read() -> Callable[[str], Reader]:
    return Reader
