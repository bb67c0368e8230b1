"""Values encrypted for a place and a name, so that nobody else's eyes, and no other name, fit."""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Sealer"]

_NONCE_BYTES: Final = 12


class Sealer:
    """AES-256-GCM under one key of 32 bytes; the name that a value stands under is bound to it."""

    def __init__(self, key: bytes) -> None:
        """Seal and open with this key."""
        self._cipher = AESGCM(key)

    def seal(self, name: str, value: str) -> bytes:
        """The value, unreadable without the key and useless under another name."""
        nonce = os.urandom(_NONCE_BYTES)
        data = value.encode("utf-8", "surrogatepass")
        return nonce + self._cipher.encrypt(nonce, data, name.encode())

    def open(self, name: str, sealed: bytes) -> str | None:
        """The value; None if it was not sealed with this key for this name."""
        nonce, data = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            plain = self._cipher.decrypt(nonce, data, name.encode())
        except InvalidTag:
            return None
        return plain.decode("utf-8", "surrogatepass")
