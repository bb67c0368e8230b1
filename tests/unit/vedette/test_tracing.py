"""Every call has a place in a trace."""

from __future__ import annotations

import re

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from vedette.tracing import CallContext


def test_without_a_span_a_call_starts_a_valid_sampled_trace():
    """A caller without tracing still learns a trace id, and the services record under it."""
    context = CallContext.current()
    header = dict(context.metadata)["traceparent"]
    assert re.fullmatch(rf"00-{context.trace_id}-[0-9a-f]{{16}}-01", header)


def test_two_calls_without_a_span_are_two_traces():
    """Unrelated calls do not share a trace."""
    assert CallContext.current().trace_id != CallContext.current().trace_id


def test_an_active_span_is_continued():
    """The caller's own span is the parent of the call."""
    parent = SpanContext(
        trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    with trace.use_span(NonRecordingSpan(parent)):
        context = CallContext.current()
    assert dict(context.metadata)["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
