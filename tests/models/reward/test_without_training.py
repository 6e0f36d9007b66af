"""Likelihoods without a reward model: what a filter with each follows, enumerated on a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy

from motes import evaluate, load_lm, load_prm, solve, solve_many
from motes.cli import main
from motes.models import Agreement, StepCertainty, TableLM, Trajectory, UnitTests
from motes.models.confidence import Top
from motes.models.identity import identify
from motes.ppl import StateSpaceModel, group, stated
from motes.samplers import DelayedAcceptance, ParticleFilter

LAWS = {(): [0.6, 0.4, 0.0], 0: [0.7, 0.1, 0.2], 1: [0.3, 0.3, 0.4]}
PARTICLES = 2000


def law(prefix: tuple[int, ...]) -> list[float]:
    return LAWS[prefix[-1] if prefix else ()]


def table() -> TableLM:
    return TableLM(law, eos=2)


def all_of(depth: int) -> list[list[Trajectory]]:
    """Every complete path of at most `depth` steps, with its nodes; a token is a step."""
    paths, complete = [[Trajectory(question="?")]], []
    for step in range(depth):
        longer = []
        for path in paths:
            for token, p in enumerate(law(path[-1].token_ids)):
                if not p:
                    continue
                log_p = float(np.log(p))
                over, last = token == 2, step == depth - 1
                node = path[-1].child(
                    f"{token} ",
                    (token,),
                    logprob=log_p,
                    proposal_logprob=log_p,
                    finished=over,
                    truncated=last and not over,
                )
                (complete if over or last else longer).append([*path, node])
        paths = longer
    return [path[1:] for path in complete]


def answer(x: Trajectory) -> str | None:
    """The first token, once there are three steps or an end."""
    return x.text[0] if not x.open or x.depth == 3 else None


def check_filter(prm: Any, factors: Any) -> None:
    """The answers' probabilities are those of p(x) times the factors: 5 standard errors."""
    posterior = solve(
        "?",
        lm=table(),
        prm=prm,
        particles=PARTICLES,
        max_steps=3,
        seed=0,
        answer=answer,
        progress=False,
    )
    weights: Counter[str] = Counter()
    for path in all_of(3):
        weights[path[0].text[0]] += float(np.exp(path[-1].logprob) * factors(path))
    total = weights.total()
    off = 5 * 0.5 / np.sqrt(PARTICLES)
    assert posterior.answers["0"] == pytest.approx(weights["0"] / total, abs=off)
    assert posterior.log_evidence == pytest.approx(np.log(total), abs=0.1)


def certainty_of(p: list[float], top: Top = None) -> float:
    """KL of the uniform law over what is possible, to p; or minus the entropy of p."""
    q = np.array([value for value in p if value])
    if top == "entropy":
        return -float(entropy(q))
    return float(-np.mean(np.log(len(q) * q)))


@pytest.mark.parametrize(("scale", "top"), [(1.0, None), (3.0, None), (3.0, "entropy")])
def test_a_filter_with_certainty_follows_the_tilted_law(scale: float, top: Top) -> None:
    """With self-certainty in place of entropy, or without its sign, the last case fails."""
    prm = StepCertainty(table(), scale=scale, top=top, pilot=6, max_steps=3)
    pilot = prm.pilot("?")
    values = [certainty_of(law(node.token_ids[:-1]), top) for x in pilot for node in x.path[1:]]
    mean, spread = np.mean(values), np.std(values)
    assert prm.usual("?") == pytest.approx((mean, spread))

    def factors(path: list[Trajectory]) -> float:
        own = np.array([certainty_of(law(node.token_ids[:-1]), top) for node in path])
        return float(np.prod(1 / (1 + np.exp(-scale * (own - mean) / spread))))

    check_filter(prm, factors)


def test_a_filter_with_agreement_follows_the_vote_of_its_pilot() -> None:
    prm = Agreement(table(), answer=answer, pilot=20, max_steps=3)
    votes = Counter(answer(x) for x in prm.pilot("?"))
    assert prm.votes("?") == votes and votes.total() == 20
    check_filter(prm, lambda path: (votes[path[0].text[0]] + 0.5) / 21)


def in_words(x: Trajectory) -> str | None:
    """The same answers, each in one of two spellings, by whether there is a third step."""
    first = answer(x)
    if first is None:
        return None
    return {"0": ("1/2", "0.5"), "1": ("1,000", "1000")}[first][x.depth > 2]


def test_answers_that_mean_the_same_agree() -> None:
    """Planted: equal texts alone, of which some pilot solutions then agree with nobody."""
    prm = Agreement(table(), answer=in_words, group=group, pilot=20, max_steps=3)
    spelled = Counter(in_words(x) for x in prm.pilot("?"))
    assert len(spelled) == 4
    kinds = Counter(answer(x) for x in prm.pilot("?"))
    assert sorted(prm.votes("?").values()) == sorted(kinds.values())
    check_filter(prm, lambda path: (kinds[path[0].text[0]] + 0.5) / 21)
    by_text = Agreement(table(), answer=in_words, pilot=20, max_steps=3)
    assert by_text.votes("?") == spelled
    paths = [path[-1] for path in all_of(3)]
    scores = np.log([(spelled[in_words(x)] + 0.5) / (20.5 - spelled[in_words(x)]) for x in paths])
    assert by_text.score(paths) == pytest.approx(scores)
    with pytest.raises(AssertionError):
        check_filter(by_text, lambda path: (kinds[path[0].text[0]] + 0.5) / 21)
    assert identify(by_text).text != identify(prm).text


