"""A traced channel: the trace context goes along, and one client span ends as its call did."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from servicekit import errors, logs, names
from servicekit.channels import open_channel
from servicekit.health import Health
from vedette.guardrails.v1 import guardrails_pb2 as guard
from vedette.inference.v1 import inference_pb2 as model
from vedette.inference.v1 import inference_pb2_grpc as model_stubs


def _facts(span):
    return (
        span.attributes[names.RPC_RESPONSE_STATUS_CODE],
        span.status.status_code,
        [event.name for event in span.events],
    )


class Behaviors:
    """Answers the three shapes of call alike: well, badly, or after a wait that never ends."""

    def __init__(self, *, fault=None, hold=False):
        self.fault, self.hold = fault, hold
        self.waiting = asyncio.Event()
        self.metadata = {}

    async def _act(self, context):
        self.metadata = dict(context.invocation_metadata())
        if self.fault:
            raise self.fault
        if self.hold:
            self.waiting.set()
            await asyncio.Event().wait()

    async def get_model(self, _request, context):
        await self._act(context)
        return model.GetModelResponse()

    async def generate(self, _request, context):
        yield model.StreamGenerateResponse()
        await self._act(context)

    async def check(self, requests, context):
        async for _ in requests:
            yield guard.StreamCheckTextResponse()
        await self._act(context)

    def by_name(self):
        return {
            "GetModel": self.get_model,
            "StreamGenerate": self.generate,
            "StreamCheckText": self.check,
        }


def _unary(peer, **options):
    return peer.model.GetModel(model.GetModelRequest(), timeout=60, **options)


def _server_stream(peer, **options):
    return peer.model.StreamGenerate(model.StreamGenerateRequest(), timeout=60, **options)


def _bidirectional(peer, **options):
    requests = iter([guard.StreamCheckTextRequest(text="one")])
    return peer.guard.StreamCheckText(requests, timeout=60, **options)


async def _finish(call):
    if isinstance(call, grpc.aio.UnaryUnaryCall):
        await call
    else:
        async for _ in call:
            pass


SHAPES = pytest.mark.parametrize("start", [_unary, _server_stream, _bidirectional])


@SHAPES
async def test_a_call_that_succeeds(start, serve, client_spans):
    """The client span names the method and the address, and is not coloured."""
    async with serve(traced=True, **Behaviors().by_name()) as peer:
        await _finish(start(peer))
        span = await client_spans.next()
    assert (span.kind, _facts(span)) == (SpanKind.CLIENT, ("OK", StatusCode.UNSET, []))
    assert span.attributes[names.SERVER_ADDRESS] == peer.target
    assert span.name == span.attributes[names.RPC_METHOD]


@SHAPES
async def test_both_ends_belong_to_one_trace(start, serve, spans, client_spans):
    """The server's span is the child of the client's, which is the child of the caller's."""
    async with serve(traced=True, **Behaviors().by_name()) as peer:
        with client_spans.tracer.start_as_current_span("caller") as caller:
            await _finish(start(peer))
        client, server = await client_spans.next(), await spans.next()
        if client.name == "caller":
            client = await client_spans.next()
    assert client.parent.span_id == caller.get_span_context().span_id
    assert (server.parent.span_id, server.context.trace_id) == (
        client.context.span_id,
        caller.get_span_context().trace_id,
    )


@SHAPES
async def test_a_call_that_fails(start, serve, client_spans):
    """A failure colours the span, which names its status and quotes nothing."""
    behaviors = Behaviors(fault=errors.NotFound("There is no model called swordfish."))
    async with serve(traced=True, **behaviors.by_name()) as peer:
        with pytest.raises(grpc.aio.AioRpcError):
            await _finish(start(peer))
        span = await client_spans.next()
    assert _facts(span) == ("NOT_FOUND", StatusCode.ERROR, [])
    assert "swordfish" not in span.to_json()


@SHAPES
async def test_a_call_that_is_cancelled(start, serve, client_spans):
    """Hanging up ends the span as cancelled, and not as an error."""
    behaviors = Behaviors(hold=True)
    async with serve(traced=True, **behaviors.by_name()) as peer:
        call = start(peer)
        finishing = asyncio.create_task(_finish(call))
        await asyncio.wait_for(behaviors.waiting.wait(), 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        span = await client_spans.next()
    assert _facts(span) == ("CANCELLED", StatusCode.UNSET, [names.EVENT_CANCELLED])


@SHAPES
async def test_own_metadata_goes_along(start, serve, client_spans):
    """What a caller sends is sent, with the trace context beside it."""
    behaviors = Behaviors()
    async with serve(traced=True, **behaviors.by_name()) as peer:
        await _finish(start(peer, metadata=(("x-tenant", "a"),)))
        span = await client_spans.next()
    assert behaviors.metadata["x-tenant"] == "a"
    assert behaviors.metadata["traceparent"].split("-")[2] == f"{span.context.span_id:016x}"


async def test_writing_and_reading_by_hand(serve, client_spans):
    """A bidirectional call can be driven message by message, and its span ends with it."""
    async with serve(traced=True, **Behaviors().by_name()) as peer:
        call = peer.guard.StreamCheckText(timeout=60)
        for _ in range(3):
            await call.write(guard.StreamCheckTextRequest(text="x"))
            assert isinstance(await call.read(), guard.StreamCheckTextResponse)
        assert client_spans.ended.empty()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert _facts(await client_spans.next())[0] == "OK"


async def test_a_server_that_is_not_there(client_spans):
    """A call that never reaches a server has a span too."""
    channel = open_channel(
        "127.0.0.1:1",
        tracer=client_spans.tracer,
        service_name="vedette.inference.v1.InferenceService",
        max_message_bytes=4096,
    )
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await model_stubs.InferenceServiceStub(channel).GetModel(
                model.GetModelRequest(), timeout=60
            )
        assert _facts(await client_spans.next())[0] == "UNAVAILABLE"


async def test_readiness_follows_the_health_of_the_other_side(client_spans):
    """A channel is ready while the service on the other side reports SERVING, and only then."""
    name = "vedette.inference.v1.InferenceService"
    server = grpc.aio.server()
    health = Health([name], logs.get())
    health.register(server)
    part = health.component("model")
    health.publish()
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    channel = open_channel(
        target, tracer=client_spans.tracer, service_name=name, max_message_bytes=4096
    )
    async with channel:
        readiness = channel.readiness()

        async def until(expected):
            async with asyncio.timeout(60):
                async for ready in readiness:
                    if ready is expected:
                        return

        await until(False)
        part.set(True)
        await until(True)
        part.set(False)
        await until(False)
        await readiness.aclose()
    await server.stop(0)
