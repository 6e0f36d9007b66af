"""The pocket's tokenizer: a token for each word, phrase and number, and for each byte.

"Ben has" and "Ben owns" are one token each, and so is a number: what a name is the subject of, and
what somebody owns, stands right behind one token, which is what attention learns to look up first.
A full stop and the blank line behind it are one token (as in the large vocabularies of today), and
any text at all can be written, because the bytes are in the vocabulary.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..problems import LARGEST, problems

PAD, USER, ASSISTANT, END, STEP = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|step|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

PIECES = Regex(
    r"Some friends collect| How many| the answer is"
    r"| ?[A-Z][a-z]+ (?:has|owns)| (?:more|fewer) than| (?:times |half )?as many as"
    r"| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+\n*|\s+"
)


def make_tokenizer(*, examples: int = 4000) -> PreTrainedTokenizerFast:
    """Make the tokenizer of the words in the training split's text.

    Args:
        examples: how many problems to read.

    Returns:
        A fast tokenizer with the pocket's chat template.
    """
    pieces = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(PIECES, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words = {piece for text in _texts(examples) for piece, _ in pieces.pre_tokenize_str(text)}
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [PAD, USER, ASSISTANT, END, STEP, *bytes_, *sorted(words - set(bytes_))]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    # a piece that is in the vocabulary is one token, any other is spelt in bytes
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PAD, USER, ASSISTANT, END, STEP])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, model_max_length=512
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _texts(examples: int) -> list[str]:
    """Yield questions and solutions, and every number that a careless writer may arrive at."""
    drawn = list(islice(problems("train", seed=0), examples))
    texts = [text for problem in drawn for text in (problem.question, written(problem.solution))]
    return [*texts, *(f" {number}" for number in range(LARGEST + 1))]


def written(steps: tuple[str, ...]) -> str:
    """Return the text of a solution: its steps, a blank line between them."""
    return "\n\n".join(steps)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer's files into `folder`, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
