"""Pseudonyms over gRPC with a vault in a real Redis."""

from __future__ import annotations

import asyncio
import random

import grpc
import pytest

from servicekit.process import StartupError
from vedette.guardrails.v1 import guardrails_pb2 as pb

POLICY = """
version: 1
input: {detectors: {pii: {action: pseudonymize}}}
output: {restore: true, detectors: {pii: {action: mask}}}
"""
SECRET = "sixteen characters and more"


@pytest.fixture
def serve_with(serve, tmp_path):
    """Starts a replica over this Redis."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "mine.yaml").write_text(POLICY)

    def start(socket, **settings):
        return serve(
            policies_dir=folder,
            default_policy="mine",
            redis_url=f"unix://{socket}",
            redis_timeout_s=30,
            **{"secret": SECRET} | settings,
        )

    return start


async def hide(guard, text, *, tenant="a", conversation="c"):
    request = pb.CheckTextRequest(
        direction=pb.DIRECTION_INPUT,
        segments=[pb.Segment(role=pb.ROLE_USER, text=text)],
        tenant=tenant,
        conversation_id=conversation,
    )
    return (await guard.CheckText(request)).segments[0].text


async def show(guard, text, *, tenant="a", conversation="c"):
    config = pb.StreamCheckTextConfig(
        direction=pb.DIRECTION_OUTPUT,
        role=pb.ROLE_ASSISTANT,
        tenant=tenant,
        conversation_id=conversation,
    )
    requests = [pb.StreamCheckTextRequest(config=config)]
    requests += [pb.StreamCheckTextRequest(text=text[at : at + 3]) for at in range(0, len(text), 3)]
    responses = [response async for response in guard.StreamCheckText(iter(requests))]
    return "".join(response.release.text for response in responses)


async def test_one_replica_restores_what_another_hid(serve_with, redis_socket):
    """Replicas share the vault; the stream restores, and RestoreText does for those who ask."""
    socket, _, _ = redis_socket
    async with serve_with(socket) as one, serve_with(socket) as other:
        hidden = await hide(one, "Mail jo@example.com now")
        assert "jo@" not in hidden
        assert await show(other, hidden) == "Mail jo@example.com now"
        request = pb.RestoreTextRequest(text=hidden, conversation_id="c", tenant="a")
        response = await other.RestoreText(request)
        assert (response.text, response.restored) == ("Mail jo@example.com now", 1)


async def test_the_vault_is_unreadable_and_expires(serve_with, redis_socket):
    """Neither values, nor tenants, nor conversations stand in Redis, and every key ends."""
    socket, client, _ = redis_socket
    async with serve_with(socket) as guard:
        await hide(guard, "Mail jo@example.com", tenant="tenant-name", conversation="talk-name")
    keys = client.keys("*")
    stored = b"".join(keys) + b"".join(b"".join(client.hgetall(key).values()) for key in keys)
    assert keys
    for secret in (b"jo@example.com", b"tenant-name", b"talk-name"):
        assert secret not in stored
    assert all(0 < client.ttl(key) <= 3600 for key in keys)


async def test_no_value_crosses_a_tenant_under_load(serve_with, redis_socket):
    """Many tenants, the same conversation names, in random order: each gets only its own back."""
    socket, _, _ = redis_socket
    dice = random.Random(11)
    async with serve_with(socket) as guard:

        async def talk(tenant, conversation):
            mine = f"{tenant}.{conversation}@example.com"
            hidden = await hide(guard, f"I am {mine}.", tenant=tenant, conversation=conversation)
            stolen = [each for each in seen if each[0] != (tenant, conversation)]
            seen.append(((tenant, conversation), hidden))
            assert await show(guard, hidden, tenant=tenant, conversation=conversation) == (
                f"I am {mine}."
            )
            for _, foreign in stolen[-3:]:
                shown = await show(guard, foreign, tenant=tenant, conversation=conversation)
                assert shown == foreign

        seen = []
        talks = [talk(f"t{tenant}", f"c{talk_}") for tenant in range(6) for talk_ in range(4)]
        dice.shuffle(talks)
        await asyncio.gather(*talks)


async def test_without_the_vault_nothing_is_released(serve_with, redis_socket):
    """A value that cannot be kept is not replaced half: the call fails and says why."""
    socket, _, process = redis_socket
    async with serve_with(socket) as guard:
        process.kill()
        process.wait()
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await hide(guard, "Mail jo@example.com")
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await hide(guard, "Nothing to hide.") == "Nothing to hide."


async def test_a_shared_vault_needs_a_shared_key(serve_with, redis_socket):
    """A random key over a shared Redis would lose values silently; start-up refuses it."""
    socket, _, _ = redis_socket
    with pytest.raises(StartupError, match="VEDETTE_GUARDRAILS_SECRET"):
        async with serve_with(socket, secret=None):
            pass


async def test_restoring_needs_a_conversation(guard):
    """RestoreText names the field that is missing."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await guard.RestoreText(pb.RestoreTextRequest(text="[EMAIL_ABCDEF]"))
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
