"""Speculative sampling: the law of a block by enumeration, and the host against plain passes.

The references share nothing with what is tested: products of a table's probabilities, and a model's
logits by one forward pass without cache, batch, padding and draft.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from functools import wraps
from itertools import product
from math import prod
from typing import Any

import jax
import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tiny_models import tiny_config, tiny_model

from motes import load_lm
from motes.models import ModelDraft, NGramDraft, Sampling, StepRule, TorchLM, Trajectory, load_draft
from motes.models.hosting import speculative_decoding
from motes.models.hosting.kv import Rows
from motes.models.hosting.speculative_decoding import SpeculativeDecoder
from motes.models.hosting.speculative_drafts import Drafted
from motes.models.hosting.speculative_law import acceptance, following
from motes.models.identity import identify
from motes.models.pocket import problems

QUESTION = next(problems("test", seed=11, steps=3)).question
OTHER = next(problems("test", seed=12, steps=5)).question
LEVEL = 1e-4  # the false alarm rate of each comparison of frequencies


def keys(seed: int, rows: int) -> Any:
    return jax.random.split(jax.random.key(seed), rows)


# The law, by enumeration.

VOCABULARY, END, LONGEST = 4, 3, 4


def target(prefix: tuple[int, ...]) -> np.ndarray:
    """Return some probabilities, none of them alike, of which some are 0."""
    rng = np.random.default_rng([7, len(prefix), *prefix])
    weights = rng.random(VOCABULARY) ** 2
    weights[int(rng.integers(VOCABULARY))] = 0.0
    return weights / weights.sum()


def proposal(prefix: tuple[int, ...]) -> np.ndarray:
    """Return other ones: sometimes a single token, sometimes the target's own."""
    rng = np.random.default_rng([8, len(prefix), *prefix])
    kind = int(rng.integers(4))
    if kind == 0:
        return np.eye(VOCABULARY)[int(rng.integers(VOCABULARY))]
    weights = target(prefix) if kind == 1 else rng.random(VOCABULARY)
    return weights / weights.sum()


def drafts_of(prefix: tuple[int, ...]) -> int:
    """Return how many tokens are drafted: uneven, and never beyond the longest step."""
    return min(LONGEST - len(prefix) - 1, (3, 2, 0, 1)[len(prefix)])


def step_law(accept: Any = acceptance, follow: Any = following) -> dict[tuple[int, ...], float]:
    """Return the law of a step that ends at `END` or is `LONGEST` long, written block by block."""
    reached: dict[tuple[int, ...], float] = {(): 1.0}
    ended: dict[tuple[int, ...], float] = {}
    while reached:
        prefix = min(reached, key=len)
        mass = reached.pop(prefix)
        for text, chance in block_law(prefix, accept, follow):
            stop = next((i + 1 for i, token in enumerate(text) if token == END), None)
            step = prefix + text[:stop]
            into = ended if stop or len(step) == LONGEST else reached
            into[step] = into.get(step, 0.0) + mass * chance
    return ended


def block_law(prefix: tuple[int, ...], accept: Any, follow: Any) -> list[Any]:
    """Return what one block may write behind a prefix, with its probability."""
    number = drafts_of(prefix)
    found = []
    for drafted in product(range(VOCABULARY), repeat=number):
        before = [prefix + drafted[:j] for j in range(number + 1)]
        q = [proposal(each) for each in before[:number]]
        drawn = prod(q[j][drafted[j]] for j in range(number))
        if drawn == 0:
            continue
        with np.errstate(divide="ignore"):
            log_p = torch.from_numpy(np.log([[target(each) for each in before]]))
            log_q = torch.from_numpy(np.log(np.array(q).reshape(1, number, VOCABULARY)))
        count = torch.tensor([number])
        ids = torch.tensor([drafted], dtype=torch.int64).reshape(1, number)
        chances = accept(log_p, log_q, ids, count)[0].tolist()
        for taken in range(number + 1):
            chance = drawn * prod(chances[:taken])
            chance *= 1 - chances[taken] if taken < number else 1
            law = follow(log_p, log_q, count, torch.tensor([taken]))[0].tolist()
            found += [((*drafted[:taken], token), chance * each) for token, each in enumerate(law)]
    return found


