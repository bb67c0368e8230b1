"""One record a decision, and who may read it."""

from __future__ import annotations

import asyncio
import hashlib
import json

import grpc
import pytest

from gateway.audit.record import from_json, to_json
from gateway.identity.keys import make
from tests.integration.gateway.conftest import access_file, running_stack
from vedette.errors import from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb

SECRET = "a prompt that nobody may find again"
REQUEST = pb.GenerateRequest(messages=[pb.Message(role=pb.ROLE_USER, text=SECRET)])


async def _decision(stack, request_id, **more):
    request = pb.GetDecisionRequest(request_id=request_id)
    return (await stack.stub.GetDecision(request, timeout=60, **more)).decision


@pytest.fixture(params=["memory", "redis"])
async def audited(request, monkeypatch, tmp_path, redis_server):
    redis_server.flush()
    more = (
        {"redis_url": redis_server.url, "redis_timeout_s": 30} if request.param == "redis" else {}
    )
    async with running_stack(monkeypatch, audit_dir=tmp_path / "audit", **more) as stack:
        yield stack, tmp_path / "audit"


async def test_a_decision_can_be_explained(audited) -> None:
    """Who, when, under which policy, what was found and done, step by step; hashes, no content."""
    stack, folder = audited
    response = await stack.stub.Generate(REQUEST, timeout=60)

    decision = await _decision(stack, response.request_id)

    prompt = SECRET.encode()
    expected = hashlib.sha256(f"2:{len(prompt)}:".encode() + prompt).hexdigest()
    assert ("local", response.trace_id, "scripted", "d1") == (
        decision.tenant,
        decision.trace_id,
        decision.model,
        decision.policy_digest,
    )
    assert pb.FINISH_REASON_STOP == decision.finish_reason
    assert response.usage == decision.usage
    assert response.attestation.released_sha256 == decision.released_sha256
    assert expected == decision.prompt_sha256
    assert [
        ("guard_input", "allowed"),
        ("inference", "stop"),
        ("guard_output", "allowed"),
        ("settle", "booked"),
    ] == [(step.name, step.outcome) for step in decision.steps]
    assert {pb.BREAKER_STATE_CLOSED} == {breaker.state for breaker in decision.breakers}
    assert {"guardrails", "inference"} <= {breaker.part for breaker in decision.breakers}
    (path,) = folder.glob("*.jsonl")
    assert SECRET not in path.read_text()
    assert response.request_id == json.loads(path.read_text())["request_id"]


async def test_a_block_is_recorded_with_its_findings(audited) -> None:
    """The rule that blocked it stands in the record."""
    stack, _ = audited
    stack.guard.block_word = "there"

    response = await stack.stub.Generate(REQUEST, timeout=60)
    decision = await _decision(stack, response.request_id)

    assert pb.FINISH_REASON_BLOCKED == decision.finish_reason
    assert ["WORD"] == [finding.category for finding in decision.findings]
    assert [pb.ACTION_BLOCK] == [finding.action for finding in decision.findings]


async def test_an_open_breaker_is_recorded(monkeypatch) -> None:
    """Who asks later why a request failed sees what was left alone from then on."""
    async with running_stack(monkeypatch, breaker_failures=1, breaker_reset_s=1000) as stack:
        stack.guard.abort_stream_after = 1
        request = pb.StreamGenerateRequest(messages=REQUEST.messages)
        call = stack.stub.StreamGenerate(request, timeout=60)
        started = (await call.read()).started
        with pytest.raises(grpc.aio.AioRpcError):
            while await call.read():
                pass
        decision = await _eventually(stack, started.request_id)

    states = {breaker.part: breaker.state for breaker in decision.breakers}
    assert pb.BREAKER_STATE_OPEN == states["guardrails"]
    assert pb.BREAKER_STATE_CLOSED == states["inference"]


@pytest.mark.parametrize(("ending", "reason"), [("failed", "ERROR"), ("cancelled", "CANCELLED")])
async def test_what_did_not_finish_is_recorded_too(audited, ending, reason) -> None:
    """A request that failed or was given up leaves a record that says so."""
    stack, _ = audited
    if ending == "failed":
        stack.guard.abort_stream_after = 1
    else:
        stack.model.hold = asyncio.Event()
    request = pb.StreamGenerateRequest(messages=REQUEST.messages)
    call = stack.stub.StreamGenerate(request, timeout=60)
    started = (await call.read()).started
    if ending == "cancelled":
        call.cancel()
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            while await call.read():
                pass
    await stack.model.stopped.wait()
    decision = await _eventually(stack, started.request_id)

    assert f"FINISH_REASON_{reason}" == pb.FinishReason.Name(decision.finish_reason)


async def _eventually(stack, request_id):
    while True:
        try:
            return await _decision(stack, request_id)
        except grpc.aio.AioRpcError as error:
            if from_rpc_error(error).reason != "DECISION_NOT_FOUND":
                raise


async def test_decisions_are_for_their_tenant(monkeypatch, tmp_path) -> None:
    """Another tenant's record is as absent as one that never was."""
    path, key = access_file(tmp_path, "")
    other_key, digest = make("k2")
    path.write_text(
        path.read_text()
        + f'[tenants.u]\nroles = ["r"]\n[[keys]]\nid = "k2"\nsha256 = "{digest}"\ntenant = "u"\n'
    )
    async with running_stack(monkeypatch, access_file=path) as stack:
        response = await stack.stub.Generate(REQUEST, metadata=key, timeout=60)
        await _decision(stack, response.request_id, metadata=key)
        reasons = []
        for request_id in (response.request_id, "req-0"):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await _decision(
                    stack, request_id, metadata=(("authorization", f"Bearer {other_key}"),)
                )
            reasons.append(from_rpc_error(refusal.value).reason)

    assert ["DECISION_NOT_FOUND"] * 2 == reasons


async def test_a_disk_that_is_full_stops_nobody(monkeypatch, tmp_path) -> None:
    """Records that cannot be written are reported in the log; the answer comes."""
    (tmp_path / "audit").write_text("a file where the folder should be")
    async with running_stack(monkeypatch, audit_dir=tmp_path / "audit") as stack:
        response = await stack.stub.Generate(REQUEST, timeout=60)

    assert "HELLO THERE." == response.text


async def test_a_record_reads_back_as_it_was_written(monkeypatch, tmp_path) -> None:
    """Nothing is lost on the way to a line and back."""
    async with running_stack(monkeypatch, audit_dir=tmp_path) as stack:
        stack.guard.prompt_action = guard_pb.ACTION_BLOCK
        stack.guard.prompt_findings = [
            guard_pb.Finding(detector="pii", category="EMAIL", action=guard_pb.ACTION_BLOCK)
        ]
        await stack.stub.Generate(REQUEST, timeout=60)
        (path,) = tmp_path.glob("*.jsonl")
        line = path.read_text().strip()

    assert line == to_json(from_json(line))
    assert 1 == len(from_json(line).findings)
