"""What is not done twice, and for whom."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.cache.stores import MemoryStore, SharedStore
from gateway.cache.turns import turn
from gateway.identity.keys import make
from tests.integration.gateway.conftest import access_file, running_stack
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb
from vedette.inference.v1 import inference_pb2 as model_pb

HI = [pb.Message(role=pb.ROLE_USER, text="hi")]
GREEDY = pb.Sampling(temperature=0)


def _request(**changes):
    return pb.GenerateRequest(**{"messages": HI, "sampling": GREEDY} | changes)


@pytest.fixture(params=["memory", "redis"])
async def cached(request, monkeypatch, redis_server):
    redis_server.flush()
    more = (
        {"redis_url": redis_server.url, "redis_timeout_s": 30} if request.param == "redis" else {}
    )
    async with running_stack(monkeypatch, answer_cache_ttl_s=60, **more) as stack:
        yield stack


async def _texts(stack, *requests):
    return [(await stack.stub.Generate(request, timeout=60)).text for request in requests]


@pytest.mark.parametrize(
    ("second", "generated"),
    [
        pytest.param(_request(), 1, id="the same again"),
        pytest.param(_request(messages=[*HI, *HI]), 2, id="another prompt"),
        pytest.param(
            _request(messages=[pb.Message(role=pb.ROLE_SYSTEM, text="hi")]), 2, id="another role"
        ),
        pytest.param(
            _request(sampling=pb.Sampling(temperature=0, stop=["x"])), 2, id="other sampling"
        ),
        pytest.param(
            _request(sampling=pb.Sampling(temperature=0, max_new_tokens=9)), 2, id="other length"
        ),
    ],
)
async def test_an_answer_is_made_once(cached, second, generated) -> None:
    """The same deterministic request is answered from the cache; any other is not."""
    texts = await _texts(cached, _request(), second)

    assert ["HELLO THERE."] * 2 == texts
    assert generated == len(cached.model.requests)


@pytest.mark.parametrize(
    ("sampling", "generated"),
    [
        pytest.param(pb.Sampling(temperature=0), 1, id="greedy"),
        pytest.param(pb.Sampling(temperature=0.7, seed=3), 1, id="seeded"),
        pytest.param(pb.Sampling(temperature=0.7), 2, id="by chance"),
        pytest.param(pb.Sampling(), 2, id="as the model likes"),
        pytest.param(pb.Sampling(temperature=0, logprobs=2), 2, id="with log-probabilities"),
    ],
)
async def test_only_what_is_deterministic_is_kept(cached, sampling, generated) -> None:
    """An answer that could have been another is made anew."""
    await _texts(cached, *[_request(sampling=sampling)] * 2)

    assert generated == len(cached.model.requests)


async def test_a_kept_answer_passes_the_current_policy(cached) -> None:
    """What was fine under yesterday's policy is judged by today's."""
    await _texts(cached, _request())
    cached.guard.block_word = "there"

    response = await cached.stub.Generate(_request(), timeout=60)

    assert pb.FINISH_REASON_BLOCKED == response.finish_reason
    assert "HELLO " == response.text
    assert 1 == len(cached.model.requests)


async def test_a_kept_answer_costs_nothing(cached) -> None:
    """Only the one who caused the work pays for it."""
    first = await cached.stub.Generate(_request(), timeout=60)
    second = await cached.stub.Generate(_request(), timeout=60)
    usage = await cached.stub.GetUsage(pb.GetUsageRequest(), timeout=60)

    assert [5, 0] == [r.usage.input_tokens + r.usage.output_tokens for r in (first, second)]
    assert (2, 5) == (
        usage.rows[0].requests,
        usage.rows[0].input_tokens + usage.rows[0].output_tokens,
    )


async def test_other_weights_are_another_model(cached) -> None:
    """A new revision invalidates what the old one said."""
    await _texts(cached, _request())
    cached.model.revision = "2"
    await cached.app._catalogue.refresh()

    await _texts(cached, _request())

    assert 2 == len(cached.model.requests)


async def test_streams_and_whole_answers_share(cached) -> None:
    """A stream fills the cache for a whole answer, and the other way about."""
    request = pb.StreamGenerateRequest(messages=HI, sampling=GREEDY)
    for _ in range(2):
        events = [event async for event in cached.stub.StreamGenerate(request, timeout=60)]
        assert "HELLO THERE." == "".join(event.delta.text for event in events)
    await _texts(cached, _request())

    assert 1 == len(cached.model.requests)


async def test_tenants_do_not_meet(monkeypatch, tmp_path) -> None:
    """One tenant's answer is never another's."""
    path, key = access_file(tmp_path, "")
    other, digest = make("k2")
    path.write_text(
        path.read_text()
        + f'[tenants.u]\nroles = ["r"]\n[[keys]]\nid = "k2"\nsha256 = "{digest}"\ntenant = "u"\n'
    )
    async with running_stack(monkeypatch, access_file=path, answer_cache_ttl_s=60) as stack:
        for metadata in (key, (("authorization", f"Bearer {other}"),)):
            await stack.stub.Generate(_request(), metadata=metadata, timeout=60)

        assert ["t", "u"] == [request.tenant for request in stack.model.requests]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_a_stampede_reaches_the_model_once(cached, streamed) -> None:
    """A thousand callers with one request cause one generation, and each gets the answer."""

    async def ask():
        if not streamed:
            return (await cached.stub.Generate(_request(), timeout=60)).text
        request = pb.StreamGenerateRequest(messages=HI, sampling=GREEDY)
        events = [event async for event in cached.stub.StreamGenerate(request, timeout=60)]
        return "".join(event.delta.text for event in events)

    cached.app._service._answerer._pressure.room = 10_000.0
    texts = await asyncio.gather(*(ask() for _ in range(1000)))

    assert ["HELLO THERE."] * 1000 == texts
    assert 1 == len(cached.model.requests)


async def test_a_stampede_over_two_gateways_reaches_the_model_once(
    monkeypatch, redis_server
) -> None:
    """Gateways that share a Redis leave the work to one of them."""
    redis_server.flush()
    shared = {"answer_cache_ttl_s": 60, "redis_url": redis_server.url, "redis_timeout_s": 30}
    async with (
        running_stack(monkeypatch, **shared) as one,
        running_stack(monkeypatch, model=one.model, **shared) as other,
    ):
        for stack in (one, other):
            stack.app._service._answerer._pressure.room = 10_000.0
        texts = await asyncio.gather(
            *(_texts(stack, _request()) for _ in range(500) for stack in (one, other))
        )

    assert [["HELLO THERE."]] * 1000 == texts
    assert 1 == len(one.model.requests)


async def test_the_work_of_a_gateway_that_died_is_taken_over(shared_state) -> None:
    """Its claim ends by itself; nobody waits for it for good."""
    store = SharedStore(shared_state, MemoryStore(max_chars=100))
    await store.claim("{t}:k", "died", ttl_s=0.05)

    async with turn(store, "{t}:k") as value:
        assert value is None
        assert not await store.claim("{t}:k", "another", ttl_s=60)

    assert await store.claim("{t}:k", "another", ttl_s=60)


async def test_one_who_leaves_does_not_take_the_answer_along(cached) -> None:
    """The generation goes on while anyone watches, and stops with the last."""
    cached.model.hold = asyncio.Event()
    request = pb.StreamGenerateRequest(messages=HI, sampling=GREEDY)
    calls = [cached.stub.StreamGenerate(request, timeout=60) for _ in range(3)]
    for call in calls:
        while not (await call.read()).HasField("delta"):
            pass
    calls[0].cancel()
    calls[1].cancel()
    stopped = asyncio.create_task(cached.model.stopped.wait())
    assert "THERE." == (await calls[2].read()).delta.text
    assert not stopped.done()

    calls[2].cancel()

    await asyncio.wait_for(stopped, 60)
    assert 1 == len(cached.model.requests)


@pytest.mark.parametrize("ending", ["failed", "cut short"])
async def test_an_incomplete_answer_is_not_kept(cached, ending) -> None:
    """A failure is everybody's at the time and nobody's afterwards."""
    if ending == "failed":
        cached.model.abort_with = grpc.StatusCode.INTERNAL
    else:
        cached.model.finish_reason = model_pb.FINISH_REASON_TIME_LIMIT
    request = pb.StreamGenerateRequest(messages=HI, sampling=GREEDY)
    try:
        async for _ in cached.stub.StreamGenerate(request, timeout=60):
            pass
    except grpc.aio.AioRpcError as error:
        assert "INFERENCE_UNAVAILABLE" == from_rpc_error(error).reason  # noqa: PT017
    cached.model.abort_with = None
    cached.model.finish_reason = model_pb.FINISH_REASON_STOP
    before = len(cached.model.requests)

    await _texts(cached, _request())

    assert before + 1 == len(cached.model.requests)


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        pytest.param({}, 1, id="the same policy"),
        pytest.param({"digest": "d2"}, 2, id="a new version of the policy"),
    ],
)
async def test_a_verdict_is_kept_for_its_version_of_the_policy(monkeypatch, change, checks) -> None:
    """The same prompt is judged once, until the policy changes; answers are always watched."""
    async with running_stack(monkeypatch, verdict_cache_ttl_s=60) as stack:
        await _texts(stack, _request())
        for name, value in change.items():
            setattr(stack.guard, name, value)
        await stack.app._catalogue.refresh()
        await _texts(stack, _request())
        directions = [check.direction for check in stack.guard.checks]

    assert checks == directions.count(guard_pb.DIRECTION_INPUT)
    assert 2 == directions.count(guard_pb.DIRECTION_OUTPUT)


@pytest.mark.parametrize("why", ["rewrites", "review"])
async def test_some_verdicts_are_not_kept(monkeypatch, why) -> None:
    """Pseudonyms and cases for review are made by the guard each time."""
    async with running_stack(monkeypatch, verdict_cache_ttl_s=60) as stack:
        if why == "rewrites":
            stack.guard.rewrites_input = True
            await stack.app._catalogue.refresh()
        else:
            stack.guard.prompt_findings = [guard_pb.Finding(action=guard_pb.ACTION_REVIEW)]
        await _texts(stack, _request(), _request())
        directions = [check.direction for check in stack.guard.checks]

    assert 2 == directions.count(guard_pb.DIRECTION_INPUT)


async def test_a_kept_block_still_blocks(monkeypatch) -> None:
    """The finding comes from the cache and the model is never asked."""
    async with running_stack(monkeypatch, verdict_cache_ttl_s=60) as stack:
        stack.guard.prompt_action = guard_pb.ACTION_BLOCK
        stack.guard.prompt_findings = [guard_pb.Finding(rule_id="r", action=guard_pb.ACTION_BLOCK)]
        responses = [await stack.stub.Generate(_request(), timeout=60) for _ in range(2)]

        assert [pb.FINISH_REASON_BLOCKED] * 2 == [r.finish_reason for r in responses]
        assert [["r"]] * 2 == [[f.rule_id for f in r.findings] for r in responses]
        assert (1, 0) == (len(stack.guard.checks), len(stack.model.requests))


async def test_stores_forget(shared_state) -> None:
    """By time in both, and by size in memory, what was not used for longest first."""
    clock = [0.0]
    memory = MemoryStore(max_chars=10, now=lambda: clock[0])
    await memory.put("a", "aaaa", ttl_s=10)
    await memory.put("b", "bbbb", ttl_s=20)
    await memory.get("a")
    await memory.put("c", "cccc", ttl_s=20)
    by_size = [await memory.get(key) for key in "abc"]
    clock[0] = 11.0
    by_time = [await memory.get(key) for key in "abc"]
    here, there = (SharedStore(shared_state, MemoryStore(max_chars=10)) for _ in range(2))
    await here.put("k", "v", ttl_s=60)
    await here.put("gone", "v", ttl_s=0.001)
    await asyncio.sleep(0.01)  # Redis has a clock of its own

    assert ["aaaa", None, "cccc"] == by_size
    assert [None, None, "cccc"] == by_time
    assert ["v", None] == [await there.get("k"), await there.get("gone")]
