r"""One notation for all the ways in which mathematics is typed.

`tidy` takes wrappers, markup and odd spaces from an answer, and writes characters and commands that
mean the same in one way: "√2", `\sqrt 2` and `$\sqrt{2}$` need one reader. It never decides what an
answer means; see `motes.ppl.answers.meaning`.
"""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ⁽⁾", "0123456789+-ni()", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢ", "0123456789+-ni", strict=True))
_SIGNS = {
    # minus signs and hyphens; dashes may be ranges
    **dict.fromkeys("\u2212\ufe63\uff0d\u2010\u2011", "-"),
    **dict.fromkeys("×✕⨯", r"\times "),
    **dict.fromkeys("·⋅∙", r"\cdot "),
    **dict.fromkeys("⁄∕／", "/"),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("“”", '"'),
    "÷": r"\div ",
    "±": r"\pm ",
    "∞": r"\infty ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "٫": ".",
    "٬": ",",
    "π": r"\pi ",
    "θ": r"\theta ",
    "α": r"\alpha ",
    "β": r"\beta ",
    "γ": r"\gamma ",
    "λ": r"\lambda ",
    "φ": r"\phi ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
}
_RADICAL = re.compile(
    r"([√∛∜])\s*"
    r"(?:(\d+(?:\.\d+)?|[A-Za-z](?![A-Za-z]))(?![\w(]|\.\d|\s*\\pi)"  # one number or letter
    r"|(?=\())"  # or a group
)
_DEGREES = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_LEADING_DASH = re.compile("(?<![^(,=\\[{ ])[\u2013\u2014](?=[\\d.\\\\$(])")

_WRAPPERS = re.compile(
    r"\$\$(?P<a>[^$]*)\$\$|(?<!\\)\$(?P<b>[^$]*)(?<!\\)\$"
    r"|\\\((?P<c>(?:(?!\\\)).)*)\\\)|\\\[(?P<d>(?:(?!\\\]).)*)\\\]",
    re.DOTALL,
)
_WRAPPING_COMMAND = re.compile(r"\\(?:text|textbf|mathbf|boxed|fbox)\s*\{")
_DOLLAR = "\ue000"  # an escaped one, which is a currency
_ELLIPSIS = re.compile(r"\.\s*\.\s*$|…\s*$|\\[lc]?dots\s*$")  # of digits that go on
_MARKUP = re.compile(r"\*\*([^*\s](?:[^*]*[^*\s])?)\*\*(?=[\s.,;:!?]|$)")
_TEXT = "mbox|textrm|textnormal|textit|textbf|texttt|textsf|mathrm|mathit|mathsf|hbox|emph|text"
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])\s*\.?", " "),
        (r"\\(?:displaystyle|textstyle|limits|rm|mathstrut)(?![A-Za-z])", " "),
        (r"(?<=\d)(?:\\,|\s?\{\s*,\s*\}|,?\\!\s*,?)(?=\d{3}(?!\d))", ","),  # digits in threes
        (r"(?<!\\)\\!", ""),
        (r"\A~(?=[\d.$-])", r"\\approx "),
        (r"(?<!\\)\\(?:[,;:> ]|quad(?![A-Za-z])|qquad(?![A-Za-z])|thinspace(?![A-Za-z]))|~", " "),
        (r"\\h(?:space|phantom)\s*\{[^{}]*\}", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (
            rf"\\(?:{_TEXT})\s*\{{",
            r"\\text{",
        ),
        (r"\\(?:leq|leqslant|leqq)(?![A-Za-z])", r"\\le "),
        (r"\\(?:geq|geqslant|geqq)(?![A-Za-z])", r"\\ge "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\neq(?![A-Za-z])", r"\\ne "),
        (r"\\(?:varnothing|empty)(?![A-Za-z])", r"\\emptyset "),
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"\\(?:[lr]?vert|mid)(?![A-Za-z])", "|"),
        (r"\\(?:ast|star)(?![A-Za-z])", "*"),
        (
            r"\\(?:degree|textdegree)(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![A-Za-z])",
            r"^\\circ ",
        ),
        (r"\\%", "%"),
        (r"(?<=\d) ?[xX] ?(?=10 ?\^)", r"\\times "),
        (r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        (r"\\(?:mathbb|bf|mathbf)\s*\{?\s*R\s*\}?(?![A-Za-z])", r"\\mathbb{R}"),
        (r"\\(?:mathbf|boldsymbol|bm|vec)\s*\{([A-Za-z])\}", r"\1"),
        (r"\\operatorname\*?\s*\{(\w+)\}", r"\\\1 "),
        (r"\\(?:colon|ratio)(?![A-Za-z])", ":"),
        (r"(?<=[\w)}])\s*\*\*\s*(?=[\w({-])", "^"),
        (r"(?<![\d.,/^_}])(\d+) (\d+)/(\d+)(?![\d/.])", r"\1\\frac{\2}{\3}"),  # 2 1/2
        (r"\s+", " "),
    )
)
_OPTION = re.compile(r"^\(([A-Za-z])\)$")  # (B), of several offered
_PAIRED_DOLLARS = re.compile(r"(?<!\\)\$([^$]*)(?<!\\)\$")


