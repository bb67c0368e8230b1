"""A real inference process on a free port, and a stub to call it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from inference.app import InferenceApp
from inference.settings import InferenceSettings
from servicekit.process import Process
from vedette.inference.v1 import inference_pb2 as pb
from vedette.inference.v1 import inference_pb2_grpc


class Served(inference_pb2_grpc.InferenceServiceStub):
    """The service, and what it says of its health."""

    def __init__(self, channel):
        super().__init__(channel)
        self.health = health_pb2_grpc.HealthStub(channel)


@pytest.fixture
def serve(tmp_path):
    """Starts a server with these settings; spans go to `traces` in the test's folder."""

    @asynccontextmanager
    async def run(app=InferenceApp, **settings):
        settings = {"backend": "weightless", **settings}
        settings = InferenceSettings(port=0, drain_s=0, trace_dir=tmp_path / "traces", **settings)
        process = Process("inference", settings, app)
        try:
            await process.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
                yield Served(channel)
        finally:
            await process.stop()

    return run


@pytest.fixture
async def model(serve):
    """A weightless model, as fast as it can be."""
    async with serve() as stub:
        yield stub


@pytest.fixture
def asking():
    """Builds the request that asks for this text to be said again."""

    def build(text="hello", request=pb.StreamGenerateRequest, **fields):
        fields = {"messages": [pb.Message(role=pb.ROLE_USER, text=text)], **fields}
        return request(**fields)

    return build
