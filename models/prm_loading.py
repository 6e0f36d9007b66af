"""From a name to a reward model: a checkpoint of a known family, a judge, a generative verifier."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from .confidence import USUAL
from .hosting.pretrained import DeviceMap
from .language.torch_lm import TorchLM
from .loading import check_source, is_address, is_in_vllm, load_lm
from .pairing import (
    AGREEMENT,
    CONFIDENCE,
    JUDGE,
    OF_THE_LM,
    SELF_CERTAINTY,
    SELF_SCORE,
    TAIL_ENTROPY,
    VOTES,
)
from .protocols import LanguageModel, RewardModel, token_facts
from .reward.digit_reader import DigitReader
from .reward.generative_verifier import GenerativeVerifier
from .reward.hosted_prm import load_hosted
from .reward.implicit import BETA, ImplicitReward, NumberedSteps
from .reward.judge_reader import JudgeReader
from .reward.readers import Reader
from .reward.torch_prm import TorchPRM
from .reward.verifier_forms import FORM_NAMES, FORMS, FormReader, VerifierForm, form_of
from .reward.voting_judge import VotingJudge
from .reward.without_training import TAIL, Agreement, StepCertainty
from .sampling import Sampling
from .step_rule import StepRule


def load_prm(
    source: str | Path,
    *,
    lm: LanguageModel | None = None,
    device: str = "auto",
    dtype: str = "auto",
    device_map: DeviceMap | None = None,
    family: str | None = None,
    reader: Callable[[Any], Reader] | None = None,
    cache_bytes: int = 2 << 30,
    probe: bool = True,
    **options: Any,
) -> Any:
    """Load a process reward model, and ask it as it was published to be asked.

    Its family is known by the architecture that it declares, by its head's tensors and by its name
    (see `motes.models.reward.families`); a token classifier of transformers with two labels is
    asked as TRL trains them. No code of a checkpoint is ever run.

    Args:
        source: "pocket", a folder, a GGUF file, or a Hugging Face id with its owner ("owner/name").
            "judge:" and the source of a language model ask that model whether the solution is right
            (see `motes.models.reward.judge_reader`), as family="judge" does; "votes:" and such a
            source count the verdicts of rationales that it writes (see `VotingJudge`). "vllm:" and
            a source run it in vLLM, and a server's address, "http://HOST:PORT", asks it there.
        lm: the language model that writes the solutions, for "self-certainty", how sure it is of
            its own steps (see `StepCertainty`), "confidence", the same by the 20 likeliest tokens
            alone, as servers tell, "tail-entropy", by the entropy of a step's last 32 tokens,
            "agreement", how many of its solutions have the same answer (see
            `Agreement`; `answer` reads it), "self-judge", which asks its own weights whether the
            solution is right, and "self-score", which asks them for a digit (see
            `motes.models.reward.digit_reader`).
        device: as for `load_lm`.
        dtype: as for `load_lm`.
        device_map: as for `load_lm`.
        family: the name of its family, where its own name does not say it: "math-shepherd", say;
            of generative verifiers "thinkprm" or "genprm".
        reader: makes the reader of the tokenizer, in place of the family's.
        cache_bytes: the most bytes of keys and values to keep.
        probe: as for `load_lm`.
        options: of what the language model is itself, and of "votes:", the arguments of the class;
            of a generative verifier `rationales`, `max_tokens` of one, `sampling` and `seed` (see
            `GenerativeVerifier`); of verifiers and votes in vLLM or behind a server, what `load_lm`
            takes there. Of any other behind a server those of
            `motes.models.reward.server_prm.load_served_prm`; in vLLM those of
            `motes.models.reward.vllm_prm.load_vllm_prm`.

    Returns:
        A `TorchPRM`; of "votes:" a `VotingJudge`, of a generative verifier a `GenerativeVerifier`,
        and an `EnginePRM` in vLLM or behind a server.

    Raises:
        TypeError: an option is none of this kind of model.
        ServerError: the server cannot be used; one sentence.
        ValueError: the name, device, dtype or family is unknown, the checkpoint is not whole, its
            weights are not those of its family, or the model cannot be hosted.
        FileNotFoundError: the folder or file is missing, or holds no weights.
        MemoryError: the model does not fit into memory.

    Example:
        >>> load_prm("pocket").name
        'pocket'
        >>> load_prm("judge:pocket").name
        'judge:pocket'
    """
    name = str(source)
    if name in OF_THE_LM:
        _check_alone(name, family=family, reader=reader)
        return _of_the_lm(name, lm, options)
    hosting: dict[str, Any] = {"device": device, "dtype": dtype, "device_map": device_map}
    hosting |= {"cache_bytes": cache_bytes, "probe": probe}
    if name.startswith(VOTES):
        _check_alone(name, family=family, reader=reader)
        return _load_votes(name, hosting, options)
    form = _form(name, family, reader)
    if form is not None:
        own, engine = _parted(load_verifier, name, name, options)
        return load_verifier(name, form, hosting=hosting | engine, **own)
    if is_in_vllm(name.removeprefix(JUDGE)):
        return _load_into_vllm(name, family, reader, hosting, options)
    if is_address(name.removeprefix(JUDGE)):
        return _load_served(name, family, reader, hosting, options)
    _check_options(load_hosted, name, options)
    return load_hosted(name, family=family, reader=reader, **hosting)


def load_verifier(
    name: str,
    form: VerifierForm,
    *,
    hosting: dict[str, Any],
    rationales: int = 4,
    max_tokens: int = 4096,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> GenerativeVerifier:
    """Load a language model as a generative verifier.

    Args:
        name: its source, as `load_lm` takes it.
        form: how it is asked.
        hosting: further arguments of `load_lm`.
        rationales: how many are written for each prefix.
        max_tokens: the most tokens of a rationale.
        sampling: how they are drawn; as published where None.
        seed: another seed gives other rationales.
    """
    step = StepRule(delimiter=form.stops, cap=max_tokens)
    lm = load_lm(name, step=step, prompt=form.prompt, **hosting, **_unweighed(name))
    return GenerativeVerifier(
        lm,
        FormReader(lm, form),
        rationales=rationales,
        max_steps=1,
        sampling=form.sampling if sampling is None else sampling,
        seed=seed,
        name=name,
    )


def load_implicit_prm(
    source: str | Path | LanguageModel,
    reference: str | Path | LanguageModel,
    *,
    beta: float = BETA,
    device: str = "auto",
    dtype: str = "auto",
) -> ImplicitReward:
    """Load an implicit reward model, such as EurusPRM: a language model and its reference.

    It is asked in EurusPRM's layout: the question in the chat template, then numbered steps. See
    `motes.models.reward.implicit` for the equation. The two may run in different places: each is
    asked for the log-probabilities of given texts alone.

    Args:
        source: the trained language model, as `load_lm` takes it, "vllm:..." and the address of a
            server among others; or one that is loaded.
        reference: the language model that it was trained from, taken in the same way.
        beta: the factor before the log ratio.
        device: as for `load_lm`.
        dtype: as for `load_lm`.

    Raises:
        TypeError: one of the two does not tell the probability of a given text.
        ValueError, FileNotFoundError, MemoryError, ServerError: as `load_lm`; or one of the two
            shows no tokenizer, or they have not one vocabulary.

    Example:
        >>> load_implicit_prm("pocket", "pocket").name
        'pocket against pocket'
    """
    for given in (source, reference):
        if isinstance(given, str | Path):
            check_source(given)
    policy, base = (_implicit_part(given, device, dtype) for given in (source, reference))
    tokenizer = policy.tokenizer
    if tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise ValueError(
            f"reference must have the vocabulary of {policy.name!r}, and {base.name!r} has another"
        )
    return ImplicitReward(policy, base, encode=NumberedSteps(tokenizer), beta=beta)


def _implicit_part(given: str | Path | LanguageModel, device: str, dtype: str) -> Any:
    lm: Any = given
    if isinstance(given, str | Path):
        lm = load_lm(given, device=device, dtype=dtype)
    if token_facts(lm).tokenizer is None:
        raise ValueError(
            f"{lm.name!r} shows no tokens, of whose probabilities an implicit reward is made"
        )
    return lm


def _of_the_lm(name: str, lm: Any, options: dict[str, Any]) -> RewardModel:
    """Return a reward model that is the language model itself."""
    if lm is None:
        raise ValueError(f"lm must be given for the reward model {name!r}")
    if name in (SELF_CERTAINTY, CONFIDENCE, TAIL_ENTROPY):
        _check_options(StepCertainty.__init__, name, options)
        if name == TAIL_ENTROPY:
            options = {"top": "entropy", "tail": TAIL, "name": "tail entropy"} | options
        if name == CONFIDENCE:
            options = {"top": USUAL, "name": name} | options
        return StepCertainty(lm, **options)
    if name == AGREEMENT:
        _check_options(Agreement.__init__, name, options)
        if "answer" not in options:
            raise ValueError(
                f"answer must be given for the reward model {name!r}: a function from a trajectory "
                "to its answer, such as motes.ppl.stated"
            )
        return Agreement(lm, **options)
    if not isinstance(lm, TorchLM):
        raise TypeError(
            f"the reward model {name!r} needs a language model hosted with torch, and {lm.name!r} "
            "is none: name it as judge:SOURCE"
        )
    if name == SELF_SCORE:
        _check_options(DigitReader.__init__, name, options)
        return TorchPRM(lm.model, DigitReader(lm.tokenizer, **options), name=name, probe=False)
    _check_options(_of_the_lm, name, options)  # it has none
    return TorchPRM(lm.model, JudgeReader(lm.tokenizer), name=name, probe=False)


def _load_votes(name: str, hosting: dict[str, Any], options: dict[str, Any]) -> RewardModel:
    source = name.removeprefix(VOTES)
    own, engine = _parted(VotingJudge.__init__, name, source, options)
    lm = load_lm(source, **hosting, **_unweighed(source), **engine)
    return VotingJudge(lm, **{"name": name, **own})


def _unweighed(source: str) -> dict[str, Any]:
    """Return what lets a server draw by any law: no weight depends on a rationale's probability."""
    return {"probabilities": False} if is_address(source) else {}


