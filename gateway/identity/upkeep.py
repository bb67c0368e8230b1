"""Keeps identity fresh beside the event loop: the access file and the issuer's keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import jwt

from gateway.identity.register import RegisterError, read
from servicekit import logs

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.budget.prices import PriceList
    from gateway.identity.access import Access

__all__ = ["Upkeep"]

_LOOK_EVERY_S = 1.0


class Upkeep:
    """Reads the access file again when it changes; a wrong file changes nothing."""

    def __init__(self, path: Path, access: Access, prices: PriceList) -> None:
        """Keep this identity and these prices as the file says."""
        self._prices = prices
        self._path = path
        self._access = access
        self._seen_ns = path.stat().st_mtime_ns
        self._log = logs.get()

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_file())
            group.create_task(self._follow_keys())

    async def reload(self) -> bool:
        """Read the file if it changed; whether what it says now applies."""
        try:
            modified_ns = (await asyncio.to_thread(self._path.stat)).st_mtime_ns
            if modified_ns == self._seen_ns:
                return False
            self._seen_ns = modified_ns
            register = await asyncio.to_thread(read, self._path)
        except (OSError, RegisterError) as error:
            # The file holds no secret, and its reader quotes none of its values.
            problem = str(error) if isinstance(error, RegisterError) else type(error).__name__
            self._log.error("access.not_reloaded", problem=problem)
            return False
        self._access.replace(register)
        register.fill(self._prices)
        self._log.info("access.reloaded", keys=len(register.keys), tenants=len(register.tenants))
        return True

    async def refresh_keys(self) -> None:
        """Read the issuer's keys, if tokens are believed at all."""
        key_set = self._access.key_set
        if key_set is None:
            return
        try:
            await key_set.refresh()
        except (OSError, ValueError, jwt.PyJWTError) as error:
            self._log.error("access.keys_not_refreshed", error_type=type(error).__name__)

    async def _follow_file(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.reload()

    async def _follow_keys(self) -> None:
        while True:
            await self.refresh_keys()
            tokens, key_set = self._access.register.tokens, self._access.key_set
            if tokens is None or key_set is None:
                await asyncio.sleep(_LOOK_EVERY_S)
            else:
                await key_set.due(tokens.refresh_s)
