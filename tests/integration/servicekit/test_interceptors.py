"""Around every RPC: one span, one log line, one way for errors to leave."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from servicekit import errors, names
from vedette.errors import from_rpc_error
from vedette.guardrails.v1 import guardrails_pb2 as guard
from vedette.inference.v1 import inference_pb2 as model

GET_MODEL = "vedette.inference.v1.InferenceService/GetModel"
GENERATE = "vedette.inference.v1.InferenceService/StreamGenerate"
CHECK = "vedette.guardrails.v1.GuardrailsService/StreamCheckText"
TRACEPARENT = f"00-{0xABC:032x}-{0xDEF:016x}-01"
SECRET = "the launch code is 0000"


def _delta(text):
    return model.StreamGenerateResponse(delta=model.Delta(text=text))


async def _answer(request, _context):
    return model.GetModelResponse(model=model.Model(name=request.name))


async def _stream(_request, _context):
    for word in ("one", "two", "three"):
        yield _delta(word)


async def _echo(requests, _context):
    async for request in requests:
        yield guard.StreamCheckTextResponse(release=guard.Release(text=request.text))


async def _get_model(peer, *, timeout_s=10, **options):
    return await peer.model.GetModel(model.GetModelRequest(name="m"), timeout=timeout_s, **options)


async def _read(call):
    """All responses of a stream; hangs up if it is cancelled itself.

    grpc.aio hangs up for its reader, except when the cancel falls between the sending of the
    request and the first read; then the call would run on.
    """
    try:
        return [response async for response in call]
    finally:
        call.cancel()


async def _generate(peer, *, timeout_s=10, **options):
    request = model.StreamGenerateRequest()
    return await _read(peer.model.StreamGenerate(request, timeout=timeout_s, **options))


async def _check(peer, *, timeout_s=10, **options):
    requests = [guard.StreamCheckTextRequest(text=text) for text in ("one", "two")]
    return await _read(peer.guard.StreamCheckText(iter(requests), timeout=timeout_s, **options))


# Each shape of RPC: how it is called, its name, and a behaviour that raises what it is given.
def _raising(error):
    async def get_model(_request, _context):
        raise error

    async def generate(_request, _context):
        yield _delta("one")
        raise error

    async def check(requests, _context):
        async for _ in requests:  # to the end: a client that still writes may not see the status
            pass
        yield guard.StreamCheckTextResponse()
        raise error

    return {"GetModel": get_model, "StreamGenerate": generate, "StreamCheckText": check}


SHAPES = [
    pytest.param(_get_model, GET_MODEL, id="unary"),
    pytest.param(_generate, GENERATE, id="server stream"),
    pytest.param(_check, CHECK, id="bidirectional"),
]
GOOD = {"GetModel": _answer, "StreamGenerate": _stream, "StreamCheckText": _echo}


def _facts(span):
    """What a span says about the end of its call."""
    attributes = dict(span.attributes)
    return (
        attributes[names.RPC_RESPONSE_STATUS_CODE],
        span.status.status_code,
        [event.name for event in span.events],
    )


async def _failure(call, peer, **options):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(peer, **options)
    return from_rpc_error(caught.value)


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_a_call_is_one_span_and_one_line(call, name, serve, spans, log_lines):
    """A call that succeeds is one server span that says so, and one line in the same trace."""
    async with serve(**GOOD) as peer:
        await call(peer)
        span = await spans.next()
        await peer.server.stop(0)
    assert (span.name, span.kind, _facts(span)) == (
        name,
        SpanKind.SERVER,
        ("OK", StatusCode.UNSET, []),
    )
    assert spans.ended.empty()
    [line] = [line for line in log_lines() if line["event"] == "rpc.completed"]
    assert (line["method"], line["code"]) == (name, "OK")
    assert line["trace_id"] == trace.format_trace_id(span.context.trace_id)


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_the_callers_trace_is_continued(call, name, serve, spans):
    """A caller's traceparent is the parent of the server's span."""
    async with serve(**GOOD) as peer:
        await call(peer, metadata=(("traceparent", TRACEPARENT),))
        span = await spans.named(name)
    assert (span.context.trace_id, span.parent.span_id) == (0xABC, 0xDEF)


@pytest.mark.parametrize("value", ["", "nonsense", "00-zz-zz-01", TRACEPARENT[:-3]])
async def test_a_broken_traceparent_starts_a_new_trace(value, serve, spans):
    """A header that cannot be read is ignored."""
    async with serve(**GOOD) as peer:
        await _get_model(peer, metadata=(("traceparent", value),))
        span = await spans.next()
    assert (span.parent, span.context.is_valid) == (None, True)


async def test_spans_of_a_servicer_lie_within_its_call(serve, spans):
    """What a servicer traces becomes a child of the call's span."""

    async def work(_request, _context):
        with spans.tracer.start_as_current_span("inner"):
            return model.GetModelResponse()

    async with serve(GetModel=work) as peer:
        await _get_model(peer)
        inner, outer = await spans.next(), await spans.next()
    assert (inner.name, inner.parent.span_id) == ("inner", outer.context.span_id)


