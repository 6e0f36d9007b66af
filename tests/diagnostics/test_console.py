from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from motes.diagnostics.console import bar, render, sparkline


def drawn(posterior, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(posterior))
    return console.file.getvalue()


def test_everything_is_there(make_posterior) -> None:
    text = drawn(make_posterior())
    for piece in (
        "Ann has 7 shells & <b>Ben</b> 3 more.",
        "Reasoning: the most probable to 17",
        "1  Ben has 7 + 3 = 10.  r = 0.953",
        "2  The answer is 17.    r = 0.881",
        "17         0.550 ± 0.",
        "no answer  0.250 ± 0.",
        "-1.25 ± 0.34, an estimate: unbiased for Z, so too low",
        "▇▆ of 6; least 4.2, last 4.2; resampled before step 2",
        "product, sampled by particle_filter: consistent",
        "40 tokens generated, 20 of prompt; 60 by the reward model; 1.50 s",
        "Few first steps: ",
    ):
        assert piece in text
    assert max(map(len, text.splitlines())) <= 100


def test_nothing_stated(make_posterior) -> None:
    text = drawn(make_posterior(extracted=(None,) * 6, log_evidence=None))
    assert "Reasoning: no answer was stated" in text
    assert "log-evidence" not in text


def test_text_is_never_markup(make_posterior) -> None:
    text = drawn(
        make_posterior(
            question="[red]x[/red] [/] :smile:",
            extracted=("[bold]", "\x1b[2J", None, None, None, None),
        )
    )
    assert "[red]x[/red] [/] :smile:" in text
    assert "[bold]" in text
    assert "\x1b" not in text


def test_rare_answers_are_added_up(make_posterior) -> None:
    trajectories = make_posterior().trajectories * 2
    history = make_posterior().history
    posterior = make_posterior(
        trajectories=trajectories,
        log_weights=np.full(12, -np.log(12)),
        log_odds=make_posterior().log_odds * 2,
        extracted=tuple(f"word {letter}" for letter in "abcdefghijkl"),
        history=history._replace(
            ancestors=np.tile(np.arange(12), (2, 1)), log_weights=np.full((2, 12), -np.log(12))
        ),
    )
    text = drawn(posterior)
    assert "word h" in text
    assert "word i" not in text
    assert "4 others  0.333" in text


@pytest.mark.parametrize("width", [20, 40, 200])
def test_narrow_and_wide(make_posterior, width: int) -> None:
    assert all(len(line.rstrip()) <= width for line in drawn(make_posterior(), width).splitlines())


def test_bars() -> None:
    assert [bar(fraction, 4) for fraction in (0.0, 0.5, 0.53, 1.0)] == ["", "██", "██▏", "████"]
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
