"""Where cached values are: strings by key, for a time."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from gateway.state.shared import StateLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.state.shared import SharedState

__all__ = ["MemoryStore", "SharedStore", "Store"]


class Store(Protocol):
    """Keeps strings for a time. A value may be gone at any moment; that is a miss."""

    async def get(self, key: str) -> str | None:
        """The value, if it is there."""

    async def put(self, key: str, value: str, *, ttl_s: float) -> None:
        """Keep a value for so long at most."""

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Whether this owner may make the value, for so long or until it gives up; also renews."""

    async def give_up(self, key: str, owner: str) -> None:
        """Let another make the value; harmless if it is not this owner's to make."""


class MemoryStore:
    """The values used last, up to so many characters in all."""

    def __init__(self, *, max_chars: int, now: Callable[[], float] = time.monotonic) -> None:
        """Keep at most this much."""
        self._max_chars = max_chars
        self._now = now
        self._chars = 0
        self._values: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def get(self, key: str) -> str | None:
        """As the protocol says."""
        until_s, value = self._values.get(key, (0.0, ""))
        if until_s <= self._now():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: str, *, ttl_s: float) -> None:
        """As the protocol says; what was not used for longest goes first."""
        self._drop(key)
        self._values[key] = (self._now() + ttl_s, value)
        self._chars += len(value)
        while self._chars > self._max_chars:
            self._drop(next(iter(self._values)))

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:  # noqa: ARG002 - nobody else is here
        """As the protocol says."""
        return True

    async def give_up(self, key: str, owner: str) -> None:
        """As the protocol says."""

    def _drop(self, key: str) -> None:
        _, value = self._values.pop(key, (0.0, ""))
        self._chars -= len(value)


class SharedStore:
    """Values in Redis, and those made here also near by; what cannot be asked for is a miss.

    A value never changes under its key, so the copy near by is as good.
    """

    def __init__(self, state: SharedState, near: MemoryStore) -> None:
        """Keep them in both."""
        self._state = state
        self._near = near
        self._claim = state.script(_CLAIM)
        self._give_up = state.script(_GIVE_UP)

    async def get(self, key: str) -> str | None:
        """As the protocol says."""
        near = await self._near.get(key)
        if near is not None:
            return near
        try:
            value: str | None = await self._state.ask("GET", f"vedette:v1:{key}")
        except StateLostError:
            return None
        return value

    async def put(self, key: str, value: str, *, ttl_s: float) -> None:
        """As the protocol says."""
        await self._near.put(key, value, ttl_s=ttl_s)
        try:
            await self._state.ask("SET", f"vedette:v1:{key}", value, "PX", int(ttl_s * 1000))
        except StateLostError:
            return

    async def claim(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """As the protocol says; while nobody can be asked, everyone may."""
        try:
            return bool(await self._claim([f"vedette:v1:{key}:maker"], [owner, int(ttl_s * 1000)]))
        except StateLostError:
            return True

    async def give_up(self, key: str, owner: str) -> None:
        """As the protocol says."""
        with suppress(StateLostError):  # it ends by itself
            await self._give_up([f"vedette:v1:{key}:maker"], [owner])


_CLAIM = """
local maker = redis.call('GET', KEYS[1])
if maker and maker ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""
