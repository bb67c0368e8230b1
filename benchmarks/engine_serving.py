"""Streams through the bare engine, the inference RPC and the whole stack, in one run.

    scripts/bench engine_serving [--streams 1,8,32] [--new-tokens 128] [--rounds 3] [--json FILE]
    scripts/bench engine_serving --long-prompt

The four ways are `engine` (no thread, no network), `rpc` (inference alone), `rules` (gateway,
guardrails with every rule and no model, inference) and `default` (the same under the default
policy, whose guard model reads the prompt). They take turns, with prompts that nothing has in a
cache, and answers of a fixed length, so that a ratio compares the same work at about the same
moment. The caller runs on the same machine, and takes its share of it.

`--long-prompt` instead lets a prompt of 2,000 tokens arrive among 16 running streams of the RPC.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

from benchmarks.figures import quantile
from benchmarks.texts import prose
from vedette.gateway.v1 import gateway_pb2
from vedette.inference.v1 import inference_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAYS, STREAMS = ["engine", "rpc", "rules", "default"], [1, 8, 32]
PROMPT_CHARS, LONG_CHARS = 230, 8_600  # about 50 and 2,000 tokens
NEIGHBOURS, LONG_TRIALS = 16, 3
_GATEWAY = "vedette.gateway.v1.GatewayService"
_MODEL = "vedette.inference.v1.InferenceService"
_GUARD = "vedette.guardrails.v1.GuardrailsService"
# The default policy without what asks the guard model.
_RULES = """\
version: 1
description: Every rule of the default policy, and no model.
input:
  detectors:
    injection: {action: block, roles: [user, assistant, tool, document]}
    pii: {action: mask, categories: {PERSON: allow, STREET_ADDRESS: allow, COORDINATES: allow}}
    secrets: {action: mask}
output:
  detectors:
    leak: {action: mask}
    moderation: {action: block}
    pii: {action: mask, categories: {PERSON: allow, STREET_ADDRESS: allow, COORDINATES: allow}}
    secrets: {action: mask}
"""


@dataclass(frozen=True)
class Stream:
    """When one stream was asked for and when its pieces came, in seconds on one clock."""

    asked_s: float
    pieces_s: list[float]
    tokens: int

    @property
    def first_s(self) -> float:
        """Time to the first piece."""
        return self.pieces_s[0] - self.asked_s

    @property
    def gaps_s(self) -> list[float]:
        """Times between pieces."""
        return [b - a for a, b in zip(self.pieces_s, self.pieces_s[1:], strict=False)]


class Way(Protocol):
    """A way to the model."""

    async def ask(self, prompts: list[str], new_tokens: int) -> list[Stream]:
        """Stream answers of so many tokens to all prompts at the same time."""

    def processes(self) -> dict[str, psutil.Process]:
        """The processes on the way."""


@dataclass
class Called:
    """A service that streams answers."""

    target: str
    service: str
    pids: dict[str, int]

    async def ask(self, prompts: list[str], new_tokens: int) -> list[Stream]:
        """Over one channel; messages are not decoded, save the last, so the caller costs little."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            await channel.channel_ready()
            return await asyncio.gather(*(self.one(channel, p, new_tokens) for p in prompts))

    async def one(self, channel: grpc.aio.Channel, prompt: str, new_tokens: int) -> Stream:
        """One stream."""
        pb: Any = gateway_pb2 if self.service == _GATEWAY else inference_pb2
        request = pb.StreamGenerateRequest(
            messages=[pb.Message(role=pb.ROLE_USER, text=prompt)],
            sampling=pb.Sampling(max_new_tokens=new_tokens, min_new_tokens=new_tokens),
        ).SerializeToString()
        call: Any = channel.unary_stream(f"/{self.service}/StreamGenerate")
        asked_s, moments_s, events = time.perf_counter(), [], []
        async for event in call(request, timeout=120):
            moments_s.append(time.perf_counter())
            events.append(event)
        final = pb.StreamGenerateResponse.FromString(events[-1]).final
        # The first message is `started`; the last is `final`, which comes with the last text.
        return Stream(asked_s, moments_s[1:], final.usage.output_tokens)

    def processes(self) -> dict[str, psutil.Process]:
        """The services on the way, and this process, which calls."""
        return {name: psutil.Process(pid) for name, pid in self.pids.items()} | {
            "caller": psutil.Process()
        }


