"""What every host of a language model must keep, tried on any of them.

A host is made anew for each check. What it says of its draws is compared with a reference that
shares nothing with it: the raw log-probabilities of the model behind it, before each token.
What a host says it can do is tried, and what it says it cannot do is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest

import motes
from motes.models import (
    FunctionReward,
    Mixture,
    Sampling,
    StepCertainty,
    StepRule,
    Thinking,
    Trajectory,
    calls,
    continued,
    token_confidences,
)

QUESTIONS = ("How many pens has Ben?", "Ann has 3 shells. How many have they?")
HOT = Sampling(temperature=1.5)
LAWS = [
    (Sampling(), Sampling()),
    (HOT, Sampling()),
    (Sampling(temperature=1.2, top_k=9, top_p=0.9), Sampling(temperature=0.8)),
]
RULES = [
    StepRule(cap=12),
    StepRule(delimiter=None, tokens=3),
    StepRule(delimiter=None, predicate=lambda text: text.count(" ") > 1, cap=10),
    StepRule(delimiter=[".", "\n"], cap=7),
    # of every third word or so; a marker within a step ends it
    StepRule(cap=9, thinking=Thinking(begin="a", end="s", step=StepRule(delimiter=" ", cap=4))),
]


@dataclass(frozen=True)
class Host:
    """A host that is tried.

    Attributes:
        make: a new one with a step rule, and with so many tokens of context where a number is
            given.
        reference: the raw log-probabilities before each token of a trajectory, (tokens,
            vocabulary).
        prompt: the ids that a question begins with.
        decode: the text of token ids.
        atol: nats, of a token's log-probability.
        exact: whether the same keys give the very same draws, in whatever company.
        warm: whether the server has read beginnings of prompts before.
    """

    make: Callable[[StepRule, int | None], Any]
    reference: Callable[[Trajectory], np.ndarray]
    prompt: Callable[[str], tuple[int, ...]]
    decode: Callable[[tuple[int, ...]], str]
    atol: float = 1e-9
    exact: bool = True
    warm: bool = False


def keys(seed: int, rows: int) -> Any:
    return jax.random.split(jax.random.key(seed), rows)


def takes(lm: Any, sampling: Sampling, prior: Sampling) -> bool:
    """Whether a host takes a proposal and a prior, by its own word; where not, in one sentence."""
    try:
        calls.check_sampling(lm, sampling, prior)
    except ValueError as error:
        assert re.search(r"must be .*Sampling\(\).*not Sampling\(", str(error))
        return False
    return True


def grown(lm: Any, rounds: int = 3, **laws: Any) -> list[Trajectory]:
    """All nodes of a small tree: two questions, forks, extensions of interior nodes."""
    rng = np.random.default_rng(0)
    nodes = [lm.start(question) for question in QUESTIONS]
    for number in range(rounds):
        parents = [nodes[place] for place in rng.integers(len(nodes), size=4)]
        parents = [x for x in parents if x.open]
        parents += parents[:1]
        children = lm.extend(parents, keys(number, len(parents)), **laws)
        for parent, child in zip(parents, children, strict=True):
            assert child.parent is parent and child.depth == parent.depth + 1
        nodes += children
    return nodes[len(QUESTIONS) :]


def sums(host: Host, node: Trajectory, law: Sampling) -> float:
    table = law.log_probs(host.reference(node))
    return float(table[np.arange(len(table)), list(node.token_ids)].sum())


def check_log_probabilities(host: Host) -> None:
    lm = host.make(StepRule(cap=6), None)
    taken = [laws for laws in LAWS if takes(lm, *laws)]
    assert taken
    for sampling, prior in taken:
        for node in grown(lm, rounds=1, sampling=sampling, prior=prior):
            if not lm.capabilities.probabilities:
                assert np.isnan(node.logprob) and np.isnan(node.proposal_logprob)
                continue
            atol = host.atol * len(node.token_ids)
            assert node.logprob == pytest.approx(sums(host, node, prior), abs=atol)
            assert node.proposal_logprob == pytest.approx(sums(host, node, sampling), abs=atol)


def check_keys(host: Host) -> None:
    """Siblings differ, and slot i's draw depends on its key alone."""
    lm = host.make(StepRule(cap=12), None)
    roots = [lm.start(QUESTIONS[0])] * 8
    drawn = [x.step_token_ids for x in lm.extend(roots, keys(5, 8))]
    assert len(set(drawn)) > 4
    if lm.capabilities.seeds and host.exact:
        order = [3, 0, 7]
        again = lm.extend(roots[:3], keys(5, 8)[np.array(order)])
        assert [x.step_token_ids for x in again] == [drawn[place] for place in order]


