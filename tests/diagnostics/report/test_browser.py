"""The report in a real browser: nothing is fetched, nothing complains, nothing is cut off, and
lines can be followed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from contrast import CONTRAST
from searches import Table

from motes.diagnostics.report import report
from motes.samplers import make_sampler
from motes.smc import lineages

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is missing: pip install playwright"
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is missing: apt-get install chromium"
)

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (390, 820, 1400)
READ = (
    ".question, .verdict, .small, .finding p, .clear, figcaption, .keys span:not(.chip), .step "
    ".text, .score, "
    "dt, dd, .values th, .values td, .answers th, .answers .number, nav a, .by, .keys-title, "
    ".outcome .number, footer p"
)

ON = (
    "[...document.querySelectorAll('.dots circle')].flatMap((dot, i) => "
    "(dot.classList.contains('on') ? [i] : []))"
)
LINES = (
    "[...document.querySelectorAll('.lines path')].flatMap((line, i) => "
    "(line.classList.contains('on') ? [i] : []))"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path) -> Callable[..., Any]:
    """A page with the report of a posterior; that it was quiet, and asked for nothing else, is
    checked in the end."""

    @contextmanager
    def opened(posterior, **settings: Any) -> Iterator[Any]:
        path = report(posterior, tmp_path / "report.html")
        context = browser.new_context(
            viewport={"width": settings.pop("width", 1400), "height": 900}, **settings
        )
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append("dialog"))
        page.on(
            "request",
            lambda request: (
                said.append(request.url) if request.url not in (path.as_uri(), "data:,") else None
            ),
        )
        page.goto(path.as_uri())
        yield page
        context.close()
        assert said == []

    return opened


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Ask again and again from here: the page's own policy forbids Playwright to do it inside."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it never came to hold"
        time.sleep(0.05)


def fits(page) -> bool:
    return page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= "
        "innerWidth"
    )


@pytest.mark.slow
def test_no_page_scrolls_sideways(opened, sampled, forked, hostile, make_posterior):
    for posterior in (
        sampled("particle_filter"),
        sampled("parallel_tempering"),
        forked(100, 30),
        hostile,
        make_posterior(),
    ):
        with opened(posterior) as page:
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                assert fits(page)


def test_nothing_hostile_runs(opened, hostile):
    with opened(hostile) as page:
        assert page.title() != "owned" and page.evaluate("document.scripts.length") == 2
        assert page.evaluate("document.querySelectorAll('img').length") == 0
        page.locator(".dots circle").nth(3).focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#panel script, #panel img, #panel b").count() == 0
        assert page.title() != "owned" and fits(page)


def line_of(posterior, numbers: dict[str, list[int]], i: int) -> set[int]:
    """Ancestors and descendants of a particle, with itself, by the history alone."""
    ancestors = posterior.history.ancestors
    t, slot = numbers["step"][i] - 1, numbers["slot"][i]
    line = {(t, slot)}
    for s in range(t, 0, -1):
        line.add((s - 1, int(ancestors[s, next(at for time, at in line if time == s)])))
    for s in range(t + 1, len(ancestors)):
        line |= {(s, int(k)) for k in np.flatnonzero(lineages(ancestors[t + 1 : s + 1])[0] == slot)}
    return {
        k
        for k, at in enumerate(zip(numbers["step"], numbers["slot"], strict=True))
        if (at[0] - 1, at[1]) in line
    }


@pytest.mark.parametrize("slots", [24, 200])
def test_pointing_follows_a_line(slots, opened, forked):
    posterior = forked(slots)
    with opened(posterior) as page:
        numbers = page.evaluate("JSON.parse(document.getElementById('ancestry-data').textContent)")
        for i in (0, len(numbers["step"]) // 2, len(numbers["step"]) - 1):
            dot = page.locator(".dots circle").nth(i)
            dot.scroll_into_view_if_needed()
            dot.hover(force=True)
            expected = line_of(posterior, numbers, i)
            assert set(page.evaluate(ON)) == expected
            assert set(page.evaluate(LINES)) == {k for k in expected if numbers["parent"][k] >= 0}
            panel = page.locator("#panel").inner_text()
            assert (
                f"Step {numbers['step'][i]}, particle {numbers['slot'][i]}" in panel
                and "weight in the end" in panel
            )
            if numbers["text"][i] >= 0:
                assert numbers["texts"][numbers["text"][i]] in panel
        page.mouse.move(5, 5)
        assert page.evaluate(ON) == [] and page.locator("#panel").is_hidden()


def test_a_search_shows_its_tree(opened):
    """What is pointed at is shown with its value, its visits and what came before."""
    posterior = make_sampler("rebase", particles=12).run(Table(seed=3).model(), seed=1)
    with opened(posterior) as page:
        assert page.locator("#ancestry h2").inner_text() == "Tree"
        numbers = page.evaluate("JSON.parse(document.getElementById('ancestry-data').textContent)")
        last = len(numbers["step"]) - 1
        page.locator(".dots circle").nth(last).hover(force=True)
        line, i = {last}, last
        while numbers["parent"][i] >= 0:
            i = numbers["parent"][i]
            line.add(i)
        assert set(page.evaluate(ON)) == line
        panel = page.locator("#panel").inner_text()
        assert f"Step {numbers['step'][last]}, node {numbers['slot'][last]}" in panel
        for word in ("value", "visits", "weight in the end"):
            assert word in panel


def test_the_keyboard_follows_lines(opened, forked):
    posterior = forked()
    with opened(posterior) as page:
        numbers = page.evaluate("JSON.parse(document.getElementById('ancestry-data').textContent)")
        page.locator("nav a", has_text="Ancestry").focus()
        page.keyboard.press("Tab")
        for _ in range(40):  # to the drawing
            if page.evaluate("document.activeElement.closest('#tree') !== null"):
                break
            page.keyboard.press("Tab")
        at = lambda: page.evaluate(
            "[...document.querySelectorAll('.dots circle')].indexOf(document.activeElement)"
        )
        seen = [at()]
        for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
            page.keyboard.press(key)
            seen.append(at())
            assert set(page.evaluate(ON)) == line_of(posterior, numbers, seen[-1])
        assert (
            seen[0] == 0
            and numbers["step"][seen[1]] == 1
            and seen[-1] == numbers["parent"][seen[-2]] != seen[-2]
        )
        assert page.evaluate("document.activeElement.getAttribute('role')") == "treeitem"
        page.keyboard.press("Escape")
        assert page.evaluate(ON) == []
        page.keyboard.press("ArrowDown")  # goes on from where it was
        assert (
            set(page.evaluate(ON)) == line_of(posterior, numbers, at())
            and numbers["step"][at()] == numbers["step"][seen[-1]]
        )


def test_tapping_on_a_phone(opened, forked):
    posterior = forked()
    with opened(posterior, width=390, has_touch=True, is_mobile=True) as page:
        numbers = page.evaluate("JSON.parse(document.getElementById('ancestry-data').textContent)")
        dot = page.locator(".dots circle").nth(50)
        dot.scroll_into_view_if_needed()
        dot.tap(force=True)
        assert set(page.evaluate(ON)) == line_of(posterior, numbers, 50)
        below = page.locator("#panel").bounding_box()["y"]
        assert (
            page.locator("#panel").is_visible() and dot.bounding_box()["y"] < below and fits(page)
        )
        dot.tap(force=True)
        assert page.evaluate(ON) == [] and page.locator("#panel").is_hidden()


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(scheme, opened, sampled, make_posterior):
    for posterior in (sampled("suffix_metropolis"), make_posterior()):
        with opened(posterior, color_scheme=scheme) as page:
            least, count = page.evaluate(CONTRAST, READ)
            assert least >= 4.5 and count > 40  # WCAG 2.2, AA


def test_light_and_dark_differ(opened, make_posterior):
    look = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, "
        "getComputedStyle(document.querySelector('#picture-ess svg text')).fill]"
    )
    seen = {}
    for scheme in ("light", "dark"):
        with opened(make_posterior(), color_scheme=scheme) as page:
            seen[scheme] = page.evaluate(look)
    assert all(one != other for one, other in zip(seen["light"], seen["dark"], strict=True))


@pytest.mark.slow
def test_on_paper(opened, forked):
    with opened(forked(texts=("word " * 400,)), color_scheme="dark") as page:
        page.locator(".dots circle").nth(3).focus()
        page.emulate_media(media="print", color_scheme="dark")
        page.set_viewport_size({"width": 680, "height": 900})
        for hidden in ("nav", "#panel", "#ancestry-hint"):
            assert page.locator(hidden).is_hidden()
        assert page.locator("#tree").is_visible() and fits(page)
        faded = (
            "[...document.querySelectorAll('.dots circle')].some((dot) => "
            "getComputedStyle(dot).opacity !== '1')"
        )
        wait_until(lambda: not page.evaluate(faded))
        cut = (
            "[...document.querySelectorAll('.step .text')].some((text) => text.scrollHeight > "
            "text.clientHeight + 1)"
        )
        assert page.locator(".step .long").count() and not page.evaluate(cut)
        assert (
            page.evaluate(
                "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
            )
            == "#1e2328"
        )


@pytest.mark.slow
def test_without_scripts_everything_is_there(opened, forked):
    with opened(forked(), java_script_enabled=False) as page:
        assert (
            page.locator("#tree").is_visible()
            and page.locator("#panel").is_hidden()
            and page.locator("#ancestry-hint").is_hidden()
        )
