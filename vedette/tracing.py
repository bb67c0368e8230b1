"""The caller's place in a distributed trace, as W3C metadata."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["CallContext"]

# Not the globally configured propagator: Vedette reads traceparent, whatever else the caller sends.
_W3C = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """The trace that one call belongs to."""

    trace_id: str
    metadata: tuple[tuple[str, str], ...]

    @classmethod
    def current(cls) -> CallContext:
        """The active span's trace; without one, a new trace, so that its id is known either way."""
        span = trace.get_current_span()
        if not span.get_span_context().is_valid:
            span = NonRecordingSpan(_fresh_context())
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, context=trace.set_span_in_context(span))
        return cls(
            trace_id=trace.format_trace_id(span.get_span_context().trace_id),
            metadata=tuple(carrier.items()),
        )


def _fresh_context() -> SpanContext:
    """A sampled parent that nobody records; the services' spans hang from it."""
    return SpanContext(
        trace_id=1 + secrets.randbelow(2**128 - 1),
        span_id=1 + secrets.randbelow(2**64 - 1),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