def _load_into_vllm(
    name: str, family: str | None, reader: Any, hosting: dict[str, Any], options: dict[str, Any]
) -> RewardModel:
    from .reward.vllm_prm import load_vllm_prm

    _check_left(name, hosting, "device", "device_map")
    return load_vllm_prm(name, family=family, reader=reader, dtype=hosting["dtype"], **options)


def _load_served(
    name: str, family: str | None, reader: Any, hosting: dict[str, Any], options: dict[str, Any]
) -> RewardModel:
    from .reward.server_prm import load_served_prm

    _check_left(name, hosting, "device", "dtype", "device_map")
    _check_options(load_served_prm, name, options)
    return load_served_prm(name, family=family, reader=reader, **options)


def _check_left(name: str, hosting: dict[str, Any], *arguments: str) -> None:
    for argument in arguments:
        if hosting[argument] not in (None, "auto"):
            raise ValueError(f"{argument} must be left out for {name!r}, not {hosting[argument]!r}")


def _form(name: str, family: str | None, reader: object) -> VerifierForm | None:
    """Return the form of a generative verifier, by its family or its name; None for others."""
    if family in FORM_NAMES:
        return FORMS[FORM_NAMES.index(family)]
    return form_of(name) if family is None and reader is None else None


def _check_alone(name: str, **given: object) -> None:
    for argument, value in given.items():
        if value is not None:
            raise ValueError(f"{argument} must be left out beside {name!r}, not {value!r}")


def _parted(
    function: Callable[..., Any], name: str, source: str, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what a kind of reward model takes from what is meant for the engine or server.

    Raises:
        TypeError: an argument is the kind's neither, and there is no engine or server.
    """
    if not (is_in_vllm(source) or is_address(source)):
        _check_options(function, name, options)
        return options, {}
    known = _arguments(function)
    own = {option: value for option, value in options.items() if option in known}
    return own, {option: value for option, value in options.items() if option not in own}


def _check_options(function: Callable[..., Any], name: str, options: dict[str, Any]) -> None:
    """Raise TypeError for an argument that this kind of reward model does not have."""
    known = _arguments(function)
    for option in options:
        if option not in known:
            raise TypeError(f"load_prm has no argument {option!r} for {name!r}")


def _arguments(function: Callable[..., Any]) -> list[str]:
    """Return which arguments are a user's to give."""
    known = []
    for parameter in signature(function).parameters.values():
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.name != "hosting":
            known.append(parameter.name)
    return known