def plain_law() -> dict[tuple[int, ...], float]:
    """Return the law of the step, token by token."""
    ended, reached = {}, {(): 1.0}
    while reached:
        prefix, mass = reached.popitem()
        for token, chance in enumerate(target(prefix)):
            step = (*prefix, token)
            into = ended if token == END or len(step) == LONGEST else reached
            into[step] = mass * chance
    return ended


def apart(found: dict[Any, float]) -> float:
    """Return the largest difference of a law from the plain one."""
    expected = plain_law()
    assert found.keys() <= expected.keys()
    return max(abs(found.get(step, 0.0) - chance) for step, chance in expected.items())


def test_steps_have_the_law_of_the_target() -> None:
    """All steps of up to four tokens, blocks of three, two, no and one draft, ends inside blocks,
    drafts without support and targets without support: to 1e-12."""
    assert apart(step_law()) < 1e-12


def bonus_of_the_draft(log_p: Any, log_q: Any, counts: Any, accepted: Any) -> Any:
    """Planted fault: behind a whole block, the draft's last law."""
    law = following(log_p, log_q, counts, accepted)
    if log_q.shape[1] == 0:
        return law
    whole = (accepted == counts) & (counts > 0)
    return torch.where(whole[:, None], log_q[:, -1].double().exp(), law)


def residual_of_nothing(log_p: Any, log_q: Any, counts: Any, accepted: Any) -> Any:
    """Planted fault: the target's own law in place of the residual."""
    return following(log_p, log_q, accepted, accepted)


def residual_as_it_is(log_p: Any, log_q: Any, counts: Any, accepted: Any) -> Any:
    """Planted fault: the residual, not normalised."""
    law = following(log_p, log_q, counts, accepted)
    if log_q.shape[1] == 0 or (accepted == counts).all():
        return law
    rows, at = torch.arange(len(accepted)), accepted.clamp(max=log_q.shape[1] - 1)
    return (log_p[rows, at].exp() - log_q[rows, at].exp()).clamp(min=0.0)


def ratio_clipped(log_p: Any, log_q: Any, drafts: Any, counts: Any) -> Any:
    """Planted fault: min(0.5, p / q)."""
    return acceptance(log_p, log_q, drafts, counts).clamp(max=0.5)


@pytest.mark.parametrize(
    "fault",
    [
        {"follow": bonus_of_the_draft},
        {"follow": residual_of_nothing},
        {"follow": residual_as_it_is},
        {"accept": ratio_clipped},
    ],
    ids=["bonus", "no residual", "not normalised", "clipped"],
)
def test_planted_faults_are_seen_in_the_law(fault: dict[str, Any]) -> None:
    assert apart(step_law(**fault)) > 1e-3


# The host.


@pytest.fixture(scope="module")
def random64(tokenizer: Any) -> Any:
    """A tiny Llama with random weights."""
    return tiny_model(tiny_config("llama", len(tokenizer)), seed=1)


@pytest.fixture(scope="module")
def near64(random64: Any, tokenizer: Any) -> Any:
    """The same, each weight moved a little: some of what it drafts is accepted."""
    model = tiny_model(tiny_config("llama", len(tokenizer)), seed=1)
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 0.2 * torch.randn_like(weight))
    return model


def plain_log_probs(lm: TorchLM, trajectory: Trajectory) -> np.ndarray:
    """Log-probabilities in front of each generated token, by one forward pass."""
    prompt = list(lm._tokens_of(trajectory.path[0]))
    with torch.no_grad():
        logits = lm.model(torch.tensor([[*prompt, *trajectory.token_ids]])).logits[0]
    return Sampling().log_probs(logits[len(prompt) - 1 : -1].numpy())


