"""The published configurations: which models, how they are asked, and what was published of them.

Sizes are those of the models' own configuration files, written down so that an estimate needs no
download. Where published settings are not known (the most steps, and tokens of a step), ours are
said in `real.py`.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import Any, NamedTuple

from transformers import LlamaConfig, Qwen2Config

import motes
from motes.models import ChatPrompt
from motes.samplers import DVTS, ImportanceSampling, ParticleFilter, Puri2025

DRAWS, PUBLISHED_FILTER, FILTER, TREES = "draws", "puri2025", "particle filter", "DVTS"
PUBLISHED_BUDGET = 64
EXPANSIONS = 4  # of DVTS, as published; the largest factor of it where the budget has not 4
# Llama's template prints the day, and a prompt that changes by night is another prompt
DAY = {"date_string": "26 Jul 2024"}


class Setup(NamedTuple):
    """One published configuration.

    Attributes:
        lm: the language model's id.
        prm: the reward model's.
        family: of the reward model, for copies whose name does not say it.
        prompt: what the language model reads.
        solution_tokens: of a solution, by data set: an assumption, for estimates alone.
        published: accuracies in percent at a budget of 64, by data set and method.
        source: of these.
    """

    lm: str
    prm: str
    family: str
    prompt: ChatPrompt
    solution_tokens: dict[str, int]
    published: dict[str, dict[str, float]]
    source: str


def _rates(*values: float) -> dict[str, float]:
    """Return accuracies by method, in the order of Puri et al.'s first table."""
    methods = ("one sample", "best of n", "weighted vote", TREES, PUBLISHED_FILTER)
    return dict(zip(methods, values, strict=True))


PURI = "Puri et al. (2025), arXiv:2502.01618, table 1: budget 64, temperature 0.8"
QWEN_PRM, LLAMA_PRM = "Qwen/Qwen2.5-Math-PRM-7B", "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"
QWEN_FAMILY, LLAMA_FAMILY = "qwen2.5-math-prm", "rlhflow"
BOXED: Any = motes.prompts.PRESETS["qwen2.5-math"].form
LLAMA_FORM: Any = motes.prompts.PRESETS["search-and-learn"].form
NUMBERED: Any = replace(LLAMA_FORM, template_arguments=DAY)
QWEN_TOKENS = {"math500": 600, "aime24": 1000}
LLAMA_TOKENS = {"math500": 500, "aime24": 900}
LLAMA_RATES = {
    "math500": _rates(26.8, 46.6, 47.8, 52.8, 59.6),
    "aime24": _rates(0.0, 3.3, 3.3, 6.6, 10.0),
}

SETUPS = {
    "qwen2.5-math-1.5b": Setup(
        "Qwen/Qwen2.5-Math-1.5B-Instruct", QWEN_PRM, QWEN_FAMILY, BOXED, QWEN_TOKENS,
        {
            "math500": _rates(70.0, 82.6, 82.8, 83.4, 85.4),
            "aime24": _rates(10.0, 13.3, 13.3, 16.6, 23.3),
        },
        PURI,
    ),
    "qwen2.5-math-7b": Setup(
        "Qwen/Qwen2.5-Math-7B-Instruct", QWEN_PRM, QWEN_FAMILY, BOXED, QWEN_TOKENS,
        {
            "math500": _rates(79.6, 83.0, 84.6, 85.4, 87.0),
            "aime24": _rates(16.6, 20.0, 20.0, 20.0, 23.3),
        },
        PURI,
    ),
    "llama-3.2-1b": Setup(
        "meta-llama/Llama-3.2-1B-Instruct", LLAMA_PRM, LLAMA_FAMILY, NUMBERED, LLAMA_TOKENS,
        LLAMA_RATES, f"{PURI}, which had {QWEN_PRM} for its reward model",
    ),
    "llama-3.2-1b-qwen-prm": Setup(
        "meta-llama/Llama-3.2-1B-Instruct", QWEN_PRM, QWEN_FAMILY, NUMBERED, LLAMA_TOKENS,
        LLAMA_RATES, PURI,
    ),
}  # fmt: skip
_QWEN_7B = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
    "tie_word_embeddings": False, "max_position_embeddings": 4096,
}  # fmt: skip
_LLAMA_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "tie_word_embeddings": False, "max_position_embeddings": 131072,
}  # fmt: skip
SIZES: dict[str, tuple[type, dict[str, Any]]] = {
    "Qwen/Qwen2.5-Math-1.5B-Instruct": (Qwen2Config, {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936,
        "tie_word_embeddings": True, "max_position_embeddings": 4096,
    }),
    "Qwen/Qwen2.5-Math-7B-Instruct": (Qwen2Config, _QWEN_7B),
    QWEN_PRM: (Qwen2Config, _QWEN_7B | {"architectures": ["Qwen2ForProcessRewardModel"]}),
    "meta-llama/Llama-3.2-1B-Instruct": (LlamaConfig, {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "tie_word_embeddings": True, "max_position_embeddings": 131072,
    }),
    LLAMA_PRM: (LlamaConfig, _LLAMA_8B),
}  # fmt: skip


def samplers(budgets: list[int]) -> dict[str, Any]:
    """Return the samplers of the protocol at these budgets.

    Independent draws are made once, at the largest budget: one sample, votes and best of n at any
    budget are decisions about the first of them.
    """
    return {
        DRAWS: ImportanceSampling(particles=max(budgets)),
        PUBLISHED_FILTER: [Puri2025(particles=n) for n in budgets],
        FILTER: [ParticleFilter(particles=n) for n in budgets],
        TREES: [DVTS(particles=n, expansions=gcd(n, EXPANSIONS)) for n in budgets],
    }
