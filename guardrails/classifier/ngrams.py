"""A linear model over hashed runs of characters and of words, beside the encoder.

It knows words that the encoder's vocabulary cuts to pieces: other languages, odd spellings, names.
A run's place in the table is its polynomial hash modulo the table's size, so that no dictionary
is needed and every text can be read.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SLOTS", "NgramModel", "features"]

# Slots of the table for runs of characters, and as many again for runs of words.
SLOTS: Final = 1 << 18
_CHARACTERS: Final = (2, 3, 4, 5)
_WORDS: Final = 3
_BASE: Final = np.uint64(1_000_003)
# Fibonacci hashing: the golden ratio of 64 bits spreads neighbouring values.
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(64 - 18)
_WORD: Final = re.compile(r"\w+")
_SPACE: Final = re.compile(r"\s+")


def features(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slots of the runs of characters and of the runs of words, each once; case does not count."""
    plain = f" {_SPACE.sub(' ', text.lower()).strip()} "
    codes = np.frombuffer(plain.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    words = [zlib.crc32(word.encode("utf-8", "replace")) for word in _WORD.findall(plain)]
    return (
        _slots(codes, _CHARACTERS),
        _slots(np.array(words, dtype=np.uint64), range(1, _WORDS + 1)) + SLOTS,
    )


def _slots(values: NDArray[np.uint64], lengths: tuple[int, ...] | range) -> NDArray[np.int64]:
    found = []
    for length in lengths:
        count = len(values) - length + 1
        if count < 1:
            break
        mixed = np.full(count, length, dtype=np.uint64)
        for at in range(length):
            mixed = mixed * _BASE + values[at : at + count]
        found.append((mixed * _SPREAD) >> _SHIFT)
    together: NDArray[np.uint64] = (
        np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)
    )
    return together.astype(np.int64)


@dataclass(frozen=True, slots=True)
class NgramModel:
    """Weights of shape (slots, heads) in INT8 with a scale a head, and a bias a head."""

    table: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, text: str) -> NDArray[np.float32]:
        """One logit a head; each kind of runs counts by the root of how many there are."""
        total = self.bias.copy()
        for slots in features(text):
            if len(slots):
                total += self.table[slots].sum(axis=0) * self.scale / np.sqrt(len(slots))
        return total
