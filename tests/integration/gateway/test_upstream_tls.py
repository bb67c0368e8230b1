"""The channel between services, over TLS with certificates that change."""

from __future__ import annotations

import os
import time

import grpc
from opentelemetry.sdk.trace import TracerProvider

from servicekit import channels
from servicekit.certificates import CertificateFiles
from servicekit.channels import open_channel
from servicekit.credentials import server_credentials
from tests.integration.gateway.certificates import Authority


async def _identify(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return b",".join(context.auth_context().get("x509_subject_alternative_name", ()))


async def test_a_replaced_certificate_is_shown_from_then_on(tmp_path, monkeypatch) -> None:
    """Both sides follow their files; calls never stop working."""
    monkeypatch.setattr(channels, "_LOOK_EVERY_S", 0.0)
    authority = Authority("ours.example")
    for folder, san in (("server", "localhost"), ("client", "spiffe://gateway/1")):
        (tmp_path / folder).mkdir()
        authority.install(tmp_path / folder, san)
    server = grpc.aio.server()
    handlers = {"Identify": grpc.unary_unary_rpc_method_handler(_identify)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(_files(tmp_path / "server")))
    await server.start()
    channel = open_channel(
        f"localhost:{port}",
        tracer=TracerProvider().get_tracer("test"),
        service_name="",
        max_message_bytes=1024,
        certificates=_files(tmp_path / "client"),
    )
    call = channel.unary_unary("/test/Identify")

    before = await call(b"", timeout=60)
    authority.install(tmp_path / "client", "spiffe://gateway/2")
    stamp = time.time_ns() + 1_000_000_000
    os.utime(tmp_path / "client" / "cert.pem", ns=(stamp, stamp))
    after = await call(b"", timeout=60)
    (tmp_path / "client" / "key.pem").unlink()
    still = await call(b"", timeout=60)
    await channel.close()
    await server.stop(0)

    assert (b"spiffe://gateway/1", b"spiffe://gateway/2") == (before, after)
    assert after == still


def _files(folder):
    return CertificateFiles(
        certificate=folder / "cert.pem", key=folder / "key.pem", authority=folder / "ca.pem"
    )
