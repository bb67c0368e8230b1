"""How the service behaves while it runs: reloads, long texts, callers that leave."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest

from vedette.guardrails.v1 import guardrails_pb2 as pb

POLICY = """
version: 1
description: {}
input: {{detectors: {{pii: {{action: {}}}}}}}
output: {{}}
"""


def check_request(text):
    segment = pb.Segment(role=pb.ROLE_USER, text=text)
    return pb.CheckTextRequest(direction=pb.DIRECTION_INPUT, segments=[segment])


async def description(guard):
    response = await guard.ListPolicies(pb.ListPoliciesRequest())
    return next(policy.description for policy in response.policies if policy.is_default)


async def until_described(guard, expected):
    async with asyncio.timeout(60):
        while await description(guard) != expected:
            pass  # each turn is a call


async def test_a_changed_policy_is_in_force_without_a_restart(serve, tmp_path):
    """A good change applies to the next call; a bad one changes nothing and stops nothing."""
    folder = tmp_path / "policies"
    folder.mkdir()
    path = folder / "mine.yaml"
    path.write_text(POLICY.format("First.", "mask"))
    async with serve(policies_dir=folder, default_policy="mine", reload_every_s=0.01) as guard:
        before = await guard.CheckText(check_request("jo@example.com"))
        path.write_text(POLICY.format("Second.", "block"))
        await until_described(guard, "Second.")
        after = await guard.CheckText(check_request("jo@example.com"))
        path.write_text("version: 9")
        path.with_name("other.yaml").write_text(POLICY.format("Third.", "mask"))
        still = await guard.CheckText(check_request("jo@example.com"))
    assert [each.segments[0].text for each in (before, after, still)] == ["[EMAIL]", "", ""]
    assert before.policy_digest != after.policy_digest == still.policy_digest


async def test_a_long_text_does_not_hold_up_a_short_one(guard):
    """While half a million characters are scanned, other calls are answered."""
    long = asyncio.ensure_future(
        guard.CheckText(check_request("dense 192.168.1.7 text, " * 20_000))
    )
    finished_meanwhile = 0
    while not long.done():
        await guard.CheckText(check_request("short"))
        finished_meanwhile += not long.done()
    assert len((await long).segments[0].findings) == 20_000
    assert finished_meanwhile >= 2


async def test_a_caller_that_leaves_midway_leaves_nothing_behind(guard):
    """The stream's task ends with the call, and the next call works."""
    call = guard.StreamCheckText()
    config = pb.StreamCheckTextConfig(direction=pb.DIRECTION_OUTPUT, role=pb.ROLE_ASSISTANT)
    await call.write(pb.StreamCheckTextRequest(config=config))
    await call.read()
    before = {task for task in asyncio.all_tasks() if "StreamCheckText" in repr(task)}
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert (await guard.CheckText(check_request("fine"))).action == pb.ACTION_ALLOW
    assert all(task.done() for task in before)


async def test_after_a_block_more_text_is_not_an_error(guard):
    """A caller that learns late of the block and goes on writing still gets the final."""
    config = pb.StreamCheckTextConfig(direction=pb.DIRECTION_OUTPUT, role=pb.ROLE_ASSISTANT)
    call = guard.StreamCheckText()

    async def write():
        await call.write(pb.StreamCheckTextRequest(config=config))
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call is over
            for _ in range(500):
                await call.write(pb.StreamCheckTextRequest(text="I will kill you. "))

    writing = asyncio.create_task(write())
    responses = []
    while (response := await call.read()) is not grpc.aio.EOF:
        responses.append(response)
    await writing
    assert responses[-1].final.action == pb.ACTION_BLOCK
    assert await call.code() is grpc.StatusCode.OK
