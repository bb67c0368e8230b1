"""Where a text that is still arriving can be cut without splitting what a reader sees as one."""

from __future__ import annotations

from typing import Final

import regex

__all__ = ["GraphemeEdge"]

# A text can pile any number of marks on one letter. Past this many code points we cut: the
# Unicode Stream-Safe Text Format allows thirty marks, emoji families and flags need fewer.
_MAX_CLUSTER_CHARS: Final = 64

_CLUSTER: Final = regex.compile(r"\X")


class GraphemeEdge:
    """Holds back the last grapheme cluster until its successor arrives or the text ends.

    The cuts depend on the text alone, never on how it was divided into pieces.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """Begin with an empty text."""
        self._last = ""

    def push(self, piece: str) -> str:
        """Take the next piece; return the complete clusters that became known."""
        text = self._last + piece
        cut = _last_cluster_start(text)
        self._last = text[cut:]
        return text[:cut]

    def finish(self) -> str:
        """The text has ended: return what was held back."""
        rest, self._last = self._last, ""
        return rest


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
