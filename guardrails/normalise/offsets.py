"""The way back from a normalised text to the original."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

__all__ = ["OffsetMap"]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of normalised text. If `linear`, character for character; else one for all."""

    start: int
    original_start: int
    original_end: int
    linear: bool


class OffsetMap:
    """Maps positions of the normalised text to positions of the original; both only grow."""

    __slots__ = ("_stretches", "end", "original_end")

    def __init__(self) -> None:
        """Begin with two empty texts."""
        self._stretches: deque[_Stretch] = deque()
        self.end = 0
        self.original_end = 0

    def keep(self, chars: int) -> None:
        """The next characters stand for themselves."""
        last = self._stretches[-1] if self._stretches else None
        if chars and not (last and last.linear and last.original_end == self.original_end):
            self._stretches.append(
                _Stretch(self.end, self.original_end, self.original_end + chars, linear=True)
            )
        elif last and chars:
            self._stretches[-1] = _Stretch(
                last.start, last.original_start, last.original_end + chars, linear=True
            )
        self.end += chars
        self.original_end += chars

    def replace(self, original_chars: int, chars: int) -> None:
        """The next characters of the original read as so many others, as a whole."""
        if chars:
            begin = self.original_end
            self._stretches.append(_Stretch(self.end, begin, begin + original_chars, linear=False))
        self.end += chars
        self.original_end += original_chars

    @property
    def is_identity(self) -> bool:
        """Whether every position that can be asked for is the same in both texts."""
        stretches = self._stretches
        if self.end != self.original_end or len(stretches) > 1:
            return False
        return all(each.linear and each.start == each.original_start for each in stretches)

    def start_of(self, position: int) -> int:
        """Where the original of the character at this position begins."""
        if position >= self.end:
            return self.original_end
        stretch = self._stretch(position)
        offset = position - stretch.start if stretch.linear else 0
        return stretch.original_start + offset

    def end_of(self, position: int) -> int:
        """Where the original of the character before this position ends."""
        stretch = self._stretch(position - 1)
        if stretch.linear:
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
