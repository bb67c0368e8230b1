"""`vedette up` as a process, over small stand-ins for the services."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

SERVICE = """
import asyncio, json, os, signal, sys
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

NAME, GRPC_NAME, STUBBORN = "{name}", "{grpc_name}", {stubborn}

class Health(health_pb2_grpc.HealthServicer):
    async def Watch(self, request, context):
        status = "SERVING" if request.service == GRPC_NAME else "SERVICE_UNKNOWN"
        yield health_pb2.HealthCheckResponse(
            status=health_pb2.HealthCheckResponse.ServingStatus.Value(status)
        )
        await asyncio.sleep(600)

async def main():
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    prefix = "VEDETTE_" + NAME.upper()
    server.add_insecure_port(f"127.0.0.1:{{os.environ[prefix + '_PORT']}}")
    await server.start()
    known = {{k: v for k, v in os.environ.items() if k.startswith("VEDETTE_GATEWAY")}}
    print(json.dumps({{"event": "hello", **known}}), flush=True)
    stop = asyncio.Event()
    on_term = (lambda: None) if STUBBORN else stop.set
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, on_term)
    await stop.wait()
    await server.stop(0)

asyncio.run(main())
"""

FAILING = "print('cannot listen'); raise SystemExit(1)"

GRPC_NAMES = {
    "guardrails": "vedette.guardrails.v1.GuardrailsService",
    "inference": "vedette.inference.v1.InferenceService",
    "gateway": "vedette.gateway.v1.GatewayService",
}


@pytest.fixture
def up(tmp_path):
    """Starts the command with stand-ins; `up(gateway="failing")` changes one."""
    with ExitStack() as cleanup:

        def start(**habits):
            for name, grpc_name in GRPC_NAMES.items():
                habit = habits.get(name)
                script = SERVICE.format(
                    name=name, grpc_name=grpc_name, stubborn=habit == "stubborn"
                )
                package = tmp_path / name
                package.mkdir()
                (package / "__init__.py").touch()
                (package / "__main__.py").write_text(FAILING if habit == "failing" else script)
            process = subprocess.Popen(
                [sys.executable, "-m", "vedette", "up"],
                env={**os.environ, **ports(), "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                bufsize=1,
            )
            cleanup.callback(process.communicate)
            cleanup.callback(process.kill)
            return process

        yield start


def ports():
    with ExitStack() as held:
        found = {}
        for name in GRPC_NAMES:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found[f"VEDETTE_{name.upper()}_PORT"] = str(probe.getsockname()[1])
        return found


def read_until(process, words):
    """What the command prints up to a line with these words; a hang is the suite's timeout."""
    said = ""
    while words not in said:
        line = process.stdout.readline()
        assert line, f"{words!r} was not said; this was:\n{said}"
        said += line
    return said


def test_it_starts_all_three_and_stops_them_at_a_signal(up):
    """In order, wired to each other, and after Ctrl-C nothing is left."""
    process = up()
    said = read_until(process, "Vedette answers at")
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    order = [said.index(f"{name} is ready") for name in GRPC_NAMES]
    assert (order, len(children), process.returncode) == (sorted(order), 3, 0)
    assert "VEDETTE_GATEWAY_GUARDRAILS_TARGET=127.0.0.1:" in said
    assert [rest.index(f"stopping {name}") for name in reversed(GRPC_NAMES)] == sorted(
        rest.index(f"stopping {name}") for name in GRPC_NAMES
    )
    assert not any(child.is_running() for child in children)


def test_a_service_that_fails_ends_it_with_its_words(up):
    """The failure names the service, shows what it said, and the exit code is 1."""
    process = up(inference="failing")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: inference ended with exit code 1" in said
    assert "inference  | cannot listen" in said
    assert "stopping guardrails" in said


def test_wrong_settings_are_all_shown_before_anything_starts():
    """Whichever services they belong to, in one message, and the exit code is 2."""
    wrong = {
        "VEDETTE_INFERENCE_THREADS": "-1",
        "VEDETTE_GATEWAY_QUEUE_TARGET_S": "0",
        "VEDETTE_GATEWAY_POLICIES": "default,strict",
    }
    done = subprocess.run(
        [sys.executable, "-m", "vedette", "up"],
        env={**os.environ, **ports(), **wrong},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (
        2,
        "",
        [
            "error: 3 wrong settings; nothing was started.",
            "  - VEDETTE_INFERENCE_THREADS: Input should be greater than or equal to 0",
            "  - VEDETTE_GATEWAY_QUEUE_TARGET_S: Input should be greater than 0",
            '  - VEDETTE_GATEWAY_POLICIES: write a JSON list, for example ["one", "two"]',
        ],
    )


def test_a_service_that_dies_stops_the_group(up):
    """All of them, or none."""
    process = up()
    read_until(process, "Vedette answers at")
    children = psutil.Process(process.pid).children()
    children[0].kill()
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, "error: guardrails was killed by SIGKILL" in said) == (1, True)
    assert not any(child.is_running() for child in children)


def test_a_second_signal_does_not_wait(up):
    """Who asks twice leaves at once, and still leaves nothing behind."""
    process = up(gateway="stubborn")
    read_until(process, "Vedette answers at")
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    read_until(process, "stopping gateway")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    psutil.wait_procs(children, timeout=5)
    assert process.returncode == 128 + signal.SIGINT
    assert not any(child.is_running() for child in children)
