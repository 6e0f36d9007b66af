"""Two things have one mark exactly if they do the same, as far as that can be told from outside."""

from __future__ import annotations

import functools
import operator
import re
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from enum import Enum

import jax
import numpy as np
import pytest
import torch

from motes.models import Cost, FunctionReward, Sampling, StepRule, TableLM, Trajectory, identity
from motes.models.identity import identify

SIGN = 1.0
TABLE = {"weights": [1.0, 2.0]}


def mark(value):
    found = identify(value)
    assert found.doubts == ()
    return found.text


def scaled(factor):
    return lambda x: factor * x


def calling(function):
    return lambda x: function(x) + 1


def listed(values):
    return lambda x: values[0] * x


def by_default(factor):
    return lambda x, factor=factor: factor * x


def by_keyword(factor):
    def f(x, *, factor=factor):
        return factor * x

    return f


def with_nested(constant):
    source = (
        f"def f(x):\n    def g(y):\n        return [y * {constant} for _ in range(2)]\n    return "
        "g(x)"
    )
    within: dict = {}
    exec(source, within)
    return within["f"]


def through_a_global(factor):
    """A function that calls another one of its module, which alone knows the factor."""
    within: dict = {}
    exec(f"FACTOR = {factor}\ndef g(x):\n    return FACTOR * x\ndef f(x):\n    return g(x)", within)
    return within["f"]


def recursive(factor):
    def f(x):
        return 1 if x < 1 else factor * f(x - 1)

    return f


def mutual(factor):
    within: dict = {}
    exec(
        f"def f(x):\n    return g(x)\ndef g(x):\n    return {factor} if x < 1 else f(x - 1)", within
    )
    return within["f"]


class Scaled:
    def __init__(self, factor):
        self._factor = factor

    def __call__(self, x):
        return self._factor * x

    def method(self, x):
        return self(x)


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


@dataclass(frozen=True)
class Setting:
    factor: float
    table: tuple = ()


class Kind(Enum):
    PLUS = 1.0
    MINUS = -1.0


class Dictionary(dict):
    pass


def of_class(factor, base=object):
    """A class whose method knows the factor."""

    class Judge(base):
        def method(self, x):
            return self.helper(x)

        @staticmethod
        def helper(x):
            return factor * x

    return Judge


def inheriting(factor):
    class Judge(of_class(factor)):
        pass

    return Judge()


def with_attribute(factor):
    def f(x):
        return f.factor * x

    f.factor = factor
    return f


def cached(factor):
    return functools.lru_cache(lambda x: factor * x)


def decorated(factor):
    inner = scaled(factor)

    @functools.wraps(inner)
    def outer(x):
        return inner(x)

    return outer


def tensor(factor):
    values = torch.zeros(100, 100, dtype=torch.bfloat16)
    return lambda x: x * (values + factor)


def linear(factor):
    torch.manual_seed(0)
    layer = torch.nn.Linear(300, 300)
    with torch.no_grad():
        layer.weight *= factor
    return layer


SAME_AND_DIFFERENT = [
    scaled,
    listed,
    by_default,
    by_keyword,
    with_nested,
    through_a_global,
    recursive,
    mutual,
    Scaled,
    Slotted,
    Setting,
    inheriting,
    with_attribute,
    cached,
    decorated,
    tensor,
    linear,
    lambda v: listed([v]),
    lambda v: listed({0: v}),
    lambda v: listed(np.array([v])),
    lambda v: listed(np.array([v, None], object)),
    lambda v: listed(jax.numpy.array([v])),
    lambda v: listed((Setting(1.0, (v,)),)),
    lambda v: calling(scaled(v)),
    lambda v: calling(calling(Scaled(v))),
    lambda v: Scaled(v).method,
    lambda v: of_class(v)().method,
    lambda v: of_class(v).helper,
    lambda v: functools.partial(operator.mul, v),
    lambda v: functools.partial(scaled(v), 1),
    lambda v: [scaled(v), 1],
    lambda v: {"a": scaled(v)},
    lambda v: Dictionary(a=v),
    lambda v: re.compile(f"a{v}"),
    lambda v: operator.itemgetter(int(v)),
    lambda v: Kind(v) if v == 1.0 else Kind.MINUS,
    lambda v: {v: 1, "other": 2}.get,
    lambda v: {5, v},
    lambda v: Sampling(temperature=v),
    lambda v: StepRule(predicate=lambda text: len(text) > v),
    lambda v: FunctionReward(scaled(v)),
    lambda v: TableLM(lambda prefix: [v, 1.0]),
    lambda v: Trajectory(question="?").child("", (int(v),), logprob=0.0, proposal_logprob=0.0),
    lambda v: complex(0, v),
    lambda v: np.float32(v),
    lambda v: range(int(v)),
]


