"""Where a text is judged: places fixed by the text alone, never by how it arrives.

After a checkpoint, the next one is the first end of a sentence or line at least `stride_chars`
on; failing that the first space after one and a half strides; failing that two strides on, or a
window if that is less.
At a checkpoint the judge sees the last `window_chars` characters up to it, from a word's start if
one is near and not new.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Checkpoints", "Cut"]

# The end of a sentence or line, seen at the character after it.
_END: Final = re.compile(r"(?<=[.!?:;][\s\"')\]])|(?<=\n)|(?<=[。！？।؟])")  # noqa: RUF001
_SPACE: Final = re.compile(r"(?<=\s)")


@dataclass(frozen=True, slots=True)
class Cut:
    """One judged window: the text from `start` to `end`, new since `since`."""

    start: int
    since: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Finds checkpoints; the delay of a stream is at most one window."""

    stride_chars: int = 240
    window_chars: int = 400

    def next_cut(self, text: str, since: int, *, base: int, last: bool) -> Cut | None:
        """The next checkpoint after `since`; None if the text so far does not show it.

        Args:
            text: the text from `base` on, as far as it arrived.
            since: the last checkpoint, counted in the whole text.
            base: where `text` begins in the whole text.
            last: whether the text is complete.
        """
        end = self._end(text, since - base)
        if end is None:
            if not last or base + len(text) <= since:
                return None
            end = len(text)
        return Cut(start=base + self._start(text, since - base, end), since=since, end=base + end)

    def cuts(self, text: str) -> list[Cut]:
        """Every window of a complete text."""
        found: list[Cut] = []
        since = 0
        while (cut := self.next_cut(text, since, base=0, last=True)) is not None:
            found.append(cut)
            since = cut.end
        return found

    def _end(self, text: str, since: int) -> int | None:
        hard = since + min(self.stride_chars * 2, self.window_chars)
        early = min(since + self.stride_chars, hard)
        late = min(since + self.stride_chars * 3 // 2, hard)
        for pattern, low, high in ((_END, early, late), (_SPACE, late, hard)):
            match = pattern.search(text, low, min(high, len(text)))
            if match is not None and match.end() < len(text):
                return match.end()
            if len(text) <= high:
                return None
        return hard

    def _start(self, text: str, since: int, end: int) -> int:
        low = max(0, end - self.window_chars)
        if low == 0:
            return 0
        # Never beyond what is new: everything is judged at least once.
        match = _SPACE.search(text, low, max(low, min(low + 40, since)))
        return match.end() if match else low
