"""Reading OTLP-JSON, from our services and from strangers."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from vedette.traces.otlp import spans_of_document, spans_of_line
from vedette.traces.spans import Event, Kind, Span, Status


def document(**span):
    facts = {"traceId": "AB" * 16, "spanId": "CD" * 8, "startTimeUnixNano": "5"}
    facts |= {"endTimeUnixNano": "9", "name": "work"}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [facts | span]}]}]}


def test_what_the_official_exporter_writes_is_read_back():
    """Every fact of a span written by OpenTelemetry's own exporter arrives."""
    stream = io.StringIO()
    provider = TracerProvider(resource=Resource({"service.name": "guardrails"}))
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(stream=stream)))
    attributes = {"s": "x", "i": 3, "f": 1.5, "b": True, "l": ("a", "b")}
    with provider.get_tracer("t").start_as_current_span(
        "work", kind=SpanKind.SERVER, attributes=attributes
    ) as written:
        written.add_event("first_token", {"n": 1}, timestamp=written.start_time + 7)
        written.set_status(StatusCode.ERROR)
    [read] = spans_of_line(stream.getvalue())
    context = written.get_span_context()
    assert read == Span(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=None,
        name="work",
        service="guardrails",
        kind=Kind.SERVER,
        start_ns=written.start_time,
        end_ns=written.end_time,
        status=Status.ERROR,
        attributes={"s": "x", "i": 3, "f": 1.5, "b": True, "l": ["a", "b"]},
        events=(Event(name="first_token", time_ns=written.start_time + 7, attributes={"n": 1}),),
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"kind": "SPAN_KIND_CLIENT"}, {"kind": Kind.CLIENT}),
        ({"kind": "3"}, {"kind": Kind.CLIENT}),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, {"status": Status.ERROR}),
        ({"status": None}, {"status": Status.UNSET}),
        ({"startTimeUnixNano": 5}, {"start_ns": 5}),
        ({"parentSpanId": ""}, {"parent_id": None}),
        ({"parentSpanId": "EF" * 8}, {"parent_id": "ef" * 8}),
        (
            {"attributes": [{"key": "m", "value": {"kvlistValue": {"values": [
                {"key": "k", "value": {"intValue": "1"}}]}}}]},
            {"attributes": {"m": {"k": 1}}},
        ),
        ({"attributes": [{"key": "nothing", "value": {}}]}, {"attributes": {"nothing": None}}),
    ],
    ids=lambda value: next(iter(value)) + ":" + str(next(iter(value.values())))[:20],
)  # fmt: skip
def test_other_writers_are_understood(raw, expected):
    """Enums by name, numbers as numbers, upper-case ids and empty parents are all allowed."""
    [span] = spans_of_document(document(**raw))
    assert {key: getattr(span, key) for key in expected} == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        '{"resourceSpans": 3}',
        '{"resourceSpans": [3, {"scopeSpans": {}}]}',
        '{"resourceSpans": [{"resource": {"attributes": [{"value": {}}]}}]}',
    ],
)
def test_a_line_that_is_no_document_has_no_spans(line):
    """A half-written line does not hide the others."""
    assert spans_of_line(line) == []


@pytest.mark.parametrize("broken", [{"traceId": None, "startTimeUnixNano": "soon"}, {"kind": 99}])
def test_a_broken_span_does_not_hide_its_neighbours(broken):
    """What makes no sense is left out, and the rest is read."""
    whole = document(**broken)
    whole["resourceSpans"] += document(name="fine")["resourceSpans"]
    assert [span.name for span in spans_of_document(whole)] == ["fine"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "resource", "attributes", "key", "value"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(value=json_values)
def test_no_document_makes_the_reader_stumble(value):
    """Whatever JSON a line holds, reading it raises nothing."""
    assert isinstance(spans_of_line(json.dumps(value)), list)
