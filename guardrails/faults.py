"""What failures of the domain become on the wire."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from servicekit.errors import FailedPrecondition, Internal, NotFound, Unavailable

from .pseudonyms import VaultConflict, VaultDown
from .review import ReviewDecided, ReviewsDown, ReviewUnknown

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
    except ReviewsDown as error:
        raise Unavailable(
            "The cases under review cannot be reached now; try again.",
            reason="REVIEWS_UNAVAILABLE",
            retry_after_s=1.0,
        ) from error
    except ReviewUnknown as error:
        raise NotFound(
            "There is no such case, or its time is over.", reason="REVIEW_NOT_FOUND"
        ) from error
    except ReviewDecided as error:
        raise FailedPrecondition(
            "Something else was decided about this case before.", reason="REVIEW_DECIDED"
        ) from error
