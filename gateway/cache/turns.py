"""Who makes a value that several gateways want at the same moment: one of them, the others wait.

The right to make it is a claim in the store that is renewed while the work goes on. The claim of a
gateway that died ends by itself, and the next one makes the value. Without shared state, or while
it is lost, every gateway makes its own.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.cache.stores import Store

__all__ = ["turn"]

_CLAIM_S = 3.0
_RENEW_EVERY_S = 1.0
_LOOK_EVERY_S = 0.02


@asynccontextmanager
async def turn(store: Store, key: str) -> AsyncIterator[str | None]:
    """The value, as soon as it is there; or None, and then it is ours to make and to put there."""
    owner = secrets.token_hex(8)
    renewing: asyncio.Task[None] | None = None
    try:
        while True:
            is_ours = await store.claim(key, owner, ttl_s=_CLAIM_S)
            value = await store.get(key)
            if is_ours or value is not None:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        if is_ours:
            renewing = asyncio.create_task(_renew(store, key, owner))
        yield value
    finally:
        if renewing is not None:
            renewing.cancel()
        await asyncio.shield(store.give_up(key, owner))


async def _renew(store: Store, key: str, owner: str) -> None:
    while True:
        await asyncio.sleep(_RENEW_EVERY_S)
        await store.claim(key, owner, ttl_s=_CLAIM_S)
