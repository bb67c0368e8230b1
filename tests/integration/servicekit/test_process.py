"""The life of a service, shown with real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from vedette.guardrails.v1 import guardrails_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2_grpc as stubs

NAME = "vedette.guardrails.v1.GuardrailsService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Service:
    """A running process, its log, and stubs to call it."""

    def __init__(self, process, channel):
        self.process = process
        self.guard = stubs.GuardrailsServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)
        self.reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        self.lines = []

    async def until(self, event):
        """Read the log up to this event, and return its line."""
        while not self.lines or self.lines[-1]["event"] != event:
            line = await asyncio.wait_for(self.process.stderr.readline(), 20)
            assert line, f"the process ended without {event}: {self.lines}"
            self._keep(line)
        return self.lines[-1]

    def watch(self):
        return self.health.Watch(health_pb2.HealthCheckRequest(service=NAME), timeout=20)

    async def exit_code(self):
        """Wait for the end; what was left in the log is read."""
        _, rest = await asyncio.wait_for(self.process.communicate(), 20)
        for line in rest.splitlines():
            self._keep(line)
        return self.process.returncode

    def _keep(self, line):
        # The C library under grpc says a few things in its own format.
        if line.startswith(b"{"):
            self.lines.append(json.loads(line))

    def events(self):
        return [line["event"] for line in self.lines]

    def codes(self):
        """How the calls ended, by the canonical lines."""
        return [line["code"] for line in self.lines if line["event"] == "rpc.completed"]


@pytest.fixture
def run(tmp_path):
    """Start the test service with these settings on a socket of its own."""

    @asynccontextmanager
    async def running(*, start="", **settings):
        path = tmp_path / "service.sock"
        chosen = {"SOCKET": path, "TRACE_DIR": tmp_path / "traces"} | settings
        variables = {f"VEDETTE_GUARDRAILS_{key}": str(value) for key, value in chosen.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            Path(__file__).with_name("app.py"),
            env={"PATH": os.environ["PATH"], "TEST_START": start} | variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
                yield Service(process, channel)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    return running


async def _say(call, text):
    await call.write(pb.StreamCheckTextRequest(text=text))
    return (await call.read()).release.text


async def test_it_starts_serves_and_stops(run):
    """Ready when the log says so, gone with exit code 0 when it is told to."""
    async with run() as service:
        await service.until("process.ready")
        status = await service.health.Check(health_pb2.HealthCheckRequest(service=NAME), timeout=5)
        await service.guard.ListPolicies(pb.ListPoliciesRequest(), timeout=5)
        service.process.terminate()
        code = await service.exit_code()
    assert (status.status, code) == (SERVING, 0)
    assert service.events()[-3:] == ["process.draining", "app.closed", "process.stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
async def test_both_signals_stop_it(number, run):
    """A supervisor's signal and Ctrl-C do the same."""
    async with run() as service:
        await service.until("process.ready")
        service.process.send_signal(number)
        assert await service.exit_code() == 0


async def test_not_serving_is_told_before_calls_are_refused(run):
    """Between NOT_SERVING and the first refusal new calls are still answered."""
    async with run(DRAIN_NOTICE_S=1) as service:
        await service.until("process.ready")
        watch = service.watch()
        assert (await watch.read()).status == SERVING
        service.process.terminate()
        assert (await watch.read()).status == NOT_SERVING
        await service.guard.ListPolicies(pb.ListPoliciesRequest(), timeout=5)
        assert await service.exit_code() == 0


async def test_a_running_stream_finishes_within_the_grace(run):
    """While it drains, new calls are refused and the stream that runs goes on to its end."""
    async with run(DRAIN_S=20) as service:
        await service.until("process.ready")
        call = service.guard.StreamCheckText(timeout=20)
        said = [await _say(call, "one")]
        service.process.terminate()
        await service.until("process.draining")
        await _refusal(service)
        said.append(await _say(call, "two"))
        await call.done_writing()
        assert (await call.read()).WhichOneof("event") == "final"
        ended = await call.code()
        assert await service.exit_code() == 0
    assert (said, ended) == (["one", "two"], grpc.StatusCode.OK)
    assert service.codes()[-1] == "OK"


async def _refusal(service):
    """Call until the draining server refuses.

    The code is UNAVAILABLE, and CANCELLED for a call that arrives in the very moment of closing.
    """
    async with asyncio.timeout(60):
        code = grpc.StatusCode.OK
        while code in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):
            call = service.guard.ListPolicies(pb.ListPoliciesRequest(), timeout=5)
            code = await call.code()
        assert code is grpc.StatusCode.UNAVAILABLE


