"""Memory straight from the system."""

from __future__ import annotations

import mmap

__all__ = ["pages"]


def pages(num_bytes: int, *, huge: bool = False) -> mmap.mmap:
    """Zeros, in pages that the system provides when they are first touched.

    Args:
        num_bytes: how many; more than 0.
        huge: ask for pages of 2 MiB, for memory that is read from one end to the other.
    """
    memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if huge and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
