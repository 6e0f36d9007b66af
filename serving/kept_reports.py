"""Posteriors of past requests, whose reports can be opened for a while."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from secrets import token_urlsafe
from threading import Lock

from ..diagnostics.report.page import page

MOST_BYTES = 256 << 20  # of all posteriors that are kept


class KeptReports:
    """The last posteriors, by a name that cannot be guessed.

    Args:
        most: how many are kept; the oldest goes first, and also where all together are too large.

    Example:
        >>> kept = KeptReports(1)
        >>> first, second = kept.keep(b"1"), kept.keep(b"2")
        >>> kept.page(first) is None, len(kept)
        (True, 1)
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._pickled: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._drawing = Lock()  # a report's pictures are drawn one at a time

    def __len__(self) -> int:
        return len(self._pickled)

    def keep(self, pickled: bytes) -> str | None:
        """Keep a posterior that this process has pickled; return its name, None where it is not."""
        if not self.most or len(pickled) > MOST_BYTES:
            return None
        name = token_urlsafe(16)
        self._pickled[name] = pickled
        self._bytes += len(pickled)
        while len(self._pickled) > self.most or self._bytes > MOST_BYTES:
            _, oldest = self._pickled.popitem(last=False)
            self._bytes -= len(oldest)
        return name

    def page(self, name: str) -> str | None:
        """Return a report as HTML; None where there is none of this name."""
        pickled = self._pickled.get(name)
        if pickled is None:
            return None
        with self._drawing:
            return page(pickle.loads(pickled))
