"""Channels to other services: one a target, traced, with a deadline on every call.

`TracedChannel` is the client's half of the interceptors. It wraps the callables that a generated
stub asks a channel for, rather than use the interceptors of `grpc.aio`: those hand out a stand-in
for the call and put a queue before `write` (measured in docs/adr/0003).
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, cast

import grpc
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import SpanKind, Status, StatusCode

from servicekit import instruments, logs, names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, SpanContext, Tracer

    from servicekit.certificates import CertificateFiles

__all__ = ["RotatingChannel", "TracedChannel", "open_channel"]

# How often a channel looks whether its certificate files changed; a look is one stat a file.
_LOOK_EVERY_S = 1.0
# How long calls may go on over a channel whose certificate was replaced.
_RETIRED_S = 3600.0


def open_channel(  # noqa: PLR0913 - each is a fact of the channel
    target: str,
    *,
    tracer: Tracer,
    service_name: str,
    max_message_bytes: int,
    certificates: CertificateFiles | None = None,
    meter: Meter | None = None,
) -> TracedChannel:
    """A channel that lives as long as the process.

    Args:
        target: as grpc names it: `host:port`, `unix:/path`, `dns:///name:port`.
        tracer: makes one client span a call.
        service_name: the full service name whose health decides where calls may go.
        max_message_bytes: the largest message accepted in either direction.
        certificates: this side's certificate and whom it believes; None speaks plain text.
        meter: times the calls.

    Raises:
        OSError: the certificates cannot be read.
    """
    service_config = {
        # pick_first, the default, ignores health: it would go on calling a draining server.
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service_name},
    }
    options = [
        ("grpc.service_config", json.dumps(service_config)),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A long prefill is a long silence; pings keep middleboxes from closing the connection.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Reconnect soon after a restart: the default backoff grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    channel: grpc.aio.Channel
    if certificates is None:
        channel = grpc.aio.insecure_channel(target, options=options)
    else:
        channel = RotatingChannel(target, options, certificates)
    return TracedChannel(channel, tracer, target, meter)


class RotatingChannel(grpc.aio.Channel):
    """A TLS channel that is opened anew when its certificate files change.

    grpc reads a client's certificate once a channel, so a new certificate needs a new channel.
    Calls go to the latest; those under way finish on the one that they began on.
    """

    def __init__(
        self, target: str, options: list[tuple[str, Any]], files: CertificateFiles
    ) -> None:
        """Open the first channel.

        Raises:
            OSError: the files cannot be read.
        """
        self._target = target
        # Channels to one target would otherwise share their connections, certificate and all.
        self._options = [*options, ("grpc.use_local_subchannel_pool", 1)]
        self._files = files
        self._modified = files.modified()
        self._looked_s = time.monotonic()
        self._current = self._open()
        self._retired: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a unary RPC."""
        return self._latest("unary_unary", method, args, kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a server-streaming RPC."""
        return self._latest("unary_stream", method, args, kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a client-streaming RPC."""
        return self._latest("stream_unary", method, args, kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a bidirectional RPC."""
        return self._latest("stream_stream", method, args, kwargs)

    async def close(self, grace: float | None = None) -> None:
        """Close the latest channel and those before it."""
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        await self._current.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - the library's signature
        """As the latest channel's."""
        return self._current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """As the latest channel's; also returns when it was replaced."""
        with suppress(asyncio.CancelledError, grpc.aio.UsageError):
            await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """As the latest channel's."""
        await self._current.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _latest(self, kind: str, method: str, args: Any, kwargs: Any) -> Callable[..., Any]:
        made: tuple[Any, Any] = (None, None)

        def call(*call_args: Any, **call_kwargs: Any) -> Any:
            nonlocal made
            self._follow()
            if made[0] is not self._current:
                made = (self._current, getattr(self._current, kind)(method, *args, **kwargs))
            return made[1](*call_args, **call_kwargs)

        return call

    def _follow(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        try:
            modified = self._files.modified()
            if modified == self._modified:
                return
            fresh = self._open()
        except OSError as error:
            logs.get().error("certificate.unreadable", error_type=type(error).__name__)
            return
        before, self._current, self._modified = self._current, fresh, modified
        self._retired.add(asyncio.create_task(self._retire(before)))

    def _open(self) -> grpc.aio.Channel:
        certificate, key, authority = self._files.read()
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        return grpc.aio.secure_channel(self._target, credentials, options=self._options)

    async def _retire(self, channel: grpc.aio.Channel) -> None:
        try:
            await channel.close(_RETIRED_S)
        finally:
            self._retired.discard(cast("asyncio.Task[None]", asyncio.current_task()))


class TracedChannel(grpc.aio.Channel):
    """A channel for generated stubs whose calls carry the trace context and make client spans."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        tracer: Tracer,
        target: str,
        meter: Meter | None = None,
    ) -> None:
        """Wrap a channel; closing this one closes it."""
        self._durations = instruments.RPC_CLIENT_DURATION.histogram(meter or NoOpMeter(""))
        self._channel = channel
        self._tracer = tracer
        self._target = target

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a unary RPC."""
        return self._traced(method, self._channel.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a server-streaming RPC."""
        return self._traced(method, self._channel.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a client-streaming RPC."""
        return self._traced(method, self._channel.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The callable of a bidirectional RPC."""
        return self._traced(method, self._channel.stream_stream(method, *args, **kwargs))

    async def readiness(self) -> AsyncIterator[bool]:
        """Whether a call has somewhere to go: now, and at each change, for as long as one listens.

        With the health check that `open_channel` asks for, that is whether the service on the
        other side reports SERVING.
        """
        while True:
            state = self._channel.get_state(try_to_connect=True)
            yield state is grpc.ChannelConnectivity.READY
            await self._channel.wait_for_state_change(state)

    async def close(self, grace: float | None = None) -> None:
        """Close the channel; what still runs on it is cancelled after `grace` seconds."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - the library's signature
        """As the wrapped channel's."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """As the wrapped channel's."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """As the wrapped channel's."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _traced(self, method: str, multicallable: Callable[..., Any]) -> Callable[..., Any]:
        name = method.removeprefix("/")
        attributes = {
            names.RPC_SYSTEM: "grpc",
            names.RPC_METHOD: name,
            names.SERVER_ADDRESS: self._target,
        }

        def call(*args: Any, metadata: Any = (), **kwargs: Any) -> Any:
            start_s = time.perf_counter()
            span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
            headers = _trace_headers(span.get_span_context())
            if logs.DEBUGGED.get():
                headers = (*headers, (logs.DEBUG_KEY, "1"))
            call = multicallable(*args, metadata=(*metadata, *headers), **kwargs)

            def ended(done: grpc.aio.Call) -> None:
                code = _now(done.code())
                took_s = time.perf_counter() - start_s
                self._durations.record(took_s, _labels(name, self._target, code))
                _finish(span, code)

            call.add_done_callback(ended)
            return call

        return call


def _trace_headers(context: SpanContext) -> tuple[tuple[str, str], ...]:
    """The headers of the W3C Trace Context, version 00."""
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    if not context.trace_state:
        return (("traceparent", parent),)
    return ("traceparent", parent), ("tracestate", context.trace_state.to_header())


# Methods, targets and codes are few, so their combinations are.
@functools.cache
def _labels(method: str, target: str, code: grpc.StatusCode) -> dict[str, str]:
    labels = {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: method,
        names.SERVER_ADDRESS: target,
        names.RPC_RESPONSE_STATUS_CODE: code.name,
    }
    if code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):
        labels[names.ERROR_TYPE] = code.name
    return labels


def _finish(span: Span, code: grpc.StatusCode) -> None:
    if not span.is_recording():
        return
    span.set_attribute(names.RPC_RESPONSE_STATUS_CODE, code.name)
    span.set_attribute(names.RPC_STATUS_CODE, code.name)
    if code is grpc.StatusCode.CANCELLED:
        # Hanging up is a decision of this side, not a failure.
        span.add_event(names.EVENT_CANCELLED)
    elif code is not grpc.StatusCode.OK:
        span.set_attribute(names.ERROR_TYPE, code.name)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _now(coroutine: Coroutine[Any, Any, grpc.StatusCode]) -> grpc.StatusCode:
    """The result of a coroutine that has nothing left to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        code: grpc.StatusCode = finished.value
        return code
    finally:
        coroutine.close()
    raise AssertionError("a finished call has a status")
