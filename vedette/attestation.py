"""Compares the text that arrived with what the service says it scanned and released."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vedette.counting import counted
from vedette.errors import AttestationError

if TYPE_CHECKING:
    from vedette.gateway.v1 import gateway_pb2 as pb

__all__ = ["ReceivedText"]


class ReceivedText:
    """The text of one answer, counted and hashed while it arrives."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._chars = 0

    def add(self, text: str) -> None:
        """Count the next piece."""
        self._sha256.update(text.encode())
        self._chars += len(text)

    def verify(self, answer: pb.Final | pb.GenerateResponse) -> None:
        """Compare with the attestation of the end of the answer.

        Raises:
            AttestationError: the attestation is missing, or is of another text.
        """
        if not answer.HasField("attestation"):
            raise _broken(
                "ATTESTATION_MISSING",
                "The answer carries no attestation, so nothing says that its text was scanned.",
                answer.trace_id,
            )
        attestation = answer.attestation
        if attestation.released_chars != self._chars:
            raise _broken(
                "ATTESTATION_MISMATCH",
                f"{counted(self._chars, 'character')} arrived, "
                f"{attestation.released_chars:,} attested.",
                answer.trace_id,
            )
        if attestation.released_sha256 != self._sha256.hexdigest():
            raise _broken(
                "ATTESTATION_MISMATCH",
                "The text that arrived differs from the text that is attested.",
                answer.trace_id,
            )


def _broken(reason: str, message: str, trace_id: str) -> AttestationError:
    return AttestationError(message, reason=reason, trace_id=trace_id or None)
