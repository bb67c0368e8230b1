"""`grpc.health.v1` over the wire, through the interceptor."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit import logs
from servicekit.health import Health
from servicekit.interceptors import Around

NAME = "vedette.gateway.v1.GatewayService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
async def health(spans):
    """Health on a real server behind the interceptor, with a stub to ask it."""
    health = Health([NAME], logs.get())
    server = grpc.aio.server(interceptors=[Around(spans.tracer)])
    health.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health.stub = health_pb2_grpc.HealthStub(channel)
        yield health
    await server.stop(0)


def _request(name=NAME):
    return health_pb2.HealthCheckRequest(service=name)


async def _check(health, name=NAME):
    return (await health.stub.Check(_request(name), timeout=5)).status


@pytest.mark.parametrize("name", ["", NAME], ids=["the process", "the service"])
async def test_check_answers_for_each_name(name, health):
    """The service and the process as a whole report the same."""
    before = await _check(health, name)
    health.publish()
    assert (before, await _check(health, name)) == (NOT_SERVING, SERVING)


async def test_check_of_an_unknown_service_is_not_found(health):
    """A name that is not served here has no status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _check(health, "no.such.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_list_names_everything(health):
    """List gives every name with its status."""
    health.publish()
    response = await health.stub.List(health_pb2.HealthListRequest(), timeout=5)
    assert {name: entry.status for name, entry in response.statuses.items()} == {
        "": SERVING,
        NAME: SERVING,
    }


async def test_watch_tells_each_change_once(health):
    """A watcher hears the status at once, then every change and nothing between."""
    model = health.component("model")
    watch = health.stub.Watch(_request(), timeout=60)
    seen = [(await watch.read()).status]
    health.publish()
    model.set(True)
    seen.append((await watch.read()).status)
    health.publish()
    await _check(health)  # gives the watcher time to hear of what was no change
    model.set(False)
    seen.append((await watch.read()).status)
    watch.cancel()
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_watch_of_an_unknown_service_stays_open(health):
    """A watcher of a name not served here is told so, and may wait."""
    watch = health.stub.Watch(_request("no.such.Service"), timeout=60)
    assert ((await watch.read()).status, watch.done()) == (SERVICE_UNKNOWN, False)
    watch.cancel()


async def test_watch_ends_when_the_process_drains(health):
    """The last word is NOT_SERVING, and the stream ends so that it holds up no shutdown."""
    health.publish()
    watch = health.stub.Watch(_request(), timeout=60)
    assert (await watch.read()).status == SERVING
    health.drain()
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK


async def test_many_watchers_are_told(health):
    """Every watcher hears of a change, and those who come after the end are let go as well."""
    watches = [health.stub.Watch(_request(), timeout=60) for _ in range(20)]
    assert {(await watch.read()).status for watch in watches} == {NOT_SERVING}
    health.publish()
    assert {(await watch.read()).status for watch in watches} == {SERVING}
    health.drain()
    late = health.stub.Watch(_request(), timeout=60)
    ends = await asyncio.gather(*(_drained(watch) for watch in [*watches, late]))
    assert ends == [[NOT_SERVING]] * 21


async def _drained(watch):
    statuses = []
    while (response := await watch.read()) is not grpc.aio.EOF:
        statuses.append(response.status)
    return statuses


async def test_probes_leave_no_spans(health, spans):
    """Health checks come every few seconds and would bury the traces of real calls."""
    await _check(health)
    watch = health.stub.Watch(_request(), timeout=60)
    await watch.read()
    watch.cancel()
    await health.stub.List(health_pb2.HealthListRequest(), timeout=5)
    assert spans.ended.empty()