def plain_logprob(lm: TorchLM, trajectory: Trajectory, law: Sampling) -> float:
    table = law.log_probs(plain_log_probs(lm, trajectory))
    return float(table[np.arange(len(table)), list(trajectory.token_ids)].sum())


def grow(lm: TorchLM, *, rounds: int = 4, drop: bool = False, **laws: Any) -> list[Trajectory]:
    """Two questions, forks, ragged steps, extensions of interior nodes, dropped caches."""
    rng = np.random.default_rng(0)
    nodes = [lm.start(QUESTION), lm.start(OTHER)]
    for i in range(rounds):
        parents = [nodes[j] for j in rng.integers(len(nodes), size=7) if nodes[j].open]
        parents += parents[:1]  # a fork at least
        nodes += lm.extend(parents, keys(i, len(parents)), **laws)
        if drop and i % 2:
            lm.drop_cache()
    return nodes[2:]


def a_draft(kind: str, model: Any, tokenizer: Any) -> Any:
    if kind == "ngrams":
        return NGramDraft(order=2, tokens=3, likeliest=2)  # whose laws are not the target's
    return ModelDraft(model, tokenizer, tokens=3)


@pytest.mark.long(quick=3)
@pytest.mark.parametrize("kind", ["model", "ngrams"])
@pytest.mark.parametrize("name", ["sliding64", "learned_positions64", "random64", "pocket64"])
def test_logprob_is_that_of_one_plain_forward_pass(
    kind: str, name: str, tokenizer: Any, request: pytest.FixtureRequest
) -> None:
    """Tokens, caches that were rolled back, and both laws; the draft is another model."""
    model = request.getfixturevalue(name)
    draft = request.getfixturevalue("sliding64" if name != "sliding64" else "random64")
    lm = TorchLM(
        model, tokenizer, step=StepRule(cap=12), draft=a_draft(kind, draft, tokenizer), probe=False
    )
    assert error_of_laws(lm, drops=(False, True)) < 1e-9
    assert lm.cost.discarded_tokens > 0


def error_of_laws(lm: TorchLM, drops: Sequence[bool] = (False,)) -> float:
    """Return how far log p, log q and log p / q of drawn texts are from one plain pass, at most."""
    hot, prior, errors = Sampling(temperature=1.5, top_k=40), Sampling(temperature=1.2), []
    for drop in drops:
        for node in grow(lm, rounds=3, drop=drop, sampling=hot, prior=prior):
            log_p, log_q = (plain_logprob(lm, node, law) for law in (prior, hot))
            told = node.logprob, node.proposal_logprob
            expected = np.array([log_p, log_q, log_p - log_q])
            errors.append(np.abs(np.array([*told, told[0] - told[1]]) - expected).max())
    return float(max(errors))