def ruled(rule: StepRule, parent: Trajectory, text: str) -> tuple[StepRule, str, bool, bool]:
    """The rule that a step is under, what it says, whether it thinks, and whether a marker ends it.

    Read from left to right, from where the prompt has begun the thinking or not: a marker ends the
    step that it stands in, unless it stands at its beginning.
    """
    if rule.thinking is None:
        return rule, text, False, False
    marks = (rule.thinking.begin, rule.thinking.end)
    before, thinks = parent.text, parent.opening.thinks
    while marks[thinks] in before:
        before, thinks = before.split(marks[thinks], 1)[1], not thinks
    while (text := text.lstrip()).startswith(marks[thinks]):
        text, thinks = text[len(marks[thinks]) :], not thinks
    inner = rule.thinking.step or rule
    return (inner if thinks else rule), text, thinks, marks[thinks] in text


def check_steps(host: Host) -> None:
    """Steps end at the first token that ends them, and their texts make the whole text."""
    for rule in RULES:
        try:
            lm = host.make(rule, None)
        except ValueError as error:
            assert re.search("step must (end|have no thinking)", str(error))
            continue
        kinds = set()
        for node in grown(lm, rounds=2 if rule.thinking is None else 8):
            ids = node.step_token_ids
            own, said, thinks, marked = ruled(rule, node.parent, node.step_text)
            kinds.add((thinks, marked))
            assert len(ids) <= own.most or lm.capabilities.probabilities is False
            ended = marked or own.ends(said) or len(ids) == own.most
            assert ended or not node.open or not lm.capabilities.probabilities
            assert node.delimited == (marked or own.ends_at_delimiter(said))
            whole = host.decode(node.token_ids).rstrip("\ufffd")
            assert not node.open or node.text.rstrip("\ufffd") == whole
            past = len(node.parent.token_ids)
            for count in range(1, len(ids)):
                part = host.decode(node.token_ids[: past + count])[len(node.parent.text) :]
                own, said, _, marked = ruled(rule, node.parent, part.rstrip("\ufffd"))
                assert not marked and not own.ends(said)
                assert count < own.most or not lm.capabilities.probabilities
        # where draws are not the same in every run, markers of a kind may not occur
        if rule.thinking and lm.capabilities.seeds and host.exact:
            assert kinds >= {(True, True), (False, True)}  # markers end steps of both kinds


def check_blocks(host: Host, block: int) -> None:
    """An engine reads again what stands behind its last full block, and that is counted.

    Of a context of c tokens the last was drawn, and never read. So (c - 1) % block are read again.
    """
    lm = host.make(StepRule(delimiter=None, tokens=3), None)
    node = lm.start("Cid has 5 maps. How many maps has Ann?")
    length, total = len(host.prompt(node.question)), 0
    for number in range(10):
        context, before = length + len(node.token_ids), lm.cost
        again = (context - 1) % block if node.depth else 0
        [child] = lm.extend([node], keys(number, 1))
        cost = lm.cost - before
        assert cost.prompt_tokens == (0 if node.depth else length)
        assert cost.rescored_tokens == again
        assert cost.generated_tokens == len(child.step_token_ids)
        total, node = total + again, child if child.open else node
    assert total


def check_context(host: Host) -> None:
    """A full context truncates, and no token goes beyond it."""
    length = len(host.prompt(QUESTIONS[0]))
    lm = host.make(StepRule(delimiter=None, cap=64), length + 6)
    ends = lm.extend([lm.start(QUESTIONS[0])] * 6, keys(8, 6))
    for x in ends:
        assert x.truncated != x.finished and len(x.token_ids) <= 6
        assert len(x.token_ids) == 6 or x.finished
    assert any(x.truncated for x in ends)
    with pytest.raises(ValueError, match="the question is too long"):
        host.make(StepRule(), length).start(QUESTIONS[0])


def check_closed(host: Host) -> None:
    lm = host.make(StepRule(cap=4), None)
    root = lm.start(QUESTIONS[0])
    assert lm.extend([], keys(0, 0)) == [] and root.open and root.depth == 0
    for closed in (root.close(truncated=True), root.close(finished=True)):
        with pytest.raises(ValueError, match="only open trajectories can be extended"):
            lm.extend([root, closed], keys(0, 2))
    with pytest.raises(ValueError, match="one JAX random key for each"):
        lm.extend([root], keys(0, 2))


