"""A real guardrails process on a free port, and a stub to call it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import pytest

from guardrails.app import GuardrailsApp
from guardrails.settings import GuardrailsSettings
from servicekit.process import Process
from vedette.guardrails.v1 import guardrails_pb2_grpc


@pytest.fixture
def serve(tmp_path):
    """Starts a server with these settings; spans go to `traces` in the test's folder."""

    @asynccontextmanager
    async def run(app=GuardrailsApp, **settings):
        settings = GuardrailsSettings(port=0, drain_s=0, trace_dir=tmp_path / "traces", **settings)
        process = Process("guardrails", settings, app)
        await process.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
                yield guardrails_pb2_grpc.GuardrailsServiceStub(channel)
        finally:
            await process.stop()

    return run


@pytest.fixture
async def guard(serve):
    async with serve() as stub:
        yield stub