@pytest.mark.parametrize("left_out", [[0, 1], [0]], ids=["p / q", "log p"])
@pytest.mark.parametrize("kind", ["model", "ngrams"])
def test_a_bonus_token_that_is_not_weighed_is_seen(
    kind: str,
    left_out: list[int],
    random64: Any,
    near64: Any,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: the token behind a whole block of drafts has no part in its step's weight."""
    verified, bonuses = SpeculativeDecoder._verified, 0

    def unweighted(
        self: SpeculativeDecoder, table: torch.Tensor, drafted: Drafted, *others: Any
    ) -> Any:
        nonlocal bonuses
        tokens, terms, accepted, laws = verified(self, table, drafted, *others)
        whole = np.flatnonzero((accepted == drafted.counts) & (drafted.counts > 0))
        terms[whole[:, None], accepted[whole, None], left_out] = 0.0
        bonuses += len(whole)
        return tokens, terms, accepted, laws

    draft = a_draft(kind, near64, tokenizer)
    lm = TorchLM(random64, tokenizer, step=StepRule(cap=12), draft=draft, probe=False)
    assert error_of_laws(lm) < 1e-9
    monkeypatch.setattr(SpeculativeDecoder, "_verified", unweighted)
    assert error_of_laws(lm) > 1e-3 and bonuses > 0


def exact_steps(lm: TorchLM, root: Trajectory, law: Sampling, tokens: int) -> dict[Any, float]:
    """Return the law of a step of so many tokens, from plain passes over all its beginnings."""
    prompt, reached = list(lm._tokens_of(root)), {(): 1.0}
    for _ in range(tokens):
        texts = list(reached)
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *text] for text in texts])
            probs = np.exp(law.log_probs(lm.model(ids).logits[:, -1].numpy()))
        reached = {
            (*text, int(token)): reached[text] * float(probs[row, token])
            for row, text in enumerate(texts)
            for token in np.flatnonzero(probs[row])
        }
    return reached


def frequencies_fit(lm: TorchLM, rows: int, seed: int) -> float:
    """Return the p-value of steps drawn from one prompt against their exact probabilities."""
    law, root = Sampling(temperature=1.5, top_k=3), lm.start(QUESTION)
    lm.extend([root] * 12, keys(99, 12), prior=law)  # a table has something to learn
    expected = exact_steps(lm, root, law, lm.step.longest)
    drawn = lm.extend([root] * rows, keys(seed, rows), prior=law)
    places = {step: i for i, step in enumerate(expected)}
    if any(x.step_token_ids not in places for x in drawn):
        return 0.0  # of probability zero
    counts = np.bincount([places[x.step_token_ids] for x in drawn], minlength=len(places))
    means = np.array(list(expected.values())) * rows
    large = means >= 5
    pooled = lambda values: np.append(values[large], values[~large].sum())
    observed, wanted = pooled(counts), pooled(means)
    kept = wanted > 0
    return float(chisquare(observed[kept], wanted[kept]).pvalue)


def drafted_lm(kind: str, random64: Any, near64: Any, tokenizer: Any, **settings: Any) -> TorchLM:
    rule = StepRule(delimiter=None, tokens=4)
    draft = a_draft(kind, near64, tokenizer)
    # no end of text, so that steps are enumerated by their length
    lm = TorchLM(random64, tokenizer, step=rule, draft=draft, probe=False, **settings)
    lm._ending.end_ids = frozenset()
    return lm


@pytest.mark.parametrize("kind", ["model", "ngrams"])
def test_frequencies_of_whole_steps_are_exact(
    kind: str, random64: Any, near64: Any, tokenizer: Any
) -> None:
    """600 steps of four tokens, three a place; false alarm 1e-4 (chi-squared)."""
    lm = drafted_lm(kind, random64, near64, tokenizer)
    assert frequencies_fit(lm, 600, seed=6) > LEVEL
    computed = lm.cost.generated_tokens + lm.cost.discarded_tokens
    assert 0.1 < lm.cost.discarded_tokens / computed < 0.9


