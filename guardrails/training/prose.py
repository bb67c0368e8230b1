"""Ordinary prose of document length, for calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .calibration import in_calibration_half

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import Row

__all__ = ["talk_pages"]

_COMMENTS: Final = 12
_CHARS: Final = 4_500


def talk_pages(held_out: Sequence[Row]) -> list[str]:
    """Polite comments of encyclopedia editors, a dozen to a page."""
    comments = [
        row.text
        for row in held_out
        if row.source == "mod_wiki_toxicity_test"
        and row.labels.get("harassment") == 0.0
        and in_calibration_half(row.text)
    ]
    starts = range(0, len(comments), _COMMENTS)
    return ["\n\n".join(comments[at : at + _COMMENTS])[:_CHARS] for at in starts]
