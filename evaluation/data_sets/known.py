"""Data sets that the field reports, by the names by which it calls them."""

from __future__ import annotations

from typing import NamedTuple


class DataSet(NamedTuple):
    """Where a data set is, and which part of it is reported.

    Attributes:
        name: what the field calls it.
        repository: its id at Hugging Face.
        subset: of the repository; None where it has one only.
        split: the split that is reported.
        problems: how many there are.
        prompt: the preset of `motes.prompts` by which the field asks its problems.

    Example:
        >>> DATA_SETS["gsm8k"].repository, DATA_SETS["gsm8k"].problems
        ('openai/gsm8k', 1319)
    """

    name: str
    repository: str
    subset: str | None
    split: str
    problems: int
    prompt: str


DATA_SETS: dict[str, DataSet] = {
    known.name: known
    for known in (
        DataSet("gsm8k", "openai/gsm8k", "main", "test", 1319, "gsm8k-chat"),
        DataSet("math500", "HuggingFaceH4/MATH-500", None, "test", 500, "qwen2.5-math"),
        DataSet("aime24", "HuggingFaceH4/aime_2024", None, "train", 30, "aime"),
        DataSet("aime25", "yentinglin/aime_2025", None, "train", 30, "aime"),
        DataSet("aimo-aime", "AI-MO/aimo-validation-aime", None, "train", 90, "aime"),
        DataSet("amc23", "math-ai/amc23", None, "test", 40, "qwen2.5-math"),
    )
}
