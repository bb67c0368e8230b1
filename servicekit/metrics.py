"""Metrics leave the process through here: to whoever scrapes, to a collector, or to both.

Without a place to go nothing is recorded, and an instrument costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from prometheus_client import CollectorRegistry, start_http_server

from servicekit.tallies import TallyMeter

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource

    from servicekit.settings import ServiceSettings

__all__ = ["OTHER", "Bounded", "Metrics", "MetricsAddressError"]

OTHER: Final = "other"
_EXPORT_EVERY_MS = 15_000


class MetricsAddressError(Exception):
    """The address for scraping cannot be opened."""


class Metrics:
    """The metric pipeline of one process.

    Raises:
        MetricsAddressError: if the address for scraping cannot be opened.
    """

    def __init__(self, *, resource: Resource, settings: ServiceSettings) -> None:
        """Open what the settings name."""
        self._server: WSGIServer | None = None
        self._provider: MeterProvider | None = None
        self.meter: Meter = NoOpMeter("vedette")
        readers: list[MetricReader] = []
        if settings.metrics_address is not None:
            registry = CollectorRegistry()
            readers.append(PrometheusMetricReader(registry=registry, scope_info_enabled=False))
            self._server = _serve(settings.metrics_address, registry)
        if settings.otlp_metrics_endpoint is not None:
            exporter = OTLPMetricExporter(endpoint=settings.otlp_metrics_endpoint)
            readers.append(PeriodicExportingMetricReader(exporter, _EXPORT_EVERY_MS))
        if readers:
            self._provider = MeterProvider(readers, resource)
            meter = TallyMeter("vedette", resource)
            for reader in readers:
                # Instead of the provider's own instruments, of which there are none.
                reader._set_collect_callback(meter.collect)  # type: ignore[arg-type]  # noqa: SLF001
            self.meter = meter

    def close(self) -> None:
        """Stop answering, and send what is left; blocks until it is sent or given up."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._provider is not None:
            self._provider.shutdown()


def _serve(address: str, registry: CollectorRegistry) -> WSGIServer:
    host, _, port = address.rpartition(":")
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as error:
        raise MetricsAddressError from error
    return server


class Bounded:
    """The values of a label, of which there must not be too many: the first few, then `other`.

    For names that callers choose, or that grow with the number of customers.
    """

    def __init__(self, most: int = 100) -> None:
        """Let this many values through."""
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or `other`."""
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value
