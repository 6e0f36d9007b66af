"""Where language models run, and what can be asked of them there: the table of docs/models.md.

What a loaded model can do is in its `capabilities`; this says it of each kind before one is loaded.
"""

from __future__ import annotations

from typing import NamedTuple


class HostFacts(NamedTuple):
    """What a kind of host can do, in words.

    Attributes:
        name: what it is, and how it was started where that matters.
        seeds: whether the same keys give the same draws.
        laws: of which prior and proposal it tells the log-probabilities.
        scores: whether, and under which law, it tells them of a given text.
        confidences: which `top` of `motes.models.token_confidences` it takes.
        steps: by which rules steps end.
    """

    name: str
    seeds: str
    laws: str
    scores: str
    confidences: str
    steps: str


ANY, WHOLE = "by any rule", "any `top`, all of the law"
PLAIN, UNDER_PLAIN = "prior and proposal `Sampling()`", "under `Sampling()`"
ALLOWED, HUNDRED = "`top` to 20, or its `--max-logprobs`", "`top` to 100"

HOSTS = (
    HostFacts("transformers", "yes", "any prior and proposal", "yes", WHOLE, ANY),
    HostFacts(
        "vLLM in process",
        "yes, the same tokens as transformers in float32",
        "any prior and proposal",
        "yes",
        WHOLE,
        ANY,
    ),
    HostFacts(
        "vLLM server, `--logprobs-mode processed_logprobs`",
        "as the server's sums",
        "any prior and proposal, temperature at most 2",
        "yes",
        ALLOWED,
        ANY,
    ),
    HostFacts("vLLM server as it starts", "as the server's sums", PLAIN, UNDER_PLAIN, ALLOWED, ANY),
    HostFacts(
        "SGLang server",
        "with `--enable-deterministic-inference`",
        "a prior and a proposal of any temperature, without top-k and top-p",
        "under any temperature",
        HUNDRED,
        ANY,
    ),
    HostFacts(
        "SGLang server with `SGLANG_RETURN_ORIGINAL_LOGPROB=1`",
        "with the same flag",
        PLAIN,
        UNDER_PLAIN,
        HUNDRED,
        ANY,
    ),
    HostFacts(
        "llama.cpp server",
        "as a rule: its batches move values by 1e-2 nats",
        "a prior that is `Sampling()` or the proposal",
        UNDER_PLAIN,
        HUNDRED,
        ANY,
    ),
    HostFacts(
        "any other with `/v1/completions`",
        "no",
        "none: votes, importance sampling and filters with proposal = prior",
        "no",
        "no",
        "at a delimiter, by a predicate, at the cap",
    ),
)
"""The kinds of hosts, in the order of the table."""
