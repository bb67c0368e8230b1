"""What every place that keeps cases promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .case import Case, Decision

__all__ = ["ReviewDecided", "ReviewUnknown", "Reviews", "ReviewsDown"]


class ReviewsDown(Exception):
    """The cases cannot be reached now."""


class ReviewUnknown(Exception):
    """The tenant has no such case, or has it no more."""


class ReviewDecided(Exception):
    """Somebody else decided the case already."""


class Reviews(Protocol):
    """Cases by tenant, at most so many each, until they expire. Every call may say ReviewsDown."""

    async def add(self, case: Case) -> None:
        """Keep a case; where there is no room, the tenant's oldest goes and is counted."""

    async def find(self, tenant: str, review_id: str) -> Case | None:
        """A tenant's case."""

    async def after(self, tenant: str, review_id: str, most: int) -> Sequence[Case]:
        """The tenant's cases after this one (all, if it is empty), oldest first."""

    async def decide(self, tenant: str, review_id: str, decision: Decision) -> Case:
        """Write down a decision and return the case; the same decision twice is one.

        Raises:
            ReviewUnknown: there is no such case.
            ReviewDecided: something else was decided before.
        """

    async def evicted(self, tenant: str) -> int:
        """How many of the tenant's cases went before their time."""

    async def close(self) -> None:
        """Let go of connections."""