class Bare:
    """The engine in a process of its own, driven without thread or network."""

    def __init__(self) -> None:
        """Start the process; the first answer takes as long as the model needs to load."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine_serving", "bare"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    async def ask(self, prompts: list[str], new_tokens: int) -> list[Stream]:
        """Let the process do it."""
        answer = await asyncio.to_thread(self._ask, {"prompts": prompts, "new_tokens": new_tokens})
        return [Stream(**stream) for stream in answer]

    def _ask(self, task: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("["):
                return json.loads(line)
        raise SystemExit("the bare engine ended")

    def processes(self) -> dict[str, psutil.Process]:
        """The one process."""
        return {"engine": psutil.Process(self._process.pid)}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def bare() -> None:
    """What that process does: answer tasks until standard input ends."""
    os.environ.setdefault("GOMP_SPINCOUNT", "0")  # as the service has it; torch reads it once
    from inference.app import build_engine, load_model  # noqa: PLC0415
    from inference.engine.request import Request, Sampling  # noqa: PLC0415
    from inference.models.chat import ChatMessage, Role  # noqa: PLC0415
    from inference.settings import InferenceSettings  # noqa: PLC0415

    settings = InferenceSettings()
    model = load_model(settings.models[0], settings)
    engine = build_engine(model, settings)
    for line in sys.stdin:
        task = json.loads(line)
        sampling = Sampling(max_new_tokens=task["new_tokens"], min_new_tokens=task["new_tokens"])
        asked_s = time.perf_counter()
        streams: list[Any] = [
            {"asked_s": asked_s, "pieces_s": [], "tokens": 0} for _ in task["prompts"]
        ]
        for number, text in enumerate(task["prompts"]):
            prompt = model.tokenizer.encode([ChatMessage(Role.USER, text)], context_length=8192)
            engine.add(Request(id=number, prompt=prompt, sampling=sampling))
        while engine.has_work:
            outputs = engine.step()
            now_s = time.perf_counter()
            for output in outputs:
                streams[output.request_id]["pieces_s"].append(now_s)
                streams[output.request_id]["tokens"] += output.new_tokens
        print(json.dumps(streams), flush=True)


class Services:
    """Our services as processes, on Unix sockets in one folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet."""
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def target(self, name: str) -> str:
        """Where this one listens."""
        return f"unix:{self._folder / name}.sock"

    def start(self, name: str, kind: str, **settings: str) -> None:
        """Start one, as it is by default but for these settings."""
        prefix = f"VEDETTE_{kind.upper()}_"
        own = {"SOCKET": str(self._folder / f"{name}.sock"), "TRACE_DIR": str(self._folder / name)}
        environment = {prefix + key: value for key, value in (own | settings).items()}
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", kind], env=os.environ | environment, stdout=log, stderr=log
            )

    async def serving(self, name: str, service: str) -> None:
        """Wait until it says that it is well."""
        request = health_pb2.HealthCheckRequest(service=service)
        async with grpc.aio.insecure_channel(self.target(name)) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                request, wait_for_ready=True, timeout=120
            )
            async for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return

    def called(self, name: str, service: str, *others: str) -> Called:
        """A way through this service, and through those behind it."""
        pids = {each: self.processes[each].pid for each in (name, *others)}
        return Called(self.target(name), service, pids)

    def stop(self) -> None:
        """End them all."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            process.wait(60)


