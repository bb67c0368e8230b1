"""Where the values behind placeholders wait, encrypted and for a while.

Every scope has its own key, derived from the service's secret; an entry can be read only in the
scope and under the placeholder it was written for.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

import redis.asyncio
import redis.exceptions

from guardrails.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .placeholders import Scope

__all__ = ["MemoryVault", "RedisVault", "Vault", "VaultConflict", "VaultDown"]

_MAX_SCOPES: Final = 10_000


class VaultDown(Exception):
    """The vault cannot be reached; nothing was kept or read."""


class VaultConflict(Exception):
    """Two values of one conversation have the same placeholder; nothing may be released."""


class Vault(Protocol):
    """Keeps values by scope and placeholder."""

    async def keep(self, scope: Scope, values: Mapping[str, str]) -> None:
        """Keep values by placeholder, and everything in the scope for another while.

        Raises:
            VaultDown: if they could not be kept.
            VaultConflict: if a placeholder stands for another value already.
        """

    async def values(self, scope: Scope) -> dict[str, str]:
        """Everything kept in a scope, by placeholder.

        Raises:
            VaultDown: if it could not be read.
        """

    async def close(self) -> None:
        """Let go of connections."""


class MemoryVault:
    """A vault in this process: for one machine, and gone with it. Bounded; the oldest go first."""

    def __init__(self, *, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep each scope for `ttl_s` seconds after its last use."""
        self._ttl_s = ttl_s
        self._clock = clock
        self._scopes: OrderedDict[bytes, tuple[float, dict[str, str]]] = OrderedDict()

    async def keep(self, scope: Scope, values: Mapping[str, str]) -> None:
        """Keep values; see `Vault`."""
        kept = self._live(scope)
        for placeholder, value in values.items():
            if kept.get(placeholder, value) != value:
                raise VaultConflict
        self._scopes[scope.key] = self._clock() + self._ttl_s, kept | dict(values)
        self._scopes.move_to_end(scope.key)
        if len(self._scopes) > _MAX_SCOPES:
            self._scopes.popitem(last=False)

    async def values(self, scope: Scope) -> dict[str, str]:
        """Everything in the scope; see `Vault`."""
        return dict(self._live(scope))

    async def close(self) -> None:
        """Forget everything."""
        self._scopes.clear()

    def _live(self, scope: Scope) -> dict[str, str]:
        expires_s, kept = self._scopes.get(scope.key, (0.0, {}))
        if expires_s <= self._clock():
            self._scopes.pop(scope.key, None)
            return {}
        return kept


class RedisVault:
    """A vault that replicas share: AES-256-GCM under a key of the scope, with a time to live."""

    def __init__(self, *, url: str, secret: bytes, ttl_s: float, timeout_s: float) -> None:
        """Connect at first use; connecting, and a command, take `timeout_s` seconds at most."""
        self._redis: Any = redis.asyncio.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=None,
        )
        self._secret = secret
        self._ttl_ms = round(ttl_s * 1000)

    async def keep(self, scope: Scope, values: Mapping[str, str]) -> None:
        """Keep values; see `Vault`."""
        sealer, name = self._sealer(scope), self._name(scope)
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for placeholder, value in values.items():
                    pipeline.hsetnx(name, placeholder, sealer.seal(placeholder, value))
                pipeline.pexpire(name, self._ttl_ms)
                pipeline.hmget(name, list(values))
                *_, stored = await pipeline.execute()
        except (redis.exceptions.RedisError, OSError) as error:
            raise VaultDown from error
        for (placeholder, value), sealed in zip(values.items(), stored, strict=True):
            if sealer.open(placeholder, sealed) != value:
                raise VaultConflict

    async def values(self, scope: Scope) -> dict[str, str]:
        """Everything in the scope; see `Vault`."""
        sealer = self._sealer(scope)
        try:
            stored = await self._redis.hgetall(self._name(scope))
        except (redis.exceptions.RedisError, OSError) as error:
            raise VaultDown from error
        opened = {key.decode(): sealer.open(key.decode(), sealed) for key, sealed in stored.items()}
        return {key: value for key, value in opened.items() if value is not None}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _sealer(self, scope: Scope) -> Sealer:
        return Sealer(hmac.digest(self._secret, b"vault key" + scope.key, hashlib.sha256))

    def _name(self, scope: Scope) -> str:
        digest = hmac.digest(self._secret, b"vault name" + scope.key, hashlib.sha256)
        return f"vedette:vault:{digest.hex()}"
