"""Text that wants to break the page is only text."""

from __future__ import annotations

import json
import unicodedata

import pytest

from motes.diagnostics.report import page
from motes.diagnostics.report.visible_text import coded, embedded, legible, short


def test_nothing_from_a_model_becomes_markup(hostile, forked, read):
    """The tags and the attributes' names are those of the same report with tame text."""
    wild, tame = (
        read(page(hostile)),
        read(page(forked(latents={"a": hostile.latents[next(iter(hostile.latents))]}))),
    )
    assert {*wild.tags} <= {*tame.tags, "code", "p", "g", "use", "defs"}
    assert not [name for _, name, _ in wild.attributes if name.startswith("on")]
    assert len(wild.scripts) == 2 and wild.scripts[1] == tame.scripts[1]
    assert "</script><script>document.title='owned'</script>" in wild.text
    assert (
        "{{ 7 * 7 }} {% raw %}" in wild.text
        and "\\(\\frac{1}{2}\\)" in wild.text
        and "$5 and $6" in wild.text
    )


def test_no_character_hides_or_turns_the_text(hostile):
    odd = {
        character
        for character in page(hostile)
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn")
    }
    assert odd <= {"\n", "\t"}


def test_the_embedded_data_is_what_it_was(hostile, read):
    data = json.loads(read(page(hostile)).scripts[0])
    texts = [text for text in data["texts"] if "owned" in text]
    assert any(text == "</script><script>document.title='owned'</script>" for text in texts)
    assert max(map(len, data["texts"])) <= 502


def test_long_steps_are_there_to_the_end(forked, read):
    text = "x" * 9_990 + " the end."
    assert "x the end." in read(page(forked(texts=(text,), question="?"))).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u200bb", "a\ufffdb"),
        ("\u202eabc", "\ufffdabc"),
        ("\U000e0041", "\ufffd"),
        ("nul\0 \ud800", "nul\ufffd \ufffd"),
        ("a family: \U0001f468\u200d\U0001f469", "a family: \U0001f468\u200d\U0001f469"),
        ("line\n\tnext", "line\n\tnext"),
    ],
)
def test_legible(text, expected):
    assert legible(text) == expected


def test_short():
    assert short("  a\n b ", 9) == "a b" and short("abcdef", 4) == "abc…"


def test_code_in_findings():
    assert coded("set `a<b` & go") == "set <code>a&lt;b</code> &amp; go"


def test_embedded_json_ends_no_element():
    text = embedded({"a": "</script><!--&\u2028"})
    assert not set("<>&") & set(text) and text.isascii()
    assert json.loads(text) == {"a": "</script><!--&\u2028"}
