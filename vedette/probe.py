"""Asks services how they are, by `grpc.health.v1`.

`python -m vedette.probe gateway` exits 0 if the gateway of this machine serves; containers ask so.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vedette.services import SERVICES

if TYPE_CHECKING:
    from vedette.services import OwnCertificate

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
        return await _status(channel, grpc_name, deadline_s=deadline_s)


async def _status(channel: grpc.aio.Channel, grpc_name: str, *, deadline_s: float) -> str:
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


async def wait_until_serving(
    target: str, grpc_name: str, certificate: OwnCertificate | None = None
) -> None:
    """Watch until it serves, however long that takes: the caller sets the limit.

    A service that speaks TLS is known by its own certificate, and shown it too. One whose callers'
    authority did not sign that certificate lets nobody in to ask, and this never returns.
    """
    request = health_pb2.HealthCheckRequest(service=grpc_name)
    while True:
        with suppress(grpc.aio.AioRpcError, OSError):
            async with await _own_channel(target, certificate) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                async for response in stub.Watch(request, wait_for_ready=True):
                    if response.status == health_pb2.HealthCheckResponse.SERVING:
                        return
        # Nothing listens yet, the service went away, or it has no Watch.
        await asyncio.sleep(_RETRY_S)


async def _own_channel(target: str, certificate: OwnCertificate | None) -> grpc.aio.Channel:
    """A channel to a service whose files one has.

    Raises:
        OSError: it cannot be reached, or shows another certificate.
    """
    if certificate is None:
        return _channel(target, None)
    chain, key = certificate.chain.read_bytes(), certificate.key.read_bytes()
    name = ("grpc.ssl_target_name_override", await _name_shown(target, certificate))
    credentials = grpc.ssl_channel_credentials(chain, key, chain)
    return grpc.aio.secure_channel(target, credentials, options=(*_OPTIONS, name))


async def _name_shown(target: str, certificate: OwnCertificate) -> str:
    """A name that the service's certificate is for; its address may not be among them.

    Raises:
        OSError: it cannot be reached, or shows another certificate.
    """
    context = ssl.create_default_context(cafile=str(certificate.chain))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is trusted
    context.load_cert_chain(certificate.chain, certificate.key)
    context.set_alpn_protocols(["h2"])
    _, writer = await _connect(target, ssl=context, server_hostname="localhost")
    shown: dict[str, Any] = writer.get_extra_info("peercert")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    names = shown.get("subjectAltName", ())
    return next((name for kind, name in names if kind in {"DNS", "IP Address"}), "")


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


async def _connect(target: str, **tls: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("unix:"):
        return await asyncio.open_unix_connection(target.removeprefix("unix:"), **tls)
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), **tls)


async def _serves(name: str) -> bool:
    [service] = [service for service in SERVICES if service.name == name]
    with suppress(OSError):
        async with await _own_channel(service.address(), service.certificate()) as channel:
            return await _status(channel, service.grpc_name, deadline_s=3) == "SERVING"
    return False


if __name__ == "__main__":
    sys.exit(not asyncio.run(_serves(sys.argv[1])))
