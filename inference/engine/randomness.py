"""Random numbers by counting: the draw depends on the seed and the place, on nothing else."""

from __future__ import annotations

__all__ = ["uniform"]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def uniform(seed: int, position: int) -> float:
    """A number from [0, 1) that belongs to this seed and position (the splitmix64 finalizer).

    Preemption, batching and order of arrival cannot change it.
    """
    mixed = _mix((_mix(seed & _MASK) + (position + 1) * _GOLDEN) & _MASK)
    return (mixed >> 11) * 2.0**-53


def _mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
