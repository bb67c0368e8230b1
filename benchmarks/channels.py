"""What a traced channel costs: a bare channel, `TracedChannel`, and grpc.aio client interceptors.

The server runs in a process of its own and does next to nothing, so the client is what is
measured. The three take turns for some rounds; a ratio is that of the medians in one run.

Run it with `python -m benchmarks.channels`; the numbers of one machine are in docs/adr/0003.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from servicekit.channels import TracedChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from opentelemetry.trace import Tracer

MESSAGES = 10_000
CALLS = 2_000
ROUNDS = 9
PAYLOAD = b"a word or two of an answer"

Workload = Callable[[Any], Awaitable[None]]


async def unary(channel: Any) -> None:
    """One call after the other."""
    call = channel.unary_unary("/bench/Unary")
    for _ in range(CALLS):
        await call(PAYLOAD)


async def stream(channel: Any) -> None:
    """One call with many responses."""
    async for _ in channel.unary_stream("/bench/Stream")(PAYLOAD):
        pass


async def echo(channel: Any) -> None:
    """One call in which every response waits for its request, by `write` and `read`."""
    call = channel.stream_stream("/bench/Echo")()
    for _ in range(MESSAGES):
        await call.write(PAYLOAD)
        await call.read()
    await call.done_writing()
    await call.read()


WORKLOADS = {unary: CALLS, stream: MESSAGES, echo: MESSAGES}


class _Tracing:
    """The same work as `TracedChannel`, the way grpc.aio offers."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._trace_context = TraceContextTextMapPropagator()

    async def _traced(self, continuation: Any, details: Any, request: Any) -> Any:
        span = self._tracer.start_span(details.method.decode().lstrip("/"), kind=SpanKind.CLIENT)
        carrier: dict[str, str] = {}
        self._trace_context.inject(carrier, trace.set_span_in_context(span))
        metadata = grpc.aio.Metadata(*(details.metadata or ()), *carrier.items())
        call = await continuation(details._replace(metadata=metadata), request)
        call.add_done_callback(lambda _: span.end())
        return call


# One class a kind of call: grpc.aio registers an interceptor for the first kind that it matches.
class _Unary(_Tracing, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, *args: Any) -> Any:
        return await self._traced(*args)


class _Stream(_Tracing, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, *args: Any) -> Any:
        return await self._traced(*args)


class _Echo(_Tracing, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, *args: Any) -> Any:
        return await self._traced(*args)


async def _answer_unary(request: bytes, _context: Any) -> bytes:
    return request


async def _answer_stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    for _ in range(MESSAGES):
        yield request


async def _answer_echo(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve() -> None:
    """Run the server, and say on which port."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(_answer_unary),
        "Stream": grpc.unary_stream_rpc_method_handler(_answer_stream),
        "Echo": grpc.stream_stream_rpc_method_handler(_answer_echo),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


@asynccontextmanager
async def _server_process() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.channels", "serve", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = (await process.stdout.readline()).decode().strip()
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _compare(work: Workload, units: int, channels: dict[str, Any]) -> None:
    times: dict[str, list[float]] = {kind: [] for kind in channels}
    for turn in range(ROUNDS + 1):
        for kind, channel in channels.items():
            start_s = time.perf_counter()
            await work(channel)
            if turn > 0:  # the first round connects and warms up
                times[kind].append(time.perf_counter() - start_s)
    bare_s = statistics.median(times["bare"])
    for kind, taken in times.items():
        median_s = statistics.median(taken)
        each_us = median_s / units * 1e6
        print(f"{work.__name__:7}{kind:12}{each_us:7.1f} us each, {median_s / bare_s:.2f} of bare")


async def measure() -> None:
    """Print one line a workload and kind of channel."""
    tracer = TracerProvider().get_tracer("benchmark")
    async with _server_process() as target:
        channels = {
            "bare": grpc.aio.insecure_channel(target),
            "traced": TracedChannel(grpc.aio.insecure_channel(target), tracer, target),
            "interceptor": grpc.aio.insecure_channel(
                target, interceptors=[_Unary(tracer), _Stream(tracer), _Echo(tracer)]
            ),
        }
        for work, units in WORKLOADS.items():
            await _compare(work, units, channels)
        for channel in channels.values():
            await channel.close()


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1:] == ["serve"] else measure())
