"""Where a text that is still arriving can be cut without splitting what a reader sees as one.

That is a grapheme cluster, or a word: almost any word can become an address or a key while it is
being written, so looking at each of its pieces would be work for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import regex

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Edge"]

# A text can pile any number of marks on one letter. Past this many code points we cut: the
# Unicode Stream-Safe Text Format allows thirty marks, emoji families and flags need fewer.
_MAX_CLUSTER_CHARS: Final = 64

# A word as long as this is no word; it goes on without its last cluster.
_MAX_WORD_CHARS: Final = 32

_CLUSTER: Final = regex.compile(r"\X")


class Edge:
    """Holds back the last word, or at least the last grapheme cluster, until more has arrived.

    A word is what stands behind the last space or line end, if it is short and in ASCII.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """Begin with an empty text."""
        self._last = ""

    @property
    def held_chars(self) -> int:
        """How much is held back."""
        return len(self._last)

    def push(self, piece: str) -> str:
        """Take the next piece; return the complete words."""
        return self._cut(self._last + piece, _last_word_start)

    def clusters(self) -> str:
        """The complete clusters of the word that is held back."""
        return self._cut(self._last, _last_cluster_start)

    def finish(self) -> str:
        """The text has ended: return what was held back."""
        rest, self._last = self._last, ""
        return rest

    def _cut(self, text: str, place: Callable[[str], int]) -> str:
        cut = place(text)
        self._last = text[cut:]
        return text[:cut]


def _last_word_start(text: str) -> int:
    # A blank without a successor is held: a mark may follow that belongs to it.
    last = len(text) - 1
    start = max(text.rfind(" ", 0, last), text.rfind("\n", 0, last)) + 1 if last > 0 else 0
    if last - start < _MAX_WORD_CHARS and text[start:].isascii():
        return start
    return _last_cluster_start(text)


def _last_cluster_start(text: str) -> int:
    if len(text) < 2:
        return 0
    if text[-2:].isascii() and text[-2:] != "\r\n":
        return len(text) - 1
    start = 0
    # From a place that is a boundary for sure: two ASCII letters never share a cluster.
    for at in range(len(text) - 2, 0, -1):
        if text[at - 1 : at + 1].isascii() and text[at - 1] != "\r":
            start = at
            break
    end = start
    for cluster in _CLUSTER.finditer(text, start):
        start, end = cluster.span()
    return start + (end - start - 1) // _MAX_CLUSTER_CHARS * _MAX_CLUSTER_CHARS
