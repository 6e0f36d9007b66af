"""Which reward model judges a language model when none is named.

The pocket's reward model has learned the steps of the pocket's language model, and says nothing of
anybody else's. So the two are a default together, and no other language model has a default judge.
"""

from __future__ import annotations

from typing import Any

POCKET = "pocket"
AUTO = "auto"
JUDGE = "judge:"  # before the source of a language model that is asked as a judge
VOTES = "votes:"  # before the source of one that writes rationales, whose verdicts are counted
USES = (JUDGE, VOTES)
SELF_CERTAINTY, TAIL_ENTROPY, SELF_JUDGE = "self-certainty", "tail-entropy", "self-judge"
AGREEMENT, SELF_SCORE, CONFIDENCE = "agreement", "self-score", "confidence"
# reward models that are the language model itself
OF_THE_LM = (SELF_CERTAINTY, CONFIDENCE, TAIL_ENTROPY, SELF_JUDGE, SELF_SCORE, AGREEMENT)


def paired(lm: object, prm: object) -> Any:
    """Return the reward model meant by `prm`.

    Itself, or the pocket's where "auto" stands beside the pocket.

    Args:
        lm: a language model, or its name.
        prm: a reward model, its name, None for no likelihood, or "auto".

    Raises:
        ValueError: "auto" stands beside a language model that has no reward model of its own.

    Example:
        >>> paired("pocket", "auto")
        'pocket'
        >>> paired("Qwen/Qwen2.5-Math-1.5B-Instruct", None) is None
        True
    """
    if not isinstance(prm, str) or prm != AUTO:
        return prm
    if isinstance(lm, str) and lm == POCKET:
        return POCKET
    shown = repr(lm) if isinstance(lm, str) else repr(getattr(lm, "name", lm))
    raise ValueError(
        f"prm must be given beside the language model {shown}: a reward model (motes.load_prm, or "
        "a "
        "FunctionReward), or prm=None for no likelihood; only lm='pocket' has one of its own"
    )


def use_of(source: str) -> str:
    """Return which of `USES` stands before a reward model's source; "" where none does.

    Example:
        >>> use_of("judge:pocket"), use_of("pocket")
        ('judge:', '')
    """
    for use in USES:
        if source.startswith(use):
            return use
    return ""


def without_use(source: str) -> str:
    """Return the source of the model itself.

    Example:
        >>> without_use("judge:pocket"), without_use("pocket")
        ('pocket', 'pocket')
    """
    return source.removeprefix(use_of(source))