@pytest.mark.statistics
@pytest.mark.parametrize(
    "fault",
    [
        {"following": bonus_of_the_draft},
        {"following": residual_of_nothing},
        {"acceptance": ratio_clipped},
    ],
    ids=["bonus", "no residual", "clipped"],
)
def test_planted_faults_are_seen_in_frequencies(
    fault: dict[str, Any],
    random64: Any,
    near64: Any,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = drafted_lm("model", random64, near64, tokenizer)
    for name, faulty in fault.items():
        monkeypatch.setattr(speculative_decoding, name, faulty)
    assert frequencies_fit(lm, 4000, seed=6) < LEVEL


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["model", "ngrams"])
def test_what_was_rolled_back_is_as_if_it_had_never_been_read(
    kind: str, random64: Any, sliding64: Any, tokenizer: Any
) -> None:
    """The keys and values kept are those of a new reading, of the target and of the draft."""
    draft = a_draft(kind, sliding64, tokenizer)
    lm = TorchLM(random64, tokenizer, step=StepRule(cap=9), draft=draft, probe=False)
    nodes = [x for x in grow(lm, rounds=3) if x.open]
    assert lm.cost.discarded_tokens > 0
    trees = [lm._tree] + ([lm._drafter.tree] if kind == "model" else [])
    for tree in trees:
        tree.logits_at(nodes)  # the last tokens, too
        kept = [_keys_and_values(tree, x) for x in nodes]
        tree.drop()
        tree.logits_at(nodes)
        for x, before in zip(nodes, kept, strict=True):
            for one, other in zip(before, _keys_and_values(tree, x), strict=True):
                torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


def _keys_and_values(tree: Any, node: Trajectory) -> Any:
    slots = tree._slots(node.path)
    assert len(slots) == tree.length(node)
    return tree.pool.gather(torch.from_numpy(slots)[None])


def test_rows_forget_their_last_columns() -> None:
    """Whatever each row forgets, what is left stands at the right edge, and nothing else does."""
    keys_of = torch.arange(2.0 * 3 * 1 * 12 * 1).reshape(2, 3, 1, 12, 1)
    mask = torch.zeros(3, 12, dtype=torch.int64)
    mask[0, 1:8], mask[1, :8], mask[2, 4:6] = 1, 1, 1  # the last has padding behind it
    rows = Rows(keys_of.clone(), keys_of.clone() + 500, mask, mask.sum(1), 8)
    rows.retract(np.array([1, 4, 2]))
    assert rows.columns == 7 and rows.lengths.tolist() == [6, 4, 2]
    assert rows.get_seq_length() == 7
    held = [(1, 7), (0, 4), (4, 6)]  # columns of before
    for row, (first, last) in enumerate(held):
        own = rows.mask[row, :7].bool()
        assert own.tolist() == [False] * (7 - last + first) + [True] * (last - first)
        for side, moved in ((rows.keys, 0), (rows.values, 500)):
            expected = keys_of[:, row, :, first:last] + moved
            torch.testing.assert_close(side[:, row, :, :7][:, :, own], expected)


class TokenCounter:
    """Counts what a model is really given: tokens and passes."""

    def __init__(self, model: Any) -> None:
        self.tokens = self.passes = 0
        self.hook = model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.tokens += int(kwargs["attention_mask"][:, -kwargs["input_ids"].shape[1] :].sum())
        self.passes += 1


def test_every_token_is_counted(sliding64: Any, random64: Any, tokenizer: Any) -> None:
    """Of the target and of the draft, those that were thrown away among them."""
    draft = ModelDraft(random64, tokenizer, tokens=2)
    lm = TorchLM(sliding64, tokenizer, draft=draft, step=StepRule(cap=12), probe=False)
    counters = TokenCounter(lm.model), TokenCounter(draft.model)
    root = lm.start(QUESTION)
    prompt = len(lm._tokens_of(root))
    population, made = [root] * 6, []
    for step in range(3):
        children = lm.extend(population, keys(step, len(population)))
        made += children
        survivors = [node for node in children if node.open][:3]
        population = survivors * 2
    for counter in counters:
        counter.hook.remove()
    lengths = [len(node.step_token_ids) for node in made]
    extended = {node.parent for node in made} - {root}
    cost = lm.cost
    assert cost.generated_tokens == sum(lengths) and cost.discarded_tokens > 0
    read = prompt + sum(length - 1 for length in lengths) + len(extended)
    assert counters[0].tokens == read + cost.rescored_tokens + cost.discarded_tokens
    assert counters[0].passes == cost.forward_passes
    assert counters[1].tokens == cost.draft_tokens
    assert counters[1].passes == cost.draft_forward_passes


