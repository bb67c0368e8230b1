"""Servers made of single behaviours, and everything that they say recorded."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from servicekit import logs
from servicekit.channels import TracedChannel
from servicekit.interceptors import Around
from vedette.guardrails.v1 import guardrails_pb2 as guard
from vedette.guardrails.v1 import guardrails_pb2_grpc as guard_stubs
from vedette.inference.v1 import inference_pb2 as model
from vedette.inference.v1 import inference_pb2_grpc as model_stubs

REQUEST_TYPES = {
    "/vedette.inference.v1.InferenceService/GetModel": model.GetModelRequest,
    "/vedette.inference.v1.InferenceService/StreamGenerate": model.StreamGenerateRequest,
    "/vedette.guardrails.v1.GuardrailsService/StreamCheckText": guard.StreamCheckTextRequest,
}


class Recorder(SpanExporter):
    """Keeps the spans that have ended, and lets a test wait for one."""

    def __init__(self):
        self.ended = asyncio.Queue()
        self.count = 0
        self.tracer = self._provider().get_tracer("test")

    def _provider(self):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self))
        return provider

    def export(self, spans):
        for span in spans:
            self.count += 1
            self.ended.put_nowait(span)
        return SpanExportResult.SUCCESS

    async def next(self):
        """The next span to end."""
        return await asyncio.wait_for(self.ended.get(), 60)

    async def named(self, name):
        """The next span of this name."""
        while True:
            span = await self.next()
            if span.name == name:
                return span


@pytest.fixture
async def spans():
    """What the server traces."""
    return Recorder()


@pytest.fixture
async def client_spans():
    """What the client traces."""
    return Recorder()


@pytest.fixture
def log_lines(monkeypatch):
    """Read the lines logged so far; logging is left as it was found."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, structlog.get_config())
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure(service="test", level="info")

    def read():
        return [json.loads(line) for line in written.getvalue().splitlines()]

    yield read
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()
    structlog.configure(**before[2])


@dataclass
class Peer:
    """A server with a channel to it."""

    server: grpc.aio.Server
    target: str
    channel: grpc.aio.Channel
    model: model_stubs.InferenceServiceStub = field(init=False)
    guard: guard_stubs.GuardrailsServiceStub = field(init=False)

    def __post_init__(self):
        self.model = model_stubs.InferenceServiceStub(self.channel)
        self.guard = guard_stubs.GuardrailsServiceStub(self.channel)


class _Model(model_stubs.InferenceServiceServicer):
    def __init__(self, behaviors):
        vars(self).update(behaviors)


class _Guard(guard_stubs.GuardrailsServiceServicer):
    def __init__(self, behaviors):
        vars(self).update(behaviors)


@pytest.fixture
def serve(spans, client_spans):
    """Serve behaviours by the name of their RPC, and call them over a bare or traced channel."""

    @asynccontextmanager
    async def serving(*, traced=False, **behaviors):
        server = grpc.aio.server(
            interceptors=[Around(spans.tracer, request_types=REQUEST_TYPES)],
        )
        model_stubs.add_InferenceServiceServicer_to_server(_Model(behaviors), server)
        guard_stubs.add_GuardrailsServiceServicer_to_server(_Guard(behaviors), server)
        target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        channel = grpc.aio.insecure_channel(target)
        if traced:
            channel = TracedChannel(channel, client_spans.tracer, target)
        try:
            yield Peer(server, target, channel)
        finally:
            await channel.close()
            await server.stop(0)

    return serving
