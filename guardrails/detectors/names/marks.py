"""A place in a text as the key of a judge's answer: judges answer with a number by name."""

from __future__ import annotations

__all__ = ["read", "written"]


def written(category: str, start: int, end: int) -> str:
    """The key for a category at characters `start` to `end` of the stretch."""
    return f"{category}:{start}:{end}"


def read(mark: str) -> tuple[str, int, int]:
    """The category and the place again."""
    category, start, end = mark.split(":")
    return category, int(start), int(end)
