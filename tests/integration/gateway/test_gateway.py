"""The gateway over real sockets, with scripted services behind it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.gateway.conftest import access_file, running_stack
from vedette.errors import UnavailableError, VedetteError, from_rpc_error
from vedette.gateway.v1 import gateway_pb2 as pb
from vedette.guardrails.v1 import guardrails_pb2 as guard_pb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.gateway.conftest import Stack

USER_SAYS_HI = [pb.Message(role=pb.ROLE_USER, text="hi")]


async def _stream(stack: Stack, **fields) -> list[pb.StreamGenerateResponse]:
    request = pb.StreamGenerateRequest(messages=USER_SAYS_HI, **fields)
    return [event async for event in stack.stub.StreamGenerate(request, timeout=60)]


async def _failure(call) -> VedetteError:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        async for _ in call:
            pass
    return from_rpc_error(failure.value)


async def test_a_streamed_answer_is_started_deltas_final(stack: Stack) -> None:
    """The caller gets what the guard released, then the attestation of just that text."""
    events = await _stream(stack)

    text = "".join(event.delta.text for event in events)
    final = events[-1].final
    assert "HELLO THERE." == text
    assert "started" == events[0].WhichOneof("event")
    assert pb.FINISH_REASON_STOP == final.finish_reason
    assert (3, 2) == (final.usage.input_tokens, final.usage.output_tokens)
    assert hashlib.sha256(text.encode()).hexdigest() == final.attestation.released_sha256
    assert events[0].started.request_id == final.request_id != ""


async def test_generate_returns_what_the_stream_would(stack: Stack) -> None:
    """Both RPCs are one pipeline."""
    response = await stack.stub.Generate(pb.GenerateRequest(messages=USER_SAYS_HI), timeout=60)

    assert "HELLO THERE." == response.text
    assert pb.FINISH_REASON_STOP == response.finish_reason
    assert 12 == response.attestation.released_chars


async def test_a_blocked_prompt_is_an_ordinary_answer(stack: Stack) -> None:
    """The status is OK, the finish reason says BLOCKED, and the model was never called."""
    stack.guard.prompt_action = guard_pb.ACTION_BLOCK

    events = await _stream(stack)

    assert pb.FINISH_REASON_BLOCKED == events[-1].final.finish_reason
    assert [] == stack.model.requests


async def test_a_block_midway_stops_the_model(stack: Stack) -> None:
    """The answer ends at the block and the model's call is cancelled."""
    stack.guard.block_word = "secret"
    stack.model.pieces = ("fine ", "secret ", "never seen")
    stack.model.hold = asyncio.Event()

    events = await _stream(stack)

    assert "FINE " == "".join(event.delta.text for event in events)
    assert pb.FINISH_REASON_BLOCKED == events[-1].final.finish_reason
    await asyncio.wait_for(stack.model.stopped.wait(), 60)


async def test_a_caller_that_hangs_up_stops_the_model(stack: Stack) -> None:
    """Cancelling the call cancels the call behind it."""
    stack.model.hold = asyncio.Event()
    call = stack.stub.StreamGenerate(pb.StreamGenerateRequest(messages=USER_SAYS_HI), timeout=60)
    async for event in call:
        if event.HasField("delta"):
            break

    call.cancel()

    await asyncio.wait_for(stack.model.stopped.wait(), 60)


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
    ids=lambda status: status.name,
)
async def test_a_guard_that_fails_is_the_documented_answer(
    stack: Stack, status: grpc.StatusCode
) -> None:
    """No check, no text: UNAVAILABLE with a reason and a time to retry, whatever went wrong."""
    stack.guard.abort_with = status

    error = await _failure(
        stack.stub.StreamGenerate(pb.StreamGenerateRequest(messages=USER_SAYS_HI), timeout=60)
    )

    assert isinstance(error, UnavailableError)
    assert "GUARDRAILS_UNAVAILABLE" == error.reason
    assert error.retry_after_s
    assert [] == stack.model.requests


