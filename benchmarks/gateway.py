"""What the gateway adds to a call of the model, beside the least that any gateway could add.

    scripts/bench gateway [--levels 1,4,16,64] [--kinds unary,stream] [--seconds 2] [--peers]

`direct` calls the model; `floor` is a bare grpc.aio program that makes the calls a guarded answer
takes and nothing else; `gateway` is the gateway before the same two servers, which answer at once;
`vedette` is the gateway with the real guardrails under a policy of rules alone. Two processes make
the load. All take turns, so that a ratio compares the same moments of the machine. Below each line
stands what a call, or an event of a stream, costs each process in processor time, which says more
than latency where others use the machine too. `--peers` adds LiteLLM's proxy before an upstream as
weightless as the others: alone, to be compared with `gateway`, and with its own content filter, to
be compared with `vedette`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import grpc
import psutil

from benchmarks import litellm_peer
from benchmarks.figures import quantile, unary_summary
from vedette.gateway.v1 import gateway_pb2 as pb

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

# Every detector that is made of rules; the classifier's are left out.
_RULES = """
version: 1
description: Rules only.
input:
  detectors:
    injection: {action: block}
    moderation: {action: block}
    pii: {action: mask}
    secrets: {action: mask}
output:
  detectors:
    leak: {action: mask}
    moderation: {action: block}
    pii: {action: mask}
    secrets: {action: mask}
"""
# What has to be healthy before a service of ours is measured.
_COMPONENTS = {
    "gateway": {"guardrails", "inference"},
    "guardrails": {"policies", "classifier"},
}
_GATEWAY = "vedette.gateway.v1.GatewayService"
_MODEL = "vedette.inference.v1.InferenceService"
_REQUEST = pb.GenerateRequest(
    messages=[pb.Message(role=pb.ROLE_USER, text="Say some words.")]
).SerializeToString()


class Server(NamedTuple):
    """A running server."""

    address: str
    pid: int


class _Way(NamedTuple):
    """What is called, and the processes that have a part in the answer."""

    service: str
    servers: dict[str, Server]

    @property
    def target(self) -> str:
        """The address of the first, which is the one that is called."""
        return next(iter(self.servers.values())).address


@asynccontextmanager
async def _unless_refused() -> AsyncIterator[None]:
    """A call that is refused for want of room does not count, and its caller comes back."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        await asyncio.sleep(0.01)  # what callers do


async def _unary_caller(channel: grpc.aio.Channel, service: str, until_s: float) -> list[float]:
    call: Any = channel.unary_unary(f"/{service}/Generate")
    latencies = []
    while (start_s := time.perf_counter()) < until_s:
        async with _unless_refused():
            await call(_REQUEST, timeout=30)
            latencies.append(time.perf_counter() - start_s)
    return latencies


async def _warm_up(channel: grpc.aio.Channel, service: str) -> None:
    """Connect, and let a gateway find out how much it can take.

    Long enough for the other process of load to have begun.
    """
    await _unary_caller(channel, service, time.perf_counter() + 0.6)


async def _stream_caller(
    channel: grpc.aio.Channel, service: str, until_s: float
) -> list[tuple[float, float, int]]:
    """Time to the first delta, mean gap after it, and events, of each stream."""
    call: Any = channel.unary_stream(f"/{service}/StreamGenerate")
    streams = []
    while (start_s := time.perf_counter()) < until_s:
        first_s, events = 0.0, 0
        async with _unless_refused():
            async for _ in call(_REQUEST, timeout=30):
                events += 1
                if events == 2:  # the first is Started
                    first_s = time.perf_counter()
            gap_s = (time.perf_counter() - first_s) / max(1, events - 2)
            streams.append((first_s - start_s, gap_s, events))
    return streams


