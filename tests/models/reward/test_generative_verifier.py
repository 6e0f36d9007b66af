"""Verdicts behind rationales: the published layouts, and what samplers follow over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multinomial
from tokenizer_families import FAMILIES as TOKENIZERS
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from motes import solve
from motes.log_odds import sigmoid
from motes.models import GenerativeVerifier, StepRule, TableLM, Trajectory, load_lm, load_prm
from motes.models.identity import identify
from motes.models.reward.verifier_forms import FORMS, FormReader, form_of

LAW = {"logprob": 0.0, "proposal_logprob": 0.0}
QUESTION = "How many apples has Ben?"
STEPS = ["Step 1: Ben has 7 + 3 = 10.\n\n", "So 10\n- 3 is 7.\n\n", "The answer is 7."]
DOCS = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def checkpoint(folder: Path) -> Path:
    """A tiny random Qwen2, with a tokenizer that has a chat template."""
    torch.manual_seed(1)
    state = Tokenizer.from_str(TOKENIZERS["byte_level"]().backend_tokenizer.to_str())
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=state, eos_token="</s>", pad_token="<pad>")
    roles = ["<|system|>", "<|user|>", "<|end|>", "<|assistant|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": roles})
    tokenizer.chat_template = CHAT
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 2,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.4,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("verifiers")
    names = {"thinkprm": "launch/ThinkPRM-1.5B", "genprm": "GenPRM/GenPRM-1.5B"}
    return {name: checkpoint(folder / path) for name, path in names.items()}


def grown() -> list[Trajectory]:
    nodes = [Trajectory(question=QUESTION)]
    for i, step in enumerate(STEPS):
        nodes.append(nodes[-1].child(step, (i,), **LAW))
    return nodes[1:]


def think_text(prm: Any, path: list[Trajectory], rationale: Sequence[int]) -> tuple[str, str]:
    """What ThinkPRM reads before a rationale, and behind it, written out."""
    steps = ["Ben has 7 + 3 = 10.", "So 10\n- 3 is 7.", "The answer is 7."][: len(path)]
    lines = "\n".join(f"Step {k}: {step}" for k, step in enumerate(steps, start=1))
    content = (
        "You are given a math problem and a proposed step-by-step solution:\n\n[Math Problem]\n\n"
        f"{QUESTION}\n\n[Solution]\n\n{lines}\n\nReview and critique each step in the proposed "
        "solution to determine whether each step is correct. If the solution is incomplete, only "
        "verify the provided steps."
    )
    before = f"<|user|>\n{content}<|end|>\n<|assistant|>\n\nLet's verify step by step:"
    return before, "\nIs the solution correct?"


def gen_text(prm: Any, path: list[Trajectory], rationale: Sequence[int]) -> tuple[str, str]:
    """What GenPRM reads: a turn a step, each answered with the first critique of it."""
    text = "<|system|>\nYou are a math teacher. Your task is to review and critique the paragraphs "
    text += "in solution step by step.<|end|>\n"
    for number, node in enumerate(path, start=1):
        asked = node.step_text.strip()
        if number == 1:
            asked = f"Question: {QUESTION}\n\n{asked}"
        text += f"<|user|>\n{asked}<|end|>\n<|assistant|>\n"
        text += f"<analyze>\nLet's analyze the Paragraph {number} step by step: "
        if number < len(path):
            first = prm.critiques(node)[0]
            said = prm.lm.tokenizer.decode(list(first.token_ids), skip_special_tokens=True).strip()
            verdict = "Yes" if first.log_odds > 0 else "No"
            text += (
                f"{said}\n</analyze>\n<output>\n**Judgement**: $\\boxed{{{verdict}}}$\n</output>"
            )
            text += "<|end|>\n"
    return text, "\n</analyze>\n<output>\n**Judgement**: $\\boxed{"


@pytest.mark.parametrize(
    ("name", "text", "verdicts"),
    [("thinkprm", think_text, (" Yes", " No")), ("genprm", gen_text, ("Yes", "No"))],
)
def test_a_verdict_is_that_of_a_plain_forward_pass(
    name: str, text: Any, verdicts: tuple[str, str], places: dict[str, Path]
) -> None:
    prm = load_prm(places[name], rationales=2, max_tokens=40)  # known by its name
    model = Qwen2ForCausalLM.from_pretrained(places[name]).eval()
    tokenizer = prm.lm.tokenizer
    plain = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    path = grown()
    for count in (1, 2, 3):
        found = prm.critiques(path[count - 1])
        assert len({one.token_ids for one in found}) == 2
        for one in found:
            before, cue = text(prm, path[:count], one.token_ids)
            good, bad = (plain(cue + verdict) for verdict in verdicts)
            place = next(i for i, (x, y) in enumerate(zip(good, bad, strict=False)) if x != y)
            ids = plain(before) + list(one.token_ids) + good[:place]
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, -1]
            assert one.log_odds == pytest.approx(
                float(logits[good[place]] - logits[bad[place]]), abs=2e-4
            )
        r = np.array([1 / (1 + np.exp(-one.log_odds)) for one in found])
        mean = r.mean()
        [score] = prm.score([path[count - 1]])
        assert score == pytest.approx(np.log(mean / (1 - mean)), abs=1e-9)
        [error] = prm.errors([path[count - 1]])
        spread = abs(r[0] - r[1]) / 2  # the standard error of a mean of two
        assert error == pytest.approx(spread / (mean * (1 - mean)), rel=1e-9)


def test_what_ends_a_rationale_is_not_read(places: dict[str, Path]) -> None:
    form = next(form for form in FORMS if form.name == "thinkprm")
    lm = load_lm(places["thinkprm"], prompt=form.prompt, step=StepRule(cap=40), probe=False)
    reader = FormReader(lm, form)
    beginning = reader.begin(QUESTION, ("4.",), ())

    def kept(text: str) -> str:
        ids = (
            *lm.tokenizer(text, add_special_tokens=False)["input_ids"],
            lm.tokenizer.eos_token_id,
        )
        rationale = beginning.child(text, ids, finished=True, **LAW)
        return lm.tokenizer.decode(list(reader.kept(beginning, rationale)))

    assert kept(" Fine.\n\nIs the solution correct? Yes") == " Fine."
    assert kept(" Fine.\n</think>\nSo:") == " Fine."
    assert kept(" Fine, so far \n") == " Fine, so far"
    assert kept("\n") == ""


def test_a_rationale_leaves_room_for_its_verdict(places: dict[str, Path]) -> None:
    form = next(form for form in FORMS if form.name == "thinkprm")
    lm = load_lm(places["thinkprm"], prompt=form.prompt, step=StepRule(cap=400), probe=False)
    x = grown()[0]
    reader = FormReader(lm, form)
    beginning = reader.begin(x.asked, x.solution_steps, ())
    lm.context = len(lm.rendered(beginning.question).token_ids) + len(reader.cue) + 6
    reader = FormReader(lm, form)
    prm = GenerativeVerifier(lm, reader, rationales=2, max_steps=1)
    assert prm.can_read(x)
    assert all(len(one.token_ids) <= 5 for one in prm.critiques(x))
    assert not prm.can_read(grown()[2])


def test_verifiers_are_known_by_their_names_and_bad_input_is_named(
    places: dict[str, Path], tmp_path: Path
) -> None:
    assert form_of("launch/ThinkPRM-14B") is FORMS[0] and form_of("x/GenPRM-32B") is FORMS[1]
    assert form_of("Qwen/Qwen2.5-Math-PRM-7B") is None
    with pytest.raises(TypeError, match="load_prm has no argument 'votes' for"):
        load_prm(places["genprm"], votes=3)
    with pytest.raises(TypeError, match="load_prm has no argument 'rationales' for 'pocket'"):
        load_prm("pocket", rationales=3)
    with pytest.raises(ValueError, match="rationales must be"):
        load_prm(places["genprm"], rationales=0)
    lm = load_lm("pocket", probe=False)
    with pytest.raises(ValueError, match="lm must have the prompt of the form 'thinkprm'"):
        FormReader(lm, FORMS[0])
    with pytest.raises(TypeError, match="with a tokenizer, and 'table' shows none"):
        FormReader(TableLM(lambda prefix: [1.0], name="table"), FORMS[0])
    with pytest.raises(ValueError, match="must have at least one step"):
        load_prm(places["thinkprm"], max_tokens=40).score([Trajectory(question="?")])


def test_every_form_has_a_row_in_the_docs() -> None:
    for form in FORMS:
        row = f"| `{form.name}` | {form.models} | {form.reads} | {form.source} |"
        assert row in DOCS


# What follows is of a verifier that is a table: rationales of one token, z = 0, 1 or 2.
P_Z = np.array([0.5, 0.3, 0.2])
RIGHT = np.array([0.9, 0.4, 0.1])  # r(x, z)
MEAN = float(P_Z @ RIGHT)
GOOD, BAD = 3, 4


def verifier_law(prefix: tuple[int, ...]) -> list[float]:
    if len(prefix) % 2:  # behind z
        r = RIGHT[prefix[-1]]
        return [0.0, 0.0, 0.0, 0.8 * r, 0.8 * (1 - r), 0.2]
    return [*law_of_z(prefix), 0.0, 0.0, 0.0]


def law_of_z(earlier: tuple[int, ...]) -> np.ndarray:
    tilted = P_Z.copy()
    if earlier and earlier[-2] == 0:
        tilted[0] += 20.0
    return tilted / tilted.sum()


class TableReader:
    """Asks the table; a chained one shows it the earlier rationales."""

    good, bad, cue = GOOD, BAD, ()

    def __init__(self, lm: TableLM, chained: bool = False) -> None:
        self.lm, self.chained = lm, chained

    def begin(self, question: str, steps: tuple[str, ...], earlier: tuple[str, ...]) -> Trajectory:
        node = self.lm.start(f"{question}{steps}")
        for turn in earlier:
            node = node.child(turn, (int(turn), 0), **LAW)
        return node

    def room(self, beginning: Trajectory) -> int | None:
        return None

    def complete(self, rationale: Trajectory) -> bool:
        return True

    def kept(self, beginning: Trajectory, rationale: Trajectory) -> tuple[int, ...]:
        return rationale.step_token_ids

    def turn(self, number: int, ids: Sequence[int], right: bool) -> str:
        return str(ids[0])


def table_verifier(chained: bool = False, **settings: Any) -> GenerativeVerifier:
    lm = TableLM(verifier_law, eos=5)
    return GenerativeVerifier(lm, TableReader(lm, chained), **settings)


def solutions(count: int) -> list[Trajectory]:
    root = Trajectory(question="?")
    return [root.child(str(number), (number,), **LAW) for number in range(count)]


def expected(function: Any, rationales: int) -> float:
    """The expectation of a function of r_n, over all its rationales."""
    total = 0.0
    for zeros in range(rationales + 1):
        for ones in range(rationales - zeros + 1):
            counts = np.array([zeros, ones, rationales - zeros - ones])
            p = multinomial.pmf(counts, rationales, P_Z)
            total += p * function(counts @ RIGHT / rationales)
    return float(total)


def test_the_mean_over_rationales_is_unbiased_and_its_log_odds_are_not() -> None:
    """Four standard errors: a false alarm in 16,000 for each of the three."""
    scores = table_verifier(rationales=2).score(solutions(1500))
    for function in (lambda r: r, lambda r: np.log(r / (1 - r)), lambda r: r / (1 - r)):
        found = function(sigmoid(scores))
        off = 4 * found.std() / np.sqrt(len(found))
        assert abs(found.mean() - expected(function, 2)) < off
    assert expected(lambda r: r, 2) == pytest.approx(MEAN)
    assert abs(expected(lambda r: np.log(r / (1 - r)), 2) - np.log(MEAN / (1 - MEAN))) > 0.03


def test_biases_are_those_that_the_docstring_tells() -> None:
    variance = float(P_Z @ RIGHT**2) - MEAN**2
    n = 60
    odds = expected(lambda r: r / (1 - r), n) - MEAN / (1 - MEAN)
    assert odds == pytest.approx(variance / n / (1 - MEAN) ** 3, rel=0.1)
    rooted = expected(np.sqrt, n) - np.sqrt(MEAN)
    assert rooted == pytest.approx(-variance / n / 8 * MEAN**-1.5, rel=0.05)


def test_errors_are_those_of_the_scores() -> None:
    some = solutions(300)
    prm = table_verifier(rationales=32)
    told = np.sqrt(np.mean(prm.errors(some) ** 2))
    # four standard errors of a standard deviation of 300
    assert np.std(prm.score(some)) == pytest.approx(told, rel=0.17)
    assert np.isnan(table_verifier(rationales=1).errors(some[:2])).all()


def test_a_score_is_a_function_of_the_text_alone() -> None:
    prm, some = table_verifier(), solutions(12)
    at_once = prm.score(some)
    other = table_verifier()
    alone = [float(other.score([x])[0]) for x in reversed(some)]
    assert alone[::-1] == at_once.tolist() and len(set(alone)) > 3
    spent = prm.cost
    assert prm.score(solutions(12)).tolist() == at_once.tolist() and prm.cost == spent
    assert spent.prm_tokens > 0
    assert identify(prm).text == identify(table_verifier()).text
    assert identify(prm).text != identify(table_verifier(seed=1)).text


def solver() -> TableLM:
    return TableLM(lambda prefix: [0.4, 0.3, 0.3] if prefix else [0.6, 0.4, 0.0], eos=2)


def all_of(lm: TableLM, depth: int) -> list[list[Trajectory]]:
    """Every complete path of at most `depth` steps, with its nodes; a token is a step."""
    paths, complete = [[lm.start("?")]], []
    for step in range(depth):
        grown_paths = []
        for path in paths:
            for token, p in enumerate([0.4, 0.3, 0.3] if step else [0.6, 0.4, 0.0]):
                if p:
                    law = {"logprob": float(np.log(p)), "proposal_logprob": float(np.log(p))}
                    node = path[-1].child(f"{token} ", (token,), finished=token == 2, **law)
                    over = token == 2 or step == depth - 1
                    (complete if over else grown_paths).append([*path, node])
        paths = grown_paths
    return [path[1:] for path in complete]


def evidence(prm: GenerativeVerifier, paths: list[list[Trajectory]], odds: bool = False) -> float:
    total = 0.0
    for path in paths:
        scores = prm.score(path)
        factors = np.exp(scores) if odds else sigmoid(scores)
        total += np.exp(path[-1].logprob) * factors.prod()
    return total


def test_over_seeds_the_evidence_is_that_of_the_mean_and_not_for_odds() -> None:
    """Four standard errors of 120 seeds, whose evidence is enumerated."""
    paths = all_of(solver(), 2)
    judges = [table_verifier(rationales=2, seed=seed) for seed in range(120)]
    for odds in (False, True):
        found = np.array([evidence(prm, paths, odds) for prm in judges])
        factor = expected((lambda r: r / (1 - r)) if odds else (lambda r: r), 2)
        exact = sum(np.exp(path[-1].logprob) * factor ** len(path) for path in paths)
        off = 4 * found.std() / np.sqrt(len(found))
        assert abs(found.mean() - exact) < off
        naive = MEAN / (1 - MEAN) if odds else MEAN
        plain = sum(np.exp(path[-1].logprob) * naive ** len(path) for path in paths)
        assert (abs(plain - exact) < 1e-12) != odds


def test_a_chained_verifier_has_latent_rationales() -> None:
    """One rationale a step: E[prod] over both, which is no product of means; 4 standard errors."""
    prm = table_verifier(chained=True, rationales=1)
    first = solutions(2000)
    second = [x.child("9", (9,), **LAW) for x in first]
    found = sigmoid(prm.score(second)) * sigmoid(prm.score(first))
    after = [law_of_z((z, 0)) @ RIGHT for z in range(3)]
    off = 4 * found.std() / np.sqrt(len(found))
    assert abs(found.mean() - P_Z @ (RIGHT * after)) < off
    assert abs(found.mean() - MEAN * (P_Z @ after)) > off


def test_a_filter_follows_the_likelihood_of_its_seed() -> None:
    """The probability of first token 0, enumerated for this seed; 5 standard errors of 2,000."""
    prm = table_verifier(rationales=1, seed=3)
    paths = all_of(solver(), 2)
    posterior = solve(
        "?",
        lm=solver(),
        prm=prm,
        particles=2000,
        max_steps=2,
        seed=0,
        answer=lambda x: x.text[0] if x.depth == 2 or not x.open else None,
        progress=False,
    )
    weights = np.array([np.exp(p[-1].logprob) * sigmoid(prm.score(p)).prod() for p in paths])
    first = np.array([p[0].token_ids[0] == 0 for p in paths])
    exact = weights[first].sum() / weights.sum()
    assert posterior.answers["0"] == pytest.approx(exact, abs=5 * 0.5 / np.sqrt(2000))
    assert posterior.log_evidence == pytest.approx(np.log(weights.sum()), abs=0.1)
    assert abs(exact - 0.6) > 0.1  # with the verifier's own mean no first token is better
