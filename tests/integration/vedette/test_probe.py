"""A service of this machine is waited for and asked over TLS by the files that it shows."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from tests.integration.gateway.certificates import Authority
from vedette import probe
from vedette.services import GATEWAY, OwnCertificate


@asynccontextmanager
async def serving(folder, *, asks_callers=False):
    """A healthy service with the certificate in this folder, by its port."""
    chain, key, authority = (
        (folder / name).read_bytes() for name in ("cert.pem", "key.pem", "ca.pem")
    )
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    await servicer.set(GATEWAY.grpc_name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials(
            [(key, chain)], authority if asks_callers else None, asks_callers
        ),
    )
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def certificate(folder):
    Authority("ours").install(folder, "gateway.internal")
    return OwnCertificate(chain=folder / "cert.pem", key=folder / "key.pem")


@pytest.mark.parametrize("asks_callers", [False, True], ids=["tls", "mutual tls"])
async def test_a_service_that_speaks_tls_is_waited_for(tmp_path, asks_callers) -> None:
    """Its certificate need not name the address that it is asked at."""
    own = certificate(tmp_path)
    async with serving(tmp_path, asks_callers=asks_callers) as port:
        await probe.wait_until_serving(f"127.0.0.1:{port}", GATEWAY.grpc_name, own)


async def test_whoever_shows_another_certificate_is_not_the_service(tmp_path) -> None:
    """Something else that listens there does not count as ready."""
    (tmp_path / "other").mkdir()
    own = certificate(tmp_path)
    certificate(tmp_path / "other")
    async with serving(tmp_path / "other") as port:
        waiting = probe.wait_until_serving(f"127.0.0.1:{port}", GATEWAY.grpc_name, own)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.5)


async def test_a_container_asks_its_service_over_tls(tmp_path) -> None:
    """The probe reads the service's own settings, and its exit code is the answer."""
    own = certificate(tmp_path)
    async with serving(tmp_path) as port:
        settings = {
            "VEDETTE_GATEWAY_PORT": str(port),
            "VEDETTE_GATEWAY_TLS_CERT": str(own.chain),
            "VEDETTE_GATEWAY_TLS_KEY": str(own.key),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vedette.probe", "gateway"), env=settings
        )
        assert 0 == await process.wait()