async def load(  # noqa: PLR0913, PLR0917 - what a command line says
    target: str, service: str, kind: str, callers: int, seconds: float, pids: list[int]
) -> None:
    """One process of load; prints what it saw as JSON, with what its own and these took."""
    caller: Any = _unary_caller if kind == "unary" else _stream_caller
    processes = [psutil.Process(pid) for pid in (*pids, os.getpid())]
    async with grpc.aio.insecure_channel(target) as channel:
        await asyncio.gather(*(_warm_up(channel, service) for _ in range(callers)))
        before_s = [_busy_s(process) for process in processes]
        until_s = time.perf_counter() + seconds
        lists = await asyncio.gather(*(caller(channel, service, until_s) for _ in range(callers)))
        busy_s = [_busy_s(process) - s for process, s in zip(processes, before_s, strict=True)]
    samples = [sample for samples in lists for sample in samples]
    print(json.dumps({"samples": samples, "busy_s": busy_s}))


def _busy_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


class _Taken:
    """What was seen of one way at one level."""

    def __init__(self) -> None:
        self.samples: list[Any] = []
        self.busy_s: Counter[str] = Counter()

    async def measure(self, way: _Way, kind: str, callers: int, seconds: float) -> None:
        """Let two processes of load call it, of which the first looks at the servers' clocks."""
        shares = [share for share in (callers - callers // 2, callers // 2) if share]
        pids = [str(server.pid) for server in way.servers.values()]
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.gateway", "load"),
                *(way.target, way.service, kind, str(share), str(seconds)),
                *([] if number else pids),
                stdout=asyncio.subprocess.PIPE,
            )
            for number, share in enumerate(shares)
        ]
        outputs = await asyncio.gather(*(process.communicate() for process in processes))
        for seen in (json.loads(output) for output, _ in outputs):
            self.samples += seen["samples"]
            *servers_s, load_s = seen["busy_s"]
            self.busy_s.update(dict(zip(way.servers, servers_s, strict=False)), load=load_s)


@asynccontextmanager
async def server(*command: str, **environment: str) -> AsyncIterator[Server]:
    """A server process, at the port that it says it listens on.

    Ours log to a file: a pipe would wake this process for every line, in the middle of the load.
    """
    with tempfile.TemporaryFile("a+") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=log if command[0] in _COMPONENTS else None,
            env=os.environ | environment,
        )
        try:
            if command[0] in _COMPONENTS:
                port = await _ready_port(process, log, _COMPONENTS[command[0]])
            else:
                assert process.stdout is not None
                port = int(await process.stdout.readline())
            yield Server(f"127.0.0.1:{port}", process.pid)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready_port(process: Process, log: IO[str], components: set[str]) -> int:
    while process.returncode is None:
        await asyncio.sleep(0.05)  # another process's log
        log.seek(0)
        entries = [
            json.loads(line) for line in log if line.startswith("{") and line.endswith("}\n")
        ]
        healthy = {e["component"] for e in entries if e["event"] == "health.changed"}
        ports = [e["port"] for e in entries if e["event"] == "process.ready"]
        if ports and healthy >= components:
            return int(ports[0])
    raise SystemExit(f"{' '.join(components)}: a service of ours did not start")


def _stream_summary(samples: list[Any], seconds: float) -> dict[str, float]:
    first_s, gap_s, events = zip(*samples, strict=True)
    return {
        "first_p50_ms": quantile(list(first_s), 0.5) * 1e3,
        "first_p99_ms": quantile(list(first_s), 0.99) * 1e3,
        "gap_ms": statistics.median(gap_s) * 1e3,
        "per_s": sum(events) / seconds,
    }


