"""What was scanned and released, so that a receiver can verify it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["Attestation", "Ledger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """Counts in code points, the SHA-256 of the released text in UTF-8, and who took part."""

    released_chars: int
    scanned_chars: int
    released_sha256: str
    policy_digest: str
    detectors: tuple[tuple[str, str], ...]


class Ledger:
    """Counts and hashes what is released, as it is released."""

    __slots__ = ("_sha256", "released_chars")

    def __init__(self) -> None:
        """Nothing is released yet."""
        self._sha256 = hashlib.sha256()
        self.released_chars = 0

    def add(self, text: str) -> None:
        """Book a released piece."""
        self._sha256.update(text.encode("utf-8", "surrogatepass"))
        self.released_chars += len(text)

    @property
    def released_sha256(self) -> str:
        """The digest of everything released so far."""
        return self._sha256.hexdigest()
