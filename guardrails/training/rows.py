"""What training works on: texts with what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HEADS", "INJECTION", "MODERATION", "Row", "asks", "moderation"]

# Direct: said by a user. Planted: found in a document or a tool result.
INJECTION: Final = ("direct", "planted")
MODERATION: Final = ("hate", "harassment", "violence", "self_harm", "sexual", "illicit")
HEADS: Final = (*INJECTION, *MODERATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text. A head that is missing from the labels is unknown and does not train."""

    text: str
    source: str
    family: str
    labels: Mapping[str, float] = field(default_factory=dict)
    # The part that makes a planted text an attack, if it is known.
    payload: str = ""


def moderation(**known: float) -> dict[str, float]:
    """Labels of every moderation head: what is named, and nothing else applies."""
    return dict.fromkeys(MODERATION, 0.0) | known


# How texts begin that are no orders.
_ASKING: Final = frozenset(
    (
        "what", "what's", "whats", "how", "how's", "is", "are", "do", "does", "did", "i", "i'm",
        "i've", "i'd", "my", "when", "where", "why", "who", "which", "can", "could", "will",
        "would", "should", "has", "have", "am", "if", "there", "the", "a", "an", "was", "were",
        "it", "we", "our", "you", "your", "this",
    )
)  # fmt: skip


def asks(text: str) -> bool:
    """Whether a text begins like a question or a report, not like an order."""
    words = text.split(maxsplit=1)
    return bool(words) and words[0].lower() in _ASKING
