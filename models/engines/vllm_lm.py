"""vLLM in this process, as a language model whose draws are exactly ours.

Tokens are taken by `TokenDraws`, which stands in the engine's batch as a logits processor. Steps
end by our rule on token ids: a request is ended behind the token that completes its step. Forks and
continuations find what was read before in the engine's prefix cache, by whole blocks of tokens.
Given texts are scored as they would have been drawn, a forward pass a token.

The engine must run in this process with one worker: VLLM_ENABLE_V1_MULTIPROCESSING=0, which is set
when nothing else is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from ...aliases import Tokenizer
from ..confidence import Top
from ..cost import Cost
from ..hosting.places import located
from ..hosting.pretrained import read_config
from ..hosting.row_laws import RowLaws
from ..hosting.token_measures import Measure, chosen, confident
from ..identity.marks import source_mark
from ..language.joint_batch import (
    JointBatch,
    asked_laws,
    fitting,
    readings,
)
from ..language.joint_lm import JointLM
from ..language.tokenized_lm import check_open
from ..mixture import Law, components
from ..pocket import LM_FOLDER
from ..prompt_forms import PromptForm
from ..protocols import Capabilities, Reading
from ..randomness import SlotUniforms
from ..sampling import Sampling
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .prefix_count import PrefixCount
from .token_draws import SLOT, TokenDraws
from .tokenizers import tokenizer_at

ONE_PROCESS = "VLLM_ENABLE_V1_MULTIPROCESSING"
SETTINGS = {ONE_PROCESS: "0", "VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_NO_USAGE_STATS": "1"}
# what a user may not choose: draws would not be ours, or not be seen in time
FIXED: dict[str, Any] = {
    "async_scheduling": False,
    "enable_prefix_caching": True,
    "tensor_parallel_size": 1,
    "generation_config": "vllm",
}


class VllmLM(JointLM):
    """A causal language model in vLLM, as a `LanguageModel`; see `motes.load_lm`.

    Args:
        engine: vLLM's engine, which has `draws` among its logits processors.
        draws: takes the tokens.
        tokenizer: the model's.
        step: when a step ends; part of the declared prior.
        prompt: what it reads before it writes.
        name: what reports call it.
        weights: what tells its files from others.
        end_ids: the token ids that end a text.
        vocabulary: how many ids the model can draw.
        context: how many tokens a prompt and a trajectory may have together.

    Attributes:
        cost: of it, `forward_passes` counts the engine's steps, and `rescored_tokens` also what
            its blocks make it read again.
    """

    def __init__(
        self,
        engine: Any,
        draws: TokenDraws,
        tokenizer: Tokenizer,
        *,
        step: StepRule | None,
        prompt: PromptForm | None,
        name: str,
        weights: str,
        end_ids: frozenset[int],
        vocabulary: int,
        context: int,
    ) -> None:
        super().__init__(
            tokenizer,
            step=step,
            prompt=prompt,
            name=name,
            end_ids=end_ids,
            vocabulary=vocabulary,
            context=context,
        )
        self.weights, self._vocabulary = weights, vocabulary
        self._engine, self._draws = engine, draws
        self._count, self._requests = PrefixCount(self._tokens_of), 0

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: all there is, under its rule for steps."""
        return Capabilities(
            scoring=True,
            continuation=True,
            step_rule=self.step,
            confidences=True,
            mixtures=True,
            reading=True,
        )

    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory; see `motes.models.continued`."""
        tokens = [token for step in steps for token in step.step_token_ids]
        results: list[Trajectory | None] = [None] * len(trajectories)
        fit = [i for i, x in enumerate(trajectories) if self.room(x) >= len(tokens)]
        laws = [partial(chosen, law=law) for law in (prior, *components(proposal))]
        heads = [trajectories[i] for i in fit]
        values = self._measured(self.own_batch(heads, heads), [tokens] * len(heads), laws)
        for head, i, row in zip(heads, fit, values, strict=True):
            results[i] = self._said(head, steps, row.T.tolist(), proposal)
        return results

    def prompted(self, prompt: PromptForm | None, *, name: str | None = None) -> VllmLM:
        """Return a language model of the same weights, in the same engine, under another prompt.

        What both are asked at once is one batch of the engine; its steps count with the one of them
        that was asked first, and tokens with whoever wrote them.

        Args:
            prompt: as `motes.load_lm` takes it.
            name: what reports call it; this model's where None.
        """
        return VllmLM(
            self._engine,
            self._draws,
            self.tokenizer,
            step=self.step,
            prompt=prompt,
            name=name or self.name,
            weights=self.weights,
            end_ids=self.end_ids,
            vocabulary=self._vocabulary,
            context=self.context,
        )

    @property
    def shared_network(self) -> Any:
        """What it shares forward passes of with its prompts (`prompted`)."""
        return self._engine

    def _answers(self) -> Mapping[str, Callable[[JointBatch], Sequence[Any]]]:
        return {"extend": self._draw, "logprob": self._score, "read_steps": self._read}

    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure it was of every token; see `motes.models.token_confidences`."""
        roots = [x.path[0] for x in trajectories]
        texts = [x.token_ids for x in trajectories]
        values = self._measured(self.own_batch(roots, roots), texts, [partial(confident, top=top)])
        return [row[:, 0] for row in values]

    def _draw(self, batch: JointBatch) -> list[Trajectory]:
        """Draw a step of each row."""
        check_open(batch.heads)
        slots = len(batch.heads)
        laws, uniforms = RowLaws(batch.laws), SlotUniforms(np.array(batch.given), slots)
        self._draws.draw(laws, batch.heads, uniforms)
        owners: Any = batch.owners
        room = [owner.room(x) for owner, x in zip(owners, batch.heads, strict=True)]
        limits = [min(self.step.longest, more) for more in room]

        def ends(slot: int, tokens: list[int]) -> bool:
            return self._ends(batch.heads[slot], tokens, room[slot])

        cached, passes = self._run(batch, limits, ends)
        self.cost += Cost(forward_passes=passes)
        children = []
        for slot, (owner, parent) in enumerate(zip(owners, batch.heads, strict=True)):
            tokens = self._draws.tokens[slot]
            sums = np.array(self._draws.values[slot], np.float64).sum(axis=0)
            law = laws.said(slot, parent, sums)
            child = self._ending.child(parent, tokens, full=len(tokens) >= room[slot], **law)
            assert child is not None
            children.append(child)
            owner.cost += owner._count.drawn(
                parent,
                asked=owner.context - room[slot],
                cached=cached[slot],
                generated=len(tokens),
            )
        return children

    def _score(self, batch: JointBatch) -> list[float]:
        """Return the log-probability of each row's tokens under its prior."""
        priors = [law.prior for law in batch.laws]
        sums = self._sums(batch, batch.given, [*dict.fromkeys(priors)])
        return [sums[prior][row] for row, prior in enumerate(priors)]

    def _read(self, batch: JointBatch) -> list[Reading | None]:
        """Put a step behind each row."""
        check_open(batch.heads)
        results: list[Reading | None] = [None] * len(batch.heads)
        rows = fitting(batch)
        some = batch.of(rows)
        texts = [step.step_token_ids for step in some.given]
        found = readings(some, self._sums(some, texts, asked_laws(some)))
        for i, reading in zip(rows, found, strict=True):
            results[i] = reading
        return results

    def _sums(
        self, batch: JointBatch, texts: Sequence[Sequence[int]], laws: Sequence[Sampling]
    ) -> dict[Sampling, list[float]]:
        """Return, for each of the laws, the log-probability of each row's tokens."""
        values = self._measured(batch, texts, [partial(chosen, law=law) for law in laws])
        return {law: [sum(row[:, i]) for row in values] for i, law in enumerate(laws)}

    def _measured(
        self,
        batch: JointBatch,
        continuations: Sequence[Sequence[int]],
        measures: Sequence[Measure],
    ) -> list[np.ndarray]:
        """Return each measure at every token of each continuation, float64 (tokens, measures)."""
        texts = list(map(list, continuations))
        self._draws.give(texts, measures)
        _, passes = self._run(batch, list(map(len, texts)), lambda slot, tokens: False)
        owners: Any = batch.owners
        for owner, text in zip(owners, texts, strict=True):
            owner.cost += owner._count.scored(len(text), 0)
        self.cost += Cost(forward_passes=passes)
        return [
            np.array(rows, np.float64).reshape(len(text), len(measures))
            for rows, text in zip(self._draws.values, texts, strict=True)
        ]

    def _run(
        self,
        batch: JointBatch,
        limits: Sequence[int],
        ends: Callable[[int, list[int]], bool],
    ) -> tuple[list[int], int]:
        """Have the engine write until each slot has its limit of tokens, or `ends` says so.

        Returns:
            How many tokens of each context the engine had read before, and how many steps it took.
        """
        going: dict[str, int] = {}
        cached, passes = [0] * len(limits), 0
        owners: Any = batch.owners
        try:
            for slot, (owner, x) in enumerate(zip(owners, batch.heads, strict=True)):
                if limits[slot]:
                    going[self._add(owner.context_of(x), slot, limits[slot])] = slot
            while going:
                passes += 1
                for output in self._engine.step():
                    slot = going.get(output.request_id)
                    if slot is None:
                        continue
                    cached[slot] = output.num_cached_tokens or 0
                    if self._is_complete(output, slot, batch.heads[slot], limits[slot], ends):
                        del going[output.request_id]
                        if not output.finished:
                            self._engine.abort_request([output.request_id])
        finally:
            if going:
                self._engine.abort_request(list(going))
        return cached, passes

    def context_of(self, trajectory: Trajectory) -> list[int]:
        """Return the tokens of its prompt and steps."""
        return [token for node in trajectory.path for token in self._tokens_of(node)]

    def _add(self, context: list[int], slot: int, limit: int) -> str:
        vllm = import_module("vllm")
        params = vllm.SamplingParams(
            temperature=0.0,  # one token is possible
            max_tokens=limit,
            ignore_eos=True,
            detokenize=False,
            extra_args={SLOT: slot},
        )
        self._requests += 1
        name = f"motes-{id(self):x}-{self._requests}"  # the engine may serve other prompts too
        self._engine.add_request(name, {"prompt_token_ids": context}, params)
        return name

    def _is_complete(
        self,
        output: Any,
        slot: int,
        parent: Trajectory,
        limit: int,
        ends: Callable[[int, list[int]], bool],
    ) -> bool:
        tokens = list(output.outputs[0].token_ids)
        drawn, values = self._draws.tokens[slot], self._draws.values[slot]
        if tokens != drawn[: len(tokens)]:
            raise RuntimeError(
                f"vLLM wrote other tokens than those that were drawn for {self.name!r}: this "
                "version of it is not known"
            )
        if any(isnan(value) for row in values for value in row):
            raise FloatingPointError(
                f"the language model {self.name!r} gave logits that are NaN after {parent!r}"
            )
        complete = len(tokens) == limit or (bool(tokens) and ends(slot, tokens))
        if output.finished and not complete:
            raise RuntimeError(
                f"vLLM ended a text of {self.name!r} after {len(tokens)} tokens of {limit}"
            )
        if complete:
            del drawn[len(tokens) :], values[len(tokens) :]
        return complete


