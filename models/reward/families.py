r"""Published process reward models by family: how each is known, what it reads, where it answers.

A family is recognised by the architecture that the checkpoint declares, then by its head's tensors,
then by its name; a model that is none of them is refused, since a model asked in another layout
than its own gives numbers that look right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ...aliases import Tokenizer
from .heads import Head
from .judge_reader import JudgeReader
from .marked_readers import CompletedReader, LineReader, MarkedReader, SeparatedReader
from .readers import Reader, SeparatorReader, TurnsReader
from .verdicts import Logit
from .verifier_forms import FORM_NAMES

MakeReader: TypeAlias = Callable[..., Reader]
"""Makes a reader of the model's tokenizer and its configuration."""

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."


class Signs(NamedTuple):
    """What a checkpoint shows of itself.

    Attributes:
        name: what it is called: a Hugging Face id, or a path.
        architectures: the classes that its configuration declares.
        head: its trained head.
    """

    name: str
    architectures: tuple[str, ...]
    head: Head


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of process reward models.

    Attributes:
        name: what `load_prm` calls it.
        models: published members.
        source: the paper, or where it was published.
        reads: what it reads and where it answers, for the table in the docs.
        reader: makes its reader.
        heads: prefixes of the head's tensors (see `Head`); none for a causal language model that
            answers with tokens.
        outputs: how many outputs its head has.
        declares: names of architectures, any of which is enough to know it.
        called: a pattern of its names, which is enough where the head is one of `heads`.

    Example:
        >>> [family.name for family in FAMILIES if family.declares]
        ['qwen2.5-math-prm', 'skywork-o1-open-prm']
    """

    name: str
    models: str
    source: str
    reads: str
    reader: MakeReader
    heads: tuple[str, ...] = ()
    outputs: int = 0
    declares: tuple[str, ...] = ()
    called: str = ""

    def fits(self, signs: Signs) -> bool:
        """Say whether the weights can be those of a member."""
        if not self.heads:
            return not signs.head.prefix
        return signs.head.prefix in self.heads and signs.head.outputs == self.outputs

    def is_called(self, name: str) -> bool:
        """Say whether this is the name of a member; of a path, its last two parts count."""
        end = "/".join(Path(name).parts[-2:])
        return bool(self.called) and re.search(self.called, end, re.IGNORECASE) is not None


FAMILIES: tuple[Family, ...] = (
    Family(
        name="qwen2.5-math-prm",
        models="Qwen2.5-Math-PRM-7B, Qwen2.5-Math-PRM-72B, Qwen2.5-Math-7B-PRM800K",
        source="Zhang et al. (2025), arXiv:2501.07301",
        reads="chat with the boxed system prompt; two labels at <extra_0> behind each step",
        reader=lambda tokenizer, config: SeparatorReader(
            tokenizer, separator="<extra_0>", chat=True, system=BOXED
        ),
        heads=("score",),
        outputs=2,
        declares=("Qwen2ForProcessRewardModel",),
    ),
    Family(
        name="skywork-o1-open-prm",
        models="Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B",
        source="Skywork (2024), huggingface.co/Skywork",
        reads="beginning of text, question, lines; one logit at the line break behind each line",
        reader=lambda tokenizer, config: LineReader(tokenizer),
        heads=("v_head.summary", "score"),
        outputs=1,
        declares=("Qwen2ForPrmModel",),
        called=r"skywork-o1-open-prm",
    ),
    Family(
        name="pqm",
        models="PQM",
        source="Li and Li (2025), arXiv:2410.11287",
        reads="question, line break, steps; one logit at [PRM] behind each step",
        reader=lambda tokenizer, config: MarkedReader(
            tokenizer, mark="[PRM]", opening="\n", verdict=Logit()
        ),
        heads=("v_head.summary", "score"),
        outputs=1,
        called=r"\bpqm\b|process_q_model",
    ),
    Family(
        name="reasoneval",
        models="ReasonEval-7B and -34B",
        source="Xia et al. (2024), arXiv:2404.05692",
        reads="question and steps; three labels at the last token of each step, neutral is valid",
        reader=lambda tokenizer, config: SeparatedReader(tokenizer),
        heads=("score_head", "score"),
        outputs=3,
        called=r"reasoneval",
    ),
    Family(
        name="universal-prm",
        models="Universal-PRM-7B",
        source="Tan et al. (2025), arXiv:2502.11520",
        reads="chat with a note on the reference answer; one logit at an end of text",
        reader=lambda tokenizer, config: CompletedReader(tokenizer),
        heads=("score", "v_head.summary"),
        outputs=1,
        called=r"universal-prm",
    ),
    Family(
        name="pure",
        models="PURE-PRM-7B",
        source="Cheng et al. (2025), arXiv:2504.15275",
        reads="question and steps, plain; two labels at a blank line behind each step",
        reader=lambda tokenizer, config: SeparatorReader(tokenizer, separator="\n\n", begins=False),
        heads=("score",),
        outputs=2,
        called=r"pure-prm",
    ),
    Family(
        name="trl",
        models="models of TRL's PRMTrainer, and the pocket's",
        source="TRL, PRMTrainer",
        reads="beginning of text, question, steps; two labels at a line break behind each step (or "
        "at the configuration's step_separator; at <extra_0> where that is a token)",
        reader=lambda tokenizer, config: SeparatorReader(
            tokenizer,
            separator=getattr(config, "step_separator", _usual_separator(tokenizer)),
            chat=getattr(config, "step_chat", False),
        ),
        heads=("score",),
        outputs=2,
    ),
    Family(
        name="math-shepherd",
        models="math-shepherd-mistral-7b-prm, models of OpenRLHF's train_prm",
        source="Wang et al. (2024), arXiv:2312.08935",
        reads='question, "Step k: ... ки" a line; the tokens + and - behind ки',
        reader=lambda tokenizer, config: MarkedReader(tokenizer, numbered=True),
        called=r"math-shepherd",
    ),
    Family(
        name="rlhflow",
        models="Llama3.1-8B-PRM-Mistral-Data, Llama3.1-8B-PRM-Deepseek-Data",
        source="Dong et al. (2024), arXiv:2405.07863",
        reads="each step a user's turn of a chat; the tokens + and - where the assistant answers",
        reader=lambda tokenizer, config: TurnsReader(tokenizer),
        called=r"prm-(deepseek|mistral)-data",
    ),
    Family(
        name="versaprm",
        models="VersaPRM, Llama-PRM800K, Qwen-PRM800K",
        source="Zeng et al. (2025), arXiv:2502.06737",
        reads="question and steps, each before four line breaks; the tokens + and - behind them",
        reader=lambda tokenizer, config: MarkedReader(
            tokenizer,
            mark=" \n\n\n\n",
            opening=" \n\n",
            before="",
            between="",
            good="+",
            bad="-",
        ),
        called=r"uw-madison-lee-lab/|versaprm|\b(llama|qwen)-prm800k",
    ),
    Family(
        name="er-prm",
        models="Llama3.1-Math-PRM",
        source="Zhang et al. (2024), arXiv:2412.11006",
        reads='question and steps, each before " ки"; the tokens + and - behind it',
        reader=lambda tokenizer, config: MarkedReader(tokenizer, between="", numbered=True),
        called=r"llama3\.1-math-prm|er-prm",
    ),
    Family(
        name="judge",
        models="any instruction-tuned language model, as judge:SOURCE",
        source="Zheng et al. (2023), arXiv:2306.05685",
        reads="a question about the problem and the solution so far; the first tokens of Yes and "
        "No where it answers",
        reader=lambda tokenizer, config: JudgeReader(tokenizer),
    ),
)
NAMES = tuple(family.name for family in FAMILIES)
PLAIN = next(family for family in FAMILIES if family.name == "trl")


def family_of(signs: Signs, asked: str | None = None) -> Family | None:
    """Return the family of a checkpoint; None where neither architecture nor name says one.

    Args:
        signs: what it shows of itself.
        asked: the name of the family that the user says it is of.

    Raises:
        ValueError: its weights cannot be those of the family that it is said to be of.

    Example:
        >>> family_of(Signs("peiyi9979/math-shepherd-mistral-7b-prm", (), Head())).name
        'math-shepherd'
    """
    if asked is not None:
        return _fitting(named(asked), signs)
    declared = [family for family in FAMILIES if set(family.declares) & set(signs.architectures)]
    called = [family for family in FAMILIES if family.is_called(signs.name)]
    for family in (*declared, *called):
        return _fitting(family, signs)
    return None


def recognised(
    names: Sequence[str], architectures: Sequence[str], labels: int, asked: str | None
) -> Family | None:
    """Return the family of a model whose weights are elsewhere; None where nothing says one.

    Args:
        names: what it is called.
        architectures: the classes that its configuration declares.
        labels: how many its configuration has.
        asked: the name of the family that the user says it is of.

    Example:
        >>> recognised(["RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"], (), 0, None).name
        'rlhflow'
    """
    if asked is not None:
        return named(asked)
    for family in FAMILIES:
        if set(family.declares) & set(architectures) or any(map(family.is_called, names)):
            return family
    classifies = any(name.endswith("ForTokenClassification") for name in architectures)
    return PLAIN if classifies and labels == PLAIN.outputs else None


def unknown(signs: Signs) -> ValueError:
    """Return the error for a checkpoint of no family."""
    return ValueError(
        f"{signs.name!r} is of no family of reward models that is known: it {_has(signs)}. Say "
        f"which by family= ({', '.join((*NAMES, *FORM_NAMES))}), or how to ask it by reader=, "
        "with the methods of motes.models.reward.readers.Reader; load_implicit_prm takes implicit "
        "ones"
    )


def _fitting(family: Family, signs: Signs) -> Family:
    if not family.fits(signs):
        raise ValueError(
            f"{signs.name!r} cannot be of the family {family.name!r}, which {_needs(family)}: it "
            f"{_has(signs)}"
        )
    return family


def named(name: str) -> Family:
    """Return the family of this name.

    Raises:
        ValueError: there is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    names = ", ".join((*NAMES, *FORM_NAMES))
    raise ValueError(f"family must be one of {names}, not {name!r}")


def _usual_separator(tokenizer: Tokenizer) -> str:
    return "<extra_0>" if "<extra_0>" in tokenizer.get_vocab() else "\n"


def _needs(family: Family) -> str:
    if not family.heads:
        return "is a causal language model without a head"
    return f"has a head {' or '.join(family.heads)} with {_counted(family.outputs)}"


def _has(signs: Signs) -> str:
    if signs.head.prefix:
        return f"has a head {signs.head.prefix} with {_counted(signs.head.outputs)}"
    return "has no head that is known"


def _counted(outputs: int) -> str:
    return "1 output" if outputs == 1 else f"{outputs} outputs"
