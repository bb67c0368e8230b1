"""Limits while Redis is lost: each gateway goes on by itself, with a stated share of each limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.state.shared import StateLostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.limits.meters import Claim, Meters, Refusal
    from gateway.limits.slots import Slots

__all__ = ["Limits", "LocalLimits", "SharedLimits"]


class Limits(Protocol):
    """Meters and slots, and whether they were the reduced ones."""

    async def take(self, claims: Sequence[Claim]) -> tuple[Refusal | None, bool]:
        """As `Meters.take`; True if they stood in for the shared ones."""

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """As `Meters.give_back`."""

    async def take_slot(
        self, owner: str, holder: str, *, limit: int, ttl_s: float
    ) -> tuple[bool, bool]:
        """As `Slots.take`; the second is True if it stood in for the shared ones."""

    async def release_slot(self, owner: str, holder: str) -> None:
        """As `Slots.release`."""


class LocalLimits:
    """The limits of a gateway that shares nothing."""

    def __init__(self, meters: Meters, slots: Slots) -> None:
        """Use these."""
        self._meters = meters
        self._slots = slots

    async def take(self, claims: Sequence[Claim]) -> tuple[Refusal | None, bool]:
        """As the protocol says."""
        return await self._meters.take(claims), False

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """As the protocol says."""
        await self._meters.give_back(claims)

    async def take_slot(
        self, owner: str, holder: str, *, limit: int, ttl_s: float
    ) -> tuple[bool, bool]:
        """As the protocol says."""
        return await self._slots.take(owner, holder, limit=limit, ttl_s=ttl_s), False

    async def release_slot(self, owner: str, holder: str) -> None:
        """As the protocol says."""
        await self._slots.release(owner, holder)


class SharedLimits:
    """Shared limits, and local ones with `factor` of each limit while the shared ones are lost."""

    def __init__(self, shared: LocalLimits, local: LocalLimits, *, factor: float) -> None:
        """Prefer the first."""
        self._shared = shared
        self._local = local
        self._factor = factor

    async def take(self, claims: Sequence[Claim]) -> tuple[Refusal | None, bool]:
        """As the protocol says."""
        try:
            return await self._shared.take(claims)
        except StateLostError:
            scaled = [claim.scaled(self._factor) for claim in claims]
            refusal, _ = await self._local.take(scaled)
            return refusal, True

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """As the protocol says."""
        try:
            await self._shared.give_back(claims)
        except StateLostError:
            await self._local.give_back([claim.scaled(self._factor) for claim in claims])

    async def take_slot(
        self, owner: str, holder: str, *, limit: int, ttl_s: float
    ) -> tuple[bool, bool]:
        """As the protocol says."""
        try:
            return await self._shared.take_slot(owner, holder, limit=limit, ttl_s=ttl_s)
        except StateLostError:
            scaled = max(1, int(limit * self._factor))
            free, _ = await self._local.take_slot(owner, holder, limit=scaled, ttl_s=ttl_s)
            return free, True

    async def release_slot(self, owner: str, holder: str) -> None:
        """As the protocol says; the holder may have its slot in either place."""
        await self._local.release_slot(owner, holder)
        try:
            await self._shared.release_slot(owner, holder)
        except StateLostError:
            return  # it comes back when its time is up
