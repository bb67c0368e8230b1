"""What the check of a prompt costs in time to the first token, with and without beginning early.

    scripts/bench speculation [--prefill-ms 80] [--check-ms 30] [--streams 100] [--json FILE]

One gateway checks prompts with a guard that takes `check-ms`, one begins early with the same
guard, and one has a guard that answers at once: the guard "off". The model takes `prefill-ms` to
its first token. They take turns, one stream at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc

from benchmarks.figures import quantile
from benchmarks.gateway import server
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

_REQUEST = pb.StreamGenerateRequest(
    messages=[pb.Message(role=pb.ROLE_USER, text="Say some words.")]
)


async def _first_token_s(stub: Any) -> float:
    start_s = time.perf_counter()
    first_s = 0.0
    async for event in stub.StreamGenerate(_REQUEST, timeout=30):
        if not first_s and event.HasField("delta"):
            first_s = time.perf_counter() - start_s
    return first_s


async def measure(options: argparse.Namespace) -> None:
    """Print the median time to the first token of each."""
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        model = await start(server("benchmarks.upstreams", "inference", str(options.prefill_ms)))
        slow = await start(server("benchmarks.upstreams", "guardrails", str(options.check_ms)))
        quick = await start(server("benchmarks.upstreams", "guardrails"))
        callers = {}
        for name, guard, early in (
            ("off", quick, "false"),
            ("first", slow, "false"),
            ("early", slow, "true"),
        ):
            gateway = await start(
                server(
                    "gateway",
                    VEDETTE_GATEWAY_PORT="0",
                    VEDETTE_GATEWAY_GUARDRAILS_TARGET=guard.address,
                    VEDETTE_GATEWAY_INFERENCE_TARGET=model.address,
                    VEDETTE_GATEWAY_TRACE_DIR="none",
                    VEDETTE_GATEWAY_SPECULATE=early,
                )
            )
            channel = await start(grpc.aio.insecure_channel(gateway.address))
            callers[name] = stubs.GatewayServiceStub(channel)
        times: dict[str, list[float]] = {name: [] for name in callers}
        for turn in range(options.streams + 5):
            for name, stub in callers.items():
                first_s = await _first_token_s(stub)
                if turn >= 5:  # the first ones connect and warm up
                    times[name].append(first_s)
    medians = {name: quantile(taken, 0.5) for name, taken in times.items()}
    for name, median_s in medians.items():
        print(
            f"{name:6} {median_s * 1e3:7.2f} ms to the first token,"
            f" {median_s / medians['off']:.3f} of guard off"
        )
    if options.json:
        options.json.write_text(json.dumps(medians, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench speculation", description=__doc__)
    parser.add_argument("--prefill-ms", type=float, default=80.0)
    parser.add_argument("--check-ms", type=float, default=30.0)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(measure(_options()))
