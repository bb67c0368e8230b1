"""What the gateway adds to a call of the model, beside the least that any gateway could add.

    scripts/bench gateway [--levels 1,4,16,64] [--seconds 2] [--json FILE] [--peers]

`direct` calls the model; `floor` is a bare grpc.aio program that makes the calls a guarded answer
takes and nothing else; `vedette` is the gateway. All three stand before the same two servers,
which answer at once (`--guard rules` puts the real guardrails behind the gateway instead). Two
processes make the load. The three take turns, so that a ratio compares the same moments of the
machine. `--peers` adds LiteLLM's proxy before an upstream as weightless as the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from benchmarks import litellm_peer
from benchmarks.figures import quantile, unary_summary
from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS = 3
_GATEWAY = "vedette.gateway.v1.GatewayService"
_MODEL = "vedette.inference.v1.InferenceService"
_REQUEST = pb.GenerateRequest(
    messages=[pb.Message(role=pb.ROLE_USER, text="Say some words.")]
).SerializeToString()


async def _unary_caller(channel: grpc.aio.Channel, service: str, until_s: float) -> list[float]:
    call: Any = channel.unary_unary(f"/{service}/Generate")
    latencies = []
    while (start_s := time.perf_counter()) < until_s:
        await call(_REQUEST, timeout=30)
        latencies.append(time.perf_counter() - start_s)
    return latencies


async def _stream_caller(
    channel: grpc.aio.Channel, service: str, until_s: float
) -> list[tuple[float, float, int]]:
    """Time to the first delta, mean gap after it, and events, of each stream."""
    call: Any = channel.unary_stream(f"/{service}/StreamGenerate")
    streams = []
    while (start_s := time.perf_counter()) < until_s:
        first_s, events = 0.0, 0
        async for _ in call(_REQUEST, timeout=30):
            events += 1
            if events == 2:  # the first is Started
                first_s = time.perf_counter()
        gap_s = (time.perf_counter() - first_s) / max(1, events - 2)
        streams.append((first_s - start_s, gap_s, events))
    return streams


async def load(target: str, service: str, kind: str, callers: int, seconds: float) -> None:
    """One process of load; prints what it saw as JSON."""
    caller: Any = _unary_caller if kind == "unary" else _stream_caller
    async with grpc.aio.insecure_channel(target) as channel:
        await caller(channel, service, time.perf_counter() + 0.2)  # connect and warm up
        until_s = time.perf_counter() + seconds
        lists = await asyncio.gather(*(caller(channel, service, until_s) for _ in range(callers)))
    print(json.dumps([sample for samples in lists for sample in samples]))


async def _measure(target: str, service: str, kind: str, callers: int, seconds: float) -> Any:
    shares = [share for share in (callers - callers // 2, callers // 2) if share]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.gateway", "load"),
            *(target, service, kind, str(share), str(seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        for share in shares
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    return [sample for output, _ in outputs for sample in json.loads(output)]


@asynccontextmanager
async def server(*command: str, **environment: str) -> AsyncIterator[str]:
    """A server process, by the address that it says it listens on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if "gateway" in command[0] else None,
        env=os.environ | environment,
    )
    draining = None
    try:
        if process.stderr is None:
            assert process.stdout is not None
            port = int(await process.stdout.readline())
        else:
            port = await _ready_port(process.stderr)
            draining = asyncio.create_task(_drain(process.stderr))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
        if draining:
            draining.cancel()


async def _ready_port(log: asyncio.StreamReader) -> int:
    port, healthy = 0, set()
    while line := await log.readline():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "process.ready":
            port = entry["port"]
        if entry.get("event") == "health.changed":
            healthy.add(entry["component"])
        if port and healthy == {"guardrails", "inference"}:
            break
    return port


async def _drain(log: asyncio.StreamReader) -> None:
    while await log.readline():
        pass


def _stream_summary(samples: list[Any], seconds: float) -> dict[str, float]:
    first_s, gap_s, events = zip(*samples, strict=True)
    return {
        "first_p50_ms": quantile(list(first_s), 0.5) * 1e3,
        "first_p99_ms": quantile(list(first_s), 0.99) * 1e3,
        "gap_ms": statistics.median(gap_s) * 1e3,
        "per_s": sum(events) / seconds,
    }


async def _compare(targets: dict[str, tuple[str, str]], kind: str, callers: int, seconds: float):  # type: ignore[no-untyped-def]  # noqa: ANN202
    samples: dict[str, list[Any]] = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, (target, service) in targets.items():
            samples[name] += await _measure(target, service, kind, callers, seconds)
    summarize = unary_summary if kind == "unary" else _stream_summary
    return {name: summarize(taken, seconds * ROUNDS) for name, taken in samples.items()}


def _report(kind: str, callers: int, rows: dict[str, dict[str, float]]) -> None:
    keys = ("p50_ms", "p99_ms") if kind == "unary" else ("first_p50_ms", "first_p99_ms", "gap_ms")
    direct, floor = rows["direct"], rows["floor"]
    for name, row in rows.items():
        figures = "  ".join(
            f"{key} {row[key]:7.2f} (+{row[key] - direct[key]:6.2f}"
            f" = {(row[key] - direct[key]) / max(1e-9, floor[key] - direct[key]):4.2f}x floor)"
            for key in keys
        )
        unit = "calls/s" if kind == "unary" else "events/s"
        print(f"{kind:6} {callers:3} {name:8} {figures}  {row['per_s']:7.0f} {unit}", flush=True)


async def measure(options: argparse.Namespace) -> None:
    """Print a line for each kind of call, level and server."""
    results: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        model = await start(server("benchmarks.upstreams", "inference"))
        guard = await start(server("benchmarks.upstreams", "guardrails"))
        floor = await start(server("benchmarks.upstreams", "floor", guard, model))
        gateway = await start(
            server(
                "gateway",
                VEDETTE_GATEWAY_PORT="0",
                VEDETTE_GATEWAY_GUARDRAILS_TARGET=options.guardrails or guard,
                VEDETTE_GATEWAY_INFERENCE_TARGET=model,
                VEDETTE_GATEWAY_TRACE_DIR=options.trace_dir,
            )
        )
        targets = {
            "direct": (model, _MODEL),
            "floor": (floor, _GATEWAY),
            "vedette": (gateway, _GATEWAY),
        }
        for kind in ("unary", "stream"):
            for callers in options.levels:
                rows = await _compare(targets, kind, callers, options.seconds)
                _report(kind, callers, rows)
                results.append({"kind": kind, "callers": callers, "servers": rows})
    if options.peers:
        results += await litellm_peer.measure(options.levels, options.seconds, options.litellm)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench gateway", description=__doc__)
    parser.add_argument("--levels", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of the rounds")
    parser.add_argument("--guardrails", help="a guardrails service to use instead, host:port")
    parser.add_argument("--trace-dir", default="none", help="where the gateway writes spans")
    parser.add_argument("--peers", action="store_true", help="measure LiteLLM's proxy too")
    parser.add_argument("--litellm", help="the program of an installed LiteLLM to measure")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.set_defaults(levels=[1, 4, 16, 64])
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        where, which, what, number, duration = sys.argv[2:]
        asyncio.run(load(where, which, what, int(number), float(duration)))
    else:
        asyncio.run(measure(_options()))
