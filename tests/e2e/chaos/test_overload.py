"""Four times as much work as there is room for."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.chaos.conftest import TENANTS, Outcome, ask, build_fleet, quantile
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.chaos.conftest import Fleet

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

OVERLOAD_S = 60.0
PEAK_S = 10.0
# A step of the model takes this long and computes so many requests at once, so that the model is
# what is short, not this machine's processor.
STEP_MS = 10
AT_ONCE = 4


async def _peak(fleet: Fleet) -> float:
    """Answers a second with as many callers as the model computes at once, and some to spare."""
    async with fleet.channel() as channel:
        stub = stubs.GatewayServiceStub(channel)
        end_s = time.monotonic() + PEAK_S
        counts = await asyncio.gather(
            *(_count(stub, fleet, TENANTS[n % 2], end_s) for n in range(AT_ONCE * 3))
        )
    return sum(counts) / PEAK_S


async def _count(
    stub: stubs.GatewayServiceAsyncStub, fleet: Fleet, tenant: str, end_s: float
) -> int:
    count = 0
    while time.monotonic() < end_s:
        outcome = await ask(stub, fleet, tenant, streamed=False)
        count += outcome.code == "OK" and outcome.ended_s <= end_s
    return count


async def _offer(fleet: Fleet, rate: float, seconds: float) -> list[Outcome]:
    """Calls at an even pace that does not wait for answers."""
    async with fleet.channel() as channel:
        stub = stubs.GatewayServiceStub(channel)
        calls = []
        began_s = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began_s + number / rate - time.monotonic()))
            asking = ask(stub, fleet, TENANTS[number % 2], streamed=False)
            calls.append(asyncio.create_task(asking))
        return await asyncio.gather(*calls)


def _refusals_s(log: Path) -> list[float]:
    """How long each refusal took in the gateway, by its canonical log lines."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [line["duration_ms"] / 1e3 for line in lines if line.get("code") == "RESOURCE_EXHAUSTED"]


async def test_goodput_holds_and_the_rest_is_refused_at_once(folder: Path) -> None:
    """Under four times the load, nearly as much is answered, and the rest hears so quickly."""
    fleet = build_fleet(folder, queue_target_s="0.3")
    for name in ("gateway-2", "inference-2", "redis"):
        del fleet.parts[name]
    del fleet.parts["gateway-1"].environment["VEDETTE_GATEWAY_REDIS_URL"]
    fleet.parts["inference-1"].environment |= {
        "VEDETTE_INFERENCE_WEIGHTLESS_DELAY_MS": str(STEP_MS),
        "VEDETTE_INFERENCE_WEIGHTLESS_TEXT": "a short answer",
        "VEDETTE_INFERENCE_MAX_RUNNING": str(AT_ONCE),
    }
    gateway = fleet.parts["gateway-1"]
    target = f"127.0.0.1:{gateway.port}"
    try:
        for part in fleet.parts.values():
            part.start()
        await fleet.answers(target)
        peak = await _peak(fleet)
        before_bytes = gateway.memory_bytes()
        outcomes = await _offer(fleet, peak * 4, OVERLOAD_S)
        after_bytes = gateway.memory_bytes()
        await fleet.answers(target)
    finally:
        fleet.stop()
    handled_s = _refusals_s(gateway.log)

    goodput = sum(outcome.code == "OK" for outcome in outcomes) / OVERLOAD_S
    refused_s = [o.took_s for o in outcomes if o.code == "RESOURCE_EXHAUSTED"]
    print(  # noqa: T201 - what was measured, with -s
        f"peak {peak:.1f}/s, goodput {goodput:.1f}/s at {4 * peak:.0f}/s offered;"
        f" {len(refused_s)} refused, p50 {quantile(refused_s, 0.5) * 1e3:.1f} ms,"
        f" p90 {quantile(refused_s, 0.9) * 1e3:.1f} ms, p99 {quantile(refused_s, 0.99) * 1e3:.1f}"
        f" ms, of it in the gateway p99 {quantile(handled_s, 0.99) * 1e3:.1f} ms;"
        f" memory {before_bytes / 2**20:.0f} -> {after_bytes / 2**20:.0f} MiB"
    )
    assert {"OK", "RESOURCE_EXHAUSTED"} == {outcome.code for outcome in outcomes}
    assert {"OVERLOADED"} == {o.reason for o in outcomes if o.code != "OK"}
    assert goodput >= 0.9 * peak
    # Callers, services and whatever else runs here share the processors: the last hundredth of
    # what callers see is the machine's doing, so it is asked of the gateway alone.
    assert quantile(refused_s, 0.9) < 0.05
    assert quantile(handled_s, 0.99) < 0.05
    assert after_bytes < before_bytes + 64 * 2**20
