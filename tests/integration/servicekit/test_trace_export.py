"""Spans on their way out of a process, read by other people's code."""

from __future__ import annotations

import io
import json
from concurrent import futures

import grpc
import pytest
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto_json.trace.v1.trace import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_trace_id,
    set_span_in_context,
)
from pydantic_settings import SettingsConfigDict

from servicekit.recording import write_span
from servicekit.settings import ServiceSettings
from servicekit.spanfiles import SpanFileExporter
from servicekit.telemetry import Telemetry
from vedette.traces.store import TraceFiles


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="VEDETTE_GUARDRAILS_")


def _record(settings):
    """Two spans of one trace, one with everything that a span can have; their trace id."""
    telemetry = Telemetry(service="guardrails", version="1", settings=settings)
    with telemetry.tracer.start_as_current_span("outer") as outer:
        link = Link(outer.get_span_context(), {"why": "batch"})
        with telemetry.tracer.start_as_current_span("inner", links=[link]) as inner:
            inner.set_attributes({"text": "über", "count": 3, "share": 0.5, "names": ["a", "b"]})
            inner.add_event("happened", {"flag": True})
    telemetry.close()
    return format_trace_id(outer.get_span_context().trace_id)


def test_the_official_reader_reads_the_files(tmp_path):
    """OpenTelemetry's own types for OTLP-JSON find what was recorded, and so does the command."""
    trace_id = _record(Settings(trace_dir=tmp_path))
    [path] = tmp_path.glob("*.jsonl")
    spans = [
        (resource, span)
        for line in path.read_text().splitlines()
        for resource in TracesData.from_dict(json.loads(line)).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {"outer", "inner"} == {span.name for _, span in spans}
    [inner] = [span for _, span in spans if span.name == "inner"]
    assert {trace_id} == {span.trace_id.hex() for _, span in spans}
    assert "über" == next(a.value.string_value for a in inner.attributes if a.key == "text")
    assert (["happened"], 1) == ([event.name for event in inner.events], len(inner.links))
    [resource_name] = {
        a.value.string_value
        for resource, _ in spans
        for a in resource.resource.attributes
        if a.key == "service.name"
    }
    assert "guardrails" == resource_name
    ours = TraceFiles(tmp_path).get(trace_id)
    assert [(), (trace_id,)] == [span.shared_with for span in ours.spans]


def test_our_writer_says_what_the_librarys_says():
    """The same document, but for the order of its fields, with everything that a span can have."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "gateway"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("vedette")
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    parent = set_span_in_context(NonRecordingSpan(remote))
    with tracer.start_as_current_span("outer", context=parent, kind=SpanKind.SERVER) as outer:
        links = [Link(remote, {"why": "batch"}), Link(outer.get_span_context())]
        inner = tracer.start_span("inner ü", links=links, kind=SpanKind.CLIENT)
        inner.set_attributes({"text": 'ü"\n', "count": 3, "share": 0.5, "names": ["a", "b"]})
        inner.set_attributes({"flag": True, "none": []})
        inner.add_event("happened", {"flag": False})
        inner.add_event("again")
        inner.set_status(Status(StatusCode.ERROR))
        inner.end()
        outer.set_status(Status(StatusCode.OK))
    spans = memory.get_finished_spans()
    ours, theirs = io.StringIO(), io.StringIO()
    SpanFileExporter(ours).export(spans)
    FileSpanExporter(stream=theirs).export(spans)
    assert json.loads(theirs.getvalue()) == json.loads(ours.getvalue())


def test_a_span_that_is_over_is_written_like_any_other(tmp_path):
    """With its place, its times, attributes and links; not where the trace is not recorded."""
    telemetry = Telemetry(service="inference", version="1", settings=Settings(trace_dir=tmp_path))
    with telemetry.tracer.start_as_current_span("call") as call:
        links = [Link(call.get_span_context())]
        times = (1_795_246_556_000_000_001, 1_795_246_556_000_000_002)
        facts = {"names": ["a"], "score": 0.5}
        unsampled = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0))
        for parent in (call, NonRecordingSpan(unsampled)):
            write_span(
                telemetry.tracer,
                "phase",
                parent=parent,
                times_ns=times,
                attributes=facts,
                links=links,
            )
    telemetry.close()
    spans = TraceFiles(tmp_path).last().spans
    assert ["call", "phase"] == sorted(span.name for span in spans)
    [phase] = [span for span in spans if span.name == "phase"]
    [above] = [span for span in spans if span.name == "call"]
    assert (above.span_id, "inference", times) == (
        phase.parent_id,
        phase.service,
        (phase.start_ns, phase.end_ns),
    )
    assert (facts, (above.trace_id,)) == (phase.attributes, phase.shared_with)


def test_a_full_disk_stops_nobody():
    """What cannot be written is given up, and the process goes on."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    assert SpanExportResult.FAILURE is SpanFileExporter(Full()).export([_ended_span()])


def _ended_span():
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("vedette").start_span("one").end()
    return memory.get_finished_spans()[0]


def test_the_official_receiver_takes_what_is_sent(collector):
    """By OTLP over gRPC, with resource, attributes, events and links."""
    target, requests = collector
    trace_id = _record(Settings(trace_dir=None, otlp_endpoint=target))
    spans = [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {"outer", "inner"} == {span.name for span in spans}
    assert {trace_id} == {span.trace_id.hex() for span in spans}
    [inner] = [span for span in spans if span.name == "inner"]
    assert (4, 1, 1) == (len(inner.attributes), len(inner.events), len(inner.links))


@pytest.fixture
def collector():
    """The official receiver's side of OTLP over gRPC; its address, and what it took."""
    requests = []

    class Receiver(otlp_grpc.TraceServiceServicer):
        def Export(self, request, context):
            requests.append(request)
            return otlp.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    otlp_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", requests
    server.stop(0).wait()