@pytest.mark.parametrize("make", SAME_AND_DIFFERENT)
def test_marks_tell_what_does_something_else(make):
    first, again, other = mark(make(1.0)), mark(make(1.0)), mark(make(2.0))
    assert first == again != other


def test_globals_count_in_whatever_code_reads_them(monkeypatch):
    def reading():
        return [
            identify(lambda x: SIGN * x).text,
            identify(lambda x: [SIGN * y for y in x]).text,
            identify(lambda x: TABLE["weights"][0] * x).text,
            identify(calling(lambda x: SIGN + TABLE["weights"][1] * x)).text,
        ]

    before = reading()
    assert reading() == before
    monkeypatch.setitem(globals(), "SIGN", -1.0)
    assert [one == other for one, other in zip(before, reading(), strict=True)] == [
        False,
        False,
        True,
        False,
    ]
    monkeypatch.setitem(globals(), "SIGN", 1.0)
    monkeypatch.setitem(TABLE, "weights", [-1.0, -2.0])
    assert [one == other for one, other in zip(before, reading(), strict=True)] == [
        True,
        True,
        False,
        False,
    ]


at_the_top = lambda x: x + 1


def test_where_a_function_is_written_does_not_count():
    within: dict = {}
    exec("\n\n\ndef another_name(x):\n    # a comment\n    return x + 1", within)
    marks = [
        mark(each).split()[-1] for each in (at_the_top, lambda x: x + 1, within["another_name"])
    ]
    assert len(set(marks)) == 1


def test_order_and_arguments_count_where_they_mean_something():
    assert mark(lambda a, b: a - b) != mark(lambda b, a: a - b)
    assert mark({"a": 1, "b": 2}) == mark({"b": 2, "a": 1}) and mark([1, 2]) != mark([2, 1])
    assert mark(lambda x: x < 1) != mark(lambda x: x > 1) and mark(lambda x: x.depth) != mark(
        lambda x: x.logprob
    )
    assert mark(scaled(1)) != mark(scaled(True)) and mark(scaled("1")) != mark(scaled(1))
    assert mark(["ab", "c"]) != mark(["a", "bc"]) and mark([]) != mark(())


def modules(folder, factor):
    """A user's package of two modules: what is called is imported in every way."""
    package = folder / "own_rules"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(f"FACTOR = {factor}\ndef g(x):\n    return FACTOR * x\n")
    outer = """
        from . import inner
        from .inner import g
        import own_rules.inner as also
        def by_name(x):
            return g(x)
        def by_module(x):
            return inner.g(x)
        def by_other_name(x):
            return also.g(x)
        def late(x):
            from own_rules.inner import g
            return g(x)
        def late_and_relative(x):
            from .inner import g
            return g(x)
        def unrelated(x):
            return x
    """
    (package / "outer.py").write_text(textwrap.dedent(outer))


PRINTED = """
import sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from motes.models.identity import identify
from own_rules import outer
names = "by_name by_module by_other_name late late_and_relative unrelated".split()
sets = [{"alpha", "beta", "gamma"}, lambda x: x in {"alpha", "beta", "gamma"}]
print(*[identify(getattr(outer, name)).text.split()[-1] for name in names])
print(*[identify(each).text.split()[-1] for each in sets])
"""


