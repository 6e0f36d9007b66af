r"""Answers of the kinds that golds have, no two of the same meaning, and rules that respell them.

They are written for these tests. A rule changes how an answer is typed and not what it means: so
an answer must equal all its respellings, and no respelling of another answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

KINDS: dict[str, list[str]] = {
    "whole number": r"""
        0 | 1 | 2 | 17 | 42 | -3 | -17 | 100 | 128 | 999 | 1000 | 20300 | 10,\!236 | 1{,}000{,}000
        | 2520 | 31415926 | -1001 | 600851475143 | 2^{61} | 12345678901234567890
        | 12345678901234567891 | -999999 | 7 | 8 | 15 | 63 | 144 | 365 | 1729 | 5050 | 10^{30}
        | 10^{30}+1
    """.split("|"),
    "decimal": r"""
        0.5 | -0.5 | 0.05 | 3.14 | 3.14159 | 2.718 | 0.001 | 0.0001 | 1.23456 | 99.99 | -2.75
        | 0.125 | 6.02 \times 10^{23} | 1.6 \times 10^{-19} | 1.6 \times 10^{-20} | 0.333
        | 12.50001
    """.split("|"),
    "fraction": r"""
        \frac{1}{3} | \frac{2}{3} | -\frac{1}{3} | \frac{7}{9} | \frac{-7}{12} | \frac{23}{7}
        | \frac{355}{113} | \frac{1}{1000001} | \frac{1}{1000002} | \frac{m}{n} | \frac{n}{m}
        | \frac{x+1}{x-1} | \frac{x-1}{x+1} | 3\frac{1}{7} | -4\frac{2}{9} | \frac{5}{13}
        | \frac{9}{20} | \frac{17}{50} | -\frac{49}{6} | \frac{a+b}{2} | \frac{ab}{c}
        | \frac{1}{x^2+1} | \frac{3}{14} | \frac{4}{15}
    """.split("|"),
    "radical": r"""
        \sqrt{2} | \sqrt{3} | -\sqrt{3} | 2\sqrt{3} | 3\sqrt{2} | \frac{\sqrt{2}}{2}
        | \frac{\sqrt{3}}{3} | \sqrt[3]{2} | \sqrt[3]{4} | \sqrt[4]{2} | 5+2\sqrt{6} | 5-2\sqrt{6}
        | \sqrt{2}+\sqrt{3} | \frac{1+\sqrt{5}}{2} | \frac{1-\sqrt{5}}{2} | \sqrt{2+\sqrt{2}}
        | \sqrt{10} | 10\sqrt{10} | \sqrt{x} | \sqrt{x+1} | \sqrt{x}+1 | x\sqrt{x} | 6\sqrt[3]{12}
        | \sqrt{2} \cdot 10^{-9} | \sqrt{3} \cdot 10^{-9} | 4\sqrt{13} | \frac{7\sqrt{7}}{11}
    """.split("|"),
    "constant": r"""
        \pi | 2\pi | \frac{\pi}{2} | \frac{\pi}{3} | -\frac{\pi}{6} | 4\pi+2 | \pi^2 | 36\pi
        | 9\pi-18 | 2e | e^2 | e^{-1} | \ln 3 | \log_2 3 | \log_3 2 | \ln 2 + 1 | \sin 1 | \cos 1
        | \frac{4\pi}{3} | \sqrt{\pi}
    """.split("|"),
    "complex number": r"""
        5i | -i | 3+4i | 3-4i | -3+4i | \frac{1+i}{2} | 2i | \frac{\sqrt{3}}{2}+\frac{1}{2}i
        | e^{2i\pi/5} | 7-i\sqrt{2}
    """.split("|"),
    "polynomial": r"""
        x+1 | x-1 | 1-x | x^2 | x^2+1 | x^2-2x+1 | x^3-6x^2+11x-6 | 2x+3 | 3x+2 | x^2+y^2
        | x^2-y^2 | 2xy | x+y | 2a+3b | 3a+2b | a^2b | ab^2 | n(n+1)+5 | \frac{n(n+1)}{2}
        | \frac{n(n-1)}{2} | 5x^{10} | x^{100}-1 | -16t^2+64t | p-q | q-p | x_1+x_2 | 2^n
        | 2^{n+1} | n^2+n+41 | 10^{-9}x | 10^{-8}x
    """.split("|"),
    "function": r"""
        \sin x | \cos x | \tan x | \sin 2x | \sin^2 x | \sin(x^2) | e^x | e^{2x} | e^{-x} | \ln x
        | \log_2 x | @x@ | @x-1@ | \sqrt{x^2+1} | \arctan x | \frac{\sin x}{x} | x\ln x - x
    """.split("|"),
    "combinatorial": r" 7! | 12! | \binom{10}{3} | \binom{49}{6} | 8!-7 ".split("|"),
    "tuple": r"""
        (1,2) | (2,1) | (1,2,3) | (3,2,1) | (0,0) | (-1,5) | (5,-1)
        | \left(\frac{1}{2},\frac{3}{4}\right) | (\sqrt{2},1) | (3,\frac{\pi}{2}) | (x,y+1)
        | (1,2,3,4) | (12,5) | (1,25) | (10,-4,0) | (-7,\frac{1}{3}) | (2\sqrt{3},-2) | (6,31,-1)
        | (4,4\pi)
    """.split("|"),
    "interval": r"""
        [0,1) | (0,1] | [0,1] | [2,7] | (2,7) | (-\infty,3) | (-\infty,3] | (3,\infty)
        | [3,\infty) | (-\infty,\infty) | [-\frac{1}{2},\frac{5}{2}] | (-\infty,1)\cup(2,\infty)
        | (-\infty,1]\cup[2,\infty) | (0,1)\cup(1,2)\cup(2,3) | [\sqrt{2},3) | [-7,-3)
        | (0,\infty) | (-5,\frac{1}{4}) | (-\infty,-2)\cup(-2,\infty) | [10,20]
    """.split("|"),
    "set or list": r"""
        \{1,2\} | \{1,2,3\} | \{-1,1\} | \{2,4,8\} | 20, 300 | 3, 5, 7 | -2, 0, 9
        | \frac{1}{2}, \frac{3}{2} | \sqrt{5}, \sqrt{7} | 4\pm\sqrt{5} | 1, -6, 8
        | \{(1,2),(3,4)\} | \{(1,3),(2,4)\} | \emptyset | x^2, y^2 | 12, 34, 56, 78 | 11, 13
        | 0, 2, -4 | \{7\sqrt{2}, 9\} | 1, 2, 4, 8, 16 | \pi, 2 | 1\pm i
    """.split("|"),
    "matrix": r"""
        \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
        | \begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
        | \begin{pmatrix}0&-1\\1&0\end{pmatrix} | \begin{pmatrix}1&0&0\\0&1&0\\0&0&1\end{pmatrix}
        | \begin{pmatrix}1&0\\0&1\end{pmatrix} | \begin{pmatrix}\frac{1}{2}\\-7\end{pmatrix}
        | \begin{pmatrix}x&y\\y&x\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix}
        | \begin{pmatrix}-\frac{1}{3}&\sqrt{2}\\\pi&0\end{pmatrix}
        | \begin{pmatrix}16/49\\48/49\end{pmatrix}
    """.split("|"),
    "equation": r"""
        x^2+y^2=25 | x^2+y^2=26 | 2x+3y=6 | 2x+3y=7 | 3x+2y=6 | x-y+z=0 | (x-1)^2+(y+2)^2=9
        | y^2=4x | x^2=4y | 5x-7y+11z+4=0 | x^2+y^2<1 | x^2+y^2\le 1
    """.split("|"),
    "assignments": r" x=1, y=2 | x=2, y=1 | a=3, b=-4, c=5 | a=-4, b=3, c=5 ".split("|"),
    "base": r"""
        2516_8 | 2516_7 | 1011_2 | 1011_3 | 110_4 | 3A_{16} | 204_5 | 4210_5 | 777_8 | 12_{11}
    """.split("|"),
    "text": r"""
        \text{even} | \text{odd} | \text{yes} | \text{no} | \text{Evelyn} | \text{June 20}
        | \text{June 21} | \text{ellipse} | \text{hyperbola} | \text{(C)} | \text{(D)}
        | \text{undefined} | \text{east} | 3:30 | 3:35 | 5:7 | \text{neither} | \text{Monday}
        | \text{two} | \text{4 dozen} | \text{red and blue} | \text{12 or more} | 7\text{ million}
        | \text{9:00 a.m.} | \text{9:00 p.m.} | \text{5 ft 3 in} | \text{square} | \text{Tuesday}
        | \text{12:15} | \text{blue} | \text{all real numbers} | \text{7th}
    """.split("|"),
    "with a unit": r"""
        14\text{ apples} | 864\mbox{ inches}^2 | 18\pi\text{ cm}^2 | 7.25\text{ dollars}
        | \$32{,}348 | 65\% | 135^\circ | 8\sqrt{5}\text{ units} | 29 \text{ m/s}
        | \frac{11}{17}\text{ hour} | 1\frac{5}{8} \text{ cups} | 53\text{ square feet}
        | 5.4\text{ cents} | 71\text{ mph} | 13.5\text{ kg} | 6250\text{ years}
        | 2.4 \text{ liters} | 33\text{ cm}^3 | \$9.95 | 48^\circ | 97.5\% | 26\text{ minutes}
        | 107\text{ pounds}
    """.split("|"),
}
# @ stands for the bar of an absolute value
GOLDS = {kind: [gold.replace("@", "|").strip() for gold in golds] for kind, golds in KINDS.items()}


def every() -> Iterator[tuple[str, str]]:
    """Each answer, with its kind."""
    for kind, golds in GOLDS.items():
        for gold in golds:
            yield kind, gold


# Rules. A rule that does not apply to an answer returns it as it is.

Rule = Callable[[str, str], str]


def in_dollars(kind: str, gold: str) -> str:
    return f"${gold}$"


def in_display(kind: str, gold: str) -> str:
    return rf"\[ {gold} \]"


def boxed(kind: str, gold: str) -> str:
    return rf"\boxed{{{gold}}}"


def full_stop(kind: str, gold: str) -> str:
    return f" {gold}. "


def bold(kind: str, gold: str) -> str:
    return f"**{gold}**"


def spaced(kind: str, gold: str) -> str:
    """Spaces around signs and brackets."""
    if kind in ("text", "base", "with a unit", "whole number"):
        return gold
    return re.sub(r"(?<!\\)([-+=(),&^<]|\\\\)(?!\\\\)", r" \1 ", gold)


def thin_spaces(kind: str, gold: str) -> str:
    if kind == "text":
        return gold
    return re.sub(r"(?<=[,=+])(?!\\!|\d{3}|\}|\\\\)", r"\\,", gold)


def tight(kind: str, gold: str) -> str:
    """No spaces but those that a command needs."""
    return (
        gold
        if kind in ("text", "with a unit") or "," in gold or "log" in gold
        else re.sub(r"(?<=[^A-Za-z\\]) | (?=[^A-Za-z0-9])", "", gold)
    )


def large_fractions(kind: str, gold: str) -> str:
    return gold.replace(r"\frac", r"\dfrac")


def text_fractions(kind: str, gold: str) -> str:
    return gold.replace(r"\frac", r"\tfrac")


def short_fractions(kind: str, gold: str) -> str:
    r"""\frac12 for \frac{1}{2}, where nothing follows that would be read with it."""
    return re.sub(r"\\frac\{(\d)\}\{(\d)\}(?![\d])", r"\\frac\1\2", gold)


def short_roots(kind: str, gold: str) -> str:
    return re.sub(r"\\sqrt\{(\d)\}(?!\d)", r"\\sqrt\1", gold)


def sized_brackets(kind: str, gold: str) -> str:
    if r"\left" in gold or kind == "text":
        return gold
    if "sqrt[" in gold:
        return gold
    opened = re.sub(r"[(\[]", r"\\left\g<0>", gold)
    return re.sub(r"[)\]]", r"\\right\g<0>", opened)


def without_sizes(kind: str, gold: str) -> str:
    return gold.replace(r"\left", "").replace(r"\right", "")


def square_matrix(kind: str, gold: str) -> str:
    return gold.replace("pmatrix", "bmatrix")


def array(kind: str, gold: str) -> str:
    opened = gold.replace(r"\begin{pmatrix}", r"\left(\begin{array}{ccc}")
    return opened.replace(r"\end{pmatrix}", r"\end{array}\right)")


def matrix_lines(kind: str, gold: str) -> str:
    return gold.replace(r"\\", " \\\\\n  ") if kind == "matrix" else gold


def mbox(kind: str, gold: str) -> str:
    return gold.replace(r"\text{", r"\mbox{").replace(r"\mbox{", r"\mathrm{", 1)


def without_text(kind: str, gold: str) -> str:
    return re.sub(r"\\text\{([^{}]*)\}", r"\1", gold) if kind == "text" else gold


def without_unit(kind: str, gold: str) -> str:
    if kind != "with a unit":
        return gold
    return re.sub(r"\s*\\(?:text|mbox)\{[^{}]*\}(\^\d)?|\\%|\^\\circ|\\\$", "", gold)


def plain_unit(kind: str, gold: str) -> str:
    """The unit in plain words, behind a number."""
    if kind != "with a unit" or "sqrt" in gold:
        return gold
    return re.sub(r"\\(?:text|mbox)\{([^{}]*)\}", r"\1", gold)


def unit_after(kind: str, gold: str) -> str:
    """A unit, where there was none."""
    numbers = ("whole number", "fraction", "decimal", "radical")
    if kind not in numbers or re.search(r"[abcmnx+]", gold.replace(r"\frac", "")):
        return gold
    return rf"{gold}\text{{ meters}}"


def named(kind: str, gold: str) -> str:
    kinds = ("whole number", "decimal", "fraction", "radical", "constant")
    return f"z = {gold}" if kind in kinds else gold


def in_it(kind: str, gold: str) -> str:
    return rf"z \in {gold}" if kind == "interval" else gold


END = r"[^,\\]*|-?\\frac\{\d\}\{\d\}"


def as_inequality(kind: str, gold: str) -> str:
    match = re.fullmatch(
        rf"([(\[])({END}|-\\infty),({END}|\\infty)([)\]])",
        gold,
    )
    if kind != "interval" or not match or gold == r"(-\infty,\infty)":
        return gold
    opener, low, high, closer = match.groups()
    below = "" if "infty" in low else f"{low} {'<' if opener == '(' else chr(92) + 'le'} "
    above = "" if "infty" in high else f" {'<' if closer == ')' else chr(92) + 'leq'} {high}"
    return f"{below}x{above}"


def reordered(kind: str, gold: str) -> str:
    """Another order, where order does not matter."""
    if kind == "interval" and r"\cup" in gold:
        return r" \cup ".join(reversed(gold.split(r"\cup")))
    if kind == "assignments":
        return ", ".join(reversed(gold.split(", ")))
    inside = gold.removeprefix(r"\{").removesuffix(r"\}")
    if kind != "set or list" or "(" in gold or "," not in gold:
        return gold
    turned = ", ".join(reversed(inside.split(",")))
    return turned if inside == gold else rf"\{{{turned}\}}"


def set_or_list(kind: str, gold: str) -> str:
    """A set as a list, and a list as a set."""
    if kind != "set or list" or "pm" in gold or "," not in gold or r"\emptyset" in gold:
        return gold
    return gold[2:-2] if gold.startswith(r"\{") else rf"\{{{gold}\}}"


def list_in_words(kind: str, gold: str) -> str:
    if kind != "set or list" or "(" in gold or gold.count(",") != 1:
        return gold
    first, second = gold.removeprefix(r"\{").removesuffix(r"\}").split(",")
    return rf"{first} \text{{ and }} {second}"


def both_signs(kind: str, gold: str) -> str:
    if r"\pm" not in gold:
        return gold
    return ", ".join(gold.replace(r"\pm", sign) for sign in "+-")


def moved_over(kind: str, gold: str) -> str:
    """An equation with everything on one side."""
    if kind != "equation" or "=" not in gold:
        return gold
    left, right = gold.split("=")
    return f"0 = {left} - ({right})"


def multiplied(kind: str, gold: str) -> str:
    if kind != "equation" or "=" not in gold:
        return gold
    left, right = gold.split("=")
    return f"-3({left}) = -3({right})"


def sum_turned(kind: str, gold: str) -> str:
    """b + a for a + b, at the first plus outside of all brackets."""
    is_sum = re.fullmatch(r"[^-+({]*\+[^-+(]*", gold)
    if kind not in ("polynomial", "radical", "constant") or not is_sum:
        return gold
    first, second = gold.split("+", 1)
    return f"{second}+{first}"


def times_one(kind: str, gold: str) -> str:
    kinds = ("whole number", "fraction", "radical", "constant", "complex number", "polynomial")
    if kind not in kinds or re.search(r"\\!|\{,\}|\d\\frac", gold):
        return gold
    return rf"\frac{{2 \cdot ({gold})}}{{2}}"


def unicode_signs(kind: str, gold: str) -> str:
    if kind == "text":
        return gold
    for command, sign in (
        (r"\pi", "π"),
        (r"\infty", "∞"),
        (r"\cup", "∪"),
        (r"\cdot", "·"),
        (r"\times", "×"),
        (r"\le ", "≤ "),
        (r"\pm", "±"),
    ):
        gold = re.sub(re.escape(command) + r"(?![A-Za-z])", sign, gold)
    gold = gold.replace(r"^\circ", "°") if r"\text" not in gold else gold
    gold = re.sub(r"\\sqrt\{(\d+)\}(?![\w.(π])", r"√\1", gold)
    return re.sub(r"(?<=\w)\^2(?!\d)", "²", gold).replace("-", "\u2212")


def base_in_braces(kind: str, gold: str) -> str:
    return re.sub(r"_(\d)$", r"_{\1}", gold) if kind == "base" else gold


def base_in_words(kind: str, gold: str) -> str:
    return re.sub(r"_\{?(\d+)\}?$", r" \\text{ (base \1)}", gold) if kind == "base" else gold


def wide_digits(kind: str, gold: str) -> str:
    if kind not in ("whole number", "decimal", "fraction"):
        return gold
    return gold.translate({ord(digit): chr(0xFF10 + int(digit)) for digit in "0123456789"})


def capitals(kind: str, gold: str) -> str:
    if kind != "text":
        return gold
    return re.sub(r"\{[^{}]*\}", lambda match: match.group().upper(), gold)


RULES: tuple[Rule, ...] = (
    in_dollars,
    in_display,
    boxed,
    full_stop,
    bold,
    spaced,
    thin_spaces,
    tight,
    large_fractions,
    text_fractions,
    short_fractions,
    short_roots,
    sized_brackets,
    without_sizes,
    square_matrix,
    array,
    matrix_lines,
    mbox,
    without_text,
    without_unit,
    plain_unit,
    unit_after,
    named,
    in_it,
    as_inequality,
    reordered,
    set_or_list,
    list_in_words,
    both_signs,
    moved_over,
    multiplied,
    sum_turned,
    times_one,
    unicode_signs,
    base_in_braces,
    base_in_words,
    wide_digits,
    capitals,
)


def respellings(kind: str, gold: str) -> list[str]:
    """The answer itself, by each rule, and by two of a few of them, without repetitions."""
    found = [gold, *(rule(kind, gold) for rule in RULES)]
    for first in (large_fractions, spaced, reordered, unicode_signs, without_sizes, thin_spaces):
        for second in (in_dollars, boxed, spaced, full_stop):
            found.append(second(kind, first(kind, gold)))
    return list(dict.fromkeys(found))
