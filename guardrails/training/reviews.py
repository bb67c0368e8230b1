"""Cases that people decided, as `vedette review export` writes them: rows of a running service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["reviewed"]

_HEADS: Final = {
    "INJECTION": "direct",
    "PLANTED_ORDER": "planted",
    "HATE": "hate",
    "HARASSMENT": "harassment",
    "VIOLENCE": "violence",
    "SELF_HARM": "self_harm",
    "SEXUAL": "sexual",
    "ILLICIT": "illicit",
}


def reviewed(path: Path) -> Iterator[Row]:
    """Rows of one export; a case about a category that no head knows is left out.

    A rejected case says yes to the categories it was held for, an accepted one no; of the other
    heads nothing is known.
    """
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            heads = [_HEADS[name] for name in item["meta"]["categories"] if name in _HEADS]
            if heads:
                labels = dict.fromkeys(heads, float(item["label"]))
                yield Row(text=item["text"], source="reviews", family="review", labels=labels)
