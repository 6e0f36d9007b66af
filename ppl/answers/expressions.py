r"""A reader of expressions: LaTeX and plain notation to a tree.

It reads what can be read in one way only, and raises `Unread` for everything else: `1/2x` (is x
above or below?), `\log_28`, `2\frac{3}{2}` (a sum or a product?), two numbers side by side, a
function of `2(x+1)` without brackets, words. An expression that is not read counts as text, which
is equal to itself alone; one that is read wrongly would be counted with what it isn't.

    sum       [sign] product (sign product)*
    product   chain ((times | over) [sign] chain)*      after "over", of one factor
    chain     power power*                              multiplied
    power     atom ["!"] ["^" exponent]
    atom      number | letter | group | fraction | root | function | |sum| | binomial
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, TypeAlias

Node: TypeAlias = tuple[Any, ...]
"""An operation and its operands: ("number", 2), ("letter", "x"), ("add", node, node), ..."""

LONGEST = 400  # characters of an expression
DEEPEST = 40  # brackets within brackets


class Unread(ValueError):
    """What is written cannot be read, or not in one way only."""


_TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc")
_INVERSE = {
    **{f"arc{name}": f"arc{name}" for name in _TRIGONOMETRIC},
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan")},
}
_FUNCTIONS = {*_TRIGONOMETRIC, *_INVERSE, "sinh", "cosh", "tanh", "ln", "log", "exp"}
_GREEK = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi rho sigma
    tau phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell
""".split()
_NAMES = "|".join(sorted({*_FUNCTIONS, "sqrt", "pi", *_GREEK}, key=len, reverse=True))
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{{1,4}}(?![\d.]))?)"
    rf"|(?P<command>\\[A-Za-z]+|\\[{{}}|])|(?P<name>(?<![A-Za-z])(?:{_NAMES})(?![A-Za-z]))"
    rf"|(?P<letter>[A-Za-z])|(?P<sign>[-+*/^_(){{}}\[\]|!])"
)
_SHORT_WORDS = (
    "[ai]s|at|by|i[fns]|no|o[fnr]|so|to|am|pm|and|the|for|not|yes|one|two|six|ten|per|all|any|are"
    "|was|has|had|but|out|off|net|sum|day|man|men|cup|egg|car|box|dog|cat|hat|bus|pen|age|set|its"
)
_WORDS = re.compile(rf"[A-Za-z]{{4}}|(?<![A-Za-z])(?:{_SHORT_WORDS})(?![A-Za-z])")
_NOT_WORDS = re.compile(rf"\\[A-Za-z]+|(?<![A-Za-z])(?:{_NAMES})(?![A-Za-z])")
_TIMES = {"*", r"\cdot", r"\times"}
_OVER = {"/", r"\div"}
_CLOSERS = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_CONSTANTS = {r"\pi": "pi", "e": "e", "i": "i"}
_CALLED = "fgh"  # letters that stand for functions: f(x) is not f times x


def read_expression(text: str) -> Node:
    """Return the tree of an expression.

    Args:
        text: in plain notation; see `motes.ppl.answers.notation.tidy`.

    Raises:
        Unread: it is none, or can be read in several ways.

    Example:
        >>> read_expression("x + 2")
        ('add', ('letter', 'x'), ('number', Fraction(2, 1)))
    """
    return _Reader(_tokens(text)).whole()


