"""What a chat prompt gives a template: the user's text, a prefill, presets; and templates that
would leave something out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from chat_tokenizers import CHAT, chatty, writer
from transformers import AutoTokenizer

import motes
from motes.models import (
    ChatPrompt,
    Opening,
    StepRule,
    Thinking,
    TorchLM,
    prompts,
    recorded,
    replayed,
)
from motes.models.identity import identify
from motes.models.language.prompt_writer import PromptWriter
from motes.models.pocket.problems import problems
from motes.models.worked_examples import GRADE_SCHOOL
from motes.ppl import StateSpaceModel, stated
from motes.ppl.answers import last_answer
from motes.samplers import ParticleFilter

DOCS = (Path(__file__).parents[3] / "docs" / "prompts.md").read_text()
QUESTION = next(problems("test", seed=0, steps=2)).question
ROLES = (
    "{{ bos_token }}{% for m in messages %}<|user|>{{ m['role'] }}\n{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + ROLES
)
LEAVES_OUT = ROLES.replace(
    "{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"
)
LAST_ONLY = ROLES.replace("in messages", "in messages[-1:]")
TEXTUAL = (  # Mistral's: what closes the user's turn begins the assistant's
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} "
    "[/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("template", [ROLES, TEXTUAL], ids=["roles", "textual"])
def test_a_prefill_begins_the_turn_that_the_model_goes_on_with(template: str) -> None:
    """The reference is transformers' own way to continue a turn of the assistant."""
    tokenizer = chatty(template)
    for prefill in ("So", "## Step 1: Add.\n"):
        chat = ChatPrompt(examples=[("1 + 1?", "2.")], prefill=prefill)
        turns = [
            *({"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2."}),
            *({"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": prefill}),
        ]
        expected = tokenizer.apply_chat_template(
            turns, tokenize=False, continue_final_message=True
        ).removesuffix(prefill)
        prompt = writer(tokenizer, chat)("2 + 3?")
        assert prompt.text.removesuffix(prefill).rstrip(" ") == expected.rstrip(" ")
        assert prompt.text.endswith(prefill) and prompt.opening == Opening(prefill=prefill)
        assert list(prompt.token_ids) == tokenizer(prompt.text, add_special_tokens=False).input_ids


def test_the_real_template_takes_all_of_it(smollm_folder: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm_folder)
    chat = ChatPrompt(
        system="Think.",
        examples=[("1 + 1?", "2.")],
        user="{question} Say <|im_end|>.",
        prefill="Let",
    )
    ids = writer(tokenizer, chat)("2 + 3?").token_ids
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nThink.<|im_end|>\n"
        "<|im_start|>user\n1 + 1? Say <|im_end|>.<|im_end|>\n"
        "<|im_start|>assistant\n2.<|im_end|>\n"
        "<|im_start|>user\n2 + 3? Say <|im_end|>.<|im_end|>\n"
        "<|im_start|>assistant\nLet"
    )
    # four turns end, what the user's text mentions does not
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 4
    for preset in prompts.PRESETS.values():
        assert "2 + 3?" in writer(tokenizer, preset.form)("2 + 3?").text


def test_only_the_prefill_writes_control_tokens() -> None:
    tokenizer = chatty(ROLES)
    end, user = tokenizer.convert_tokens_to_ids(["<|end|>", "<|user|>"])
    ids = writer(tokenizer, ChatPrompt(prefill="<|user|>x"))("<|user|>?").token_ids
    assert (ids.count(end), ids.count(user)) == (1, 3)