async def test_one_call_does_not_see_the_context_of_another(serve, spans):
    """Interleaved streams each keep their own current span."""
    seen = {}

    async def stream(request, _context):
        for _ in range(20):
            seen.setdefault(request.model, set()).add(
                trace.get_current_span().get_span_context().span_id
            )
            yield _delta("x")
            await asyncio.sleep(0)

    async with serve(StreamGenerate=stream) as peer:

        async def read(name):
            request = model.StreamGenerateRequest(model=name)
            return [response async for response in peer.model.StreamGenerate(request, timeout=60)]

        await asyncio.gather(*(read(str(number)) for number in range(5)))
    assert [len(ids) for ids in seen.values()] == [1] * 5
    assert len(set.union(*seen.values())) == 5


FAULTS = {
    errors.InvalidArgument: StatusCode.UNSET,
    errors.NotFound: StatusCode.UNSET,
    errors.FailedPrecondition: StatusCode.UNSET,
    errors.Exhausted: StatusCode.UNSET,
    errors.Unauthenticated: StatusCode.UNSET,
    errors.PermissionDenied: StatusCode.UNSET,
    errors.DeadlineExceeded: StatusCode.ERROR,
    errors.Unavailable: StatusCode.ERROR,
    errors.Internal: StatusCode.ERROR,
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_a_fault_reaches_the_caller_and_the_span(call, name, kind, serve, spans):
    """Every fault arrives as its status and reason; only the server's own colour the span red."""
    violations = [errors.Violation("name", "is wrong")]
    fault = kind(violations) if kind is errors.InvalidArgument else kind(reason="BECAUSE")
    async with serve(**_raising(fault)) as peer:
        failure = await _failure(call, peer)
        span = await spans.named(name)
    assert (failure.code, failure.reason, failure.message) == (
        fault.code,
        fault.reason,
        fault.message,
    )
    assert _facts(span) == (fault.code.name, FAULTS[kind], [])
    assert span.attributes[names.ERROR_REASON] == fault.reason


def test_the_table_of_faults_is_complete():
    """Every class of fault is in the table above."""
    assert set(FAULTS) == set(errors.Fault.__subclasses__())


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_an_unexpected_exception_tells_nothing(call, name, serve, spans, log_lines):
    """A bug becomes INTERNAL with a fixed text; its own text is in no span, log or answer."""
    async with serve(**_raising(ValueError(SECRET))) as peer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(peer)
        span = await spans.named(name)
        await peer.server.stop(0)
    failure = from_rpc_error(caught.value)
    assert (failure.code, failure.message) == (
        grpc.StatusCode.INTERNAL,
        errors.Internal.default_message,
    )
    assert _facts(span)[:2] == ("INTERNAL", StatusCode.ERROR)
    said = f"{span.to_json()} {log_lines()} {caught.value!r} {caught.value.trailing_metadata()}"
    assert ("ValueError" in said, SECRET in said) == (True, False)


async def test_the_log_says_where_it_broke(serve, spans, log_lines):
    """The operator finds the type and the place of the cause, under the trace id of the call."""
    async with serve(**_raising(KeyError("x"))) as peer:
        await _failure(_get_model, peer)
        span = await spans.next()
    [line] = [line for line in log_lines() if line["event"] == "rpc.failed"]
    assert line["error_type"] == "KeyError"
    assert line["error_at"][-1].endswith(":get_model")
    assert line["trace_id"] == trace.format_trace_id(span.context.trace_id)


async def test_the_cause_of_a_fault_is_logged(serve, log_lines):
    """A fault raised from an exception keeps its cause for the operator alone."""

    async def work(_request, _context):
        raise errors.Unavailable(reason="UPSTREAM_DOWN") from ConnectionError(SECRET)

    async with serve(GetModel=work) as peer:
        failure = await _failure(_get_model, peer)
    [line] = [line for line in log_lines() if line["event"] == "rpc.failed"]
    assert (line["error_type"], line["reason"]) == ("ConnectionError", "UPSTREAM_DOWN")
    assert SECRET not in f"{log_lines()} {failure!r}"


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_an_inner_cancellation_is_answered(call, name, serve, spans):
    """Something inside was cancelled and not the call: the caller hears so at once."""
    async with serve(**_raising(asyncio.CancelledError())) as peer:
        failure = await asyncio.wait_for(_failure(call, peer), 60)
        span = await spans.named(name)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "INTERRUPTED")
    assert _facts(span)[:2] == ("UNAVAILABLE", StatusCode.ERROR)


