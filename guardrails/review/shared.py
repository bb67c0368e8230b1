"""Cases in Redis, where replicas share them: each encrypted under a key of its tenant.

A tenant has four keys with one hash tag, so that they live together in a cluster: the sealed
cases by name, their names in order, their ends, and how many were evicted.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any, Final

import redis.asyncio
import redis.exceptions

from guardrails.sealing import Sealer

from .case import Case, ReviewState
from .store import ReviewDecided, ReviewsDown, ReviewUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .case import Decision

__all__ = ["RedisReviews"]

_TRIES: Final = 8

_FORGET: Final = """
local function forget(name)
    redis.call('HDEL', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
    redis.call('ZREM', KEYS[3], name)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])) do forget(name) end
"""

# KEYS: cases, order, ends, evicted. ARGV: now in ms, name, sealed case, its end in ms, most.
_ADD: Final = (
    _FORGET
    + """
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[5]) do
    forget(redis.call('ZRANGE', KEYS[2], 0, 0)[1])
    redis.call('INCR', KEYS[4])
end
local ttl = ARGV[4] - ARGV[1]
for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
"""
)

# ARGV: now in ms, where to begin, most.
_AFTER: Final = (
    _FORGET
    + """
local names = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[2], '+', 'LIMIT', 0, ARGV[3])
local found = {}
for index, name in ipairs(names) do
    found[2 * index - 1] = name
    found[2 * index] = redis.call('HGET', KEYS[1], name)
end
return found
"""
)

# ARGV: now in ms, name, the sealed case that was read, the one to write.
_EXCHANGE: Final = (
    _FORGET
    + """
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
return 1
"""
)


class RedisReviews:
    """See `Reviews`."""

    def __init__(
        self,
        *,
        url: str,
        secret: bytes,
        most: int,
        timeout_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Connect at first use; keep at most so many cases of each tenant.

        Connecting, and a command, take `timeout_s` seconds at most.
        """
        self._redis: Any = redis.asyncio.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self._secret = secret
        self._most = most
        self._now = now
        self._add = self._redis.register_script(_ADD)
        self._after = self._redis.register_script(_AFTER)
        self._exchange = self._redis.register_script(_EXCHANGE)

    async def add(self, case: Case) -> None:
        """Keep a case; see `Reviews`."""
        sealed = self._sealer(case.tenant).seal(case.review_id, case.to_json())
        arguments = (self._now_ms(), case.review_id, sealed, _ms(case.expires_s), self._most)
        await _asked(self._add(keys=self._keys(case.tenant), args=arguments))

    async def find(self, tenant: str, review_id: str) -> Case | None:
        """A tenant's case."""
        sealed = await self._sealed(tenant, review_id)
        return None if sealed is None else self._opened(tenant, review_id, sealed)

    async def after(self, tenant: str, review_id: str, most: int) -> Sequence[Case]:
        """The tenant's cases after this one; see `Reviews`."""
        begin = f"({review_id}" if review_id else "-"
        arguments = (self._now_ms(), begin, most)
        found = await _asked(self._after(keys=self._keys(tenant), args=arguments))
        named = zip(found[::2], found[1::2], strict=True)
        cases = [self._opened(tenant, name.decode(), sealed) for name, sealed in named]
        return [case for case in cases if case is not None]

    async def decide(self, tenant: str, review_id: str, decision: Decision) -> Case:
        """Write down a decision; see `Reviews`."""
        for _ in range(_TRIES):
            sealed = await self._sealed(tenant, review_id)
            if sealed is None:
                raise ReviewUnknown
            case = self._opened(tenant, review_id, sealed)
            if case is None:
                raise ReviewUnknown
            if case.says(decision):
                return case
            if case.state is not ReviewState.PENDING:
                raise ReviewDecided
            decided = case.decided(decision)
            fresh = self._sealer(tenant).seal(review_id, decided.to_json())
            arguments = (self._now_ms(), review_id, sealed, fresh)
            if await _asked(self._exchange(keys=self._keys(tenant), args=arguments)):
                return decided
        raise ReviewsDown

    async def evicted(self, tenant: str) -> int:
        """How many went before their time."""
        return int(await _asked(self._redis.get(self._keys(tenant)[3])) or 0)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _sealed(self, tenant: str, review_id: str) -> bytes | None:
        """The case as it lies there, unless it has expired."""
        cases, _, ends, _ = self._keys(tenant)
        end_ms = await _asked(self._redis.zscore(ends, review_id))
        if end_ms is None or end_ms <= self._now_ms():
            return None
        sealed: bytes | None = await _asked(self._redis.hget(cases, review_id))
        return sealed

    def _opened(self, tenant: str, review_id: str, sealed: bytes) -> Case | None:
        line = self._sealer(tenant).open(review_id, sealed)
        return None if line is None else Case.from_json(line)

    def _sealer(self, tenant: str) -> Sealer:
        return Sealer(hmac.digest(self._secret, b"review key" + tenant.encode(), hashlib.sha256))

    def _keys(self, tenant: str) -> tuple[str, str, str, str]:
        digest = hmac.digest(self._secret, b"review name" + tenant.encode(), hashlib.sha256)
        name = f"vedette:review:{{{digest.hex()}}}"
        return f"{name}:cases", f"{name}:order", f"{name}:ends", f"{name}:evicted"

    def _now_ms(self) -> int:
        return _ms(self._now())


async def _asked(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except (redis.exceptions.RedisError, OSError) as error:
        raise ReviewsDown from error


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
