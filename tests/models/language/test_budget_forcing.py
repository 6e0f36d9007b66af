"""Budget forcing: the law of what comes out, enumerated; a hosted model that is cut short."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest
from searches import fits

import motes
from motes.models import BudgetForcing, TableLM, load_lm
from motes.models.pocket import problems

WAIT, FINAL, EOS = 3, 4, 2


class Silent(TableLM):
    """A table whose end of text has no text, as that of tokenizers."""

    def _child(self, trajectory, token, sampling, prior):
        child = super()._child(trajectory, token, sampling, prior)
        return replace(child, step_text="") if token == self.eos else child


def law(prefix):
    return [0.4, 0.2, 0.4] if len(prefix) < 2 else [0.3, 0.3, 0.4]


def encode(text):
    return (WAIT,) if text == "Wait" else (FINAL,)


def forced(**settings) -> BudgetForcing:
    return BudgetForcing(Silent(law, eos=EOS), encode=encode, end_ids=[EOS], **settings)


def drawn(lm, count):
    """As many solutions, in one batch."""
    ends = [lm.start("?")] * count
    for t in range(12):
        going = [i for i, x in enumerate(ends) if x.open]
        keys = jax.random.split(jax.random.key(t), count)[np.array(going, int)]
        for i, x in zip(going, lm.extend([ends[i] for i in going], keys), strict=True):
            ends[i] = x
    return ends


def enumerated(least, most, waits):
    """The edited law of token sequences, step by step, by the definition."""
    going, ended = {((), 0, False): 1.0}, Counter()
    while going:
        after: Counter = Counter()
        for (prefix, waited, asked), mass in going.items():
            for token, p in enumerate(law(prefix)):
                path = (*prefix, token)
                if asked:
                    ended[path] += mass * p
                elif token == EOS and len(path) < least and waited < waits:
                    after[(*prefix, WAIT), waited + 1, False] += mass * p
                elif token == EOS:
                    ended[path] += mass * p
                elif len(path) >= most:
                    after[(*path, FINAL), waited, True] += mass * p
                else:
                    after[path, waited, False] += mass * p
        going = after
    return dict(ended)


@pytest.mark.parametrize(("least", "most", "waits"), [(3, 4, 1), (3, 3, 2), (0, 2, 1)])
def test_the_edited_law(least, most, waits):
    """False alarm 1e-4, by chi-squared."""
    lm, expected = forced(least=least, most=most, waits=waits), enumerated(least, most, waits)
    assert sum(expected.values()) == pytest.approx(1)
    counts = Counter(x.token_ids for x in drawn(lm, 400))
    assert fits(counts, expected)
    swapped = {x: expected[tuple({0: 1, 1: 0}.get(token, token) for token in x)] for x in expected}
    assert not fits(counts, swapped)


def test_what_is_written():
    lm = forced(least=5, most=6, waits=1)
    root = lm.start("?")
    ends = [x for x in drawn(lm, 60) if WAIT in x.token_ids]
    assert ends
    for x in ends:
        assert x.token_ids.count(WAIT) == 1 and "Wait" in x.text and x.logprob != x.logprob
        before = x.token_ids[: x.token_ids.index(WAIT)]
        assert EOS not in before and len(before) < 5
    late = root
    for _ in range(6):
        law_ = {"logprob": 0.0, "proposal_logprob": 0.0}
        late = late.child("0 ", (0,), **law_)
    asked = lm.extend([late], jax.random.split(jax.random.key(1), 1))[0]
    if asked.open:
        assert asked.token_ids[-1] == FINAL and asked.text.endswith("Final Answer:")
        assert lm.extend([asked], jax.random.split(jax.random.key(2), 1))[0].finished
    assert lm.cost.generated_tokens > 0


def test_a_hosted_model_goes_on_and_is_cut_short():
    lm = load_lm("pocket", probe=False)
    question = next(problems("test", seed=0)).question
    ask = {"prm": None, "sampler": "majority_vote", "samples": 4, "max_steps": 24}
    plain = motes.solve(question, lm=lm, **ask)
    longest = int(plain.lengths.max())
    # no end is early enough: the same draws, of unknown probability
    same = motes.solve(question, lm=BudgetForcing(lm, least=1), **ask)
    assert [x.token_ids for x in same.trajectories] == [x.token_ids for x in plain.trajectories]
    ask["max_steps"] = 6
    short = BudgetForcing(lm, most=10, final="\nThe answer is")
    cut = motes.solve(question, lm=short, **ask)
    for x in cut.trajectories:
        assert len(x.steps) < 4 or not x.finished
        assert "The answer is" in x.text
    assert int(cut.lengths.max()) < longest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least": -1}, "least must be at least 0"),
        ({"least": 8, "most": 4}, "most must be at least 8"),
        ({"waits": 0}, "waits must be at least 1"),
        ({"final": "Wait"}, "wait and final must differ"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        forced(**settings)


def test_a_model_without_a_tokenizer_needs_an_encoder():
    with pytest.raises(TypeError, match="encode must be a function"):
        BudgetForcing(TableLM(law, eos=EOS), least=4)
