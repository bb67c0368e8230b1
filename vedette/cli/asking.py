"""One question to a service behind the gateway, for verbs that look at it directly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from vedette.cli.terminal import fail_call
from vedette.errors import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["DEADLINE_S", "asked"]

DEADLINE_S: Final = 10.0
_Answer = TypeVar("_Answer")


def asked(target: str, call: Callable[[grpc.aio.Channel], Awaitable[_Answer]]) -> _Answer:
    """What the service at this address answers to a call; ends the command if it does not."""

    async def run() -> _Answer:
        async with grpc.aio.insecure_channel(target) as channel:
            return await call(channel)

    try:
        return asyncio.run(run())
    except grpc.aio.AioRpcError as error:
        fail_call(from_rpc_error(error), target=target)
