"""What tracing and metrics cost: the same stack with and without them, in turns.

    scripts/bench telemetry [--seconds 4] [--rounds 6] [--pairs 2] [--callers 1,8] [--weightless]

Two whole stacks run side by side: one writes spans to files and has its metrics scraped as often
as deploy/prometheus does, the other does neither. They take turns, in alternating order, so that
both see the same moments of the machine. Besides what callers see, the processor time of all three
services is compared; it says more where a machine is shared. `--weightless` exchanges the model
for one without weights, where every microsecond of telemetry counts; callers of a real model never
see that.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import urllib.request
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc
import psutil

from benchmarks.figures import quantile
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.services import SERVICES, ServiceProcess, embedded, free_ports
from vedette.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_REQUEST = pb.StreamGenerateRequest(
    messages=[pb.Message(role=pb.ROLE_USER, text="Tell me about the sea, please. " * 4)],
    sampling=pb.Sampling(max_new_tokens=32, temperature=0.0),
).SerializeToString()
_SCRAPE_EVERY_S = 15.0
_STREAM = "/vedette.gateway.v1.GatewayService/StreamGenerate"


class _Silent:
    def starting(self, name: str) -> None: ...

    def ready(self, name: str, after_s: float) -> None: ...

    def line(self, name: str, text: str) -> None: ...

    def stopping(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stack:
    """Where its gateway is, and its processes."""

    target: str
    processes: tuple[psutil.Process, ...]

    def busy_s(self) -> float:
        """The processor time that they took so far."""
        times = [process.cpu_times() for process in self.processes]
        return sum(each.user + each.system for each in times)


@dataclass(frozen=True, slots=True)
class Turn:
    """The latencies of whole streams in seconds, and the processor time of each."""

    latencies_s: list[float]
    busy_s: float


@asynccontextmanager
async def stack(*, traced: bool, environment: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Three services; with telemetry, something scrapes them meanwhile."""
    before = set(psutil.Process().children(recursive=True))
    ports, scraped = free_ports(), free_ports()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _told(process, folder if traced else None, scraped[process.name], environment)
            for process in embedded(ports)
        ]
        async with Supervisor(processes, audience=_Silent()):
            scraping = asyncio.create_task(_scrape(scraped)) if traced else None
            processes_of_it = set(psutil.Process().children(recursive=True)) - before
            yield Stack(f"127.0.0.1:{ports['gateway']}", tuple(processes_of_it))
            if scraping:
                scraping.cancel()


def _told(
    process: ServiceProcess, folder: str | None, metrics_port: int, environment: Mapping[str, str]
) -> ServiceProcess:
    prefix = f"VEDETTE_{process.name.upper()}_"
    settings = {
        f"{prefix}TRACE_DIR": folder or "none",
        f"{prefix}METRICS_ADDRESS": f"127.0.0.1:{metrics_port}" if folder else "none",
    }
    return replace(process, environ={**process.environ, **environment, **settings})


async def _scrape(ports: Mapping[str, int]) -> None:
    while True:
        await asyncio.sleep(_SCRAPE_EVERY_S)
        for service in SERVICES:
            url = f"http://127.0.0.1:{ports[service.name]}/metrics"
            await asyncio.to_thread(_read, url)


def _read(url: str) -> None:
    with urllib.request.urlopen(url) as response:
        response.read()


async def _load(stack: Stack, callers: int, seconds: float) -> Turn:
    """So many callers for so long, each asking again as soon as it was answered."""
    target, before_s = stack.target, stack.busy_s()
    async with grpc.aio.insecure_channel(target) as channel:
        call: Any = channel.unary_stream(_STREAM)

        async def caller(until_s: float) -> list[float]:
            latencies = []
            while (start_s := time.perf_counter()) < until_s:
                async for _ in call(_REQUEST, timeout=60):
                    pass
                latencies.append(time.perf_counter() - start_s)
            return latencies

        until_s = time.perf_counter() + seconds
        lists = await asyncio.gather(*(caller(until_s) for _ in range(callers)))
    latencies = [latency for latencies in lists for latency in latencies]
    return Turn(latencies, (stack.busy_s() - before_s) / len(latencies))


async def measure(options: argparse.Namespace) -> None:
    """Print latency and throughput with and without, and their ratios round by round."""
    rounds: dict[int, list[dict[str, Turn]]] = {callers: [] for callers in options.callers}
    for _ in range(options.pairs):
        for callers, found in (await _pair(options)).items():
            rounds[callers] += found
    for callers, found in rounds.items():
        _report(callers, found, options)


async def _pair(options: argparse.Namespace) -> dict[int, list[dict[str, Turn]]]:
    """Two fresh stacks in turns: processes of one program differ by some per cent in speed."""
    environment = {"VEDETTE_INFERENCE_BACKEND": "weightless"} if options.weightless else {}
    async with AsyncExitStack() as held:
        stacks = {
            name: await held.enter_async_context(
                stack(traced=name == "on", environment=environment)
            )
            for name in ("off", "on")
        }
        for each in stacks.values():
            await _load(each, 4, 1.0)
        return {
            callers: [
                {
                    name: await _load(stacks[name], callers, options.seconds)
                    for name in (("off", "on") if number % 2 else ("on", "off"))
                }
                for number in range(options.rounds)
            ]
            for callers in options.callers
        }


def _report(callers: int, rounds: list[dict[str, Turn]], options: argparse.Namespace) -> None:
    for name in ("off", "on"):
        latencies = [latency for each in rounds for latency in each[name].latencies_s]
        per_s = len(latencies) / options.seconds / len(rounds)
        p50, p99 = (quantile(latencies, share) * 1e3 for share in (0.5, 0.99))
        busy_ms = statistics.median(each[name].busy_s for each in rounds) * 1e3
        figures = f"{per_s:7.1f} answers/s  p50 {p50:7.2f} ms  p99 {p99:7.2f} ms"
        print(f"{callers:3} callers  {name:3}  {figures}  {busy_ms:7.2f} ms of processor an answer")
    p50s = [
        quantile(each["on"].latencies_s, 0.5) / quantile(each["off"].latencies_s, 0.5)
        for each in rounds
    ]
    rates = [len(each["on"].latencies_s) / len(each["off"].latencies_s) for each in rounds]
    busy = [each["on"].busy_s / each["off"].busy_s for each in rounds]
    print(
        f"    on/off: p50 {_spread(p50s)}   answers {_spread(rates)}   processor {_spread(busy)}",
        flush=True,
    )


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench telemetry", description=__doc__)
    parser.add_argument("--callers", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=6, help="with each pair of stacks")
    parser.add_argument("--pairs", type=int, default=2, help="of fresh stacks")
    parser.add_argument("--weightless", action="store_true", help="use a model without weights")
    parser.set_defaults(callers=[1, 8])
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(measure(_options()))
