"""Spans of a process that exports none."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from servicekit.telemetry import RelayTracer

CALLER = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))


def test_what_is_not_recorded_stands_for_its_caller() -> None:
    """What is called from here hangs below a span that somebody exports."""
    context = trace.set_span_in_context(NonRecordingSpan(CALLER))

    outer = RelayTracer().start_span("outer", context)
    inner = RelayTracer().start_span("inner", trace.set_span_in_context(outer))

    assert CALLER == outer.get_span_context() == inner.get_span_context()
    assert not outer.is_recording()


def test_a_call_without_a_caller_begins_a_trace() -> None:
    """Each gets ids of its own, and those who record are asked to."""
    tracer = RelayTracer()
    with tracer.start_as_current_span("outer") as outer:
        inner = tracer.start_span("inner")
    other = tracer.start_span("other")

    context = outer.get_span_context()
    assert context.is_valid
    assert context.trace_flags.sampled
    assert context == inner.get_span_context()
    assert context.trace_id != other.get_span_context().trace_id