def check_cost(host: Host) -> None:
    lm = host.make(StepRule(cap=12), None)
    root = lm.start(QUESTIONS[0])
    first = lm.extend([root] * 3, keys(2, 3))
    cost = lm.cost
    assert cost.generated_tokens == sum(len(x.step_token_ids) for x in first)
    assert cost.forward_passes > 0
    going = [x for x in first if x.open][:1] or [root]
    second = lm.extend(going, keys(3, 1))
    more = lm.cost - cost
    assert more.generated_tokens == sum(len(x.step_token_ids) for x in second)
    assert more.prompt_tokens == 0
    if hasattr(lm, "tokenizer"):
        length = len(host.prompt(QUESTIONS[0]))
        assert cost.prompt_tokens == length or (host.warm and 0 < cost.prompt_tokens < length)


def check_scores_of_other_laws(host: Host, lm: Any, nodes: list[Trajectory]) -> None:
    """Given tokens have the probability that a law gives them: zero where it cuts them off."""
    roots, texts = [x.path[0] for x in nodes], [x.token_ids for x in nodes]
    for law in (Sampling(temperature=0.8), Sampling(top_k=4)):
        try:
            values = lm.logprob(roots, texts, prior=law)
        except ValueError as error:
            assert re.search(r"must be .*Sampling\(\)", str(error))
            continue
        for x, value in zip(nodes, values, strict=True):
            expected = sums(host, x, law)
            assert value == pytest.approx(expected, abs=host.atol * len(x.token_ids))


def check_confidences(host: Host, lm: Any, nodes: list[Trajectory]) -> None:
    """They are those of the reference, as many tokens of it as the host tells."""
    most = lm.capabilities.top_confidences

    def expected(row: np.ndarray, top: Any) -> float:
        if top == "entropy":
            return float((np.exp(row) * row).sum())
        if top is None:
            return float(-row.mean() - np.log(len(row)))
        return float(-np.sort(row)[-top:].mean())

    assert most is None or most >= 20  # of Fu et al. (2025), which every kind of server tells
    nodes = [nodes[0].path[0], *nodes]
    for top in (1, 3, 20, None, "entropy"):
        if most is not None and not isinstance(top, int):
            with pytest.raises(ValueError, match=rf"at most {most}, .* top=20 would do"):
                token_confidences(lm, nodes, top=top)
            with pytest.raises(ValueError, match=rf"at most {most}, .*, not {top!r}"):
                StepCertainty(lm, top=top)
            continue
        for x, values in zip(nodes, token_confidences(lm, nodes, top=top), strict=True):
            rows = [expected(row, top) for row in host.reference(x)]
            np.testing.assert_allclose(values.sum(), sum(rows), atol=host.atol * len(rows))
            np.testing.assert_allclose(values, rows, atol=3 * host.atol)


def step_sums(host: Host, node: Trajectory, law: Sampling) -> float:
    """The log-probability of a node's last step."""
    tokens = node.step_token_ids
    table = law.log_probs(host.reference(node))[-len(tokens) :]
    return float(table[np.arange(len(tokens)), list(tokens)].sum())


def check_mixtures(host: Host, lm: Any) -> None:
    """A step is told its probability under every component, and weighed by all of them."""
    parts, shares = [Sampling(temperature=0.6), Sampling(top_k=3), Sampling()], [0.5, 0.2, 0.3]
    mixture = Mixture(parts, weights=shares)
    for x in grown(lm, rounds=2, sampling=mixture, prior=Sampling()):
        atol = host.atol * len(x.token_ids)
        terms = [step_sums(host, x, part) for part in parts]
        assert x.component_logprobs == pytest.approx(terms, abs=atol)
        assert x.step_logprob == pytest.approx(terms[-1], abs=atol)
        expected = np.logaddexp.reduce(np.log(shares) + terms)
        assert x.step_proposal_logprob == pytest.approx(expected, abs=atol)