@asynccontextmanager
async def running(names: list[str]) -> AsyncIterator[dict[str, Way]]:
    """These ways to the model; those through services share one inference process."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vedette-")))
        services = Services(folder)
        stack.callback(services.stop)
        (folder / "policies").mkdir()
        (folder / "policies" / "default.yaml").write_text(_RULES)
        ways: dict[str, Way] = {}
        if "engine" in names:
            ways["engine"] = engine = Bare()
            stack.callback(engine.close)
        if set(names) - {"engine"}:
            services.start("inference", "inference")
            await services.serving("inference", _MODEL)
        if "rpc" in names:
            ways["rpc"] = services.called("inference", _MODEL)
        for name in {"rules", "default"} & set(names):
            guard = f"{name}-guard"
            policies = {"POLICIES_DIR": str(folder / "policies")} if name == "rules" else {}
            services.start(guard, "guardrails", **policies)
            targets = {
                "GUARDRAILS_TARGET": services.target(guard),
                "INFERENCE_TARGET": services.target("inference"),
            }
            services.start(name, "gateway", **targets)
            await services.serving(guard, _GUARD)
            await services.serving(name, _GATEWAY)
            ways[name] = services.called(name, _GATEWAY, guard, "inference")
        yield {name: ways[name] for name in names}


@dataclass
class Point:
    """What was measured of one way with so many streams."""

    rates: list[float] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    cpu_s: Counter[str] = field(default_factory=Counter)

    async def measure(self, way: Way, prompts: list[str], new_tokens: int) -> None:
        """One round: from the first request to the last token."""
        before_s = _cpu_s(way)
        streams = await way.ask(prompts, new_tokens)
        self.cpu_s.update({n: s - before_s[n] for n, s in _cpu_s(way).items()})
        took_s = max(s.pieces_s[-1] for s in streams) - min(s.asked_s for s in streams)
        self.rates.append(sum(s.tokens for s in streams) / took_s)
        self.streams += streams

    def summary(self) -> dict[str, float]:
        """Tokens per second, and quantiles in milliseconds."""
        first_s = [stream.first_s for stream in self.streams]
        gaps_s = [gap_s for stream in self.streams for gap_s in stream.gaps_s]
        pieces = sum(len(stream.pieces_s) for stream in self.streams)
        tokens = sum(stream.tokens for stream in self.streams)
        return {
            "tokens_per_s": statistics.median(self.rates),
            "least": min(self.rates),
            "most": max(self.rates),
            "tokens_per_piece": tokens / pieces,
            **{f"cpu_ms_per_token {n}": s / tokens * 1e3 for n, s in self.cpu_s.items()},
            **{f"ttft_p{share}_ms": quantile(first_s, share / 100) * 1e3 for share in (50, 95, 99)},
            **{f"itl_p{share}_ms": quantile(gaps_s, share / 100) * 1e3 for share in (50, 95, 99)},
        }


def _cpu_s(way: Way) -> dict[str, float]:
    """Processor time of each process so far."""
    times = {name: process.cpu_times() for name, process in way.processes().items()}
    return {name: spent.user + spent.system for name, spent in times.items()}


async def compare(
    *, ways: list[str], streams: list[int], rounds: int, new_tokens: int
) -> dict[str, Any]:
    """Let the ways take turns."""
    points = {name: {n: Point() for n in streams} for name in ways}
    async with running(ways) as opened:
        for way in opened.values():
            await way.ask([prompt(PROMPT_CHARS) for _ in range(8)], 8)
        for _ in range(rounds):
            for count in streams:
                for name, way in opened.items():
                    prompts = [prompt(PROMPT_CHARS) for _ in range(count)]
                    await points[name][count].measure(way, prompts, new_tokens)
        memory = {
            name: {n: p.memory_info().rss >> 20 for n, p in way.processes().items()}
            for name, way in opened.items()
        }
    first = ways[0]
    return {
        "ways": {
            name: {str(n): point.summary() for n, point in of_way.items()}
            for name, of_way in points.items()
        },
        "ratios": {
            name: {
                str(n): statistics.median(
                    rate / base
                    for rate, base in zip(point.rates, points[first][n].rates, strict=True)
                )
                for n, point in of_way.items()
            }
            for name, of_way in points.items()
        },
        "resident_mib": memory,
    }


_numbers = iter(range(1_000_000))


def prompt(chars: int) -> str:
    """A prompt that begins unlike any other, so that no cache has it."""
    number = next(_numbers)
    return f"{number * 7919} notes. {prose(chars, seed=number)} Go on with this text."


async def interrupt(options: argparse.Namespace) -> dict[str, Any]:
    """Gaps of running streams before a long prompt comes, and while it is being computed."""
    before_s: list[float] = []
    during_s: list[float] = []
    first_s: list[float] = []
    async with running(["rpc"]) as ways:
        way = ways["rpc"]
        await way.ask([prompt(LONG_CHARS)], 8)
        for _ in range(LONG_TRIALS):
            prompts = [prompt(PROMPT_CHARS) for _ in range(NEIGHBOURS)]
            asked = asyncio.create_task(way.ask(prompts, options.neighbour_tokens))
            await asyncio.sleep(options.settle_s)
            (long,) = await way.ask([prompt(LONG_CHARS)], 1)
            first_s.append(long.first_s)
            for stream in await asked:
                for begin_s, end_s in zip(stream.pieces_s, stream.pieces_s[1:], strict=False):
                    if end_s < long.asked_s and begin_s > long.asked_s - options.settle_s / 2:
                        before_s.append(end_s - begin_s)
                    elif end_s >= long.asked_s and begin_s <= long.pieces_s[0]:
                        during_s.append(end_s - begin_s)
    quantiles = {
        name: {f"p{share}_ms": quantile(gaps_s, share / 100) * 1e3 for share in (50, 95, 99)}
        for name, gaps_s in (("before", before_s), ("during", during_s))
    }
    return {
        **quantiles,
        "p99_ratio": quantiles["during"]["p99_ms"] / quantiles["before"]["p99_ms"],
        "long_ttft_ms": statistics.median(first_s) * 1e3,
        "gaps": [len(before_s), len(during_s)],
    }


def report(measured: dict[str, Any]) -> None:
    """A table a number of streams."""
    for streams in next(iter(measured["ways"].values())):
        table = Table(title=f"SmolLM2-135M-Instruct, greedy, {streams} streams")
        for column in ("way", "tokens/s", "least-most", "of engine", "tokens/piece"):
            table.add_column(column, justify="right")
        table.add_column("TTFT p50/95/99 ms", justify="right")
        table.add_column("ITL p50/95/99 ms", justify="right")
        for name, points in measured["ways"].items():
            point = points[streams]
            table.add_row(
                name,
                f"{point['tokens_per_s']:,.0f}",
                f"{point['least']:,.0f}-{point['most']:,.0f}",
                f"{measured['ratios'][name][streams]:.2f}",
                f"{point['tokens_per_piece']:.2f}",
                *(
                    " / ".join(f"{point[f'{kind}_p{share}_ms']:,.0f}" for share in (50, 95, 99))
                    for kind in ("ttft", "itl")
                ),
            )
        Console(width=120).print(table)
    for name, points in measured["ways"].items():
        costs = {
            key.removeprefix("cpu_ms_per_token "): round(figure, 2)
            for key, figure in points[streams].items()
            if key.startswith("cpu_ms")
        }
        memory = measured["resident_mib"][name]
        print(f"{name}: resident MiB {memory}, processor ms/token at {streams} {costs}")


def main() -> int:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="scripts/bench engine_serving", description=__doc__)
    parser.add_argument("--streams", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--ways", type=lambda text: text.split(","))
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long-prompt", action="store_true", help="measure that alone")
    parser.add_argument("--neighbour-tokens", type=int, default=320)
    parser.add_argument("--settle-s", type=float, default=4.0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.set_defaults(streams=STREAMS, ways=WAYS)
    options = parser.parse_args()
    if options.long_prompt:
        measured = asyncio.run(interrupt(options))
        Console().print(measured)
    else:
        measured = asyncio.run(
            compare(
                ways=options.ways,
                streams=options.streams,
                rounds=options.rounds,
                new_tokens=options.new_tokens,
            )
        )
        report(measured)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["bare"]:
        bare()
    else:
        sys.exit(main())