async def _compare(
    ways: dict[str, _Way], kind: str, callers: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    seen = {name: _Taken() for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            await seen[name].measure(way, kind, callers, options.seconds)
    summarize = unary_summary if kind == "unary" else _stream_summary
    rows = {}
    for name, taken in seen.items():
        rows[name] = summarize(taken.samples, options.seconds * options.rounds)
        units = rows[name]["per_s"] * options.seconds * options.rounds
        rows[name] |= {f"{part}_busy_ms": s / units * 1e3 for part, s in taken.busy_s.items()}
    return rows


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
        print(f"{kind:6} {callers:3} {name:8} {figures}  {row['per_s']:7.0f} {unit}")
        busy = {
            key.removesuffix("_busy_ms"): ms for key, ms in row.items() if key.endswith("_busy_ms")
        }
        parts = "  ".join(f"{part} {ms:.3f}" for part, ms in busy.items())
        print(f"{'':19} busy ms  {parts}  in all {sum(busy.values()):.3f}", flush=True)


def _report_beside(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> None:
    for name, peer in (("gateway", "litellm"), ("vedette", "litellm+filter")):
        added = [
            f"{key} {(ours[name][key] - ours['direct'][key]) / _added_by(theirs, peer, key):.2f}"
            for key in ("p50_ms", "p99_ms")
        ]
        carried = ours[name]["per_s"] / theirs[peer]["per_s"]
        print(f"{name:>19} adds {'  '.join(added)} of what {peer} adds, and carries {carried:.1f}x")


def _added_by(theirs: dict[str, dict[str, float]], peer: str, key: str) -> float:
    return max(1e-9, theirs[peer][key] - theirs["direct"][key])


def _gateway(guard: Server, model: Server, trace_dir: str) -> AbstractAsyncContextManager[Server]:
    return server(
        "gateway",
        VEDETTE_GATEWAY_PORT="0",
        VEDETTE_GATEWAY_GUARDRAILS_TARGET=guard.address,
        VEDETTE_GATEWAY_INFERENCE_TARGET=model.address,
        VEDETTE_GATEWAY_TRACE_DIR=trace_dir,
    )


@asynccontextmanager
async def _rule_guard(trace_dir: str) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "default.yaml").write_text(_RULES)
        async with server(
            "guardrails",
            VEDETTE_GUARDRAILS_PORT="0",
            VEDETTE_GUARDRAILS_POLICIES_DIR=folder,
            VEDETTE_GUARDRAILS_TRACE_DIR=trace_dir,
        ) as guard:
            yield guard


async def measure(options: argparse.Namespace) -> None:
    """Print a line for each kind of call, level and server."""
    results: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        model = await start(server("benchmarks.upstreams", "inference"))
        guard = await start(server("benchmarks.upstreams", "guardrails"))
        floor = await start(server("benchmarks.upstreams", "floor", guard.address, model.address))
        rules = await start(_rule_guard(options.trace_dir))
        bare = await start(_gateway(guard, model, options.trace_dir))
        whole = await start(_gateway(rules, model, options.trace_dir))
        ways = {
            "direct": _Way(_MODEL, {"model": model}),
            "floor": _Way(_GATEWAY, {"floor": floor, "guard": guard, "model": model}),
            "gateway": _Way(_GATEWAY, {"gateway": bare, "guard": guard, "model": model}),
            "vedette": _Way(_GATEWAY, {"gateway": whole, "guard": rules, "model": model}),
        }
        peers = await start(litellm_peer.running(options.litellm)) if options.peers else None
        for kind in options.kinds:
            for callers in options.levels:
                rows = await _compare(ways, kind, callers, options)
                _report(kind, callers, rows)
                results.append({"kind": kind, "callers": callers, "servers": rows})
                if peers is not None and kind == "unary":
                    theirs = await peers.compare(callers, options.seconds, options.rounds)
                    _report_beside(rows, theirs)
                    results.append({"kind": "peer", "callers": callers, "servers": theirs})
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench gateway", description=__doc__)
    parser.add_argument("--levels", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of the rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["unary", "stream"])
    parser.add_argument("--trace-dir", default="none", help="where the services write spans")
    parser.add_argument("--peers", action="store_true", help="measure LiteLLM's proxy too")
    parser.add_argument("--litellm", help="the program of an installed LiteLLM to measure")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.set_defaults(levels=[1, 4, 16, 64])
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        where, which, what, number, duration, *pids = sys.argv[2:]
        asyncio.run(load(where, which, what, int(number), float(duration), [int(p) for p in pids]))
    else:
        asyncio.run(measure(_options()))
