"""What a report holds, in which order, for every sampler; and that it needs nothing from
outside."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from itertools import pairwise

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import motes
from motes import ppl
from motes.diagnostics.findings import check
from motes.diagnostics.report import page
from motes.models import ChatPrompt, FunctionReward, TableLM, load_lm
from motes.ppl import Posterior
from motes.samplers import SAMPLERS, ParticleFilter

SECTIONS = ["question", "answer", "findings", "pictures", "reasoning", "ancestry", "run"]
# particles of all generations; trajectories that are written each by itself
WITHOUT_HISTORY = {"persistent_pool", "rsd", "spec_reason", "gsi"}
CHAINS = {
    "particle_gibbs",
    "suffix_metropolis",
    "power_metropolis",
    "delayed_acceptance",
    "parallel_tempering",
    "replica_exchange",
}
VARIANTS = {
    "tempered_smc": {"waste_free": True, "moves": 1},
    "entropic_particle_filter": {"look_ahead": 2},
    "giannone2025": {"look_ahead": 2},
    "twisted_smc": {"twist": "look_ahead", "successors": 2},
}
CASES = [(name, {}) for name in SAMPLERS] + list(VARIANTS.items())


def shown(reader) -> list[str]:
    """The pictures on the page."""
    return [name.removeprefix("picture-") for name in reader.ids if name.startswith("picture-")]


@pytest.mark.long(quick=2)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_every_sampler(name, settings, sampled, read):
    posterior = sampled(name, **settings)
    reader = read(page(posterior))
    followed = name not in CHAINS | WITHOUT_HISTORY and not settings.get("waste_free")
    assert [part for part in reader.ids if part in SECTIONS] == [
        part for part in SECTIONS if part != "ancestry" or followed
    ]
    expected = ["scores", "trace", "rank"] if name in CHAINS else ["ess", "scores", "lorenz"]
    if name in WITHOUT_HISTORY:
        expected = ["scores", "lorenz"]
    if posterior.tree is not None:
        whole = "lines are drawn" not in reader.text
        expected = ["scores", "lorenz"] if whole else ["scores", "tree", "lorenz"]
        assert "gone on with" in reader.text
    expected += ["powers"] * (name == "tempered_smc") + ["swaps"] * (
        name in ("parallel_tempering", "replica_exchange")
    )
    assert shown(reader) == expected
    for words in (
        name,
        posterior.paper.split(",")[0],
        posterior.guarantee.capitalize(),
        "Chains" if name in CHAINS else "Population",
    ):
        assert words in reader.text
    assert ("Log-evidence" in reader.text) == (posterior.log_evidence is not None)
    for answer, probability in posterior.answers.items():
        assert (answer or "no answer") in reader.text and f"{probability:.3f}" in reader.text


@pytest.mark.long(quick=1)
@pytest.mark.parametrize("name", ["particle_filter", "suffix_metropolis", "tempered_smc"])
def test_read_back_from_disk_it_is_the_same(name, sampled, tmp_path):
    posterior = sampled(name)
    posterior.save(tmp_path / "posterior.nc")
    assert page(Posterior.load(tmp_path / "posterior.nc")) == page(posterior)


def test_findings_are_told_or_that_there_are_none(sampled, make_posterior, monkeypatch, read):
    found = check(make_posterior())
    text = read(page(make_posterior())).text
    assert found and all(
        part[1:] in text for finding in found for part in (finding.name, finding.seen, finding.why)
    )
    assert "Nothing was found" not in text
    monkeypatch.setattr("motes.diagnostics.report.finding_sentences.check", lambda posterior: [])
    text = read(page(make_posterior())).text
    assert "Nothing was found." in text and "does not make the answer right" in text


def test_without_a_reward_model(sampled, read):
    reader = read(page(sampled("particle_filter", prm=None)))
    assert shown(reader) == ["ess", "lorenz"] and "r = " not in reader.text


def test_the_prompt_that_was_sent_is_shown(read):
    """The system text, the examples and the question, between the turns of the model's template."""
    chat = ChatPrompt(system="Be brief.", examples=[("1 + 1?", "The answer is 2.")])
    lm = load_lm("pocket", prompt=chat, probe=False)
    question = "Ann has 3 pens. How many?"
    posterior = motes.solve(question, lm=lm, prm=None, particles=2, max_steps=1)
    _, _, after = page(posterior).partition('<th scope="row">prompt</th><td>')
    row = unescape(after.partition("</td>")[0])
    for role, said in (
        ("system", "Be brief."),
        ("user", "1 + 1?"),
        ("assistant", "The answer is 2."),
        ("user", question),
    ):
        assert f"<|{role}|>{said}" in row
    plain = motes.solve(question, lm=load_lm("pocket", probe=False), prm=None, particles=2)
    assert "Be brief." not in read(page(plain)).text


