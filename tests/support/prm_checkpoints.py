"""Tiny random checkpoints with the published tensors and layouts, and their scores by hand.

The reference is written out here: the whole text put together by hand, one plain forward pass over
it, the head applied by hand from the checkpoint's own tensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from tokenizer_families import FAMILIES as TOKENIZERS
from tokenizers import AddedToken, Tokenizer
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from motes.models import Trajectory
from motes.models.pocket import LM_FOLDER
from motes.models.reward.families import BOXED

QUESTION = "How many apples has Ben?"
STEPS = ["Ben has 7 + 3 = 10.\n\n", "So 10\n- 3 is 7.\n\n", "The answer is 7."]
BARE = [step.strip() for step in STEPS]
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_REFERENCE = "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
CONFIGS = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}
H = 32  # hidden size
TWO_LAYERS = {"0.weight": (H, H), "0.bias": (H,), "2.weight": (2, H), "2.bias": (2,)}

Ids = list[int]


class Case(NamedTuple):
    """A published layout.

    Attributes:
        path: what the checkpoint is called, owner first.
        backbone: its model type.
        architecture: that its configuration declares.
        head: prefix of its tensors, and their shapes.
        ids: the ids of question and steps, by the tokenizer itself, up to where it answers.
        value: log-odds from the last token's hidden state and all tensors.
        family: where it has to be told.
        chat: whether its tokenizer has a template.
    """

    path: str
    backbone: str
    architecture: str
    head: tuple[str, dict[str, tuple[int, ...]]]
    ids: Callable[[Any, list[str]], Ids]
    value: Callable[[torch.Tensor, dict[str, torch.Tensor], Any], torch.Tensor]
    family: str | None = None
    chat: bool = False


def plain(tokenizer: Any, text: str) -> Ids:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def begun(tokenizer: Any, text: str) -> Ids:
    """One encoding with the beginning of text, where the tokenizer puts one."""
    ids = tokenizer(text)["input_ids"]
    return ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids


def qwen(tokenizer: Any, steps: list[str]) -> Ids:
    turns = [{"role": "system", "content": BOXED}, {"role": "user", "content": QUESTION}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return plain(tokenizer, text + "".join(f"{step}<extra_0>" for step in steps))


def skywork(tokenizer: Any, steps: list[str]) -> Ids:
    ids = plain(tokenizer, f"{tokenizer.bos_token}{QUESTION}\n")
    for step in steps:
        for line in step.split("\n"):
            ids += plain(tokenizer, line) + plain(tokenizer, "\n")
    return ids


def pqm(tokenizer: Any, steps: list[str]) -> Ids:
    return begun(tokenizer, f"{QUESTION}\n" + "\n".join(f"{step} [PRM]" for step in steps))


def reasoneval(tokenizer: Any, steps: list[str]) -> Ids:
    """As the authors do: encoded with separators, which are then taken out."""
    pad = tokenizer.pad_token
    text = f"Question:\n{QUESTION}\nAnswer:\nLet's think step by step.\n{pad}"
    ids = begun(tokenizer, text + "".join(step + pad for step in steps))
    return [token for token in ids if token != tokenizer.pad_token_id]


def universal(tokenizer: Any, steps: list[str]) -> Ids:
    turns = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": QUESTION + NO_REFERENCE},
    ]
    chat = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    written = "\n\n".join(steps) + "\n\n"
    return plain(tokenizer, chat) + plain(tokenizer, written) + [tokenizer.eos_token_id]


def pure(tokenizer: Any, steps: list[str]) -> Ids:
    ids = plain(tokenizer, QUESTION)
    for step in steps:
        ids += plain(tokenizer, step) + plain(tokenizer, "\n\n")
    return ids


def trl(tokenizer: Any, steps: list[str]) -> Ids:
    ids = [tokenizer.bos_token_id, *plain(tokenizer, QUESTION)]
    for step in steps:
        ids += plain(tokenizer, step) + plain(tokenizer, "\n")
    return ids


def shepherd(tokenizer: Any, steps: list[str]) -> Ids:
    lines = [f"Step {k}: {step} ки" for k, step in enumerate(steps, start=1)]
    return begun(tokenizer, f"{QUESTION} " + "\n".join(lines))


def er(tokenizer: Any, steps: list[str]) -> Ids:
    lines = [f"Step {k}: {step} ки" for k, step in enumerate(steps, start=1)]
    return begun(tokenizer, f"{QUESTION} " + "".join(lines))


def versa(tokenizer: Any, steps: list[str]) -> Ids:
    return begun(tokenizer, f"{QUESTION} \n\n" + "".join(f"{step} \n\n\n\n" for step in steps))


def rlhflow(tokenizer: Any, steps: list[str]) -> Ids:
    turns = [{"role": "user", "content": f"{QUESTION} {steps[0]}"}]
    for step in steps[1:]:
        turns += [{"role": "assistant", "content": "+"}, {"role": "user", "content": step}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return plain(tokenizer, text)


def judged(tokenizer: Any, steps: list[str]) -> Ids:
    written = "\n\n".join(steps)
    content = (
        "You are checking the solution of a problem. It may not be finished yet.\n\n"
        f"Problem:\n{QUESTION}\n\nSolution so far:\n{written}\n\n"
        "Is everything in the solution so far correct? Answer with one word, Yes or No."
    )
    turns = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return plain(tokenizer, text)


def yes_or_no(
    hidden: torch.Tensor, tensors: dict[str, torch.Tensor], tokenizer: Any
) -> torch.Tensor:
    law = torch.softmax(tensors["lm_head.weight"] @ hidden, dim=0)
    yes, no = (plain(tokenizer, f"<|assistant|>\n{word}")[2] for word in ("Yes", "No"))
    return torch.log(law[yes] / law[no])


def linear(prefix: str) -> Callable[..., torch.Tensor]:
    def outputs(hidden: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        bias = tensors.get(f"{prefix}.bias", torch.zeros(()))
        return tensors[f"{prefix}.weight"] @ hidden + bias

    return outputs


def one_logit(prefix: str) -> Callable[..., torch.Tensor]:
    return lambda hidden, tensors, _: linear(prefix)(hidden, tensors)[0]


def two_labels(hidden: torch.Tensor, tensors: dict[str, torch.Tensor], _: Any) -> torch.Tensor:
    wrong, right = linear("score")(hidden, tensors)
    return right - wrong


def two_layers(hidden: torch.Tensor, tensors: dict[str, torch.Tensor], _: Any) -> torch.Tensor:
    inner = torch.relu(linear("score.0")(hidden, tensors))
    wrong, right = torch.softmax(linear("score.2")(inner, tensors), dim=0)
    return torch.log(right / wrong)


def valid(hidden: torch.Tensor, tensors: dict[str, torch.Tensor], _: Any) -> torch.Tensor:
    p = torch.softmax(linear("score_head")(hidden, tensors), dim=0)
    return torch.log((p[1] + p[2]) / p[0])


def pair(spaced: bool, context: str = "ки") -> Callable[..., torch.Tensor]:
    """The two tokens as the tokenizer encodes them behind the mark."""

    def value(
        hidden: torch.Tensor, tensors: dict[str, torch.Tensor], tokenizer: Any
    ) -> torch.Tensor:
        blank = " " if spaced else ""
        good, bad = (plain(tokenizer, f"{context}{blank}{sign}")[-1] for sign in "+-")
        logits = tensors["lm_head.weight"] @ hidden
        return logits[good] - logits[bad]

    return value


CAUSAL: tuple[str, dict[str, tuple[int, ...]]] = ("", {})
VALUE = ("v_head.summary", {"weight": (1, H), "bias": (1,)})
LABELS = ("score", {"weight": (2, H), "bias": (2,)})
CASES = {
    "qwen2.5-math-prm": Case(
        "Qwen/Qwen2.5-Math-PRM-7B",
        "qwen2",
        "Qwen2ForProcessRewardModel",
        ("score", TWO_LAYERS),
        qwen,
        two_layers,
        chat=True,
    ),
    "skywork-o1-open-prm": Case(
        "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B",
        "qwen2",
        "Qwen2ForPrmModel",
        VALUE,
        skywork,
        one_logit("v_head.summary"),
    ),
    "pqm": Case("x/PQM", "llama", "LlamaForCausalLM", VALUE, pqm, one_logit("v_head.summary")),
    "reasoneval": Case(
        "GAIR/ReasonEval-7B",
        "mistral",
        "ReasonEval_7B",
        ("score_head", {"weight": (3, H)}),
        reasoneval,
        valid,
    ),
    "universal-prm": Case(
        "infly/Universal-PRM-7B",
        "qwen2",
        "Qwen2ForRewardModel",
        ("score", {"weight": (1, H)}),
        universal,
        one_logit("score"),
        chat=True,
    ),
    "pure": Case(
        "jinachris/PURE-PRM-7B", "qwen2", "Qwen2ForTokenClassification", LABELS, pure, two_labels
    ),
    "trl": Case("me/trained", "llama", "LlamaForTokenClassification", LABELS, trl, two_labels),
    "math-shepherd": Case(
        "peiyi9979/math-shepherd-mistral-7b-prm",
        "mistral",
        "MistralForCausalLM",
        CAUSAL,
        shepherd,
        pair(True),
    ),
    "rlhflow": Case(
        "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data",
        "llama",
        "LlamaForCausalLM",
        CAUSAL,
        rlhflow,
        pair(False, "<|assistant|>\n"),
        chat=True,
    ),
    "versaprm": Case(
        "UW-Madison-Lee-Lab/VersaPRM",
        "llama",
        "LlamaForCausalLM",
        CAUSAL,
        versa,
        pair(False, " \n\n\n\n"),
        chat=True,
    ),
    "er-prm": Case(
        "HanningZhang/Llama3.1-Math-PRM", "llama", "LlamaForCausalLM", CAUSAL, er, pair(True)
    ),
    "judge": Case(
        "me/Instruct", "qwen2", "Qwen2ForCausalLM", CAUSAL, judged, yes_or_no, "judge", chat=True
    ),
}


def tokenizer_for(case: Case) -> Any:
    kind = "metaspace_always" if case.backbone == "mistral" else "byte_level"
    state = Tokenizer.from_str(TOKENIZERS[kind]().backend_tokenizer.to_str())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=state, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    roles = ["<|system|>", "<|user|>", "<|end|>", "<|assistant|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": roles, "pad_token": "<pad>"})
    if case.head == CAUSAL and not case.chat:  # one token each, as in the tokenizers of real models
        tokenizer.add_tokens([AddedToken(sign, normalized=False) for sign in ("+", "-")])
    if "Qwen2.5-Math-PRM" in case.path:
        tokenizer.add_tokens([AddedToken("<extra_0>", normalized=False, special=True)])
    if case.path.endswith("PQM"):
        tokenizer.add_tokens([AddedToken("[PRM]", normalized=False, special=True)])
    tokenizer.chat_template = CHAT if case.chat else None
    return tokenizer


def checkpoint(case: Case, folder: Path, hidden: int = H, context: int = 512) -> Path:
    """Write the checkpoint as it was published; the value head's has its old head as well.

    Engines want heads of attention of 32 or more: 128 hidden states, where one is to run it.
    """
    torch.manual_seed(0)
    tokenizer = tokenizer_for(case)
    of_config, of_model = CONFIGS[case.backbone]
    config = of_config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.4 * (H / hidden) ** 0.5,
        tie_word_embeddings=False,
    )
    place = folder / case.path
    of_model(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    written = json.loads((place / "config.json").read_text())
    written["architectures"] = [case.architecture]
    (place / "config.json").write_text(json.dumps(written))
    prefix, shapes = case.head
    tensors = load_file(place / "model.safetensors")
    if prefix and prefix != "v_head.summary":
        del tensors["lm_head.weight"]
    for name, shape in shapes.items():
        size = [hidden if length == H else length for length in shape]
        tensors[f"{prefix}.{name}"] = torch.randn(size) * (H / hidden) ** 0.5
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    return place


def random_pocket(folder: Path, seed: int) -> Path:
    """Write a language model of two layers with the pocket's tokenizer."""
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(LM_FOLDER)
    config.update({"initializer_range": 0.3, "num_hidden_layers": 2})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(LM_FOLDER).save_pretrained(folder)
    return folder


def grown(steps: list[str]) -> list[Trajectory]:
    nodes = [Trajectory(question=QUESTION)]
    for i, step in enumerate(steps):
        nodes.append(nodes[-1].child(step, (i,), logprob=0.0, proposal_logprob=0.0))
    return nodes[1:]


def by_hand(case: Case, place: Path, steps: list[str]) -> float:
    """One forward pass of the backbone over the whole text, and the head from its tensors."""
    tokenizer = AutoTokenizer.from_pretrained(place)
    tensors = load_file(place / "model.safetensors")
    config = CONFIGS[case.backbone][0].from_pretrained(place)
    backbone = AutoModel.from_config(config)
    backbone.load_state_dict(
        {
            name.removeprefix("model."): tensor
            for name, tensor in tensors.items()
            if name.startswith("model.")
        }
    )
    ids = case.ids(tokenizer, steps)
    with torch.no_grad():
        hidden = backbone.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        return float(case.value(hidden, tensors, tokenizer))
