"""Answers that are begun while the prompt is being checked."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.speculation import Waste
from tests.integration.gateway.conftest import running_stack
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb

REQUEST = pb.StreamGenerateRequest(messages=[pb.Message(role=pb.ROLE_USER, text="hi")])


@pytest.fixture
async def stack(monkeypatch):
    async with running_stack(monkeypatch, speculate="true") as running:
        yield running


async def test_generation_begins_before_the_verdict_and_shows_nothing(stack) -> None:
    """While the guard thinks the model works; the caller sees the answer after the verdict."""
    stack.guard.hold = asyncio.Event()
    call = stack.stub.StreamGenerate(REQUEST, timeout=60)
    reading = asyncio.create_task(call.read())
    await stack.guard.judging.wait()
    await asyncio.wait_for(stack.model.stopped.wait(), 60)  # it has said all it had to say
    assert not reading.done()

    stack.guard.hold.set()

    events = [await reading]
    while (event := await call.read()) is not grpc.aio.EOF:
        events.append(event)
    assert "HELLO THERE." == "".join(event.delta.text for event in events)
    assert "started" == events[0].WhichOneof("event")
    assert pb.FINISH_REASON_STOP == events[-1].final.finish_reason


async def test_a_blocked_prompt_stops_what_was_begun(stack) -> None:
    """Nothing of it is seen, the model is stopped, the tenant does not pay."""
    stack.guard.prompt_action = guard_pb.ACTION_BLOCK
    stack.guard.hold = asyncio.Event()
    stack.model.hold = asyncio.Event()
    call = stack.stub.StreamGenerate(REQUEST, timeout=60)
    await stack.guard.judging.wait()
    await stack.model.asked.wait()
    stack.guard.hold.set()

    events = [event async for event in call]
    usage = await stack.stub.GetUsage(pb.GetUsageRequest(), timeout=60)

    assert ["started", "final"] == [event.WhichOneof("event") for event in events]
    assert pb.FINISH_REASON_BLOCKED == events[-1].final.finish_reason
    await asyncio.wait_for(stack.model.stopped.wait(), 60)
    assert [0] == [row.input_tokens + row.output_tokens for row in usage.rows]


@pytest.mark.parametrize("why", ["rewrites", "whole answer", "policy unknown"])
async def test_where_it_is_not_sound_the_check_comes_first(stack, why) -> None:
    """A prompt that may be rewritten, and an answer nobody reads along, wait for the verdict."""
    if why == "rewrites":
        stack.guard.rewrites_input = True
        await stack.app._catalogue.refresh()
    if why == "policy unknown":
        stack.guard.lists_policies = False
        await stack.app._catalogue.refresh()
    stack.guard.hold = asyncio.Event()
    if why == "whole answer":
        call = stack.stub.Generate(pb.GenerateRequest(messages=REQUEST.messages), timeout=60)
    else:
        call = stack.stub.StreamGenerate(REQUEST, timeout=60)
    await stack.guard.judging.wait()
    begun_early = len(stack.model.requests)
    stack.guard.hold.set()
    if why == "whole answer":
        await call
    else:
        async for _ in call:
            pass

    assert (0, 1) == (begun_early, len(stack.model.requests))


@pytest.mark.parametrize("part", ["guard", "model"])
async def test_a_part_that_fails_is_the_documented_answer(stack, part) -> None:
    """Whichever of the two fails, the other is stopped and the caller told."""
    if part == "guard":
        stack.guard.abort_with = grpc.StatusCode.INTERNAL
        stack.model.hold = asyncio.Event()
    else:
        stack.model.abort_with = grpc.StatusCode.INTERNAL
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        async for _ in stack.stub.StreamGenerate(REQUEST, timeout=60):
            pass

    expected = {"guard": "GUARDRAILS_UNAVAILABLE", "model": "INFERENCE_UNAVAILABLE"}[part]
    assert expected == from_rpc_error(failure.value).reason


async def test_a_caller_that_hangs_up_stops_both(stack) -> None:
    """Leaving before the verdict leaves nothing running."""
    stack.guard.hold = asyncio.Event()
    stack.model.hold = asyncio.Event()
    call = stack.stub.StreamGenerate(REQUEST, timeout=60)
    await stack.guard.judging.wait()
    await stack.model.asked.wait()

    call.cancel()

    await asyncio.wait_for(stack.model.stopped.wait(), 60)


def test_it_switches_itself_off_and_on() -> None:
    """Many blocked prompts end it; when they end, it begins again."""
    waste = Waste(most=0.1)
    for _ in range(10):
        waste.note(was_blocked=True)
    after_blocks = waste.tolerable
    for _ in range(60):
        waste.note(was_blocked=False)

    assert (False, True) == (after_blocks, waste.tolerable)
