"""A scan over a normalised view that answers in positions of the original."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from guardrails.rules import merged

from .offsets import OffsetMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.findings import Match
    from guardrails.lanes import Scan

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
        """Begin a text."""
        self.settled = 0
        self._scan = scan
        self._reader = Reader(view)

    def push(self, piece: str, *, last: bool, timeout_s: float) -> Sequence[Match]:
        """Take the next piece; see `guardrails.lanes.Scan`."""
        reading, back = self._reader.push(piece, last=last), self._reader.map
        mapped = [
            dataclasses.replace(match, start=back.start_of(match.start), end=back.end_of(match.end))
            for match in self._scan.push(reading, last=last, timeout_s=timeout_s)
        ]
        self.settled = back.start_of(self._scan.settled)
        back.forget(self._scan.settled)
        return mapped


class Reader:
    """Reads one text that arrives in pieces, and keeps the map back to the original."""

    def __init__(self, view: View) -> None:
        """Begin a text."""
        self.map = OffsetMap()
        self._view = view
        self._text = ""
        self._begin = 0

    def push(self, piece: str, *, last: bool) -> str:
        """What the arrived text reads as, up to where more text could change the reading."""
        self._text += piece
        text, done, view = self._text, self._begin, self._view
        stretches, read = view.stretches, []
        live = len(text) if last else stretches.live.start(text, done)
        position = done
        for low, high, end in merged(stretches.prefilter.places(text, done).values()):
            position = max(position, low)
            while position < high:
                found = stretches.pattern.search(text, position, end)
                if found is None or found.start() >= min(high, live):
                    break
                position = found.end()
                if position > live:
                    live = len(text) if last else stretches.live.start(text, position)
                reading = stretches.readings[found.lastgroup or ""](found[0])
                if reading is not None:
                    read.append(self._characters(text[done : found.start()]))
                    read.append(self._replaced(found[0], reading))
                    done = position
        read.append(self._characters(text[done:live]))
        kept = max(0, live - _LEFT_CHARS)
        self._text, self._begin = text[kept:], live - kept
        return "".join(read)

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
