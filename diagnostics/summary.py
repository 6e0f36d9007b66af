"""The summary of a posterior: its facts, shown as a report of one screen."""

from __future__ import annotations

from io import StringIO
from typing import Any, cast

from rich.console import Console

from ..ppl.posterior.posterior import Posterior
from .console import render
from .facts import facts


class Summary(dict[str, Any]):
    """The facts of a posterior, as JSON can hold them; shown as a report of one screen.

    Attributes:
        posterior: whose facts they are.
    """

    def __init__(self, posterior: Posterior, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.posterior = posterior

    def __repr__(self) -> str:
        console = Console(width=100, file=StringIO(), highlight=False)
        console.print(render(self.posterior))
        return cast("StringIO", console.file).getvalue().rstrip()

    def _repr_html_(self) -> str:
        return self.posterior._repr_html_()


def summary(posterior: Posterior) -> Summary:
    """Summarise what one should know of a posterior before believing it.

    Answers come with their probability, Monte Carlo standard error, and, of pooled runs, 95%
    credible interval over runs (see `motes.ppl.posterior.pooling.pooled_interval`); the
    log-evidence with its standard error. What is not finite or not known is None: an undefined
    standard error, a log-evidence that chains do not have, the answer of trajectories without one,
    a k-hat of draws that are not independent or too few.

    Example:
        >>> import motes
        >>> from motes.models import TableLM
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> posterior = motes.solve("?", lm=lm, prm=None, particles=8, max_steps=4)
        >>> told = summary(posterior)
        >>> told["question"], told["trajectories"]
        ('?', 8)
    """
    return Summary(posterior, facts(posterior))