@pytest.mark.parametrize("kind", ["model", "ngrams"])
def test_siblings_draw_by_their_own_keys_alone(
    kind: str, random64: Any, sliding64: Any, tokenizer: Any
) -> None:
    """In a batch as alone, and in batches halved for memory; a table is fixed during a call."""

    def drawn(places: list[int], short: bool = False) -> list[Any]:
        draft = a_draft(kind, sliding64, tokenizer)
        lm = TorchLM(random64, tokenizer, draft=draft, step=StepRule(cap=8), probe=False)
        root = lm.start(QUESTION)
        lm.extend([root] * 5, keys(1, 5))  # a table has something to learn
        if short:
            lm._tree.forward = _short_of_memory(lm._tree.forward)
        slots = keys(2, 12)[np.array(places)]
        found = lm.extend([root] * len(places), slots, prior=Sampling(temperature=2.0))
        return [x.step_token_ids for x in found]

    together = drawn(list(range(12)))
    assert len(set(together)) == 12
    assert drawn([7, 3, 0]) == [together[i] for i in (7, 3, 0)]
    assert drawn(list(range(12)), short=True) == together


def _short_of_memory(forward: Any) -> Any:
    @wraps(forward)
    def forward_of_few(rows: Any, *args: Any, **kwargs: Any) -> Any:
        if rows.keys.shape[1] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(rows, *args, **kwargs)

    return forward_of_few


def test_a_draft_with_little_context_helps_as_far_as_it_can_read(
    pocket64: Any, random64: Any, tokenizer: Any
) -> None:
    """The tiny Llama reads 96 tokens: behind them steps are drawn token by token."""
    draft = ModelDraft(random64, tokenizer)
    rule = StepRule(delimiter=None, tokens=24)
    lm = TorchLM(pocket64, tokenizer, draft=draft, step=rule, probe=False)
    lm._ending.end_ids = frozenset()
    population, used = [lm.start(QUESTION)] * 2, []
    for step in range(3):
        before = lm.cost.draft_forward_passes
        fits = any(lm._tree.length(x) + 24 <= 96 for x in population)
        population = lm.extend(population, keys(step, 2), prior=Sampling(temperature=3.0))
        used.append(lm.cost.draft_forward_passes > before)
        assert used[-1] == fits
    for x in population:
        assert x.logprob == pytest.approx(plain_logprob(lm, x, Sampling(temperature=3.0)), abs=1e-9)
    assert used == [True, True, False]


def test_a_draft_of_another_size_of_table_is_fitted(
    pocket64: Any, learned_positions64: Any, tokenizer: Any
) -> None:
    """Checkpoints of one family pad their tables of embeddings differently."""
    for size in (len(tokenizer) + 8, len(tokenizer) - 8):
        draft = tiny_model(tiny_config("llama", size), seed=2)
        own = ModelDraft(draft, tokenizer)
        lm = TorchLM(pocket64, tokenizer, draft=own, step=StepRule(cap=6), probe=False)
        for x in grow(lm, rounds=1, prior=Sampling(temperature=3.0)):
            law = Sampling(temperature=3.0)
            assert x.logprob == pytest.approx(plain_logprob(lm, x, law), abs=1e-9)


def test_drafts_that_are_not_numbers_are_named(pocket64: Any, near64: Any, tokenizer: Any) -> None:
    broken = deepcopy(near64)
    broken.lm_head.weight = torch.nn.Parameter(torch.full_like(near64.lm_head.weight, torch.nan))
    draft, rule = ModelDraft(broken, tokenizer), StepRule(cap=8)
    lm = TorchLM(pocket64, tokenizer, draft=draft, name="mine", step=rule, probe=False)
    with pytest.raises(FloatingPointError, match="the draft of the language model 'mine'"):
        lm.extend([lm.start(QUESTION)], keys(0, 1))


