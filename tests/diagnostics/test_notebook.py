from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from motes.smc import History

EMPTY = {"br", "hr", "img", "input", "meta", "link"}


class Reader(HTMLParser):
    """Checks that elements nest, and collects text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.attributes, self.tags = "", [], set()
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attrs
        assert tag not in EMPTY

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_everything_is_there(make_posterior) -> None:
    html = make_posterior()._repr_html_()
    read = Reader(html)
    for piece in (
        "Ann has 7 shells & <b>Ben</b> 3 more.",
        "17",
        "0.550 ± 0.",
        "no answer",
        "-1.25 ± 0.34, an estimate",
        "least 4.2, last 4.2",
        "1.50 s",
    ):
        assert piece in read.text
    assert html.count("<rect") == 2
    assert "step 2: 4.2, after resampling" in html
    assert len(html) < 8000


def test_it_needs_nothing_from_outside(make_posterior) -> None:
    read = Reader(make_posterior()._repr_html_())
    assert read.tags <= {"div", "table", "tr", "td", "b", "i", "svg", "rect", "title"}
    assert not [
        value
        for name, value in read.attributes
        if name in ("src", "href", "xlink:href") or "url(" in (value or "")
    ]


def test_text_is_escaped(make_posterior) -> None:
    evil = '<script>alert(\'x\')</script>" onload="y" & \x1b'
    posterior = make_posterior(
        question=evil, extracted=(evil, evil, None, None, None, None), sampler=evil, target=evil
    )
    assert "script" not in Reader(posterior._repr_html_()).tags


def test_colours_are_the_pages_own(make_posterior) -> None:
    html = make_posterior()._repr_html_()
    assert ";color:inherit" in html
    assert "color:#" not in html.replace("background-color", "")


def test_long_questions_are_cut(make_posterior) -> None:
    assert "x" * 400 + " ..." in make_posterior(question="x" * 5000)._repr_html_()


def test_edges(make_posterior) -> None:
    Reader(
        make_posterior(
            history=History.of({}, 6), log_evidence=None, extracted=(None,) * 6
        )._repr_html_()
    )
    Reader(make_posterior(log_odds=(np.zeros(0),) * 6)._repr_html_())
