"""API keys: `vdt.<id>.<secret>`, of which the access file holds a digest.

python -m gateway.identity.keys ID      makes one and prints what to put in the file
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.identity.register import Key

__all__ = ["PREFIX", "Keys", "make"]

PREFIX = "vdt."
# Compared with when the id is unknown, so that an unknown id takes as long as a wrong secret.
_NOBODY = "0" * 64


class Keys:
    """The keys of one access file."""

    def __init__(self, keys: Iterable[Key]) -> None:
        """Know these."""
        self._by_id = {key.id: key for key in keys}

    def find(self, credential: str) -> Key | None:
        """The key that this credential is; None if it is none. It may be expired or revoked."""
        key = self._by_id.get(credential.removeprefix(PREFIX).partition(".")[0])
        expected = key.sha256 if key else _NOBODY
        return key if hmac.compare_digest(_digest(credential), expected) else None


def make(key_id: str) -> tuple[str, str]:
    """A new key and its digest."""
    credential = f"{PREFIX}{key_id}.{secrets.token_urlsafe(32)}"
    return credential, _digest(credential)


def _digest(credential: str) -> str:
    return hashlib.sha256(credential.encode()).hexdigest()


if __name__ == "__main__":
    made, digest = make(sys.argv[1])
    print(f'{made}\n\n[[keys]]\nid = "{sys.argv[1]}"\nsha256 = "{digest}"\ntenant = ""')  # noqa: T201
