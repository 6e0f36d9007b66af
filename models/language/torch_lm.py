"""Language models hosted with torch and transformers.

A batch of N steps costs one forward pass a token. Distinct parents' unread tokens are forwarded
first (usually their last one: a token that ended a step has been drawn but not read), then their
rows are forked to the N slots and decoded together. Rows end their steps at different times; the
batch is compacted before more than a quarter of it idles. With a draft, a forward pass reads a
block of tokens a row (see `motes.models.hosting.speculative_decoding`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from ... import checks
from ...aliases import PRNGKeys, Tokenizer
from ..callbacks import weakly
from ..confidence import Top
from ..cost import Cost
from ..hosting.decoding import Decoder
from ..hosting.kv import Rows
from ..hosting.memory import in_batches
from ..hosting.probe import declared_context, lawful_context
from ..hosting.speculative_decoding import SpeculativeDecoder
from ..hosting.speculative_drafts import Draft, Drafter, Target
from ..hosting.static_decoding import PLAIN, StaticDecoding, check_decoding
from ..hosting.token_measures import SCORED_COLUMNS, Measure, chosen, confident, measured
from ..hosting.transfers import sent
from ..hosting.tree_cache import Tokens, TreeCache
from ..mixture import Law, Mixture, components
from ..progress import Listener
from ..prompt_forms import PromptForm
from ..protocols import Capabilities, Reading
from ..randomness import SlotUniforms, raw_keys
from ..sampling import Sampling
from ..step_rule import StepRule
from ..trajectory import Trajectory
from .tokenized_lm import TokenizedLM, check_open, end_ids

T = TypeVar("T")


class TorchLM(TokenizedLM):
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
    ) -> None:
        self.model, self.draft, self.decoding = model, draft, check_decoding(decoding)
        self._listener: Listener | None = None
        self.cache_bytes = kept = checks.count("cache_bytes", cache_bytes)
        # first, since it refuses what cannot be forked
        self._tree = TreeCache(
            model, self._tokens_of, budget=kept, on_forward=self._forwarded, on_move=self._moved
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
    def extend(
        self,
        trajectories: Sequence[Trajectory],
        keys: PRNGKeys,
        *,
        sampling: Law | None = None,
        prior: Sampling | None = None,
    ) -> list[Trajectory]:
        """Draw one step for each trajectory, in one batch; see `LanguageModel.extend`.

        A trajectory that fills the model's context is returned truncated. When memory runs out the
        batch is halved.
        """
        check_open(trajectories)
        if not trajectories:
            return []
        raw = raw_keys(keys, len(trajectories))
        prior = prior or Sampling()

        def run(rows: Sequence[int]) -> list[Trajectory]:
            return self._extend(
                [trajectories[i] for i in rows], raw[list(rows)], sampling or prior, prior
            )

        more = [self.step.longest] * len(trajectories)
        held = len(components(sampling or prior))
        columns = held if self._drafter is None else 1 + self._drafter.tokens
        steps = self._in_batches(run, range(len(trajectories)), trajectories, more, columns)
        if self._drafter is not None:
            self._drafter.learn(steps)
        return steps

    @torch.inference_mode()
    def logprob(
        self,
        trajectories: Sequence[Trajectory],
        continuations: Sequence[Sequence[int]],
        *,
        prior: Sampling | None = None,
    ) -> np.ndarray:
        """Return the log-probability of each continuation; see `LanguageModel.logprob`."""
        if not trajectories:
            return np.zeros(0)

        def run(rows: Sequence[int]) -> list[float]:
            return self._logprob(
                [trajectories[i] for i in rows],
                [tuple(continuations[i]) for i in rows],
                prior or Sampling(),
            )

        more = [len(continuation) for continuation in continuations]
        return np.array(
            self._in_batches(run, range(len(trajectories)), trajectories, more, SCORED_COLUMNS)
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
            i for i, trajectory in enumerate(trajectories) if self._room(trajectory) >= len(tokens)
        ]
        results: list[Trajectory | None] = [None] * len(trajectories)
        if not fitting:
            return results

        def run(rows: Sequence[int]) -> list[Trajectory | None]:
            heads = [trajectories[i] for i in rows]
            laws = [prior] if proposal == prior else [prior, *components(proposal)]
            terms = self._token_terms(heads, [tokens] * len(heads), laws)
            return [
                self._said(head, steps, [values[i] for values in terms], proposal)
                for i, head in enumerate(heads)
            ]

        heads, more = [trajectories[i] for i in fitting], [len(tokens)] * len(fitting)
        for i, result in zip(
            fitting, self._in_batches(run, fitting, heads, more, SCORED_COLUMNS), strict=True
        ):
            results[i] = result
        return results

    @torch.inference_mode()
    def read_steps(
        self,
        trajectories: Sequence[Trajectory],
        steps: Sequence[Trajectory],
        *,
        prior: Sampling,
        proposal: Law,
    ) -> list[Reading | None]:
        """Put a step behind each trajectory, scored in one pass; see `calls.read_steps`.

        What has been read of it is kept, so that the next step goes on from there.
        """
        check_open(trajectories)
        texts = [step.step_token_ids for step in steps]
        results: list[Reading | None] = [None] * len(steps)
        rooms = map(self._room, trajectories)
        fitting = [i for i, room in enumerate(rooms) if 0 < len(texts[i]) <= room]
        if not fitting:
            return results

        def run(rows: Sequence[int]) -> list[Reading | None]:
            return self._read([trajectories[i] for i in rows], [texts[i] for i in rows], *laws)

        laws = prior, proposal
        heads, more = [trajectories[i] for i in fitting], [len(texts[i]) for i in fitting]
        for i, reading in zip(
            fitting, self._in_batches(run, fitting, heads, more, SCORED_COLUMNS), strict=True
        ):
            results[i] = reading
        return results

    @torch.inference_mode()
    def token_confidences(
        self, trajectories: Sequence[Trajectory], *, top: Top
    ) -> list[np.ndarray]:
        """Tell how sure it was of every token; see `motes.models.token_confidences`."""
        results = [np.zeros(0) for _ in trajectories]
        written = [i for i, trajectory in enumerate(trajectories) if trajectory.depth]
        roots = [trajectories[i].path[0] for i in written]
        texts = [trajectories[i].token_ids for i in written]

        def run(rows: Sequence[int]) -> list[np.ndarray]:
            beginnings = [roots[i] for i in rows]
            measure = partial(confident, top=top)
            [values] = self._measured(beginnings, [texts[i] for i in rows], [measure])
            return [values[place, : len(texts[i])] for place, i in enumerate(rows)]

        places = range(len(written))
        found = self._in_batches(run, places, roots, [len(text) for text in texts], SCORED_COLUMNS)
        for i, values in zip(written, found, strict=True):
            results[i] = values
        return results

    def prompted(self, prompt: PromptForm | None, *, name: str | None = None) -> TorchLM:
        """Return a language model of the same weights that reads another prompt.

        It keeps keys and values of its own, and counts its own cost.

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

    def _extend(
        self, parents: list[Trajectory], keys: np.ndarray, sampling: Law, prior: Sampling
    ) -> list[Trajectory]:
        drafter, length = self._drafter, self._tree.length
        if drafter is None:
            return self._decoded(parents, keys, sampling, prior)
        limit = drafter.context
        drafted = [
            limit is None or length(parent) + self.step.longest <= limit for parent in parents
        ]
        steps: list[Trajectory | None] = [None] * len(parents)
        for way in (True, False):
            rows = [i for i, each in enumerate(drafted) if each is way]
            if not rows:
                continue
            part = [parents[i] for i in rows]
            speculator = drafter if way else None
            found = self._decoded(part, keys[rows], sampling, prior, speculator)
            for i, step in zip(rows, found, strict=True):
                steps[i] = step
        return [step for step in steps if step is not None]

    def _decoded(
        self,
        parents: list[Trajectory],
        keys: np.ndarray,
        sampling: Law,
        prior: Sampling,
        drafter: Drafter | None = None,
    ) -> list[Trajectory]:
        """Draw a step behind each parent, with a draft or token by token."""
        logits, rows = self._fork(parents)
        uniforms = SlotUniforms(keys, len(parents))
        room = self.context - rows.lengths.cpu().numpy()
        if drafter is None:
            static = self._static
            decoder = Decoder(
                forward=self._forward_tokens if static is None else static.forward,
                store=self._tree.store,
                select=self._tree.select if static is None else static.select,
                ending=self._ending,
                sampling=sampling,
                prior=prior,
                name=self.name,
                listener=self._listener,
            )
            batch = rows if static is None else static.placed(rows)
            del rows
            steps = decoder.run(parents, logits, batch, uniforms, room)
            discarded = 0
        else:
            assert isinstance(sampling, Sampling)  # a mixture is refused with a draft
            decoder = SpeculativeDecoder(
                tree=self._tree,
                ending=self._ending,
                sampling=sampling,
                prior=prior,
                name=self.name,
                longest=drafter.tokens,
                listener=self._listener,
            )
            session = drafter.begin(parents)
            steps = decoder.run(parents, logits, rows, session, uniforms, room)
            discarded = decoder.discarded
        self.cost += Cost(
            generated_tokens=sum(len(step.step_token_ids) for step in steps),
            discarded_tokens=discarded,
            idle_rows=decoder.idle_rows,
        )
        return steps

    def _in_batches(
        self,
        run: Callable[[Sequence[int]], list[T]],
        rows: Sequence[int],
        heads: Sequence[Trajectory],
        more: Sequence[int],
        scored: int,
    ) -> list[T]:
        """Run rows in batches that fit into memory.

        Args:
            run: computes one result for each row number it is given.
            rows: the row numbers.
            heads: the context of each.
            more: how many tokens may follow each.
            scored: columns whose logits are held at a time.
        """
        outputs = scored * self.model.config.get_text_config().vocab_size
        padded = self._static is not None
        sizes = self._tree.row_bytes(heads, more, outputs, padded=padded)
        if self._drafter is not None:
            drafts = self._drafter.row_bytes(heads, more)
            sizes = [own + of_draft for own, of_draft in zip(sizes, drafts, strict=True)]
        return in_batches(run, rows, sizes, self._tree.device)

    def _fork(self, parents: Sequence[Trajectory]) -> tuple[torch.Tensor, Rows]:
        """Return the logits behind each parent, and a batch of their contexts, a row each."""
        distinct = list(dict.fromkeys(parents))
        place = {parent: i for i, parent in enumerate(distinct)}
        index = [place[parent] for parent in parents]
        logits, rows = self._tree.logits_at(distinct)
        rows = self._tree.rows(parents) if rows is None else self._tree.select(rows, index)
        return logits[sent(index, logits.device)], rows

    def _logprob(
        self, trajectories: list[Trajectory], continuations: list[tuple[int, ...]], prior: Sampling
    ) -> list[float]:
        return self._token_terms(trajectories, continuations, [prior])[0].sum(axis=1).tolist()

    def _read(
        self,
        heads: list[Trajectory],
        texts: list[tuple[int, ...]],
        prior: Sampling,
        proposal: Law,
    ) -> list[Reading | None]:
        logits, rows = self._fork(heads)
        first, laws = rows.columns, (prior, *components(proposal))
        measures = [partial(chosen, law=law) for law in dict.fromkeys(laws)]
        figures = self._figures(heads, logits, rows, texts, measures)
        values = [figures[[*dict.fromkeys(laws)].index(law)] for law in laws]
        readings: list[Reading | None] = []
        kept = []
        for row, (head, tokens) in enumerate(zip(heads, texts, strict=True)):
            log_p, *terms = [float(of_law[row].sum()) for of_law in values]
            law = {"logprob": 0.0, "proposal_logprob": 0.0}
            own = tuple(terms) if isinstance(proposal, Mixture) else ()
            node = self._step_said(head, tokens, **law, component_logprobs=own)
            readings.append(None if node is None else Reading(node, log_p, tuple(terms)))
            if node is not None:
                kept.append((row, node, first, len(tokens) - 1))
        self._tree.store(rows, kept)
        return readings

    def _token_terms(
        self,
        trajectories: list[Trajectory],
        continuations: list[tuple[int, ...]],
        laws: Sequence[Sampling],
    ) -> list[np.ndarray]:
        """Return, for each of the laws, the log-probability of every token.

        Float64 (rows, tokens of the longest), 0 behind a row's last.
        """
        measures = [partial(chosen, law=law) for law in laws]
        return self._measured(trajectories, continuations, measures)

    def _measured(
        self,
        trajectories: list[Trajectory],
        continuations: list[tuple[int, ...]],
        measures: Sequence[Measure],
    ) -> list[np.ndarray]:
        """Return each measure's value at every token; see `motes.models.hosting.token_measures`."""
        return self._figures(trajectories, *self._fork(trajectories), continuations, measures)

    def _figures(
        self,
        trajectories: list[Trajectory],
        logits: torch.Tensor,
        rows: Rows,
        continuations: list[tuple[int, ...]],
        measures: Sequence[Measure],
    ) -> list[np.ndarray]:
        """Return the same of contexts that are forked already, whose rows read the tokens."""
        values = measured(self._tree, logits, rows, continuations, measures)
        for i in np.flatnonzero(np.isnan(values).any(axis=(0, 2))):
            raise FloatingPointError(
                f"the language model {self.name!r} gave a log-probability that is NaN "
                f"after {trajectories[i]!r}"
            )
        return values

    def _forward_tokens(
        self, rows: Rows, tokens: torch.Tensor, alive: torch.Tensor
    ) -> torch.Tensor:
        """Read one token a row (alive: 1 where the row's step goes on); the logits behind it."""
        return self._tree.forward(rows, tokens[:, None], alive, Tokens(0, 0, 0))[:, -1]

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
