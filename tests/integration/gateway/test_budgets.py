"""Budgets in memory and in a real Redis, and what callers see of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import grpc
import pytest

from gateway.budget.fallback import ResilientLedger
from gateway.budget.ledger import Amount, Charge, MemoryLedger
from gateway.budget.shared import SharedLedger
from gateway.state.shared import StateLostError
from gateway.terms import Allowance, Period, Unit
from tests.integration.gateway.conftest import access_file, running_stack
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb
from vedette.inference.v1 import inference_pb2 as model_pb

DAY_TOKENS = Allowance(period=Period.DAY, unit=Unit.TOKENS, limit=100)
MONTH_COST = Allowance(period=Period.MONTH, unit=Unit.COST_MICROS, limit=1_000)
BOTH = (DAY_TOKENS, MONTH_COST)


@dataclass
class Clock:
    now: datetime = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def _charge(name="r1", tokens=10, cost=50, model="m", blocked=False, tenant="t"):
    return Charge(
        request_id=name,
        tenant=tenant,
        model=model,
        input_tokens=4,
        output_tokens=tokens - 4,
        cost_micros=cost,
        blocked=blocked,
    )


@pytest.fixture(params=["memory", "redis"])
def ledger_and_clock(request, shared_state):
    clock = Clock()
    if request.param == "memory":
        return MemoryLedger(now=clock), clock
    return SharedLedger(shared_state, now=clock), clock


async def _standing(ledger, tenant="t"):
    return [(b.used, b.reserved) for b in await ledger.balances(tenant, BOTH)]


async def test_a_hold_becomes_a_charge(ledger_and_clock) -> None:
    """Held before, used after, and nothing held at rest."""
    ledger, _ = ledger_and_clock
    assert await ledger.hold("t", "r1", Amount(tokens=80, cost_micros=400), BOTH, ttl_s=60) is None
    assert [(0, 80), (0, 400)] == await _standing(ledger)

    await ledger.settle(_charge())

    assert [(10, 0), (50, 0)] == await _standing(ledger)


@pytest.mark.parametrize(
    ("amount", "short"),
    [
        pytest.param(Amount(tokens=21, cost_micros=1), (DAY_TOKENS, 20), id="tokens"),
        pytest.param(Amount(tokens=20, cost_micros=601), (MONTH_COST, 600), id="money"),
        pytest.param(Amount(tokens=20, cost_micros=600), None, id="just enough"),
    ],
)
async def test_every_allowance_has_to_cover_it(ledger_and_clock, amount, short) -> None:
    """A shortage names the allowance and what it would cover beside used and held."""
    ledger, _ = ledger_and_clock
    await ledger.settle(_charge(tokens=50, cost=300))
    await ledger.hold("t", "r2", Amount(tokens=30, cost_micros=100), BOTH, ttl_s=60)

    shortage = await ledger.hold("t", "r3", amount, BOTH, ttl_s=60)

    assert short == ((shortage.allowance, shortage.available) if shortage else None)


async def test_settling_twice_books_once(ledger_and_clock) -> None:
    """A settlement that is sent again changes nothing."""
    ledger, _ = ledger_and_clock
    await ledger.settle(_charge())
    await ledger.settle(_charge())

    assert [(10, 0), (50, 0)] == await _standing(ledger)


async def test_what_a_crashed_gateway_held_comes_back(ledger_and_clock) -> None:
    """A hold ends by itself when its time is up."""
    ledger, clock = ledger_and_clock
    await ledger.hold("t", "r1", Amount(tokens=100), BOTH, ttl_s=30)
    clock.now += timedelta(seconds=31)

    assert [(0, 0), (0, 0)] == await _standing(ledger)
    assert await ledger.hold("t", "r2", Amount(tokens=100), BOTH, ttl_s=30) is None


async def test_a_released_hold_leaves_no_trace(ledger_and_clock) -> None:
    """Nothing held, nothing booked."""
    ledger, clock = ledger_and_clock
    await ledger.hold("t", "r1", Amount(tokens=100), BOTH, ttl_s=30)
    await ledger.release("t", "r1")

    assert [(0, 0), (0, 0)] == await _standing(ledger)
    assert [] == await ledger.rows("t", clock.now.date(), clock.now.date())


async def test_a_new_day_begins_at_midnight_utc(ledger_and_clock) -> None:
    """The daily allowance starts anew, the monthly one goes on."""
    ledger, clock = ledger_and_clock
    await ledger.settle(_charge())
    (day, month) = await ledger.balances("t", BOTH)
    assert datetime(2026, 11, 22, tzinfo=UTC) == day.resets
    assert datetime(2026, 12, 1, tzinfo=UTC) == month.resets

    clock.now += timedelta(minutes=2)

    assert [(0, 0), (50, 0)] == await _standing(ledger)


async def test_usage_is_by_day_and_model_and_tenant(ledger_and_clock) -> None:
    """One row a day and model; other tenants do not show."""
    ledger, clock = ledger_and_clock
    await ledger.settle(_charge("r1", model="a|b"))
    await ledger.settle(_charge("r2", model="a|b", blocked=True))
    await ledger.settle(_charge("r3", model="c"))
    await ledger.settle(_charge("r4", tenant="other"))
    clock.now += timedelta(minutes=2)
    await ledger.settle(_charge("r5", model="c"))

    rows = await ledger.rows("t", date(2026, 11, 21), date(2026, 11, 22))

    assert [
        ("2026-11-21", "a|b", 2, 1, 8, 12, 100),
        ("2026-11-21", "c", 1, 0, 4, 6, 50),
        ("2026-11-22", "c", 1, 0, 4, 6, 50),
    ] == [
        (
            row.day.isoformat(),
            row.model,
            row.requests,
            row.blocked_requests,
            row.input_tokens,
            row.output_tokens,
            row.cost_micros,
        )
        for row in rows
    ]


async def test_many_at_once_never_take_more_than_there_is(ledger_and_clock) -> None:
    """Of a hundred that want a tenth each, ten get it."""
    ledger, _ = ledger_and_clock
    answers = await asyncio.gather(
        *(ledger.hold("t", f"r{i}", Amount(tokens=10), BOTH, ttl_s=60) for i in range(100))
    )

    assert 10 == answers.count(None)


async def test_charges_made_while_redis_was_lost_are_booked_later(shared_state) -> None:
    """Nothing is lost and nothing is booked twice when it comes back."""
    shared = SharedLedger(shared_state)
    unreliable = _Switch(shared)
    ledger = ResilientLedger(unreliable, MemoryLedger(), factor=0.5)
    await ledger.settle(_charge("r1"))
    unreliable.lost = True
    refused = await ledger.hold("t", "r2", Amount(tokens=51), BOTH, ttl_s=60)
    held = await ledger.hold("t", "r2", Amount(tokens=40), BOTH, ttl_s=60)
    await ledger.settle(_charge("r2"))
    await ledger.settle(_charge("r1"))
    await ledger.book()
    unreliable.lost = False
    await ledger.book()

    assert refused is not None
    assert held is None
    assert [(20, 0), (100, 0)] == await _standing(shared)


class _Switch:
    def __init__(self, ledger):
        self._ledger = ledger
        self.lost = False

    def __getattr__(self, name):
        if self.lost:
            raise StateLostError
        return getattr(self._ledger, name)


HI = [pb.Message(role=pb.ROLE_USER, text="hi")]
BUDGET = """
[[tenants.t.budgets]]
period = "day"
unit = "tokens"
limit = {tokens}
[[tenants.t.budgets]]
period = "month"
unit = "cost_micros"
limit = 1_000_000
"""
PRICES = '\n[prices."*"]\ninput_micros = 1000\noutput_micros = 2000\n'


def _stack(monkeypatch, tmp_path, redis_server, backend, tokens=1000):
    redis_server.flush()
    path, key = access_file(tmp_path, BUDGET.format(tokens=tokens))
    path.write_text('currency = "EUR"\n' + path.read_text() + PRICES)
    more = {"redis_url": redis_server.url, "redis_timeout_s": 30} if backend == "redis" else {}
    return running_stack(monkeypatch, access_file=path, **more), key


async def _usage(stack, key):
    usage = await stack.stub.GetUsage(pb.GetUsageRequest(), metadata=key, timeout=60)
    return usage.rows, {(b.unit, b.used, b.reserved) for b in usage.budgets}


@pytest.mark.parametrize("backend", ["memory", "redis"])
@pytest.mark.parametrize("ending", ["finished", "blocked", "cancelled", "failed", "guard lost"])
async def test_the_ledger_balances_on_every_path(
    monkeypatch, tmp_path, redis_server, backend, ending
) -> None:
    """However a request ends, what it consumed is booked and nothing stays reserved."""
    running, key = _stack(monkeypatch, tmp_path, redis_server, backend)
    async with running as stack:
        match ending:
            case "blocked":
                stack.guard.prompt_action = guard_pb.ACTION_BLOCK
            case "cancelled":
                stack.model.hold = asyncio.Event()
            case "failed":
                stack.model.abort_with = grpc.StatusCode.INTERNAL
            case "guard lost":
                stack.guard.abort_with = grpc.StatusCode.UNAVAILABLE
        request = pb.StreamGenerateRequest(messages=HI, sampling=pb.Sampling(max_new_tokens=50))
        call = stack.stub.StreamGenerate(request, metadata=key, timeout=60)
        seen = ""
        try:
            async for event in call:
                seen += event.delta.text
                if ending == "cancelled" and seen == "HELLO THERE.":
                    held = await _usage(stack, key)
                    assert ("tokens", 0, 132) in held[1]
                    call.cancel()
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            pass
        if ending == "cancelled":
            await asyncio.wait_for(stack.model.stopped.wait(), 60)
        rows, budgets = await _settled(stack, key)

    tokens = 0 if ending in ("blocked", "guard lost") else 5
    cost = 7 if tokens else 0  # 3 tokens in, 2 out
    assert {("tokens", tokens, 0), ("cost_micros", cost, 0)} == budgets
    model = "scripted" if tokens else "none"
    assert [(model, 1, ending == "blocked", tokens, cost, "EUR", "t")] == [
        (
            row.model,
            row.requests,
            row.blocked_requests,
            row.input_tokens + row.output_tokens,
            row.cost_micros,
            row.currency,
            row.tenant,
        )
        for row in rows
    ]


async def _settled(stack, key):
    """What is booked, once a row is there."""
    while True:
        rows, budgets = await _usage(stack, key)
        if rows:
            return rows, budgets
        await asyncio.sleep(0.01)  # the row is written by another task


@pytest.mark.parametrize("backend", ["memory", "redis"])
async def test_a_request_gets_what_the_budget_covers(
    monkeypatch, tmp_path, redis_server, backend
) -> None:
    """Near the limit the answer is cut off and says why; at the limit nothing is begun."""
    running, key = _stack(monkeypatch, tmp_path, redis_server, backend, tokens=10)
    async with running as stack:
        stack.model.finish_reason = model_pb.FINISH_REASON_LENGTH
        stack.model.pieces = ("a ", "b ", "c ", "d ", "e ", "f ", "g ")
        sampling = pb.Sampling(max_new_tokens=50)
        response = await stack.stub.Generate(
            pb.GenerateRequest(messages=HI, sampling=sampling), metadata=key, timeout=60
        )
        asked = stack.model.requests[0].sampling.max_new_tokens
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stack.stub.Generate(pb.GenerateRequest(messages=HI), metadata=key, timeout=60)
        _, budgets = await _usage(stack, key)

    error = from_rpc_error(refusal.value)
    assert 7 == asked  # ten, less the three tokens of the prompt
    assert pb.FINISH_REASON_BUDGET == response.finish_reason
    assert "BUDGET_EXHAUSTED" == error.reason
    assert 0 < error.retry_after_s <= 24 * 3600
    assert ("tokens", 10, 0) in budgets


@pytest.mark.parametrize(
    ("dates", "fields"),
    [
        pytest.param({"start_date": "yesterday"}, ["start_date"], id="not a date"),
        pytest.param(
            {"start_date": "2026-01-02", "end_date": "2026-01-01"}, ["end_date"], id="backwards"
        ),
        pytest.param(
            {"start_date": "2020-01-01", "end_date": "2026-01-01"}, ["end_date"], id="too long"
        ),
    ],
)
async def test_wrong_dates_are_named(stack, dates, fields) -> None:
    """A wrong range names the field and the rule."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stack.stub.GetUsage(pb.GetUsageRequest(**dates), timeout=60)

    assert fields == [v.field for v in from_rpc_error(refusal.value).violations]


async def test_a_lost_ledger_says_so(monkeypatch, tmp_path) -> None:
    """Usage that cannot be read is not reported as none."""
    async with running_stack(monkeypatch, redis_url=f"unix://{tmp_path}/nobody.sock") as stack:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stack.stub.GetUsage(pb.GetUsageRequest(), timeout=60)

    assert "LEDGER_UNAVAILABLE" == from_rpc_error(refusal.value).reason
