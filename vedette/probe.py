"""Asks services how they are, by `grpc.health.v1`.

`python -m vedette.probe gateway` exits 0 if the gateway of this machine serves; containers ask so.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vedette.services import SERVICES

__all__ = ["listens", "status", "wait_until_serving"]

_OPTIONS: Final = (
    # Others may have tried this address before it was open; their waiting is not ours.
    ("grpc.use_local_subchannel_pool", 1),
    # A process that is being started is worth asking often; the default begins at a second.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
)
_RETRY_S: Final = 0.1


async def status(
    target: str,
    grpc_name: str,
    *,
    deadline_s: float,
    tls: grpc.ChannelCredentials | None = None,
) -> str:
    """The status in the words of `grpc.health.v1`, or the gRPC status if it cannot be asked."""
    async with _channel(target, tls) as channel:
        request = health_pb2.HealthCheckRequest(service=grpc_name)
        try:
            response = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=deadline_s)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


def _channel(target: str, tls: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    return grpc.aio.secure_channel(target, tls, options=_OPTIONS)


async def wait_until_serving(target: str, grpc_name: str) -> None:
    """Watch until it serves, however long that takes: the caller sets the limit."""
    request = health_pb2.HealthCheckRequest(service=grpc_name)
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            with suppress(grpc.aio.AioRpcError):
                async for response in stub.Watch(request, wait_for_ready=True):
                    if response.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            # The watch ended early: the service went away, or has no Watch.
            await asyncio.sleep(_RETRY_S)


async def listens(target: str) -> bool:
    """Whether anything accepts connections at `host:port` or `unix:/path`."""
    try:
        _, writer = await _connect(target)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def _connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("unix:"):
        return await asyncio.open_unix_connection(target.removeprefix("unix:"))
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


def _serves(name: str) -> bool:
    [service] = [service for service in SERVICES if service.name == name]
    return asyncio.run(status(service.address(), service.grpc_name, deadline_s=3)) == "SERVING"


if __name__ == "__main__":
    sys.exit(not _serves(sys.argv[1]))
