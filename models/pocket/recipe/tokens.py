"""The pocket's tokenizer: byte-level BPE in which words are whole and digits stand alone.

"Ben has" and "Ben owns" are one token each: what a name is the subject of stands right behind one
token, which is what attention learns to look up first (with the verb apart, a model of this size
did not learn it in the time it has). A number costs a token a digit, a full stop and the blank line
behind it are one token (as in the large vocabularies of today), and any text at all can be written,
because the bytes are in the vocabulary.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ..problems import problems

PAD, USER, ASSISTANT, END, STEP = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|step|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(*, vocab_size: int = 720, examples: int = 4000) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the training split's text.

    Args:
        vocab_size: bytes, special tokens and merges together.
        examples: how many problems to read.

    Returns:
        A fast tokenizer with the pocket's chat template.
    """
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r" ?[A-Z][a-z]+ (?:has|owns)| ?[A-Za-z]+| ?\d|\d| ?[^\sA-Za-z\d]+\n*|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, USER, ASSISTANT, END, STEP],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (
        text
        for problem in islice(problems("train", seed=0), examples)
        for text in (problem.question, written(problem.solution))
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, model_max_length=512
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def written(steps: tuple[str, ...]) -> str:
    """The text of a solution: its steps, a blank line between them."""
    return "\n\n".join(steps)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer's files into `folder`, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
