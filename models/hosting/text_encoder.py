"""From text to token ids, where text is data and only templates and readers write control tokens.

A tokenizer splits a text at its control tokens, such as ``<|im_end|>``, wherever they stand: also
where a question or a model's own step merely mentions one, which would then end a turn. Here data
is quoted before it is put into a template:

    template("Say <|im_end|>")  ->  "<|user|>Say [quoted 7]<|im_end|>"  ->  token ids

The quotation marks are noncharacters, which Unicode sets aside for the inside of programs, so that
no text holds them. A text in which nothing is quoted is encoded by the tokenizer itself, in one
piece. Otherwise what is quoted is encoded as the characters that it consists of, by a copy of the
tokenizer that knows its control tokens by other names (see `disarmed`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

from ...aliases import Tokenizer
from .disarmed import Disarmed, disarmed

OPEN, CLOSE, MARKER = "\ufdd0", "\ufdd1", "\ufdd2"
_INTERNAL = re.compile("[\ufdd0-\ufdef]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PARTS = re.compile(f"{OPEN}([0-9]+){CLOSE}|({MARKER})|[\ufdd0-\ufdef]")
_BRACKETED = re.compile(r"[<\[{|\uff1c\uff5c].*[>\]}|\uff1e\uff5c]", re.DOTALL)


class _Part(NamedTuple):
    """A stretch of a text: what templates wrote, what was quoted, or the reader's own marker."""

    text: str
    quoted: bool = False
    marker: bool = False


