"""Bodies of requests, as OpenAI's clients, its_hub's and optillm's write them.

What a field means is said in its description, which the schema at /openapi.json shows. Fields that
ask for something which this server does not do are errors, unknown ones are ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_SEED = 2**32 - 1
MOST_STOPS = 16
NAME = Field(min_length=1, max_length=256)


class Strict(BaseModel):
    """A body whose values must have their type: "8" is no number, and true is none."""

    model_config = ConfigDict(strict=True)


class TextPart(Strict):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(Strict):
    """A message of a conversation."""

    role: Literal["user", "system", "developer", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None


class StreamOptions(Strict):
    """What a stream shows besides."""

    include_usage: bool = Field(False, description="End with a chunk that has the usage.")


class MotesOptions(Strict):
    """How a request is solved: arguments of `motes.solve`, and settings of its sampler."""

    model_config = ConfigDict(strict=True, extra="allow")

    sampler: str | None = Field(None, max_length=256, description="A name: see `motes samplers`.")
    progress: Literal["none", "steps", "particles"] = Field(
        "steps",
        description="What a stream tells on the way: nothing; how many steps were written; or "
        "each step with its text, its score and what it follows.",
    )
    runs: int | None = Field(None, description="Independent runs, pooled by their evidence.")
    target: str | None = Field(None, max_length=256, description="The declared target.")
    beta: float | None = Field(None, description="The power of the likelihood.")
    alpha: float | None = Field(None, description="The power of the prior.")
    max_steps: int | None = Field(None, description="Longer reasoning is truncated.")
    proposal: dict[str, Any] | None = Field(
        None, description="What steps are drawn from: temperature, top_p, top_k."
    )


class SolveBody(Strict):
    """What both endpoints take."""

    model: Annotated[str, NAME] = Field(
        description="A model of /v1/models; with :SAMPLER behind it, or SAMPLER- before it, it "
        "names the sampler too."
    )
    n: int | None = Field(
        None,
        ge=1,
        description="Choices: the first states the most probable answer, the others are draws "
        "from the posterior.",
    )
    seed: int | None = Field(
        None, ge=0, le=MOST_SEED, description="The same seed gives the same draws."
    )
    max_tokens: int | None = Field(
        None, ge=1, description="Solutions still open after this many tokens are truncated."
    )
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = Field(
        None, description="Texts that end a solution, and are no part of it."
    )
    temperature: float | None = Field(None, description="Of the prior: a part of the target.")
    top_p: float | None = Field(None, description="Of the prior: a part of the target.")
    top_k: int | None = Field(None, description="Of the prior: a part of the target.")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    motes: MotesOptions | None = None
    optillm_approach: str | None = Field(
        None, max_length=256, description="A sampler, as optillm names methods."
    )
    budget: int | None = Field(
        None, ge=1, le=1000, description="As its_hub has it: how many solutions are written."
    )
    return_response_only: bool | None = Field(
        None,
        description="As its_hub has it: true leaves `motes` out of the reply; false puts all "
        "solutions into its `metadata`.",
    )

    # asked for something that is not done here
    logprobs: bool | int | None = None
    logit_bias: dict[str, float] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class ChatBody(SolveBody):
    """A request for a chat completion."""

    messages: list[Message] = Field(
        min_length=1,
        description="A conversation: a system message, if any, then turns; the user's, the "
        "question, is the last.",
    )
    max_completion_tokens: int | None = Field(
        None,
        ge=1,
        description="Generated tokens of all solutions together, after which no step is begun.",
    )
    tools: list[dict[str, Any]] | None = None
    functions: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None


class CompletionBody(SolveBody):
    """A request for a completion: the prompt is the question."""

    prompt: str | list[str] = Field(description="The question.")
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str = Field(description="One sentence.")
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """The reply to a request that was refused."""

    error: ErrorDetail
