"""A small web server for one person on one machine: the live page and its data."""

from __future__ import annotations

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vedette.pages import live_page
from vedette.scraping import Scraper
from vedette.services import SERVICES
from vedette.traces import AmbiguousIdError, TraceFiles, TraceNotFoundError
from vedette.traces.export import as_json, summary
from vedette.traces.live import LiveTraces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vedette.traces import Trace

__all__ = ["UiServer"]

_HOST: Final = "127.0.0.1"
_HEALTH_DEADLINE_S: Final = 0.5
_HEADERS: Final = {
    # Everything that the page needs is in it; nothing else may be loaded or called.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class UiServer(ThreadingHTTPServer):
    """Listens on loopback only, reads only, and answers only to its own name.

    Raises:
        OSError: the port is in use.
    """

    daemon_threads = True
    # With it, a second server could take the port of a running one unnoticed.
    allow_reuse_port = False

    def __init__(self, *, port: int, folder: Path, metrics: Sequence[str] | None = None) -> None:
        """Open the port; 0 picks a free one. `metrics` are other addresses than the usual ones."""
        self.files = TraceFiles(folder)
        self.live = LiveTraces(folder)
        self.summaries = _Summaries()
        self.health = _Health()
        self.scraper = Scraper(metrics)
        super().__init__((_HOST, port), _Handler)

    def server_close(self) -> None:
        """Close the port and the connections."""
        super().server_close()
        self.health.close()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_HOST}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: UiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the library's name
        """Answer the page, the list, or one trace."""
        if not self._is_meant_for_us():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "Not this host.")
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._send(HTTPStatus.OK, "text/html", live_page())
        elif path == "/api/traces":
            traces = self.server.summaries.of(self.server.live.latest())
            self._send_json({"traces": traces, "health": self.server.health.ask()})
        elif path == "/api/metrics":
            self._send_json({"figures": self.server.scraper.latest()})
        elif path.startswith("/api/traces/"):
            self._send_trace(unquote(path.removeprefix("/api/traces/")))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "There is no such page.")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Say nothing: the terminal belongs to the command."""

    def _send_trace(self, trace_id: str) -> None:
        try:
            self._send_json(as_json(self.server.files.get(trace_id)))
        except (TraceNotFoundError, AmbiguousIdError):
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "There is no such trace.")

    def _is_meant_for_us(self) -> bool:
        """Whether the browser was pointed here on purpose.

        A page elsewhere can make its own name lead to loopback; its requests carry that name.
        """
        port = self.server.server_port
        return self.headers.get("Host") in (f"{_HOST}:{port}", f"localhost:{port}")

    def _send_json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(value))

    def _send(self, status: HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Summaries:
    """The summary of each trace, made again only when the trace has grown."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Trace, dict[str, Any]]] = {}

    def of(self, traces: Sequence[Trace]) -> list[dict[str, Any]]:
        known = self._known
        self._known = {trace.trace_id: self._one(trace, known) for trace in traces}
        return [summary for _, summary in self._known.values()]

    @staticmethod
    def _one(
        trace: Trace, known: Mapping[str, tuple[Trace, dict[str, Any]]]
    ) -> tuple[Trace, dict[str, Any]]:
        before = known.get(trace.trace_id)
        return before if before and before[0] is trace else (trace, summary(trace))


class _Health:
    """How the services are, asked all at once over connections that stay open.

    With blocking calls: the server answers in threads, and gRPC wants one event loop a process.
    """

    def __init__(self) -> None:
        self._channels = {s: grpc.insecure_channel(s.address()) for s in SERVICES}

    def ask(self) -> dict[str, str]:
        calls = {
            service: health_pb2_grpc.HealthStub(channel).Check.future(
                health_pb2.HealthCheckRequest(service=service.grpc_name),
                timeout=_HEALTH_DEADLINE_S,
            )
            for service, channel in self._channels.items()
        }
        return {service.name: _status(call) for service, call in calls.items()}

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


def _status(call: Any) -> str:
    try:
        status = call.result().status
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code.name
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
