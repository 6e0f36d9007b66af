"""How far a run is within a step, and how long it may take at most.

The most that a run may take is known when its first tokens have come: rows, steps and tokens of a
step are bounded by declaration, and the rate has been seen. Most solutions end long before the
bound.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

from ..models import LanguageModel
from ..models.progress import Drawn, listening

SEEN = 3.0  # seconds of drawing after which the rate is believed
LONG = 60.0  # seconds from which a forecast is worth a line


class Forecast:
    """Says once how many tokens a population of solutions may take at most, and how long that is.

    Args:
        max_steps: the most steps of a solution.
        say: is given the sentence, where that time is a minute or more.
        clock: gives the time in seconds.

    Attributes:
        tokens: drawn so far.
        rate: tokens a second so far; 0 at first.

    Example:
        >>> times, said = iter([0.0, 4.0]), []
        >>> forecast = Forecast(32, said.append, clock=lambda: next(times))
        >>> for column in (1, 2):
        ...     forecast(Drawn(rows=4, column=column, longest=256, room=1900))
        >>> said[0][:20], said[0].partition("): ")[2][:22]
        ('at most 7,600 tokens', '2 h 7 min at 1 token/s')
    """

    def __init__(
        self,
        max_steps: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.max_steps, self.tokens, self.rate = max_steps, 0, 0.0
        self._say, self._clock, self._said = say, clock, False
        self._began: float | None = None
        self._first, self._solutions, self._most = 0, 0, 0

    def __call__(self, drawn: Drawn) -> None:
        """Take note of a token in every row."""
        now = self._clock()
        self.tokens += drawn.rows
        # the first token came after the prompt was read, so its time is not counted
        if self._began is None:
            self._began, self._first = now, self.tokens
            self._solutions = drawn.rows
            self._most = drawn.rows * min(self.max_steps * drawn.longest, drawn.room)
            return
        if now > self._began:
            self.rate = (self.tokens - self._first) / (now - self._began)
        if not self._said and now - self._began >= SEEN:
            self._said = True
            if self._most >= LONG * self.rate:
                self._say(self._sentence(drawn.longest))

    def _sentence(self, longest: int) -> str:
        bound = (
            f"{self._solutions} solutions of up to {self.max_steps} steps of {longest} tokens, "
            "within the context"
        )
        pace = f"{self.rate:,.0f} token{'' if round(self.rate) == 1 else 's'}/s"
        advice = "fewer particles, max_steps= or StepRule(cap=) bound it"
        return (
            f"at most {self._most:,} tokens ({bound}): {_span(self._most / self.rate)} at {pace}; "
            f"{advice}"
        )


@contextmanager
def step_bar(lm: LanguageModel, max_steps: int, shown: bool) -> Iterator[None]:
    """Show a progress bar of the tokens of each step, and a forecast, below the bar of the run.

    Args:
        lm: the language model; where it tells nothing, nothing is shown.
        max_steps: the most steps of a solution.
        shown: False for nothing at all.
    """
    if not shown:
        yield
        return
    with tqdm(desc="tokens of a step", unit="token", leave=False, position=1, delay=1.0) as bar:
        forecast = Forecast(
            max_steps, lambda sentence: tqdm.write(f"motes: {sentence}", file=sys.stderr)
        )

        def told(drawn: Drawn) -> None:
            forecast(drawn)
            if drawn.column == 1:
                bar.reset(total=drawn.longest)
            bar.set_postfix_str(f"{drawn.rows} open, {forecast.rate:,.0f} tokens/s", refresh=False)
            bar.update()

        with listening(lm, told):
            yield


def _span(seconds: float) -> str:
    """Return a duration in words, of two units."""
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