async def test_a_guard_that_goes_midway_ends_the_stream_with_an_error(stack: Stack) -> None:
    """Only text that was released before is ever seen, and the end is not a made-up final."""
    stack.guard.abort_stream_after = 1
    seen = ""

    with pytest.raises(grpc.aio.AioRpcError) as failure:
        async for event in stack.stub.StreamGenerate(
            pb.StreamGenerateRequest(messages=USER_SAYS_HI), timeout=60
        ):
            seen += event.delta.text

    assert "HELLO " == seen
    assert "GUARDRAILS_UNAVAILABLE" == from_rpc_error(failure.value).reason


async def test_a_model_that_fails_midway_ends_the_stream_with_an_error(stack: Stack) -> None:
    """The fault of the model travels around the guard, not through it."""
    stack.model.abort_with = grpc.StatusCode.INTERNAL

    error = await _failure(
        stack.stub.StreamGenerate(pb.StreamGenerateRequest(messages=USER_SAYS_HI), timeout=60)
    )

    assert "INFERENCE_UNAVAILABLE" == error.reason


async def test_both_upstreams_gone_is_answered_before_the_deadline(stack: Stack) -> None:
    """Nobody waits for a service that is not there."""
    await stack.guard_server.stop(0)

    error = await _failure(
        stack.stub.StreamGenerate(pb.StreamGenerateRequest(messages=USER_SAYS_HI), timeout=60)
    )

    assert "GUARDRAILS_UNAVAILABLE" == error.reason


async def test_the_gateway_serves_when_both_upstreams_do(stack: Stack) -> None:
    """Health follows the upstreams: SERVING with both, NOT_SERVING when one goes."""
    health = health_pb2_grpc.HealthStub(stack.channel)
    request = health_pb2.HealthCheckRequest(service="vedette.gateway.v1.GatewayService")
    seen = []

    async for response in health.Watch(request, timeout=60):
        seen.append(response.status)
        if response.status == health_pb2.HealthCheckResponse.SERVING:
            await stack.model_server.stop(0)
        elif health_pb2.HealthCheckResponse.SERVING in seen:
            break

    serving, not_serving = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )
    assert [serving, not_serving] == seen[-2:]


async def test_the_deadline_shrinks_and_the_trace_goes_on(stack: Stack) -> None:
    """Inference gets what is left of the caller's time, and the caller's trace id."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    call = stack.stub.StreamGenerate(
        pb.StreamGenerateRequest(messages=USER_SAYS_HI),
        timeout=9,
        metadata=(("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),),
    )

    events = [event async for event in call]

    assert trace_id == events[0].started.trace_id == events[-1].final.trace_id
    assert trace_id == stack.model.metadata[0]["traceparent"].split("-")[1]
    assert 0 < stack.model.time_remaining_s[0] < 8.95


async def test_nothing_in_a_request_avoids_the_guard(stack: Stack) -> None:
    """Whatever fields a request sets, its prompt is checked and its answer is watched."""
    sampling = pb.Sampling(temperature=0, max_new_tokens=5, stop=["x"], seed=1, regex=".*")
    for fields in (
        {},
        {"model": "other"},
        {"policy": "default"},
        {"conversation_id": "c"},
        {"sampling": sampling},
    ):
        await _stream(stack, **fields)

    assert 5 == len(stack.guard.checks) == len(stack.guard.configs) == len(stack.model.requests)
    assert {"default"} == {check.policy for check in stack.guard.checks}
    assert [5] == [r.sampling.max_new_tokens for r in stack.model.requests if r.sampling.stop]


async def _refused(stack: Stack) -> UnavailableError:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stack.stub.Generate(pb.GenerateRequest(messages=USER_SAYS_HI), timeout=60)
    error = from_rpc_error(failure.value)
    assert isinstance(error, UnavailableError)
    assert "GUARDRAILS_UNAVAILABLE" == error.reason
    return error


async def test_a_service_that_keeps_failing_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After some failures it is not called any more, and callers hear until when."""
    async with running_stack(monkeypatch, breaker_failures=3, breaker_reset_s=1000) as stack:
        stack.guard.abort_with = grpc.StatusCode.UNAVAILABLE
        errors = [await _refused(stack) for _ in range(10)]
        asked = len(stack.guard.checks)

    assert 3 == asked
    assert pytest.approx(1000, rel=0.1) == errors[-1].retry_after_s


