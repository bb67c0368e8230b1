"""The way back from a normalised text to the original."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

__all__ = ["OffsetMap"]


class _Stretch(NamedTuple):
    """A stretch of normalised text: character for character, or as a whole up to `original_end`."""

    start: int
    original_start: int
    original_end: int | None


class OffsetMap:
    """Maps positions of the normalised text to positions of the original; both only grow."""

    __slots__ = ("_goes_on", "_stretches", "end", "original_end")

    def __init__(self) -> None:
        """Begin with two empty texts."""
        self._stretches: deque[_Stretch] = deque()
        # Whether further characters that stand for themselves belong to the last stretch.
        self._goes_on = False
        self.end = 0
        self.original_end = 0

    def keep(self, chars: int) -> None:
        """The next characters stand for themselves."""
        if chars and not self._goes_on:
            self._stretches.append(_Stretch(self.end, self.original_end, None))
            self._goes_on = True
        self.end += chars
        self.original_end += chars

    def replace(self, original_chars: int, chars: int) -> None:
        """The next characters of the original read as so many others, as a whole."""
        if chars:
            begin = self.original_end
            self._stretches.append(_Stretch(self.end, begin, begin + original_chars))
        self._goes_on = False
        self.end += chars
        self.original_end += original_chars

    @property
    def is_identity(self) -> bool:
        """Whether every position that can be asked for is the same in both texts."""
        if self.end != self.original_end or len(self._stretches) > 1:
            return False
        if not self._stretches:
            return True
        start, original_start, original_end = self._stretches[0]
        return original_end is None and start == original_start

    def start_of(self, position: int) -> int:
        """Where the original of the character at this position begins."""
        if position >= self.end:
            return self.original_end
        stretch = self._stretch(position)
        offset = position - stretch.start if stretch.original_end is None else 0
        return stretch.original_start + offset

    def end_of(self, position: int) -> int:
        """Where the original of the character before this position ends."""
        stretch = self._stretch(position - 1)
        if stretch.original_end is None:
            return stretch.original_start + position - stretch.start
        return stretch.original_end

    def forget(self, position: int) -> None:
        """No position before this one will be asked for again."""
        while len(self._stretches) > 1 and self._stretches[1].start <= position:
            self._stretches.popleft()

    def _stretch(self, position: int) -> _Stretch:
        return self._stretches[bisect_right(self._stretches, position, key=_start) - 1]


def _start(stretch: _Stretch) -> int:
    return stretch.start