def load_vllm(
    source: str | Path,
    *,
    dtype: str = "auto",
    step: StepRule | None = None,
    prompt: PromptForm | None = None,
    **options: Any,
) -> VllmLM:
    """Load a causal language model into vLLM, in this process.

    Args:
        source: "pocket", a folder, or a Hugging Face id with its owner.
        dtype: "auto" (float32 on the CPU, else the checkpoint's), or the name of a type.
        step: when a step ends; at a blank line by default.
        prompt: what it reads before it writes; see `motes.load_lm`.
        options: any other argument of `vllm.LLM`, such as `max_model_len`, but those that draws
            rest on.

    Raises:
        ImportError: vLLM is not installed.
        ValueError: an option cannot be chosen, or the environment asks for several processes.
    """
    for name in options:
        if name in FIXED or name in ("logits_processors", "model", "tokenizer"):
            raise ValueError(f"{name} cannot be chosen for a model in vLLM: draws rest on it")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if os.environ[ONE_PROCESS] != "0":
        raise ValueError(
            f"the environment variable {ONE_PROCESS} must be 0 for a model in vLLM, whose draws "
            f"are taken in this process, and is {os.environ[ONE_PROCESS]!r}"
        )
    place = located(source, shipped=LM_FOLDER)
    if place.gguf:
        raise ValueError(f"{place.source!r} is a GGUF file: vLLM needs a folder or an id")
    try:
        vllm = import_module("vllm")
    except ImportError as error:
        raise ImportError(
            f"a model in vLLM needs vLLM: pip install 'motes[vllm]' ({error})"
        ) from error
    tokenizer, ends = tokenizer_at(place)
    draws = TokenDraws()
    on_cpu = import_module("vllm.platforms").current_platform.is_cpu()
    chosen_dtype = "float32" if dtype == "auto" and on_cpu else dtype
    llm = vllm.LLM(
        model=place.path,
        dtype=chosen_dtype,
        logits_processors=[_processor(draws)],
        **FIXED,
        **({"disable_log_stats": True} | options),
    )
    mark = source_mark(source, LM_FOLDER)
    return VllmLM(
        llm.llm_engine,
        draws,
        tokenizer,
        step=step,
        prompt=prompt,
        name=str(source),
        weights="" if mark is None else str(mark.text),
        end_ids=ends,
        vocabulary=read_config(place).get_text_config().vocab_size,
        context=llm.llm_engine.model_config.max_model_len,
    )


def _processor(draws: TokenDraws) -> type:
    """Return the class of logits processors that lets `draws` take the tokens."""
    base = import_module("vllm.v1.sample.logits_processor").LogitsProcessor

    class Drawn(base):
        def __init__(self, *given: Any) -> None: ...

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            if batch_update is not None:
                draws.update(batch_update.removed, batch_update.added, batch_update.moved)

        def apply(self, logits: Any) -> Any:
            return draws.apply(logits)

    return Drawn