def _tokens(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise Unread(f"it has more than {LONGEST} characters")
    without_indices = re.sub(r"_\s*\{[^{}]*\}", " ", text)
    if _WORDS.search(_NOT_WORDS.sub(" ", without_indices)):
        raise Unread("it has words")
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unread(f"{text[position]!r} is no sign of an expression")
        position = match.end()
        if match.lastgroup == "name":
            tokens.append("\\" + match.group())
        elif match.lastgroup != "space":
            tokens.append(match.group())
    return tokens


def _is_number(token: str | None) -> bool:
    return token is not None and token[0] in "0123456789."


def _is_letter(token: str | None) -> bool:
    return token is not None and (token.isalpha() or token[1:] in _GREEK)


class _Reader:
    """Reads tokens from left to right; one method for each line of the grammar above."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.in_bars = False

    @property
    def next(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self) -> str:
        if self.next is None:
            raise Unread("it ends too early")
        self.position += 1
        return self.tokens[self.position - 1]

    def skip(self, expected: str) -> bool:
        """Take the next token if it is this one, and say whether it was."""
        if self.next != expected:
            return False
        self.position += 1
        return True

    def need(self, expected: str) -> None:
        if not self.skip(expected):
            raise Unread(f"{expected!r} is missing")

    def whole(self) -> Node:
        node = self.sum()
        if self.next is not None:
            raise Unread(f"{self.next!r} stands where nothing should")
        return node

    def sum(self) -> Node:
        negative = self.signs()
        node = self.product()
        node = ("negative", node) if negative else node
        while self.next in ("+", "-"):
            negative = self.signs()
            other = self.product()
            node = ("add", node, ("negative", other) if negative else other)
        return node

    def signs(self) -> bool:
        """Take all signs, and say whether they make a minus."""
        negative = False
        while self.next in ("+", "-"):
            negative ^= self.take() == "-"
        return negative

    def product(self) -> Node:
        node, _ = self.chain()
        while self.next in _TIMES or self.next in _OVER:
            over = self.take() in _OVER
            negative = self.signs()
            other, factors = self.chain()
            if over and factors > 1:
                raise Unread("behind '/', the first factor alone may be below, or all of them")
            node = (
                "divide" if over else "multiply",
                node,
                ("negative", other) if negative else other,
            )
        return node

    def chain(self) -> tuple[Node, int]:
        """Read factors side by side; return their product and their number."""
        node, count = self.power(), 1
        if node[0] == "number" and self.next == r"\frac":
            fraction = self.power()
            if _is_plain_fraction(fraction):
                node = _mixed(node, fraction)
            else:
                node, count = ("multiply", node, fraction), 2
        while self.opens_factor():
            if _is_number(self.next):
                raise Unread("a number stands behind a factor")
            if node[0] == "letter" and str(node[1]) in _CALLED and self.next == "(":
                raise Unread("a function of which nothing is known")
            node, count = ("multiply", node, self.power()), count + 1
        return node, count

    def opens_factor(self) -> bool:
        token = self.next
        if token is None:
            return False
        if token == "|":
            return not self.in_bars
        return (
            _is_number(token)
            or _is_letter(token)
            or token in _CLOSERS
            or token in (r"\frac", r"\sqrt", r"\binom", r"\pi")
            or token[1:] in _FUNCTIONS
        )

    def power(self) -> Node:
        node = self.atom()
        if self.skip("!"):
            node = ("factorial", node)
        if self.skip("^"):
            node = ("degrees", node) if self.skip(r"\circ") else ("power", node, self.exponent())
        if self.next in ("^", "!", "_"):
            raise Unread(f"{self.next!r} stands behind a power, a factorial or an index")
        return node

    def exponent(self) -> Node:
        negative = self.signs()
        bare = _is_number(self.next)
        node = self.atom() if bare or self.next in _CLOSERS else self.argument()
        if bare and self.next == "/" and node[1] == 1:
            raise Unread("x^1/2 may be a root")
        return ("negative", node) if negative else node

    def atom(self) -> Node:
        token = self.next
        if _is_number(token):
            return ("number", Fraction(self.take()))
        if token == "|" and not self.in_bars:
            return self.absolute()
        if token in _CLOSERS:
            return self.group()
        if token in _CONSTANTS:
            return ("constant", _CONSTANTS[self.take()])
        if _is_letter(token):
            return ("letter", self.letter())
        if token == r"\frac":
            return ("divide", *self.two_arguments())
        if token == r"\sqrt":
            return self.root()
        if token == r"\binom":
            return ("binomial", *self.two_arguments())
        if token is not None and token[1:] in _FUNCTIONS:
            return self.function()
        raise Unread(f"{token!r} is not known here")

    def group(self) -> Node:
        """Return a sum in brackets."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unread(f"it has more than {DEEPEST} brackets within brackets")
        opener, in_bars = self.take(), self.in_bars
        self.in_bars = False
        node = self.sum()
        self.need(_CLOSERS[opener])
        self.in_bars, self.depth = in_bars, self.depth - 1
        return ("call", opener[1:], node) if opener in (r"\lfloor", r"\lceil") else node

    def absolute(self) -> Node:
        self.need("|")
        self.in_bars = True
        node = self.sum()
        self.in_bars = False
        self.need("|")
        return ("call", "abs", node)

    def argument(self) -> Node:
        r"""Return what a command takes: a group in braces, or one digit or letter."""
        token = self.next
        if token == "{":
            return self.group()
        if _is_number(token) and token != "." and len(str(token)) > 1:
            raise Unread(f"where {token} ends as an argument is not sure")
        if _is_number(token) or _is_letter(token) or token == r"\pi":
            return self.atom()
        if token in (r"\frac", r"\sqrt"):
            return self.atom()
        raise Unread(f"{token!r} is no argument")

    def letter(self) -> str:
        """Return the name of a letter, with its index."""
        name = self.take()
        if not self.skip("_"):
            return name
        if not self.skip("{"):
            return f"{name}_{self.take()}"
        index: list[str] = []
        while self.next != "}" or index.count("{") > index.count("}"):
            index.append(self.take())
        self.need("}")
        return f"{name}_{''.join(index)}"

    def two_arguments(self) -> tuple[Node, Node]:
        r"""Return what \frac and \binom take, which may be two digits without a space."""
        self.take()
        token = self.next
        if token is not None and token.isdigit() and len(token) == 2:
            first, second = self.take()
            return ("number", Fraction(first)), ("number", Fraction(second))
        return self.argument(), self.argument()

    def root(self) -> Node:
        self.take()
        degree: Node = ("number", Fraction(2))
        if self.next == "[":
            degree = self.group()
        return ("root", degree, self.group() if self.next == "(" else self.argument())

    def function(self) -> Node:
        name = self.take()[1:]
        name, exponent, base = _INVERSE.get(name, name), None, None
        while self.next in ("^", "_"):
            if self.take() == "^":
                exponent = self.exponent()
            elif name == "log":
                base = self.argument()
            else:
                raise Unread(f"{name} has no base")
        if exponent in (("negative", ("number", 1)), ("number", -1)):
            if name not in _TRIGONOMETRIC:
                raise Unread(f"the power -1 of {name} may be its inverse")
            name, exponent = f"arc{name}", None
        argument = self.operand()
        node = ("call", name, argument) if base is None else ("log", base, argument)
        return node if exponent is None else ("power", node, exponent)

    def operand(self) -> Node:
        """Return what a function is of: a group, or the factors up to the next function."""
        if self.next in _CLOSERS or self.next == "|":
            return self.absolute() if self.next == "|" else self.group()
        node = self.power() if self.opens_factor() else None
        if node is None:
            raise Unread("a function of nothing")
        while self.opens_factor() and str(self.next)[1:] not in _FUNCTIONS:
            if self.next in _CLOSERS or self.next == "|" or _is_number(self.next):
                raise Unread("where the operand of a function ends is not sure")
            node = ("multiply", node, self.power())
        if self.next in _OVER:
            raise Unread("where the operand of a function ends is not sure")
        return node


def _is_plain_fraction(node: Node) -> bool:
    if node[0] != "divide":
        return False
    return all(part[0] == "number" and part[1].denominator == 1 for part in node[1:])


def _mixed(whole: Node, fraction: Node) -> Node:
    """Return a whole number and a proper fraction side by side, which are added."""
    above, below = fraction[1][1], fraction[2][1]
    if whole[1].denominator != 1 or not 0 < above < below:
        raise Unread("a number and an improper fraction side by side may be a sum or a product")
    return ("add", whole, fraction)