def tidy(answer: str) -> str:
    r"""Return the answer in plain notation: without wrappers, markup, odd spaces and a full stop.

    Example:
        >>> tidy(r"$\left( \dfrac12,\ √2 \right)$.")
        '(\\frac12, \\sqrt{2})'
    """
    text, before = _characters(answer).replace(r"\$", _DOLLAR), None
    while text != before:
        before = text
        text = _MARKUP.sub(r"\1", text)
        if not _ELLIPSIS.search(text):
            text = text.rstrip(" .,;:")
        text = text.strip(" \t\n\r*_`'\"")
        if wrapped := _WRAPPERS.fullmatch(text):
            text = next(inside for inside in wrapped.groups() if inside is not None)
        elif _WRAPPING_COMMAND.match(text):
            text = _inside_command(text)
        elif len(re.findall(r"(?<!\\)\$", text)) % 2 == 0:
            text = _PAIRED_DOLLARS.sub(r" \1 ", text)
        for pattern, replacement in _REWRITES:
            text = pattern.sub(replacement, text)
        text = re.sub(r"(?<=[(\[]) | (?=[)\]])", "", text)
    return _OPTION.sub(r"\1", text).replace(_DOLLAR, "$")


def _inside_command(text: str) -> str:
    """Return what a command at the beginning of a text holds, where it holds all of it."""
    inside = text.index("{") + 1
    return text[inside:-1] if closing_brace(text, inside) == len(text) - 1 else text


def closing_brace(text: str, inside: int) -> int | None:
    """Return where the brace closes that was opened in front of a place; None where it does not."""
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[inside:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return inside + brace.start()
    return None


def _characters(answer: str) -> str:
    """Return the answer in ASCII where a character outside of it has one meaning only."""
    text = unicodedata.normalize("NFC", answer)
    if text.isascii():
        return text
    text = _raised_or_lowered(text, _SUPERSCRIPTS, "^")
    text = _raised_or_lowered(text, _SUBSCRIPTS, "_")
    text = "".join(map(_character, text))
    text = _RADICAL.sub(_radical, text)
    return _LEADING_DASH.sub("-", text)


def _raised_or_lowered(text: str, letters: dict[str, str], sign: str) -> str:
    """Return the text with each run of such letters as one exponent, or one index."""

    def plain(run: re.Match[str]) -> str:
        return sign + "{" + "".join(letters[letter] for letter in run.group()) + "}"

    return re.sub("[" + "".join(letters) + "]+", plain, text)


def _radical(match: re.Match[str]) -> str:
    sign, inside = _DEGREES[match[1]], match[2]
    return sign if inside is None else f"{sign}{{{inside}}}"


def _character(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter in _SIGNS:
        return _SIGNS[letter]
    category = unicodedata.category(letter)
    if category == "Nd":
        return str(unicodedata.decimal(letter))
    if category == "Cf":  # invisible
        return ""
    if category == "Zs":
        return " "
    plain = unicodedata.normalize("NFKC", letter)
    if category == "No" and "\u2044" in plain:
        above, below = plain.split("\u2044")
        return rf"\frac{{{above}}}{{{below}}}" if above and below else letter
    if "\uff01" <= letter <= "\uff5e" or letter in "﹪﹩":  # letters and signs of full width
        return plain
    return letter
