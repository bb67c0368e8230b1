"""Placeholders: the same value in the same conversation always gets the same one.

The code inside is an HMAC over tenant, conversation, category and value: it says nothing about
the value, and the same value has another code in every other conversation and for every other
tenant.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

__all__ = ["CODE_CHARS", "Placeholders", "Scope", "code_of"]

# Crockford's alphabet: no letter that a reader, or a model, takes for a digit.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# 32**6 codes a category: with a hundred values in a conversation, one clash in 200,000.
CODE_CHARS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose values these are; values of one scope are never seen in another."""

    tenant: str
    conversation_id: str

    @property
    def key(self) -> bytes:
        """The scope as bytes that no other scope shares."""
        return _joined(self.tenant, self.conversation_id)


class Placeholders:
    """Makes the placeholders of one conversation and remembers which it made."""

    def __init__(self, *, secret: bytes, scope: Scope) -> None:
        """Nothing is replaced yet."""
        self._secret = secret
        self._scope = scope
        self._fresh: dict[str, str] = {}

    def replace(self, category: str, value: str) -> str:
        """The placeholder of a value."""
        code = code_of(self._secret, self._scope, category, value)
        placeholder = f"[{category}_{code}]"
        self._fresh[placeholder] = value
        return placeholder

    def take_fresh(self) -> dict[str, str]:
        """The values replaced since the last call, by placeholder."""
        fresh, self._fresh = self._fresh, {}
        return fresh


def code_of(secret: bytes, scope: Scope, category: str, value: str) -> str:
    """The code of a value in a scope."""
    message = scope.key + _joined(category, value)
    number = int.from_bytes(hmac.digest(secret, message, hashlib.sha256)[:8], "big")
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in range(CODE_CHARS))


def _joined(*parts: str) -> bytes:
    """Parts with their lengths, so that no two lists of parts give the same bytes."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
