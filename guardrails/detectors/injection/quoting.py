"""A phrase that stands between quotation marks by itself is talked about, not said."""

from __future__ import annotations

from typing import Final

__all__ = ["CLOSED", "OPENED", "is_said"]

_QUOTES: Final = "\"'`\u00ab\u00bb\u300c\u300d\u300e\u300f"

# What may stand before and after a phrase, as patterns.
OPENED: Final = f"[{_QUOTES}]?"
CLOSED: Final = f"(?:[.!,]?[{_QUOTES}])?"


def is_said(candidate: str) -> bool:
    """Whether a phrase, taken with the marks around it, is more than a quotation."""
    return candidate[0] not in _QUOTES or candidate[-1] not in _QUOTES
