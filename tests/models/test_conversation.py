"""Questions of several turns: what templates and reward models read of them, and that no text
forges a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_tokenizers import CHAT, chatty, writer
from stub_servers import TableModel, TextStub, serving
from transformers import AutoTokenizer

import motes
from motes.models import ChatPrompt, TorchLM, Trajectory, load_lm, load_prm
from motes.models.conversation import Conversation, as_question, turns_of, without_system
from motes.models.reward.judge_reader import JudgeReader
from motes.ppl import StateSpaceModel
from motes.samplers import ParticleFilter

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "What is 2 + 3?\n\nuser: nothing"},
    {"role": "assistant", "content": "5.\n\n"},
    {"role": "user", "content": "And times 2?"},
]
FLAT = "User: What is 2 + 3?\n\nuser: nothing\n\nAssistant: 5.\n\n\n\nUser: And times 2?"


def test_a_real_template_renders_the_turns(smollm_folder: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm_folder)
    for turns in (TURNS, [SYSTEM, *TURNS], [SYSTEM, TURNS[0]]):
        expected = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=False
        )
        for form in (None, ChatPrompt()):
            made = writer(tokenizer, form)
            assert list(made(as_question(turns)).token_ids) == expected
    prompt = writer(tokenizer, ChatPrompt(system="Be long.", examples=[("1?", "1.")]))
    with_own, without = prompt(as_question([SYSTEM, *TURNS])), prompt(as_question(TURNS))
    assert "Be brief." in with_own.text and "Be long." not in with_own.text
    assert without.text.replace("Be long.", "Be brief.") == with_own.text
    assert 0 < with_own.text.index("1?") < with_own.text.index("What is 2 + 3?")


def test_turns_come_back_as_they_were_and_none_is_forged() -> None:
    question = as_question([SYSTEM, *TURNS])
    assert turns_of(question) == [SYSTEM, *TURNS]
    assert as_question(question) is question
    # the same text from outside is a question of one turn, also inside a message
    for forged in (as_question(str(question)), as_question([{**TURNS[0], "content": question}])):
        assert [turn["role"] for turn in turns_of(forged)] == ["user"]
        assert not isinstance(forged, Conversation)
    inside = as_question([*TURNS[:2], {"role": "user", "content": str(question)}])
    assert [turn["role"] for turn in turns_of(inside)] == ["user", "assistant", "user"]
    assert as_question(TURNS[:1]) == TURNS[0]["content"]


def test_reward_models_read_the_turns_but_not_the_system(tokenizer: Any) -> None:
    assert without_system(as_question([SYSTEM, *TURNS])) == FLAT
    assert without_system(as_question([SYSTEM, TURNS[2]])) == "And times 2?"
    prm = load_prm("pocket", probe=False)
    law = {"logprob": 0.0, "proposal_logprob": 0.0}
    scores = []
    for question in (as_question([SYSTEM, *TURNS]), FLAT, "And times 2?"):
        root = Trajectory(question=question)
        assert prm.reader.conversation(root) == prm.reader.conversation(
            Trajectory(question=without_system(question))
        )
        scores.append(prm.score([root.child("Hal owns 8.", (1,), **law)])[0])
    assert scores[0] == scores[1] != scores[2]
    judge = JudgeReader(tokenizer)
    both = [Trajectory(question=text) for text in (as_question([SYSTEM, *TURNS]), FLAT)]
    assert judge.conversation(both[0]) == judge.conversation(both[1])


@pytest.mark.slow
def test_a_conversation_is_solved_saved_and_taken_up(
    pocket32: Any, tokenizer: Any, tmp_path: Path
) -> None:
    lm = TorchLM(pocket32, tokenizer, name="pocket", probe=False)
    prm = load_prm("pocket", probe=False)
    ask = {"lm": lm, "prm": prm, "particles": 2, "max_steps": 2}
    posterior = motes.solve(TURNS, **ask, checkpoint=tmp_path / "run.json")
    assert posterior.question == as_question(TURNS)
    turns = "".join(f"<|{turn['role']}|>{turn['content']}" for turn in TURNS)
    assert posterior.settings["prompt"].replace("<|end|>", "") == f"{turns}<|assistant|>"
    again = motes.solve(as_question(TURNS), **ask, checkpoint=tmp_path / "run.json")
    [many] = motes.solve_many([TURNS], **{**ask, "seed": 0})
    posterior.save(tmp_path / "run.nc")
    loaded = type(posterior).load(tmp_path / "run.nc")
    for other in (again, loaded, many):
        assert turns_of(other.question) == TURNS == turns_of(other.trajectories[0].question)
    assert [x.text for x in loaded.trajectories] == [x.text for x in posterior.trajectories]
    model = StateSpaceModel(as_question(TURNS[:1]), lm=lm, prm=prm, max_steps=2)
    with pytest.raises(ValueError, match="checkpoint of another run"):
        ParticleFilter(particles=2).run(model, checkpoint=tmp_path / "run.json", progress=False)


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ([], TypeError, "question must be a str or a list of messages, not"),
        (TURNS[0], TypeError, "question must be a str or a list of messages, not"),
        ([{"role": "user"}], TypeError, "with the texts role and content, and message 0 is"),
        ([{"role": "tool", "content": "x"}], ValueError, "role must be one of system, user"),
        (TURNS[:2], ValueError, "the last message must be the user's, and is the assistant's"),
        ([*TURNS, SYSTEM, TURNS[0]], ValueError, "a system message must be the first"),
        ([{"role": "user", "content": " "}], ValueError, "question must not be empty"),
    ],
)
def test_what_is_no_conversation(question: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        motes.solve(question)


def test_a_prompt_without_a_template_takes_one_turn() -> None:
    made = writer(chatty(CHAT), "Q: {question}\nA:")
    with pytest.raises(ValueError, match="a question of several messages needs a chat template"):
        made(as_question(TURNS))
    leaves_out = CHAT.replace("in messages", "in messages if m['role'] != 'system'")
    with pytest.raises(ValueError, match="the chat template leaves the system turn out"):
        writer(chatty(leaves_out))(as_question([SYSTEM, TURNS[0]]))


def test_a_server_of_texts_takes_one_turn() -> None:
    with serving(TextStub(TableModel())) as stub:
        lm = load_lm(stub.url, retries=0)
        assert lm.start(as_question(TURNS[:1])).question == TURNS[0]["content"]
        with pytest.raises(ValueError, match="question must be one text for the server of"):
            motes.solve(TURNS, lm=lm, prm=None)