def test_agreement_by_name_has_the_rules_of_the_run(tmp_path: Path) -> None:
    """Of one run, of many, of an evaluation, and where it screens for a chain."""
    settings: dict[str, Any] = {"lm": table(), "prm": "agreement", "max_steps": 3, "answer": answer}
    named = solve("?", particles=400, seed=0, **settings)
    own = Agreement(settings["lm"], answer=answer, group=group)
    assert named.log_evidence == solve("?", particles=400, **settings | {"prm": own}).log_evidence
    spelled = settings | {"answer": in_words}
    assert solve("?", particles=400, seed=0, **spelled).log_evidence == named.log_evidence
    [one], [other] = (solve_many(["?"], particles=400, **each) for each in (settings, spelled))
    assert one.log_evidence == other.log_evidence
    arms, found = {"filter": ParticleFilter(particles=400)}, []
    for number, prm in enumerate(("agreement", own)):
        ask = spelled | {"prm": prm, "results": tmp_path / f"{number}.jsonl", "progress": False}
        found.append(evaluate([("?", "0.50")], samplers=arms, **ask).records[0].probability)
    assert found[0] == found[1] > 0.5
    screens = DelayedAcceptance(cheap_prm="agreement", chains=1, iterations=4)
    chain = screens.run(StateSpaceModel("?", **spelled | {"prm": own}), seed=0)
    assert chain.rates["largest_log_weight"] == pytest.approx(0.0)  # screened by the same


def test_a_filter_with_tests_follows_the_share_that_pass() -> None:
    def raises(text: str) -> bool:
        raise RuntimeError(text)

    prm = UnitTests([lambda text: text[0] == "0", lambda text: "1" not in text, raises])

    def factors(path: list[Trajectory]) -> float:
        text = path[-1].text
        return ((text[0] == "0") + ("1" not in text) + 0.5) / 4

    check_filter(prm, factors)


def test_a_tail_is_of_a_steps_last_tokens_and_top_of_its_likeliest() -> None:
    lm = table()
    x = Trajectory(question="?").child("a", (0, 1, 0), logprob=0.0, proposal_logprob=0.0)
    y = x.child("b", (1, 1), logprob=0.0, proposal_logprob=0.0)
    prm = StepCertainty(lm, tail=1, top=2, pilot=6, max_steps=3)
    mean, spread = prm.usual("?")
    own = [-np.mean(np.log([0.4, 0.3])), -np.mean(np.log([0.4, 0.3]))]
    assert prm.score([x, y]) == pytest.approx((np.array(own) - mean) / spread)
    prm = StepCertainty(lm, tail=2, top="entropy", pilot=6, max_steps=3)
    mean, spread = prm.usual("?")
    own = [-(entropy(LAWS[0]) + entropy(LAWS[1])) / 2] * 2
    assert prm.score([x, y]) == pytest.approx((np.array(own) - mean) / spread)


def test_a_pilot_is_a_function_of_seed_and_question() -> None:
    one, two = (Agreement(table(), answer=answer, max_steps=3) for _ in range(2))
    assert one.votes("?") == two.votes("?")
    many = {
        tuple(Agreement(table(), answer=answer, seed=s, max_steps=3).votes("?").items())
        for s in range(6)
    }
    assert len(many) > 2
    assert identify(one).text == identify(two).text
    assert identify(one).text != identify(Agreement(table(), answer=answer, seed=1)).text


def test_they_are_had_by_name() -> None:
    lm = load_lm("pocket", probe=False)
    prm = load_prm("self-certainty", lm=lm, pilot=2, max_steps=2)
    assert isinstance(prm, StepCertainty) and prm.pilot.lm is lm
    tail = load_prm("tail-entropy", lm=lm, pilot=2)
    assert isinstance(tail, StepCertainty) and (tail.top, tail.tail) == ("entropy", 32)
    sure = load_prm("confidence", lm=lm, pilot=2)
    assert isinstance(sure, StepCertainty) and (sure.top, sure.tail) == (20, None)
    judge = load_prm("self-judge", lm=lm)
    assert judge.model is lm.model
    votes = load_prm("agreement", lm=lm, answer=stated, group=group, pilot=2)
    assert isinstance(votes, Agreement) and votes.group is group
    with pytest.raises(ValueError, match="answer must be given for the reward model 'agreement'"):
        load_prm("agreement", lm=lm)
    with pytest.raises(ValueError, match="lm must be given for the reward model 'self-judge'"):
        load_prm("self-judge")
    with pytest.raises(TypeError, match="'self-judge' needs a language model hosted with torch"):
        load_prm("self-judge", lm=table())
    with pytest.raises(TypeError, match="no argument 'votes' for 'self-certainty'"):
        load_prm("self-certainty", lm=lm, votes=3)


@pytest.mark.long(quick=1)
@pytest.mark.parametrize(
    "name", ["tail-entropy", "confidence", "agreement", "self-judge", "votes:pocket"]
)
def test_they_are_typed_at_the_command_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["solve", "How many?", "--particles", "2", "--max-steps", "1", "--step-cap", "8"]
    assert main([*run, "--prm", name, "--sampler", "particle_filter", "--json"]) == 0
    assert '"log_evidence"' in capsys.readouterr().out


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="tests must have at least one"):
        UnitTests([])
    with pytest.raises(TypeError, match="lm must be a language model, not 'pocket'"):
        Agreement("pocket", answer=answer)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="scale must be"):
        StepCertainty(table(), scale=0.0)
    with pytest.raises(ValueError, match="top must be one of entropy, not 'tail'"):
        StepCertainty(table(), top="tail")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="at least one step"):
        StepCertainty(table()).score([Trajectory(question="?")])
    assert np.isinf(UnitTests([bool]).score([Trajectory(question="?")])).all()
