"""How a found stretch of text is rewritten."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from guardrails.findings import Treatment

if TYPE_CHECKING:
    from guardrails.findings import Finding
    from guardrails.pseudonyms import Placeholders

__all__ = ["Redactor"]


class Redactor:
    """Rewrites the findings of one text."""

    def __init__(
        self, *, secret: bytes = b"", tenant: str = "", placeholders: Placeholders | None = None
    ) -> None:
        """Rewrite on behalf of a tenant.

        Args:
            secret: the key of hashes; without one, hashes of short values could be guessed.
            tenant: whose text this is; the same value has another hash for another tenant.
            placeholders: of the conversation; without one, pseudonyms become masks.
        """
        self._secret = secret
        self._tenant = tenant
        self._placeholders = placeholders

    def replacement(self, finding: Finding, value: str) -> str:
        """What stands where the value of this finding stood."""
        if finding.treatment is Treatment.PSEUDONYMIZE and self._placeholders is not None:
            return self._placeholders.replace(finding.category, value)
        if finding.treatment is Treatment.HASH:
            return f"[{finding.category}:{self._digest(finding.category, value)}]"
        return f"[{finding.category}]"

    def fresh(self) -> dict[str, str]:
        """Values that became placeholders since the last call; to be kept before any release."""
        return {} if self._placeholders is None else self._placeholders.take_fresh()

    def _digest(self, category: str, value: str) -> str:
        parts = (self._tenant, category, value)
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
        return hmac.digest(self._secret, message, hashlib.sha256).hex()[:12]
