"""The connection to Redis: fails fast, and is left alone for a while after it failed.

The library's defaults wait seconds for a server that is down. Here a command has the time that the
settings give it and is not retried; after a failure the breaker makes the next ones fail at once
until one of them may try again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.failure.breaker import BreakerOpenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.failure.breaker import Breaker

__all__ = ["SharedState", "StateLostError"]

_MAX_CONNECTIONS = 128


class StateLostError(Exception):
    """Redis cannot be asked now."""


class SharedState:
    """One Redis, by its commands and scripts. Every failure is a `StateLostError`."""

    def __init__(self, url: str, breaker: Breaker, *, timeout_s: float) -> None:
        """Connect to `redis://host:port/0`, `rediss://…` or `unix:///path` when first asked.

        Connecting, and a command, take `timeout_s` seconds at most.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._redis: Any = Redis(connection_pool=pool)
        self._breaker = breaker
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def script(self, source: str) -> Callable[[Sequence[str], Sequence[Any]], Awaitable[Any]]:
        """A Lua script as a function of keys and arguments."""
        registered = self._redis.register_script(source)

        async def run(keys: Sequence[str], args: Sequence[Any]) -> Any:
            return await self._guarded(lambda: registered(keys=keys, args=args))

        return run

    async def ask(self, *command: Any) -> Any:
        """One command."""
        return await self._guarded(lambda: self._redis.execute_command(*command))

    async def close(self) -> None:
        """Let running commands end, which takes no longer than their timeout; then disconnect."""
        self._closed = True
        await self._idle.wait()
        await self._redis.aclose(close_connection_pool=True)

    async def _guarded(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self._closed:
            raise StateLostError
        try:
            admitted = self._breaker.admit()
        except BreakerOpenError:
            raise StateLostError from None
        self._running += 1
        self._idle.clear()
        try:
            result = await call()
        except (RedisError, OSError, TimeoutError) as error:
            admitted.failed()
            raise StateLostError from error
        except BaseException:
            admitted.left()
            raise
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        admitted.succeeded()
        return result
