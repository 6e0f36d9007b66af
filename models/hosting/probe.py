"""Whether a model's law depends on company or history.

Hosted passes against plain ones, found out when a model is loaded.

motes reads a prefix once, forks it, pads rows of uneven length on the left, and lets rows end at
different times. All of that must leave a token's probability alone, and with some architectures it
does not: decoders that number positions by columns (the Bart family), that number them in their own
way (the RoBERTa family), encoders whose tokens see later ones, and rotary positions that are
rescaled by the longest row (dynamic NTK, longrope). Here a small tree of random tokens is read both
ways,

    hosted   by `TreeCache`: cached, forked, padded, uneven, with rows that have ended
    plain    one forward pass over each prefix alone: no cache, no padding, no mask

on both sides of every length that the configuration names. It is read by a small twin of the model
(see `twin`), in float32 on the CPU, so that it takes a fraction of a second whatever the model's
size. A model without a twin is read itself, for a few tokens. Where the two agree only below a
named length, the model is hosted with that length as its context.

Not covered: weights (a twin's are random), kernels that a GPU uses and the CPU does not, and
differences that only lengths above the named ones would show.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ...aliases import Config, Network
from ..trajectory import Trajectory
from .kv import Rows
from .tree_cache import Tokens, TreeCache
from .twin import CONTEXT, named_lengths, small_twin

# nats; a twin's passes differ by some 1e-5 from rounding, and laws that depend on company by 0.01
# to 10
TOLERANCE = 1e-3
TOLERANCE_HALF = 0.5  # nats, where a model in half precision must be read itself
SHORT = 24  # tokens that a model without a twin is read for
BUDGET = 64 << 20  # bytes of keys and values
# a configuration's names of it; MPT's has the second
CONTEXTS = ("max_position_embeddings", "max_seq_len")
GROWTH = (1, 3, 2, 6, 4, 9)  # tokens of successive steps

_known: dict[tuple[type, str, str | None], tuple[float, int | None]] = {}


def lawful_context(model: Network, *, name: str, context: int) -> int:
    """Return how many tokens of context a model can be hosted with.

    `context`, or less where its law would change.

    Args:
        model: a transformers model whose prefixes can be cached (see `make_pool`).
        name: of the model, for errors.
        context: the context that its configuration declares, in tokens.

    Raises:
        ValueError: a token's probability depends on padding, caching, forks or other rows at any
            length; one sentence.
    """
    config = model.config
    key = (
        type(model),
        config.to_json_string(use_diff=False),
        getattr(config, "_attn_implementation", None),
    )
    if key not in _known:
        _known[key] = _verdict(model)
    difference, limit = _known[key]
    if limit == 0:
        size = f"by up to {difference:.2g} nats" if math.isfinite(difference) else "or fails"
        raise ValueError(
            f"{name!r} cannot be hosted: the probability that a {type(model).__name__} gives to a "
            f"token differs {size} when "
            "prefixes are cached and rows padded, so its results would depend on what else is in "
            "a batch "
            "(choose a decoder that takes position ids, such as the Llama family)"
        )
    return context if limit is None else min(context, limit)


def _verdict(model: Network) -> tuple[float, int | None]:
    """Return the largest difference found, and the context below which there is none.

    None for any, 0 for none.
    """
    with torch.inference_mode(False), torch.no_grad():
        try:
            read = small_twin(model)
        except Exception:  # whatever a class says of a configuration that was not meant for it
            read = None
        most = SHORT if read is None else CONTEXT
        read = model if read is None else read
        lengths = named_lengths(model.config, read.config)
        most = min(most, declared_context(read.config))
        half = read.dtype in (torch.float16, torch.bfloat16)
        tolerance = TOLERANCE_HALF if half else TOLERANCE
        difference = _difference(read, most)
        if difference <= tolerance:
            uncovered = [real for real, small in lengths if small > most]
            return difference, min(uncovered, default=None)
        for real, small in lengths:
            if 2 < small < most and _difference(read, small) <= tolerance:
                return difference, real
        return difference, 0


def declared_context(config: Config) -> int:
    """Return how many tokens of context a model's configuration declares.

    A large number where it declares none.
    """
    text = config.get_text_config()
    for name in CONTEXTS:
        declared = getattr(text, name, None)
        if declared:
            return int(declared)
    return 1 << 30


def _difference(model: Network, most: int) -> float:
    """Return the largest difference between hosted and plain passes; infinity for an error.

    Rows have at most `most` tokens.
    """
    try:
        return _Comparison(model, most).run()
    except Exception:  # a model that cannot be asked this way cannot be hosted, whatever it says
        return math.inf


class _Comparison:
    """A small tree of random tokens, read by a `TreeCache` and by plain passes.

    Args:
        model: what is read.
        most: the most tokens of a row.
    """

    def __init__(self, model: Network, most: int) -> None:
        self.model, self.most, self.worst = model, most, 0.0
        self._random = np.random.default_rng(0)
        self._ids = _ordinary_ids(model.config)
        self._tokens: dict[Trajectory, tuple[int, ...]] = {}
        self._plain: dict[tuple[int, ...], torch.Tensor] = {}
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        self._cache = TreeCache(
            model, self._tokens.__getitem__, budget=BUDGET, on_forward=nothing, on_move=nothing
        )

    def run(self) -> float:
        """Return the largest difference found, in nats."""
        long, short = self._node(None, min(3, self.most)), self._node(None, min(2, self.most))
        path = [long]
        for turn, more in enumerate(GROWTH):
            long, short = self._node(long, more), self._node(short, max(1, more - 2))
            self._read([long, short])
            if turn % 2:
                self._decode([long, short])
            path.append(long)
        fill = self.most - len(self._prefix(long))
        # a full row, and an interior node for a second time
        self._read([self._node(long, fill), path[1], short])
        self._cache.drop()
        self._score([path[-1], path[2], short])
        return self.worst

    def _read(self, nodes: Sequence[Trajectory]) -> None:
        """Compare the outputs behind nodes of uneven lengths."""
        distinct = list(dict.fromkeys(nodes))
        for node, outputs in zip(distinct, self._cache.logits_at(distinct).logits, strict=True):
            self._compare(self._prefix(node), outputs)

    def _decode(self, nodes: Sequence[Trajectory]) -> None:
        """Fork the first of two nodes, and read a few tokens a row.

        Rows end one after the other, the longest first.
        """
        rows = self._fork(nodes, [0, 0, 1])
        prefixes = [self._prefix(nodes[i]) for i in (0, 0, 1)]
        for count in range(3):
            ids = self._draw(3)
            alive = [
                len(prefix) < self.most and count < last
                for prefix, last in zip(prefixes, (1, 2, 3), strict=True)
            ]
            if not any(alive):
                return
            outputs = self._forward(rows, [[token] for token in ids], [int(row) for row in alive])
            for row in np.flatnonzero(alive):
                prefixes[row] = (*prefixes[row], ids[row])
                self._compare(prefixes[row], outputs[row, -1])

    def _score(self, nodes: Sequence[Trajectory]) -> None:
        """Read several tokens a row at once, of uneven numbers; compare the outputs after each."""
        rows = self._fork(nodes, range(len(nodes)))
        counts = [
            min(count, self.most - len(self._prefix(node)))
            for node, count in zip(nodes, (2, 5, 4), strict=True)
        ]
        ids = [self._draw(5) for _ in nodes]
        outputs = self._forward(rows, ids, counts)
        for row, node in enumerate(nodes):
            for column in range(counts[row]):
                self._compare((*self._prefix(node), *ids[row][: column + 1]), outputs[row, column])

    def _fork(self, nodes: Sequence[Trajectory], index: Sequence[int]) -> Rows:
        rows = self._cache.logits_at(list(nodes)).rows
        return self._cache.select(self._cache.rows(nodes) if rows is None else rows, list(index))

    def _forward(
        self, rows: Rows, ids: Sequence[Sequence[int]], counts: Sequence[int]
    ) -> torch.Tensor:
        device = self.model.device
        given, inside = torch.tensor(ids, device=device), torch.tensor(counts, device=device)
        return self._cache.forward(rows, given, inside, Tokens(0, 0, 0), keep=0)

    def _compare(self, prefix: tuple[int, ...], outputs: torch.Tensor) -> None:
        if prefix not in self._plain:
            ids = torch.tensor([prefix], device=self.model.device)
            self._plain[prefix] = _law(self.model(input_ids=ids).logits[0, -1], self.model.config)
        plain, hosted = self._plain[prefix], _law(outputs, self.model.config)
        apart = torch.where(plain == hosted, 0.0, (plain - hosted).abs())  # infinities may be equal
        self.worst = max(self.worst, float(torch.nan_to_num(apart, nan=math.inf).max()))

    def _node(self, parent: Trajectory | None, count: int) -> Trajectory:
        """Return a new node of `count` tokens, or of as many as fit.

        The parent itself where none does.
        """
        if parent is None:
            node = Trajectory(question="probe")
        else:
            count = min(count, self.most - len(self._prefix(parent)))
            if count <= 0:
                return parent
            node = parent.child("", (), logprob=0.0, proposal_logprob=0.0)
        self._tokens[node] = tuple(self._draw(count))
        return node

    def _prefix(self, node: Trajectory) -> tuple[int, ...]:
        return tuple(token for ancestor in node.path for token in self._tokens[ancestor])

    def _draw(self, count: int) -> list[int]:
        return self._random.choice(self._ids, size=count).tolist()


def _law(outputs: torch.Tensor, config: Config) -> torch.Tensor:
    """Return log-probabilities of a language model's next token.

    A classifier's outputs as they are, for they are log-odds.
    """
    wide = outputs.double().cpu()
    if len(wide) >= config.get_text_config().vocab_size:
        return torch.log_softmax(wide, dim=-1)
    return wide


def _ordinary_ids(config: Config) -> list[int]:
    """Return token ids without a meaning of their own, such as padding or the place of an image."""
    special: set[int] = set()
    for part in (config, config.get_text_config()):
        for name, value in part.to_dict().items():
            if re.search(r"(token_ids?|token_index)$", name):
                special |= set(value if isinstance(value, list) else [value])
    return [i for i in range(min(config.get_text_config().vocab_size, 512)) if i not in special]