def test_dead_particles_and_no_answer(forked, make_posterior, read):
    assert "no living descendant" in read(page(forked())).text
    assert "No answer was stated." in read(page(make_posterior(extracted=(None,) * 6))).text
    assert "it has no steps" in read(page(_rooted(make_posterior))).text.lower()


def _rooted(make_posterior) -> Posterior:
    from motes.models import Trajectory
    from motes.smc import History

    nothing = Trajectory(question="?").close(truncated=True)
    return make_posterior(
        trajectories=(nothing,),
        log_weights=np.zeros(1),
        log_odds=(np.zeros(0),),
        extracted=(None,),
        history=History.of({}, 1),
    )


@pytest.mark.slow
def test_programs_show_what_they_drew(read):
    lm, prm = (
        TableLM(lambda prefix: [0.4, 0.3, 0.3], eos=2),
        FunctionReward(lambda x: 1.0 - 0.3 * x.depth),
    )

    def solve():
        rate = numpyro.sample("rate", dist.Beta(2.0, 2.0))
        x = ppl.start(lm, "?")
        while x.open and x.depth < 4:
            x = numpyro.sample(f"step_{x.depth}", ppl.step(lm, x, stop_at_answer=False))
            numpyro.sample(f"ok_{x.depth}", ppl.judgement(prm, x, power=rate), obs=1)
        return str(x.depth)

    posterior = ParticleFilter(particles=8).run(ppl.Program(solve), seed=1)
    reader = read(page(posterior))
    weights = np.exp(posterior.log_weights)
    assert "What the program drew" in reader.text
    assert f"{np.average(posterior.latents['rate'], weights=weights):.4g} ±" in reader.text


def test_runs_that_were_pooled(sampled, read):
    pooled = ppl.pool([sampled("particle_filter", seed=seed) for seed in (2, 3, 4)])
    reader = read(page(pooled))
    assert "log_evidence" in shown(reader) and "3 independent runs" in reader.text
    assert check(pooled) is not None and page(replace(pooled, latents={}))


def test_it_needs_nothing_from_outside(sampled, read):
    for name in ("particle_filter", "suffix_metropolis"):
        html = page(sampled(name))
        reader = read(html)
        for _, key, value in reader.attributes:
            if key in ("src", "href", "xlink:href", "action", "poster", "srcset"):
                assert value.startswith(("#", "data:"))
            assert "url(" not in value or value.startswith("url(#") or "url(#" in value
        assert not {"iframe", "object", "embed", "form", "base", "a:href"} & set(reader.tags)
        assert set(re.findall(r"https?://[^\s\"<]+", html)) <= {
            "http://www.w3.org/1999/xlink",
            "http://www.w3.org/2000/svg",
        }
        assert not re.search(r"@import|url\((?!#)", "".join(reader.styles))


def test_the_policy_allows_the_pages_own_script_and_no_other(sampled, read):
    reader = read(page(sampled("particle_filter")))
    policy = next(
        value
        for tag, name, value in reader.attributes
        if tag == "meta" and name == "content" and "default-src" in value
    )
    data, script = reader.scripts
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert (
        policy.split("; ")[0] == "default-src 'none'" and f"script-src 'sha256-{digest}'" in policy
    )
    assert (
        "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        and "unsafe-eval" not in policy
    )
    assert "innerHTML" not in script and "eval" not in script and data.startswith("{")


def test_it_can_be_read_without_eyes(sampled, forked, read):
    for posterior in (sampled("particle_filter"), sampled("parallel_tempering"), forked(100)):
        html = page(posterior)
        reader = read(html)
        levels = [int(tag[1]) for tag in reader.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert len(reader.ids) == len(set(reader.ids))
        assert {"header", "nav", "main", "footer"} <= set(reader.tags)
        targets = [
            value[1:] for tag, name, value in reader.attributes if tag == "a" and name == "href"
        ]
        labelled = [
            value
            for _, name, value in reader.attributes
            if name in ("aria-labelledby", "aria-describedby")
        ]
        assert targets and set(targets) | set(labelled) <= set(reader.ids)
        for opening in re.findall(r"<svg[^>]*>", html):
            assert 'aria-hidden="true"' in opening or (
                'role="img"' in opening and 'aria-label="' in opening
            )


def test_the_same_posterior_makes_the_same_page_and_a_small_one(forked):
    large = forked(256, 12, texts=("So Ana has 7 + 3 = 10 shells, which is what Ben has.\n\n",))
    html = page(large)
    assert html == page(large)
    assert len(html.encode()) < 3_000_000
    assert (
        "Of 256 particles the 64 with the greatest final weight are drawn" in html
        and 'id="picture-ancestry"' in html
    )


def test_heavy_pictures_are_painted(forked, monkeypatch, read):
    monkeypatch.setattr("motes.diagnostics.report.svg.HEAVY", 20_000)
    html = page(forked())
    assert 'class="picture paper" id="picture-scores"' in html
    read(html)
