"""A real gateway server on a free port, answering what a test tells it to."""

from __future__ import annotations

import hashlib
import socket
from contextlib import asynccontextmanager

import grpc
import pytest

from tests.unit.vedette.conftest import span, trace_of, whole_request, write_traces  # noqa: F401
from vedette.client import Client
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs


@asynccontextmanager
async def _serving(servicer):
    server = grpc.aio.server()
    stubs.add_GatewayServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}", deadline_s=10) as client:
            yield client
    finally:
        await server.stop(0)


def _attest(text, **changes):
    facts = {
        "released_chars": len(text),
        "scanned_chars": len(text),
        "released_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    return pb.Attestation(**(facts | changes))


@pytest.fixture
def serving():
    return _serving


@pytest.fixture
def attest():
    return _attest


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
