"""Cleans rows and drops those that nearly repeat another, held-out rows first."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from .rows import Row

__all__ = ["NearDuplicates", "clean"]

_HASHES: Final = 64
_BANDS: Final = 16
_SHINGLE_WORDS: Final = 3
_SIMILAR: Final = 0.6
_PRIME: Final = (1 << 31) - 1
_WORD: Final = re.compile(r"\w+")


def clean(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows with something to read in them."""
    for row in rows:
        if len(_WORD.findall(row.text)) >= 1 and len(row.text) <= 100_000:
            yield row


class NearDuplicates:
    """Remembers texts by MinHash over word triples; an estimated Jaccard of 0.6 is a repeat."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        rng = np.random.default_rng(7)
        self._a = rng.integers(1, _PRIME, _HASHES, dtype=np.uint64)
        self._b = rng.integers(0, _PRIME, _HASHES, dtype=np.uint64)
        self._buckets: dict[tuple[int, bytes], list[int]] = {}
        self._signatures: list[NDArray[np.uint64]] = []

    def novel(self, text: str) -> bool:
        """Whether nothing like this was seen; remembers it if so."""
        signature = self._signature(text)
        width = _HASHES // _BANDS
        keys = [(at, signature[at : at + width].tobytes()) for at in range(0, _HASHES, width)]
        for key in keys:
            for index in self._buckets.get(key, ()):
                if np.mean(self._signatures[index] == signature) >= _SIMILAR:
                    return False
        self._signatures.append(signature)
        for key in keys:
            self._buckets.setdefault(key, []).append(len(self._signatures) - 1)
        return True

    def _signature(self, text: str) -> NDArray[np.uint64]:
        words = _WORD.findall(text.lower())
        count = max(1, len(words) - _SHINGLE_WORDS + 1)
        shingles = {" ".join(words[at : at + _SHINGLE_WORDS]) for at in range(count)}
        hashes = np.array([zlib.crc32(s.encode()) for s in shingles], dtype=np.uint64)
        mixed = (hashes[:, None] * self._a + self._b) % np.uint64(_PRIME)
        lowest: NDArray[np.uint64] = mixed.min(axis=0)
        return lowest
