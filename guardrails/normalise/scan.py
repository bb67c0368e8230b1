"""A scan over a normalised view that answers in positions of the original."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from guardrails.rules import merged

from .offsets import OffsetMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.findings import Match
    from guardrails.window.lanes import Scan

    from .view import View

__all__ = ["NormalisedScan", "read"]

# What a look-behind of a view may see: one character.
_LEFT_CHARS = 1


def read(text: str, view: View) -> str:
    """A whole text in a view."""
    return Reader(view).push(text, last=True)


class NormalisedScan:
    """Reads the text in a view, lets another scan look at it, and maps what it says back."""

    def __init__(self, scan: Scan, view: View) -> None:
        """Begin a text. For `has_settled` and `skip` the scan must have them."""
        self.settled = 0
        self._scan: Any = scan
        self._reader = Reader(view)

    def push(self, piece: str, *, last: bool, timeout_s: float) -> Sequence[Match]:
        """Take the next piece; see `guardrails.window.lanes.Scan`."""
        reading, back = self._reader.push(piece, last=last), self._reader.map
        matches: Sequence[Match] = self._scan.push(reading, last=last, timeout_s=timeout_s)
        if back.is_identity:
            self.settled = self._scan.settled
            return matches
        mapped = [
            dataclasses.replace(match, start=back.start_of(match.start), end=back.end_of(match.end))
            for match in matches
        ]
        self.settled = back.start_of(self._scan.settled)
        back.forget(self._scan.settled)
        return mapped

    def has_settled(self, before: str) -> bool:
        """Whether all that came is settled, and the end of it read as this text in ASCII stands."""
        reader = self._reader
        return reader.has_read_all and self._scan.has_settled(reader.cased(before))

    def skip(self, chars: int, before: str) -> None:
        """Go on after so many characters of ASCII, read as they stand; see `RuleScan.skip`."""
        self._scan.skip(chars, self._reader.cased(before))
        self._reader.skip(chars, before)
        self.settled = self._reader.map.original_end


class Reader:
    """Reads one text that arrives in pieces, and keeps the map back to the original."""

    def __init__(self, view: View) -> None:
        """Begin a text."""
        self.map = OffsetMap()
        self._view = view
        self._text = ""
        self._begin = 0

    def push(self, piece: str, *, last: bool) -> str:
        """Take the next piece; return what became certain of the reading."""
        text = self._text + piece
        stretches, live = _stretches(self._view, text, self._begin, last)
        done, read = self._begin, []
        for start, end, reading in stretches:
            read.append(self._characters(text[done:start]))
            read.append(self._replaced(text[start:end], reading))
            done = end
        read.append(self._characters(text[done:live]))
        kept = max(0, live - _LEFT_CHARS)
        self._text, self._begin = text[kept:], live - kept
        return "".join(read)

    @property
    def has_read_all(self) -> bool:
        """Whether nothing waits for what follows."""
        return self._begin == len(self._text)

    def cased(self, text: str) -> str:
        """How ASCII reads in which nothing is replaced."""
        return text.lower() if self._view.lowers else text

    def skip(self, chars: int, before: str) -> None:
        """Go on after so many characters of ASCII, read as they stand; `before` is their end."""
        self.map.keep(chars)
        self._text = before[-_LEFT_CHARS:]
        self._begin = len(self._text)

    def _replaced(self, original: str, reading: str) -> str:
        """Read a stretch as something else, whose characters need reading in their turn."""
        read = self._view.odd.sub(lambda odd: self._view.read(odd[0]), reading)
        read = read.lower() if self._view.lowers else read
        self.map.replace(len(original), len(read))
        return read

    def _characters(self, text: str) -> str:
        if text.isascii():
            self.map.keep(len(text))
            return text.lower() if self._view.lowers else text
        read, begin = [], 0
        for odd in self._view.odd.finditer(text):
            read.append(self._characters(text[begin : odd.start()]))
            reading = self._view.read(odd[0])
            if reading == odd[0]:
                self.map.keep(1)
            else:
                self.map.replace(1, len(reading))
            read.append(reading)
            begin = odd.end()
        rest = text[begin:]
        self.map.keep(len(rest))
        read.append(rest.lower() if self._view.lowers else rest)
        return "".join(read)


# What reads as something else: from, to, as what.
_Stretches = list[tuple[int, int, str]]


@functools.lru_cache(maxsize=2)
def _stretches(view: View, text: str, begin: int, last: bool) -> tuple[_Stretches, int]:  # noqa: FBT001 - a cache wants positions
    """The stretches from `begin` on that read as something else, and up to where that is certain.

    Several detectors of a window read the same text in the same view, one right after another.
    """
    stretches, found = view.stretches, _Stretches()
    if stretches.marks is not None and not any(mark in text for mark in stretches.marks):
        return found, len(text)
    live = len(text) if last else stretches.live.start(text, begin)
    position = begin
    for low, high, end in merged(stretches.prefilter.places(text, begin).values()):
        position = max(position, low)
        while position < high:
            match = stretches.pattern.search(text, position, end)
            if match is None or match.start() >= min(high, live):
                break
            position = match.end()
            if position > live:
                live = len(text) if last else stretches.live.start(text, position)
            reading = stretches.readings[match.lastgroup or ""](match[0])
            if reading is not None:
                found.append((match.start(), position, reading))
    return found, live