def test_the_draft_is_part_of_what_the_model_is(near64: Any, random64: Any, tokenizer: Any) -> None:
    """What it has learnt and computed is not."""
    drafts = [
        None,
        NGramDraft(order=3),
        NGramDraft(order=4),
        NGramDraft(tokens=2),
        ModelDraft(near64, tokenizer),
        ModelDraft(random64, tokenizer),
        ModelDraft(random64, tokenizer, tokens=5),
    ]
    rule = StepRule(cap=6)
    lms = [TorchLM(random64, tokenizer, step=rule, draft=draft, probe=False) for draft in drafts]
    marks = [identify(lm) for lm in lms]
    assert len({mark.text for mark in marks}) == len(drafts)
    assert not any(mark.doubts for mark in marks)
    for lm, mark in zip(lms, marks, strict=True):
        lm.extend([lm.start(QUESTION)] * 2, keys(0, 2))
        assert identify(lm) == mark
    assert [lm.capabilities.seeds for lm in lms] == [True, False, False, False, True, True, True]


def test_a_table_forgets_its_oldest_contexts(pocket64: Any, tokenizer: Any) -> None:
    draft = NGramDraft(order=3, contexts=20)
    lm = TorchLM(pocket64, tokenizer, draft=draft, step=StepRule(cap=12), probe=False)
    grow(lm, rounds=2)
    assert len(lm._drafter._table) == 20


def test_a_table_holds_the_mean_of_the_targets_laws(pocket64: Any, tokenizer: Any) -> None:
    """By plain forward passes over every step that was drawn; a prompt's tokens are sure."""
    law, order = Sampling(temperature=1.3, top_k=5), 3
    draft = NGramDraft(order=order, tokens=3, likeliest=len(tokenizer))
    lm = TorchLM(pocket64, tokenizer, draft=draft, step=StepRule(cap=6), probe=False)
    nodes = grow(lm, rounds=3, sampling=law, prior=law)
    behind: dict[tuple[int, ...], list[np.ndarray]] = defaultdict(list)

    def note(text: Sequence[int], laws: np.ndarray) -> None:
        for place, probs in enumerate(laws, len(text) - len(laws)):
            for length in range(1, min(order - 1, place) + 1):
                behind[tuple(text[place - length : place])].append(probs)

    for root in {id(node.path[0]): node.path[0] for node in nodes}.values():
        prompt = lm._tokens_of(root)
        note(prompt, np.eye(pocket64.config.vocab_size)[list(prompt)])
    for node in nodes:
        laws = np.exp(law.log_probs(plain_log_probs(lm, node)))
        note((*lm._tokens_of(node.path[0]), *node.token_ids), laws[-len(node.step_token_ids) :])
    table = lm._drafter._table
    assert set(table) == set(behind)
    for context, laws in behind.items():
        held = np.zeros(laws[0].shape)
        held[list(table[context].probs)] = list(table[context].probs.values())
        assert table[context].laws == len(laws)
        assert held == pytest.approx(np.mean(laws, axis=0), abs=1e-12)


def test_what_cannot_draft_is_refused(pocket64: Any, near64: Any, tokenizer: Any) -> None:
    other = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    other.add_tokens(["<new>"])
    with pytest.raises(ValueError, match="draft must have the vocabulary of 'mine'.*'<new>'"):
        TorchLM(pocket64, tokenizer, draft=ModelDraft(near64, other), name="mine", probe=False)
    for source in ("vllm:pocket", "http://127.0.0.1:1"):
        with pytest.raises(
            ValueError, match="draft must be left out .* speculative_config of vLLM"
        ):
            load_lm(source, draft="pocket")
        with pytest.raises(ValueError, match="draft must be a model that torch hosts"):
            load_draft(source)
    with pytest.raises(ValueError, match="order"):
        NGramDraft(order=1)
    with pytest.raises(ValueError, match="tokens"):
        ModelDraft(near64, tokenizer, tokens=0)