async def test_a_service_that_works_again_is_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes back when told to is answered."""
    async with running_stack(monkeypatch, breaker_failures=1, breaker_reset_s=0.05) as stack:
        stack.guard.abort_with = grpc.StatusCode.UNAVAILABLE
        error = await _refused(stack)
        stack.guard.abort_with = None
        await asyncio.sleep(error.retry_after_s or 0)  # what callers do
        response = await stack.stub.Generate(pb.GenerateRequest(messages=USER_SAYS_HI), timeout=60)

    assert "HELLO THERE." == response.text


async def test_a_hiccup_is_not_noticed(stack: Stack) -> None:
    """A check that fails once is made once more, and the caller gets its answer."""
    stack.guard.fail_times = 1
    events = await _stream(stack)

    assert pb.FINISH_REASON_STOP == events[-1].final.finish_reason
    assert 2 == len(stack.guard.checks)


@pytest.mark.parametrize("rpc", ["Generate", "StreamGenerate"])
async def test_local_rules_stand_in_where_the_tenant_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rpc: str
) -> None:
    """With guardrails down, the answer is checked by the gateway's own rules and says so."""
    path, key = access_file(tmp_path, 'guard_loss = "local_rules"')
    async with running_stack(monkeypatch, access_file=path) as stack:
        stack.guard.abort_with = grpc.StatusCode.UNAVAILABLE
        stack.guard.abort_stream_after = 0
        await stack.guard_server.stop(0)
        if rpc == "Generate":
            final = text = await stack.stub.Generate(
                pb.GenerateRequest(messages=USER_SAYS_HI), metadata=key, timeout=60
            )
            text = final.text
        else:
            call = stack.stub.StreamGenerate(
                pb.StreamGenerateRequest(messages=USER_SAYS_HI), metadata=key, timeout=60
            )
            events = [event async for event in call]
            final, text = events[-1].final, "".join(event.delta.text for event in events)

    assert "Hello there." == text
    assert [("guardrails", "local_rules")] == [(d.part, d.mode) for d in final.degradations]
    assert {"local_rules"} == {execution.detector for execution in final.executions}


async def test_another_model_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the model down, the next one answers and the answer says so."""
    async with running_stack(monkeypatch, fallback_models='["small"]') as stack:
        stack.model.down_models = {""}
        response = await stack.stub.Generate(pb.GenerateRequest(messages=USER_SAYS_HI), timeout=60)

    assert [("inference", "fallback:small")] == [(d.part, d.mode) for d in response.degradations]


@pytest.mark.parametrize("rpc", ["Generate", "StreamGenerate"])
@pytest.mark.parametrize(
    ("asked", "changed", "told"),
    [
        pytest.param(True, False, ["Hello ", "there."], id="released as it is"),
        pytest.param(True, True, [], id="released changed"),
        pytest.param(False, False, [], id="not asked for"),
    ],
)
async def test_log_probabilities_are_of_what_was_shown(stack, rpc, asked, changed, told) -> None:
    """Tokens of a text that was released unchanged, if asked for, and never an alternative."""
    stack.guard.changes_answers = changed
    sampling = pb.Sampling(logprobs=1) if asked else pb.Sampling()
    if rpc == "Generate":
        request = pb.GenerateRequest(messages=USER_SAYS_HI, sampling=sampling)
        logprobs = (await stack.stub.Generate(request, timeout=60)).logprobs
    else:
        logprobs = (await _stream(stack, sampling=sampling))[-1].final.logprobs

    assert told == [each.token for each in logprobs]
    assert [] == [each for each in logprobs if each.alternatives or each.logprob != -0.5]