class Held:
    """Behaviours that answer a little and then wait, and know when they were stopped."""

    def __init__(self):
        self.waiting = asyncio.Event()
        self.stopped = asyncio.Event()

    async def _hold(self):
        try:
            self.waiting.set()
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    async def GetModel(self, _request, _context):
        await self._hold()

    async def StreamGenerate(self, _request, _context):
        yield _delta("one")
        await self._hold()

    async def StreamCheckText(self, requests, _context):
        async for _ in requests:
            yield guard.StreamCheckTextResponse()
            await self._hold()

    def behaviors(self):
        return {
            "GetModel": self.GetModel,
            "StreamGenerate": self.StreamGenerate,
            "StreamCheckText": self.StreamCheckText,
        }


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_a_caller_that_hangs_up_stops_the_work(call, name, serve, spans, log_lines):
    """A cancel arrives in the servicer, ends the span as cancelled and not as an error."""
    held = Held()
    async with serve(**held.behaviors()) as peer:
        calling = asyncio.create_task(call(peer))
        await asyncio.wait_for(held.waiting.wait(), 60)
        calling.cancel()
        await asyncio.wait_for(held.stopped.wait(), 60)
        span = await spans.named(name)
        await peer.server.stop(0)
    assert _facts(span) == ("CANCELLED", StatusCode.UNSET, [names.EVENT_CANCELLED])
    [line] = [line for line in log_lines() if line["event"] == "rpc.completed"]
    assert line["code"] == "CANCELLED"


async def test_a_caller_that_hangs_up_during_a_write_stops_the_work(serve, spans):
    """A stream that never pauses is closed as well, before its span ends."""
    spans_before_closing = []

    async def endless(_request, _context):
        try:
            while True:
                yield _delta("more")
        finally:
            spans_before_closing.append(spans.count)

    async with serve(StreamGenerate=endless) as peer:
        call = peer.model.StreamGenerate(model.StreamGenerateRequest(), timeout=60)
        await call.read()
        call.cancel()
        span = await spans.named(GENERATE)
    assert (spans_before_closing, _facts(span)[0]) == ([0], "CANCELLED")


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_a_deadline_ends_the_work(call, name, serve, spans):
    """When the caller's time is up, the servicer stops and the span says why."""
    held = Held()
    async with serve(**held.behaviors()) as peer:
        failure = await _failure(call, peer, timeout_s=1)
        await asyncio.wait_for(held.stopped.wait(), 60)
        span = await spans.named(name)
    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert _facts(span)[:2] == ("DEADLINE_EXCEEDED", StatusCode.ERROR)