def test_marks_are_the_same_in_every_process_and_follow_imports(tmp_path):
    def printed():
        command = [sys.executable, "-c", PRINTED, tmp_path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    modules(tmp_path, 1.0)
    first, again = printed(), printed()
    modules(tmp_path, -1.0)
    other = printed()
    assert first == again
    assert [one == two for one, two in zip(first, other, strict=True)] == [False] * 5 + [True] * 3


class Counting:
    """A user's reward model, which counts and remembers."""

    name = "counting"

    def __init__(self, factor):
        self.factor, self.cost = factor, Cost()
        self._set_up()
        self.calls = 0

    def _set_up(self):
        self.doubled = 2 * self.factor

    def score(self, trajectories):
        self.calls += 1
        self.cost += Cost(prm_tokens=1)
        return np.full(len(trajectories), self.doubled)


def test_what_changes_as_it_runs_is_not_compared_but_said():
    one, other = Counting(1.0), Counting(2.0)
    before = identify(one)
    one.score([1])
    assert identify(one) == before and identify(other).text != before.text
    assert (
        before.doubts == ("Counting.calls, which changes as it runs",) and before.name == "counting"
    )


class Remembering:
    """A user's reward model that keeps what it was asked, in every way."""

    name = "remembering"

    def __init__(self, factor):
        self.table = {"factor": factor}
        self.cache, self.asked, self.seen, self.last, self.counts = {}, [], set(), {}, {}

    def score(self, trajectories):
        scores = np.zeros(len(trajectories))
        for i, x in enumerate(trajectories):
            self.cache[x, i + 1] = self.table["factor"]
            self.asked.append(x)
            self.seen.add(x)
            self.last.update(x=x)
            self.counts[x] = self.counts.get(x, 0) + 1
            scores[i] = self.table["factor"]
        return scores


def test_what_a_model_remembers_is_not_compared_but_what_it_reads_is():
    one, other = Remembering(1.0), Remembering(2.0)
    before = identify(one)
    one.score(["a", "b"])
    assert one.cache and identify(one) == before != identify(other)
    changing = {doubt.split(",")[0].removeprefix("Remembering.") for doubt in before.doubts}
    assert changing == {"cache", "asked", "seen", "last", "counts"}


class Further(FunctionReward):
    """Ours, with something added."""

    def __init__(self, fn, offset):
        super().__init__(fn)
        self.offset = offset

    def score(self, trajectories):
        return super().score(trajectories) + self.offset


def test_what_a_user_adds_to_our_models_counts():
    assert mark(Further(abs, 1.0)) == mark(Further(abs, 1.0)) != mark(Further(abs, 2.0))
    used = Further(lambda x: 0.0, 1.0)
    before = mark(used)
    used.score([Trajectory(question="?")])
    assert mark(used) == before


@pytest.mark.parametrize(
    "unknowable", [threading.Lock(), (x for x in [1])], ids=["lock", "generator"]
)
def test_what_cannot_be_known_is_said(unknowable):
    found = identify(lambda x: (unknowable, x))
    assert len(found.doubts) == 1 and found.name is None


def test_a_fingerprint_speaks_for_itself():
    lock = threading.Lock()

    def f(x):
        with lock:
            return x

    assert identify(f).doubts
    f.fingerprint = "first"
    first = mark(f)
    assert mark(calling(f)) != mark(calling(abs))
    f.fingerprint = "second"
    assert mark(f) != first
    f.fingerprint = 3
    with pytest.raises(TypeError, match="fingerprint of .*f must be a text, not 3"):
        identify(f)


def test_long_chains_of_objects_do_not_end_a_run():
    nested = None
    for _ in range(5_000):
        nested = [nested]
    assert identify(listed(nested)).doubts


def test_names_are_asked_for_and_what_rests_on_them_is_said():
    known = {"answer": identify(abs), "prm": identify(Counting(1.0))}
    with pytest.warns(RuntimeWarning) as said:
        identity.check_vouched(known, "checkpoint")
    [warning] = said
    assert str(warning.message).startswith(
        "checkpoint takes your word that prm='counting' does the same whenever it has this name"
    )
    lock = threading.Lock()
    unknown = {"answer": identify(lambda x: lock)}
    with pytest.raises(
        ValueError,
        match="give it an attribute `name`, a text that you change whenever what it does changes",
    ):
        identity.check_vouched(unknown, "checkpoint")
