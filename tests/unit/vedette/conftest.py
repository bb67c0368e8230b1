"""Traces to look at, drawn as indented lines of `service name start-end`."""

from __future__ import annotations

import json
import socket

import pytest

from vedette.traces.spans import Event, Kind, Span, Status
from vedette.traces.trace import group

MS = 1_000_000
START_NS = 1_795_246_556_000_000_000


def _span(span_id, parent_id=None, *, at, **changes):
    """A span from `at[0]` to `at[1]` milliseconds after the start of its trace."""
    facts = {
        "trace_id": "a" * 32,
        "name": span_id,
        "service": "gateway",
        "kind": Kind.INTERNAL,
        "start_ns": START_NS + round(at[0] * MS),
        "end_ns": START_NS + round(at[1] * MS),
    }
    return Span(span_id=span_id, parent_id=parent_id, **(facts | changes))


def _whole_request(trace_id="a" * 32, **root_attributes):
    """The spans of a request that reached all three services."""

    def span(*args, **kwargs):
        return _span(*args, trace_id=trace_id, **kwargs)

    def server(name, *args, **kwargs):
        return span(*args, kind=Kind.SERVER, name=f"vedette.{name}", **kwargs)

    def client(name, *args, **kwargs):
        return span(*args, kind=Kind.CLIENT, name=f"vedette.{name}", **kwargs)

    check, generate = (
        "guardrails.v1.GuardrailsService/CheckText",
        "inference.v1.InferenceService/Generate",
    )
    first_token = Event(name="first_token", time_ns=START_NS + 41 * MS)
    return [
        server("gateway.v1.GatewayService/Generate", "g", "caller", at=(0, 100),
               attributes={"vedette.finish_reason": "STOP", "gen_ai.usage.output_tokens": 12,
                           **root_attributes}),
        client(check, "gc", "g", at=(1, 10)),
        server(check, "gs", "gc", at=(2, 9), service="guardrails",
               attributes={"vedette.guard.action": "ALLOW"}),
        client(generate, "ic", "g", at=(10, 98)),
        server(generate, "is", "ic", at=(12, 97), service="inference"),
        span("p", "is", at=(13, 40), service="inference", name="prefill"),
        span("d", "is", at=(40, 96), service="inference", name="decode", events=(first_token,)),
    ]  # fmt: skip


def _otlp(spans):
    """One line of a span file."""
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": [_pair("service.name", span.service)]},
                    "scopeSpans": [{"spans": [_raw(span)]}],
                }
                for span in spans
            ]
        }
    )


def _raw(span):
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": span.kind.value,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": [_pair(*pair) for pair in span.attributes.items()],
        "events": [{"name": e.name, "timeUnixNano": str(e.time_ns)} for e in span.events],
        "status": {} if span.status is Status.UNSET else {"code": span.status.value},
    }


def _pair(key, value):
    return {"key": key, "value": _value(value)}


def _value(value):
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    kind = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return {kind[type(value)]: str(value) if type(value) is int else value}


@pytest.fixture
def span():
    return _span


@pytest.fixture
def whole_request():
    return _whole_request


@pytest.fixture
def trace_of():
    return lambda spans: group(spans)[0]


@pytest.fixture
def line_of():
    return _otlp


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def write_traces(tmp_path):
    """Writes spans the way the services do, each service its own file; returns the folder."""

    def write(spans, *, folder=tmp_path):
        for service in {span.service for span in spans}:
            with (folder / f"{service}-1-2-1.jsonl").open("a") as file:
                for span in spans:
                    if span.service == service:
                        file.write(_otlp([span]) + "\n")
        return folder

    return write
