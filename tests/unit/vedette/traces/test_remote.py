"""Traces behind a query address, in the words of Jaeger and of Tempo."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from vedette.cli import app
from vedette.traces.remote import RemoteError, RemoteTraces
from vedette.traces.spans import Kind
from vedette.traces.store import TraceNotFoundError

A = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def serve():
    """Answers GET by path; returns the address. A path without answer is 404."""
    servers = []

    def start(answers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = answers.get(urlsplit(self.path).path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write((body or "").encode())

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def spans(whole_request):
    """A whole request whose ids are ids."""
    renamed = {}
    for number, span in enumerate(whole_request(A), start=1):
        renamed[span.span_id] = f"{number:016x}"
    return [
        type(span)(
            **{name: getattr(span, name) for name in span.__slots__}
            | {
                "span_id": renamed[span.span_id],
                "parent_id": renamed.get(span.parent_id, "00000000000000ff"),
            }
        )
        for span in whole_request(A)
    ]


def as_jaeger(spans):
    return json.dumps(
        {
            "data": [
                {
                    "traceID": A,
                    "spans": [
                        {
                            "traceID": A,
                            "spanID": span.span_id,
                            "operationName": span.name,
                            "references": [
                                {"refType": "CHILD_OF", "traceID": A, "spanID": span.parent_id}
                            ],
                            "startTime": span.start_ns // 1000,
                            "duration": span.duration_ns // 1000,
                            "processID": span.service,
                            "tags": [
                                {"key": "span.kind", "value": span.kind.name.lower()},
                                *({"key": k, "value": v} for k, v in span.attributes.items()),
                            ],
                            "logs": [
                                {
                                    "timestamp": event.time_ns // 1000,
                                    "fields": [{"key": "event", "value": event.name}],
                                }
                                for event in span.events
                            ],
                        }
                        for span in spans
                    ],
                    "processes": {s.service: {"serviceName": s.service} for s in spans},
                }
            ]
        }
    )


def as_tempo(spans, line_of):
    document = json.loads(line_of(spans))

    def shorten(identifier):
        return base64.b64encode(bytes.fromhex(identifier)).decode()

    for resource in document["resourceSpans"]:
        for span in resource["scopeSpans"][0]["spans"]:
            span["kind"] = "SPAN_KIND_" + Kind(span["kind"]).name
            for key in ("traceId", "spanId", "parentSpanId"):
                span[key] = shorten(span[key])
    return json.dumps({"batches": document["resourceSpans"]})


def test_jaeger_gives_the_same_trace_as_the_files(serve, spans, trace_of):
    """Ids, times, kinds, attributes and events survive its format."""
    answer = as_jaeger(spans)
    traces = RemoteTraces(serve({f"/api/traces/{A}": answer, "/api/traces": answer}))
    assert traces.get(A) == trace_of(spans)
    assert traces.last().is_whole


def test_tempo_gives_the_same_trace_as_the_files(serve, spans, trace_of, line_of):
    """Its ids are base64 and its enums are names; the trace is the same."""
    search = json.dumps({"traces": [{"traceID": A}]})
    url = serve({f"/api/traces/{A}": as_tempo(spans, line_of), "/api/search": search})
    assert RemoteTraces(url).get(A) == trace_of(spans)
    assert RemoteTraces(url).last().trace_id == A


@pytest.mark.parametrize(
    "answer", ['{"data": []}', '{"data": null}', '{"batches": []}', "{}", "[]", "null"]
)
def test_no_such_trace_is_not_found(serve, answer):
    """An empty answer of either kind is no trace."""
    with pytest.raises(TraceNotFoundError):
        RemoteTraces(serve({f"/api/traces/{A}": answer})).get(A)


def test_jaegers_lists_and_errors_are_read(serve):
    """A list is JSON in a string there, and an error is a tag."""
    span = {"traceID": A[16:], "spanID": "1", "operationName": "x", "startTime": 1, "duration": 2}
    span["tags"] = [{"key": "l", "value": '["a"]'}, {"key": "error", "value": True}]
    answer = json.dumps({"data": [{"spans": [span, {"broken": 1}], "processes": {}}]})
    trace = RemoteTraces(serve({f"/api/traces/{A}": answer})).get(A)
    assert (trace.has_error, trace.spans[0].attributes) == (True, {"l": ["a"]})


def test_a_server_that_is_no_such_server_is_an_error(serve):
    """Something else on that address is named as such."""
    with pytest.raises(RemoteError, match="cannot be read as traces"):
        RemoteTraces(serve({f"/api/traces/{A}": "<html>"})).get(A)
    with pytest.raises(RemoteError, match="status 404"):
        RemoteTraces(serve({})).recent()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:16686", "ftp://x"])
def test_only_web_addresses_are_asked(url):
    """An address of another kind is refused before anything is read."""
    with pytest.raises(ValueError, match="not an http or https address"):
        RemoteTraces(url)


def test_the_command_reads_from_a_server(serve, spans, free_port):
    """The verbs that read files read a server as well, and say if it is not there."""
    url = serve({f"/api/traces/{A}": as_jaeger(spans)})
    shown = CliRunner().invoke(app, ["trace", "show", A, "--from", url, "--json"])
    assert (shown.exit_code, json.loads(shown.stdout)["trace_id"]) == (0, A)
    gone = f"http://127.0.0.1:{free_port}"
    failed = CliRunner().invoke(app, ["trace", "ls", "--from", gone])
    assert (failed.exit_code, "cannot be reached" in failed.stderr) == (3, True)
    wrong = CliRunner().invoke(app, ["trace", "ls", "--from", "nowhere"])
    assert wrong.exit_code == 2
