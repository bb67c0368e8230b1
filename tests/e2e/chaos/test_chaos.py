"""Everything fails once, under load, and what must hold holds."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.e2e.chaos.conftest import (
    DEADLINE_S,
    FORBIDDEN,
    TENANTS,
    Line,
    Watch,
    build_fleet,
    logged,
)
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.gateway.v1 import gateway_pb2_grpc as stubs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.chaos.conftest import Fleet

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

RECOVERY_S = 5.0
DOCUMENTED = {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
# Until what a killed gateway had set aside comes back: the deadline and a margin.
HOLD_S = DEADLINE_S + 10
# Nothing that one of these calls consumes is more than this.
MOST_TOKENS = 400


@dataclass
class Event:
    """Something went and came back."""

    what: str
    gone_s: float
    back_s: float


async def _back(fleet: Fleet, name: str) -> None:
    part = fleet.parts[name]
    part.start()
    if name != "redis":
        await logged(part.log, "process.ready", times=2)
        return
    while True:
        try:
            socket.create_connection(("127.0.0.1", part.port), timeout=1).close()
        except OSError:
            await asyncio.sleep(0.02)  # until it listens
        else:
            return


async def _kill_each(fleet: Fleet, watch: Watch) -> list[Event]:
    events = []
    for names in (
        ["guardrails"],
        ["inference-1"],
        ["inference-2", "inference-1"],
        ["gateway-1"],
        ["redis"],
    ):
        await watch.successes(20, timeout_s=20)
        gone_s = time.monotonic()
        for name in names:
            fleet.parts[name].stop(signal.SIGKILL)
        await asyncio.sleep(2.0)  # how long it stays away
        for name in names:
            log = fleet.parts[name].log
            log.write_text(log.read_text()[:0] + '"process.ready"\n')
            await _back(fleet, name)
        back_s = time.monotonic()
        events.append(Event(" and ".join(names), gone_s, back_s))
        await asyncio.sleep(RECOVERY_S)  # what it may take
    return events


async def _disturb(line: Line, watch: Watch) -> list[Event]:
    events = []
    for what in ("cut", "held up", "delayed"):
        await watch.successes(20, timeout_s=20)
        gone_s = time.monotonic()
        match what:
            case "cut":
                line.cut()
            case "held up":
                line.hold_up()
            case "delayed":
                line.delay_s = 0.3
        await asyncio.sleep(3.0)  # how long the line is bad
        await line.mend()
        events.append(Event(f"line {what}", gone_s, time.monotonic()))
        await asyncio.sleep(RECOVERY_S)  # what it may take
    return events


async def _usage(fleet: Fleet, tenant: str) -> tuple[int, int, int]:
    """Used and reserved by the budget, and the tokens of all rows."""
    async with fleet.channel() as channel:
        usage = await stubs.GatewayServiceStub(channel).GetUsage(
            pb.GetUsageRequest(), metadata=fleet.metadata(tenant), timeout=5
        )
    (budget,) = usage.budgets
    rows = sum(row.input_tokens + row.output_tokens for row in usage.rows)
    return budget.used, budget.reserved, rows


async def test_what_must_hold_holds_whatever_fails(folder: Path) -> None:
    """No unscanned text, nobody else's text, no hang, documented codes, quick recovery.

    And a ledger that balances to the token.

    The second gateway's disk is full from the start: it cannot write a byte of spans or records.
    """
    fleet = build_fleet(folder)
    line = Line(fleet.parts["guardrails"].port)
    for name in ("gateway-1", "gateway-2"):
        part = fleet.parts[name]
        part.environment["VEDETTE_GATEWAY_GUARDRAILS_TARGET"] = f"127.0.0.1:{line.port}"
    fleet.parts["gateway-2"].max_file_bytes = 0
    watch = Watch(fleet)
    try:
        for part in fleet.parts.values():
            part.start()
        await line.mend()
        await fleet.ready()
        watch.begin(callers=4)
        events = await _kill_each(fleet, watch) + await _disturb(line, watch)
        await watch.successes(20)
        await watch.end()
        at_rest_s = time.monotonic()
        late = [
            (event.what, outcome.code, outcome.reason, outcome.ended_s - event.back_s)
            for event, following in zip(events, [*events[1:], None], strict=True)
            for outcome in watch.failures_between(
                event.back_s + RECOVERY_S, following.gone_s if following else at_rest_s
            )
        ]
        await asyncio.sleep(HOLD_S)  # until what the killed gateway held has come back
        usage = {tenant: await _usage(fleet, tenant) for tenant in TENANTS}
    finally:
        fleet.stop()

    assert [] == [o for o in watch.outcomes if FORBIDDEN in o.text]
    assert [] == [o for o in watch.outcomes if o.strange_marks]
    assert any(o.mark in o.text for o in watch.outcomes)
    assert set(watch.codes) <= DOCUMENTED, watch.codes
    assert max(outcome.took_s for outcome in watch.outcomes) < DEADLINE_S + 1
    assert [] == late
    for tenant, (used, reserved, rows) in usage.items():
        seen = sum(o.tokens for o in watch.outcomes if o.tenant == tenant)
        unseen = sum(o.code != "OK" for o in watch.outcomes if o.tenant == tenant)
        assert (0, used) == (reserved, rows)
        assert seen <= used <= seen + unseen * MOST_TOKENS
    print(dict(watch.codes), usage)  # noqa: T201 - what happened, with -s
