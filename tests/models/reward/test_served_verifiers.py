"""Verifiers that write rationales, behind servers: which laws these can draw them by."""

from __future__ import annotations

import numpy as np
import pytest
from stub_servers import TOKEN_SERVERS, TableModel, VllmStub, serving

from motes.models import Sampling, load_lm, load_prm
from motes.models.pocket import LM_FOLDER

QUESTION = "How many pens has Ben?"


@pytest.fixture(scope="module")
def table_model() -> TableModel:
    return TableModel()


@pytest.mark.parametrize("kind", TOKEN_SERVERS)
def test_rationales_are_drawn_by_the_published_law(kind: str, table_model: TableModel) -> None:
    """A server need not tell the probability of a rationale under it."""
    with serving(TOKEN_SERVERS[kind](table_model)) as running:
        prm = load_prm(running.url, family="thinkprm", rationales=2, max_tokens=40)
        root = load_lm(running.url).start(QUESTION)
        step = root.child("7 pens.", (5,), logprob=0.0, proposal_logprob=0.0)
        assert np.isfinite(prm.score([step])).all() and len(prm.critiques(step)) == 2
        sent = f"'temperature': {prm.sampling.temperature}"
        assert prm.sampling != Sampling() and any(sent in repr(body) for body in running.bodies)


def test_votes_are_drawn_by_the_law_that_is_asked_for(table_model: TableModel) -> None:
    with serving(VllmStub(table_model)) as running:
        law = Sampling(temperature=0.6, top_p=0.95)
        judge = load_prm(f"votes:{running.url}", rationales=2, sampling=law)
        root = load_lm(running.url).start(QUESTION)
        step = root.child("7 pens.", (5,), logprob=0.0, proposal_logprob=0.0)
        assert np.isfinite(judge.score([step])).all()
        assert (running.bodies[-1]["temperature"], running.bodies[-1]["top_p"]) == (0.6, 0.95)


def test_what_the_server_is_loaded_with_goes_to_it(table_model: TableModel) -> None:
    with serving(VllmStub(table_model)) as running:
        for source, more in ((running.url, {"family": "thinkprm"}), (f"votes:{running.url}", {})):
            prm = load_prm(source, rationales=2, at_once=3, tokenizer=LM_FOLDER, **more)
            assert prm.lm._connection.at_once == 3 and prm.rationales == 2
            with pytest.raises(TypeError, match="no argument 'loud' for servers"):
                load_prm(source, loud=True, **more)
    with pytest.raises(TypeError, match="load_prm has no argument 'at_once' for 'votes:pocket'"):
        load_prm("votes:pocket", at_once=3)
