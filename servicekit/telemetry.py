"""Spans and metrics leave the process through here: to files, to a collector, or to both."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    Tracer,
)

from servicekit.batches import Batches
from servicekit.metrics import Metrics
from servicekit.recording import Recorder
from servicekit.spanfiles import SpanFileExporter
from servicekit.tracefiles import TraceFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from servicekit.settings import ServiceSettings

__all__ = ["RelayTracer", "Telemetry"]

# Short, so that `vedette trace` finds a request a moment after it ended.
_EXPORT_EVERY_S = 0.2


class Telemetry:
    """The span and metric pipelines of one process.

    Raises:
        OSError: if the folder for span files cannot be written.
        MetricsAddressError: if the address for metrics cannot be opened.
    """

    def __init__(self, *, service: str, version: str, settings: ServiceSettings) -> None:
        """Open the exporters that the settings name; none named, spans still carry context."""
        resource = Resource.create({"service.name": service, "service.version": version})
        self._provider = TracerProvider(resource=resource)
        exporters = _exporters(service, settings)
        for exporter in exporters:
            self._provider.add_span_processor(Batches(exporter, every_s=_EXPORT_EVERY_S))
        self.tracer: Tracer = Recorder(self._provider) if exporters else RelayTracer()
        self._metrics = Metrics(resource=resource, settings=settings)
        self.meter: Meter = self._metrics.meter

    def close(self) -> None:
        """Export what is left; blocks until it is written or given up."""
        self._provider.shutdown()
        self._metrics.close()


class RelayTracer(Tracer):
    """A tracer that records nothing and passes the caller's context on.

    For a process that exports no spans: what it calls hangs below its caller's span, not below one
    that nobody will ever see. A call that brings no context begins a trace.
    """

    def __init__(self) -> None:
        """Record nothing."""
        self._ids = RandomIdGenerator()

    def start_span(self, name: str, context: Context | None = None, *_: Any, **__: Any) -> Span:  # noqa: ARG002 - nothing is recorded
        """A span that stands for its parent."""
        parent = trace.get_current_span(context)
        above = parent.get_span_context()
        if not above.is_valid:
            return NonRecordingSpan(self._root())
        return parent if isinstance(parent, NonRecordingSpan) else NonRecordingSpan(above)

    @contextmanager
    def start_as_current_span(  # type: ignore[override]
        self, name: str, context: Context | None = None, *_: Any, **__: Any
    ) -> Iterator[Span]:
        """As the API's, for use around awaits and never around a yield."""
        span = self.start_span(name, context)
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield span

    def _root(self) -> SpanContext:
        return SpanContext(
            self._ids.generate_trace_id(),
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )


def _exporters(service: str, settings: ServiceSettings) -> list[SpanExporter]:
    exporters: list[SpanExporter] = []
    if settings.trace_dir is not None:
        files = TraceFiles(
            settings.trace_dir, service=service, max_bytes=settings.trace_dir_max_bytes
        )
        exporters.append(SpanFileExporter(cast("IO[str]", files)))
    if settings.otlp_endpoint is not None:
        exporters.append(OTLPSpanExporter(endpoint=settings.otlp_endpoint))
    return exporters