class TextEncoder:
    """Encodes texts that are composed of data and of what a template or a reader writes.

    Args:
        tokenizer: a transformers tokenizer.
        written: texts that only the reader may write, besides the tokenizer's control tokens: added
            tokens.
        marker: an ordinary token that only the reader may write, which it writes as `MARKER`; ""
            for none. In data it is spelled with other tokens, where the vocabulary has any.

    Attributes:
        begin: the ids that the tokenizer puts before a text, such as a beginning of text.

    Example:
        >>> from motes import load_lm
        >>> tokenizer = load_lm("pocket").tokenizer
        >>> encoder = TextEncoder(tokenizer)
        >>> ids = encoder.encode("<|user|>" + encoder.quoted("Is <|end|> a word?"))
        >>> tokenizer.decode(ids), [tokenizer.decode(i) for i in ids].count("<|end|>")
        ('<|user|>Is <|end|> a word?', 0)
    """

    def __init__(
        self, tokenizer: Tokenizer, *, written: Collection[str] = (), marker: str = ""
    ) -> None:
        self.tokenizer = tokenizer
        self._control = control_tokens(tokenizer, written)
        longest_first = sorted(self._control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._quotations: list[str] = []
        self._marker = "" if marker in self._control else marker
        self._written_marker = marker
        self.begin = _begin(tokenizer)

    def quoted(self, text: str) -> str:
        """Return the text as data, to be put into a template.

        What no tokenizer can encode is replaced by U+FFFD, with a warning.
        """
        clean = encodable(text)
        parts, end = [], 0
        for first, last in self._mentions(clean):
            parts += [clean[end:first], OPEN, str(self._number(clean[first:last])), CLOSE]
            end = last
        return "".join([*parts, clean[end:]])

    def unquoted(self, text: str) -> str:
        """Return a composed text as a person reads it."""
        return "".join(part.text for part in self._parts(text))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a composed text, in one encoding.

        Without what the tokenizer puts around a text.
        """
        if _SURROGATE.search(text):
            text = _without_surrogates(text)
        if not _INTERNAL.search(text) and not (self._marker and self.tokenizer.is_fast):
            return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        parts = self._parts(text)
        hostile = any(part.quoted for part in parts)
        disarmed = self._disarmed if hostile else None
        if hostile and disarmed is None:
            return self._in_pieces(parts)
        names = disarmed.names if disarmed is not None else {}
        for i, part in enumerate(parts):
            if not part.quoted:  # in a quotation control tokens are data
                parts[i] = part._replace(text=self._renamed(part.text, names))
        whole = "".join(part.text for part in parts)
        if disarmed is not None:
            encoding = disarmed.backend.encode(whole, add_special_tokens=False)
            return self._marked(encoding.ids, encoding.offsets, parts)
        if not self.tokenizer.is_fast:
            return self._in_pieces([_Part(whole)])
        encoding = self.tokenizer(
            whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return self._marked(encoding["input_ids"], encoding["offset_mapping"], parts)

    @cached_property
    def _disarmed(self) -> Disarmed | None:
        """The copy that knows control tokens by other names, made when it is first needed.

        None without a fast backend.
        """
        return disarmed(self.tokenizer, sorted(self._control)) if self.tokenizer.is_fast else None

    def _mentions(self, text: str) -> list[tuple[int, int]]:
        """Find where data mentions control tokens: from and to which character."""
        spans = [match.span() for match in self._pattern.finditer(text)]
        if self._folds:  # a tokenizer that folds case, say, finds tokens in other spellings as well
            encoding = self.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            ids = set(self._control.values())
            pairs = zip(encoding["input_ids"], encoding["offset_mapping"], strict=True)
            found = [tuple(span) for token, span in pairs if token in ids]
            as_written = list(spans)
            for span in found:
                if not any(_overlap(span, other) for other in as_written):
                    spans.append(span)
        return sorted(spans)

    @cached_property
    def _folds(self) -> bool:
        """Whether control tokens are looked for in the normalised text."""
        if not self.tokenizer.is_fast or self.tokenizer.backend_tokenizer.normalizer is None:
            return False
        added = self.tokenizer.added_tokens_decoder
        return any(added[token].normalized for token in self._control.values() if token in added)

    def _number(self, quotation: str) -> int:
        if quotation not in self._quotations:
            self._quotations.append(quotation)
        return self._quotations.index(quotation)

    def _parts(self, text: str) -> list[_Part]:
        parts, end = [], 0
        for match in _PARTS.finditer(text):
            parts.append(_Part(text[end : match.start()]))
            if match.group(1) is not None and int(match.group(1)) < len(self._quotations):
                parts.append(_Part(self._quotations[int(match.group(1))], quoted=True))
            elif match.group(2) is not None:
                parts.append(_Part(self._written_marker, marker=True))
            end = match.end()
        parts.append(_Part(text[end:]))
        return [part for part in parts if part.text]

    def _renamed(self, text: str, names: dict[str, str]) -> str:
        return self._pattern.sub(lambda match: names[match.group()], text) if names else text

    def _marked(
        self, ids: Sequence[int], offsets: Sequence[tuple[int, int]], parts: Sequence[_Part]
    ) -> tuple[int, ...]:
        """Return the ids, in which the marker's stand for nothing but the reader's own."""
        if not self._marker:
            return tuple(ids)
        own, first = [], 0
        for part in parts:
            if part.marker:
                own.append((first, first + len(part.text)))
            first += len(part.text)
        forms = self._forms | {_within(ids, offsets, place) for place in own}
        result, place = [], 0
        while place < len(ids):
            sizes = [len(form) for form in forms if tuple(ids[place : place + len(form)]) == form]
            end = place + max(sizes, default=1)
            span = offsets[place][0], offsets[end - 1][1]
            forged = bool(sizes) and not any(_overlap(span, other) for other in own)
            for token in ids[place:end]:
                result += self._spelled(token, in_bytes=end == place + 1) if forged else [token]
            place = end
        return tuple(result)

    @cached_property
    def _forms(self) -> frozenset[tuple[int, ...]]:
        """The ids of the marker, which may depend on what stands before it."""
        forms = set()
        for before in ("", "\n", "a ", "0. "):
            text = before + self._marker
            encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            span = len(before), len(text)
            ids = _within(encoding["input_ids"], encoding["offset_mapping"], span)
            while ids and not self.tokenizer.decode(ids[:1]).strip():  # a blank that begins a text
                ids = ids[1:]
            forms.add(ids)
        return frozenset(forms - {()})

    def _spelled(self, token: int, *, in_bytes: bool) -> list[int]:
        """Return the ids of a token's characters, or of one's bytes.

        The token itself where there are none.
        """
        ids: list[int] = []
        text = self.tokenizer.convert_ids_to_tokens(token)
        if len(text) == 1 and not in_bytes:
            return [token]
        for character in text:
            names = [character] if len(text) > 1 else []
            names_of_bytes = [f"<0x{byte:02X}>" for byte in character.encode()]
            spelling = _known(self.tokenizer, names) or _known(self.tokenizer, names_of_bytes)
            if not spelling:
                return [token]
            ids += spelling
        return ids

    def _in_pieces(self, parts: Sequence[_Part]) -> tuple[int, ...]:
        """Encode piece by piece, for tokenizers without a fast backend.

        What is quoted is encoded character by character.
        """
        ids: list[int] = []
        for part in parts:
            for piece in part.text if part.quoted else [part.text]:
                ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        return tuple(ids)


def control_tokens(tokenizer: Tokenizer, written: Collection[str] = ()) -> dict[str, int]:
    """Return the tokens that only templates and readers may write, with their ids.

    These are the special tokens, the added ones that stand in brackets of some kind (``<think>``,
    ``[TOOL]``), and those that a reader writes. Other added tokens (runs of blanks, words of a
    field) are ordinary text, and so is every token of one character.
    """
    special = set(tokenizer.all_special_ids)
    control = {}
    for token, added in tokenizer.added_tokens_decoder.items():
        content = added.content
        writes = (
            added.special or token in special or content in written or _BRACKETED.search(content)
        )
        if writes and len(content.strip()) > 1:
            control[content] = token
    return control


def encodable(text: str) -> str:
    """Return the text with what no tokenizer can encode replaced by U+FFFD; warn of it.

    These are lone surrogates, as a command line or a file may leave them, and the noncharacters
    that are used here to quote.
    """
    clean = _INTERNAL.sub("\ufffd", _without_surrogates(text) if _SURROGATE.search(text) else text)
    if clean.count("\ufffd") > text.count("\ufffd"):
        warnings.warn(
            f"characters that cannot be encoded were replaced by U+FFFD in {text[:60]!a}",
            UserWarning,
            stacklevel=2,
        )
    return clean


def _without_surrogates(text: str) -> str:
    """Join pairs of surrogates to the character that they mean, and replace lone ones."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _begin(tokenizer: Tokenizer) -> tuple[int, ...]:
    whole, bare = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    for first in range(len(whole) - len(bare) + 1):
        if whole[first : first + len(bare)] == bare:
            return tuple(whole[:first])
    return ()


def _known(tokenizer: Tokenizer, names: Sequence[str]) -> list[int]:
    """Return the ids of tokens by name; none where one is not in the vocabulary."""
    ids = [tokenizer.convert_tokens_to_ids(name) for name in names]
    return ids if None not in ids and tokenizer.unk_token_id not in ids else []


def _within(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], span: tuple[int, int]
) -> tuple[int, ...]:
    """Return the tokens that hold some of these characters."""
    return tuple(token for token, place in zip(ids, offsets, strict=True) if _overlap(place, span))


def _overlap(one: Sequence[int], other: Sequence[int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
