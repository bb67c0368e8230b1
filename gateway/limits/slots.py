"""How many requests a tenant may have under way at once.

A slot is held under a name and for a time; the slots of a gateway that crashed come back when
their time is up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.shared import SharedState

__all__ = ["MemorySlots", "SharedSlots", "Slots"]


class Slots(Protocol):
    """Hands out slots."""

    async def take(self, owner: str, holder: str, *, limit: int, ttl_s: float) -> bool:
        """Take one of the owner's slots for this holder, if one is free."""

    async def release(self, owner: str, holder: str) -> None:
        """Give a slot back; giving back one that is not held is harmless."""


class MemorySlots:
    """Slots of one process."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        """Go by this clock, in seconds."""
        self._now = now
        self._held: dict[str, dict[str, float]] = {}

    async def take(self, owner: str, holder: str, *, limit: int, ttl_s: float) -> bool:
        """As the protocol says."""
        now_s = self._now()
        held = {
            name: until_s for name, until_s in self._held.get(owner, {}).items() if until_s > now_s
        }
        free = len(held) < limit
        if free:
            held[holder] = now_s + ttl_s
        self._held[owner] = held
        return free

    async def release(self, owner: str, holder: str) -> None:
        """As the protocol says."""
        held = self._held.get(owner, {})
        held.pop(holder, None)
        if not held:
            self._held.pop(owner, None)


class SharedSlots:
    """Slots that several gateways share."""

    def __init__(self, state: SharedState, *, now: Callable[[], float] | None = None) -> None:
        """Keep the slots there; a clock is for tests."""
        self._state = state
        self._take = state.script(_TAKE)
        self._now = now

    async def take(self, owner: str, holder: str, *, limit: int, ttl_s: float) -> bool:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        now_ms = "" if self._now is None else self._now() * 1000
        return bool(await self._take([_key(owner)], [now_ms, holder, limit, int(ttl_s * 1000)]))

    async def release(self, owner: str, holder: str) -> None:
        """As the protocol says.

        Raises:
            StateLostError: Redis cannot be asked.
        """
        await self._state.ask("ZREM", _key(owner), holder)


def _key(owner: str) -> str:
    return f"vedette:v1:slots:{{{owner}}}"


_TAKE = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[4]), ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[4]), redis.call('PTTL', KEYS[1])))
return 1
"""