def check_readings(host: Host, lm: Any, nodes: list[Trajectory]) -> None:
    """A step that is put behind a trajectory is worth what it would be there, and goes on."""
    laws = {"prior": Sampling(), "proposal": Mixture([Sampling(temperature=0.7), Sampling()])}
    heads = [x.parent for x in nodes]
    for x, reading in zip(nodes, lm.read_steps(heads, nodes, **laws), strict=True):
        assert reading.node.step_token_ids == x.step_token_ids
        assert (reading.node.step_text, reading.node.open) == (x.step_text, x.open)
        atol = host.atol * len(x.token_ids)
        expected = [step_sums(host, x, law) for law in (Sampling(temperature=0.7), Sampling())]
        assert reading.terms == pytest.approx(expected, abs=atol)
        assert reading.log_p == pytest.approx(expected[1], abs=atol)
    # the same step behind other trajectories: where it could have been drawn, by its own table
    step = nodes[0]
    others = [x for x in nodes if x.open] + [x.path[0] for x in nodes[:2]]
    for head, reading in zip(
        others, lm.read_steps(others, [step] * len(others), **laws), strict=True
    ):
        if reading is not None:
            assert reading.node.parent is head
            expected = step_sums(host, reading.node, Sampling())
            assert reading.log_p == pytest.approx(expected, abs=host.atol * 64)


def check_capabilities(host: Host) -> None:
    """What a host says it has works; what it says it has not is not relied on."""
    lm = host.make(StepRule(cap=12), None)
    can, law = lm.capabilities, Sampling()
    nodes = grown(lm, rounds=2)
    if can.scoring:
        roots, texts = [x.path[0] for x in nodes], [x.token_ids for x in nodes]
        for x, value in zip(nodes, lm.logprob(roots, texts, prior=law), strict=True):
            assert value == pytest.approx(x.logprob, abs=host.atol * len(x.token_ids))
        check_scores_of_other_laws(host, lm, nodes[:4])
    if can.continuation:
        for x in nodes:
            root = x.path[0]
            [again] = continued(lm, [root], x.path[1:], prior=law, proposal=law)
            assert again is not None and again.steps == x.steps and again.finished == x.finished
            assert again.logprob == pytest.approx(x.logprob, abs=host.atol * len(x.token_ids))
    if can.mixtures:
        check_mixtures(host, lm)
    if can.reading:
        check_readings(host, lm, nodes)
    assert can.confidences or not can.scoring
    if can.confidences:
        check_confidences(host, lm, nodes)
    for method in ("logprob", "continued", "token_confidences"):
        if not hasattr(lm, method):
            names = {"logprob": "scoring", "continued": "continuation"}
            assert not getattr(can, names.get(method, "confidences"))


def log_odds(x: Trajectory) -> float:
    return 0.2 * len(x.step_text) - 2


def increments(x: Trajectory, *, corrected: bool) -> list[float]:
    """Log G_t of each step: its likelihood, and where it was drawn from another law than the
    prior, log p - log q."""
    values = []
    for before, after in pairwise(x.path):
        values.append(-np.log1p(np.exp(-log_odds(after))))
        if corrected:
            values[-1] += after.logprob - before.logprob
            values[-1] -= after.proposal_logprob - before.proposal_logprob
    return values


def check_filter(host: Host) -> None:
    """A filter's weights are what its steps since the last resampling make them, by hand.

    What the steps say of their own probabilities is compared with the reference.
    """
    lm = host.make(StepRule(cap=12), None)
    proposal = HOT if takes(lm, HOT, Sampling()) else Sampling()
    prm = FunctionReward(log_odds, name="length")
    run: dict[str, Any] = {"particles": 8, "max_steps": 3, "seed": 0, "proposal": proposal}
    for threshold in (0.0, 1.0):
        posterior = motes.solve(QUESTIONS[0], lm=lm, prm=prm, ess_threshold=threshold, **run)
        resampled = np.flatnonzero(posterior.history.resampled)
        first = max(resampled, default=0)
        weights = [increments(x, corrected=proposal == HOT) for x in posterior.trajectories]
        log_weights = np.array([sum(values[first:]) for values in weights])
        total = np.logaddexp.reduce(log_weights)
        np.testing.assert_allclose(posterior.log_weights, log_weights - total, atol=1e-9)
        if not len(resampled):
            assert posterior.log_evidence == pytest.approx(total - np.log(8), abs=1e-9)
        if lm.capabilities.probabilities:
            for x in posterior.trajectories:
                atol = host.atol * len(x.token_ids)
                assert x.logprob == pytest.approx(sums(host, x, Sampling()), abs=atol)
                assert x.proposal_logprob == pytest.approx(sums(host, x, proposal), abs=atol)


CHECKS = [
    check_log_probabilities,
    check_keys,
    check_steps,
    check_context,
    check_closed,
    check_cost,
    check_capabilities,
    check_filter,
]
