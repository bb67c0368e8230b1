"""What failures of the domain become on the wire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from servicekit.errors import Internal, Unavailable

from .pseudonyms import VaultConflict, VaultDown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["domain_faults"]


@contextmanager
def domain_faults() -> Iterator[None]:
    """Turn what the domain raises into faults; a text whose values cannot be kept is not sent."""
    try:
        yield
    except VaultDown as error:
        raise Unavailable(
            "The values behind pseudonyms cannot be reached now; try again.",
            reason="VAULT_UNAVAILABLE",
            retry_after_s=1.0,
        ) from error
    except VaultConflict as error:
        raise Internal(reason="PSEUDONYM_CONFLICT") from error
