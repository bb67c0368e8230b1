"""The neighbourhoods of digits in a text, cut out so that the rest need not be looked at.

Most patterns of numbers cost an automaton work on every character; most characters of prose are
nowhere near a number.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Digits", "Neighbourhood"]

# Below this the arithmetic costs more than it saves.
_SHORT_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Stretches of some bytes in a row; `cuts` are where they end, `gaps` what is left out before.

    Nothing is cut if there are no gaps.
    """

    data: bytes
    cuts: Sequence[int] = ()
    gaps: Sequence[int] = ()

    def back(self, positions: list[int]) -> list[int]:
        """Ends of matches here as positions in the whole."""
        if not self.gaps:
            return positions
        return [at + self.gaps[bisect_left(self.cuts, at)] for at in positions]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Places with at least so many digits within so many bytes, and some bytes on either side."""

    count: int
    within: int
    margin: int

    def neighbourhood(self, data: bytes) -> Neighbourhood:
        """All bytes that can belong to a match as wide as `within` with `count` digits in it."""
        if len(data) < _SHORT_BYTES:
            return Neighbourhood(data)
        digits = np.flatnonzero(np.frombuffer(data, np.uint8) - ord("0") < 10)
        first, last = digits[: 1 - self.count], digits[self.count - 1 :]
        dense = last - first < self.within
        first, last = first[dense], last[dense]
        if not len(first):
            return Neighbourhood(b"")
        reach = self.within + self.margin
        begins, ends = np.maximum(0, last - reach), np.minimum(len(data), first + reach)
        apart = np.flatnonzero(begins[1:] > ends[:-1])
        begins = begins[np.concatenate(([0], apart + 1))]
        ends = ends[np.concatenate((apart, [len(ends) - 1]))]
        cuts = np.cumsum(ends - begins)
        if cuts[-1] > len(data) // 2:
            return Neighbourhood(data)
        stretches = zip(begins.tolist(), ends.tolist(), strict=True)
        return Neighbourhood(
            b"".join(data[begin:end] for begin, end in stretches),
            cuts=cuts.tolist(),
            gaps=(ends - cuts).tolist(),
        )
