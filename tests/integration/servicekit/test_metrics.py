"""Metrics on their way out of a process: scraped, and sent by OTLP."""

from __future__ import annotations

import urllib.request
from concurrent import futures
from contextlib import closing

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as otlp
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as otlp_grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from pydantic_settings import SettingsConfigDict

from servicekit import instruments
from servicekit.interceptors import Around
from servicekit.metrics import OTHER, Bounded, Metrics, MetricsAddressError
from servicekit.settings import ServiceSettings

RESOURCE = Resource.create({"service.name": "test"})


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="VEDETTE_GUARDRAILS_")


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        return response.read().decode()


def test_metrics_are_scraped_with_their_unit(free_address):
    """Names, labels and bounds arrive as Prometheus writes them."""
    metrics = Metrics(resource=RESOURCE, settings=Settings(metrics_address=free_address))
    with closing(metrics):
        histogram = instruments.RPC_SERVER_DURATION.histogram(metrics.meter)
        histogram.record(0.003, {"rpc.method": "x/Y"})
        page = scrape(free_address)
    assert 'rpc_server_call_duration_seconds_bucket{le="0.005",rpc_method="x/Y"} 1.0' in page
    assert 'service_name="test"' in page


def test_a_taken_address_is_an_error(free_address):
    """Two processes cannot answer at one address."""
    settings = Settings(metrics_address=free_address)
    with (
        closing(Metrics(resource=RESOURCE, settings=settings)),
        pytest.raises(MetricsAddressError),
    ):
        Metrics(resource=RESOURCE, settings=settings)


def test_metrics_are_sent_to_a_collector(collector):
    """What is left is sent when the process ends."""
    target, requests = collector
    metrics = Metrics(resource=RESOURCE, settings=Settings(otlp_metrics_endpoint=target))
    instruments.WASTED_TOKENS.counter(metrics.meter).add(7)
    metrics.close()
    [sent] = [
        metric
        for request in requests
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    assert (sent.name, sent.sum.data_points[0].as_int) == (instruments.WASTED_TOKENS.name, 7)


def test_without_a_place_to_go_nothing_is_recorded():
    """The instruments are there, and do nothing."""
    metrics = Metrics(resource=RESOURCE, settings=Settings())
    instruments.WASTED_TOKENS.counter(metrics.meter).add(7)
    metrics.close()


def test_a_label_keeps_to_its_first_values():
    """What comes after the first few is one value."""
    bounded = Bounded(most=2)
    values = [bounded(value) for value in ("a", "b", "c", "a", "d")]
    assert ["a", "b", OTHER, "a", OTHER] == values


@pytest.mark.parametrize("instrument", instruments.CATALOGUE, ids=lambda one: one.name)
def test_every_metric_says_what_it_is(instrument):
    """A sentence, a unit, and a name that no other has."""
    assert instrument.says.endswith(".")
    assert instrument.unit
    assert [instrument] == [one for one in instruments.CATALOGUE if one.name == instrument.name]


async def test_calls_are_timed_by_method_status_and_reason(spans):
    """A refusal says why; what callers make up does not become a label."""
    reader = InMemoryMetricReader()
    around = Around(spans.tracer, meter=MeterProvider([reader]).get_meter("test"))
    server = grpc.aio.server(interceptors=[around])
    handlers = {"Ping": grpc.unary_unary_rpc_method_handler(_refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x.Y", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in ("Ping", "MadeUp"):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/x.Y/{method}")(b"")
    await server.stop(0)
    [point] = _points(reader, "rpc.server.call.duration")
    assert {
        "rpc.system.name": "grpc",
        "rpc.method": "x.Y/Ping",
        "rpc.response.status_code": "NOT_FOUND",
        "vedette.error.reason": "MODEL_NOT_FOUND",
    } == dict(point.attributes)
    assert [0] == [point.value for point in _points(reader, "vedette.rpc.active")]


async def _refuse(_request, _context):
    from servicekit.errors import NotFound

    raise NotFound("There is no such model.", reason="MODEL_NOT_FOUND")


def _points(reader, name):
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


@pytest.fixture
def free_address():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def collector():
    """The official receiver's side of OTLP over gRPC; its address, and what it took."""
    requests = []

    class Receiver(otlp_grpc.MetricsServiceServicer):
        def Export(self, request, context):
            requests.append(request)
            return otlp.ExportMetricsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    otlp_grpc.add_MetricsServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", requests
    server.stop(0).wait()
