"""Spans of our own, seen by the SDK's processors."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from servicekit.recording import Recorder

SAMPLED, UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


def below(flags):
    caller = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(caller), Context())


@pytest.fixture
def recorded():
    """A recorder, and the spans that reached an exporter."""
    return _recorded()


def _recorded(sampler=sampling.DEFAULT_ON):
    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return Recorder(provider), memory.get_finished_spans


def test_a_span_arrives_with_all_that_it_was_told(recorded):
    """Its place, kind, times, attributes, events and status."""
    recorder, spans = recorded
    span = recorder.start_span("call", below(SAMPLED), SpanKind.CLIENT, {"a": 1}, start_time=1_000)
    span.set_attribute("b", "x")
    span.set_attributes({"c": [True]})
    span.add_event("happened", {"why": "so"}, timestamp=1_500)
    span.set_status(Status(StatusCode.ERROR, "a prompt"))
    span.end(2_000)
    [found] = spans()
    assert ("call", SpanKind.CLIENT, 1_000, 2_000) == (
        found.name,
        found.kind,
        found.start_time,
        found.end_time,
    )
    assert (0xABC, 0xDEF) == (found.context.trace_id, found.parent.span_id)
    assert {"a": 1, "b": "x", "c": [True]} == found.attributes
    assert [("happened", 1_500)] == [(event.name, event.timestamp) for event in found.events]
    assert (StatusCode.ERROR, None) == (found.status.status_code, found.status.description)


def test_an_exception_leaves_its_type_and_nothing_else(recorded):
    """Whoever asks for it to be recorded is not heard: its text may quote a prompt."""
    recorder, spans = recorded
    with (
        pytest.raises(ValueError, match="the secret"),
        recorder.start_as_current_span("call", record_exception=True) as span,
    ):
        span.record_exception(ValueError("the secret"))
        raise ValueError("the secret")
    [found] = spans()
    assert ({"error.type": "ValueError"}, ()) == (found.attributes, tuple(found.events))
    assert (StatusCode.ERROR, None) == (found.status.status_code, found.status.description)


def test_what_is_below_is_recorded_below(recorded):
    """The current span is the parent of the next."""
    recorder, spans = recorded
    with recorder.start_as_current_span("outer"):
        recorder.start_span("inner").end()
    inner, outer = spans()
    assert (outer.context.span_id, None) == (inner.parent.span_id, outer.parent)
    assert outer.context.trace_id == inner.context.trace_id


@pytest.mark.parametrize(
    ("context", "sampler", "expected"),
    [
        (below(SAMPLED), sampling.ALWAYS_OFF, 1),
        (below(UNSAMPLED), sampling.ALWAYS_ON, 0),
        (Context(), sampling.DEFAULT_ON, 1),
        (Context(), sampling.ALWAYS_OFF, 0),
    ],
    ids=["caller records", "caller does not", "nobody said", "sampler says no"],
)
def test_the_callers_decision_is_followed(context, sampler, expected):
    """Else traces would have holes; where nobody decided, the sampler does."""
    recorder, spans = _recorded(sampler)
    span = recorder.start_span("call", context)
    span.end()
    assert expected == len(spans())
    assert span.get_span_context().trace_flags.sampled == bool(expected)


def test_after_its_end_a_span_changes_no_more(recorded):
    """What comes late is lost, and a second end is none."""
    recorder, spans = recorded
    span = recorder.start_span("call")
    span.end(2)
    span.set_attribute("late", 1)
    span.set_attributes({"late": 2})
    span.add_event("late")
    span.end(3)
    [found] = spans()
    assert ({}, 2, False) == (found.attributes, found.end_time, span.is_recording())


def test_a_status_is_not_taken_back(recorded):
    """OK stands, and unset is no news."""
    recorder, spans = recorded
    for codes in ((StatusCode.OK, StatusCode.ERROR), (StatusCode.ERROR, StatusCode.UNSET)):
        span = recorder.start_span("call")
        for code in codes:
            span.set_status(code)
        span.end()
    assert [StatusCode.OK, StatusCode.ERROR] == [span.status.status_code for span in spans()]