WRONG = {
    "template takes no system turn (System role not supported)": (
        NO_SYSTEM,
        ChatPrompt(system="Think."),
    ),
    "template leaves the system turn out": (LEAVES_OUT, ChatPrompt(system="Think.")),
    "template leaves out the examples": (LAST_ONLY, ChatPrompt(examples=[("1 + 1?", "2.")])),
    "template_arguments has 'thinking', which the tokenizer's chat template never reads": (
        ROLES + "{# thinking #}{{ 'thinking' }}",
        ChatPrompt(template_arguments={"thinking": True}),
    ),
    "prefill cannot be given: the chat template ends the user's turn and begins none": (
        CHAT,
        ChatPrompt(prefill="So"),
    ),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_a_template_leaves_out_is_refused_in_a_sentence(said: str) -> None:
    template, chat = WRONG[said]
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        writer(chatty(template), chat)
    assert "\n" not in str(caught.value)
    # the same template takes a prompt without it
    assert writer(chatty(template), ChatPrompt())("2 + 3?").text


def test_a_prefill_that_ends_the_turn_is_refused() -> None:
    made = writer(chatty(ROLES), ChatPrompt(prefill="So.</s>"))
    with pytest.raises(ValueError, match="prefill must not end the model's turn"):
        made("2 + 3?")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"prefill": 3}, TypeError, "prefill must be a text"),
        ({"user": 3}, TypeError, "user must be a text with"),
        ({"user": "Solve:"}, ValueError, r"user must have \{question\} in its text"),
        ({"template_arguments": {"chat_template": ""}}, ValueError, "cannot give 'chat_template'"),
    ],
)
def test_what_is_no_chat_prompt(options: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        ChatPrompt(**options)


def test_presets_are_prompts_by_name() -> None:
    tokenizer = chatty(ROLES)
    for name, preset in prompts.PRESETS.items():
        assert f"| `{name}` | {preset.about} | {preset.source} |" in DOCS
        assert writer(tokenizer, name)("2 + 3?") == writer(tokenizer, preset.form)("2 + 3?")
    with pytest.raises(ValueError, match="or be one of qwen2.5-math, .*, not 'qwen'"):
        prompts.chosen_form("qwen")
    with pytest.raises(TypeError, match="the name of a preset, a ChatPrompt or None, not 3"):
        prompts.chosen_form(3)  # type: ignore[arg-type]


def test_the_answers_that_presets_ask_for_are_read() -> None:
    forms = {name: preset.form for name, preset in prompts.PRESETS.items()}
    for name in ("search-and-learn", "aime"):
        form = forms[name]
        asked = form.system or form.user
        said = re.search(r"Therefore, the final answer is: \$\\boxed\{(answer|ANSWER)\}\$", asked)
        assert said, name
        assert last_answer(said[0].replace(said[1], "27") + ". I hope it is correct.") == "27"
    assert last_answer(r"\boxed{27}") == "27" and r"within \boxed{}" in forms["qwen2.5-math"].system
    for question, answer in GRADE_SCHOOL:
        equations = re.findall(r"((?:\d+ [-+*] )+\d+) (?:=|is) (\d+)", answer)
        assert equations and all(eval(left) == int(right) for left, right in equations)
        assert last_answer(answer) == equations[-1][1]
        assert f"Q: {question}\nA: {answer}\n\n" in forms["gsm8k"]
    assert forms["gsm8k"].count("Q: ") == 9 and forms["gsm8k"].endswith("Q: {question}\nA:")


def test_a_prefill_is_a_part_of_the_solution_wherever_it_goes(
    pocket32: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """An answer is read of it, files keep it, and what it makes of a run is its own run."""
    chat = ChatPrompt(prefill="The answer is 7.\n\n")
    lm = TorchLM(pocket32, tokenizer, prompt=chat, name="pocket", probe=False)

    def run(model: Any, path: Path | None = None) -> Any:
        declared = StateSpaceModel(QUESTION, lm=model, max_steps=2)
        return ParticleFilter(particles=2).run(declared, seed=1, checkpoint=path, progress=False)

    posterior = run(lm, tmp_path / "run.json")
    for x in posterior.trajectories:
        assert x.answer == stated(x) == "7" != last_answer(x.text)
        assert x.answer_text == chat.prefill + x.text
        assert x.solution_steps[0] == chat.prefill + x.steps[0]
    assert posterior.settings["opening"][0] == chat.prefill
    posterior.save(tmp_path / "run.nc")
    loaded = type(posterior).load(tmp_path / "run.nc")
    again = run(lm, tmp_path / "run.json")
    first = run(recorded(lm, tmp_path / "lm.jsonl"))
    for other in (loaded, again, first, run(replayed(tmp_path / "lm.jsonl"))):
        texts = [x.answer_text for x in other.trajectories]
        assert texts == [x.answer_text for x in posterior.trajectories]
    for form in (None, ChatPrompt(prefill="The answer is 7.")):
        other = TorchLM(pocket32, tokenizer, prompt=form, name="pocket", probe=False)
        with pytest.raises(ValueError, match="checkpoint of another run"):
            run(other, tmp_path / "run.json")


def test_the_reward_model_judges_the_prefill_and_not_the_examples(
    pocket32: Any, tokenizer: Any
) -> None:
    first, second = "Hal owns 8.\n\n", "The answer is 8."
    chat = ChatPrompt(
        user="Solve: {question}", examples=[("1?", "The answer is 1.")], prefill="So, "
    )
    lm = TorchLM(pocket32, tokenizer, prompt=chat, name="pocket", probe=False)
    prm = motes.load_prm("pocket", probe=False)
    law = {"logprob": 0.0, "proposal_logprob": 0.0}
    with_prefill = lm.start(QUESTION).child(first, (1,), **law)
    plain = TorchLM(pocket32, tokenizer, name="pocket", probe=False).start(QUESTION)
    by_hand = plain.child(f"So, {first}", (1,), **law)
    pairs = [(with_prefill, by_hand)]
    pairs += [(a.child(second, (2,), **law), b.child(second, (2,), **law)) for a, b in pairs]
    scores = [prm.score(pair).tolist() for pair in pairs]
    assert all(a == pytest.approx(b, abs=1e-5) for a, b in scores)
    without = prm.score([plain.child(first, (1,), **law)])[0]
    assert abs(scores[0][0] - without) > 1e-3


THINKS = ROLES + "{% if add_generation_prompt %}<think>\n{% endif %}"
CLOSES = ROLES + (  # Qwen3's, whose thinking can be turned off
    "{% if add_generation_prompt and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)


@pytest.mark.parametrize("added", [False, True], ids=["text", "token"])
@pytest.mark.parametrize(
    ("template", "options", "thinks"),
    [
        (ROLES, {}, False),
        (ROLES, {"prefill": "<think>\nSo"}, True),
        (ROLES, {"prefill": "<think>No need.</think>"}, False),
        (THINKS, {}, True),
        (THINKS, {"prefill": "So</think>"}, False),
        (CLOSES, {"template_arguments": {"enable_thinking": False}}, False),
        (CLOSES, {"template_arguments": {"enable_thinking": True}}, False),
    ],
)
def test_who_begins_the_thinking_is_read_from_the_prompt(
    template: str, options: Any, thinks: bool, added: bool
) -> None:
    """What the template and the prefill write counts; what the conversation mentions does not."""
    tokenizer = chatty(template)
    if added:
        tokenizer.add_tokens(["<think>", "</think>"])
    ends = {tokenizer.eos_token_id}
    mention = "Think in <think> and"
    for system, user in ((None, "{question}"), (mention, f"{mention} {{question}} <think> it.")):
        chat = ChatPrompt(system=system, user=user, **options)
        made = PromptWriter(tokenizer, ends, chat, thinking=Thinking())
        for question in ("2 + 3?", "What is <think>?"):
            opening = made(question).opening
            assert opening.still_thinks("") == thinks
            assert opening == Opening(chat.prefill, "<think>", "</think>", template == THINKS)
    assert PromptWriter(tokenizer, ends, chat)("2 + 3?").opening == Opening(chat.prefill)


def test_thinking_that_the_template_begins_holds_in_a_run(
    pocket32: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """The pocket's own words as markers: what comes before the first full stop is thinking."""
    thinking = Thinking(begin="<|assistant|>", end=".", step=StepRule(delimiter=None, tokens=3))
    rule = StepRule(thinking=thinking)
    lm = TorchLM(pocket32, tokenizer, step=rule, name="pocket", probe=False)
    assert lm.start(QUESTION).opening == Opening("", "<|assistant|>", ".", thinks=True)
    model = StateSpaceModel(
        QUESTION, lm=lm, prm=motes.load_prm("pocket", probe=False), max_steps=24
    )
    posterior = ParticleFilter(particles=4).run(model, seed=0, progress=False)
    for x in posterior.trajectories:
        _, stop, rest = x.text.partition(".")
        assert stop and x.answer_text == rest
        counts = [len(node.step_token_ids) for node in x.path[1:]]
        first = next(i for i, step in enumerate(x.steps) if "." in step)
        assert first > 0 and set(counts[:first]) == {3} and max(counts[first + 1 :]) > 3
    posterior.save(tmp_path / "run.nc")
    loaded = type(posterior).load(tmp_path / "run.nc")
    assert [x.answer_text for x in loaded.trajectories] == [
        x.answer_text for x in posterior.trajectories
    ]
    other = TorchLM(pocket32, tokenizer, step=StepRule(), name="pocket", probe=False)
    assert identify(other).text != identify(lm).text


def test_each_part_of_a_prompt_makes_another_model(pocket32: Any, tokenizer: Any) -> None:
    forms = [
        None,
        ChatPrompt(prefill="So"),
        ChatPrompt(prefill="So "),
        ChatPrompt(user="{question}!"),
        "gsm8k-chat",
        "gsm8k",
    ]
    marks = [
        identify(TorchLM(pocket32, tokenizer, prompt=form, name="pocket", probe=False)).text
        for form in (*forms, *forms)
    ]
    assert marks[:6] == marks[6:] and len(set(marks)) == 6
