r"""Generative verifiers: P(verdict) after a rationale that the verifier has written.

With z a rationale about the prefix x, drawn by the verifier, and l(x, z) the logit of "Yes" minus
that of "No" behind x and z, the verifier's probability that x is right is the average ::

    r(x, z) = sigmoid(l(x, z)),    r(x) = E_z[ r(x, z) ]

over all rationales. Of n of them, z_1 to z_n, what is returned is the log-odds of their mean ::

    r_n(x) = (1/n) sum_i r(x, z_i),    score = log r_n(x) - log(1 - r_n(x))

The mean is of probabilities: r_n is an unbiased estimate of r. The mean of the log-odds would
estimate another quantity. `errors` gives the Monte Carlo standard error of a score, by the delta
method, with s the standard deviation of r(x, z_i) ::

    error(x) = s / sqrt(n) / ( r_n (1 - r_n) )

**What a filter then follows.** The rationales come from keys of the prefix (see `rationales`), so
that a score is a function of the prefix. Given the seed, every sampler is exact for the likelihood
r_n, as for any reward model; with ever more particles it comes to that posterior, and not to that
of r. Over seeds:

    product    the factors r_n(x_1:t) of one trajectory have independent rationales, so that
               E[ prod_t r_n ] = prod_t r(x_1:t): the evidence, and every weighted sum of
               particles, is unbiased for the target with the verifier's own r. Runs with several
               seeds, each weighted by its evidence, come to the posterior of r (random weights:
               Fearnhead et al. 2008, doi:10.1111/j.1467-9868.2008.00663.x).
    odds       r / (1 - r) is convex: its estimate is too large by about Var[r(x, z)] / n / (1 -
               r)^3 for each factor.
    tempered   r^beta is too small by about beta (1 - beta) / 2 r^(beta - 2) Var[r(x, z)] / n, for
               beta below 1.
    final      unbiased for R = last, product and mean; not for min.

A log-evidence is the log of an unbiased estimate: it is too small by about half its variance.
Markov chains that keep a seed follow r_n of that seed; averaged over seeds they do not come to r.

A verifier that reads what it wrote about earlier steps (GenPRM) has one rationale in several
factors. The product is then unbiased for the target in which the rationales are latent,
p(x) E_z[ prod_t r(x_1:t, z_1:t) ], with one rationale a step (`rationales=1`); of several, the
first is read by later steps, as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import logsumexp

from ... import checks
from ...log_odds import log_sigmoids, sigmoid
from .. import calls
from ..cost import Cost
from ..identity import identify
from ..protocols import Capabilities, QuestionTooLong, TractableLanguageModel
from ..sampling import Sampling
from ..trajectory import Trajectory
from .rationales import Content, content_of, written

_PLAIN = Sampling()


class RationaleReader(Protocol):
    """How a generative verifier is asked; `motes.models.reward.verifier_forms.FormReader` is one.

    Attributes:
        good: the token that means right.
        bad: the token that means wrong.
        cue: the tokens between a rationale and its verdict.
        chained: whether what was written about earlier steps is read before the last one.
    """

    good: int
    bad: int
    cue: tuple[int, ...]
    chained: bool

    def begin(self, question: str, steps: tuple[str, ...], earlier: tuple[str, ...]) -> Trajectory:
        """Return where the rationale about the last step begins."""
        ...

    def room(self, beginning: Trajectory) -> int | None:
        """Return how many tokens of a rationale can be read before its verdict; None for any."""
        ...

    def complete(self, rationale: Trajectory) -> bool:
        """Return whether a rationale needs no further step."""
        ...

    def kept(self, beginning: Trajectory, rationale: Trajectory) -> tuple[int, ...]:
        """Return the tokens of a rationale that are read before its verdict."""
        ...

    def turn(self, number: int, ids: Sequence[int], right: bool) -> str:
        """Return a rationale and its verdict as a turn of a conversation."""
        ...


class Critique(NamedTuple):
    """A rationale about a prefix, and what the verifier says behind it.

    Attributes:
        beginning: where the rationale begins.
        token_ids: of the rationale.
        log_odds: of right against wrong behind it.
    """

    beginning: Trajectory
    token_ids: tuple[int, ...]
    log_odds: float


class GenerativeVerifier:
    """A reward model that writes rationales, and is asked for its verdict behind each.

    See the module for what it estimates, and what a sampler then follows.

    Args:
        lm: the verifier, which tells the probability of a given text. Where it is the model that
            writes the solutions too, give it a host of its own, or its cost is counted twice.
        reader: how it is asked.
        rationales: how many are written for each prefix.
        max_steps: the most steps of a rationale; behind one that is not finished by then the
            verdict is asked for all the same.
        sampling: how they are drawn; as the language model is where None.
        seed: another seed gives other rationales.
        name: what reports call it.

    Raises:
        TypeError: `lm` is not a language model that tells a text's probability.
        ValueError: a number is below 1.

    Example:
        >>> from motes.models import load_prm
        >>> prm = load_prm("pocket", family="thinkprm", max_tokens=32)
        >>> step = prm.lm.start("How many?").child("4.", (5,), logprob=0.0, proposal_logprob=0.0)
        >>> prm.score([step]).shape, len(prm.critiques(step))
        ((1,), 4)
    """

    capabilities = Capabilities(limited=True)

    def __init__(
        self,
        lm: TractableLanguageModel,
        reader: RationaleReader,
        *,
        rationales: int = 4,
        max_steps: int = 64,
        sampling: Sampling | None = None,
        seed: int = 0,
        name: str = "",
    ) -> None:
        if not isinstance(lm, TractableLanguageModel):
            raise TypeError(f"lm must be a language model with a method logprob, not {lm!r}")
        self.lm, self.reader = lm, reader
        self.rationales = checks.count("rationales", rationales)
        self.max_steps = checks.count("max_steps", max_steps)
        self.sampling = sampling
        self.seed = checks.count("seed", seed, least=0)
        self.name = name or f"verdicts of {lm.name}"
        self._critiques: dict[Content, tuple[Critique, ...]] = {}

    @property
    def cost(self) -> Cost:
        """What the verifier has read and written, as a reward model's cost."""
        return self.lm.cost.as_reward_model()

    @property
    def fingerprint(self) -> str:
        """What tells it from other models: see `motes.models.identity`."""
        settings = (self.rationales, self.max_steps, self.sampling, self.seed)
        parts = (self.lm, getattr(self.reader, "form", self.reader), *settings)
        return repr([identify(part).text for part in parts])

    def can_read(self, trajectory: Trajectory) -> bool:
        """Return whether the context holds a prefix and a rationale of one token at least."""
        content = trajectory.asked, trajectory.solution_steps or ("",)
        self._judge(self._before(content))
        try:
            room = self.reader.room(self._beginning(content))
        except QuestionTooLong:
            return False
        return room is None or room > 0

    def score(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the log-odds of each trajectory's last step; see `RewardModel.score`.

        Raises:
            ValueError: a trajectory has no step.
        """
        values = self._log_odds(trajectories)
        return logsumexp(log_sigmoids(values), axis=1) - logsumexp(log_sigmoids(-values), axis=1)

    def errors(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return the Monte Carlo standard error of each score, nats, shape (N,).

        NaN where one rationale says nothing of how they differ.
        """
        if self.rationales == 1:
            return np.full(len(trajectories), np.nan)
        r = sigmoid(self._log_odds(trajectories))
        mean = r.mean(axis=1)
        return r.std(axis=1, ddof=1) / np.sqrt(self.rationales) / (mean * (1 - mean))

    def critiques(self, trajectory: Trajectory) -> tuple[Critique, ...]:
        """Return the rationales about a trajectory, and the verdict behind each.

        Raises:
            ValueError: it has no step.
        """
        content = content_of(trajectory)
        self._judge([content])
        return self._critiques[content]

    def _log_odds(self, trajectories: Sequence[Trajectory]) -> np.ndarray:
        """Return l(x, z_i), shape (N, rationales)."""
        contents = [content_of(trajectory) for trajectory in trajectories]
        self._judge(contents)
        rows = [[one.log_odds for one in self._critiques[content]] for content in contents]
        return np.array(rows, np.float64).reshape(len(rows), self.rationales)

    def _judge(self, contents: Sequence[Content]) -> None:
        """Have critiques written of all these, and of what must be judged before them."""
        needed: dict[Content, None] = {}
        for content in contents:
            needed |= dict.fromkeys([*self._before(content), content])
        new = [content for content in needed if content not in self._critiques]
        new.sort(key=lambda content: len(content[1]))
        for _, group in groupby(new, key=lambda content: len(content[1])):
            self._criticise(list(group))

    def _before(self, content: Content) -> list[Content]:
        """Return the shorter prefixes whose critiques are read before this one's."""
        question, steps = content
        if not self.reader.chained:
            return []
        return [(question, steps[:count]) for count in range(1, len(steps))]

    def _beginning(self, content: Content) -> Trajectory:
        earlier = []
        for before in self._before(content):
            first = self._critiques[before][0]
            number = len(before[1])
            earlier.append(self.reader.turn(number, first.token_ids, first.log_odds > 0))
        return self.reader.begin(*content, tuple(earlier))

    def _criticise(self, contents: list[Content]) -> None:
        beginnings = [self._beginning(content) for content in contents]
        rationales = written(
            self.lm,
            contents,
            beginnings,
            seed=self.seed,
            count=self.rationales,
            max_steps=self.max_steps,
            sampling=self.sampling,
            complete=self.reader.complete,
        )
        starts, kept = [], []
        for beginning, own in zip(beginnings, rationales, strict=True):
            starts += [beginning] * len(own)
            kept += [self.reader.kept(beginning, rationale) for rationale in own]
        values = self._verdicts(starts, kept)
        made = list(map(Critique, starts, kept, values.tolist()))
        for place, content in enumerate(contents):
            first = place * self.rationales
            self._critiques[content] = tuple(made[first : first + self.rationales])

    def _verdicts(self, starts: list[Trajectory], rationales: list[tuple[int, ...]]) -> np.ndarray:
        """Return the log-odds behind each rationale."""
        heads = []
        for start, ids in zip(starts, rationales, strict=True):
            read = (*ids, *self.reader.cue)
            heads.append(start.child("", read, logprob=0.0, proposal_logprob=0.0))
        verdicts = [(self.reader.good,)] * len(heads) + [(self.reader.bad,)] * len(heads)
        values = calls.logprob(self.lm, heads * 2, verdicts, prior=_PLAIN)
        return values[: len(heads)] - values[len(heads) :]
