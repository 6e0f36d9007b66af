"""The page in a real browser: a question is asked, its particles are watched, its report opened."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from contrast import CONTRAST
from live_servers import QUESTIONS, TEXTS, Served, Talker, serving, until

import motes
from motes.models import FunctionReward
from motes.serving import Defaults, Service

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is missing: pip install playwright"
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is missing: apt-get install chromium"
)
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTHS = (390, 820, 1400)
READ = (
    ".by, label, button:not(:disabled), .status, .keys li, .panel p, .verdict strong, .number, "
    ".answers th, .steps li, .small, a, .error:not([hidden])"
)
KEY = "a key of many letters"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser) -> Callable[..., Any]:
    """The page of a server; that it was quiet, and asked nobody else, is checked in the end."""

    @contextmanager
    def opened(server: Served, refused: int = 0, **settings: Any) -> Iterator[Any]:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, **settings)
        page, said = context.new_page(), []
        context.on("console", lambda message: said.append(message.text))
        context.on("weberror", lambda error: said.append(str(error.error)))
        context.on("dialog", lambda dialog: said.append("dialog"))
        context.on(
            "request",
            lambda request: (
                None if request.url.startswith((server.url, "data:,")) else said.append(request.url)
            ),
        )
        page.goto(server.url)
        yield page
        context.close()
        expected = [line for line in said if re.search(r"status of 4\d\d", line)]
        assert len(expected) == refused and len(said) == refused, said

    return opened


def ask(page, question: str, sampler: str = "particle_filter", size: int = 6, seed: int = 3):
    page.get_by_label("Question").fill(question)
    await_samplers(page)
    page.get_by_label("Sampler").select_option(sampler)
    page.get_by_label("Solutions").fill(str(size))
    page.get_by_label("Seed").fill(str(seed))
    page.get_by_role("button", name="Solve").click()


def await_samplers(page) -> None:
    """Wait until the page knows its samplers, without a script: its policy forbids them."""
    until(lambda: page.locator("#sampler option").count() > 5)


def is_done(page) -> Callable[[], bool]:
    return lambda: page.locator("#status").inner_text().endswith("; done")


def count(page, selector: str) -> int:
    return page.locator(selector).count()


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_question_is_watched_and_its_report_opened(opened, served, alone) -> None:
    lm, prm = alone
    posterior = motes.solve(QUESTIONS[0], lm=lm, prm=prm, particles=6, seed=3)
    with opened(served) as page:
        ask(page, QUESTIONS[0])
        until(is_done(page))
        assert posterior.answer is not None
        assert page.locator("#answer").inner_text() == posterior.answer
        shown = page.locator("#answers tr").all_inner_texts()
        assert len(shown) == min(8, len(posterior.answers))
        for text, (answer, probability) in zip(shown, posterior.answers.items(), strict=False):
            assert text.startswith(answer or "no answer") and f"{probability:.3f}" in text
        tokens = f"{posterior.cost.generated_tokens} tokens"
        assert tokens in page.locator("#status").inner_text()
        check_drawing(page, posterior)
        with page.context.expect_page() as opening:
            page.get_by_role("link", name="Open the report").click()
        report = opening.value
        report.wait_for_load_state()
        assert report.title().startswith(posterior.answer)
        assert report.locator(".dots circle").count() > 0


def check_drawing(page, posterior) -> None:
    """Whether the drawing has a dot for each step that was written, and what became of it."""
    history = posterior.history
    written = len({x for end in posterior.trajectories for x in end.path[1:]})
    assert count(page, "#tree circle") >= written
    [best] = [page.locator("#tree circle.won").count()]
    labels = dict(zip(posterior.trajectories, posterior.labels, strict=True))
    chosen = next(x for x in posterior.distinct if labels[x] == posterior.answer)
    assert best == chosen.depth
    assert count(page, "#tree .resampled") == int(history.resampled.sum())
    rewards = page.evaluate(
        "[...document.querySelectorAll('#tree circle.won')]"
        ".map((dot) => Number(dot.style.getPropertyValue('--r')))"
    )
    place = posterior.trajectories.index(chosen)
    expected = motes.log_odds.sigmoid(posterior.log_odds[place]).round(4).tolist()
    assert rewards == expected
    texts = page.locator("#reasoning li").all_inner_texts()
    assert [text.rsplit("r =")[0].strip() for text in texts] == [s.strip() for s in chosen.steps]


def test_dropped_particles_are_grey(opened, served) -> None:
    with opened(served) as page:
        ask(page, QUESTIONS[1], "particle_filter", size=8, seed=1)
        until(is_done(page))
        nodes = "[...tree.nodes.values()]"
        lost = page.evaluate(f"{nodes}.filter((node) => node.lost).length")
        leaves = page.evaluate(f"{nodes}.filter((n) => !n.children.length && !n.closed).length")
        assert count(page, "#tree circle.lost") == lost >= leaves


@pytest.mark.parametrize("sampler", ["majority_vote", "resample_move"])
def test_any_sampler_can_be_watched(sampler, opened, served) -> None:
    with opened(served) as page:
        ask(page, QUESTIONS[0], sampler, size=2)
        until(is_done(page))
        assert count(page, "#tree circle") > 2 and count(page, "#answers tr") >= 1


def test_a_long_run_is_drawn_as_far_as_it_can_be_looked_at(opened, small) -> None:
    """4,000 steps are drawn, whatever there are; all are counted, and the answer is told."""
    with opened(small) as page:
        ask(page, "Does it go on for ever?", size=200)
        until(is_done(page))
        status = page.locator("#status").inner_text()
        assert "6400 steps" in status and "the first 4000 steps are drawn" in status
        assert count(page, "#tree circle") == 4000
        assert page.locator("#answer").inner_text() == "no answer"
        assert page.locator(".scroll").bounding_box()["height"] < 700


def test_the_keyboard_is_enough(opened, served) -> None:
    with opened(served) as page:
        await_samplers(page)
        page.get_by_role("button", name="Use an example").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "question"
        page.get_by_label("Question").fill(QUESTIONS[0])
        page.get_by_label("Seed").fill("3")
        page.get_by_label("Question").press("Control+Enter")
        until(is_done(page))
        page.locator("#tree").focus()
        seen = []
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp"):
            page.keyboard.press(key)
            seen.append(page.evaluate("[tree.here.depth, tree.here.id]"))
            assert page.evaluate("tree.here.text.trim()") in page.locator("#panel").inner_text()
        assert [depth for depth, _ in seen] in ([1, 1, 2, 1, 1], [1, 1, 1, 1, 1])
        assert page.locator("#tree circle.here").count() == 1


def test_a_run_can_be_stopped(opened, small, talker) -> None:
    with opened(small) as page:
        talker.gate.clear()
        ask(page, "How many?")
        until(lambda: small.service.engine.running == 1)
        page.get_by_role("button", name="Stop").click()
        until(lambda: page.locator("#status").inner_text().endswith("; stopped"))
        talker.gate.set()
        until(lambda: small.service.engine.running == 0)
        ask(page, "How many?")
        until(is_done(page))
        assert page.locator("#answer").inner_text() == "17"


def test_what_is_wrong_is_said(opened, small) -> None:
    with opened(small, refused=1) as page:
        ask(page, "Is it dead?")
        until(lambda: page.locator("#error").is_visible())
        assert "are dead at step 1" in page.get_by_role("alert").inner_text()
        ask(page, " ")
        until(lambda: "must not be empty" in page.get_by_role("alert").inner_text())


def test_a_key_is_asked_for(opened, talker) -> None:
    service = Service(talker, FunctionReward(lambda x: 0.0), name="talker")
    with serving(service, key=KEY) as server, opened(server, refused=1) as page:
        until(lambda: page.get_by_label("Key", exact=True).is_visible())
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_label("Key", exact=True).press("Tab")
        ask(page, "How many?")
        until(is_done(page))
        assert page.locator("#error").is_hidden()


def test_nothing_hostile_runs(opened) -> None:
    hostile = "<img src=x onerror=\"document.title='owned'\"><script>1</script> The answer is <b>7"
    lm = Talker()
    said = [hostile + "\n\n" if text == TEXTS[0] else text for text in TEXTS]
    lm.texts = tuple(said)
    service = Service(lm, FunctionReward(lambda x: 0.0), defaults=Defaults(particles=4))
    with serving(service) as server, opened(server) as page:
        ask(page, hostile)
        until(is_done(page))
        assert page.title() == "motes" and count(page, "img, b, main script") == 0


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_and_nothing_scrolls_sideways(scheme, opened, served) -> None:
    with opened(served, color_scheme=scheme) as page:
        ask(page, QUESTIONS[0])
        until(is_done(page))
        least, number = page.evaluate(CONTRAST, READ)
        assert least >= 4.5 and number > 20  # WCAG 2.2, AA
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert fits(page)
