"""Around every RPC that a server answers: one span, one log line, one way for errors to leave.

An interceptor in `grpc.aio` can only exchange the handler, and handlers come in four shapes.
`Around` exchanges each for a coroutine that awaits the original inside one `try`. Responses of a
stream are written from that coroutine, so a cancellation arrives inside the `try` wherever the
stream was, and the generator is closed before the span ends.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from grpc_status import rpc_status
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, NoOpMeter, Observation
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit import decoding, instruments, logs, names
from servicekit.errors import DeadlineExceeded, Fault, Internal, InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

    from google.protobuf.message import Message
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, Tracer

__all__ = ["Around"]

_TRACE_CONTEXT = TraceContextTextMapPropagator()
# Probes and reflection would drown the traces of real calls.
_UNOBSERVED = ("/grpc.health.v1.Health/", "/grpc.reflection.")
# The statuses that say the server failed, by OpenTelemetry's conventions for gRPC servers.
_SERVER_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class Around(grpc.aio.ServerInterceptor):
    """The only interceptor of a Vedette server; install it first."""

    def __init__(
        self,
        tracer: Tracer,
        *,
        meter: Meter | None = None,
        request_types: Mapping[str, type[Message]] | None = None,
        debug_requests: bool = False,
    ) -> None:
        """Observe with this tracer.

        Args:
            tracer: makes the server spans.
            meter: counts and times the calls.
            request_types: the request message of each method path, to name undecodable fields.
            debug_requests: whether a call may ask for its debug lines.
        """
        self._debug_requests = debug_requests
        self._tracer = tracer
        self._request_types = request_types or {}
        self._handlers: dict[str, Any] = {}
        self._log = logs.get()
        self._calls = _Calls(meter or NoOpMeter(""))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Exchange the handler for one that runs inside the span, the log line and the shield."""
        method = handler_call_details.method
        if method in self._handlers:
            return self._handlers[method]
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        decode = handler.request_deserializer and decoding.lenient(
            handler.request_deserializer, self._request_types.get(method)
        )
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        # A server's handlers never change, so each is exchanged once.
        self._handlers[method] = make(
            self._wrap(handler, method),
            request_deserializer=decode,
            response_serializer=handler.response_serializer,
        )
        return self._handlers[method]

    def _wrap(self, handler: Any, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
        behavior = (
            handler.stream_stream
            or handler.stream_unary
            or handler.unary_stream
            or handler.unary_unary
        )

        async def answer(request: Any, context: Any) -> Any:
            requests = _decoded(request, streaming=handler.request_streaming)
            result = behavior(requests, context)
            if not handler.response_streaming or inspect.isawaitable(result):
                return await result  # a stream that is awaited writes its responses itself
            async with aclosing(result) as responses:
                async for response in responses:
                    await context.write(response)
            return None

        if method.startswith(_UNOBSERVED):
            return answer

        async def run(request: Any, context: Any) -> Any:
            return await self._observed(answer, method, request, context)

        return run

    async def _observed(
        self,
        answer: Callable[[Any, Any], Coroutine[Any, Any, Any]],
        method: str,
        request: Any,
        context: Any,
    ) -> Any:
        start_s = time.perf_counter()
        metadata = dict(context.invocation_metadata() or ())
        span = self._start_span(method, metadata)
        if self._debug_requests and metadata.get(logs.DEBUG_KEY) == "1":
            logs.DEBUGGED.set(True)
        token = otel_context.attach(trace.set_span_in_context(span))
        code, reason = grpc.StatusCode.OK, ""
        self._calls.active += 1
        try:
            response = await answer(request, context)
            code = _code_set_by_handler(context)
        except BaseException as error:
            code, fault = _judge(error, context)
            if fault is not None:
                reason = fault.reason
                self._record(fault, error, span)
                await context.abort_with_status(rpc_status.to_status(fault.to_status()))
            raise
        else:
            return response
        finally:
            took_s = time.perf_counter() - start_s
            self._calls.ended(method, code, reason, took_s)
            _finish(span, code)
            # The answer goes first; the line can wait for the loop's next turn.
            asyncio.get_running_loop().call_soon(self._log_line, method, code, took_s)
            otel_context.detach(token)

    def _start_span(self, method: str, metadata: dict[str, Any]) -> Span:
        name = method.removeprefix("/")
        return self._tracer.start_span(
            name,
            context=_TRACE_CONTEXT.extract(metadata) if "traceparent" in metadata else Context(),
            kind=SpanKind.SERVER,
            attributes={names.RPC_SYSTEM: "grpc", names.RPC_METHOD: name},
        )

    def _record(self, fault: Fault, error: BaseException, span: Span) -> None:
        span.set_attribute(names.ERROR_REASON, fault.reason)
        logs.bind(reason=fault.reason)
        cause = error.__cause__ if isinstance(error, Fault) else error
        if cause is not None and isinstance(fault, Internal | Unavailable):
            self._log.error(
                "rpc.failed", error_type=type(cause).__name__, error_at=logs.where(cause)
            )

    def _log_line(self, method: str, code: grpc.StatusCode, duration_s: float) -> None:
        self._log.info(
            "rpc.completed",
            method=method.removeprefix("/"),
            code=code.name,
            duration_ms=round(duration_s * 1000, 3),
        )


class _Calls:
    """What the metrics say of the calls."""

    def __init__(self, meter: Meter) -> None:
        self.active = 0
        self._durations = instruments.RPC_SERVER_DURATION.histogram(meter)
        instruments.RPC_ACTIVE.observed(meter, self._look)

    def ended(self, method: str, code: grpc.StatusCode, reason: str, took_s: float) -> None:
        self.active -= 1
        self._durations.record(took_s, _labels(method.removeprefix("/"), code, reason))

    def _look(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(self.active)]


# Methods, codes and reasons are few, so their combinations are.
@functools.cache
def _labels(method: str, code: grpc.StatusCode, reason: str) -> dict[str, str]:
    labels = {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: method,
        names.RPC_RESPONSE_STATUS_CODE: code.name,
    }
    if code in _SERVER_ERRORS:
        labels[names.ERROR_TYPE] = code.name
    return labels | ({names.ERROR_REASON: reason} if reason else {})


_MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _decoded(request: Any, *, streaming: bool) -> Any:
    """The request or requests, or InvalidArgument where the bytes did not parse."""
    if streaming:
        return _each_decoded(request)
    if isinstance(request, decoding.Undecodable):
        raise InvalidArgument(request.violations, reason="UNDECODABLE_REQUEST")
    return request


async def _each_decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _decoded(request, streaming=False)


def _judge(error: BaseException, context: Any) -> tuple[grpc.StatusCode, Fault | None]:
    """What the call ends with, and the fault to send unless the call is over anyway."""
    if isinstance(error, Fault):
        return error.code, error
    if isinstance(error, grpc.aio.AbortError):
        return _code_set_by_handler(context), None
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return _judge_cancelled(context)
    return Internal.code, Internal()


# The caller's clock started before ours, so its deadline cancels the call a moment before ours ends
# it. On one machine under load the moment was seen to be some milliseconds.
_LEAD_S = 0.05


def _judge_cancelled(context: Any) -> tuple[grpc.StatusCode, Fault | None]:
    remaining_s = context.time_remaining()
    if remaining_s is not None and remaining_s <= _LEAD_S:
        return DeadlineExceeded.code, None
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        # grpc cancels the task that answers the call; context.cancelled() is still false here.
        return grpc.StatusCode.CANCELLED, None
    # Something inside was cancelled and not the call: left alone, the caller would hear nothing
    # until its deadline.
    return Unavailable.code, Unavailable(reason="INTERRUPTED", retry_after_s=1.0)


def _code_set_by_handler(context: Any) -> grpc.StatusCode:
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, grpc.StatusCode.OK)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _finish(span: Span, code: grpc.StatusCode) -> None:
    if not span.is_recording():
        return
    span.set_attribute(names.RPC_RESPONSE_STATUS_CODE, code.name)
    span.set_attribute(names.RPC_STATUS_CODE, code.name)
    if code is grpc.StatusCode.CANCELLED:
        span.add_event(names.EVENT_CANCELLED)
    if code in _SERVER_ERRORS:
        span.set_attribute(names.ERROR_TYPE, code.name)
        span.set_status(Status(StatusCode.ERROR))
    span.end()
