"""Arguments that other tools have, and where the same thing is said here."""

from __future__ import annotations

PRIOR = "prior=Sampling({name}={value!r}) declares it, as a part of the target"
PARTICLES = "particles={value!r} is the number of particles"
DRAWS = (
    "iterations={value!r} is the number of draws of a chain, particles={value!r} that of a "
    "population"
)
LENGTH = (
    "max_steps= and max_tokens= bound a trajectory, StepRule(cap=...) in load_lm(..., step=) the "
    "tokens of a step, "
    "and budget= the tokens of a run"
)
PROMPT = (
    "the prompt belongs to the language model: load_lm(..., prompt=ChatPrompt(system=..., "
    "examples=..., prefill=..., template_arguments=...)), or the name of one of "
    "motes.prompts.PRESETS"
)
THINKING = (
    "thinking belongs to the language model: load_lm(..., step=StepRule(thinking=Thinking("
    "max_tokens=...)))"
)
SEED = "seed= is an integer, and the same seed gives the same draws"
STEP = "a rule for steps belongs to the language model: load_lm(..., step=StepRule(...))"

INSTEAD: dict[str, str] = {
    **dict.fromkeys(("temperature", "top_p", "top_k"), PRIOR),
    **dict.fromkeys(
        ("n", "num_particles", "n_particles", "width", "beam_width", "num_return_sequences"),
        PARTICLES,
    ),
    **dict.fromkeys(("num_samples", "n_samples", "samples", "draws"), DRAWS),
    **dict.fromkeys(("max_new_tokens", "max_length", "max_completion_tokens"), LENGTH),
    **dict.fromkeys(
        ("model", "llm", "language_model", "model_name", "policy"), "lm= is the language model"
    ),
    **dict.fromkeys(
        ("reward_model", "reward", "rm", "verifier", "judge"), "prm= is the reward model"
    ),
    **dict.fromkeys(
        (
            "prompt",
            "system",
            "system_prompt",
            "few_shot",
            "examples",
            "prefill",
            "template_arguments",
            "chat_template_kwargs",
            "enable_thinking",
        ),
        PROMPT,
    ),
    "messages": "question= takes the messages of a chat as well",
    **dict.fromkeys(("thinking", "thinking_budget", "max_thinking_tokens"), THINKING),
    **dict.fromkeys(("delimiter", "step", "step_rule"), STEP),
    **dict.fromkeys(("random_seed", "rng_key", "key", "random_state", "rng"), SEED),
    **dict.fromkeys(("num_chains", "n_chains"), "chains={value!r} is the number of chains"),
    **dict.fromkeys(
        ("num_warmup", "tune", "burn_in"),
        "warmup={value!r} is the number of a chain's steps that are not kept",
    ),
    **dict.fromkeys(
        ("method", "algorithm", "strategy"), "sampler= is the sampler, by name or as an object"
    ),
    **dict.fromkeys(
        ("progress_bar", "progressbar", "verbose"), "progress=True shows a progress bar"
    ),
    **dict.fromkeys(
        ("n_runs", "repeats", "num_runs"), "runs={value!r} is the number of independent runs"
    ),
    **dict.fromkeys(
        ("extract", "answer_fn", "answer_rule", "parser"),
        "answer= is a function from a trajectory to its answer",
    ),
}


def instead(name: str, value: object) -> str:
    """Return what to write in place of an argument that another tool has.

    "" where nothing is known of it.

    Example:
        >>> instead("temperature", 0.7)
        'prior=Sampling(temperature=0.7) declares it, as a part of the target'
        >>> instead("colour", "blue")
        ''
    """
    return INSTEAD.get(name, "").format(name=name, value=value)
