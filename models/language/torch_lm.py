"""Language models hosted with torch and transformers.

A batch of N steps costs one forward pass a token, of one language model or of several prompts over
its weights (see `motes.models.language.batch_reader`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from ... import checks
from ...aliases import Tokenizer
from ..asking import Question
from ..callbacks import weakly
from ..confidence import Top
from ..cost import Cost
from ..hosting.probe import declared_context, lawful_context
from ..hosting.speculative_drafts import Draft, Drafter, Target
from ..hosting.static_decoding import PLAIN, StaticDecoding, check_decoding
from ..hosting.token_measures import SCORED_COLUMNS, chosen, confident
from ..hosting.tree_cache import Tokens, TreeCache
from ..mixture import Law, components
from ..progress import Listener
from ..prompt_forms import PromptForm
from ..protocols import Capabilities
from ..sampling import Sampling
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .batch_reader import BatchReader
from .joint_batch import JointBatch
from .joint_lm import JointLM
from .tokenized_lm import end_ids

T = TypeVar("T")


class TorchLM(JointLM):
    """A causal language model of transformers, as a `LanguageModel`.

    Args:
        model: the model, on its device, in evaluation mode.
        tokenizer: its tokenizer; its chat template, where it has one, makes the prompt.
        step: when a step ends; part of the declared prior.
        prompt: what it reads before it writes: a `ChatPrompt`, the name of a preset, a text with
            {question} in it, or a function from a question to a text; the chat template with the
            question alone where None.
        name: what reports call it.
        cache_bytes: the most bytes of keys and values to keep between calls; they are recomputed
            when dropped.
        probe: whether to find out that a token's probability does not depend on what else is in a
            batch (see `motes.models.hosting.probe`).
        draft: what proposes tokens, of which the model reads several in a forward pass: a
            `ModelDraft` or an `NGramDraft`; None for a token a pass. The law of steps is the
            model's own either way (see `motes.models.hosting.speculative_law`), and a seed draws
            others.
        decoding: "plain"; or in fixed shapes: "static", "compiled" or "graphs" (see
            `motes.models.hosting.static_decoding`). Draws are the same up to rounding.
        beside: a language model of the same weights, whose room for keys and values this one
            shares.

    Attributes:
        context: how many tokens a prompt and a trajectory may have together. It is what the
            configuration declares, or less where the model's law would change (rotary positions
            that are rescaled beyond an original length).

    Raises:
        ValueError: the model is not one that can be forked (see `make_pool`), or its law depends on
            company; or the draft has another vocabulary; or it cannot be decoded in the way that
            was asked for.

    Example:
        >>> from motes.models import load_lm
        >>> lm = load_lm("pocket", probe=False)
        >>> type(lm).__name__, lm.capabilities.scoring, lm.step.cap
        ('TorchLM', True, 256)
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        step: StepRule | None = None,
        prompt: PromptForm | None = None,
        name: str = "",
        cache_bytes: int = 2 << 30,
        probe: bool = True,
        draft: Draft | None = None,
        decoding: str = PLAIN,
        beside: TorchLM | None = None,
    ) -> None:
        self.model, self.draft, self.decoding = model, draft, check_decoding(decoding)
        self._listener: Listener | None = None
        self.cache_bytes = kept = checks.count("cache_bytes", cache_bytes)
        # first, since it refuses what cannot be forked
        self._tree = TreeCache(
            model,
            self._tokens_of,
            budget=kept,
            on_forward=self._forwarded,
            on_move=self._moved,
            beside=None if beside is None else beside.tree,
        )
        super().__init__(
            tokenizer,
            step=step,
            prompt=prompt,
            name=name or type(model).__name__,
            end_ids=end_ids(getattr(model, "generation_config", None), model.config, tokenizer),
            vocabulary=model.config.get_text_config().vocab_size,
            context=declared_context(model.config),
        )
        if probe:
            self.context = lawful_context(model, name=self.name, context=self.context)
        self._static: StaticDecoding | None = None
        if decoding != PLAIN:
            if draft is not None:
                raise ValueError("decoding must be 'plain' beside a draft, whose blocks differ")
            self._static = StaticDecoding(self._tree, decoding, self.name)
        self._drafter: Drafter | None = None
        if draft is not None:
            vocabulary = model.config.get_text_config().vocab_size
            device, tokens_of, spend = self._tree.device, self._tokens_of, self._spend
            self._drafter = draft.at_work(
                Target(
                    self.name, tokenizer, vocabulary, device, weakly(tokens_of), kept, weakly(spend)
                )
            )

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: all there is, under its rule for steps.

        The same keys give the same draws but with a draft that learns.
        """
        return Capabilities(
            scoring=True,
            continuation=True,
            step_rule=self.step,
            confidences=True,
            seeds=self._drafter is None or self._drafter.seeds,
            mixtures=self._drafter is None,
            reading=True,
        )

    @torch.inference_mode()
    def continued(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Trajectory | None]:
        """Put the tokens of these steps after each trajectory, scored in one pass.

        See `motes.models.continued`.
        """
        tokens = tuple(token for step in steps for token in step.step_token_ids)
        fitting = [
            i for i, trajectory in enumerate(trajectories) if self.room(trajectory) >= len(tokens)
        ]
        results: list[Trajectory | None] = [None] * len(trajectories)
        if not fitting:
            return results

        laws = [prior] if proposal == prior else [prior, *components(proposal)]
        measures = [partial(chosen, law=law) for law in laws]

        reader = self._reader()

        def run(batch: JointBatch) -> list[Trajectory | None]:
            terms = reader.measured(batch, measures)
            return [
                self._said(head, steps, [values[i] for values in terms], proposal)
                for i, head in enumerate(batch.heads)
            ]

        heads, more = [trajectories[i] for i in fitting], [len(tokens)] * len(fitting)
        batch = self.own_batch(heads, [tokens] * len(heads))
        found = reader.in_batches(run, batch, more, SCORED_COLUMNS)
        for i, result in zip(fitting, found, strict=True):
            results[i] = result
        return results

    @property
    def tree(self) -> TreeCache:
        """What was read of its trees, with its keys and values."""
        return self._tree

    @property
    def shared_network(self) -> Any:
        """What it shares forward passes of with its prompts (`prompted`); None with a draft."""
        return self.model if self._drafter is None else None

    @torch.inference_mode()
    def answer_together(self, questions: Sequence[Question]) -> list[list[Any]]:
        """Answer one question each to language models of these weights; see `JointLM`.

        When memory runs out the batch is halved.
        """
        return super().answer_together(questions)

    def _answers(self) -> Mapping[str, Callable[[JointBatch], Sequence[Any]]]:
        reader = self._reader()
        return {"extend": reader.draw, "logprob": reader.score, "read_steps": reader.read}

    @torch.inference_mode()
    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure it was of every token; see `motes.models.token_confidences`."""
        results = [np.zeros(0) for _ in trajectories]
        written = [i for i, trajectory in enumerate(trajectories) if trajectory.depth]
        roots = [trajectories[i].path[0] for i in written]
        texts = [trajectories[i].token_ids for i in written]

        reader = self._reader()

        def run(batch: JointBatch) -> list[np.ndarray]:
            [values] = reader.measured(batch, [partial(confident, top=top)])
            return [values[row, : len(text)] for row, text in enumerate(batch.given)]

        batch = self.own_batch(roots, texts)
        found = reader.in_batches(run, batch, [*map(len, texts)], SCORED_COLUMNS)
        for i, values in zip(written, found, strict=True):
            results[i] = values
        return results

    def prompted(self, prompt: PromptForm | None, *, name: str | None = None) -> TorchLM:
        """Return a language model of the same weights that reads another prompt.

        Both keep keys and values in one room, of `cache_bytes`, and share forward passes where they
        are asked at once: those count with the one of them that was asked first. Tokens count
        with whoever wrote them.

        Args:
            prompt: as `motes.load_lm` takes it.
            name: what reports call it; this model's where None.

        Example:
            >>> from motes.models import load_lm
            >>> lm = load_lm("pocket", probe=False)
            >>> other = lm.prompted("Q: {question} A:")
            >>> other.rendered("2 + 2?").text, other.model is lm.model
            ('Q: 2 + 2? A:', True)
        """
        other = TorchLM(
            self.model,
            self.tokenizer,
            step=self.step,
            prompt=prompt,
            name=name or self.name,
            cache_bytes=self.cache_bytes,
            probe=False,
            draft=self.draft,
            decoding=self.decoding,
            beside=self,
        )
        other.context = self.context
        return other

    def tell(self, listener: Listener | None) -> Listener | None:
        """Tell this function how far each step is; see `motes.models.progress`."""
        before, self._listener = self._listener, listener
        return before

    def drop_cache(self) -> None:
        """Forget all keys and values; they are computed again where they are needed."""
        self._tree.drop()
        if self._drafter is not None:
            self._drafter.drop()
        if self._static is not None:
            self._static.drop()

    def _reader(self) -> BatchReader:
        """Return what batches are computed with, as this model is now."""
        return BatchReader(
            tree=self._tree,
            ending=self._ending,
            vocabulary=self.model.config.get_text_config().vocab_size,
            name=self.name,
            static=self._static,
            drafter=self._drafter,
            listener=self._listener,
            spend=self._spend,
        )

    def _forwarded(self, tokens: Tokens, seconds: float) -> None:
        self.cost += Cost(
            prompt_tokens=tokens.roots,
            rescored_tokens=tokens.again,
            forward_passes=1,
            forward_seconds=seconds,
        )

    def _moved(self, seconds: float) -> None:
        self._spend(Cost(cache_seconds=seconds))

    def _spend(self, cost: Cost) -> None:
        self.cost += cost