async def test_beyond_the_grace_a_stream_is_cancelled(run):
    """A stream that does not end is told so, its servicer is stopped, and the process leaves."""
    async with run(DRAIN_S=0.2) as service:
        await service.until("process.ready")
        call = service.guard.StreamCheckText(timeout=20)
        await _say(call, "one")
        service.process.terminate()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert await service.exit_code() == 0
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert service.codes() == ["CANCELLED"]


async def test_a_second_signal_leaves_at_once(run):
    """Whatever still runs, the second signal is obeyed, and the exit code names it."""
    async with run(DRAIN_S=3600) as service:
        await service.until("process.ready")
        call = service.guard.StreamCheckText(timeout=20)
        await _say(call, "one")
        service.process.terminate()
        await service.until("process.draining")
        service.process.terminate()
        assert await service.exit_code() == 128 + signal.SIGTERM
        call.cancel()


async def test_a_watcher_does_not_hold_up_the_drain(run):
    """A balancer that watches health for ever is let go at once."""
    async with run(DRAIN_S=3600) as service:
        await service.until("process.ready")
        watch = service.watch()
        await watch.read()
        service.process.terminate()
        assert await service.exit_code() == 0


async def test_a_signal_during_the_start_gives_up_on_it(run):
    """A process that hangs while it loads can be stopped politely, and never claimed to serve."""
    async with run(start="hang") as service:
        await service.until("process.listening")
        status = await service.health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        service.process.terminate()
        assert (status.status, await service.exit_code()) == (NOT_SERVING, 0)
    assert "process.ready" not in service.events()


async def test_a_start_that_fails_says_why(run):
    """The reason and the remedy are in the log, and the exit code is 1."""
    async with run(start="fail") as service:
        line = await service.until("process.refused")
        assert await service.exit_code() == 1
    assert line["problem"] == "the model file is missing; fetch it"


async def test_an_occupied_port_fails_loudly(run):
    """A second process on one port says so and leaves; it does not take half the connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with run(SOCKET="none", PORT=port) as service:
            line = await service.until("process.refused")
            assert await service.exit_code() == 1
    assert f"cannot listen on 127.0.0.1:{port}" in line["problem"]
    assert "VEDETTE_GUARDRAILS_PORT" in line["problem"]


async def test_two_processes_cannot_share_a_port(run):
    """The same holds when the other process is one of ours, which would accept to share."""
    async with run(SOCKET="none", PORT=0) as first:
        port = (await first.until("process.ready"))["port"]
        async with run(SOCKET="none", PORT=port) as second:
            await second.until("process.refused")
            assert await second.exit_code() == 1


async def test_wrong_settings_are_listed(run):
    """Every mistake is in one message on standard error, with exit code 2."""
    async with run(PORT="high", DRAIN_S="-1", COLOUR="blue") as service:
        _, printed = await asyncio.wait_for(service.process.communicate(), 20)
        code = service.process.returncode
    lines = printed.decode().splitlines()
    assert (code, lines[0]) == (2, "3 wrong settings:")
    assert sorted(line.split(":")[0].strip(" -") for line in lines[1:]) == [
        "VEDETTE_GUARDRAILS_COLOUR",
        "VEDETTE_GUARDRAILS_DRAIN_S",
        "VEDETTE_GUARDRAILS_PORT",
    ]


async def test_span_files_that_cannot_be_written_stop_the_start(run, tmp_path):
    """Tracing that would silently be lost is a reason not to start."""
    (tmp_path / "file").write_text("")
    async with run(TRACE_DIR=tmp_path / "file" / "traces") as service:
        line = await service.until("process.refused")
        assert await service.exit_code() == 1
    assert "VEDETTE_GUARDRAILS_TRACE_DIR" in line["problem"]


async def test_the_last_spans_are_written(run, tmp_path):
    """A call that ended just before the stop is in the trace files, as official OTLP-JSON."""
    async with run() as service:
        await service.until("process.ready")
        await service.guard.ListPolicies(pb.ListPoliciesRequest(), timeout=5)
        service.process.terminate()
        assert await service.exit_code() == 0
    documents = [
        json.loads(line)
        for path in (tmp_path / "traces").glob("guardrails-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    spans = [
        span["name"]
        for document in documents
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert spans == [f"{NAME}/ListPolicies"]


async def test_reflection_names_the_services(run):
    """A stranger's client can ask what is served here."""
    async with run() as service:
        await service.until("process.ready")
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        call = service.reflection.ServerReflectionInfo(iter([ask]), timeout=5)
        answer = await call.read()
        call.cancel()
    assert {entry.name for entry in answer.list_services_response.service} == {
        NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_a_message_beyond_the_limit_is_refused(run):
    """The transport refuses what is larger than the setting, and the next call works."""
    async with run(MAX_MESSAGE_BYTES=2048) as service:
        await service.until("process.ready")
        call = service.guard.StreamCheckText(timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _say(call, "x" * 4096)
        await service.guard.ListPolicies(pb.ListPoliciesRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
