"""Limits in memory and in a real Redis: one table for both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc
import pytest
import structlog

from gateway.failure.breaker import Breaker
from gateway.limits.fallback import LocalLimits, SharedLimits
from gateway.limits.meters import Claim, MemoryMeters, SharedMeters
from gateway.limits.slots import MemorySlots, SharedSlots
from gateway.state.shared import SharedState, StateLostError
from servicekit import logs
from tests.integration.gateway.conftest import access_file, running_stack
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb


@dataclass
class Clock:
    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["memory", "redis"])
def meters_and_clock(request, shared_state):
    clock = Clock()
    if request.param == "memory":
        return MemoryMeters(now=clock), clock
    return SharedMeters(shared_state, now=clock), clock


@pytest.fixture(params=["memory", "redis"])
def slots_and_clock(request, shared_state):
    clock = Clock()
    if request.param == "memory":
        return MemorySlots(now=clock), clock
    return SharedSlots(shared_state, now=clock), clock


def _claim(amount=1, limit=60, meter="{t}:m:requests"):
    return Claim(meter=meter, amount=amount, limit=limit)


@pytest.mark.parametrize(
    ("takes", "wait_s"),
    [
        pytest.param([60], None, id="a full minute's worth at once"),
        pytest.param([60, 1], 1.0, id="one more has to wait for one"),
        pytest.param([60, 30], 30.0, id="many more have to wait for many"),
        pytest.param([30, 30, 1], 1.0, id="in portions"),
        pytest.param([59, 1], None, id="just within"),
    ],
)
async def test_a_meter_grants_a_periods_worth(meters_and_clock, takes, wait_s) -> None:
    """The limit can be taken at once; what is refused says when it can be had."""
    meters, _ = meters_and_clock
    *before, last = takes
    for amount in before:
        assert await meters.take([_claim(amount)]) is None

    refusal = await meters.take([_claim(last)])

    assert wait_s == (pytest.approx(refusal.retry_after_s, abs=1e-4) if refusal else None)


async def test_the_time_to_retry_is_the_truth(meters_and_clock) -> None:
    """A moment before it is still too early; at it the claim is granted."""
    meters, clock = meters_and_clock
    await meters.take([_claim(60)])
    refusal = await meters.take([_claim(7)])

    clock.now_s += refusal.retry_after_s - 0.01
    assert await meters.take([_claim(7)]) is not None
    clock.now_s += 0.0101
    assert await meters.take([_claim(7)]) is None


async def test_claims_are_granted_together_or_not_at_all(meters_and_clock) -> None:
    """A refused claim leaves the other meters as they were."""
    meters, _ = meters_and_clock
    tokens = _claim(100, limit=100, meter="{t}:m:tokens")
    await meters.take([tokens])

    refusal = await meters.take([_claim(60), tokens])

    assert 1 == refusal.index
    assert await meters.take([_claim(60)]) is None


async def test_what_is_given_back_can_be_taken_again(meters_and_clock) -> None:
    """Unused tokens return at once; an overrun is paid by whoever comes next."""
    meters, _ = meters_and_clock
    await meters.take([_claim(60)])
    await meters.give_back([_claim(20)])
    assert await meters.take([_claim(20)]) is None

    await meters.give_back([_claim(-10)])

    refusal = await meters.take([_claim(1)])
    assert pytest.approx(11.0, abs=1e-4) == refusal.retry_after_s


async def test_tenants_have_meters_of_their_own(meters_and_clock) -> None:
    """One tenant's load leaves another's meter full."""
    meters, _ = meters_and_clock
    await meters.take([_claim(60, meter="{a}:m:requests")])

    assert await meters.take([_claim(60, meter="{b}:m:requests")]) is None


async def test_slots_are_limited_and_come_back(slots_and_clock) -> None:
    """As many as the limit; released ones and those of a crashed holder are free again."""
    slots, clock = slots_and_clock
    taken = [await slots.take("t", f"r{i}", limit=2, ttl_s=10) for i in range(3)]
    await slots.release("t", "r0")
    again = await slots.take("t", "r3", limit=2, ttl_s=30)
    full = await slots.take("t", "r4", limit=2, ttl_s=10)
    clock.now_s += 11
    after_a_crash = await slots.take("t", "r5", limit=2, ttl_s=10)

    assert [True, True, False] == taken
    assert (True, False, True) == (again, full, after_a_crash)


async def test_redis_lost_leaves_a_share(tmp_path) -> None:
    """A gateway on its own grants its factor of each limit, and says so."""
    breaker = Breaker("redis", fail_max=1, reset_s=1.0)
    lost = SharedState(f"unix://{tmp_path}/nobody.sock", breaker, timeout_s=30)
    shared = LocalLimits(SharedMeters(lost), SharedSlots(lost))
    limits = SharedLimits(shared, LocalLimits(MemoryMeters(now=Clock()), MemorySlots()), factor=0.5)

    first = await limits.take([_claim(30)])
    second = await limits.take([_claim(1)])
    slots = [await limits.take_slot("t", f"r{i}", limit=4, ttl_s=9) for i in range(3)]

    assert (None, True) == first
    assert second[0] is not None
    assert [(True, True), (True, True), (False, True)] == slots
    await lost.close()


async def test_a_lost_redis_is_left_alone_and_found_again(redis_server) -> None:
    """After a failure it is not asked until the pause is over."""
    clock = Clock()
    breaker = Breaker("redis", fail_max=1, reset_s=2.0, now=clock)
    state = SharedState(redis_server.url, breaker, timeout_s=30)
    bad = state.script("return redis.call('NO SUCH COMMAND')")
    with pytest.raises(StateLostError):
        await bad([], [])

    with pytest.raises(StateLostError):
        await state.ask("PING")
    clock.now_s += 2.1

    assert await state.ask("PING")
    await state.close()


HI = [pb.Message(role=pb.ROLE_USER, text="hi")]


@pytest.mark.parametrize("backend", ["memory", "redis"])
@pytest.mark.parametrize(
    ("terms", "quota"),
    [
        pytest.param("requests_per_minute = 2", "requests_per_minute", id="requests"),
        pytest.param("tokens_per_minute = 40", "tokens_per_minute", id="tokens"),
    ],
)
async def test_over_the_limit_is_answered_with_the_time_to_retry(
    monkeypatch, tmp_path, redis_server, backend, terms, quota
) -> None:
    """RESOURCE_EXHAUSTED names the quota and when to come back; the model is left alone."""
    redis_server.flush()
    path, key = access_file(tmp_path, terms)
    shared = {"redis_url": redis_server.url, "redis_timeout_s": 30}
    more = shared if backend == "redis" else {}
    async with running_stack(monkeypatch, access_file=path, **more) as stack:
        stack.model.pieces = ("word ",) * 30
        errors = []
        for _ in range(4):
            try:
                await stack.stub.Generate(pb.GenerateRequest(messages=HI), metadata=key, timeout=60)
            except grpc.aio.AioRpcError as error:
                errors.append(from_rpc_error(error))
        calls = len(stack.model.requests)

    assert {"RATE_LIMITED"} == {error.reason for error in errors}
    assert {quota.replace("_", " ")} == {
        error.message.split("of ")[1].split(" is")[0] for error in errors
    }
    assert all(0 < error.retry_after_s <= 60 for error in errors)
    assert 4 - len(errors) == calls


async def test_counting_tokens_is_limited_too(monkeypatch, tmp_path) -> None:
    """It is work for the model's service as well."""
    path, key = access_file(tmp_path, "requests_per_minute = 2")
    async with running_stack(monkeypatch, access_file=path) as stack:
        request = pb.CountTokensRequest(messages=HI)
        for _ in range(2):
            await stack.stub.CountTokens(request, metadata=key, timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stack.stub.CountTokens(request, metadata=key, timeout=60)

    assert "RATE_LIMITED" == from_rpc_error(refusal.value).reason


async def test_a_tenant_has_so_many_requests_at_once(monkeypatch, tmp_path) -> None:
    """The next one is refused while they run, and served when one has ended."""
    path, key = access_file(tmp_path, "max_concurrent = 1")
    async with running_stack(monkeypatch, access_file=path) as stack:
        stack.model.hold = asyncio.Event()
        running = stack.stub.StreamGenerate(
            pb.StreamGenerateRequest(messages=HI), metadata=key, timeout=60
        )
        await running.read()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stack.stub.Generate(pb.GenerateRequest(messages=HI), metadata=key, timeout=60)
        stack.model.hold.set()
        while await running.read() is not grpc.aio.EOF:
            pass
        served = await stack.stub.Generate(
            pb.GenerateRequest(messages=HI), metadata=key, timeout=60
        )

    assert "TOO_MANY_CONCURRENT_REQUESTS" == from_rpc_error(refusal.value).reason
    assert "HELLO THERE." == served.text


async def test_a_lost_redis_shows_in_answer_and_log(monkeypatch, tmp_path) -> None:
    """Limits fall back to local ones; the answer and the canonical line say that they did."""
    path, key = access_file(tmp_path, "requests_per_minute = 100")
    url = f"unix://{tmp_path}/nobody.sock"
    processors = [logs.bound]
    with structlog.testing.capture_logs(processors=processors) as log:
        async with running_stack(
            monkeypatch, access_file=path, redis_url=url, redis_timeout_s=30
        ) as stack:
            response = await stack.stub.Generate(
                pb.GenerateRequest(messages=HI), metadata=key, timeout=60
            )

    assert ("redis", "local_limits") in [(d.part, d.mode) for d in response.degradations]
    lines = [line for line in log if line["event"] == "rpc.completed"]
    assert [["redis:local_limits"]] == [line["degradations"] for line in lines]
