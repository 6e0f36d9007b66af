r"""Right answers as data sets give them.

GSM8K ends a worked solution with `#### 18`; MATH has a solution whose last box holds the answer,
and a column with the answer alone; others have numbers. A gold that cannot be read would count
every right answer as wrong without a word, so it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from warnings import warn

from ..models import Trajectory
from ..ppl.answers import Answer, group, last_answer, spelled

LONGEST = 200  # characters of an answer in words
FORMS = (r"The answer is \boxed{{{}}}.", "#### {}", "{}")  # in which a solution states an answer
_MISSING = {"nan", "null", "<na>", "n/a", "#n/a"}


def read_gold(place: str, answer: object, solution: object = None) -> str:
    r"""Return the right answer of a problem.

    Args:
        place: what to call the problem in an error.
        answer: a text or a number: the answer itself, or a solution that states it; None where
            there is none.
        solution: a text that states the answer, which is read where `answer` is None.

    Raises:
        TypeError: it is neither a text nor a number, or empty.
        ValueError: it is NaN or infinite, or states no answer that can be read.

    Example:
        >>> read_gold("problems[0]", "She sells 9 eggs at $2.\n#### 18")
        '18'
        >>> read_gold("problems[1]", None, r"So it is $\boxed{12\text{ cm}}$.")
        '12'
    """
    if answer is None and isinstance(solution, str) and solution.strip():
        return _stated(place, "solution", solution)
    if answer is None or not str(answer).strip():
        form = "an answer that is a text or a number"
        raise TypeError(f"{place} must have {form}, not {answer!r:.100}")
    if not isinstance(answer, str):
        return str(spelled(answer, f"{place} must have an answer that is"))
    if answer.strip().lower() in _MISSING:
        missing = f"{answer!r}, which stands for a missing one"
        raise ValueError(f"{place} must have an answer, not {missing}")
    is_solution = "####" in answer or re.search(r"\\(?:boxed|fbox)\b", answer)
    is_long = len(answer) > LONGEST or ("\n" in answer.strip() and "\\begin" not in answer)
    return _stated(place, "answer", answer) if is_solution or is_long else answer


def warn_of_unread(golds: Sequence[str], rule: Answer) -> None:
    """Warn where right answers cannot be read back by the rule that will read the models'.

    Whoever gave such an answer, even in its very words, would be counted as wrong.

    Warns:
        RuntimeWarning: there are such; the message has their number and the first.
    """
    lost = [gold for gold in golds if not _read_back(gold, rule)]
    if lost:
        warn(
            f"{len(lost)} of {len(golds)} right answers cannot be read back by the rule for "
            f"answers, {lost[0]!r:.60} for one: solutions that give them will count as wrong; "
            "choose another rule, or say what is right by `correct`",
            RuntimeWarning,
            stacklevel=3,
        )


def _read_back(gold: str, rule: Answer) -> bool:
    """Say whether a rule reads from some text that states this answer what means the same."""
    for form in FORMS:
        stating = Trajectory(question="?").child(
            form.format(gold), (0,), logprob=0.0, proposal_logprob=0.0
        )
        answer = rule(stating.close(finished=True))
        if answer is not None and len(set(group([str(answer), gold]))) == 1:
            return True
    return False


def _stated(place: str, name: str, text: str) -> str:
    """Return the answer that a text states last, at a mark if it has one."""
    _, mark, rest = text.rpartition("####")
    answer = last_answer(mark + rest)
    if answer is None and mark and rest.strip()[:1].isalpha():
        answer = rest.strip().splitlines()[0]  # in words
    if answer is None:
        form = r"what can be read, as '#### 18' or \boxed{18} do"
        article = "an" if name == "answer" else "a"
        needed = f"{article} {name} that states {form}"
        raise ValueError(f"{place} must have {needed}, not {text[-60:]!r}")
    return answer