@pytest.mark.parametrize(("call", "name"), SHAPES)
async def test_a_cancelled_call_leaves_no_task(call, name, serve, spans):
    """Once its span has ended, nothing of a cancelled call runs on."""
    held = Held()
    async with serve(**held.behaviors()) as peer:
        # The first call of a channel starts its poller; only what the second adds counts.
        before = None
        for _ in range(2):
            held.waiting.clear()
            calling = asyncio.create_task(call(peer))
            await asyncio.wait_for(held.waiting.wait(), 60)
            calling.cancel()
            await spans.named(name)
            after = await _tasks_at_rest()
            before = after if before is None else before
    assert after == before


async def _tasks_at_rest():
    """How many tasks there are when those that are about to end have ended."""
    for _ in range(50):
        await asyncio.sleep(0)
    return len(asyncio.all_tasks())


async def test_servicers_that_write_their_responses_themselves_work(serve, spans):
    """The other style of streaming, a coroutine that calls `write`, is served alike."""

    async def writing(_request, context):
        for word in ("one", "two"):
            await context.write(_delta(word))

    async with serve(StreamGenerate=writing) as peer:
        responses = await _generate(peer)
        span = await spans.next()
    assert [response.delta.text for response in responses] == ["one", "two"]
    assert _facts(span)[0] == "OK"


async def test_an_abort_by_the_servicer_is_left_alone(serve, spans):
    """A servicer that answers with a status of its own choosing is taken at its word."""

    async def aborting(_request, context):
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "It is there already.")

    async with serve(GetModel=aborting) as peer:
        failure = await _failure(_get_model, peer)
        span = await spans.next()
    assert (failure.code, failure.message) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "It is there already.",
    )
    assert _facts(span)[:2] == ("ALREADY_EXISTS", StatusCode.UNSET)


async def test_a_stream_keeps_its_order(serve):
    """What a servicer yields is what the caller reads, all of it and in order."""

    async def count(_request, _context):
        for number in range(1000):
            yield _delta(str(number))

    async with serve(StreamGenerate=count) as peer:
        texts = [response.delta.text for response in await _generate(peer)]
    assert texts == [str(number) for number in range(1000)]


BAD = b"\x0a\x02\xff\xfe"  # field 1, a string of two bytes that are not UTF-8


@pytest.mark.parametrize(
    ("path", "kind", "field"),
    [
        (GET_MODEL, "unary_unary", "name"),
        (GENERATE, "unary_stream", "model"),
        (CHECK, "stream_stream", ""),
    ],
    ids=["unary", "server stream", "bidirectional"],
)
async def test_bytes_that_do_not_parse_are_answered(path, kind, field, serve, spans):
    """Undecodable requests get INVALID_ARGUMENT with the field, and the next call works."""
    data = BAD if field else b"\xff\xff"
    async with serve(**GOOD) as peer:
        call = getattr(peer.channel, kind)(f"/{path}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if kind == "unary_unary":
                await call(data, timeout=60)
            else:
                request = iter([data]) if kind == "stream_stream" else data
                [response async for response in call(request, timeout=60)]
        failure = from_rpc_error(caught.value)
        span = await spans.named(path)
        assert len(await _generate(peer)) == 3
    assert (failure.code, failure.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNDECODABLE_REQUEST",
    )
    assert [violation.field for violation in failure.violations] == [field]
    assert _facts(span)[:2] == ("INVALID_ARGUMENT", StatusCode.UNSET)


async def test_an_unknown_method_is_unimplemented(serve):
    """A method that no one serves is answered by grpc, without a span to flood the traces."""
    async with serve(**GOOD) as peer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await peer.channel.unary_unary("/no.such.Service/Method")(b"", timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
